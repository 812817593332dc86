"""Who is asking: tokens, sessions in signed cookies, and the tokens of forms (CSRF).

A session is a cookie that the service signed: a random id, when it began, and the id of the access token it was opened
with. Nothing is kept of visitors, so nobody can fill a table with them; a token that is taken out of the configuration
ends every session that was opened with it at once.
"""

from __future__ import annotations

import hashlib
import hmac
import os
import secrets
import threading
import time
from dataclasses import dataclass
from pathlib import Path

from provenance.errors import UsageError
from provenance.media.files import write_bytes
from veilmark.web.settings import Role, RoleToken, Settings, load_settings

SESSION_SECONDS = 12 * 3600
_ONCE_SECONDS = 15 * 60
_TOKEN_BYTES = 32
_MAX_COOKIE_CHARS = 400


@dataclass(frozen=True)
class Visitor:
    """Who asks.

    Attributes:
        role: what they may do; None: nothing at all (a studio answers its owner only).
        owner: whose jobs these are; the same for each session of one token.
        name: of the token, or empty.
        session: the cookie's value; empty for a bearer token.
        csrf: the token that their forms carry.
        fresh: the cookie was made just now, and is to be set.
        bearer: they showed an access token with this request; no browser did that by itself.
    """

    role: Role | None
    owner: str
    name: str = ""
    session: str = ""
    csrf: str = ""
    fresh: bool = False
    bearer: bool = False

    def may(self, needed: Role) -> bool:
        return self.role is not None and self.role.covers(needed)


def new_token() -> str:
    """A fresh access token: 256 random bits as text."""
    return secrets.token_urlsafe(_TOKEN_BYTES)


def digest_of(token: str) -> str:
    """What is kept of a token. It holds 256 random bits: a slow hash would add nothing."""
    return hashlib.sha256(token.encode()).hexdigest()


class Access:
    """Tells visitors apart; thread-safe."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._secret = _secret_of(settings.folder / "session.key")
        self._lock = threading.Lock()
        self._tokens = settings.tokens
        self._read_at = _changed_at(settings.config)
        self._once: dict[str, float] = {}
        self._ended: dict[str, float] = {}
        self._own = RoleToken("studio", Role.KEEPER, digest_of(new_token())) if settings.studio else None

    @property
    def cookie_name(self) -> str:
        """Cookies know no port: two services on one host must not share one."""
        return "__Host-veilmark" if self._settings.secure else f"veilmark-{self._settings.port}"

    def visitor(self, cookie: str, bearer: str = "") -> Visitor:
        """Who shows this cookie or this access token; what does not verify is nobody."""
        if bearer:
            token = self._token_by(digest_of(bearer))
            if token is None:
                return Visitor(None, "", bearer=True)
            return Visitor(token.role, self._owner(token), token.name, bearer=True)
        read = self._read(cookie)
        if read is None:
            return self._opened(None, fresh=True)
        return self._of_session(*read, cookie)

    def log_in(self, access_token: str) -> Visitor | None:
        """A new session for whoever holds a token; None: there is no such token."""
        token = self._token_by(digest_of(access_token))
        return self._opened(token, fresh=True) if token else None

    def log_out(self, visitor: Visitor) -> None:
        """The session's cookie is worth nothing from now on."""
        with self._lock:
            now = time.time()
            self._ended = {one: until for one, until in self._ended.items() if until > now}
            self._ended[_id_of(visitor.session)] = now + SESSION_SECONDS

    def one_time(self) -> str:
        """A word that opens one session of the studio, once, within some minutes."""
        word = new_token()
        with self._lock:
            self._once[digest_of(word)] = time.monotonic() + _ONCE_SECONDS
        return word

    def redeem(self, word: str) -> Visitor | None:
        """The session that a one-time word opens; None: it was used, is too old, or never was one."""
        with self._lock:
            until = self._once.pop(digest_of(word), 0.0)
        if self._own is None or until < time.monotonic():
            return None
        return self._opened(self._own, fresh=True)

    def is_own_form(self, visitor: Visitor, csrf: str) -> bool:
        """Whether a form that carries this token was made for this visitor."""
        return bool(visitor.csrf) and hmac.compare_digest(visitor.csrf.encode(), csrf.encode())

    # ------------------------------------------------------------------ inside

    def _opened(self, token: RoleToken | None, *, fresh: bool) -> Visitor:
        session, token_id = secrets.token_urlsafe(18), token.sha256[:16] if token else ""
        head = f"{session}.{int(time.time())}.{token_id}"
        return self._of_session(session, token_id, f"{head}.{self._mac('session', head)}", fresh=fresh)

    def _of_session(self, session: str, token_id: str, cookie: str, *, fresh: bool = False) -> Visitor:
        csrf = self._mac("csrf", session)
        token = next((one for one in self._known() if token_id and one.sha256.startswith(token_id)), None)
        if token is None:
            role = None if self._settings.studio else Role.PUBLIC
            return Visitor(role, f"visitor-{self._mac('owner', session)[:24]}", "", cookie, csrf, fresh)
        return Visitor(token.role, self._owner(token), token.name, cookie, csrf, fresh)

    def _owner(self, token: RoleToken) -> str:
        return "studio" if token is self._own else f"token-{token.sha256[:24]}"

    def _read(self, cookie: str) -> tuple[str, str] | None:
        if len(cookie) > _MAX_COOKIE_CHARS or not cookie.isascii() or cookie.count(".") != 3:
            return None
        head, _, mac = cookie.rpartition(".")
        if not hmac.compare_digest(mac.encode(), self._mac("session", head).encode()):
            return None
        session, began, token_id = head.split(".")
        if int(began) + SESSION_SECONDS < time.time() or session in self._ended:
            return None
        return session, token_id

    def _mac(self, purpose: str, text: str) -> str:
        return hmac.new(self._secret, f"{purpose}:{text}".encode(), hashlib.sha256).hexdigest()

    def _token_by(self, digest: str) -> RoleToken | None:
        return next((one for one in self._known() if hmac.compare_digest(one.sha256, digest)), None)

    def _known(self) -> tuple[RoleToken, ...]:
        """The tokens as the configuration has them now: one that was taken out is taken back."""
        config = self._settings.config
        if config and (now := _changed_at(config)) != self._read_at:
            with self._lock:
                try:
                    self._tokens = load_settings(config, self._settings.home).tokens
                except UsageError:
                    self._tokens = ()  # nobody, rather than somebody who was taken out
                self._read_at = now
        return (*self._tokens, self._own) if self._own else self._tokens


def _id_of(cookie: str) -> str:
    return cookie.partition(".")[0]


def _changed_at(path: Path | None) -> int:
    try:
        return path.stat().st_mtime_ns if path else 0
    except OSError:
        return -1


def _secret_of(path: Path) -> bytes:
    """The key that signs cookies, made where it is missing; readable by its owner alone."""
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    if not path.exists():
        write_bytes(path, os.urandom(32), mode=0o600)
    return path.read_bytes()

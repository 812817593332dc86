"""What a service may do: where it listens, who may do what, and its limits. Read from TOML, never from a request."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass, field, fields
from enum import StrEnum
from ipaddress import ip_address, ip_network
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from provenance.errors import UsageError
from provenance.home import Home

DEFAULT_PORT = 8765
_MAX_CONFIG_BYTES = 1 << 20
_LOOPBACK = ("127.0.0.1", "::1", "localhost")


class Role(StrEnum):
    """Who may do what; each may do what those before it may."""

    PUBLIC = "public"  # verify, look up
    SIGNER = "signer"  # also sign and cloak
    KEEPER = "keeper"  # also change what is trusted

    def covers(self, needed: Role) -> bool:
        order = list(Role)
        return order.index(self) >= order.index(needed)


@dataclass(frozen=True)
class RoleToken:
    """A token by its SHA-256 (hex); the token itself is known to its holder alone."""

    name: str
    role: Role
    sha256: str


@dataclass(frozen=True)
class Limits:
    """Bounds on what one visitor, and all of them, may ask for.

    Attributes:
        upload_bytes: of one request, all files together.
        files: in one request.
        field_bytes: of one text field.
        upload_seconds: for receiving one request.
        uploads: that are received at the same time.
        queue: jobs that wait or run.
        jobs_each: jobs of one owner that wait or run.
        workers: quick jobs that run at the same time (verify, sign).
        long_workers: long jobs that run at the same time (cloak).
        job_seconds: for cloaking a picture.
        film_seconds: for cloaking a film.
        look_seconds: for looking at one file: verifying it, or looking it up.
        keep_seconds: how long the result of a job can be fetched.
        requests_per_minute, uploads_per_minute, logins_per_minute: of one address.
    """

    upload_bytes: int = 1024**3
    files: int = 50
    field_bytes: int = 64 * 1024
    upload_seconds: int = 600
    uploads: int = 64
    queue: int = 200
    jobs_each: int = 20
    workers: int = 2
    long_workers: int = 1
    job_seconds: int = 3600
    film_seconds: int = 24 * 3600
    look_seconds: int = 300
    keep_seconds: int = 3600
    requests_per_minute: int = 1200
    uploads_per_minute: int = 240
    logins_per_minute: int = 10


@dataclass(frozen=True)
class Settings:
    """One service.

    Attributes:
        home: whose identity, ledger and trust store it works with.
        studio: the service of one person on this machine: whoever has its link may do everything, nobody else anything.
        certificate, key: PEM files for TLS.
        proxies: addresses or networks of proxies that end TLS and whose ``X-Forwarded-*`` headers are believed.
        origin: the address that people see, such as ``https://veilmark.example.org``; default where it listens.
        discoverable: answer look-ups about the records whose owners opted in.
        witness: under this name the service cosigns checkpoints of the logs that its home trusts; empty: it is none.
        identity: which identity signs; default the home's default.
        results: folders with reports of ``veilmark measure``.
        passphrase: opens the key of the identity, where it is encrypted; never read from the file.
        config: the file that this was read from; its tokens are read again when it changes.
    """

    home: Home
    host: str = "127.0.0.1"
    port: int = DEFAULT_PORT
    studio: bool = False
    certificate: Path | None = None
    key: Path | None = None
    proxies: tuple[str, ...] = ()
    origin: str = ""
    discoverable: bool = False
    witness: str = ""
    identity: str | None = None
    results: tuple[Path, ...] = ()
    tokens: tuple[RoleToken, ...] = ()
    limits: Limits = field(default_factory=Limits)
    passphrase: str | None = field(default=None, repr=False)
    config: Path | None = None

    def __post_init__(self) -> None:
        if (self.certificate is None) != (self.key is None):
            raise UsageError("TLS needs a certificate and its key", hint="name both under [tls]")
        if not 0 <= self.port <= 65535:
            raise UsageError(f"{self.port} is no port", hint="choose one of 1 to 65535")
        if self.origin and self.origin != _origin_of(self.origin):
            raise UsageError(
                f"{self.origin[:100]!r} is no origin",
                hint="scheme and host alone: https://veilmark.example.org",
            )
        for proxy in self.proxies:
            try:
                ip_network(proxy, strict=False)
            except ValueError:
                raise UsageError(
                    f"{proxy[:60]!r} is no address of a proxy", hint="such as 10.0.0.1"
                ) from None
        if not self.loopback and not (self.certificate or self.proxies):
            raise UsageError(
                f"{self.host} can be reached from a network, and nothing protects what is sent",
                hint="configure [tls], or trusted proxies that end TLS, or listen on 127.0.0.1",
            )

    @property
    def loopback(self) -> bool:
        if self.host in _LOOPBACK:
            return True
        try:
            return ip_address(self.host).is_loopback
        except ValueError:
            return False

    @property
    def public_origin(self) -> str:
        """What people see in their browser's address."""
        if self.origin:
            return self.origin
        shown = f"[{self.host}]" if ":" in self.host else self.host
        return f"{'https' if self.certificate else 'http'}://{shown}:{self.port}"

    @property
    def secure(self) -> bool:
        return self.public_origin.startswith("https:")

    @property
    def hosts(self) -> frozenset[str]:
        """Values of the header ``Host`` that are answered: others are somebody's DNS that points here."""
        own = {urlsplit(self.public_origin).netloc.lower()}
        if self.loopback:
            own |= {f"{name}:{self.port}" for name in ("127.0.0.1", "localhost", "[::1]")}
        return frozenset(own)

    @property
    def folder(self) -> Path:
        """Where jobs and the key of the sessions lie."""
        return self.home.data / "web"


def load_settings(path: Path, home: Home) -> Settings:
    """The settings in a TOML file; relative paths are relative to it.

    Args:
        home: used where the file names none.

    Raises:
        UsageError: the file cannot be read, or says something that is not understood.
    """
    try:
        data = path.read_bytes()
        if len(data) > _MAX_CONFIG_BYTES:
            raise UsageError(f"{path} is larger than {_MAX_CONFIG_BYTES} bytes")
        said = tomllib.loads(data.decode())
    except OSError as error:
        raise UsageError(f"cannot read {path}: {error.strerror}") from error
    except (UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise UsageError(f"{path} is no TOML: {error}") from error
    tls = _table(said.pop("tls", {}), "tls", {"certificate": str, "key": str})
    limits = _table(said.pop("limits", {}), "limits", {one.name: int for one in fields(Limits)})
    if any(value < 1 for value in limits.values()):
        raise UsageError("a limit is less than 1", hint="leave it out for the default")
    tokens = tuple(_token(one) for one in _list(said.pop("token", []), "token"))
    if len({one.name for one in tokens}) != len(tokens):
        raise UsageError("two tokens have the same name", hint="give each its own")
    kinds = {
        "host": str,
        "port": int,
        "origin": str,
        "home": str,
        "identity": str,
        "discoverable": bool,
        "witness": str,
    }
    plain = _table(said, "the file", {**kinds, "results": list, "proxies": list})
    place = path.absolute().parent
    if folder := plain.pop("home", None):
        home = Home.at(place / folder)
    for name in ("results", "proxies"):
        _texts(plain.get(name, []), name)
    return Settings(
        home=home,
        certificate=place / tls["certificate"] if "certificate" in tls else None,
        key=place / tls["key"] if "key" in tls else None,
        proxies=tuple(plain.pop("proxies", ())),
        results=tuple(place / one for one in plain.pop("results", ())),
        tokens=tokens,
        limits=Limits(**limits),
        config=path.absolute(),
        **plain,
    )


def _table(value: Any, name: str, kinds: dict[str, type]) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise UsageError(f"[{name}] is no table")
    for key, one in value.items():
        if key not in kinds:
            raise UsageError(f"{name} knows no {str(key)[:60]!r}", hint="one of " + ", ".join(kinds))
        if type(one) is not kinds[key]:
            raise UsageError(f"{key} in {name} is no {kinds[key].__name__}")
    return dict(value)


def _list(value: Any, name: str) -> list[Any]:
    if not isinstance(value, list):
        raise UsageError(f"{name} is no list", hint=f"write [[{name}]]")
    return value


def _texts(values: list[Any], name: str) -> None:
    if not all(isinstance(one, str) for one in values):
        raise UsageError(f"{name} is no list of texts")


def _token(value: Any) -> RoleToken:
    said = _table(value, "[[token]]", {"name": str, "role": str, "sha256": str})
    if set(said) != {"name", "role", "sha256"}:
        raise UsageError(
            "a token needs name, role and sha256", hint="veilmark serve --new-token ROLE makes one"
        )
    digest = said["sha256"].lower()
    if len(digest) != 64 or any(one not in "0123456789abcdef" for one in digest):
        raise UsageError(f"the sha256 of token {said['name'][:60]!r} is not 64 hex digits")
    try:
        role = Role(said["role"])
    except ValueError:
        raise UsageError(
            f"no role is called {said['role'][:60]!r}", hint="public, signer or keeper"
        ) from None
    return RoleToken(said["name"], role, digest)


def _origin_of(text: str) -> str:
    parts = urlsplit(text)
    return f"{parts.scheme}://{parts.netloc}" if parts.scheme in ("http", "https") and parts.netloc else ""

"""Whether footage may be used: the claims on it, the keys on this machine, and statements of consent, weighed.

The answer, :class:`Permission`, travels: into ``alignments.json``, from there into a model, and from there into the
manifest of everything that is generated. :func:`carried_permission` checks it again at each of these stations.
"""

from __future__ import annotations

import contextlib
import json
import secrets
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from cryptography.exceptions import InvalidSignature

from provenance.errors import (
    ConsentError,
    CorruptMediaError,
    IdentityError,
    MediaError,
    ReceiptError,
    TamperedError,
    VeilmarkError,
)
from provenance.home import Home
from provenance.identity.admin import retired_certificates
from provenance.identity.certificates import parse_chain, printable, to_der
from provenance.identity.identity import Identity, identity_folder, list_names, load_identity
from provenance.identity.keyfiles import read_private
from provenance.media.files import sha256_file
from provenance.record import key_id_of, now_utc, verify_signature
from provenance.search.lookup import open_lookup
from provenance.trust.store import TrustStore
from synth.consent.claims import Claim, Claims, claims_about
from synth.consent.statement import Statement, parse_statement

#: From the strongest to the weakest; a set of files stands on the weakest of its files' bases.
BASES = ("own-key", "statement", "allowed", "declared")
#: Instead of a basis, of a file among others that cannot be read, and so is not used.
UNREADABLE = "unreadable"
#: Relations whose signer does not say that the footage is theirs.
_NO_OWNER = ("recorded", "synthetic")
_DECLARED = "the person who used the footage declared to have consent; no owner's statement was checked"


@dataclass(frozen=True)
class Permission:
    """On which basis footage is used.

    Attributes:
        basis: ``own-key`` (signed by a key of this machine), ``statement`` (of consent, by the owner's key),
            ``allowed`` (its owner's manifest allows training) or ``declared`` (unsigned; ``--i-have-consent``).
        files: ``(sha256, basis, key id of the owner or empty)`` of each file.
        statements: those that were needed.
        decided: RFC 3339 UTC.
    """

    basis: str
    files: tuple[tuple[str, str, str], ...]
    statements: tuple[Statement, ...] = ()
    decided: str = field(default_factory=now_utc)

    @property
    def sentence(self) -> str:
        """For the manifests of what is made of the footage; the weakest basis comes first."""
        said = {
            "own-key": "the footage is signed by the key of the person who used it",
            "allowed": "the footage's manifest allows training",
            "declared": _DECLARED,
        }
        used = [basis for basis in reversed(BASES) if any(one[1] == basis for one in self.files)]
        parts = [said[basis] for basis in used if basis in said]
        return "; ".join([*parts, *(one.sentence for one in self.statements)])

    def to_json(self) -> dict[str, Any]:
        """``{basis, statement, decided, files: [...], evidence: [the statements of consent, whole]}``."""
        return {
            "basis": self.basis,
            "statement": self.sentence,
            "decided": self.decided,
            "files": [{"sha256": digest, "basis": basis, "key_id": key} for digest, basis, key in self.files],
            "evidence": [one.body for one in self.statements],
        }


def permission_for(
    paths: Sequence[Path],
    home: Home,
    *,
    statements: Sequence[Statement] = (),
    declared: bool = False,
    passphrase: Callable[[str], str | None] = lambda _: None,
    online: bool = False,
    progress: Callable[[float], None] | None = None,
) -> Permission:
    """The basis on which files may be used, all of them.

    Args:
        statements: what owners signed.
        declared: the person says to have consent; opens only what nobody signed.
        passphrase: for the identity of the given name, where its key is encrypted.
        online: allow fetching manifests that lie at a URL.
        progress: called with the share of files done.

    Raises:
        ConsentError: a file whose owner forbids it, or that nobody signed and nobody declared anything about.
        MissingPathError, MediaError: the only file, or all of them, cannot be read.
    """
    trust = TrustStore.load(home)
    own = OwnKeys(home, passphrase)
    results: list[tuple[str, str, str]] = []
    used: dict[int, Statement] = {}
    with open_lookup(home) as lookup:
        for place, path in enumerate(paths):
            try:
                claims = claims_about(path, home, trust, lookup, online=online)
            except MediaError:
                if len(paths) == 1 or not path.is_file():
                    raise
                results.append((sha256_file(path), UNREADABLE, ""))
                continue
            basis, key_id, needed = _decide(claims, own, statements, trust, declared)
            results.append((claims.sha256, basis, key_id))
            used.update({id(one): one for one in needed})
            if progress:
                progress((place + 1) / len(paths))
    bases = [basis for _, basis, _ in results if basis != UNREADABLE]
    if not bases:
        raise CorruptMediaError(f"none of {len(paths)} files can be read", hint="get fresh copies")
    weakest = max(bases, key=BASES.index)
    return Permission(weakest, tuple(dict.fromkeys(results)), tuple(used.values()))


def carried_permission(carried: dict[str, Any], home: Home) -> str:
    """Check again what ``alignments.json`` or a model says, and return its sentence for the label.

    Signatures of statements are verified anew, and that none has ended or was revoked meanwhile.

    Raises:
        ConsentError: no basis, a statement that has ended or was revoked, or a basis that names a statement and brings
            none.
        TamperedError, CheckError: a statement that was altered.
    """
    basis, evidence = carried.get("basis"), carried.get("evidence", [])
    if basis not in BASES or not isinstance(evidence, list):
        raise ConsentError(
            "these faces say nothing about consent", hint="extract them with `veilmark synth extract`"
        )
    files = carried.get("files", [])
    needs = basis == "statement" or any(
        isinstance(one, dict) and one.get("basis") == "statement" for one in files if isinstance(files, list)
    )
    trust = TrustStore.load(home)
    statements = [parse_statement(json.dumps(one).encode()) for one in evidence]
    for one in statements:
        one.require_current(trust)
    if needs and not statements:
        raise ConsentError(
            "the statement of consent is missing", hint="extract the faces again with --consent FILE"
        )
    return printable(str(carried.get("statement", "")), 4000) or str(basis)


class OwnKeys:
    """The keys of this machine's identities. A key counts as own once it has signed something fresh, so that a
    certificate alone is not enough; so do the keys that it was rotated from.
    """

    def __init__(self, home: Home, passphrase: Callable[[str], str | None] = lambda _: None) -> None:
        self._home, self._passphrase = home, passphrase
        self._names: dict[str, str] = {}
        for name in list_names(home):
            with contextlib.suppress(VeilmarkError):
                for der in self._certificates(name):
                    self._names.setdefault(key_id_of(der), name)
        self._proved: dict[str, bool] = {}

    def __contains__(self, key_id: str) -> bool:
        name = self._names.get(key_id)
        if name is None:
            return False
        if name not in self._proved:
            self._proved[name] = self._prove(name)
        return self._proved[name]

    def _prove(self, name: str) -> bool:
        try:
            identity = load_identity(self._home, name, self._passphrase(name))
            return _holds_key(identity)
        except IdentityError:
            return False

    def _certificates(self, name: str) -> list[bytes]:
        """Of the present leaf, and of retired ones that the same issuer gave the same subject."""
        chain = parse_chain(read_private(identity_folder(self._home, name) / "chain.pem"))
        found = [to_der(chain[0])]
        issuer = chain[1] if len(chain) > 1 else chain[0]
        for old in retired_certificates(self._home, name):
            with contextlib.suppress(ValueError, TypeError, InvalidSignature):
                if old.subject == chain[0].subject:
                    old.verify_directly_issued_by(issuer)
                    found.append(to_der(old))
        return found


def _holds_key(identity: Identity) -> bool:
    challenge = b"veilmark own key\x00" + secrets.token_bytes(32)
    try:
        verify_signature(identity.chain_der[0], identity.algorithm, identity.sign(challenge), challenge)
    except (TamperedError, ReceiptError):
        return False
    return True


def _decide(
    claims: Claims, own: OwnKeys, statements: Sequence[Statement], trust: TrustStore, declared: bool
) -> tuple[str, str, list[Statement]]:
    """Basis, owner's key id and the statements needed for one file."""
    mine = [
        claim
        for claim in claims.found
        if claim.intact and claim.relation not in _NO_OWNER and claim.key_id in own
    ]
    first = min((claim.index for claim in mine if claim.index is not None), default=None)
    needed: list[Statement] = []
    for claim in claims.forbidding:
        later = claim.index is not None and first is not None and claim.index > first
        if (
            claim.key_id in own or later
        ):  # who signs somebody's footage later, in the same log, does not own it
            continue
        needed.append(_statement_for(claims, claim, own, statements, trust))
    if needed:
        return "statement", needed[0].key_id, needed
    if mine:
        return "own-key", mine[0].key_id, []
    allowing = [claim for claim in claims.found if claim.policy == "allowed" and claim.intact]
    if allowing:
        return "allowed", allowing[0].key_id, []
    if declared:
        return "declared", "", []
    raise ConsentError(
        f"{claims.path} is not signed by anybody who allows its use",
        hint="add --i-have-consent if the people it shows agreed; what is made of it will say so",
    )


def _statement_for(
    claims: Claims, claim: Claim, own: OwnKeys, statements: Sequence[Statement], trust: TrustStore
) -> Statement:
    """The statement that answers a forbidding claim, or ConsentError with what is wrong with those at hand."""
    owner = f"{printable(claim.name, 80)!r} (key {claim.key_id[:16] or 'unknown'})"
    problems = []
    about = claim.files | {claims.sha256, claim.manifest_sha256}
    for one in statements:
        if not claim.key_id or one.key_id != claim.key_id:
            problems.append(f"the statement by {one.name!r} (key {one.key_id[:16]}) is by another key")
        elif not one.files & (about - {""}):
            problems.append(f"the statement by {one.name!r} is about other files")
        elif one.to_key and one.to_key not in own:
            problems.append(f"the statement is to the key {one.to_key[:16]}, which is not on this machine")
        else:
            one.require_current(trust)
            return one
    said = "; ".join(problems[:3])
    raise ConsentError(
        f"{claims.path} must not be used for training: {claim.detail}, signed by {owner}, forbids it"
        + (f" ({said})" if said else ""),
        hint="ask its owner for a statement (`veilmark consent FILE -o statement.json`), then add --consent",
    )

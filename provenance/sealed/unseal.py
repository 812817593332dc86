"""Opening a sealed original, and granting it to one more reader."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from provenance.errors import NoCredentialError, StoreError, TamperedError, UsageError
from provenance.identity.identity import Identity
from provenance.manifest.read import read_manifest
from provenance.manifest.report import ManifestState
from provenance.media.files import refuse_existing, replacing
from provenance.media.formats import detect_format
from provenance.sealed.envelope import decrypt, opens
from provenance.sealed.grants import Grant, content_key, make_grant
from provenance.sealed.keys import MAX_RECIPIENTS, EncryptionKey, Keyring
from provenance.sealed.reference import Cloaked, read_cloaked
from provenance.sealed.shelf import GrantShelf
from provenance.trust.store import TrustStore


class SealedSource(Protocol):
    """A store that hands out a sealed object in pieces, verified."""

    def pieces(self, cid: str) -> Iterator[bytes]: ...

    def has(self, cid: str) -> bool: ...


@dataclass(frozen=True)
class FirstOf:
    """The sealed object from here, else from elsewhere, which is asked only then."""

    here: SealedSource
    elsewhere: SealedSource

    def pieces(self, cid: str) -> Iterator[bytes]:
        return (self.here if self.here.has(cid) else self.elsewhere).pieces(cid)

    def has(self, cid: str) -> bool:
        return True  # a daemon fetches what it does not hold; that it cannot is told when it is asked


@dataclass(frozen=True)
class Opened:
    """A restored original.

    Attributes:
        sha256: hex, equal to the one in the cloaked file's manifest.
        signer: claimed name of who signed the original.
        trusted: the certificate chain of that name leads to an anchor that the caller trusts.
        warning: what is odd about the cloaked file though it verifies, or empty.
    """

    output: Path
    sha256: str
    size: int
    signer: str
    trusted: bool
    warning: str = ""

    def to_json(self) -> dict[str, Any]:
        return {"schema": "veilmark.uncloaked/1", **vars(self), "output": str(self.output)}


def open_sealed(
    cloaked: Path,
    output: Path,
    *,
    keys: Keyring,
    source: SealedSource,
    shelf: GrantShelf,
    trust: TrustStore,
    grants: Sequence[Grant] = (),
    force: bool = False,
    progress: Callable[[float], None] = lambda _: None,
) -> Opened:
    """Restore the signed original of a cloaked file, bit for bit.

    Nothing appears under ``output`` unless all of it decrypted, its SHA-256 is the one in the cloaked file's manifest,
    and its own manifest verifies.

    Args:
        keys: the private keys that are available.
        source: where the sealed object lies.
        shelf: where grants are looked for, beside ``grants``.
        grants: such as came in a file; they must be for this sealed original.
        progress: called with the part done, 0 to 1.

    Raises:
        MissingPathError, MediaError: the cloaked file cannot be read.
        TamperedError: the cloaked file, the sealed original or a grant was altered.
        NoCredentialError: no manifest, no sealed original, or no grant for any available key.
        UsageError: a grant is for something else.
        StoreError: the sealed original is not in the store, or damaged there.
        IdentityError: the key cannot be unlocked.
        OutputExistsError, NotWritableError: the output.
    """
    refuse_existing(output, force)
    if output.exists() and output.samefile(cloaked):
        raise UsageError(
            f"{output} is the cloaked file itself, which says where its original is",
            hint="name another output with -o",
        )
    # 1. The cloaked file verifies, and names its sealed original.
    about = read_cloaked(cloaked, trust)
    reference = about.reference

    # 2. A grant for an available key yields the content key.
    fitting = _fitting(cloaked, about, keys, shelf, grants)
    if not source.has(reference.cid):
        raise StoreError(
            f"the sealed original {reference.cid} is not in the store",
            hint="bring it in with `veilmark store import FILE.car`, or add --ipfs; without it nobody can restore it",
        )

    def works(key: bytes) -> bool:
        return opens(key, source.pieces(reference.cid), reference.padded_size)

    key = _unwrapped(cloaked, fitting, keys, works)

    # 3. Decrypt beside the output; all of it must be what the manifest names.
    digest, done = hashlib.sha256(), 0
    with replacing(output, force=force) as temporary:
        with temporary.open("wb") as stream:
            for piece in decrypt(key, source.pieces(reference.cid), reference.padded_size):
                stream.write(piece)
                digest.update(piece)
                done += len(piece)
                progress(min(1.0, done / reference.padded_size))
        if digest.hexdigest() != about.original_sha256:
            raise TamperedError(
                f"what was sealed has the SHA-256 {digest.hexdigest()[:16]}…, but {cloaked} names "
                f"{about.original_sha256[:16]}… as its original",
                hint="whoever cloaked the file sealed something else: do not trust it",
            )

        # 4. The original's own provenance.
        report = read_manifest(temporary, detect_format(temporary).mime, anchors_pem=trust.anchors)
        if report is None or report.state is ManifestState.INVALID:
            raise TamperedError("the original in the seal carries no manifest that verifies")
    trusted = report.state is ManifestState.TRUSTED
    return Opened(output, digest.hexdigest(), done, report.signer_name, trusted, about.warning)


def grant_access(
    cloaked: Path,
    recipients: Sequence[EncryptionKey],
    *,
    granter: Identity,
    keys: Keyring,
    source: SealedSource,
    shelf: GrantShelf,
    trust: TrustStore,
    grants: Sequence[Grant] = (),
) -> list[Grant]:
    """Let further readers open the sealed original of a cloaked file. No manifest changes; nothing can take it back.

    Works without the sealed object; where it is available, the key is tried on it.

    Args:
        granter: signs the grants.
        keys: the available private keys, one of which must be able to open the original.
        source, shelf, trust, grants: as for :func:`open_sealed`. The new grants are kept on ``shelf``.

    Returns:
        one grant for each recipient, in order.

    Raises:
        as :func:`open_sealed`, but for the output.
    """
    readers = list({one.key_id: one for one in recipients}.values())
    if not 0 < len(readers) <= MAX_RECIPIENTS:
        raise UsageError(f"1 to {MAX_RECIPIENTS} keys can be granted at once, not {len(readers)}")
    about = read_cloaked(cloaked, trust)
    reference = about.reference

    def works(key: bytes) -> bool:
        at_hand = source.has(reference.cid)
        return not at_hand or opens(key, source.pieces(reference.cid), reference.padded_size)

    key = _unwrapped(cloaked, _fitting(cloaked, about, keys, shelf, grants), keys, works)
    made = [
        make_grant(reference.cid, key, reader, granter, cloaked_by=about.cloaked_by) for reader in readers
    ]
    for grant in made:
        shelf.put(grant)
    return made


def _fitting(
    cloaked: Path, about: Cloaked, keys: Keyring, shelf: GrantShelf, grants: Sequence[Grant]
) -> list[Grant]:
    """The grants for the available keys: those that were given, else those on the shelf."""
    cid = about.reference.cid
    for grant in grants:
        if grant.sealed != cid:
            raise UsageError(
                f"the grant is for the sealed original {grant.sealed}, but {cloaked} names {cid}",
                hint="give the grant that belongs to this file",
            )
    fitting = [grant for grant in grants if grant.recipient in keys.ids] or shelf.find(cid, keys.ids)
    if fitting:
        ours = [grant for grant in fitting if grant.cloaked_by == about.cloaked_by]
        if not ours:
            raise UsageError(
                f"{cloaked} was signed by the key {about.cloaked_by[:16]}, but the original that it names was sealed "
                f"by {fitting[0].cloaked_by[:16]}: it is not the file that this original belongs to",
                hint="do not trust whoever gave you this file; use the one that the owner cloaked",
            )
        return ours
    others = len({grant.recipient for grant in [*grants, *shelf.known(cid)]})
    raise NoCredentialError(
        f"no grant opens the original of {cloaked} for the key"
        + ("s " if len(keys.ids) > 1 else " ")
        + (", ".join(sorted(one[:16] for one in keys.ids)[:4]) or "(none)")
        + (f"; there are grants for {others} other keys" if others else ""),
        hint="give your key (`veilmark identity show --encryption-key`) to who can open it: "
        "`veilmark grant FILE --to KEY -o FILE.grant`; then add --grant FILE.grant",
    )


def _unwrapped(
    cloaked: Path, fitting: Sequence[Grant], keys: Keyring, works: Callable[[bytes], bool]
) -> bytes:
    key = content_key(fitting, keys.private, works)
    if key is None:
        raise TamperedError(
            f"the key in the grant does not open the sealed original of {cloaked}: one of the two was altered",
            hint="ask for a fresh grant, and for a fresh copy of the sealed original",
        )
    return key

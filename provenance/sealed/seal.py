"""Sealing: the signed original, encrypted under a fresh key, into the store, with a grant for each reader."""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from provenance.errors import MediaTooLargeError, StoreError, TamperedError, UsageError
from provenance.identity.identity import Identity
from provenance.manifest.read import read_manifest
from provenance.manifest.report import ManifestState
from provenance.media.files import sha256_file
from provenance.sealed.envelope import decrypt, encrypt, new_key, padded_size, sealed_size
from provenance.sealed.grants import Grant, make_grant
from provenance.sealed.keys import MAX_RECIPIENTS, EncryptionKey
from provenance.sealed.reference import LABEL, SealedReference
from provenance.sealed.shelf import GrantShelf
from provenance.sign import SignRequest, SignResult, check_source, sign_file
from provenance.store.car import walk
from provenance.store.cid import Cid
from provenance.store.unixfs import MAX_FILE_BYTES

if TYPE_CHECKING:
    from provenance.session import Session


@dataclass(frozen=True)
class Sealed:
    """A sealed original.

    Attributes:
        reference: what names it in the manifest.
        sha256: hex, of the original's bytes.
        grants: one for each reader.
        grant_cids: theirs, in the same order.
    """

    reference: SealedReference
    sha256: str
    grants: tuple[Grant, ...]
    grant_cids: tuple[str, ...]


def require_sealable(original: Path) -> None:
    """Refuse what cannot be sealed, before any long work.

    Raises:
        MissingPathError, MediaError: the file cannot be read, or is too large for the store.
        UsageError: it is not signed.
        TamperedError: it was altered after it was signed.
    """
    media = check_source(original)
    report = read_manifest(original, media.mime, anchors_pem=()) if media.embeddable else None
    if report is None:
        how = (
            f"run `veilmark sign {original}` first, and cloak what it writes"
            if media.embeddable
            else f"{media.name} files cannot hold a manifest: convert it (JPEG, PNG, MP4), and `veilmark sign` that"
        )
        raise UsageError(f"{original} is not signed; --reversible keeps the signed original", hint=how)
    if report.state is ManifestState.INVALID:
        raise TamperedError(
            f"{original} was altered after it was signed: {report.failures[0].explanation}",
            hint="get the signed original back, or sign this one anew: `veilmark sign`",
        )
    size = original.stat().st_size
    if sealed_size(padded_size(size)) > MAX_FILE_BYTES:
        raise MediaTooLargeError(
            f"{original} has {size} bytes; with padding it is over the store's limit of {MAX_FILE_BYTES}"
        )


def seal_original(
    original: Path, *, shelf: GrantShelf, granter: Identity, recipients: Sequence[EncryptionKey]
) -> Sealed:
    """Encrypt a signed original into the store, and grant it to each recipient.

    What was stored is read back and decrypted before this returns; where anything fails, nothing is left in the store.

    Args:
        shelf: the store, and where its grants are found.
        granter: signs the grants, and will sign the cloaked file.
        recipients: who can open it; the owner must be among them.

    Raises:
        as :func:`require_sealable`; UsageError without or with too many recipients; IdentityError for an unusable key;
        NotWritableError where the store cannot be written.
    """
    require_sealable(original)
    readers = list({one.key_id: one for one in recipients}.values())
    if not 0 < len(readers) <= MAX_RECIPIENTS:
        raise UsageError(
            f"a sealed original needs 1 to {MAX_RECIPIENTS} keys that open it, not {len(readers)}"
        )
    key = new_key()
    size = original.stat().st_size
    padded = padded_size(size)
    with original.open("rb") as stream:
        cid = shelf.store.put_pieces(encrypt(key, stream, size))
    kept: list[tuple[Grant, str]] = []
    try:
        digest = hashlib.sha256()
        for piece in decrypt(key, shelf.store.pieces(cid), padded):
            digest.update(piece)
        if digest.hexdigest() != sha256_file(original):
            raise TamperedError(f"{original} changed while it was sealed, or the disk fails")
        for reader in readers:
            grant = make_grant(cid, key, reader, granter, cloaked_by=granter.key_id)
            kept.append((grant, shelf.put(grant)))
    except BaseException:
        _discard(shelf, cid, kept)
        raise
    grants, grant_cids = zip(*kept, strict=True)
    return Sealed(SealedReference(cid, padded), digest.hexdigest(), grants, grant_cids)


def sign_sealed(
    unsigned: Path,
    output: Path,
    request: SignRequest,
    session: Session,
    *,
    original: Path,
    readers: Sequence[EncryptionKey],
    force: bool = False,
) -> SignResult:
    """Sign a file as :func:`provenance.sign.sign_file` does, with its original sealed and named in the manifest.

    The record, too, names the sealed object, as ``extra["sealed"]``. Where signing fails, nothing stays sealed.

    Args:
        original: the signed original; ``request`` names it as the parent.
        readers: who can open it; the owner must be among them.

    Raises:
        as :func:`seal_original` and :func:`provenance.sign.sign_file`.
    """
    shelf = GrantShelf(session.store, session.home.data / "grants")
    sealed = seal_original(original, shelf=shelf, granter=session.identity, recipients=readers)
    try:
        named = sealed.reference.to_json()
        spec = replace(request.spec, extra_assertions=(*request.spec.extra_assertions, (LABEL, named)))
        request = replace(request, spec=spec, extra={**request.extra, "sealed": named})
        return sign_file(unsigned, output, request, session, force=force)
    except BaseException:
        _discard(shelf, sealed.reference.cid, list(zip(sealed.grants, sealed.grant_cids, strict=True)))
        raise


def _discard(shelf: GrantShelf, cid: str, kept: Sequence[tuple[Grant, str]]) -> None:
    """Take a sealed object and its grants out of the store; its key was fresh, so nobody else has these blocks."""
    for grant, grant_cid in kept:
        shelf.remove(grant, grant_cid)
    with contextlib.suppress(StoreError, OSError):
        for block, _ in walk([Cid.parse(cid)], shelf.store.get_block):
            shelf.store.delete_block(block)

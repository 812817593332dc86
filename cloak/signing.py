"""Signing a cloaked file: linked to its original, which is sealed for its readers where that was asked for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from provenance.commands.secrets import passphrase_for
from provenance.errors import UsageError
from provenance.home import Home

if TYPE_CHECKING:
    from provenance.desk import Desk
    from provenance.sealed.keys import EncryptionKey
    from provenance.sign import SignResult

#: Under this name the record, too, says where the sealed original is.
SEALED = "sealed"


def readers_of(
    home: Home, identity: str | None, named: Sequence[str], *, reversible: bool, sign: bool
) -> list[EncryptionKey] | None:
    """Whose keys will open the sealed original: the owner's, and those that were named; None without ``reversible``.

    Raises:
        UsageError: readers without a sealed original, or a sealed original without a manifest to name it.
        IdentityError: a key that is none.
    """
    if not reversible:
        if named:
            raise UsageError("--for names who can restore the original", hint="add --reversible")
        return None
    if not sign:
        raise UsageError(
            "--reversible needs a signed result: its manifest names the sealed original",
            hint="leave out --no-sign",
        )
    from provenance.identity import default_name
    from provenance.sealed.keys import ensure_encryption_key, read_recipients

    owner = identity or default_name(home)
    keys = [ensure_encryption_key(home, owner, lambda: passphrase_for(home, owner))]
    return keys + [key for text in named for key in read_recipients(text)]


def check_readers(source: Path, readers: Sequence[EncryptionKey] | None) -> None:
    """Refuse an original that cannot be sealed, before the search begins."""
    if readers is not None:
        from provenance.sealed.seal import require_sealable

        require_sealable(source)


def sign_cloaked(
    source: Path,
    unsigned: Path,
    target: Path,
    desk: Desk,
    *,
    readers: Sequence[EncryptionKey] | None,
    force: bool,
) -> SignResult:
    """Sign the cloaked file ``unsigned`` into ``target``, naming its original, and record it.

    Args:
        source: the original.
        readers: the original is sealed for them; None: it is not sealed.

    Raises:
        as :func:`provenance.sign.sign_file` and :func:`provenance.sealed.seal.seal_original`.
    """
    from provenance.manifest import ManifestSpec, Parent
    from provenance.sealed.reference import LABEL
    from provenance.sealed.seal import sealing
    from provenance.sign import SignRequest, sign_file

    with sealing(source, desk, readers) as sealed:
        named = {} if sealed is None else {SEALED: sealed.reference.to_json()}
        spec = ManifestSpec(
            relation="cloaked",
            parents=(Parent(source, embed=False),),
            extra_assertions=() if sealed is None else ((LABEL, named[SEALED]),),
        )
        signed = sign_file(unsigned, target, SignRequest(spec, extra=named), desk, force=force)
    return replace(signed, source=source)

"""Put right what a run that was killed left undone beside the files it signed."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from provenance.media.files import is_file, write_bytes
from provenance.media.formats import RECEIPT_SUFFIX, SIDECAR_SUFFIX, with_suffix_added
from provenance.media.media_file import MediaFile
from provenance.sign import keep_receipt

if TYPE_CHECKING:
    from provenance.session import Session


def mend(output: Path, session: Session, *, receipt: bool = True) -> list[Path]:
    """Write again what belongs beside a file that this ledger's owner signed, where an interruption left it out.

    Args:
        output: a signed file.
        receipt: also ``OUTPUT.receipt``; the side-car is written in any case, where the file holds no manifest.

    Returns:
        what was written; empty where nothing is missing, or where the ledger does not know the file.
    """
    receipt_path, sidecar = (
        with_suffix_added(output, RECEIPT_SUFFIX),
        with_suffix_added(output, SIDECAR_SUFFIX),
    )
    if is_file(receipt_path) and (is_file(sidecar) or MediaFile.open_any(output)[0].format.embeddable):
        return []
    file = MediaFile.open_any(output)[0]
    entries = [
        one for one in session.ledger.find_sha256(file.sha256) if one.record.file_sha256 == file.sha256
    ]
    if not entries:
        return []
    written = []
    cid = entries[-1].record.manifest_cid
    if not file.format.embeddable and cid and not is_file(sidecar):
        write_bytes(sidecar, session.store.get(cid), force=False)
        written.append(sidecar)
    if receipt and not is_file(receipt_path):
        keep_receipt(session.ledger.receipt(entries[-1].index), session, receipt_path, force=False)
        written.append(receipt_path)
    return written

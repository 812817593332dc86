"""Signing that may be cut off at any moment and begun again, and leaves one record of it.

A crash between the ledger's acknowledgement and the news of it makes whoever asked sign again: a second record of the
same file. :func:`sign_once` writes down what is to be logged before it is logged, and goes on from there.
"""

from __future__ import annotations

import base64
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

from provenance import strict_json
from provenance.errors import ReceiptError
from provenance.media.files import put_in_place, replacing, sha256_file, write_bytes
from provenance.media.formats import SIDECAR_SUFFIX, with_suffix_added
from provenance.record import Opening, canonical_json
from provenance.session import Session
from provenance.sign import SignRequest, SignResult, Unlogged, finish_signed, prepare_signed, refuse_outputs

_READY, _MANIFEST = "unlogged.json", "manifest.c2pa"


def sign_once(
    source: Path,
    output: Path,
    request: SignRequest,
    session: Session,
    *,
    journal: Path,
    step: Callable[[str], None] = lambda _: None,
) -> SignResult:
    """:func:`provenance.sign.sign_file`, once for each journal: called again, it gives the record that there is.

    Whoever calls removes the journal when the result is safe. Outputs are overwritten.

    Args:
        journal: a folder for this file alone, on the same disk as ``output``; made where it is missing.

    Raises:
        As :func:`~provenance.sign.sign_file`.
    """
    receipt_path = refuse_outputs(output, request, True)
    kept = journal / f"signed{output.suffix}"
    ready = _read(journal, source, output, kept)
    if ready is None:
        shutil.rmtree(journal, ignore_errors=True)
        journal.mkdir(parents=True, mode=0o700)
        with replacing(kept) as signed:
            ready = prepare_signed(source, output, signed, request, session, force=True, step=step)
        _write(journal, ready)
    step("ledger")
    # an opening that is in the log keeps its place: this is where a second call finds the first one's record
    receipt = session.ledger.append([ready.opening], [ready.features])[0]
    step("write")
    if ready.sidecar:
        write_bytes(ready.sidecar, ready.manifest, force=True)
    if kept.exists():
        output.parent.mkdir(parents=True, exist_ok=True)
        put_in_place(kept, output, force=True)
    return finish_signed(ready, receipt, session, receipt_path, force=True, discoverable=request.discoverable)


def _write(journal: Path, ready: Unlogged) -> None:
    """The manifest first: when the last file is there, everything is."""
    write_bytes(journal / _MANIFEST, ready.manifest, mode=0o600)
    said = {
        "opening": ready.opening.to_bytes().decode(),
        "features": base64.b64encode(ready.features).decode(),
        "sidecar": ready.sidecar is not None,
        "warnings": list(ready.warnings),
    }
    write_bytes(journal / _READY, canonical_json(said), mode=0o600)


def _read(journal: Path, source: Path, output: Path, kept: Path) -> Unlogged | None:
    """What an earlier call was about to log; None where it did not come so far, or its signed file is gone."""
    try:
        said: dict[str, Any] = strict_json.loads((journal / _READY).read_bytes())
        manifest = (journal / _MANIFEST).read_bytes()
        opening = Opening.from_bytes(said["opening"].encode())
        features = base64.b64decode(said["features"], validate=True)
        signed = kept if kept.exists() else output
        if sha256_file(signed) != opening.signed.record.file_sha256:
            return None
        beside = with_suffix_added(output, SIDECAR_SUFFIX) if said["sidecar"] else None
        return Unlogged(source, output, beside, manifest, opening, features, list(said["warnings"]))
    except (OSError, ValueError, KeyError, TypeError, AttributeError, ReceiptError):
        return None

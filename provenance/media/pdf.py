"""What has to be known about a PDF before a manifest is put into it."""

from __future__ import annotations

from pathlib import Path

_BLOCK_BYTES = 1024 * 1024
#: Stands in each signature dictionary, always in the clear (ISO 32000-2, 12.8.1, table 255).
_SIGNATURE_MARK = b"/ByteRange"


def has_pdf_signature(path: Path) -> bool:
    """Whether a PDF carries a signature of its own kind (PAdES and its like).

    Putting a manifest into a PDF writes the whole file anew, and such a signature would not verify any more.

    Raises:
        OSError: the file cannot be read.
    """
    tail = b""
    with path.open("rb") as stream:
        while block := stream.read(_BLOCK_BYTES):
            if _SIGNATURE_MARK in tail + block:
                return True
            tail = block[-len(_SIGNATURE_MARK) :]
    return False

"""What the last audit of a log found is remembered beside it, so that nothing is signed on top of damage."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Sequence
from pathlib import Path

from provenance import strict_json
from provenance.errors import LedgerError, NotWritableError
from provenance.media.files import read_limited, write_bytes

_MAX_BYTES = 64 * 1024
_MOST = 20


def findings_path(ledger: Path) -> Path:
    return ledger.with_name(ledger.name + ".audit")


def remember(ledger: Path, problems: Sequence[str]) -> None:
    """Keep what an audit found; a clean one clears it. Where nothing can be written, nothing is kept."""
    path = findings_path(ledger)
    with contextlib.suppress(OSError, NotWritableError):
        if problems:
            text = json.dumps([one[:500] for one in problems[:_MOST]])
            write_bytes(path, text.encode(), mode=0o600)
        else:
            path.unlink(missing_ok=True)


def require_none(ledger: Path) -> None:
    """LedgerError where the last audit found something."""
    path = findings_path(ledger)
    try:
        data = read_limited(path, _MAX_BYTES)
    except FileNotFoundError:
        return
    except OSError as error:
        raise LedgerError(f"{path} cannot be read: {error.strerror or error}") from error
    try:
        found = strict_json.loads(data or b"[]")
        first = str(found[0])
    except (ValueError, LookupError, TypeError):
        found, first = [], "damage"
    more = f" (and {len(found) - 1} more)" if len(found) > 1 else ""
    raise LedgerError(
        f"the last audit of this log found: {first}{more}; nothing is signed on top of it",
        hint="keep a copy, `veilmark ledger restore` from a backup, and audit again: a clean audit lets it sign",
    )

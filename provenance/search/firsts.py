"""The first records in the own ledger: of each key, and of synthetic media.

Only an earlier record by someone else, or of something synthetic, can speak against a file whose own record is at hand.
Where there is none, the file need not be decoded and looked up by its looks.
"""

from __future__ import annotations

import contextlib
import json
from pathlib import Path
from typing import Any

from provenance import strict_json
from provenance.errors import VeilmarkError
from provenance.ledger.embedded.rows import Entry
from provenance.ledger.log import Log
from provenance.media.files import read_limited, write_bytes
from provenance.record import Relation

_MAX_BYTES = 1 << 20
#: More keys than this are not told apart: then every file is looked up by its looks.
_MAX_KEYS = 1000
#: So many new records are read again rather than writing the file.
_WORTH_WRITING = 4


class FirstRecords:
    """What is known of a ledger's first records, kept in a small file that is made anew where it does not fit.

    Args:
        path: the file; where it cannot be written, the ledger is read again each time.
        ledger: entries that are new since the file was written are read first.
    """

    def __init__(self, path: Path, ledger: Log) -> None:
        self._ledger = ledger
        known = _load(path, ledger.log_key, ledger.size)
        self._synthetic: int | None = known["synthetic"]
        self._by_key: dict[str, int] = known["keys"]
        self._next: int = known["next"]
        self._catch_up()
        if self._next >= known["next"] + _WORTH_WRITING:
            kept = {
                "ledger": ledger.log_key,
                "next": self._next,
                "synthetic": self._synthetic,
                "keys": self._by_key,
            }
            with contextlib.suppress(OSError, VeilmarkError):
                write_bytes(path, json.dumps(kept).encode(), force=True)

    def first_synthetic(self) -> int | None:
        """Index of the first record of synthetic media; None where there is none."""
        self._catch_up()
        return self._synthetic

    def _catch_up(self) -> None:
        size = self._ledger.size
        for entry in self._ledger.entries(self._next, size) if self._next < size else ():
            self._note(entry)
        self._next = max(self._next, size)

    def _note(self, entry: Entry) -> None:
        if len(self._by_key) <= _MAX_KEYS:
            self._by_key.setdefault(entry.opening.signed.key_id, entry.index)
        if self._synthetic is None and entry.record.relation is Relation.SYNTHETIC:
            self._synthetic = entry.index

    def may_speak_against(self, entry: Entry) -> bool:
        """Whether an earlier record by another key, or one of synthetic media, may look like this record's file."""
        if len(self._by_key) > _MAX_KEYS:
            return True
        if self._synthetic is not None:
            if self._synthetic < entry.index:
                return True
            same_source = self._ledger.find_sha256(entry.record.source_sha256)
            if any(one.record.relation is Relation.SYNTHETIC for one in same_source):
                return True
        own = entry.opening.signed.key_id
        return any(first < entry.index for key, first in self._by_key.items() if key != own)


def _load(path: Path, log_key: str, size: int) -> dict[str, Any]:
    fresh: dict[str, Any] = {"next": 0, "synthetic": None, "keys": {}}
    try:
        found = strict_json.loads(read_limited(path, _MAX_BYTES) or b"")
    except (OSError, ValueError):
        return fresh
    if (
        not isinstance(found, dict)
        or found.get("ledger") != log_key
        or not isinstance(found.get("keys"), dict)
    ):
        return fresh
    numbers = [found.get("next"), *found["keys"].values()]
    if found.get("synthetic") is not None:
        numbers.append(found.get("synthetic"))
    # a file that knows more than the ledger is of a ledger that was restored since
    sound = all(isinstance(one, int) and 0 <= one <= size for one in numbers)
    return {key: found.get(key) for key in fresh} if sound else fresh

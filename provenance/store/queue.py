"""Uploads that wait for a remote store; one that fails is kept for the next push."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from provenance import strict_json
from provenance.errors import StoreError
from provenance.media.files import write_bytes
from provenance.record import now_utc
from provenance.store.base import ContentStore, InPieces
from provenance.store.cid import Cid

_MAX_NOTE_BYTES = 4096
MAX_CONSECUTIVE_FAILURES = 3


@dataclass(frozen=True)
class Waiting:
    """A blob that waits to be uploaded: since when (RFC 3339 UTC), tries so far, and why the last one failed."""

    cid: str
    since: str
    attempts: int
    error: str


@dataclass(frozen=True)
class PushReport:
    """What a push did: CIDs uploaded, those that failed with the reason, and how many still wait."""

    uploaded: tuple[str, ...]
    failed: tuple[tuple[str, str], ...]
    waiting: int


class UploadQueue:
    """CIDs that wait, one small file each, in ``folder``; a file goes only after the remote has the blob."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def add(self, cid: str, error: str = "") -> None:
        """Queue a CID, or note one more failed try."""
        name = str(Cid.parse(cid))
        old = self._read(self.folder / name)
        since = old.since if old else now_utc()
        attempts = (old.attempts if old else 0) + bool(error)
        note = {"since": since, "attempts": attempts, "error": error[:500]}
        write_bytes(self.folder / name, json.dumps(note).encode(), mode=0o600)

    def remove(self, cid: str) -> None:
        (self.folder / str(Cid.parse(cid))).unlink(missing_ok=True)

    def __iter__(self) -> Iterator[Waiting]:
        if self.folder.is_dir():
            for file in sorted(self.folder.glob("b*")):
                waiting = self._read(file)
                if waiting:
                    yield waiting

    def __len__(self) -> int:
        return sum(1 for _ in self)

    def _read(self, file: Path) -> Waiting | None:
        """The note of one CID; one that was damaged still waits, as if new."""
        try:
            cid = str(Cid.parse(file.name))
            data = file.read_bytes()[:_MAX_NOTE_BYTES]
        except (StoreError, FileNotFoundError):
            return None
        try:
            note = strict_json.loads(data)
            return Waiting(cid, str(note["since"]), int(note["attempts"]), str(note["error"]))
        except (ValueError, KeyError, TypeError):
            return Waiting(cid, now_utc(), 0, "")


def upload(local: ContentStore, queue: UploadQueue, remote: ContentStore, cid: str) -> str | None:
    """Try to upload one queued blob; None when it is there now, else why not."""
    try:
        if isinstance(local, InPieces) and isinstance(remote, InPieces):
            known = remote.put_pieces(local.pieces(cid))
        else:
            known = remote.put(local.get(cid))
        if known != cid:
            raise StoreError("the remote store knows it by another content id")
    except StoreError as error:
        queue.add(cid, str(error))
        return str(error)
    queue.remove(cid)
    return None


def push(
    local: ContentStore,
    queue: UploadQueue,
    remote: ContentStore,
    *,
    progress: Callable[[float], None] | None = None,
) -> PushReport:
    """Upload what waits. Stops after some failures in a row, when the remote is evidently out of order.

    Args:
        local: holds the blobs.
        queue: names those that wait.
        remote: where to.
        progress: called with the part done, 0 to 1.
    """
    waiting = list(queue)
    uploaded: list[str] = []
    failed: list[tuple[str, str]] = []
    in_a_row = 0
    for done, item in enumerate(waiting):
        error = upload(local, queue, remote, item.cid)
        if error is None:
            uploaded.append(item.cid)
            in_a_row = 0
        else:
            failed.append((item.cid, error))
            in_a_row += 1
            if in_a_row >= MAX_CONSECUTIVE_FAILURES:
                break
        if progress:
            progress((done + 1) / len(waiting))
    return PushReport(tuple(uploaded), tuple(failed), len(queue))

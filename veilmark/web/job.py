"""One job: what was asked for, by whom, how far it is, and its folder.

A job's folder holds ``job.json``, ``in/`` (what was uploaded; removed when the job ends), ``work/`` (what it needs to
go on after a crash; removed then, too) and ``out/`` (what can be fetched; removed with the job). It is on disk before
the job is acknowledged.
"""

from __future__ import annotations

import json
import threading
import time
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any

from provenance.errors import LedgerError
from provenance.media.files import write_bytes

_MAX_RESULT_BYTES = 64 * 1024**2


class JobState(StrEnum):
    QUEUED = "queued"
    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"
    CANCELLED = "cancelled"

    @property
    def ended(self) -> bool:
        return self in (JobState.DONE, JobState.FAILED, JobState.CANCELLED)


class CancelledError(Exception):
    """The owner cancelled the job while it ran."""


@dataclass
class Job:
    """A job; its worker writes, everybody else reads.

    Attributes:
        kind: which runner does it.
        owner: whose it is; nobody else is told that it exists.
        options: what was asked for, as JSON.
        progress: share of the work done, in [0, 1].
        words: what it does at the moment.
        note: what its owner should know while it runs.
        error: message and hint of what went wrong.
        exit_code: of the error, as the command line has it.
        version: grows with each change, so that a listener knows what it has seen.
        attempts: how often it was begun; more than once where the service was killed meanwhile.
    """

    id: str
    kind: str
    owner: str
    folder: Path
    options: dict[str, Any] = field(default_factory=dict)
    state: JobState = JobState.QUEUED
    progress: float = 0.0
    words: str = ""
    note: str = ""
    error: str = ""
    hint: str = ""
    exit_code: int = 0
    created: float = field(default_factory=time.time)
    ended: float = 0.0
    attempts: int = 0
    version: int = 0
    cancelling: threading.Event = field(default_factory=threading.Event, repr=False)

    @property
    def inbox(self) -> Path:
        return self.folder / "in"

    @property
    def working(self) -> Path:
        return self.folder / "work"

    @property
    def begun_at(self) -> str:
        """When it was asked for, by this machine's clock, as a person says it."""
        return time.strftime("%Y-%m-%d %H:%M", time.localtime(self.created))

    @property
    def files_address(self) -> str:
        """Under which address its files are fetched, with a slash at the end."""
        return f"/jobs/{self.id}/files/"

    @property
    def outbox(self) -> Path:
        return self.folder / "out"

    def files(self) -> list[Path]:
        """What was uploaded, in that order."""
        return [self.inbox / name for name in self.options.get("files", [])]

    def tell(self, progress: float | None = None, words: str | None = None) -> None:
        """Say how far it is; raises :class:`CancelledError` once the owner cancelled it."""
        if self.cancelling.is_set():
            raise CancelledError
        if progress is not None:
            self.progress = min(max(float(progress), 0.0), 1.0)
        if words is not None:
            self.words = words
        self.version += 1

    def result(self) -> dict[str, Any]:
        """What the runner returned; empty before that."""
        try:
            data: dict[str, Any] = json.loads((self.folder / "result.json").read_bytes())
        except OSError:
            return {}
        return data

    def keep_result(self, result: dict[str, Any]) -> None:
        data = json.dumps(result, ensure_ascii=False, separators=(",", ":")).encode()
        if len(data) > _MAX_RESULT_BYTES:
            raise LedgerError(
                "the result of this job is too large to be kept", hint="give fewer files at once"
            )
        write_bytes(self.folder / "result.json", data, mode=0o600)

    def save(self, state: JobState | None = None) -> None:
        """Write it to the disk; with another state than the one that others see, where one is given."""
        said = {
            name: getattr(self, name)
            for name in (
                "id",
                "kind",
                "owner",
                "options",
                "error",
                "hint",
                "exit_code",
                "created",
                "ended",
                "attempts",
            )
        }
        data = json.dumps({**said, "state": (state or self.state).value}, ensure_ascii=False)
        write_bytes(self.folder / "job.json", data.encode(), mode=0o600)

    @classmethod
    def load(cls, folder: Path) -> Job | None:
        """The job in a folder; None where it was never acknowledged."""
        try:
            said = json.loads((folder / "job.json").read_bytes())
            return cls(**{**said, "state": JobState(said["state"]), "folder": folder})
        except (OSError, ValueError, KeyError, TypeError):
            return None

    def to_json(self) -> dict[str, Any]:
        """What its owner may see of it; no path."""
        return {
            "id": self.id,
            "kind": self.kind,
            "state": self.state.value,
            "progress": round(self.progress, 4),
            "words": self.words,
            "note": self.note,
            "error": self.error,
            "hint": self.hint,
            "exit_code": self.exit_code,
        }

"""Pictures that a job made for its page."""

from __future__ import annotations

from pathlib import Path

from veilmark.web.job import Job


class Gallery:
    """Puts pictures into a job's ``outbox`` under plain names; ``names`` lists them.

    Args:
        address: under which the job's files are fetched.
        prefix: of the names, for one of several galleries in one folder.
    """

    def __init__(self, outbox: Path, address: str, prefix: str = "picture") -> None:
        self._outbox, self._address, self._prefix = outbox, address, prefix
        self.names: list[str] = []

    @classmethod
    def of(cls, job: Job) -> Gallery:
        """The one gallery of a job."""
        return cls(job.outbox, job.files_address)

    def add(self, data: bytes, suffix: str = ".jpg") -> str:
        """Keep a JPEG or PNG that was made here; returns its address."""
        name = f"{self._prefix}-{len(self.names)}{suffix}"
        (self._outbox / name).write_bytes(data)
        self.names.append(name)
        return f"{self._address}{name}"

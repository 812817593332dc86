"""Pictures that a job made for its page."""

from __future__ import annotations

from veilmark.web.job import Job


class Gallery:
    """Puts pictures into a job's ``outbox`` under plain names; ``names`` lists them."""

    def __init__(self, job: Job) -> None:
        self._job = job
        self.names: list[str] = []

    def add(self, data: bytes, suffix: str = ".jpg") -> str:
        """Keep a JPEG or PNG that was made here; returns its address."""
        name = f"picture-{len(self.names)}{suffix}"
        (self._job.outbox / name).write_bytes(data)
        self.names.append(name)
        return f"/jobs/{self._job.id}/files/{name}"

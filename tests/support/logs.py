"""Where a log under test lies: in a file, or on a server. What holds for one must hold for the other."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from provenance.ledger.embedded.log import LocalLedger
from provenance.ledger.log import Log

ORIGIN = "example.org/log"


class Place(Protocol):
    """A place for one log."""

    def create(self) -> Log: ...

    def open(self) -> Log: ...

    def __str__(self) -> str:
        """What :func:`place_of` understands."""
        ...


@dataclass(frozen=True)
class InFile:
    path: Path

    def create(self) -> LocalLedger:
        return LocalLedger.create(self.path, origin=ORIGIN)

    def open(self) -> LocalLedger:
        return LocalLedger.open(self.path)

    def __str__(self) -> str:
        return str(self.path)


@dataclass(frozen=True)
class OnServer:
    address: str
    path: Path

    @property
    def guard(self) -> Path:
        return self.path.with_name(self.path.name + ".guard")

    def create(self) -> Log:
        from provenance.ledger.postgres.log import PostgresLedger

        return PostgresLedger.create(self.address, self.path, origin=ORIGIN, guard=self.guard)

    def open(self) -> Log:
        from provenance.ledger.postgres.log import PostgresLedger

        return PostgresLedger.open(self.address, self.path, guard=self.guard)

    def __str__(self) -> str:
        return f"{self.address} {self.path}"


def place_of(text: str) -> Place:
    """The place that a string names, in another process perhaps."""
    address, _, path = text.rpartition(" ")
    return OnServer(address, Path(path)) if address else InFile(Path(path))

"""Where veilmark keeps its state on this machine."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

import platformdirs

from provenance.errors import NotInitializedError


@dataclass(frozen=True)
class Home:
    """The data and config folders; nothing is created until something is written.

    Layout::

        data/identities/NAME/   keys and certificates
        data/requests/NAME/     keys that wait for a certificate
        data/ledger.sqlite3     the embedded log, its records and look-up tables
        config/database         address of the PostgreSQL database that holds the log instead
        data/store/             content-addressed manifests, receipts, sealed originals and grants
        data/grants/            which grants belong to which sealed original
        config/trust/           what this machine's owner trusts
    """

    data: Path
    config: Path

    @classmethod
    def locate(cls) -> Home:
        """``VEILMARK_HOME`` where set, else the XDG (or platform) folders."""
        override = os.environ.get("VEILMARK_HOME")
        if override:
            return cls.at(Path(override))
        return cls(
            data=Path(platformdirs.user_data_dir("veilmark")),
            config=Path(platformdirs.user_config_dir("veilmark")),
        )

    @classmethod
    def at(cls, folder: Path) -> Home:
        """Everything in one folder, as ``VEILMARK_HOME`` names one."""
        root = folder.expanduser().absolute()
        return cls(data=root, config=root / "config")

    @property
    def identities(self) -> Path:
        return self.data / "identities"

    @property
    def ledger(self) -> Path:
        return self.data / "ledger.sqlite3"

    @property
    def database(self) -> Path:
        """The file that holds the address of the log's PostgreSQL database; absent where the log is embedded."""
        return self.config / "database"

    @property
    def guard(self) -> Path:
        """What the log remembers of itself outside its database."""
        return self.config / "ledger.guard"

    def has_ledger(self) -> bool:
        return self.database.exists() or self.ledger.exists()

    @property
    def store(self) -> Path:
        return self.data / "store"

    @property
    def trust(self) -> Path:
        return self.config / "trust"

    def is_initialized(self) -> bool:
        return self.has_ledger() and self.identities.is_dir()

    def require_initialized(self) -> None:
        if not self.is_initialized():
            raise NotInitializedError(f"no identity and ledger in {self.data}")

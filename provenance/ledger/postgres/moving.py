"""A PostgreSQL database that becomes the log's; see :mod:`provenance.ledger.migrate`."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from provenance.ledger.postgres import schema
from provenance.ledger.postgres.tables import PostgresTables
from provenance.postgres import WRITE, connect, shown, transaction, translated


class ServerTarget:
    """The database at ``address``; its tables are made where there are none."""

    def __init__(self, address: str) -> None:
        self.where = shown(address)
        self._connection = connect(address)
        try:
            with translated(self.where):
                schema.version(self._connection)
                schema.install(self._connection)
        except BaseException:
            self._connection.close()
            raise

    def close(self) -> None:
        self._connection.close()

    @contextlib.contextmanager
    def transaction(self) -> Iterator[PostgresTables]:
        """A write transaction that keeps other writers away."""
        with translated(self.where), transaction(self._connection, WRITE):
            self._connection.execute("SET LOCAL lock_timeout TO '60s'")
            values = (schema.LOCK_CLASS, schema.WRITER_LOCK)
            self._connection.execute("SELECT pg_advisory_xact_lock(%s, %s)", values)
            yield PostgresTables(self._connection, self.where)

    def origin(self) -> tuple[str, str] | None:
        """Name and key of the log it holds or began to hold."""
        with self.transaction() as tables:
            name, key = tables.meta("origin"), tables.meta("vkey")
        return None if name is None or key is None else (name, key)

    def claim(self, origin: str, key: str) -> None:
        """Begin to hold a log."""
        with self.transaction() as tables:
            tables.set_meta("origin", origin)
            tables.set_meta("vkey", key)

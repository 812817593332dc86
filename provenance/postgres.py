"""Connections to PostgreSQL, and plain words for what can go wrong with one."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import psycopg
from psycopg import conninfo

from provenance.errors import LedgerError, UsageError

Connection = psycopg.Connection[tuple[Any, ...]]
#: The schema, inside the database, that holds everything.
SCHEMA = "veilmark"
SCHEMES = ("postgresql://", "postgres://")
_CONNECT_SECONDS = 10
_SILENCE_MS = 30_000


def is_address(text: str) -> bool:
    """Whether a text is meant as the address of a PostgreSQL database."""
    return text.startswith(SCHEMES)


def checked_address(text: str) -> str:
    """The address, as libpq understands it.

    Raises:
        UsageError: it is none.
    """
    try:
        if not is_address(text):
            raise UsageError("it does not begin with postgresql://")
        conninfo.conninfo_to_dict(text)
    except (psycopg.ProgrammingError, UsageError) as error:
        raise UsageError(
            f"not the address of a PostgreSQL database: {str(error).strip()[:200]}",
            hint="postgresql://USER@HOST:5432/DATABASE; a password is better kept in ~/.pgpass or PGPASSWORD",
        ) from error
    return text


def shown(address: str) -> str:
    """The address without its password and options."""
    parts = conninfo.conninfo_to_dict(checked_address(address))
    user = f"{parts['user']}@" if parts.get("user") else ""
    port = f":{parts['port']}" if parts.get("port") else ""
    return f"postgresql://{user}{parts.get('host') or ''}{port}/{parts.get('dbname') or ''}"


def connect(address: str) -> Connection:
    """Open a connection in autocommit mode; transactions are begun by name.

    Raises:
        LedgerError: the server is out of reach, refuses, or has no such database.
    """
    defaults: dict[str, Any] = {
        "connect_timeout": _CONNECT_SECONDS,
        "application_name": "veilmark",
        "tcp_user_timeout": _SILENCE_MS,
    }
    given = conninfo.conninfo_to_dict(checked_address(address))
    options = {name: value for name, value in defaults.items() if name not in given}
    with translated(shown(address)):
        connection = psycopg.connect(address, autocommit=True, **options)
        connection.execute(f"SET search_path TO {SCHEMA}")
        # a plan that was made while a table was small reads it whole, and may be kept until it is large
        connection.execute("SET enable_seqscan TO off")
    return connection


@contextlib.contextmanager
def transaction(connection: Connection, kind: str) -> Iterator[None]:
    """A transaction: ``kind`` follows BEGIN. Left without an error it is committed, and durable."""
    connection.execute(f"BEGIN {kind}".encode())
    try:
        yield
    except BaseException:
        with contextlib.suppress(psycopg.Error):
            connection.execute("ROLLBACK")
        raise
    connection.execute("COMMIT")


READ = "ISOLATION LEVEL REPEATABLE READ READ ONLY"
WRITE = "ISOLATION LEVEL READ COMMITTED READ WRITE"


@contextlib.contextmanager
def translated(where: str) -> Iterator[None]:
    """Turn the server's errors into a :class:`LedgerError` that says what to do.

    Args:
        where: the database in words.
    """
    try:
        yield
    except psycopg.Error as error:
        text = " ".join(str(error).split())[:300] or type(error).__name__
        raise LedgerError(f"database {where}: {text}", hint=_hint_for(error)) from error


def _hint_for(error: psycopg.Error) -> str:
    state, text = error.sqlstate or "", str(error)
    if state == "53100" or "No space left" in text or "File too large" in text:
        return "free some disk space on the server; nothing that was acknowledged is lost"
    if state == "55P03":
        return "another program kept the log locked; try again when it is done"
    if state == "25006":
        return "this server is a standby and takes no entries; name the primary server"
    if state.startswith("28") or "password" in text:
        return "check user and password (PGPASSWORD, ~/.pgpass) and the server's pg_hba.conf"
    if state == "3D000" or "does not exist" in text:
        return "create the database, or name another one"
    if state == "42501":
        return "this database user lacks the rights; let the user who made the log grant them"
    if isinstance(error, psycopg.OperationalError):
        return (
            "check that the server runs and can be reached, then try again: nothing that was acknowledged is lost, "
            "and the same record is logged once"
        )
    return "run `veilmark ledger audit`"

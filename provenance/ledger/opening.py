"""This machine's log, wherever it lies."""

from __future__ import annotations

from provenance.errors import LedgerError
from provenance.home import Home
from provenance.ledger.embedded.log import LocalLedger
from provenance.ledger.log import Log
from provenance.media.files import read_limited, write_bytes

_MAX_ADDRESS_BYTES = 4096


def open_ledger(home: Home) -> Log:
    """Open the log of a home: the database that ``config/database`` names, else the file ``ledger.sqlite3``.

    Raises:
        MissingPathError: there is none.
        MissingExtraError: it lies on a PostgreSQL server, and psycopg is not installed.
        LedgerError: it cannot be opened.
    """
    address = database_address(home)
    if address is None:
        return LocalLedger.open(home.ledger)
    from provenance.ledger.postgres.log import PostgresLedger

    return PostgresLedger.open(address, home.ledger, guard=home.guard)


def database_address(home: Home) -> str | None:
    """The PostgreSQL address that this home's log lies at; None where it is embedded."""
    try:
        data = read_limited(home.database, _MAX_ADDRESS_BYTES)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise LedgerError(f"{home.database} cannot be read: {error.strerror or error}") from error
    text = (data or b"").decode("utf-8", "replace").strip()
    if not text:
        raise LedgerError(
            f"{home.database} names no database", hint="write the address of the PostgreSQL database into it"
        )
    return text


def keep_address(home: Home, address: str | None) -> None:
    """Let the home's log lie at a PostgreSQL address from now on (it may hold a password: mode 0600), or here."""
    if address is None:
        home.database.unlink(missing_ok=True)
    else:
        write_bytes(home.database, address.encode() + b"\n", mode=0o600)

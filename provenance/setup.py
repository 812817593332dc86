"""``veilmark init``: what makes a machine ready to sign. Idempotent."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from provenance.errors import IdentityError, UsageError
from provenance.home import Home
from provenance.identity import certificates
from provenance.identity.identity import Kind, create_identity, list_names, load_identity
from provenance.ledger.embedded.log import LocalLedger
from provenance.ledger.opening import database_address, keep_address, open_ledger
from provenance.sealed.keys import ensure_encryption_key
from provenance.trust.store import TrustStore


@dataclass(frozen=True)
class Setup:
    """What stands ready after :func:`initialize`."""

    claimed_name: str
    key_id: str
    algorithm: str
    log_origin: str
    log_key: str
    log_size: int
    data: str
    database: str | None = None

    def to_json(self) -> dict[str, Any]:
        return {"schema": "veilmark.setup/1", **vars(self)}


def initialize(
    home: Home, *, subject: str | None, algorithm: str, passphrase: str | None, database: str | None = None
) -> Setup:
    """Make what is missing of identity, encryption key and ledger, and trust identity and ledger on this machine.

    Args:
        subject: claimed name for a new identity; None accepts whatever identity exists.
        database: address of a PostgreSQL database that holds the log, or is to hold it; None for a log of this machine.

    Raises:
        UsageError: the log lies elsewhere already.
        IdentityError: an identity with another name or algorithm exists, or it cannot be unlocked.
        LedgerError: the ledger that exists cannot be opened.
        NotWritableError: the data folder cannot be written.
    """
    if database is not None:
        _require_free(home, database)
    if list_names(home) and subject is None:
        identity = load_identity(home, None, passphrase)
    elif subject is None:
        raise IdentityError("a new identity needs a name", hint="add --name")
    else:
        identity = create_identity(home, subject=subject, passphrase=passphrase, algorithm=algorithm)
    if identity.kind in (Kind.SELF_MADE, Kind.IMPORTED):
        # a token's PIN is no passphrase for a key on disk: such an identity gets its encryption key on first use
        ensure_encryption_key(home, identity.name, lambda: passphrase)
    if not home.has_ledger():
        # the guard lies with the settings: a copy of the data folder that is put back must not bring an old guard
        home.config.mkdir(parents=True, exist_ok=True)
        origin = f"veilmark.local/{identity.key_id[:16]}"
        if database is None:
            LocalLedger.create(home.ledger, origin=origin, guard=home.guard).close()
        else:
            _use_server(home, database, origin)
    with open_ledger(home) as ledger:
        trust = TrustStore.load(home)
        trust.add_anchor(certificates.to_pem([identity.root]))
        trust.add_log_key(ledger.log_key)
        return Setup(
            claimed_name=identity.claimed_name,
            key_id=identity.key_id,
            algorithm=identity.algorithm,
            log_origin=ledger.origin,
            log_key=ledger.log_key,
            log_size=ledger.size,
            data=str(home.data),
            database=ledger.where if home.database.exists() else None,
        )


def _require_free(home: Home, database: str) -> None:
    """UsageError where the home's log lies elsewhere than in ``database``."""
    from provenance.postgres import checked_address

    checked_address(database)
    present = database_address(home)
    if present is None and home.ledger.exists():
        raise UsageError(
            f"there is a log in {home.ledger} already",
            hint="move it with `veilmark ledger migrate --to postgresql://...`",
        )
    if present is not None and present != database:
        raise UsageError(
            "the log lies in another PostgreSQL database already", hint=f"its address is in {home.database}"
        )


def _use_server(home: Home, database: str, origin: str) -> None:
    """Make a log in the database, or use the one that it holds."""
    from provenance.ledger.postgres.log import PostgresLedger

    if not PostgresLedger.exists(database):
        PostgresLedger.create(database, home.ledger, origin=origin, guard=home.guard).close()
    keep_address(home, database)

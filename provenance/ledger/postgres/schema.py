"""The log's tables on a PostgreSQL server, and their versions."""

from __future__ import annotations

from provenance.errors import LedgerError
from provenance.postgres import SCHEMA, WRITE, Connection, transaction

#: Names the log's locks among others in the database: "Veil" in ASCII, then which lock.
LOCK_CLASS = 0x5665696C
WRITER_LOCK, SCHEMA_LOCK, FOUND_LOCK = 1, 2, 3
_HINT = "name another database; `veilmark init --database` or `veilmark ledger migrate` makes the tables"

_V1 = (
    # origin, vkey, checkpoint (the last signed note), features (see embedded/described.py), moved, schema
    "CREATE TABLE meta (key text PRIMARY KEY, value text NOT NULL)",
    # what all records of one signer have in common: algorithm and certificates
    "CREATE TABLE signers (id integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY, head bytea NOT NULL)",
    "CREATE UNIQUE INDEX signers_by_head ON signers (sha256(head))",
    # openings: salt (32 bytes), then the signed record's canonical bytes without signers.head
    """CREATE TABLE entries (
        id bigint PRIMARY KEY, logged_at bigint NOT NULL, signer integer NOT NULL, opening bytea NOT NULL)""",
    # private descriptors for similarity search, compressed already; never published
    "CREATE TABLE features (entry bigint PRIMARY KEY, data bytea NOT NULL)",
    "ALTER TABLE features ALTER COLUMN data SET STORAGE EXTERNAL",
    # Merkle tree, see embedded/nodes.py; the last rows of each level are written again and again
    "CREATE TABLE nodes (id bigint PRIMARY KEY, hashes bytea NOT NULL)",
    # look-up by SHA-256, all in the key: 28 bits of the hash, then the entry's index
    "CREATE TABLE lookup (key bigint PRIMARY KEY)",
    # checkpoints that others may have seen
    """CREATE TABLE checkpoints (
        size bigint NOT NULL, kind text NOT NULL, place text NOT NULL, note text NOT NULL, at bigint NOT NULL,
        PRIMARY KEY (size, kind, place))""",
    "INSERT INTO meta(key, value) VALUES ('features', '0 0')",
    # what entries are found by, made from the records; see search/postgres_store.py
    "CREATE TABLE prints (entry bigint PRIMARY KEY, kind text NOT NULL, pixels bytea)",
    "CREATE INDEX prints_by_pixels ON prints (pixels) WHERE pixels IS NOT NULL",
    f"""CREATE TABLE codes (
        seq bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, entry bigint NOT NULL, time_ms integer NOT NULL,
        code bit(256) NOT NULL, {", ".join(f"b{band} smallint NOT NULL" for band in range(16))})""",
    *(f"CREATE INDEX codes_by_b{band} ON codes (b{band})" for band in range(16)),
)

#: ``MIGRATIONS[n]`` brings the tables from version n to n + 1.
MIGRATIONS: tuple[tuple[str, ...], ...] = (_V1,)
VERSION = len(MIGRATIONS)


def version(connection: Connection) -> int | None:
    """The tables' version; None where this database holds no log.

    Raises:
        LedgerError: the database has a schema of our name, but no log in it.
    """
    found = connection.execute("SELECT to_regnamespace(%s), to_regclass(%s)", (SCHEMA, f"{SCHEMA}.meta"))
    schema, meta = found.fetchone() or (None, None)
    if schema is None:
        return None
    row = connection.execute("SELECT value FROM meta WHERE key = 'schema'").fetchone() if meta else None
    if row is None or not str(row[0]).isdecimal():
        raise LedgerError(f"the database has a schema {SCHEMA}, but it is no veilmark ledger", hint=_HINT)
    return int(row[0])


def require(connection: Connection) -> int:
    """The version of the tables there are, brought up to this program's.

    Raises:
        LedgerError: there are none, or they are newer than this program.
    """
    found = version(connection)
    if found is None:
        raise LedgerError("there is no veilmark ledger in this database", hint=_HINT)
    return install(connection) if found != VERSION else found


def install(connection: Connection) -> int:
    """Make the tables, or bring older ones up to date; returns their version. Two at once take turns."""
    with transaction(connection, WRITE):
        connection.execute("SELECT pg_advisory_xact_lock(%s, %s)", (LOCK_CLASS, SCHEMA_LOCK))
        found = version(connection)
        if found is None:
            connection.execute(f"CREATE SCHEMA {SCHEMA}")
            found = 0
        for number, step in enumerate(MIGRATIONS[found:], start=found + 1):
            for statement in step:
                connection.execute(statement.encode())
            connection.execute(
                "INSERT INTO meta(key, value) VALUES ('schema', %s) "
                "ON CONFLICT (key) DO UPDATE SET value = excluded.value",
                (str(number),),
            )
        if found > VERSION:
            raise LedgerError(
                f"the ledger has schema version {found}, this veilmark knows up to {VERSION}",
                hint="upgrade veilmark",
            )
    return VERSION

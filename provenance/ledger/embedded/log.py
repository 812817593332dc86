"""The embedded log: a transparency log in one SQLite file, without server, chain or network."""

from __future__ import annotations

import contextlib
import sqlite3
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import TracebackType

from provenance.errors import ForkError, LedgerError, TamperedError, UsageError
from provenance.ledger import checkpoints, merkle
from provenance.ledger.checkpoints import Kept
from provenance.ledger.embedded import findings, lookup, schema
from provenance.ledger.embedded.fork import contradiction, find_fork
from provenance.ledger.embedded.guard import Guard, default_guard, relative
from provenance.ledger.embedded.nodes import NodeStore
from provenance.ledger.embedded.rows import Entry, prepare, select_commitments, select_entries
from provenance.ledger.embedded.writer import Writer, current
from provenance.ledger.keys import key_path, load_key, save_key
from provenance.ledger.note import Checkpoint, Note, Signature, SigningKey, VerifierKey
from provenance.ledger.receipt import Receipt
from provenance.record import Opening

__all__ = ["Entry", "LocalLedger"]

_ENTRIES_PER_READ = 256


class LocalLedger:
    """A log in one file; use :meth:`create` or :meth:`open`, and as a context manager.

    Safe to use from several threads, and from several processes at once. Beside the database lie the signing
    key (``.key``), the guard (``.guard``: what was last signed, against restored old copies) and a lock file.
    """

    def __init__(self, path: Path, *, passphrase: str | None = None) -> None:
        self.path = path
        self._passphrase = passphrase
        self._local = threading.local()
        self._readers: list[sqlite3.Connection] = []
        self._readers_lock = threading.Lock()
        self._key: SigningKey | None = None
        self.fork: ForkError | None = None
        try:
            meta = self._meta()
            self.origin, self.log_key = meta["origin"], meta["vkey"]
            self._guard = Guard(path.parent / meta["guard"])
            self._writer = Writer(path, self._guard, self._signing_key)
            remembered = self._guard.read()  # before the database, which may only be ahead of it
            self.fork = find_fork(self, remembered)
        except BaseException:
            self.close()
            raise

    @classmethod
    def create(
        cls, path: Path, *, origin: str, passphrase: str | None = None, guard: Path | None = None
    ) -> LocalLedger:
        """Make an empty log with a fresh key.

        Args:
            path: the database file to make.
            origin: the log's unique name, such as ``example.org/log``; no spaces, no plus sign.
            passphrase: encrypts the key file.
            guard: where to remember the last signed checkpoint, best outside of what gets backed up with the
                database; default beside it.

        Raises:
            LedgerError: the file exists or cannot be made.
            UsageError: the origin cannot name a log.
        """
        key = SigningKey.generate(origin)
        connection = schema.connect(path, create=True)
        try:
            save_key(key_path(path), key, passphrase)
            note = Checkpoint(origin, 0, merkle.EMPTY_ROOT).sign(key)
            meta = {
                "origin": origin,
                "vkey": str(key.verifier),
                "checkpoint": str(note),
                "guard": relative(guard or default_guard(path), path),
            }
            with schema.translated(path), schema.transaction(connection):
                connection.executemany("INSERT INTO meta(key, value) VALUES (?, ?)", meta.items())
        except BaseException:
            connection.close()
            for suffix in ("", "-wal", "-shm"):
                path.with_name(path.name + suffix).unlink(missing_ok=True)
            raise
        connection.close()
        return cls(path, passphrase=passphrase)

    @classmethod
    def open(cls, path: Path, *, passphrase: str | None = None) -> LocalLedger:
        """Open a log; O(log n), nothing is rebuilt.

        A database that is older than what its log signed (a restored copy) opens for reading, but
        :attr:`fork` says so and :meth:`append` refuses.

        Raises:
            MissingPathError: there is no such file.
            LedgerError: not a ledger, damaged, locked, or made by a newer version.
        """
        return cls(path, passphrase=passphrase)

    def __enter__(self) -> LocalLedger:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        with self._readers_lock:
            for connection in self._readers:
                connection.close()
            self._readers.clear()
            self._local = threading.local()
        if hasattr(self, "_writer"):
            self._writer.close()

    # ------------------------------------------------------------------ writing

    def append(
        self, openings: Sequence[Opening], features: Sequence[bytes | None] | None = None
    ) -> list[Receipt]:
        """Log signed records; returns their receipts when they are durably on disk.

        An opening that is already in the log keeps its place: it gets a receipt, but no second leaf.

        Args:
            openings: salts and signed records.
            features: private descriptors, one (or None) for each opening.

        Raises:
            ForkError: the database is older than what this log already signed.
            IdentityError: the log's key is missing, exposed or its passphrase wrong.
            LedgerError: the database cannot be written.
        """
        indexes, note = self.extend(openings, features)
        return self._receipts(indexes, note, list(openings))

    def extend(
        self, openings: Sequence[Opening], features: Sequence[bytes | None] | None = None
    ) -> tuple[list[int], Note]:
        """Like :meth:`append`, but returns just the indexes and the checkpoint: for large imports."""
        blobs = list(features) if features is not None else [None] * len(openings)
        if len(blobs) != len(openings):
            raise UsageError(f"{len(blobs)} features for {len(openings)} openings")
        self.require_no_fork()
        if not openings:
            return [], self.note()
        return self._writer.append(list(zip(openings, blobs, strict=True)))

    def adopt(self, openings: Sequence[Opening], features: Sequence[bytes | None]) -> int:
        """Give back to a restored database the entries it lost; see :func:`provenance.ledger.embedded.backup.catch_up`.

        Raises:
            ForkError: they do not lead to the state that this log last signed.
        """
        remembered = self._guard.read()
        if remembered is None:
            raise LedgerError(f"there is no guard file {self._guard.path}", hint="nothing says what was lost")
        items = [prepare(opening, blob) for opening, blob in zip(openings, features, strict=True)]
        added = self._writer.adopt(items, remembered)
        self.fork = find_fork(self, self._guard.read())
        return added

    def require_no_fork(self) -> None:
        """ForkError where this database is not the one that signed last; LedgerError where an audit found damage."""
        if self.fork is not None:
            raise self.fork
        findings.require_none(self.path)

    # ------------------------------------------------------------------ reading

    @property
    def size(self) -> int:
        return self.checkpoint().size

    @property
    def verifier(self) -> VerifierKey:
        return VerifierKey.parse(self.log_key)

    def note(self) -> Note:
        """The last signed checkpoint, as a note."""
        with self.reading() as connection:
            return current(connection)[0]

    def checkpoint(self) -> Checkpoint:
        """The last signed checkpoint: origin, size, root."""
        with self.reading() as connection:
            return current(connection)[1]

    def receipt(self, index: int, *, note: Note | None = None) -> Receipt:
        """A receipt for one entry against ``note``: the last checkpoint, or an earlier one of this log.

        Raises:
            LedgerError: there is no such entry.
            ReceiptError: the checkpoint does not cover the entry.
        """
        entry = self.entry(index)
        receipt = self._receipts([index], note or self.note(), [entry.opening])[0]
        receipt.verify_inclusion()
        return receipt

    def kept_checkpoints(self, kind: str | None = None, *, covering: int = 0) -> list[Kept]:
        """Checkpoints that were published, anchored or cosigned, largest first.

        Args:
            kind: ``published``, ``anchored`` or ``witnessed``; default all.
            covering: only those with more leaves than this.
        """
        with self.reading() as connection:
            return checkpoints.select(connection, kind=kind, covering=covering)

    def keep_checkpoint(self, note: Note, kind: str, place: str) -> None:
        """Remember that others may have seen this checkpoint of this log, here and in the guard file.

        Args:
            note: the checkpoint, signed by this log.
            kind: ``published``, ``anchored`` or ``witnessed``.
            place: where: a folder, a contract, a witness's name.

        Raises:
            ForkError: it is not a checkpoint of this history.
        """
        self.require_consistent(note, place)
        with self._writer.exclusive() as connection:
            checkpoints.keep(connection, note, kind, place)
            last, _ = current(connection)
            if last.text == note.text:
                last = last.with_signatures(note.signatures[1:])
                connection.execute("UPDATE meta SET value = ? WHERE key = 'checkpoint'", (str(last),))
        self._guard.write(last, durable=True)

    def require_consistent(self, note: Note, place: str) -> None:
        """Check that ``note``, met at ``place``, is this log's own checkpoint, now or at an earlier size.

        Raises:
            ForkError: it is of another history.
            TamperedError: this log's signature on it is wrong.
        """
        note.verify([self.verifier])
        error = contradiction(self, Checkpoint.parse(note.text), place)
        if error is not None:
            raise error

    def add_cosignatures(self, signatures: Sequence[Signature], witnesses: Sequence[VerifierKey]) -> Note:
        """Add witnesses' cosignatures to the checkpoint they are for; receipts made from then on carry them.

        Args:
            signatures: what witnesses returned; those by unknown keys are ignored.
            witnesses: the keys of witnesses this log knows.

        Returns:
            the checkpoint with the good cosignatures.

        Raises:
            TamperedError: a known witness's signature fits neither the last nor a kept checkpoint.
        """
        candidates = [self.note(), *(kept.note for kept in self.kept_checkpoints())]
        names = {(key.name, key.key_id) for key in witnesses}
        known = [signature for signature in signatures if (signature.name, signature.key_id) in names]
        failure: TamperedError | None = None
        for note in candidates:
            try:
                signed = Note(note.text, tuple(known)).verify(witnesses)
            except TamperedError as error:
                failure = error
                continue
            if not signed:
                return note
            cosigned = note.with_signatures(known)
            for key in signed:
                self.keep_checkpoint(cosigned, "witnessed", key.name)
            return cosigned
        raise failure or TamperedError("no checkpoint to cosign")

    def entry(self, index: int) -> Entry:
        """One entry.

        Raises:
            LedgerError: there is no such entry, or it is damaged.
        """
        found = next(self.entries(index, index + 1), None) if index >= 0 else None
        if found is None:
            raise LedgerError(
                f"the log has no entry {index}; its size is {self.size}", hint="count from zero"
            )
        return found

    def entries(self, start: int = 0, stop: int | None = None) -> Iterator[Entry]:
        """Entries ``[start, stop)`` in log order; with no ``stop``, also those logged meanwhile."""
        while True:
            with self.reading() as connection:
                size = current(connection)[1].size
                end = min(size if stop is None else stop, size, start + _ENTRIES_PER_READ)
                page = list(select_entries(connection, start, end))
            yield from page
            if not page:
                return
            start = end

    def find_sha256(self, sha256_hex: str, *, limit: int = 1000) -> list[Entry]:
        """Entries whose record names this hash as its file, its source or its manifest, in log order.

        Args:
            sha256_hex: 64 hex digits.
            limit: look at no more than so many candidates, the earliest.
        """
        wanted = sha256_hex.lower()
        if len(wanted) != 64 or any(digit not in "0123456789abcdef" for digit in wanted):
            raise UsageError(f"{sha256_hex[:80]!r} is not a SHA-256 in hex", hint="give 64 hex digits")
        with self.reading() as connection:
            found = lookup.candidates(
                connection, [lookup.base_key(wanted)], current(connection)[1].size, limit
            )
            entries = [entry for index in found for entry in select_entries(connection, index, index + 1)]
        return [entry for entry in entries if wanted in _hashes(entry)]

    def consistency_proof(self, old_size: int, size: int | None = None) -> list[bytes]:
        """Proof that the tree of ``old_size`` is a prefix of that of ``size`` (default: the present one)."""
        with self.reading() as connection:
            return NodeStore(connection).consistency_proof(old_size, size or current(connection)[1].size)

    def root_at(self, size: int) -> bytes:
        """Root of the tree over the first ``size`` entries."""
        with self.reading() as connection:
            return NodeStore(connection).root(size)

    def tile(self, level: int, index: int, width: int) -> list[bytes]:
        """Hashes of a published tile: level ``8 * level`` of the tree, places from ``256 * index`` on."""
        places = [(8 * level, 256 * index + offset) for offset in range(width)]
        with self.reading() as connection:
            return NodeStore(connection).nodes(places)

    def commitments(self, start: int, stop: int) -> list[bytes]:
        """Leaf data (32 bytes each) of entries ``[start, stop)``."""
        with self.reading() as connection:
            return select_commitments(connection, start, stop)

    # ------------------------------------------------------------------ inside

    def _receipts(self, indexes: Sequence[int], note: Note, openings: Sequence[Opening]) -> list[Receipt]:
        size = Checkpoint.parse(note.text).size
        with self.reading() as connection:
            proofs = NodeStore(connection).inclusion_proofs(indexes, size)
        return [
            Receipt(index, tuple(proof), note, opening)
            for index, proof, opening in zip(indexes, proofs, openings, strict=True)
        ]

    @contextlib.contextmanager
    def reading(self) -> Iterator[sqlite3.Connection]:
        """This thread's connection, inside one consistent view."""
        connection: sqlite3.Connection | None = getattr(self._local, "connection", None)
        if connection is None:
            connection = schema.connect(self.path)
            self._local.connection = connection
            with self._readers_lock:
                self._readers.append(connection)
        with schema.translated(self.path):
            if connection.in_transaction:
                yield connection
                return
            with schema.transaction(connection, "DEFERRED"):
                yield connection

    @contextlib.contextmanager
    def writing(self) -> Iterator[sqlite3.Connection]:
        """A write transaction of its own, for what is no part of the tree."""
        with self._writer.exclusive() as connection:
            yield connection

    def _meta(self) -> dict[str, str]:
        with self.reading() as connection:
            query = "SELECT key, value FROM meta WHERE key IN ('origin', 'vkey', 'guard')"
            meta = {str(key): str(value) for key, value in connection.execute(query)}
        if len(meta) != 3:
            raise LedgerError(
                f"{self.path} was never finished being made", hint="remove the file and create it again"
            )
        return meta

    def _signing_key(self) -> SigningKey:
        if self._key is None:
            key = load_key(key_path(self.path), self.origin, self._passphrase)
            if str(key.verifier) != self.log_key:
                raise LedgerError(
                    f"the key in {key_path(self.path)} is not this log's key",
                    hint="restore the right key file",
                )
            self._key = key
        return self._key


def _hashes(entry: Entry) -> tuple[str | None, ...]:
    record = entry.record
    return record.file_sha256, record.source_sha256, record.manifest_sha256

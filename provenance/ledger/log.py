"""What every log does, whatever database it lies in: append, prove, find, refuse a second history."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from types import TracebackType
from typing import Self

from provenance.errors import ForkError, LedgerError, TamperedError, UsageError
from provenance.ledger.checkpoints import Kept
from provenance.ledger.embedded import findings, lookup
from provenance.ledger.embedded.discoverable import Rows
from provenance.ledger.embedded.fork import contradiction, find_fork
from provenance.ledger.embedded.guard import Guard
from provenance.ledger.embedded.rows import Entry, prepare
from provenance.ledger.keys import key_path, load_key
from provenance.ledger.note import Checkpoint, Note, Signature, SigningKey, VerifierKey
from provenance.ledger.receipt import Receipt
from provenance.ledger.tables import Tables, select_commitments, select_entries
from provenance.ledger.writer import Writer
from provenance.record import Opening

_ENTRIES_PER_READ = 256


class Log(ABC):
    """A transparency log. Safe to use from several threads, and from several processes at once.

    Attributes:
        path: the signing key (``.key``) and what an audit found (``.audit``) lie beside this file, which is the
            database itself where that is one.
        where: the database in words, without secrets.
        origin: the log's unique name.
        log_key: its verifier key (vkey).
        fork: why it will not sign, or None when it will.
    """

    path: Path
    where: str
    origin: str
    log_key: str
    fork: ForkError | None = None
    _guard: Guard
    _writer: Writer
    _passphrase: str | None = None
    _key: SigningKey | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @abstractmethod
    def close(self) -> None:
        """Let go of the database."""

    @abstractmethod
    def view(self) -> AbstractContextManager[Tables]:
        """The tables as one consistent view, to read."""

    @abstractmethod
    def reading(self) -> AbstractContextManager[Rows]:
        """The database in one consistent view, to ask for what is no part of the log."""

    @abstractmethod
    def writing(self) -> AbstractContextManager[Rows]:
        """A write transaction of its own, for what is no part of the tree."""

    def frozen(self) -> AbstractContextManager[Tables]:
        """The tables, while no thread or process can append: what is copied then is complete."""
        return self._writer.exclusive()

    @property
    @abstractmethod
    def database_version(self) -> int:
        """Version of the database's tables."""

    @property
    @abstractmethod
    def stored_bytes(self) -> int:
        """Bytes that the log takes in its database."""

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
        with self.view() as tables:
            return tables.state()[0]

    def checkpoint(self) -> Checkpoint:
        """The last signed checkpoint: origin, size, root."""
        with self.view() as tables:
            return tables.state()[1]

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
        with self.view() as tables:
            return tables.kept(kind=kind, covering=covering)

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
        with self._writer.exclusive() as tables:
            tables.keep(note, kind, place)
            last, _ = tables.state()
            if last.text == note.text:
                last = last.with_signatures(note.signatures[1:])
                tables.set_state(last)
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
            with self.view() as tables:
                size = tables.state()[1].size
                end = min(size if stop is None else stop, size, start + _ENTRIES_PER_READ)
                page = list(select_entries(tables, start, end))
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
        with self.view() as tables:
            found = tables.candidates([lookup.base_key(wanted)], tables.state()[1].size, limit)
            entries = [entry for index in found for entry in select_entries(tables, index, index + 1)]
        return [entry for entry in entries if wanted in _hashes(entry)]

    def consistency_proof(self, old_size: int, size: int | None = None) -> list[bytes]:
        """Proof that the tree of ``old_size`` is a prefix of that of ``size`` (default: the present one)."""
        with self.view() as tables:
            return tables.nodes.consistency_proof(old_size, size or tables.state()[1].size)

    def root_at(self, size: int) -> bytes:
        """Root of the tree over the first ``size`` entries."""
        with self.view() as tables:
            return tables.nodes.root(size)

    def tile(self, level: int, index: int, width: int) -> list[bytes]:
        """Hashes of a published tile: level ``8 * level`` of the tree, places from ``256 * index`` on."""
        places = [(8 * level, 256 * index + offset) for offset in range(width)]
        with self.view() as tables:
            return tables.nodes.nodes(places)

    def commitments(self, start: int, stop: int) -> list[bytes]:
        """Leaf data (32 bytes each) of entries ``[start, stop)``."""
        with self.view() as tables:
            return select_commitments(tables, start, stop)

    # ------------------------------------------------------------------ inside

    def _receipts(self, indexes: Sequence[int], note: Note, openings: Sequence[Opening]) -> list[Receipt]:
        size = Checkpoint.parse(note.text).size
        with self.view() as tables:
            proofs = tables.nodes.inclusion_proofs(indexes, size)
        return [
            Receipt(index, tuple(proof), note, opening)
            for index, proof, opening in zip(indexes, proofs, openings, strict=True)
        ]

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

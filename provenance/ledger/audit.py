"""Auditing: recompute a log from its leaves, and name the first entry that does not fit."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from provenance.addresses import is_bucket
from provenance.errors import ReceiptError, UntrustedSignerError, VeilmarkError
from provenance.ledger import merkle
from provenance.ledger.embedded import findings, lookup
from provenance.ledger.embedded.entries import Stored
from provenance.ledger.embedded.nodes import STRIDE, WIDTH
from provenance.ledger.embedded.rows import commitment_in, record_in
from provenance.ledger.log import Log
from provenance.ledger.note import Checkpoint, Note
from provenance.ledger.places import bucket_place
from provenance.ledger.policy import Policy
from provenance.ledger.tables import Tables
from provenance.ledger.tiles import TILE_WIDTH, PublishedLog, source_of

MAX_PROBLEMS = 100
_PAGE = WIDTH**3


@dataclass(frozen=True)
class Problem:
    """Something that does not fit.

    Attributes:
        index: the entry it concerns, or None when it concerns the whole log.
        what: in plain words.
    """

    index: int | None
    what: str

    @property
    def words(self) -> str:
        return self.what if self.index is None else f"entry {self.index}: {self.what}"


@dataclass
class AuditReport:
    """What an audit found.

    Attributes:
        where: the database, folder or address.
        checkpoint: the state that was audited.
        entries: how many entries were recomputed.
        problems: in the order they were met, at most :data:`MAX_PROBLEMS`.
        log_trusted: whether a trusted key signed the checkpoint; None when no key was given.
        witnesses: trusted witnesses that cosigned, with the POSIX time they state.
    """

    where: str
    checkpoint: Checkpoint
    entries: int = 0
    problems: list[Problem] = field(default_factory=list)
    log_trusted: bool | None = None
    witnesses: dict[str, int] = field(default_factory=dict)

    @property
    def ok(self) -> bool:
        return not self.problems

    @property
    def first_bad(self) -> int | None:
        """The lowest index of an entry that does not fit, or None."""
        return min((problem.index for problem in self.problems if problem.index is not None), default=None)

    def add(self, index: int | None, what: str) -> None:
        if len(self.problems) < MAX_PROBLEMS:
            self.problems.append(Problem(index, what))


def audit(
    ledger: Log, *, signatures: bool = False, progress: Callable[[float], None] | None = None
) -> AuditReport:
    """Recompute one's own log: entries, tree, look-up keys, checkpoints, guard.

    Args:
        ledger: the log.
        signatures: also verify each record's own signature (about 0.2 ms each).
        progress: called with the part done, 0 to 1.
    """
    remembered = ledger.fork
    with ledger.view() as tables:
        note, checkpoint = tables.state()
        report = AuditReport(ledger.where, checkpoint)
        _check_note(report, note, Policy.of_logs([ledger.log_key]))
        for fault in tables.faults():
            report.add(None, fault)
        if remembered is not None:
            report.add(None, str(remembered))
        walk = _Walk(tables, report, signatures)
        kept = {item.size: Checkpoint.parse(item.note.text).root for item in tables.kept()}
        for start in range(0, checkpoint.size, _PAGE):
            walk.page(start, min(start + _PAGE, checkpoint.size), kept)
            if progress:
                progress(min(start + _PAGE, checkpoint.size) / checkpoint.size)
        report.entries = walk.frontier.size
        if walk.frontier.root() != checkpoint.root:
            report.add(
                None, f"the leaves do not lead to the root of the signed checkpoint ({checkpoint.size})"
            )
        last = tables.last()
        if last is not None and last >= checkpoint.size:
            report.add(last, "the entry lies beyond the signed checkpoint")
    findings.remember(ledger.path, [problem.words for problem in report.problems])
    return report


class _Walk:
    """One pass over the entries, lowest first."""

    def __init__(self, tables: Tables, report: AuditReport, signatures: bool) -> None:
        self.frontier = merkle.Frontier()
        self._tables = tables
        self._report = report
        self._signatures = signatures
        self._pending: list[list[bytes]] = []
        self._counts: list[int] = []

    def page(self, start: int, stop: int, kept: dict[int, bytes]) -> None:
        """Check entries ``[start, stop)`` and everything stored above them."""
        rows = self._tables.read(start, stop)
        stored = self._stored_leaves(start, stop)
        wanted: dict[int, int] = {}
        inner: dict[tuple[int, int], bytes] = {}
        for index in range(start, stop):
            leaf = self._leaf(index, rows[index - start], stored[index - start], wanted)
            self.frontier.add(leaf)
            self._push(0, leaf, inner)
            size = self.frontier.size
            if size in kept and kept[size] != self.frontier.root():
                self._report.add(
                    None, f"the leaves contradict the checkpoint of size {size} that was given out"
                )
        for key in self._tables.missing(list(wanted)):
            self._report.add(wanted[key], "the entry cannot be looked up by one of its hashes")
        self._check_inner(inner)

    def _stored_leaves(self, start: int, stop: int) -> list[bytes | None]:
        try:
            return list(self._tables.nodes.leaves(start, stop))
        except VeilmarkError as error:
            self._report.add(None, str(error))
            return [self._stored(0, index) for index in range(start, stop)]

    def _stored(self, level: int, index: int) -> bytes | None:
        try:
            return self._tables.nodes.node(level, index)
        except VeilmarkError:
            return None

    def _leaf(self, index: int, item: Stored | None, stored: bytes | None, wanted: dict[int, int]) -> bytes:
        """The entry's leaf hash; where the entry is bad, the stored one, to go on with."""
        if item is None or item.head is None:
            missing = "entry" if item is None else "entry's signer"
            self._report.add(index, f"the {missing} is missing")
            return stored or bytes(32)
        leaf = merkle.leaf_hash(commitment_in(item))
        if stored is None:
            self._report.add(index, "the entry's leaf is missing from the tree")
            return leaf
        if leaf != stored:
            self._report.add(index, "the entry is not what its leaf commits to")
            return stored
        try:
            signed = record_in(item)
            if self._signatures:
                signed.verify()
        except (ValueError, VeilmarkError) as error:
            self._report.add(index, f"the entry's record is bad: {error}")
            return leaf
        record = signed.record
        for value in (record.file_sha256, record.source_sha256, record.manifest_sha256):
            if value is not None:
                wanted[lookup.base_key(value) + index] = index
        return leaf

    def _push(self, tier: int, value: bytes, inner: dict[tuple[int, int], bytes]) -> None:
        """Fold sixteen by sixteen, noting what should be stored above the leaves."""
        if tier == len(self._pending):
            self._pending.append([])
            self._counts.append(0)
        if tier:
            inner[(STRIDE * tier, self._counts[tier])] = value
        self._counts[tier] += 1
        self._pending[tier].append(value)
        if len(self._pending[tier]) == WIDTH:
            folded = merkle.fold(self._pending[tier])
            self._pending[tier] = []
            self._push(tier + 1, folded, inner)

    def _check_inner(self, inner: dict[tuple[int, int], bytes]) -> None:
        bad = {problem.index for problem in self._report.problems}
        for (level, index), value in inner.items():
            first = index << level
            if self._stored(level, index) != value and bad.isdisjoint(range(first, first + (1 << level))):
                self._report.add(first, f"the tree hash over {1 << level} entries from {first} on is wrong")


def audit_published(
    where: str | Path,
    *,
    policy: Policy | None = None,
    earlier: Note | None = None,
    progress: Callable[[float], None] | None = None,
) -> AuditReport:
    """Recompute a published log from its entry bundles and compare it with its tiles and checkpoint.

    Args:
        where: a folder, an http(s) address, or that of a bucket.
        policy: trusted logs and witnesses; without one, signatures are not checked.
        earlier: a checkpoint of the same log seen before, which this one must extend.
        progress: called with the part done, 0 to 1.

    Raises:
        LedgerError: there is no checkpoint, or it cannot be fetched.
        ReceiptError: the checkpoint is malformed.
    """
    log = PublishedLog(bucket_place(str(where)) if is_bucket(where) else source_of(where))
    try:
        note = Note.parse(log.checkpoint_text())
        checkpoint = Checkpoint.parse(note.text)
    except ReceiptError as error:
        raise ReceiptError(f"{str(where).rstrip('/')}/checkpoint: {error}", hint=error.hint) from error
    report = AuditReport(str(where), checkpoint)
    if policy is not None:
        _check_note(report, note, policy)
    past = Checkpoint.parse(earlier.text) if earlier is not None else None
    if past is not None and (past.origin != checkpoint.origin or past.size > checkpoint.size):
        report.add(None, f"the checkpoint does not extend the one of size {past.size} that was seen before")
    frontier = merkle.Frontier()
    bundles = -(-checkpoint.size // TILE_WIDTH)
    for number in range(bundles):
        _audit_bundle(log, number, checkpoint.size, frontier, past, report)
        if frontier.size < min((number + 1) * TILE_WIDTH, checkpoint.size):
            break  # what follows a missing bundle cannot be placed
        if progress:
            progress((number + 1) / bundles)
    report.entries = frontier.size
    if frontier.size == checkpoint.size and frontier.root() != checkpoint.root:
        report.add(None, "the entries do not lead to the root that the checkpoint signs")
    return report


def _audit_bundle(
    log: PublishedLog,
    number: int,
    size: int,
    frontier: merkle.Frontier,
    past: Checkpoint | None,
    report: AuditReport,
) -> None:
    first = number * TILE_WIDTH
    try:
        entries = log.bundle(number, size)
        tile = log.tile(0, number, size)
    except ReceiptError as error:
        report.add(first, str(error))
        return
    if entries is None or tile is None:
        report.add(
            first, f"the {'entry bundle' if entries is None else 'tile'} from entry {first} on is missing"
        )
        return
    leaves = [merkle.leaf_hash(entry) for entry in entries]
    for offset, leaf in enumerate(leaves):
        listed = tile[offset * merkle.HASH_BYTES : (offset + 1) * merkle.HASH_BYTES]
        if leaf != listed:
            report.add(first + offset, "the entry does not hash to its leaf in the tile")
        frontier.add(leaf)
        if past is not None and frontier.size == past.size and frontier.root() != past.root:
            report.add(None, f"the log is not the one whose checkpoint of size {past.size} was seen before")
    if (number + 1) * TILE_WIDTH <= size:
        _audit_parent(log, number, size, [_split(tile), leaves], report)


def _audit_parent(
    log: PublishedLog, number: int, size: int, versions: list[list[bytes]], report: AuditReport
) -> None:
    """Each full tile (as listed, or as recomputed) must be hashed into the tile above it, level after level."""
    level = 0
    while len(versions[0]) == TILE_WIDTH:
        index, place = divmod(number, TILE_WIDTH)
        try:
            above = log.tile(level + 1, index, size)
        except ReceiptError as error:
            report.add(None, str(error))
            return
        listed = (above or b"")[place * merkle.HASH_BYTES : (place + 1) * merkle.HASH_BYTES]
        if listed not in [merkle.fold(hashes) for hashes in versions]:
            first = number * TILE_WIDTH ** (level + 1)
            report.add(first, f"the hash of tile {number} at level {level} is wrong or missing above it")
            return
        if place != TILE_WIDTH - 1 or above is None:
            return
        versions = [_split(above)]
        level, number = level + 1, index


def _split(tile: bytes) -> list[bytes]:
    return [tile[i : i + merkle.HASH_BYTES] for i in range(0, len(tile), merkle.HASH_BYTES)]


def _check_note(report: AuditReport, note: Note, policy: Policy) -> None:
    try:
        endorsement = policy.endorse(note)
    except UntrustedSignerError as error:
        report.log_trusted = False
        report.add(None, str(error))
    except VeilmarkError as error:
        report.log_trusted = False
        report.add(None, f"the checkpoint in {report.where} is not genuine: {error}")
    else:
        report.log_trusted = True
        report.witnesses = dict(endorsement.witnesses)

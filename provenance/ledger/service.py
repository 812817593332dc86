"""Small questions to a log, one function each: what the ``veilmark ledger`` commands print."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from provenance.errors import NoCredentialError, ReceiptError, TamperedError, VeilmarkError
from provenance.ledger import merkle
from provenance.ledger.embedded.rows import Entry
from provenance.ledger.log import Log
from provenance.ledger.note import TYPE_COSIGNATURE, Checkpoint, Note, VerifierKey
from provenance.ledger.policy import Policy
from provenance.ledger.receipt import Receipt
from provenance.ledger.tiles import PublishedLog, source_of


@dataclass(frozen=True)
class Status:
    """The state of a log.

    Attributes:
        path, origin, log_key: the database, the log's name, its vkey.
        size, root: the last signed checkpoint; ``root`` in hex.
        database_version: of the database's tables.
        bytes: size of the database with its write-ahead log.
        published, anchored, witnessed: the largest size that left the machine so, or None.
        pending: entries not covered by an anchored checkpoint.
        fork: why the log will not sign, or None.
    """

    path: str
    origin: str
    log_key: str
    size: int
    root: str
    database_version: int
    bytes: int
    published: int | None
    anchored: int | None
    witnessed: int | None
    pending: int
    fork: str | None


@dataclass(frozen=True)
class LogLine:
    """One entry in short: index, times (log's and signer's), relation, file hash, media type, claimed name."""

    index: int
    logged_at: str
    signed_at: str
    relation: str
    file_sha256: str
    media_type: str
    claimed_name: str
    key_id: str


@dataclass(frozen=True)
class ReceiptInfo:
    """What a receipt says, and what of it could be checked.

    Attributes:
        index, size, origin: place, and the checkpoint it is proved against; ``root`` in hex.
        line: the record in short; its ``logged_at`` is empty, a receipt does not say.
        included: the proof leads to the checkpoint.
        record_signed: the record's own signature is good.
        signers: names on the checkpoint's signature lines, checked or not.
        trusted_log: whether a log key of the policy signed; None without a policy.
        witnesses: trusted witnesses with the time each states, RFC 3339 UTC.
        anchors: anchor claims, unchecked.
        problems: what failed, in plain words.
    """

    index: int
    size: int
    origin: str
    root: str
    line: LogLine
    included: bool
    record_signed: bool
    signers: tuple[str, ...]
    trusted_log: bool | None
    witnesses: dict[str, str]
    anchors: tuple[dict[str, object], ...]
    problems: tuple[str, ...]


@dataclass(frozen=True)
class ConsistencyProof:
    """Proof that one checkpoint extends another: sizes, roots in hex, hashes in hex."""

    old_size: int
    size: int
    old_root: str
    root: str
    proof: tuple[str, ...]


def status(ledger: Log) -> Status:
    """The log's state."""
    checkpoint = ledger.checkpoint()
    largest: dict[str, int] = {}
    for kept in reversed(ledger.kept_checkpoints()):
        largest[kept.kind] = kept.size
    return Status(
        path=ledger.where,
        origin=ledger.origin,
        log_key=ledger.log_key,
        size=checkpoint.size,
        root=checkpoint.root.hex(),
        database_version=ledger.database_version,
        bytes=ledger.stored_bytes,
        published=largest.get("published"),
        anchored=largest.get("anchored"),
        witnessed=largest.get("witnessed"),
        pending=checkpoint.size - largest.get("anchored", 0),
        fork=str(ledger.fork) if ledger.fork else None,
    )


def log(ledger: Log, *, last: int = 20) -> list[LogLine]:
    """The last entries, newest first."""
    size = ledger.size
    return [line_of(entry) for entry in ledger.entries(max(size - last, 0), size)][::-1]


def line_of(entry: Entry) -> LogLine:
    """An entry in short."""
    record = entry.record
    return LogLine(
        index=entry.index,
        logged_at=entry.logged_at,
        signed_at=record.time,
        relation=record.relation,
        file_sha256=record.file_sha256,
        media_type=record.media_type,
        claimed_name=record.signer.get("name", ""),
        key_id=record.signer["key_id"],
    )


def proof(ledger: Log, sha256_hex: str) -> list[Receipt]:
    """Receipts of all entries that name this hash (file, source or manifest), in log order.

    Raises:
        NoCredentialError: there is none.
    """
    entries = ledger.find_sha256(sha256_hex)
    if not entries:
        raise NoCredentialError(
            f"no entry of this log names {sha256_hex}", hint="`veilmark find` also looks for altered copies"
        )
    return [ledger.receipt(entry.index) for entry in entries]


def upgrade(ledger: Log, receipt: Receipt) -> Receipt:
    """The same entry's receipt against a better checkpoint: an anchored one, else a cosigned one, else the last.

    Anchor claims for the chosen checkpoint are the caller's to add (:meth:`Receipt.with_anchor`); those of the
    old receipt are kept when its checkpoint stays.

    Raises:
        ForkError: the receipt's checkpoint is not of this log's history.
        ReceiptError: the receipt is for another entry than this log has there.
    """
    ledger.require_consistent(receipt.note, "the receipt")
    entry = ledger.entry(receipt.index)
    if entry.opening != receipt.opening:
        raise ReceiptError(f"entry {receipt.index} of this log is another record than the receipt's")
    for kind in ("anchored", "witnessed"):
        kept = ledger.kept_checkpoints(kind, covering=receipt.index)
        if kept:
            return _reissue(ledger, receipt, kept[-1].note)
    return receipt if receipt.anchors else _reissue(ledger, receipt, ledger.note())


def _reissue(ledger: Log, receipt: Receipt, note: Note) -> Receipt:
    fresh = ledger.receipt(receipt.index, note=note)
    for anchor in receipt.anchors if fresh.note.text == receipt.note.text else ():
        fresh = fresh.with_anchor(anchor)
    return fresh


def info(receipt: Receipt, policy: Policy | None = None) -> ReceiptInfo:
    """What a receipt says; nothing is asked of any log or chain."""
    checkpoint = receipt.checkpoint
    problems: list[str] = []
    included = _holds(receipt.verify_inclusion, problems)
    record_signed = _holds(receipt.opening.signed.verify, problems)
    trusted: bool | None = None
    witnesses: dict[str, str] = {}
    if policy is not None:
        try:
            endorsement = policy.endorse(receipt.note)
            trusted = True
            witnesses = {name: _utc(stamp) for name, stamp in endorsement.witnesses.items()}
        except VeilmarkError as error:
            trusted = False
            problems.append(str(error))
    return ReceiptInfo(
        index=receipt.index,
        size=checkpoint.size,
        origin=checkpoint.origin,
        root=checkpoint.root.hex(),
        line=line_of(Entry(receipt.index, receipt.opening, "")),
        included=included,
        record_signed=record_signed,
        signers=tuple(signature.name for signature in receipt.note.signatures),
        trusted_log=trusted,
        witnesses=witnesses,
        anchors=receipt.anchors,
        problems=tuple(problems),
    )


def consistency(ledger: Log, old_size: int, size: int | None = None) -> ConsistencyProof:
    """Proof that the log of ``size`` (default: now) only added to the log of ``old_size``.

    Raises:
        ReceiptError: not ``0 < old_size <= size``, or more than the log has.
    """
    now = ledger.size
    new_size = now if size is None else size
    if new_size > now:
        raise ReceiptError(f"the log has {now} entries, not {new_size}")
    hashes = ledger.consistency_proof(old_size, new_size)
    old_root, root = ledger.root_at(old_size), ledger.root_at(new_size)
    merkle.verify_consistency(old_size, new_size, old_root, root, hashes)
    return ConsistencyProof(
        old_size, new_size, old_root.hex(), root.hex(), tuple(value.hex() for value in hashes)
    )


def check_published(old: Note, where: str | Path, keys: Sequence[VerifierKey]) -> Checkpoint:
    """Check that a published log still extends a checkpoint seen before; the proof comes from its tiles.

    Args:
        where: a folder, or an http(s) address.
        keys: of the logs that are trusted.

    Returns:
        the published checkpoint.

    Raises:
        TamperedError: it does not: with both signatures genuine, evidence of a fork.
        LedgerError: nothing is published there, or it cannot be fetched.
        ReceiptError: as for :func:`check_extends`.
    """
    published = PublishedLog(source_of(where))
    new = Note.parse(published.checkpoint_text())
    first, second = Checkpoint.parse(old.text), Checkpoint.parse(new.text)
    hashes: list[bytes] = []
    if 0 < first.size <= second.size:
        hashes = merkle.consistency_proof(first.size, second.size, published.reader(second.size))
    check_extends(old, new, hashes, keys)
    return second


def check_extends(old: Note, new: Note, hashes: Sequence[bytes], keys: Sequence[VerifierKey]) -> None:
    """Check, without access to the log, that two checkpoints of one log are one history.

    Raises:
        TamperedError: a signature or the proof is wrong: with both genuine, evidence of a fork.
        ReceiptError: they are of two logs, or not signed by one of ``keys``, or the proof's shape is wrong.
    """
    first, second = Checkpoint.parse(old.text), Checkpoint.parse(new.text)
    if first.origin != second.origin:
        raise ReceiptError(f"checkpoints of two logs: {first.origin[:60]!r} and {second.origin[:60]!r}")
    log_keys = [key for key in keys if key.kind != TYPE_COSIGNATURE and key.name == first.origin]
    if not old.verify(log_keys) or not new.verify(log_keys):
        raise ReceiptError(
            "a checkpoint is not signed by a known key of the log",
            hint="trust it with `veilmark trust add --log`",
        )
    if second.size < first.size:
        raise TamperedError(f"the log has {second.size} entries, fewer than the {first.size} it had before")
    if first.size == 0:
        return  # every log extends the empty one
    merkle.verify_consistency(first.size, second.size, first.root, second.root, hashes)


def _holds(check: Callable[[], None], problems: list[str]) -> bool:
    try:
        check()
    except VeilmarkError as error:
        problems.append(str(error))
        return False
    return True


def _utc(stamp: int) -> str:
    try:
        return datetime.fromtimestamp(stamp, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    except (OverflowError, ValueError, OSError):
        return str(stamp)

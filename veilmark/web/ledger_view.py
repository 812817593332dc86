"""What the pages of the ledger show: lists of records, one record with its proof, the state of the log.

Who may not see the whole ledger is shown its public records, and told nothing of the others.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any

from provenance.errors import NoCredentialError
from provenance.home import Home
from provenance.ledger import merkle, service
from provenance.ledger.embedded.rows import Entry
from provenance.ledger.log import Log
from provenance.ledger.note import Checkpoint
from provenance.ledger.policy import Policy
from provenance.ledger.receipt import Receipt
from provenance.resolve.receipts import best_receipt
from provenance.search.titles import describe_entry
from provenance.trust.chain_validation import trusted_anchor
from provenance.trust.store import TrustStore
from provenance.words import what_words
from veilmark.web.api.engine import Engine

PAGE = 24
#: So many entries are looked through, the newest first.
_MOST_SCANNED = 20_000
_STRIDE = 256
_MOST_KEPT = 20


@dataclass(frozen=True)
class Question:
    """What a list is narrowed down to; empty narrows nothing. Dates are days, the last one included."""

    text: str = ""
    since: str = ""
    until: str = ""

    def fits(self, entry: Entry) -> bool:
        """Whether an entry is asked for."""
        day = entry.logged_at[:10]
        if (self.since and day < self.since) or (self.until and day > self.until):
            return False
        text = self.text.casefold()
        record = entry.record
        said = (
            record.signer.get("name", ""),
            record.signer.get("key_id", ""),
            record.file_sha256,
            record.relation,
        )
        return not text or any(text in str(one).casefold() for one in said)


def listed(
    engine: Engine, question: Question, before: int | None, everything: bool
) -> tuple[list[Row], int | None]:
    """Records, the newest first, and where the next ones begin, or None."""
    found: list[Entry] = []
    for entry in _candidates(engine, before, everything):
        if question.fits(entry):
            found.append(entry)
            if len(found) > PAGE:
                break
    more = found[PAGE - 1].index if len(found) > PAGE else None
    trust = engine.trust
    return [row_of(entry, engine.settings.home, trust) for entry in found[:PAGE]], more


def by_sha256(engine: Engine, digest: str, everything: bool) -> list[Row]:
    """Records that name this SHA-256 as their file, source or manifest."""
    if everything:
        entries = engine.ledger.find_sha256(digest, limit=PAGE)
    else:
        indexes = [match.receipt.index for match in engine.public.by_sha256(digest, limit=PAGE)]
        entries = [engine.ledger.entry(index) for index in indexes]
    return [row_of(entry, engine.settings.home, engine.trust) for entry in entries]


def _candidates(engine: Engine, before: int | None, everything: bool) -> Iterator[Entry]:
    ledger = engine.ledger
    if not everything:
        matches, _ = engine.public.page(limit=200)
        indexes = sorted((match.receipt.index for match in matches), reverse=True)
        yield from (ledger.entry(index) for index in indexes if before is None or index < before)
        return
    stop = ledger.size if before is None else min(before, ledger.size)
    lowest = max(0, stop - _MOST_SCANNED)
    while stop > lowest:
        start = max(lowest, stop - _STRIDE)
        yield from reversed(list(ledger.entries(start, stop)))
        stop = start


@dataclass(frozen=True)
class Row:
    """A record in a list."""

    index: int
    title: str
    pictured: bool
    what: str
    signer: str
    key_id: str
    trusted: bool
    logged_at: str
    sha256: str


def row_of(entry: Entry, home: Home, trust: TrustStore) -> Row:
    """A record as a list shows it."""
    record, about = entry.record, describe_entry(entry, home, side=32)
    chain = entry.opening.signed.chain_der
    return Row(
        entry.index,
        about.title,
        bool(about.thumbnail),
        what_words(record.relation, "", record.media_type),
        record.signer.get("name", ""),
        entry.opening.signed.key_id,
        trusted_anchor(chain, trust.anchors_pem) is not None,
        entry.logged_at,
        record.file_sha256,
    )


def entry_of(engine: Engine, index: int, everything: bool) -> Entry:
    """One entry.

    Raises:
        NoCredentialError: there is none, or none that others may see.
        LedgerError: the ledger is damaged there.
    """
    if not everything:
        engine.public.by_index(index)
    if not 0 <= index < engine.ledger.size:
        raise NoCredentialError(f"there is no record {index}")
    return engine.ledger.entry(index)


def about(engine: Engine, entry: Entry) -> dict[str, Any]:
    """One record, its receipt checked now, and the way from its leaf to the checkpoint."""
    receipt, trust = best_receipt(engine.settings.home, engine.ledger, entry.index), engine.trust
    policy = Policy.of_witnesses(trust.log_keys.values(), trust.witnesses.values(), 0)
    checked = service.info(receipt, policy)
    names = {f"w{number}": name for number, name in enumerate(trust.witnesses)}
    return {
        "row": row_of(entry, engine.settings.home, trust),
        "record": entry.record.to_json(),
        "checked": {
            **asdict(checked),
            "witnesses": {names.get(one, one): when for one, when in checked.witnesses.items()},
        },
        "steps": drawn(receipt),
        "leaf": receipt.leaf_hash.hex(),
        "note": str(receipt.note),
    }


def drawn(receipt: Receipt) -> list[dict[str, Any]]:
    """The nodes on the way from the leaf to the root: each with its sibling, on which side, and what both hash to."""
    index, size = receipt.index, receipt.checkpoint.size
    start, stop, node = index, index + 1, receipt.leaf_hash
    steps = []
    for (low, high), sibling in zip(merkle.inclusion_ranges(index, size), receipt.proof, strict=False):
        left = low < start
        node = merkle.node_hash(sibling, node) if left else merkle.node_hash(node, sibling)
        start, stop = min(start, low), max(stop, high)
        steps.append(
            {
                "left": left,
                "sibling": sibling.hex(),
                "range": _range(low, high),
                "node": node.hex(),
                "covers": _range(start, stop),
            }
        )
    return steps


def _range(start: int, stop: int) -> str:
    return f"entry {start}" if stop - start == 1 else f"entries {start}–{stop - 1}"


def state(ledger: Log) -> dict[str, Any]:
    """The state of the log, and who may have seen which checkpoint of it."""
    now = service.status(ledger)
    kept = [
        {
            "kind": one.kind,
            "size": one.size,
            "place": one.place,
            "root": Checkpoint.parse(one.note.text).root.hex(),
        }
        for one in ledger.kept_checkpoints()[:_MOST_KEPT]
    ]
    return {**asdict(now), "note": str(ledger.note()), "kept": kept}

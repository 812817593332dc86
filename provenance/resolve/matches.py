"""One answer on the wire: what a service says of a match, and the receipt that proves the rest.

In the answers of the Soft Binding Resolution API it is the object ``org.veilmark.match`` of a match; records without a
manifest, which that API cannot name, are listed beside under ``org.veilmark.records``.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from provenance.errors import ReceiptError
from provenance.ledger.receipt import MAX_RECEIPT_BYTES, Receipt
from provenance.resolve.bindings import similarity
from provenance.verdict import MatchKind

SCHEMA = "veilmark.match/1"
EXTENSION, RECORDS = "org.veilmark.match", "org.veilmark.records"
MAX_ID_CHARS = 1024


@dataclass(frozen=True)
class Match:
    """A record that a service found.

    Attributes:
        receipt: index, inclusion proof, checkpoint with its cosignatures, anchors, and the opening: all that there is
            to check. What follows is the service's word.
        manifest_id: of the record's manifest; empty where it has none.
        kind: how it was found; None where the question was not about likeness.
        distance: PDQ bits that differ, of 256; None where they were not counted.
        confirmed: geometry, or a run of agreeing moments, bears the likeness out.
        transform: what must be done to the file to make it look like the record's.
        logged_at: the log's own clock, RFC 3339 UTC.
        offset_seconds: where in the recorded video or sound the file begins.
        outline: corners of the file's content inside the recorded picture, as fractions.
    """

    receipt: Receipt
    manifest_id: str
    logged_at: str
    kind: MatchKind | None = None
    distance: int | None = None
    confirmed: bool = False
    transform: str = ""
    offset_seconds: float | None = None
    outline: list[list[float]] | None = None

    @property
    def exact(self) -> bool:
        return self.kind in (MatchKind.FILE, MatchKind.SOURCE, MatchKind.MANIFEST, MatchKind.PIXELS)

    @property
    def score(self) -> int | None:
        """The API's ``similarityScore``."""
        return similarity(self.distance, exact=self.exact)

    def to_json(self) -> dict[str, Any]:
        return {
            "schema": SCHEMA,
            "manifest_id": self.manifest_id,
            "match": self.kind.value if self.kind else None,
            "distance": self.distance,
            "confirmed": self.confirmed,
            "transform": self.transform,
            "offset_seconds": self.offset_seconds,
            "outline": self.outline,
            "logged_at": self.logged_at,
            "receipt": self.receipt.to_bytes().decode(),
        }

    @classmethod
    def from_json(cls, data: Any) -> Match:
        """Read what :meth:`to_json` made; of what cannot be checked anyway, odd values are passed over.

        Raises:
            ReceiptError: no match, or its receipt cannot be parsed.
        """
        if (
            not isinstance(data, dict)
            or data.get("schema") != SCHEMA
            or not isinstance(data.get("receipt"), str)
        ):
            raise ReceiptError(f"not a {SCHEMA}")
        text = data["receipt"]
        if len(text) > MAX_RECEIPT_BYTES:
            raise ReceiptError(f"a receipt of {len(text)} characters is over the limit")
        try:
            receipt = Receipt.from_bytes(text.encode())
        except UnicodeEncodeError as error:
            raise ReceiptError("the receipt is not text") from error
        kind, distance = data.get("match"), data.get("distance")
        counted = isinstance(distance, int) and not isinstance(distance, bool) and 0 <= distance <= 256
        return cls(
            receipt,
            _text(data.get("manifest_id"), MAX_ID_CHARS),
            _text(data.get("logged_at"), 40),
            MatchKind(kind) if kind in set(MatchKind) else None,
            distance if counted else None,
            data.get("confirmed") is True,
            _text(data.get("transform"), 40),
        )


def to_api(matches: list[Match]) -> dict[str, Any]:
    """``c2pa.softBindingQueryResult``, extended."""
    listed: list[dict[str, Any]] = []
    for match in matches:
        if match.manifest_id:
            one: dict[str, Any] = {"manifestId": match.manifest_id, EXTENSION: match.to_json()}
            if match.score is not None:
                one["similarityScore"] = match.score
            listed.append(one)
    return {"matches": listed, RECORDS: [match.to_json() for match in matches if not match.manifest_id]}


def _text(value: Any, limit: int) -> str:
    return value if isinstance(value, str) and len(value) <= limit else ""

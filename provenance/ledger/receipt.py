"""Receipts: proof, fit for offline use, that a record is in a log (c2sp.org/tlog-proof@v1).

A receipt is a text file::

    c2sp.org/tlog-proof@v1
    extra BASE64           what the leaf commits to (the opening), and where the checkpoint is anchored
    index 73894
    BASE64                 inclusion proof, one hash a line, leaf's sibling first
    ...

    example.org/log        the checkpoint, verbatim, with the signatures of log and witnesses
    ...
"""

from __future__ import annotations

import base64
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

from provenance import strict_json
from provenance.errors import ReceiptError, UntrustedSignerError
from provenance.ledger import merkle
from provenance.ledger.note import (
    TYPE_ED25519,
    Checkpoint,
    Note,
    VerifierKey,
    decode_base64,
    decode_hash,
    parse_decimal,
)
from provenance.record import MAX_OPENING_BYTES, Opening, canonical_json

FIRST_LINE = "c2sp.org/tlog-proof@v1"
EXTRA_TYPE = "veilmark.receipt/1"
MAX_ANCHORS = 16
MAX_RECEIPT_BYTES = 2 * MAX_OPENING_BYTES


@dataclass(frozen=True)
class Receipt:
    """A record's opening, its place in a log, the proof, and the checkpoint it leads to.

    Attributes:
        index: zero-based place in the log.
        proof: inclusion proof, 32-byte hashes, leaf's sibling first.
        note: the signed checkpoint.
        opening: salt and signed record that the leaf commits to.
        anchors: where this checkpoint was anchored on a chain; JSON objects, whose meaning belongs to
            :mod:`provenance.ledger.evm`. They are claims, checked against the chain.
    """

    index: int
    proof: tuple[bytes, ...]
    note: Note
    opening: Opening
    anchors: tuple[dict[str, Any], ...] = field(default=())

    @cached_property
    def checkpoint(self) -> Checkpoint:
        """Origin, size and root as the note states them; to be believed after :meth:`verify`."""
        return Checkpoint.parse(self.note.text)

    @cached_property
    def leaf_hash(self) -> bytes:
        return merkle.leaf_hash(self.opening.commitment)

    def verify_inclusion(self) -> None:
        """Check that the opening's commitment is in the tree that the checkpoint states; no signature.

        Raises:
            TamperedError: it is not.
            ReceiptError: the proof's shape is impossible.
        """
        checkpoint = self.checkpoint
        merkle.verify_inclusion(self.index, checkpoint.size, self.leaf_hash, self.proof, checkpoint.root)

    def verify(self, keys: Iterable[VerifierKey | str]) -> dict[VerifierKey, int | None]:
        """Check inclusion, and the checkpoint's signatures against trusted keys.

        Args:
            keys: trusted log and witness keys, as objects or vkey strings. The log's key counts only when its
                name is the checkpoint's origin.

        Returns:
            the keys whose signatures are good, with the time each witness states. Quorums are
            :class:`provenance.ledger.policy.Policy`'s.

        Raises:
            TamperedError: proof or a trusted key's signature is wrong.
            UntrustedSignerError: no trusted log key signed it.
        """
        known = [VerifierKey.parse(key) if isinstance(key, str) else key for key in keys]
        self.verify_inclusion()
        verified = self.note.verify(known)
        if not any(is_log_key(key, self.checkpoint.origin) for key in verified):
            raise UntrustedSignerError(
                f"the receipt is from log {self.checkpoint.origin!r}, which is not among the trusted logs",
                hint="add its key with `veilmark trust add` if you trust whoever runs it",
            )
        return verified

    def with_anchor(self, anchor: dict[str, Any]) -> Receipt:
        """This receipt with one more anchor claim for its checkpoint; an equal one is not added twice."""
        return self if anchor in self.anchors else replace(self, anchors=(*self.anchors, anchor))

    def to_bytes(self) -> bytes:
        """The one byte form of the receipt."""
        return self._bytes

    @cached_property
    def _bytes(self) -> bytes:
        extra = canonical_json(
            {
                "type": EXTRA_TYPE,
                "opening": strict_json.loads(self.opening.to_bytes()),
                "anchors": list(self.anchors),
            }
        )
        head = [FIRST_LINE, f"extra {base64.b64encode(extra).decode()}", f"index {self.index}"]
        hashes = [base64.b64encode(value).decode() for value in self.proof]
        return ("\n".join([*head, *hashes]) + "\n\n" + str(self.note)).encode()

    @classmethod
    def from_bytes(cls, data: bytes) -> Receipt:
        """Read what :meth:`to_bytes` wrote.

        Raises:
            ReceiptError: too large or malformed; the message says where.
        """
        if len(data) > MAX_RECEIPT_BYTES:
            raise ReceiptError(f"a receipt of {len(data)} bytes is over the limit of {MAX_RECEIPT_BYTES}")
        try:
            head, separator, note = data.decode().partition("\n\n")
        except UnicodeDecodeError as error:
            raise ReceiptError("not a receipt: it is not UTF-8 text") from error
        lines = head.split("\n")
        if lines[0] != FIRST_LINE or not separator:
            raise ReceiptError(f"not a receipt: it should start with {FIRST_LINE!r}")
        if len(lines) < 3 or not lines[1].startswith("extra ") or not lines[2].startswith("index "):
            raise ReceiptError("the receipt lacks its `extra` or `index` line")
        hashes = lines[3:]
        if len(hashes) > merkle.MAX_PROOF_HASHES:
            raise ReceiptError(f"a proof of {len(hashes)} hashes is over the limit")
        opening, anchors = _parse_extra(decode_base64(lines[1].removeprefix("extra ")))
        receipt = cls(
            index=parse_decimal(lines[2].removeprefix("index "), "index"),
            proof=tuple(decode_hash(line) for line in hashes),
            note=Note.parse(note),
            opening=opening,
            anchors=anchors,
        )
        if receipt.index >= receipt.checkpoint.size:
            raise ReceiptError(f"entry {receipt.index} cannot be in a tree of {receipt.checkpoint.size}")
        try:
            canonical = receipt.to_bytes()
        except (ValueError, RecursionError) as error:
            raise ReceiptError(f"the receipt has a malformed anchor: {error}") from error
        if canonical != data:  # nothing in it may be said in two ways, or be left unread
            raise ReceiptError("the receipt is not in its canonical form", hint="get a fresh copy of it")
        return receipt


def is_log_key(key: VerifierKey, origin: str) -> bool:
    """Whether ``key`` is a log's key (not a witness's) for ``origin``."""
    return key.kind == TYPE_ED25519 and key.name == origin


def _parse_extra(data: bytes) -> tuple[Opening, tuple[dict[str, Any], ...]]:
    try:
        parsed = strict_json.loads(data)
    except (ValueError, RecursionError) as error:
        raise ReceiptError(f"the receipt's extra data is not JSON: {error}") from error
    if not isinstance(parsed, dict) or parsed.get("type") != EXTRA_TYPE:
        raise ReceiptError(f"the receipt's extra data is not a {EXTRA_TYPE}")
    opening, anchors = parsed.get("opening"), parsed.get("anchors", [])
    if not isinstance(opening, dict) or not isinstance(anchors, list) or len(anchors) > MAX_ANCHORS:
        raise ReceiptError("the receipt's extra data lacks its opening or has too many anchors")
    if not all(isinstance(anchor, dict) for anchor in anchors):
        raise ReceiptError("the receipt has a malformed anchor")
    try:
        return Opening.from_bytes(canonical_json(opening)), tuple(anchors)
    except (ValueError, RecursionError) as error:
        raise ReceiptError(f"the receipt's opening is malformed: {error}") from error

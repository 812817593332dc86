"""A witness as others reach it: ``POST /add-checkpoint`` (c2sp.org/tlog-witness), answers and status codes as there."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from provenance.errors import ForkError, LedgerError, ReceiptError, TamperedError, UntrustedSignerError
from provenance.home import Home
from provenance.ledger.keys import load_key, save_key
from provenance.ledger.note import TYPE_COSIGNATURE, Checkpoint, SigningKey, VerifierKey
from provenance.ledger.witness import Witness, parse_request

SIZE_TYPE = "text/x.tlog.size"


class Answer(NamedTuple):
    """Status, media type and text of an answer."""

    status: int
    media_type: str
    text: str


def witness_key(home: Home, name: str) -> SigningKey:
    """The key of this machine's witness; made when it is first needed.

    Raises:
        UsageError: the name cannot name a witness.
        IdentityError: the key file cannot be used.
    """
    path = _place(home, "key")
    if not path.exists():
        save_key(path, SigningKey.generate(name, TYPE_COSIGNATURE))
    return SigningKey(name, load_key(path, name).private, TYPE_COSIGNATURE)


def open_witness(home: Home, name: str, logs: Sequence[VerifierKey]) -> Witness:
    """This machine's witness.

    Args:
        logs: keys of the logs that it watches.
    """
    return Witness(witness_key(home, name), logs, _place(home, "json"))


def respond(witness: Witness, request: bytes) -> Answer:
    """What the witness answers to the body of an ``add-checkpoint`` request.

    The checks stand in the order of the text: form, origin, signature, old size, latest size, root, proof. A 409 holds
    a size only where asking again from that size can help.
    """
    try:
        old_size, proof, note = parse_request(request)
        checkpoint = Checkpoint.parse(note.text)
    except ReceiptError as error:
        return _refused(400, error)
    if not witness.watches(checkpoint.origin):
        return Answer(404, "text/plain", "this witness does not watch that log\n")
    try:
        witness.require_signed(note)
    except (UntrustedSignerError, TamperedError) as error:
        return _refused(403, error)
    if old_size > checkpoint.size:
        return Answer(400, "text/plain", "the old size is larger than the checkpoint's\n")
    try:
        witness.last(checkpoint.origin)
    except LedgerError:
        return Answer(500, "text/plain", "the memory of this witness is damaged\n")
    try:
        return Answer(200, "text/plain", str(witness.cosign(old_size, proof, note)))
    except ForkError as error:
        size, root = witness.last(checkpoint.origin)
        if size == checkpoint.size and root != checkpoint.root:
            return Answer(409, "text/plain", f"the checkpoint of size {size} had another root\n")
        return _refused(422, error)
    except LedgerError:
        return Answer(409, SIZE_TYPE, f"{witness.last(checkpoint.origin)[0]}\n")


def _refused(status: int, error: Exception) -> Answer:
    return Answer(status, "text/plain", f"{error}\n")


def _place(home: Home, suffix: str) -> Path:
    return home.data / f"witness.{suffix}"

"""A witness: it cosigns a log's checkpoint when it follows from the last one it cosigned (c2sp.org/tlog-witness).

Whoever runs one watches that a log never forks. :class:`Witness` keeps its memory in one small file;
:func:`request_for` is what a log sends, in the text form of ``POST /add-checkpoint``.
"""

from __future__ import annotations

import base64
import json
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Sequence
from pathlib import Path

from provenance import strict_json
from provenance.errors import ForkError, LedgerError, ReceiptError, UntrustedSignerError, UsageError
from provenance.ledger import merkle
from provenance.ledger.note import (
    MAX_NOTE_BYTES,
    TYPE_COSIGNATURE,
    Checkpoint,
    Note,
    Signature,
    SigningKey,
    VerifierKey,
    decode_base64,
    decode_hash,
    parse_decimal,
)
from provenance.ledger.receipt import is_log_key
from provenance.media.files import write_bytes

MAX_PROOF_LINES = 63
_MAX_STATE_BYTES = 4 * 1024 * 1024


def request_for(note: Note, old_size: int, proof: Sequence[bytes]) -> bytes:
    """The body of an ``add-checkpoint`` request: old size, consistency proof, checkpoint."""
    lines = [f"old {old_size}", *(base64.b64encode(value).decode() for value in proof)]
    return ("\n".join(lines) + "\n\n" + str(note)).encode()


def parse_request(data: bytes) -> tuple[int, list[bytes], Note]:
    """Read what :func:`request_for` made; ReceiptError when malformed."""
    if len(data) > MAX_NOTE_BYTES + 64 * 1024:
        raise ReceiptError("the request is too large")
    try:
        head, separator, note = data.decode().partition("\n\n")
    except UnicodeDecodeError as error:
        raise ReceiptError("the request is not UTF-8") from error
    first, *hashes = head.split("\n")
    if not separator or not first.startswith("old ") or len(hashes) > MAX_PROOF_LINES:
        raise ReceiptError("the request needs an old size, at most 63 hashes, and a checkpoint")
    old_size = parse_decimal(first.removeprefix("old "), "old size")
    return old_size, [decode_hash(line) for line in hashes], Note.parse(note)


def parse_signatures(text: str) -> list[Signature]:
    """Read signature lines, as a witness returns them; ReceiptError when malformed or too many."""
    lines = text.removesuffix("\n").split("\n")
    if len(lines) > 64 or len(text) > MAX_NOTE_BYTES:
        raise ReceiptError("too many signature lines")
    return [Signature.parse(line) for line in lines]


def ask(
    url: str,
    note: Note,
    proof_from: Callable[[int], Sequence[bytes]],
    *,
    old_size: int = 0,
    timeout: float = 20.0,
) -> list[Signature]:
    """Ask a witness over HTTP to cosign a checkpoint.

    Args:
        url: its submission prefix; ``/add-checkpoint`` is added.
        note: the log's checkpoint.
        proof_from: the consistency proof from a size to the checkpoint's, such as
            :meth:`Log.consistency_proof`.
        old_size: the size it cosigned last, if known; it tells when this is wrong.
        timeout: seconds.

    Returns:
        the signature lines it answered with, unchecked; :meth:`Log.add_cosignatures` checks them.

    Raises:
        LedgerError: it cannot be reached or refuses.
        ReceiptError: its answer is malformed.
    """
    address = f"{url.rstrip('/')}/add-checkpoint"
    if not address.startswith(("http://", "https://")):
        raise UsageError(f"{url[:80]!r} is not an http or https address")
    for _ in range(2):
        body = request_for(note, old_size, proof_from(old_size) if old_size else [])
        request = urllib.request.Request(address, data=body, method="POST")  # noqa: S310 scheme checked
        try:
            with urllib.request.urlopen(request, timeout=timeout) as answer:  # noqa: S310 scheme checked
                return parse_signatures(_text(answer.read(MAX_NOTE_BYTES + 1)))
        except urllib.error.HTTPError as error:
            said = _text(error.read(MAX_NOTE_BYTES + 1)).strip()
            if error.code != 409 or not said.isdecimal() or int(said) == old_size:
                raise LedgerError(
                    f"the witness at {url} refused ({error.code}): {said[:120]}",
                    hint="does it watch this log? a 409 or 422 can mean that it saw another history",
                ) from error
            old_size = parse_decimal(said, "the witness's size")
        except (OSError, ValueError) as error:
            raise LedgerError(
                f"the witness at {url} cannot be asked: {error}", hint="try again later"
            ) from error
        if old_size > Checkpoint.parse(note.text).size:
            break
    raise LedgerError(
        f"the witness at {url} has seen {old_size} entries of this log, more than there are",
        hint="this database may be an older copy: see `veilmark ledger status`",
    )


def _text(data: bytes) -> str:
    try:
        return data.decode()
    except UnicodeDecodeError as error:
        raise ReceiptError("the witness's answer is not UTF-8") from error


class Witness:
    """Cosigns checkpoints of known logs, never two that contradict each other.

    Args:
        key: a key of type 4 (:data:`provenance.ledger.note.TYPE_COSIGNATURE`).
        logs: the logs it watches.
        state: the file that remembers the last cosigned size and root of each.
    """

    def __init__(self, key: SigningKey, logs: Sequence[VerifierKey], state: Path) -> None:
        if key.kind != TYPE_COSIGNATURE:
            raise LedgerError(f"{key.name} is not a witness key", hint="make a key of type 4")
        self._key = key
        self._logs = tuple(logs)
        self._state = state
        self._lock = threading.Lock()

    @property
    def verifier(self) -> VerifierKey:
        """Its public key, which logs and verifiers need."""
        return self._key.verifier

    def watches(self, origin: str) -> bool:
        """Whether it knows a key of that log."""
        return any(is_log_key(key, origin) for key in self._logs)

    def require_signed(self, note: Note) -> Checkpoint:
        """The checkpoint of a note that a watched log signed.

        Raises:
            UntrustedSignerError: none did.
            TamperedError: a signature of a watched log's key is wrong.
        """
        checkpoint = Checkpoint.parse(note.text)
        watched = [key for key in self._logs if is_log_key(key, checkpoint.origin)]
        if not note.verify(watched):
            raise UntrustedSignerError(f"{checkpoint.origin[:80]!r} is not a log this witness watches")
        return checkpoint

    def last(self, origin: str) -> tuple[int, bytes]:
        """Size and root last cosigned for a log; ``(0, EMPTY_ROOT)`` when it is new."""
        size, root = self._load().get(origin, (0, ""))
        return size, decode_base64(root) if size else merkle.EMPTY_ROOT

    def cosign(self, old_size: int, proof: Sequence[bytes], note: Note) -> Signature:
        """Cosign, when the checkpoint extends the last one.

        Raises:
            UntrustedSignerError: not signed by a log it watches.
            LedgerError: ``old_size`` is not the size last cosigned.
            ForkError: the checkpoint contradicts the last one.
        """
        checkpoint = self.require_signed(note)
        with self._lock:
            last_size, last_root = self.last(checkpoint.origin)
            if old_size != last_size or checkpoint.size < last_size:
                raise LedgerError(
                    f"the witness last saw size {last_size}, not {old_size}",
                    hint="send the consistency proof from that size",
                )
            try:
                if last_size:
                    merkle.verify_consistency(last_size, checkpoint.size, last_root, checkpoint.root, proof)
                elif proof or (checkpoint.size == 0 and checkpoint.root != merkle.EMPTY_ROOT):
                    raise ReceiptError("nothing can be proved from size 0")
            except Exception as error:
                raise ForkError(
                    f"the checkpoint of size {checkpoint.size} does not extend the one of {last_size}: {error}",
                    hint="this is evidence that the log forked: keep both checkpoints",
                ) from error
            known = self._load()
            known[checkpoint.origin] = (checkpoint.size, base64.b64encode(checkpoint.root).decode())
            write_bytes(self._state, json.dumps(known).encode(), mode=0o600)
            return self._key.cosign(note.text, int(time.time()))

    def _load(self) -> dict[str, tuple[int, str]]:
        try:
            data = self._state.read_bytes()
        except FileNotFoundError:
            return {}
        try:
            if len(data) > _MAX_STATE_BYTES:
                raise ValueError("too large")
            return {
                str(origin): (int(size), str(root))
                for origin, (size, root) in strict_json.loads(data).items()
            }
        except (ValueError, TypeError, AttributeError) as error:
            raise LedgerError(
                f"the witness's memory {self._state} is damaged: {error}", hint="restore it from a backup"
            ) from error

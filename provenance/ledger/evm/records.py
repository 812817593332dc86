"""Single statements on a chain: deploy a MediaLedger, commit (ERC-7053), relay, withdraw, make findable.

Nothing here is done by default: what is recorded stays public. The ordinary way is to anchor a log's
checkpoint (:mod:`provenance.ledger.evm.anchor`), which reveals nothing but a hash.
"""

from __future__ import annotations

import json
import secrets
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from eth_account import Account
from eth_account.signers.local import LocalAccount

import contracts
from provenance.errors import ChainError, ReceiptError, TamperedError, UsageError
from provenance.ledger.evm.contract import MediaLedger, encode_call
from provenance.ledger.evm.recursion import restore_recursion_limit
from provenance.ledger.evm.rpc import Node, checked_address
from provenance.ledger.evm.transact import Call, Mined, transact

restore_recursion_limit()

SIGNED_TYPE = "veilmark.relay/1"
MAX_ID_BYTES = 128
MAX_DATA_BYTES = 2048
MAX_REASON_BYTES = 256
_LABELS = {"Commit": "commitData", "Withdraw": "reason"}
SOFT_BINDING_WARNING = (
    "A soft binding on a public chain can never be taken back. Whoever holds a similar picture can confirm that"
    " it is yours, and a perceptual fingerprint reveals roughly what the picture shows."
)


@dataclass(frozen=True)
class Signed:
    """A statement signed for relaying (EIP-712): the signer needs no ether, anyone may send it.

    Attributes:
        kind: ``Commit`` or ``Withdraw``.
        chain_id, contract: where it counts, and nowhere else.
        recorder: address of the signer.
        cid: identifier it is about.
        text: the statement, or the reason of a withdrawal.
        nonce: never used before by this signer, in any order.
        deadline: Unix seconds after which it no longer counts.
        signature: 65 bytes, r, s, v.
    """

    kind: str
    chain_id: int
    contract: str
    recorder: str
    cid: str
    text: str
    nonce: int
    deadline: int
    signature: bytes

    def verify(self) -> None:
        """Check the signature as the contract does.

        Raises:
            TamperedError: somebody else signed, or something was changed.
        """
        message = _typed_data(self)
        try:
            found = Account.recover_message(message, signature=self.signature)
        except Exception as error:
            raise TamperedError("the signature is malformed") from error
        if found != self.recorder:
            raise TamperedError(f"signed by {found}, not by {self.recorder}")

    def to_json(self) -> dict[str, Any]:
        """For handing it to whoever sends it; large numbers as decimal text."""
        numbers = {"nonce": str(self.nonce), "deadline": str(self.deadline)}
        return {"type": SIGNED_TYPE, **self.__dict__, **numbers, "signature": self.signature.hex()}

    @classmethod
    def from_json(cls, data: Any) -> Signed:
        """Read what :meth:`to_json` wrote; :meth:`verify` it next.

        Raises:
            ReceiptError: malformed.
        """
        try:
            kind, chain_id, signature = data["kind"], data["chain_id"], bytes.fromhex(data["signature"])
            texts = [data[name] for name in ("cid", "text", "nonce", "deadline")]
            if data["type"] != SIGNED_TYPE or kind not in _LABELS or len(signature) != 65:
                raise ValueError(f"expected a {SIGNED_TYPE}")
            if not all(isinstance(text, str) and len(text) <= MAX_DATA_BYTES for text in texts):
                raise ValueError("a text is missing or too long")
            nonce, deadline = (int(text) for text in texts[2:] if text.isdecimal() and len(text) < 79)
            if not isinstance(chain_id, int) or max(nonce, deadline) >= 2**256:
                raise ValueError("a number is out of range")
            contract, recorder = checked_address(data["contract"]), checked_address(data["recorder"])
        except (KeyError, TypeError, ValueError, UsageError) as error:
            raise ReceiptError(f"not a signed statement for relaying: {error}") from error
        return cls(kind, chain_id, contract, recorder, texts[0], texts[1], nonce, deadline, signature)


def deploy(node: Node, account: LocalAccount, **options: Any) -> tuple[MediaLedger, Mined]:
    """Put a new MediaLedger on the chain; nobody owns it.

    Args:
        options: as :func:`provenance.ledger.evm.transact.transact` takes them.

    Raises:
        ChainError: out of funds, or not mined in time.
    """
    mined = transact(node, account, Call(None, contracts.media_ledger().bytecode), **options)
    return MediaLedger.at(node, checked_address(mined.contract_address)), mined


def commit(ledger: MediaLedger, account: LocalAccount, cid: str, data: str, **options: Any) -> Mined:
    """Record a statement about ``cid`` under the account's address (ERC-7053).

    Args:
        cid: content identifier, at most 128 bytes.
        data: the statement, at most 2048 bytes of UTF-8; it stays public.
        options: as :func:`provenance.ledger.evm.transact.transact` takes them.

    Raises:
        ChainError: see :func:`~provenance.ledger.evm.transact.transact`.
        UsageError: too long.
    """
    _limit(cid, MAX_ID_BYTES, "identifier")
    _limit(data, MAX_DATA_BYTES, "statement")
    return transact(ledger.node, account, Call(ledger.address, encode_call("commit", cid, data)), **options)


def withdraw(ledger: MediaLedger, account: LocalAccount, cid: str, reason: str, **options: Any) -> Mined:
    """Mark what the account recorded about ``cid`` as withdrawn; nothing is deleted."""
    _limit(cid, MAX_ID_BYTES, "identifier")
    _limit(reason, MAX_REASON_BYTES, "reason")
    data = encode_call("withdraw", cid, reason)
    return transact(ledger.node, account, Call(ledger.address, data), **options)


def commit_batch(
    ledger: MediaLedger, account: LocalAccount, root: bytes, size: int, content: bytes, **options: Any
) -> Mined:
    """Record ``size`` statements at once: ``root`` is the RFC 9162 root over them, ``content`` the SHA-256 of
    the published list, or zeros."""
    data = encode_call("commit_batch", root, size, content)
    return transact(ledger.node, account, Call(ledger.address, data), **options)


def sign_for_relay(
    account: LocalAccount,
    kind: str,
    *,
    chain_id: int,
    contract: str,
    cid: str,
    text: str,
    valid_seconds: int = 86_400,
    nonce: int | None = None,
) -> Signed:
    """Sign a ``Commit`` or ``Withdraw`` by EIP-712, offline, for someone else to send.

    Args:
        valid_seconds: from now until the signature stops counting.
        nonce: any number below 2**256 not used before; a random one by default.
    """
    if kind not in _LABELS:
        raise UsageError(f"{kind!r} cannot be relayed", hint="Commit or Withdraw")
    _limit(cid, MAX_ID_BYTES, "identifier")
    _limit(text, MAX_DATA_BYTES if kind == "Commit" else MAX_REASON_BYTES, "text")
    unsigned = Signed(
        kind=kind,
        chain_id=chain_id,
        contract=checked_address(contract),
        recorder=str(account.address),
        cid=cid,
        text=text,
        nonce=secrets.randbits(256) if nonce is None else nonce,
        deadline=int(time.time()) + valid_seconds,
        signature=b"",
    )
    signature = account.sign_message(_typed_data(unsigned)).signature
    return Signed(**{**unsigned.__dict__, "signature": bytes(signature)})


def relay(ledger: MediaLedger, payer: LocalAccount, signed: Signed, **options: Any) -> Mined:
    """Send what somebody else signed, at the payer's cost; it is recorded under the signer's address.

    Raises:
        TamperedError: the signature is not the signer's.
        ChainError: for another chain or contract, expired, used before, or not mined.
    """
    if (signed.chain_id, signed.contract) != (ledger.node.chain_id, ledger.address):
        raise ChainError(
            f"signed for contract {signed.contract} on chain {signed.chain_id}",
            hint="send it to that contract; a signature counts in one place only",
        )
    signed.verify()
    function = "commit_for" if signed.kind == "Commit" else "withdraw_for"
    r, s, v = signed.signature[:32], signed.signature[32:64], signed.signature[64]
    data = encode_call(
        function, signed.recorder, signed.cid, signed.text, signed.nonce, signed.deadline, v, r, s
    )
    return transact(ledger.node, payer, Call(ledger.address, data), **options)


def publish_soft_binding(
    ledger: MediaLedger,
    account: LocalAccount,
    *,
    algorithm: str,
    value: str,
    endpoints: Sequence[str],
    manifest_id: str | None = None,
    public_for_ever: bool = False,
    **options: Any,
) -> Mined:
    """Make a manifest findable by a watermark or fingerprint of its file (C2PA federated look-up).

    Args:
        algorithm: name in the C2PA soft binding algorithm list.
        value: the binding's value, base64.
        endpoints: Soft Binding Resolution APIs that hold the manifest.
        manifest_id: the manifest's identifier, or None to leave it to the endpoint.
        public_for_ever: must be True; see :data:`SOFT_BINDING_WARNING`.

    Raises:
        UsageError: not agreed to, or too long.
    """
    if not public_for_ever:
        raise UsageError(SOFT_BINDING_WARNING, hint="agree to it explicitly if that is what you want")
    content: dict[str, Any] = {"endpoints": list(endpoints)}
    if manifest_id is not None:
        content["manifestId"] = manifest_id
    message = json.dumps(content)
    for text, limit, what in (
        (algorithm, 128, "algorithm"),
        (value, 512, "value"),
        (message, 1024, "message"),
    ):
        _limit(text, limit, what)
    data = encode_call("publish_soft_binding", algorithm, value, message)
    return transact(ledger.node, account, Call(ledger.address, data), **options)


def _typed_data(signed: Signed) -> Any:
    from eth_account.messages import encode_typed_data

    label = _LABELS[signed.kind]
    fields = [("recorder", "address"), ("assetCid", "string"), (label, "string")]
    fields += [("nonce", "uint256"), ("deadline", "uint256")]
    values = [signed.recorder, signed.cid, signed.text, signed.nonce, signed.deadline]
    return encode_typed_data(
        domain_data={
            "name": "MediaLedger",
            "version": "1",
            "chainId": signed.chain_id,
            "verifyingContract": signed.contract,
        },
        message_types={signed.kind: [{"name": name, "type": type_} for name, type_ in fields]},
        message_data={name: value for (name, _), value in zip(fields, values, strict=True)},
    )


def _limit(text: str, limit: int, what: str) -> None:
    if len(text.encode()) > limit:
        raise UsageError(
            f"the {what} has {len(text.encode())} bytes, at most {limit} fit",
            hint="record a hash or content identifier of it instead",
        )

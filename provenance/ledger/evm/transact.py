"""Transactions: EIP-1559 fees, signing, sending, waiting, replacing; what can go wrong is told apart.

A transaction is a small value (:class:`Sent`) that the caller keeps, so that a program that dies between any
two steps can go on: :func:`transaction_state` says where it stands, :func:`send` and :func:`replacement` make
the next one.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from eth_utils.crypto import keccak

from provenance.errors import ChainError
from provenance.ledger.evm.contract import explain_revert
from provenance.ledger.evm.fees import GWEI, Fees, suggest_fees
from provenance.ledger.evm.rpc import Node, Refused, checked_address

if TYPE_CHECKING:
    from eth_account.signers.local import LocalAccount

POLL_SECONDS = 1.0
_GAS_MARGIN = 1.2
_RETRIES = 8
#: What nodes say; each client has its own words (geth, Nethermind, Erigon, Besu, Reth, Anvil).
_NONCE_TAKEN = re.compile(r"nonce (is )?too low|nonce has already been used|OldNonce|invalid nonce", re.I)
_KNOWN = re.compile(r"already (known|imported|exists)|known transaction|AlreadyKnown", re.I)
_REPLACES = re.compile(r"replacement|could not replace|ReplacementNotAllowed", re.I)
_UNDERPRICED = re.compile(
    r"underpriced|fee too low|fee per gas less than|less than block base fee|gas price too low|not enough",
    re.I,
)
_NO_FUNDS = re.compile(r"insufficient (funds|balance)|InsufficientFunds|not enough funds|overshot", re.I)


@dataclass(frozen=True)
class Call:
    """What is to be done: a call of a contract (or, with ``to`` None, a deployment)."""

    to: str | None
    data: bytes


@dataclass(frozen=True)
class Sent:
    """A signed transaction and those it replaced: all have the same nonce, so at most one is ever mined.

    Attributes:
        nonce: of the account.
        hashes: oldest first, 32 bytes each.
        raw: the newest, signed, as it is sent.
        fees: the newest's.
        gas: limit.
        since: Unix seconds when the newest was sent.
    """

    nonce: int
    hashes: tuple[bytes, ...]
    raw: bytes
    fees: Fees
    gas: int
    since: float = field(default_factory=time.time)


@dataclass(frozen=True)
class Mined:
    """A transaction that is in a block and succeeded."""

    transaction_hash: bytes
    block_number: int
    block_hash: bytes
    gas_used: int
    contract_address: str | None = None


class TransactionState(StrEnum):
    """Where a sent transaction stands, besides mined."""

    WAITING = "waiting"
    FORGOTTEN = "forgotten"
    OVERTAKEN = "overtaken"


class Outcome(StrEnum):
    """How a node took a transaction."""

    ACCEPTED = "accepted"
    NONCE_TAKEN = "nonce already used"
    REPLACES = "another transaction with this nonce is waiting"
    UNDERPRICED = "fees too low"


def estimate_gas(node: Node, sender: str, call: Call) -> int:
    """Gas limit with a margin.

    Raises:
        ChainError: the call would fail; says why.
    """
    transaction = {"from": sender, "data": "0x" + call.data.hex(), **({"to": call.to} if call.to else {})}
    try:
        return int(node.quantity("eth_estimateGas", transaction) * _GAS_MARGIN)
    except Refused as refused:
        reason = explain_revert(refused.data)
        if reason:
            raise ChainError(
                f"the contract refuses this: {reason}", hint="see contracts/MediaLedger.vy"
            ) from refused
        if _NO_FUNDS.search(refused.reason):
            raise _no_funds(node, sender, None) from refused
        raise ChainError(
            f"{node.label} expects the call to fail: {refused.reason}",
            hint="check contract address, account and arguments",
        ) from refused


def sign(node: Node, account: LocalAccount, call: Call, *, nonce: int, fees: Fees, gas: int) -> Sent:
    """Sign, without sending. What is returned should be kept before :func:`broadcast` is called."""
    transaction: dict[str, Any] = {
        "type": 2,
        "chainId": node.chain_id,
        "nonce": nonce,
        "to": checked_address(call.to) if call.to else "",
        "value": 0,
        "data": call.data,
        "gas": gas,
        "maxFeePerGas": fees.most,
        "maxPriorityFeePerGas": fees.tip,
    }
    raw = bytes(account.sign_transaction(transaction).raw_transaction)
    return Sent(nonce=nonce, hashes=(keccak(raw),), raw=raw, fees=fees, gas=gas)


def require_funds(node: Node, account: LocalAccount, fees: Fees, gas: int) -> None:
    """Raise :class:`ChainError` when the account cannot pay ``gas`` at the most that ``fees`` allow."""
    if node.balance(account.address) < gas * fees.most:
        raise _no_funds(node, account.address, gas * fees.most)


def broadcast(node: Node, sent: Sent) -> Outcome:
    """Hand a signed transaction to the node; handing it over twice does no harm.

    Raises:
        ChainError: out of funds, or refused for a reason that trying again does not change.
    """
    try:
        node.request("eth_sendRawTransaction", "0x" + sent.raw.hex())
    except Refused as refused:
        if _KNOWN.search(refused.reason):
            return Outcome.ACCEPTED
        if _NONCE_TAKEN.search(refused.reason):
            return Outcome.NONCE_TAKEN
        if _NO_FUNDS.search(refused.reason):
            raise ChainError(
                f"{node.label}: {refused.reason}", hint="send ether to the account that pays"
            ) from refused
        if _REPLACES.search(refused.reason):
            return Outcome.REPLACES
        if _UNDERPRICED.search(refused.reason):
            return Outcome.UNDERPRICED
        raise ChainError(
            f"{node.label} refused the transaction: {refused.reason}",
            hint="nothing was recorded; see the reason",
        ) from refused
    return Outcome.ACCEPTED


def transaction_state(node: Node, account: LocalAccount, sent: Sent) -> Mined | TransactionState:
    """Where a transaction stands.

    Returns:
        :class:`Mined`; or waiting, forgotten by the node (send it again), or overtaken: another transaction of
        this account was mined with its nonce, so that it never will be.

    Raises:
        ChainError: it was mined and failed.
    """
    # the count is read first: a receipt that appears in between must win
    next_nonce = node.transaction_count(account.address)
    for transaction_hash in reversed(sent.hashes):
        receipt = node.receipt(transaction_hash)
        if receipt is None:
            continue
        if receipt["status"] != 1:
            raise ChainError(
                f"transaction 0x{transaction_hash.hex()} was mined but failed",
                hint="its gas is spent; what it was for may have happened already, so try again",
            )
        return Mined(
            transaction_hash,
            receipt["blockNumber"],
            receipt["blockHash"],
            receipt["gasUsed"],
            receipt["contractAddress"],
        )
    if next_nonce > sent.nonce:
        return TransactionState.OVERTAKEN
    if any(node.knows(transaction_hash) for transaction_hash in sent.hashes):
        return TransactionState.WAITING
    return TransactionState.FORGOTTEN


def replacement(
    node: Node, account: LocalAccount, call: Call, sent: Sent, *, max_fee_gwei: float | None = None
) -> Sent:
    """The same call with the same nonce and higher fees, signed, not yet sent."""
    fees = sent.fees.bumped(suggest_fees(node, max_fee_gwei=max_fee_gwei))
    if max_fee_gwei is not None and fees.most > max_fee_gwei * GWEI:
        raise ChainError(
            f"a replacement would have to pay {fees.most / GWEI:.3g} gwei, over the ceiling of {max_fee_gwei:g}",
            hint="wait, or raise max_fee_gwei",
        )
    newer = sign(node, account, call, nonce=sent.nonce, fees=fees, gas=sent.gas)
    return replace(newer, hashes=(*sent.hashes, *newer.hashes))


def transact(
    node: Node,
    account: LocalAccount,
    call: Call,
    *,
    confirmations: int = 1,
    timeout: float | None = 180.0,
    bump_after: float = 60.0,
    max_fee_gwei: float | None = None,
    progress: Callable[[str], None] | None = None,
    sent: Sent | None = None,
    keep: Callable[[Sent], None] | None = None,
    on_mined: Callable[[Mined], None] | None = None,
) -> Mined:
    """Send a call and wait until it is settled, through nonce races, low fees and small reorganisations.

    Args:
        confirmations: blocks, its own included.
        timeout: seconds in all; the message of the error then says which transaction is still out. None: as long as
            it takes.
        bump_after: seconds after which a waiting transaction is replaced by one with higher fees.
        progress: told in words what is happening.
        sent: go on with this one, which was sent before.
        keep: called with each signed transaction before it leaves, so that the caller can store it.
        on_mined: called when it is in a block, and again when it is in another one.

    Raises:
        ChainError: not sent, failed, or not settled in time.
    """
    say = _without_repeats(progress)
    end = time.monotonic() + timeout if timeout is not None else None
    while end is None or time.monotonic() < end:
        if sent is None:
            sent = send(node, account, call, max_fee_gwei=max_fee_gwei, keep=keep)
            say(f"sent 0x{sent.hashes[-1].hex()}")
        state = transaction_state(node, account, sent)
        if isinstance(state, Mined):
            depth = node.latest().number - state.block_number + 1
            if on_mined is not None:
                on_mined(state)
            say(
                f"in block {state.block_number}, {min(depth, confirmations)} of {confirmations} confirmations"
            )
            if depth >= confirmations:
                return state
        elif state is TransactionState.OVERTAKEN:
            say("another transaction of this account took its place; sending again")
            sent = None
            continue
        elif state is TransactionState.FORGOTTEN:
            say("the node forgot it; sending again")
            if broadcast(node, sent) is not Outcome.ACCEPTED:
                sent = None
                continue
        elif time.time() - sent.since > bump_after:
            try:
                newer = replacement(node, account, call, sent, max_fee_gwei=max_fee_gwei)
            except ChainError as error:
                say(f"still waiting: {error}")  # the one that is out may still be mined
                time.sleep(POLL_SECONDS)
                continue
            if keep is not None:
                keep(newer)
            if broadcast(node, newer) is Outcome.ACCEPTED:
                say(f"replaced by 0x{newer.hashes[-1].hex()} with higher fees")
                sent = newer
        time.sleep(POLL_SECONDS)
    raise ChainError(
        "the transaction is not settled yet" + (f": 0x{sent.hashes[-1].hex()}" if sent else ""),
        hint="it may still be mined; look it up before sending it again, or wait longer",
    )


def _without_repeats(progress: Callable[[str], None] | None) -> Callable[[str], None]:
    last: list[str] = []

    def say(text: str) -> None:
        if progress is not None and last != [text]:
            last[:] = [text]
            progress(text)

    return say


def send(
    node: Node,
    account: LocalAccount,
    call: Call,
    *,
    max_fee_gwei: float | None = None,
    keep: Callable[[Sent], None] | None = None,
) -> Sent:
    """Sign a call with the next nonce and send it; races for the nonce and low fees are met by another try.

    Args:
        keep: called with each signed transaction before it leaves, so that the caller can store it.

    Raises:
        ChainError: out of funds, the call would fail, or the node keeps refusing.
    """
    gas = estimate_gas(node, account.address, call)
    fees = suggest_fees(node, max_fee_gwei=max_fee_gwei)
    require_funds(node, account, fees, gas)
    outcome, least = None, 0
    for attempt in range(_RETRIES):
        nonce = max(node.transaction_count(account.address, "pending"), least)
        sent = sign(node, account, call, nonce=nonce, fees=fees, gas=gas)
        if keep:
            keep(sent)
        outcome = broadcast(node, sent)
        if outcome is Outcome.ACCEPTED:
            return sent
        if outcome is Outcome.UNDERPRICED:
            fees = fees.bumped(suggest_fees(node, max_fee_gwei=max_fee_gwei))
            continue
        # another process uses this account: the nonce is its, and must not be fought for
        if outcome is Outcome.REPLACES:
            least = nonce + 1
        time.sleep(min(0.05 * 2**attempt, 1.0))
    raise ChainError(
        f"{node.label} did not take the transaction: {outcome}",
        hint="is another program sending from this account? try again in a minute",
    )


def _no_funds(node: Node, address: str, needed: int | None) -> ChainError:
    has = node.balance(address)
    need = f", needs up to {needed / 10**18:.6f}" if needed is not None else ""
    return ChainError(
        f"account {address} has {has / 10**18:.6f} of chain {node.chain_id}'s coin{need}",
        hint="send some to that address, or choose another account",
    )

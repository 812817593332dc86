"""Anchor a log's checkpoint on a chain: idempotent, resumable, and awake to reorganisations.

::

    new ──send──> pending ──mined──> mined ──confirmations──> confirmed
                     ^                 │                          │
                     └──── its block left the chain: sent again ──┘
    superseded: a larger checkpoint of this log is anchored; this one can no longer be

The chain's state decides, not what this machine remembers: each step first asks whether the root is there.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from provenance.errors import ChainError, ForkError, UsageError
from provenance.home import Home
from provenance.ledger.evm.check import fetch_claim
from provenance.ledger.evm.claim import AnchorClaim, AnchorKey
from provenance.ledger.evm.contract import ZERO_HASH, MediaLedger, encode_call, log_id_of
from provenance.ledger.evm.state import AnchorRow, AnchorState, AnchorStore
from provenance.ledger.evm.transact import (
    Call,
    Mined,
    Outcome,
    Sent,
    TransactionState,
    broadcast,
    replacement,
    send,
    transaction_state,
)

if TYPE_CHECKING:
    from eth_account.signers.local import LocalAccount

POLL_SECONDS = 1.0
Say = Callable[[str], None]


@dataclass(frozen=True)
class AnchorStatus:
    """Where the anchor of a checkpoint stands.

    Attributes:
        state: see the module's drawing.
        key: chain, contract, owner, log, size, root.
        confirmations, needed: blocks so far (0 while not mined), and how many settle it.
        transaction_hash: the newest transaction of ours, or None where we sent none.
        block_number: the block that holds it, or None.
        claim: what goes into receipts, once confirmed.
        remark: what happened last, for people.
    """

    state: AnchorState
    key: AnchorKey
    confirmations: int
    needed: int
    transaction_hash: bytes | None
    block_number: int | None
    claim: AnchorClaim | None
    remark: str


@dataclass(frozen=True)
class AnchorPolicy:
    """How to send and when to be satisfied.

    Attributes:
        confirmations: blocks, the anchor's own included.
        bump_after: seconds after which a waiting transaction is replaced by one with higher fees.
        max_fee_gwei: ceiling for the fee per gas, or None.
    """

    confirmations: int = 1
    bump_after: float = 90.0
    max_fee_gwei: float | None = None


def anchor_checkpoint(
    home: Home,
    ledger: MediaLedger,
    account: LocalAccount,
    *,
    origin: str,
    size: int,
    root: bytes,
    content: bytes = ZERO_HASH,
    note: str = "",
    policy: AnchorPolicy | None = None,
    wait: bool = True,
    timeout: float = 600.0,
    progress: Say | None = None,
) -> AnchorStatus:
    """Anchor a checkpoint, or go on with anchoring it; calling it again is always safe and never pays twice.

    Args:
        home: where the state is kept (``data/anchors.sqlite3``).
        ledger: the contract; see :meth:`MediaLedger.at`.
        account: the log's owner on the chain; pays.
        origin, size, root: the checkpoint; ``root`` has 32 bytes, ``size`` is at least 1.
        content: SHA-256 of the signed checkpoint note where it is published by content id, else zeros.
        note: the signed checkpoint, remembered beside the anchor for receipts.
        policy: confirmations and fees.
        wait: until confirmed (or superseded); otherwise one step is made and the state returned.
        timeout: seconds to wait; when they are over, the state so far is returned, and a later call goes on.
        progress: told in words what happens.

    Raises:
        ChainError: the chain cannot be asked or refuses; what was sent so far is remembered.
        ForkError: the chain, or this machine's own memory, holds another root for this size.
        UsageError: the checkpoint cannot be anchored at all.
    """
    if size < 1 or size >= 2**63 or len(root) != 32 or root == ZERO_HASH or len(content) != 32:
        raise UsageError(
            f"a checkpoint of size {size} cannot be anchored", hint="record something first, then anchor"
        )
    key = AnchorKey(ledger.node.chain_id, ledger.address, account.address, log_id_of(origin), size, root)
    blank = AnchorRow(key, origin, content, note=note)
    job = _AnchorJob(home, ledger, account, blank, policy or AnchorPolicy(), progress)
    end = time.monotonic() + timeout
    while True:
        status = job.step()
        finished = status.state in (AnchorState.CONFIRMED, AnchorState.SUPERSEDED)
        if finished or not wait or time.monotonic() >= end:
            return status
        time.sleep(POLL_SECONDS)


class _AnchorJob:
    """One anchor under way. Each :meth:`step` looks at the chain once and does at most one thing."""

    def __init__(
        self,
        home: Home,
        ledger: MediaLedger,
        account: LocalAccount,
        blank: AnchorRow,
        policy: AnchorPolicy,
        progress: Say | None,
    ) -> None:
        self.home, self.ledger, self.node, self.account = home, ledger, ledger.node, account
        self.blank, self.key, self.origin, self.policy = blank, blank.key, blank.origin, policy
        self.say: Say = progress or (lambda _: None)
        key = blank.key
        self.call = Call(ledger.address, encode_call("anchor", key.log_id, key.size, key.root, blank.content))

    def step(self) -> AnchorStatus:
        with AnchorStore(self.home) as store, store.turn():
            self.store = store
            row = self.store.get(self.key) or self.blank
            if row.key.root != self.key.root:
                raise ForkError(
                    f"this machine anchored another root for size {self.key.size} of {self.origin}",
                    hint="the log was rolled back or replaced since; run `veilmark ledger audit`",
                )
            tip = self.node.latest().number
            on_chain = self.ledger.anchored_root(self.key.owner, self.key.log_id, self.key.size, tip)
            if on_chain == self.key.root:
                return self._there(row, tip)
            if on_chain is not None:
                raise ForkError(
                    f"the chain holds another root for size {self.key.size} of {self.origin}",
                    hint="this log's owner anchored a different history; do not go on with this ledger",
                )
            return self._not_there(row)

    def _there(self, row: AnchorRow, tip: int) -> AnchorStatus:
        """The root is in the newest block's state: find its block and count."""
        block, transaction_hash = self._locate(row, tip)
        depth = tip - block + 1
        if depth < self.policy.confirmations:
            remark = f"in block {block}, {depth} of {self.policy.confirmations} confirmations"
            if row.state is not AnchorState.MINED or row.block_number != block:
                row = replace(row, state=AnchorState.MINED, block_number=block, claim=None, remark=remark)
                self.store.put(row)
            self.say(remark)
            return self._status(row, depth)
        if row.state is AnchorState.CONFIRMED and row.claim is not None and self._still(row.claim):
            return self._status(row, depth)
        settled = tip - self.policy.confirmations + 1
        try:
            claim = fetch_claim(self.node, self.key, block, transaction_hash)
        except ChainError:
            # the node has dropped that block's state; a later settled one proves the same, dated later
            claim = fetch_claim(self.node, self.key, settled, transaction_hash)
        row = replace(
            row,
            state=AnchorState.CONFIRMED,
            block_number=block,
            claim=claim,
            remark=f"anchored in block {block}",
        )
        self.store.put(row)
        self.say(row.remark)
        return self._status(row, depth)

    def _locate(self, row: AnchorRow, tip: int) -> tuple[int, bytes | None]:
        """The anchor's block and, where we sent it, its transaction."""
        for transaction_hash in reversed(row.sent.hashes if row.sent else ()):
            receipt = self.node.receipt(transaction_hash)
            if receipt is not None and receipt["status"] == 1 and receipt["blockNumber"] <= tip:
                return receipt["blockNumber"], transaction_hash
        head = self.ledger.head(self.key.owner, self.key.log_id, tip)
        if head.size == self.key.size:
            return head.block_number, None
        block = self.ledger.anchor_block(self.key.owner, self.key.log_id, self.key.size, tip)
        return (block if block is not None else tip), None

    def _still(self, claim: AnchorClaim) -> bool:
        """Whether the block of a stored claim is still on the chain."""
        header = self.node.header(claim.block_number)
        return header is not None and header.hash == claim.block_hash

    def _not_there(self, row: AnchorRow) -> AnchorStatus:
        """The root is not on the chain: go on with what was sent, or send."""
        if row.state in (AnchorState.MINED, AnchorState.CONFIRMED):
            row = replace(
                row,
                state=AnchorState.PENDING,
                block_number=None,
                claim=None,
                remark="the block that held it left the chain",
            )
            self.store.put(row)
            self.say(row.remark)
        if row.sent is not None:
            row = self._follow(row, row.sent)
        if row.sent is not None:
            return self._status(row, 0)
        anchored = self.ledger.head(self.key.owner, self.key.log_id).size
        if anchored >= self.key.size:
            row = replace(
                row,
                state=AnchorState.SUPERSEDED,
                remark=f"a checkpoint of size {anchored} is anchored, and covers this one",
            )
            self.store.put(row)
            return self._status(row, 0)
        return self._status(self._send(row), 0)

    def _follow(self, row: AnchorRow, sent: Sent) -> AnchorRow:
        """A transaction is out, but nothing is anchored: wait for it, push it, or give it up."""
        try:
            state = transaction_state(self.node, self.account, sent)
        except ChainError as failure:
            # mined but failed: a larger checkpoint may have come first; the next step decides anew
            row = replace(row, state=AnchorState.PENDING, sent=None, remark=str(failure))
            return self.store.put(row)
        if isinstance(state, Mined):
            self.say(f"mined in block {state.block_number}")
            return row
        if state is TransactionState.OVERTAKEN:
            self.say("another transaction of this account took its place")
            row = replace(row, state=AnchorState.PENDING, sent=None, remark="its nonce was used by another")
            return self.store.put(row)
        if state is TransactionState.FORGOTTEN:
            outcome = broadcast(self.node, sent)
            if outcome is Outcome.ACCEPTED:
                self.say("the node had forgotten it; sent again")
                return row
            if outcome is Outcome.UNDERPRICED:
                return self._replace(row, sent)
            row = replace(row, state=AnchorState.PENDING, sent=None, remark=str(outcome.value))
            return self.store.put(row)
        if time.time() - sent.since >= self.policy.bump_after:
            return self._replace(row, sent)
        return row

    def _replace(self, row: AnchorRow, sent: Sent) -> AnchorRow:
        newer = replacement(self.node, self.account, self.call, sent, max_fee_gwei=self.policy.max_fee_gwei)
        remark = f"replaced by 0x{newer.hashes[-1].hex()} with higher fees"
        row = self.store.put(replace(row, sent=newer, attempts=row.attempts + 1, remark=remark))
        if broadcast(self.node, newer) is Outcome.ACCEPTED:
            self.say(remark)
        return row

    def _send(self, row: AnchorRow) -> AnchorRow:
        kept = row

        def keep(sent: Sent) -> None:
            nonlocal kept
            kept = replace(
                row,
                state=AnchorState.PENDING,
                sent=sent,
                attempts=kept.attempts + 1,
                remark=f"sent 0x{sent.hashes[-1].hex()}",
            )
            self.store.put(kept)

        send(self.node, self.account, self.call, max_fee_gwei=self.policy.max_fee_gwei, keep=keep)
        self.say(kept.remark)
        return kept

    def _status(self, row: AnchorRow, depth: int) -> AnchorStatus:
        return AnchorStatus(
            state=row.state,
            key=row.key,
            confirmations=depth,
            needed=self.policy.confirmations,
            transaction_hash=row.sent.hashes[-1] if row.sent else None,
            block_number=row.block_number,
            claim=row.claim,
            remark=row.remark,
        )

"""What a transaction offers to pay (EIP-1559)."""

from __future__ import annotations

import re
from dataclasses import dataclass

from provenance.errors import ChainError
from provenance.ledger.evm.rpc import Node, Refused

GWEI = 10**9


@dataclass(frozen=True)
class Fees:
    """EIP-1559 fees, wei per gas: the most that is paid in all, and the tip within it."""

    most: int
    tip: int

    def bumped(self, least: Fees) -> Fees:
        """At least an eighth more (what nodes ask of a replacement), and at least ``least``."""
        return Fees(
            most=max(self.most * 9 // 8 + 1, least.most),
            tip=max(self.tip * 9 // 8 + 1, least.tip),
        )


def suggest_fees(node: Node, *, max_fee_gwei: float | None = None) -> Fees:
    """Fees that hold for at least five full blocks: twice the base fee, plus the node's idea of a tip.

    Raises:
        ChainError: the base fee alone is over ``max_fee_gwei``.
    """
    block = node.request("eth_getBlockByNumber", "latest", False)
    text = block.get("baseFeePerGas") if isinstance(block, dict) else None
    if not isinstance(text, str) or not re.fullmatch(r"0x[0-9a-fA-F]{1,32}", text):
        raise ChainError(
            f"{node.label} names no base fee", hint="the chain must have EIP-1559 fees; is the node in sync?"
        )
    base = int(text, 16)
    try:
        tip = node.quantity("eth_maxPriorityFeePerGas")
    except Refused:
        tip = GWEI
    fees = Fees(most=2 * base + tip, tip=tip)
    if max_fee_gwei is None:
        return fees
    ceiling = int(max_fee_gwei * GWEI)
    if base >= ceiling:
        raise ChainError(
            f"the base fee is {base / GWEI:.3g} gwei, over the ceiling of {max_fee_gwei:g}",
            hint="wait until the chain is cheaper, or raise max_fee_gwei",
        )
    return Fees(most=min(fees.most, ceiling), tip=min(tip, ceiling - base))

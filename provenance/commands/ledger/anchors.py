"""How ``veilmark verify`` checks anchors: by the contracts in the verifier's own trust store."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from provenance.errors import UsageError

if TYPE_CHECKING:
    from provenance.ledger.receipt import Receipt
    from provenance.trust.store import TrustStore
    from provenance.verdict import AnchorFinding


def anchor_checker(
    trust: TrustStore,
    rpc: Sequence[str],
    contract: str | None,
    chain_id: int | None,
    block_hash: str | None,
    confirmations: int,
) -> Callable[[Receipt], AnchorFinding]:
    """What ``verify`` asks about anchors, by the verifier's own trusted contracts.

    Raises:
        UsageError: no trusted contract fits, or the block hash is malformed.
    """
    fitting = [
        one
        for one in trust.contracts
        if (contract is None or one.address.lower() == contract.lower())
        and (chain_id is None or one.chain_id == chain_id)
    ]
    if not fitting:
        raise UsageError(
            "no contract you trust fits",
            hint="trust one with `veilmark trust add --contract CHAIN_ID:ADDRESS:LOG_OWNER`",
        )
    from provenance.ledger.evm.receipts import receipt_checker

    return receipt_checker(
        fitting, rpc=rpc, trusted_block_hash=_block_hash(block_hash), confirmations=confirmations
    )


def _block_hash(text: str | None) -> bytes | None:
    if text is None:
        return None
    try:
        value = bytes.fromhex(text.removeprefix("0x"))
    except ValueError:
        value = b""
    if len(value) != 32:
        raise UsageError(f"{text[:80]!r} is no block hash", hint="give 64 hexadecimal digits")
    return value

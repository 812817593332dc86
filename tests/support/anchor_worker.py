"""Anchor checkpoints in a process of its own, for tests of races and of being killed.

Usage: ``python anchor_worker.py DATA_FOLDER RPC CONTRACT PRIVATE_KEY ORIGIN SIZE...`` (a test key only)
"""

from __future__ import annotations

import hashlib
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))

from eth_account import Account

from provenance.home import Home
from provenance.ledger.evm import anchor
from provenance.ledger.evm.contract import MediaLedger
from provenance.ledger.evm.rpc import Node

anchor.POLL_SECONDS = 0.05


def main(data: str, rpc: str, contract: str, key: str, origin: str, *sizes: str) -> None:
    ledger = MediaLedger.at(Node.connect(rpc), contract)
    for size in map(int, sizes):
        status = anchor.anchor_checkpoint(
            Home(data=Path(data), config=Path(data)),
            ledger,
            Account.from_key(key),
            origin=origin,
            size=size,
            root=hashlib.sha256(size.to_bytes(8, "big")).digest(),
            timeout=60,
            progress=lambda words: print(words, flush=True),
        )
        print(status.state.value, flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])

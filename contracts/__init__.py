"""The MediaLedger contract: its source, ABI and bytecode. Imports nothing of the other packages.

``MediaLedger.vy`` is the source; ``MediaLedger.json`` is what ``python -m contracts.compile`` made of it, so
that nobody needs the compiler to use the contract. A test recompiles and compares.
"""

from __future__ import annotations

import functools
import json
from dataclasses import dataclass
from importlib import resources
from typing import Any


@dataclass(frozen=True)
class Artifact:
    """A compiled contract.

    Attributes:
        name: the contract's name.
        abi: functions, events and errors, as JSON values.
        bytecode: what a deployment sends.
        runtime_bytecode: what lies at the contract's address afterwards, byte for byte (no immutables).
        storage: name of each state variable to its slot.
        compiler: compiler and version, with commit.
        evm_version: the EVM the bytecode needs, at least.
        source_sha256: hex SHA-256 of the source it was made from.
    """

    name: str
    abi: list[dict[str, Any]]
    bytecode: bytes
    runtime_bytecode: bytes
    storage: dict[str, int]
    compiler: str
    evm_version: str
    source_sha256: str


@functools.cache
def media_ledger() -> Artifact:
    """The checked-in compilation of ``MediaLedger.vy``."""
    data = json.loads(resources.files(__name__).joinpath("MediaLedger.json").read_text("utf-8"))
    return Artifact(
        name=data["name"],
        abi=data["abi"],
        bytecode=bytes.fromhex(data["bytecode"]),
        runtime_bytecode=bytes.fromhex(data["runtime_bytecode"]),
        storage=data["storage"],
        compiler=data["compiler"],
        evm_version=data["evm_version"],
        source_sha256=data["source_sha256"],
    )


def media_ledger_source() -> str:
    """The Vyper source."""
    return resources.files(__name__).joinpath("MediaLedger.vy").read_text("utf-8")

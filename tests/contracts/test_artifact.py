"""What is checked in is what the compiler makes, and it runs on a real EVM."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import Any

from eth_utils import keccak
from web3 import Web3

import contracts
from contracts.compile import OUTPUT, SOURCE, compile_contract, main, to_text


def test_the_checked_in_json_is_what_the_compiler_makes() -> None:
    assert to_text(compile_contract(SOURCE.read_text("utf-8"))) == OUTPUT.read_text("utf-8")


def test_check_notices_a_changed_source(monkeypatch: Any, tmp_path: Any) -> None:
    changed = tmp_path / SOURCE.name
    changed.write_text("# pragma version 0.4.3\n# pragma evm-version cancun\nx: uint256\n", "utf-8")
    monkeypatch.setattr("contracts.compile.SOURCE", changed)
    assert main(["--check"]) == 1


def test_the_loader_reads_what_was_checked_in() -> None:
    artifact = contracts.media_ledger()
    assert artifact.name == "MediaLedger"
    assert artifact.compiler.startswith("vyper 0.4.")
    assert artifact.source_sha256 == hashlib.sha256(contracts.media_ledger_source().encode()).hexdigest()
    assert artifact.runtime_bytecode in artifact.bytecode


def test_deployed_code_is_the_published_runtime_bytecode(web3: Web3, ledger: Any) -> None:
    assert bytes(web3.eth.get_code(ledger.address)) == contracts.media_ledger().runtime_bytecode


def test_every_declared_error_is_raised_somewhere_in_the_source() -> None:
    source = contracts.media_ledger_source()
    errors = [entry for entry in contracts.media_ledger().abi if entry["type"] == "error"]
    assert len(errors) == 9
    for entry in errors:
        signature = f"{entry['name']}({','.join(parameter['type'] for parameter in entry['inputs'])})"
        assert f'method_id("{signature}")' in source
    assert source.count("raw_revert(") == source.count('method_id("')


def test_a_first_commit(web3: Web3, ledger: Any, alice: str, send: Callable[..., Any]) -> None:
    receipt = send(ledger.functions.commit("bafkreigh2", "hello"), alice)
    (event,) = ledger.events.Commit().process_receipt(receipt)
    assert event["args"]["recorder"] == alice
    assert bytes(event["args"]["assetCid"]) == keccak(text="bafkreigh2")
    assert event["args"]["commitData"] == "hello"

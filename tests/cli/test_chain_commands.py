"""From deploying to a stranger's anchored verdict, through the command and a real Anvil node."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.cli.conftest import Run
from tests.conftest import absent
from tests.provenance.ledger.evm.conftest import Anvil
from tests.support.anvil.install import find_anvil

Command = Callable[..., Run]
pytestmark = pytest.mark.evm


@pytest.fixture
def node() -> Iterator[Anvil]:
    program = find_anvil()
    if program is None:
        absent("evm", "anvil is not installed: python -m tests.support.anvil.install")
    anvil = Anvil(Path(str(program)))
    yield anvil
    anvil.stop()


def test_anchor_and_a_stranger_s_verdict(
    ready: Command, signed: dict[str, Path], node: Anvil, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("VEILMARK_ACCOUNT_PASSPHRASE", "an account passphrase")
    address = ready("ledger", "account", "new").out.strip()
    chain = ("--network", "local", "--rpc", node.url)
    poor = ready("ledger", "deploy", *chain)
    assert poor.code == 3 and "hint: " in poor.err, "an account without funds is told so"
    node.fund(address)
    contract = ready("ledger", "deploy", *chain).out.strip()
    assert contract.startswith("0x")
    repeated = ready("ledger", "deploy", *chain)
    assert repeated.out.strip() == contract and "nothing was paid" in repeated.err
    dear = ready("ledger", "deploy", *chain, "--again", "--max-fee-gwei", "0.000001")
    assert dear.code == 3 and "over the ceiling" in dear.err
    anchored = ready("ledger", "anchor", *chain, "--json")
    assert anchored.code == 0, anchored.err
    assert anchored.json[0]["state"] == "confirmed"
    again = ready("ledger", "anchor", *chain, "--contract", contract, "--json")
    assert again.json[0]["transaction"] == anchored.json[0]["transaction"], "a second call must not pay again"
    receipt = f"{signed['hopper']}.receipt"
    assert ready("ledger", "upgrade", receipt).code == 0
    about = ready("ledger", "info", receipt).out
    mined = node.rpc("eth_getBlockByNumber", hex(anchored.json[0]["block"]), False)["hash"]
    assert (
        f"chain 31337, contract {contract}" in about
        and f"block {anchored.json[0]['block']}, hash {mined}" in about
    )
    assert (
        ready("verify", signed["hopper"], "--json").json[0]["ledger"]["status"] == "logged-anchor-not-checked"
    )

    root = tmp_path / "root.pem"
    root.write_text(ready("identity", "show", "--root").out)
    key = ready("ledger", "status", "--json").json[0]["log_key"]
    monkeypatch.setenv("VEILMARK_HOME", str(tmp_path / "stranger"))
    assert ready("verify", signed["hopper"], "--rpc", node.url).code == 2, "no trusted contract yet"
    assert ready("trust", "add", "--anchor", root).code == 0
    assert ready("trust", "add", "--log", key).code == 0
    assert ready("trust", "add", "--contract", f"31337:{contract}:{address}").code == 0
    verdict = ready("verify", signed["hopper"], "--rpc", node.url, "--json")
    assert verdict.code == 0, verdict.err
    assert verdict.json[0]["ledger"]["status"] == "logged-anchored-according-to-rpc"
    assert "anchored" in [time["kind"] for time in verdict.json[0]["times"]]
    block = node.rpc("eth_getBlockByNumber", hex(anchored.json[0]["block"]), False)["hash"]
    offline = ready("verify", signed["hopper"], "--block-hash", block, "--json")
    assert offline.json[0]["ledger"]["status"] == "logged-and-anchored", offline.err
    node.stop()
    down = ready("verify", signed["hopper"], "--rpc", node.url, "--json")
    assert down.json[0]["ledger"]["status"] == "logged-anchor-not-checked", "a dead node settles nothing"
    assert [check["passed"] for check in down.json[0]["checks"] if check["name"] == "anchor"] == [None]
    assert ready("verify", signed["hopper"]).code == 0, "offline verification needs no node"


def test_a_record_that_somebody_else_pays_for(
    ready: Command, node: Anvil, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("VEILMARK_ACCOUNT_PASSPHRASE", "an account passphrase")
    payer = ready("ledger", "account", "new").out.strip()
    camera = ready("ledger", "account", "new", "camera").out.strip()
    node.fund(payer)
    chain = ("--network", "local", "--rpc", node.url)
    contract = ready("ledger", "deploy", *chain).out.strip()
    statement = tmp_path / "statement.json"
    sign = ("ledger", "relay", "sign", "bafy", "seen in Rome", "-o", statement, "--account", "camera")
    assert ready(*sign, "--network", "sepolia").code == 2, "no contract is known"
    made = ready(*sign)
    assert made.code == 0 and camera in made.out, made.err
    assert ready(*sign, "--contract", contract).code == 2, "the file exists"
    sent = ready("ledger", "relay", "send", statement, *chain, "--json")
    assert sent.code == 0, sent.err
    assert (sent.json[0]["kind"], sent.json[0]["recorder"]) == ("commit", camera)
    assert ready("ledger", "relay", "send", statement, *chain).code == 3, "a nonce counts once"
    listing = ("ledger", "relay", "list", "bafy", *chain, "--contract", contract, "--json")
    (found,) = ready(*listing).json
    assert (found["recorder"], found["text"], found["withdrawn_in_block"]) == (camera, "seen in Rome", None)

    gone = tmp_path / "withdrawal.json"
    sign = ("ledger", "relay", "sign", "bafy", "wrong city", "-o", gone, "--account", "camera", "--withdraw")
    assert ready(*sign, "--contract", contract).code == 0
    assert ready("ledger", "relay", "send", gone, *chain).code == 0
    (found,) = ready(*listing).json
    assert found["withdrawn_in_block"] > found["block"]

    altered = tmp_path / "altered.json"
    altered.write_text(statement.read_text().replace("seen in Rome", "seen in Oslo"))
    assert ready("ledger", "relay", "send", altered, *chain).code == 1
    altered.write_text("{")
    assert ready("ledger", "relay", "send", altered, *chain).code == 3

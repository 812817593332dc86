"""``veilmark find --service`` against a running service: three ways to ask, each showing less."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import veilmark
from provenance.home import Home
from provenance.ledger.embedded.log import LocalLedger
from provenance.ledger.receipt import Receipt
from provenance.resolve.check import Proof
from provenance.resolve.listing import make_discoverable
from provenance.store.local import LocalStore
from provenance.verdict import LedgerStatus
from tests.cli.conftest import Run
from tests.cli.conftest import veilmark as _command
from tests.provenance.ledger.evm.conftest import anvil_program as _anvil_program
from tests.provenance.ledger.evm.conftest import start_anvil as _start_anvil
from tests.support.discoverable import Filled
from tests.support.records import make_openings
from tests.support.serving import running
from veilmark.web.settings import Role, Settings

command = _command
#: Real Anvil nodes.
anvil_program, start_anvil = _anvil_program, _start_anvil


@pytest.fixture
def url(settings: tuple[Settings, dict[Role, str]]) -> Iterator[str]:
    with running(settings[0]) as address:
        yield address


def trusting(filled: Filled, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    import shutil

    home = tmp_path / "asker"
    (home / "config").mkdir(parents=True)
    shutil.copytree(filled.home.trust, home / "config" / "trust")
    monkeypatch.setenv("VEILMARK_HOME", str(home))


def test_three_ways_to_ask(
    url: str, command: Callable[..., Run], filled: Filled, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    copy = filled.stripped["hopper"]
    stranger = command("find", copy, "--service", url)
    assert stranger.code == 5 and "in a log you do not trust" in stranger.out
    trusting(filled, monkeypatch, tmp_path)
    for option, bits in (
        ((), 256),
        (("--upload",), 0),
        (("--private",), 0),
        (("--private", "--hide-among", "1"), 0),
    ):
        done = command("find", copy, "--service", url, *option, "--json")
        assert done.code == 0, done.err
        (found,) = done.json
        assert [one["index"] for one in found["records"]] == [1, 3], option
        assert {one["proof"] for one in found["records"]} == {"holds"}
        assert all(one["signer_trusted"] and one["match"] == "pdq" for one in found["records"])
        assert found["bits"] == bits
        assert found["hidden_among"] == (2 if "--private" in option else 0)
    shown = command("find", copy, "--service", url, "--private", "-v", "--save", tmp_path / "kept")
    assert "nothing of the fingerprint; it answered with 2 records" in shown.out.replace("\n", " ")
    kept = sorted((tmp_path / "kept").iterdir())
    assert [Receipt.from_bytes(one.read_bytes()).index for one in kept] == [1, 3]
    assert command("find", copy, "--service", url, "--save", tmp_path / "kept").code == 0, "the same again"
    assert command("find", filled.stripped["astronaut"], "--service", url).code == 4


def test_hiding_in_a_crowd(
    url: str, command: Callable[..., Run], filled: Filled, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Among 600 records some bits are told, at least eight records share them, and the copy is found."""
    with LocalLedger.open(filled.home.ledger) as ledger:
        store, size = LocalStore(filled.home.store), ledger.size
        ledger.append(make_openings(600))
        for index in range(size, size + 600):
            make_discoverable(ledger, store, index)
    trusting(filled, monkeypatch, tmp_path)
    done = command(
        "find", filled.stripped["hopper"], "--service", url, "--private", "--hide-among", "8", "--json"
    )
    (found,) = done.json
    assert 1 <= found["bits"] <= 10 and 8 <= found["hidden_among"] < 602
    assert [one["index"] for one in found["records"]] == [1, 3]


def test_from_python(url: str, filled: Filled) -> None:
    with veilmark.open(filled.home) as v:
        found = v.find_on_service(filled.stripped["hopper"], url, how="private")
    assert found.exit_code is veilmark.ExitCode.OK
    assert {one.proof for one in found.records} == {Proof.HOLDS}


def test_options_that_do_not_go_together(command: Callable[..., Run], filled: Filled) -> None:
    copy = filled.stripped["hopper"]
    for options in (
        ("--private",),
        ("--upload",),
        ("--save", "x"),
        ("--service", "https://example.org", "--private", "--upload"),
        ("--service", "https://example.org", "--html", "page.html"),
        ("--service", "http://example.org"),
        ("--service", "https://example.org", "--private", "--hide-among", "0"),
    ):
        done = command("find", copy, *options)
        assert done.code == 2 and done.out == "", options


def test_what_is_listed_and_taken_back_on_the_command_line(
    command: Callable[..., Run], filled: Filled, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("VEILMARK_HOME", str(filled.home.data))
    assert [one["index"] for one in command("ledger", "discoverable", "--json").json] == [1, 3]
    given = command("ledger", "discoverable", filled.results[0].output)
    assert given.code == 0 and "warning" in given.err and "guessing" in given.err.replace("\n", " ")
    assert [one["index"] for one in command("ledger", "discoverable", "--json").json] == [1, 3, 0]
    taken = command("ledger", "discoverable", "0", "1", "--off", "--json")
    assert [(one["index"], one["discoverable"]) for one in taken.json] == [(0, False), (1, False)]
    assert [one["index"] for one in command("ledger", "discoverable", "--json").json] == [3]
    for args, code in (
        (("77",), 3),
        (("--off",), 2),
        ((filled.stripped["hopper"],), 4),
        (("nothing.jpg",), 2),
    ):
        assert command("ledger", "discoverable", *args).code == code, args
    done = command("record", filled.stripped["astronaut"], "--discoverable", "--json")
    assert done.json[0]["discoverable"] is True and "guessing" in json.dumps(done.json)
    done = command("sign", filled.stripped["astronaut"], "--discoverable")
    assert "warning" in done.err and done.code == 0


@pytest.mark.evm
def test_an_anchor_is_checked_where_its_contract_is_trusted(
    settings: tuple[Settings, dict[Role, str]],
    start_anvil: Callable[..., Any],
    command: Callable[..., Run],
    filled: Filled,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    from eth_account import Account

    from provenance.ledger.evm.receipts import anchor_log
    from provenance.ledger.evm.records import deploy
    from provenance.ledger.evm.rpc import Node
    from provenance.trust.store import TrustStore

    monkeypatch.setattr("provenance.ledger.evm.anchor.POLL_SECONDS", 0.05)
    monkeypatch.setattr("provenance.ledger.evm.transact.POLL_SECONDS", 0.05)
    chain = start_anvil()
    owner = Account.create()
    chain.fund(owner.address)
    node = Node.connect(chain.url, chain_id=31337)
    contract = deploy(node, owner)[0]
    with LocalLedger.open(filled.home.ledger) as ledger:
        anchor_log(filled.home, ledger, contract, owner)
    copy = filled.stripped["hopper"]
    with running(settings[0]) as url:
        # whoever trusts neither the log nor the contract is told that nothing was checked
        monkeypatch.setenv("VEILMARK_HOME", str(tmp_path / "nobody"))
        (found,) = command("find", copy, "--service", url, "--json").json
        assert {one["anchor"] for one in found["records"]} == {"logged-anchor-not-checked"}
        assert all("log that you do not trust" in one["anchor_detail"] for one in found["records"])
        trusting(filled, monkeypatch, tmp_path)
        unasked = command("find", copy, "--service", url)
        assert "anchor: not checked: no node was asked (--rpc URL asks one)" in " ".join(unasked.out.split())
        refused = command("find", copy, "--service", url, "--rpc", chain.url)
        assert refused.code == 2 and "no contract you trust" in refused.err
        # another owner's contract is not the one that the receipt names
        trust = TrustStore.load(Home.locate())
        trust.add_contract(31337, contract.address.lower(), "0x" + "11" * 20)
        (found,) = command("find", copy, "--service", url, "--rpc", chain.url, "--json").json
        assert {one["anchor"] for one in found["records"]} == {"logged-anchor-not-checked"}
        assert "does not know" in found["records"][0]["anchor_detail"]
        trust.add_contract(31337, contract.address.lower(), owner.address.lower())
        done = command("find", copy, "--service", url, "--rpc", chain.url, "--json")
        (found,) = done.json
        assert done.code == 0
        assert {one["anchor"] for one in found["records"]} == {"logged-anchored-according-to-rpc"}
        assert all(one["anchored_at"].endswith("Z") for one in found["records"])
        with veilmark.open(Home.locate()) as v:
            said = v.find_on_service(copy, url, rpc=[chain.url])
        assert said.records[0].anchor is LedgerStatus.ANCHORED_BY_RPC
        # a node that does not answer is no proof, and no fault
        chain.stop()
        done = command("find", copy, "--service", url, "--rpc", chain.url, "--json")
        (found,) = done.json
        assert done.code == 0 and found["records"][0]["anchor"] == "logged-anchor-not-checked"

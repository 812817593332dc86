"""Anchoring on a real node: the way through, and every way it goes wrong."""

from __future__ import annotations

import hashlib
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from eth_account.signers.local import LocalAccount

from provenance.errors import ChainError, ForkError, UsageError
from provenance.home import Home
from provenance.ledger.evm.anchor import AnchorPolicy, AnchorStatus, anchor_checkpoint
from provenance.ledger.evm.contract import MediaLedger, encode_call, log_id_of
from provenance.ledger.evm.fees import GWEI, Fees
from provenance.ledger.evm.rpc import Node
from provenance.ledger.evm.state import AnchorState, AnchorStore
from provenance.ledger.evm.transact import Call, Outcome, Sent, broadcast, send, sign

pytestmark = pytest.mark.evm

ORIGIN = "example.org/log"
LOG = log_id_of(ORIGIN)


def root(number: int) -> bytes:
    return hashlib.sha256(number.to_bytes(8, "big")).digest()


def anchor(home: Home, ledger: MediaLedger, owner: LocalAccount, size: int, **options: Any) -> AnchorStatus:
    arguments: dict[str, Any] = {"origin": ORIGIN, "size": size, "root": root(size), "timeout": 20.0}
    return anchor_checkpoint(home, ledger, owner, **{**arguments, **options})


def anchor_count(ledger: MediaLedger, owner: LocalAccount) -> int:
    return ledger.head(owner.address, LOG).count


# ------------------------------------------------------------------------------------------------- the way through


def test_a_checkpoint_is_anchored_and_can_be_proved(
    home: Home, node: Node, ledger: MediaLedger, owner: LocalAccount
) -> None:
    said: list[str] = []
    status = anchor(home, ledger, owner, 7, progress=said.append)
    assert status.state is AnchorState.CONFIRMED
    assert status.claim is not None and status.block_number is not None
    assert ledger.anchored_root(owner.address, LOG, 7) == root(7)
    header = node.header(status.block_number)
    assert header is not None and status.claim.verify(header.hash).timestamp == header.timestamp
    assert any("sent 0x" in words for words in said)


def test_anchoring_again_changes_nothing_and_costs_nothing(
    home: Home, node: Node, ledger: MediaLedger, owner: LocalAccount
) -> None:
    first = anchor(home, ledger, owner, 7)
    nonce, balance = node.transaction_count(owner.address), node.balance(owner.address)
    again = anchor(home, ledger, owner, 7)
    assert (again.state, again.claim) == (first.state, first.claim)
    # even with this machine's memory gone
    (home.data / "anchors.sqlite3").unlink()
    forgetful = anchor(home, ledger, owner, 7)
    assert forgetful.state is AnchorState.CONFIRMED and forgetful.block_number == first.block_number
    assert (node.transaction_count(owner.address), node.balance(owner.address)) == (nonce, balance)


def test_checkpoints_follow_each_other_and_earlier_ones_stay(
    home: Home, node: Node, ledger: MediaLedger, owner: LocalAccount
) -> None:
    blocks = [anchor(home, ledger, owner, size).block_number for size in (3, 8, 20)]
    assert blocks == sorted(set(blocks), key=lambda block: block or 0)
    with AnchorStore(home) as store:
        assert [row.key.size for row in store.confirmed(LOG)] == [3, 8, 20]
        assert store.rows(unfinished=True) == []
    for size, block in zip((3, 8, 20), blocks, strict=True):
        assert ledger.anchor_block(owner.address, LOG, size, node.latest().number) == block


def test_confirmations_are_waited_for(
    home: Home, anvil: Any, ledger: MediaLedger, owner: LocalAccount
) -> None:
    policy = AnchorPolicy(confirmations=5)
    assert anchor(home, ledger, owner, 7, policy=policy, wait=False).state is AnchorState.PENDING
    status = anchor(home, ledger, owner, 7, policy=policy, timeout=0.0)
    assert (status.state, status.confirmations, status.needed) == (AnchorState.MINED, 1, 5)
    assert status.claim is None
    anvil.mine(3)
    assert anchor(home, ledger, owner, 7, policy=policy, wait=False).state is AnchorState.MINED
    anvil.mine(1)
    status = anchor(home, ledger, owner, 7, policy=policy, wait=False)
    assert (status.state, status.confirmations) == (AnchorState.CONFIRMED, 5)


def test_a_smaller_checkpoint_is_superseded(home: Home, ledger: MediaLedger, owner: LocalAccount) -> None:
    anchor(home, ledger, owner, 20)
    status = anchor(home, ledger, owner, 7)
    assert status.state is AnchorState.SUPERSEDED
    assert "size 20" in status.remark


@pytest.mark.parametrize("size", [0, 2**63])
def test_impossible_checkpoints_are_refused(
    home: Home, ledger: MediaLedger, owner: LocalAccount, size: int
) -> None:
    with pytest.raises(UsageError, match="cannot be anchored"):
        anchor(home, ledger, owner, size, root=root(1))


def test_another_root_for_an_anchored_size_is_a_fork(
    home: Home, ledger: MediaLedger, owner: LocalAccount, tmp_path: Path
) -> None:
    anchor(home, ledger, owner, 7)
    with pytest.raises(ForkError, match="another root for size 7"):
        anchor(home, ledger, owner, 7, root=root(8))
    elsewhere = Home(data=tmp_path / "elsewhere", config=tmp_path / "elsewhere")
    with pytest.raises(ForkError, match="the chain holds another root"):
        anchor(elsewhere, ledger, owner, 7, root=root(8))


# ---------------------------------------------------------------------------------------------------- interruptions


def test_a_program_killed_before_sending_goes_on_with_the_same_transaction(
    home: Home, node: Node, ledger: MediaLedger, owner: LocalAccount, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Killed(BaseException):
        pass

    def die(*_: Any) -> Any:
        raise Killed

    with monkeypatch.context() as patch:
        patch.setattr("provenance.ledger.evm.transact.broadcast", die)
        with pytest.raises(Killed):
            anchor(home, ledger, owner, 7)
    with AnchorStore(home) as store:
        (row,) = store.rows(unfinished=True)
    assert row.state is AnchorState.PENDING and row.sent is not None
    status = anchor(home, ledger, owner, 7)
    assert status.state is AnchorState.CONFIRMED
    assert status.transaction_hash == row.sent.hashes[-1]
    assert anchor_count(ledger, owner) == 1


def test_a_killed_process_goes_on_where_it_was(
    home: Home, anvil: Any, ledger: MediaLedger, owner: LocalAccount
) -> None:
    anvil.rpc("evm_setAutomine", False)
    process = subprocess.Popen(worker(home, anvil, ledger, owner, 7), stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline().startswith("sent 0x")
    process.kill()
    process.wait()
    process.stdout.close()
    anvil.rpc("evm_setAutomine", True)
    anvil.mine()
    assert anchor(home, ledger, owner, 7).state is AnchorState.CONFIRMED
    assert anchor_count(ledger, owner) == 1


def test_a_node_that_forgot_the_transaction_gets_it_again(
    home: Home, anvil: Any, ledger: MediaLedger, owner: LocalAccount
) -> None:
    anvil.rpc("evm_setAutomine", False)
    status = anchor(home, ledger, owner, 7, wait=False)
    assert status.state is AnchorState.PENDING and status.transaction_hash is not None
    anvil.rpc("anvil_dropTransaction", "0x" + status.transaction_hash.hex())
    anvil.rpc("evm_setAutomine", True)
    done = anchor(home, ledger, owner, 7)
    assert done.state is AnchorState.CONFIRMED and done.transaction_hash == status.transaction_hash


# ------------------------------------------------------------------------------------------------------------ races


def worker(home: Home, anvil: Any, ledger: MediaLedger, owner: LocalAccount, *sizes: int) -> list[str]:
    """A process that anchors these sizes one after the other with the owner's key."""
    script = Path(__file__).parents[3] / "support" / "anchor_worker.py"
    arguments = [str(home.data), anvil.url, ledger.address, owner.key.hex(), ORIGIN]
    return [sys.executable, str(script), *arguments, *map(str, sizes)]


def run_together(commands: list[list[str]]) -> list[str]:
    processes = [
        subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        for command in commands
    ]
    outputs = [process.communicate(timeout=120)[0] for process in processes]
    assert [process.returncode for process in processes] == [0] * len(commands), outputs
    return outputs


def test_two_processes_on_two_machines_race_for_nonces(
    tmp_path: Path, anvil: Any, ledger: MediaLedger, owner: LocalAccount
) -> None:
    """Both own the key, and know nothing of each other; the logs differ, so every anchor must arrive."""
    anvil.rpc("evm_setAutomine", False)
    anvil.rpc("evm_setIntervalMining", 1)
    homes = [Home(data=tmp_path / name, config=tmp_path) for name in ("one", "two")]
    commands = [worker(home, anvil, ledger, owner, 1, 2, 3) for home in homes]
    commands[1][6] = "example.org/other"
    outputs = run_together(commands)
    assert all(output.count("confirmed") == 3 for output in outputs), outputs
    for origin in (ORIGIN, "example.org/other"):
        assert ledger.head(owner.address, log_id_of(origin)).count == 3


def test_two_processes_on_one_machine_anchor_the_same_checkpoint_once(
    home: Home, anvil: Any, ledger: MediaLedger, owner: LocalAccount
) -> None:
    outputs = run_together([worker(home, anvil, ledger, owner, 9)] * 2)
    assert all("confirmed" in output for output in outputs), outputs
    assert anchor_count(ledger, owner) == 1


def test_a_nonce_taken_by_another_transaction_is_noticed(
    home: Home, anvil: Any, node: Node, ledger: MediaLedger, owner: LocalAccount
) -> None:
    anvil.rpc("evm_setAutomine", False)
    status = anchor(home, ledger, owner, 7, wait=False)
    with AnchorStore(home) as store:
        (row,) = store.rows()
    assert row.sent is not None
    rival = sign(
        node,
        owner,
        Call(ledger.address, encode_call("commit", "cid", "from another program")),
        nonce=row.sent.nonce,
        fees=Fees(row.sent.fees.most * 3, row.sent.fees.tip * 3),
        gas=200_000,
    )
    broadcast(node, rival)
    anvil.mine()
    anvil.rpc("evm_setAutomine", True)
    assert ledger.anchored_root(owner.address, LOG, 7) is None
    done = anchor(home, ledger, owner, 7)
    assert done.state is AnchorState.CONFIRMED
    assert done.transaction_hash not in (None, status.transaction_hash)


def through(url: str, ledger: MediaLedger) -> MediaLedger:
    return MediaLedger(Node.connect(url), ledger.address)


def test_another_programs_waiting_transaction_is_not_pushed_aside(
    home: Home, anvil: Any, node: Node, liar: Callable[..., str], ledger: MediaLedger, owner: LocalAccount
) -> None:
    """A node that has not counted the other program's transaction yet: the same nonce is signed twice."""

    def late(method: str, params: list[Any], answer: dict[str, Any]) -> dict[str, Any]:
        if method == "eth_getTransactionCount" and params[1] == "pending":
            return {**answer, "result": hex(node.transaction_count(owner.address))}
        return answer

    anvil.rpc("evm_setAutomine", False)
    rival = send(node, owner, Call(ledger.address, encode_call("commit", "cid", "another program's")))
    status = anchor(home, through(liar(anvil.url, late), ledger), owner, 7, wait=False)
    assert sent_of(home).nonce == rival.nonce + 1 and status.state is AnchorState.PENDING
    anvil.mine()
    assert node.receipt(rival.hashes[-1]) is not None
    assert anchor(home, ledger, owner, 7).state is AnchorState.CONFIRMED


def test_a_nonce_that_was_just_used_is_replaced_by_the_next(
    home: Home, anvil: Any, node: Node, liar: Callable[..., str], ledger: MediaLedger, owner: LocalAccount
) -> None:
    stale = [node.transaction_count(owner.address) - 1]

    def once_late(method: str, params: list[Any], answer: dict[str, Any]) -> dict[str, Any]:
        if method == "eth_getTransactionCount" and params[1] == "pending" and stale:
            return {**answer, "result": hex(stale.pop())}
        return answer

    done = anchor(home, through(liar(anvil.url, once_late), ledger), owner, 7)
    assert done.state is AnchorState.CONFIRMED and stale == []
    with AnchorStore(home) as store:
        (row,) = store.rows()
    assert row.attempts == 2


# ------------------------------------------------------------------------------------------------------------- fees


def sent_of(home: Home) -> Sent:
    with AnchorStore(home) as store:
        (row,) = store.rows()
    assert row.sent is not None
    return row.sent


def test_a_transaction_that_pays_too_little_is_replaced(
    home: Home, anvil: Any, node: Node, ledger: MediaLedger, owner: LocalAccount
) -> None:
    """The chain becomes dearer than it pays; the node throws it out and does not take it back."""
    anvil.rpc("evm_setAutomine", False)
    first = anchor(home, ledger, owner, 7, wait=False)
    old = sent_of(home)
    anvil.rpc("anvil_setNextBlockBaseFeePerGas", hex(old.fees.most * 2))
    anvil.mine()
    assert broadcast(node, old) is Outcome.UNDERPRICED
    second = anchor(home, ledger, owner, 7, wait=False)
    new = sent_of(home)
    assert second.transaction_hash == new.hashes[-1] and new.hashes[:-1] == old.hashes
    assert new.nonce == old.nonce and new.fees.most > node_base_fee(anvil)
    anvil.rpc("evm_setAutomine", True)
    anvil.mine()
    done = anchor(home, ledger, owner, 7)
    assert done.state is AnchorState.CONFIRMED and anchor_count(ledger, owner) == 1
    assert done.transaction_hash == second.transaction_hash != first.transaction_hash


def node_base_fee(anvil: Any) -> int:
    return int(anvil.rpc("eth_getBlockByNumber", "latest", False)["baseFeePerGas"], 16)


def test_a_transaction_that_waits_too_long_is_replaced(
    home: Home, anvil: Any, node: Node, ledger: MediaLedger, owner: LocalAccount
) -> None:
    anvil.rpc("evm_setAutomine", False)
    anchor(home, ledger, owner, 7, wait=False)
    old = sent_of(home)
    anchor(home, ledger, owner, 7, wait=False)
    assert sent_of(home) == old, "patience is 90 seconds"
    anchor(home, ledger, owner, 7, wait=False, policy=AnchorPolicy(bump_after=0.0))
    new = sent_of(home)
    assert (new.nonce, new.hashes[:-1]) == (old.nonce, old.hashes)
    assert new.fees.most > old.fees.most * 9 // 8 and new.fees.tip > old.fees.tip * 9 // 8
    anvil.mine()
    done = anchor(home, ledger, owner, 7)
    assert done.state is AnchorState.CONFIRMED and anchor_count(ledger, owner) == 1
    assert node.receipt(new.hashes[-1]) is not None and node.receipt(old.hashes[-1]) is None


def test_a_replacement_over_the_ceiling_is_not_made(
    home: Home, anvil: Any, ledger: MediaLedger, owner: LocalAccount
) -> None:
    anvil.rpc("evm_setAutomine", False)
    anchor(home, ledger, owner, 7, wait=False)
    old = sent_of(home)
    tight = AnchorPolicy(bump_after=0.0, max_fee_gwei=old.fees.most / GWEI)
    with pytest.raises(ChainError, match="over the ceiling"):
        anchor(home, ledger, owner, 7, wait=False, policy=tight)
    assert sent_of(home) == old


def test_a_fee_over_the_ceiling_is_not_paid(
    home: Home, anvil: Any, node: Node, ledger: MediaLedger, owner: LocalAccount
) -> None:
    anvil.rpc("anvil_setNextBlockBaseFeePerGas", hex(50 * GWEI))
    anvil.mine()
    with pytest.raises(ChainError, match="over the ceiling of 20") as caught:
        anchor(home, ledger, owner, 7, policy=AnchorPolicy(max_fee_gwei=20))
    assert caught.value.hint
    assert node.transaction_count(owner.address, "pending") == node.transaction_count(owner.address)


def test_out_of_funds(home: Home, anvil: Any, node: Node, ledger: MediaLedger, owner: LocalAccount) -> None:
    anvil.fund(owner.address, 1000)
    with pytest.raises(ChainError, match=r"account 0x\w+ has 0\.000000") as caught:
        anchor(home, ledger, owner, 7)
    assert "send some to that address" in caught.value.hint
    anvil.fund(owner.address)
    assert anchor(home, ledger, owner, 7).state is AnchorState.CONFIRMED


# -------------------------------------------------------------------------------------------------- reorganisations


@pytest.mark.parametrize("confirmations", [1, 3])
def test_a_reorganisation_that_drops_the_anchor_sends_it_again(
    home: Home, anvil: Any, node: Node, ledger: MediaLedger, owner: LocalAccount, confirmations: int
) -> None:
    """Both while it waits for confirmations, and after it was confirmed with too few."""
    anvil.mine(3)
    policy = AnchorPolicy(confirmations=confirmations)
    anchor(home, ledger, owner, 7, policy=policy, wait=False)
    first = anchor(home, ledger, owner, 7, policy=policy, wait=False)
    assert first.state is (AnchorState.CONFIRMED if confirmations == 1 else AnchorState.MINED)
    anvil.mine(1)
    anvil.rpc("anvil_reorg", 3, [])
    assert ledger.anchored_root(owner.address, LOG, 7) is None
    said: list[str] = []
    after = anchor(home, ledger, owner, 7, policy=policy, wait=False, progress=said.append)
    assert after.state is AnchorState.PENDING and after.claim is None
    assert "the block that held it left the chain" in said
    with AnchorStore(home) as store:
        assert store.confirmed(LOG) == []
    for _ in range(2):
        anvil.mine(confirmations)
        done = anchor(home, ledger, owner, 7, policy=policy, wait=False)
    assert done.state is AnchorState.CONFIRMED and done.claim is not None
    header = node.header(done.claim.block_number)
    assert header is not None and header.hash == done.claim.block_hash


def test_an_anchor_that_moved_to_another_block_gets_a_new_proof(
    home: Home, anvil: Any, node: Node, ledger: MediaLedger, owner: LocalAccount
) -> None:
    snapshot = anvil.rpc("evm_snapshot")
    first = anchor(home, ledger, owner, 7)
    with AnchorStore(home) as store:
        (row,) = store.rows()
    assert row.sent is not None and first.claim is not None
    anvil.rpc("evm_revert", snapshot)
    anvil.mine(2)
    broadcast(node, row.sent)
    anvil.mine()
    second = anchor(home, ledger, owner, 7)
    assert second.state is AnchorState.CONFIRMED and second.claim is not None
    assert second.claim.block_number != first.claim.block_number
    assert second.transaction_hash == first.transaction_hash


def test_a_node_that_is_down(home: Home, anvil: Any, ledger: MediaLedger, owner: LocalAccount) -> None:
    anvil.stop()
    with pytest.raises(ChainError, match="cannot reach a node at 127") as caught:
        anchor(home, ledger, owner, 7)
    assert "start it" in caught.value.hint
    with AnchorStore(home) as store:
        assert store.rows() == []

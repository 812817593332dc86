"""Nodes that are down, wrong, slow or huge: one clear error with a hint each."""

from __future__ import annotations

import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest
from eth_account.signers.local import LocalAccount

from provenance.errors import ChainError, UsageError
from provenance.ledger.evm.contract import MediaLedger
from provenance.ledger.evm.rpc import Node, checked_address

DEAD = "http://127.0.0.1:9"


def test_a_node_that_is_down() -> None:
    with pytest.raises(ChainError, match=r"cannot reach a node at 127\.0\.0\.1:9") as caught:
        Node.connect(DEAD)
    assert "start it" in caught.value.hint and caught.value.exit_code == 3


@pytest.mark.parametrize("url", ["", "localhost:8545", "ftp://127.0.0.1", "file:///etc/passwd", "http://"])
def test_what_is_no_url_of_a_node(url: str) -> None:
    with pytest.raises(UsageError, match="no http"):
        Node.connect(url)


def test_an_access_key_in_the_url_is_never_shown() -> None:
    with pytest.raises(ChainError) as caught:
        Node.connect(DEAD + "/v3/0123456789abcdef")
    assert "0123456789abcdef" not in str(caught.value) + caught.value.hint


@pytest.fixture
def server() -> Any:
    """``server(data, pause)``: a listener that answers anything with these bytes, dripping or at once."""
    listeners = []

    def start(parts: list[bytes], pause: float = 0.0) -> str:
        listener = socket.create_server(("127.0.0.1", 0))
        listeners.append(listener)

        def serve() -> None:
            try:
                connection, _ = listener.accept()
                with connection:
                    connection.recv(65536)
                    for part in parts:
                        connection.sendall(part)
                        time.sleep(pause)
            except OSError:
                return

        threading.Thread(target=serve, daemon=True).start()
        return f"http://127.0.0.1:{listener.getsockname()[1]}"

    yield start
    for listener in listeners:
        listener.close()


def http(body: bytes, status: str = "200 OK") -> bytes:
    head = f"HTTP/1.1 {status}\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    return head.encode() + body


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        (b"<html>hello</html>", "did not answer eth_chainId in JSON-RPC"),
        (b"[1, 2]", "malformed|JSON-RPC"),
        (b"{}", "malformed answer to eth_chainId"),
        (b'{"result": 7}', "is no number"),
        (b'{"result": "0xzz"}', "is no number"),
        (b'{"result": "0x' + b"f" * 70 + b'"}', "is no number"),
        (b'{"error": {"code": -32000, "message": "go away"}}', "refused eth_chainId: go away"),
        (b'{"error": "go away"}', "malformed answer"),
        (b'{"result": ' + b"[" * 100_000, "JSON-RPC"),
    ],
)
def test_nonsense(server: Callable[..., str], answer: bytes, message: str) -> None:
    with pytest.raises(ChainError, match=message):
        Node.connect(server([http(answer)]))


def test_http_errors(server: Callable[..., str]) -> None:
    with pytest.raises(ChainError, match="answered HTTP 401") as caught:
        Node.connect(server([http(b"{}", "401 Unauthorized")]))
    assert "access key" in caught.value.hint


def test_a_huge_answer_is_cut_off(server: Callable[..., str]) -> None:
    head = b"HTTP/1.1 200 OK\r\nContent-Length: 99999999\r\n\r\n"
    with pytest.raises(ChainError, match="JSON-RPC"):
        Node.connect(server([head, *[b"1" * 1_000_000] * 20]))


def test_a_silent_node_is_given_up(server: Callable[..., str]) -> None:
    started = time.monotonic()
    with pytest.raises(ChainError, match="did not answer in time"):
        Node.connect(server([b""], pause=5), timeout=0.3)
    assert time.monotonic() - started < 3


def test_a_dripping_node_is_given_up(server: Callable[..., str]) -> None:
    """Each part comes in time, the whole never."""
    head = b"HTTP/1.1 200 OK\r\nContent-Length: 10000\r\n\r\n"
    started = time.monotonic()
    with pytest.raises(ChainError):
        Node.connect(server([head, *[b" "] * 100], pause=0.1), timeout=0.5)
    assert time.monotonic() - started < 5


@pytest.mark.evm
def test_the_wrong_chain(anvil: Any) -> None:
    assert Node.connect(anvil.url).chain_id == 31337
    with pytest.raises(ChainError, match="is on chain 31337, expected chain 1") as caught:
        Node.connect(anvil.url, chain_id=1)
    assert "--chain-id" in caught.value.hint


@pytest.mark.evm
def test_no_contract_at_the_address(node: Node) -> None:
    with pytest.raises(ChainError, match=r"no contract at 0x1111\w+ on chain 31337") as caught:
        MediaLedger.at(node, "0x" + "11" * 20)
    assert "--contract" in caught.value.hint


@pytest.mark.evm
def test_headers_hash_to_their_hash(anvil: Any, node: Node, ledger: MediaLedger) -> None:
    for number in range(node.latest().number + 1):
        by_number = node.header(number)
        assert by_number is not None and node.header(by_number.hash) == by_number
    assert node.header(10_000) is None and node.header(b"\x01" * 32) is None


@pytest.mark.evm
@pytest.mark.parametrize("fork", ["london", "shanghai", "cancun", "prague"])
def test_headers_of_each_fork(start_anvil: Callable[..., Any], fork: str) -> None:
    anvil = start_anvil("--hardfork", fork)
    anvil.mine(2)
    assert Node.connect(anvil.url).latest().number == 2


@pytest.mark.evm
def test_another_block_than_asked_for_is_refused(anvil: Any, liar: Callable[..., str]) -> None:
    anvil.mine(2)
    old = anvil.rpc("eth_getBlockByNumber", "0x1", False)

    def alter(method: str, params: list[Any], answer: dict[str, Any]) -> dict[str, Any]:
        return {**answer, "result": old} if method.startswith("eth_getBlock") else answer

    node = Node.connect(liar(anvil.url, alter))
    for asked in (2, b"\x11" * 32):
        with pytest.raises(ChainError, match="another block than the one asked for"):
            node.header(asked)


def test_addresses(owner_address: str = "0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed") -> None:
    assert checked_address(owner_address.lower()) == owner_address
    for wrong in ("0x12", "x" * 42, None, owner_address.replace("a", "A", 1)):
        with pytest.raises(UsageError):
            checked_address(wrong)


@pytest.mark.evm
def test_balance_and_count(anvil: Any, node: Node, owner: LocalAccount) -> None:
    assert node.balance(owner.address) == 100 * 10**18
    assert node.transaction_count(owner.address) == 0


def test_the_recursion_limit_stays_as_it_was() -> None:
    """Importing eth-account raises it so far that nested JSON would crash the whole program."""
    program = (
        "import sys, json; import provenance.ledger.evm as evm;"
        "evm.check_anchor, evm.load_account, evm.deploy, evm.anchor_checkpoint;"
        "assert 'py_ecc' in sys.modules; assert sys.getrecursionlimit() == 1000, sys.getrecursionlimit();"
        "print(json.loads('[' * 100000))"
    )
    finished = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert finished.returncode == 1 and "RecursionError" in finished.stderr

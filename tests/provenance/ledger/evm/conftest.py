"""Real Anvil nodes on free loopback ports, funded accounts, and a proxy that makes a node lie."""

from __future__ import annotations

import contextlib
import json
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import requests
from eth_account import Account
from eth_account.signers.local import LocalAccount
from eth_utils.crypto import keccak

from provenance.home import Home
from provenance.ledger.evm.contract import MediaLedger
from provenance.ledger.evm.records import deploy
from provenance.ledger.evm.rpc import Node
from tests.conftest import absent
from tests.support.anvil.install import find_anvil

ETHER = 10**18


class Anvil:
    """A running node."""

    def __init__(self, program: Path, *options: str) -> None:
        with socket.socket() as listener:
            listener.bind(("127.0.0.1", 0))
            self.port = listener.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"
        command = [str(program), "--host", "127.0.0.1", "--port", str(self.port), "--silent", *options]
        self.process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        end = time.monotonic() + 30
        while True:
            try:
                self.rpc("eth_chainId")
                return
            except OSError:
                if self.process.poll() is not None or time.monotonic() > end:
                    self.stop()
                    raise RuntimeError("anvil did not start") from None
                time.sleep(0.02)

    def rpc(self, method: str, *parameters: Any) -> Any:
        answer = forward(self.url, {"jsonrpc": "2.0", "id": 1, "method": method, "params": list(parameters)})
        assert "error" not in answer, answer
        return answer["result"]

    def mine(self, blocks: int = 1) -> None:
        self.rpc("anvil_mine", hex(blocks))

    def fund(self, address: str, wei: int = 100 * ETHER) -> None:
        self.rpc("anvil_setBalance", address, hex(wei))

    def stop(self) -> None:
        self.process.kill()
        self.process.wait(10)


def forward(url: str, request: dict[str, Any]) -> dict[str, Any]:
    try:
        answer = requests.post(url, json=request, timeout=10)
    except requests.ConnectionError as error:
        raise ConnectionError(str(error)) from error
    return answer.json()


@pytest.fixture(scope="session")
def anvil_program() -> Path:
    program = find_anvil()
    if program is None:
        absent("evm", "anvil is not installed: run `python -m tests.support.anvil.install` (needs npm)")
    return Path(str(program))


@pytest.fixture
def start_anvil(anvil_program: Path) -> Iterator[Callable[..., Anvil]]:
    """``start_anvil("--option", ...)``: a fresh node of its own; stopped after the test."""
    with contextlib.ExitStack() as stack:

        def start(*options: str) -> Anvil:
            node = Anvil(anvil_program, *options)
            stack.callback(node.stop)
            return node

        yield start


@pytest.fixture
def anvil(start_anvil: Callable[..., Anvil]) -> Anvil:
    return start_anvil()


@pytest.fixture
def node(anvil: Anvil) -> Node:
    return Node.connect(anvil.url, chain_id=31337)


@pytest.fixture
def owner(anvil: Anvil) -> LocalAccount:
    """The log's owner: a key of its own with 100 ether."""
    account = Account.from_key(keccak(text="the owner of a log, for tests"))
    anvil.fund(account.address)
    return account


@pytest.fixture
def ledger(node: Node, owner: LocalAccount) -> MediaLedger:
    return deploy(node, owner)[0]


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return Home(data=tmp_path / "data", config=tmp_path / "config")


@pytest.fixture(autouse=True)
def _quick_polls(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("provenance.ledger.evm.anchor.POLL_SECONDS", 0.05)
    monkeypatch.setattr("provenance.ledger.evm.transact.POLL_SECONDS", 0.05)


@pytest.fixture
def liar() -> Iterator[Callable[..., str]]:
    """``liar(url, alter)``: the URL of a server that passes calls on to ``url`` and lets
    ``alter(method, params, answer)`` change what comes back."""
    with contextlib.ExitStack() as stack:

        def start(url: str, alter: Callable[[str, list[Any], dict[str, Any]], Any]) -> str:
            class Handler(BaseHTTPRequestHandler):
                protocol_version = "HTTP/1.1"

                def do_POST(self) -> None:
                    body = self.rfile.read(int(self.headers["Content-Length"]))
                    request = json.loads(body)
                    answer = alter(request["method"], request["params"], forward(url, request))
                    data = answer if isinstance(answer, bytes) else json.dumps(answer).encode()
                    self.send_response(200)
                    self.send_header("Content-Type", "application/json")
                    self.send_header("Content-Length", str(len(data)))
                    self.end_headers()
                    with contextlib.suppress(OSError):
                        self.wfile.write(data)

                def log_message(self, *arguments: Any) -> None:
                    pass

            server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
            server.daemon_threads = True
            thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
            thread.start()

            def stop() -> None:
                server.shutdown()
                server.server_close()
                thread.join(5)

            stack.callback(stop)
            return f"http://127.0.0.1:{server.server_address[1]}"

        yield start

"""Who asks for an anchor and gets none is told so, in every depth."""

from __future__ import annotations

import http.server
import json
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner

from cli import app
from provenance.home import Home
from provenance.trust.store import TrustStore

pytest.importorskip("web3")
RUN = CliRunner()
CONTRACT = "0x" + "11" * 20
OWNER = "0x" + "22" * 20


@pytest.fixture
def busy_node() -> Iterator[str]:
    """An RPC node that has no time."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers.get("Content-Length", "0")))
            self.send_response(429)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_address[1]}"
        server.shutdown()


@pytest.fixture
def signed(portrait_files: dict[str, Path]) -> str:
    assert RUN.invoke(app, ["init", "--name", "House"]).exit_code == 0
    TrustStore.load(Home.locate()).add_contract(31337, CONTRACT, OWNER)
    assert RUN.invoke(app, ["sign", str(portrait_files["hopper"])]).exit_code == 0
    return str(portrait_files["hopper"].with_name("hopper.signed.jpg"))


def check(path: str, ways: list[list[str]]) -> None:
    for way in ways:
        for depth in ([], ["--brief"], ["-v"]):
            done = RUN.invoke(app, ["verify", path, *way, *depth])
            assert done.exit_code == 0
            assert "but no anchor on a chain was shown" in " ".join(done.stdout.split()), (way, depth)
        said = json.loads(RUN.invoke(app, ["verify", "--json", path, *way]).stdout)
        assert any("anchor not checked" in warning for warning in said["warnings"])
        required = RUN.invoke(app, ["verify", "--brief", path, *way, "--require-anchor"])
        assert required.exit_code == 3 and "one is required" in " ".join(required.stdout.split())


def test_a_node_that_is_not_there_or_has_no_time_is_not_silence(signed: str, busy_node: str) -> None:
    check(signed, [["--rpc", "http://127.0.0.1:9"], ["--rpc", busy_node], ["--block-hash", "ab" * 32]])


def test_an_anchor_cannot_be_required_without_a_way_to_check_it(signed: str) -> None:
    assert RUN.invoke(app, ["verify", signed, "--require-anchor"]).exit_code == 2
    assert RUN.invoke(app, ["verify", signed]).exit_code == 0

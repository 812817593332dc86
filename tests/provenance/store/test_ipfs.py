"""The IPFS backend: against a real daemon (marker ``ipfs``), and against servers that misbehave."""

from __future__ import annotations

import contextlib
import http.server
import json
import random
import shutil
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from provenance.errors import StoreError, UsageError
from provenance.store.ipfs import IpfsStore
from provenance.store.local import LocalStore
from provenance.store.queue import UploadQueue, push
from provenance.store.unixfs import cid_of, layout
from tests.conftest import absent

ROOT = Path(__file__).resolve().parents[3]
MODULES = ROOT / ".cache" / "ipfs"


class Daemon:
    """js-ipfs on loopback, which tests may stop and start again on the same repository."""

    def __init__(self, repo: Path) -> None:
        self.repo = repo
        self.process: subprocess.Popen[str] | None = None
        self.address = ""

    def start(self) -> None:
        script = ROOT / "tests" / "support" / "ipfs" / "daemon.mjs"
        command = ["node", str(script), str(MODULES), str(self.repo)]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        if not line:
            pytest.fail("the IPFS daemon did not start")
        self.address = json.loads(line)["api"]

    def stop(self) -> None:
        if self.process is not None:
            self.process.terminate()
            try:
                self.process.wait(20)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
            self.process = None
            (self.repo / "repo.lock").is_dir() and shutil.rmtree(self.repo / "repo.lock")
            (self.repo / "api").unlink(missing_ok=True)


@pytest.fixture(scope="module")
def daemon(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Daemon]:
    if not (MODULES / "node_modules" / "ipfs-daemon").is_dir() or shutil.which("node") is None:
        absent("ipfs", "no ipfs-daemon in .cache/ipfs; tests/support/ipfs/install.sh brings it")
    server = Daemon(tmp_path_factory.mktemp("ipfs") / "repo")
    server.start()
    yield server
    server.stop()


def _bytes(count: int, seed: int = 0) -> bytes:
    return random.Random(seed).randbytes(count)


@pytest.mark.ipfs
@pytest.mark.parametrize("size", [0, 1, 5000, 2**20, 2**20 + 1, 5 * 2**20 + 17])
def test_the_daemon_computes_the_same_cid_and_returns_the_bytes(daemon: Daemon, size: int) -> None:
    store = IpfsStore(daemon.address)
    data = _bytes(size, size)
    assert store.put(data) == cid_of(data)
    assert store.get(cid_of(data)) == data
    assert store.has(cid_of(data))


@pytest.mark.ipfs
def test_blocks_put_one_by_one_make_the_same_file(daemon: Daemon) -> None:
    store = IpfsStore(daemon.address)
    data = _bytes(2 * 2**20 + 5, 99)
    with store._client() as client:
        for cid, block in layout(data):
            store._put_block(client, cid, block)
        client.pin.add(cid_of(data))
    assert store.get(cid_of(data)) == data


@pytest.mark.ipfs
@pytest.mark.parametrize("size", [0, 5000, 2**20, 2**20 + 1, 5 * 2**20 + 17])
def test_a_blob_larger_than_memory_goes_in_pieces(
    daemon: Daemon, size: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is kept in memory is made so small that five blocks are streamed."""
    from provenance.store import ipfs

    monkeypatch.setattr(ipfs, "_CHUNKS_ALL_DAEMONS_LINK_ALIKE", 1)
    data = _bytes(size, 7)
    local, queue = LocalStore(tmp_path / "store"), UploadQueue(tmp_path / "queue")
    cid = local.put_pieces(data[start : start + 70_001] for start in range(0, size, 70_001))
    assert cid == cid_of(data)
    queue.add(cid)
    done = push(local, queue, IpfsStore(daemon.address))
    assert done.uploaded == (cid,) and len(queue) == 0
    store = IpfsStore(daemon.address)
    assert store.has(cid) and b"".join(store.pieces(cid)) == data
    assert max(map(len, store.pieces(cid))) <= 2**20


@pytest.mark.ipfs
def test_what_the_daemon_lacks_is_not_there(daemon: Daemon) -> None:
    store = IpfsStore(daemon.address, timeout=5)
    assert not store.has(cid_of(b"never stored anywhere"))
    with pytest.raises(StoreError):
        store.get(cid_of(b"never stored anywhere"))


@pytest.mark.ipfs
def test_a_daemon_that_goes_down_loses_nothing(daemon: Daemon, tmp_path: Path) -> None:
    local, queue = LocalStore(tmp_path / "store"), UploadQueue(tmp_path / "queue")
    remote = IpfsStore(daemon.address, timeout=5)
    first, second = local.put(b"while it is up"), local.put(b"while it is down")
    queue.add(first)
    assert push(local, queue, remote).uploaded == (first,)
    daemon.stop()
    queue.add(second)
    assert push(local, queue, remote).waiting == 1
    daemon.start()
    again = IpfsStore(daemon.address, timeout=10)
    assert push(local, queue, again).uploaded == (second,)
    assert [again.get(cid) for cid in (first, second)] == [b"while it is up", b"while it is down"]


class _Misbehaving(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.0"
    behave: Callable[[http.server.BaseHTTPRequestHandler], None]

    def do_POST(self) -> None:
        if self.headers.get("Transfer-Encoding") == "chunked":
            while length := int(self.rfile.readline(), 16):
                self.rfile.read(length + 2)
            self.rfile.readline()
        else:
            self.rfile.read(int(self.headers.get("Content-Length", 0)))
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            type(self).behave(self)

    def log_message(self, *_: object) -> None:
        pass


@contextlib.contextmanager
def _serve(behave: Callable[[http.server.BaseHTTPRequestHandler], None]) -> Iterator[str]:
    handler = type("Handler", (_Misbehaving,), {"behave": staticmethod(behave)})
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"/ip4/127.0.0.1/tcp/{server.server_address[1]}/http"
    finally:
        server.shutdown()
        server.server_close()


def _answer(handler: http.server.BaseHTTPRequestHandler, status: int, body: bytes, kind: str) -> None:
    handler.send_response(status)
    handler.send_header("Content-Type", kind)
    handler.end_headers()
    handler.wfile.write(body)


def test_no_daemon_is_said_plainly() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with pytest.raises(StoreError, match="no IPFS daemon answers") as caught:
        IpfsStore(f"/ip4/127.0.0.1/tcp/{port}/http", timeout=2).put(b"x")
    assert "store push" in str(caught.value.hint)
    with pytest.raises(UsageError, match="address"):
        IpfsStore("nonsense").put(b"x")


def test_a_slow_daemon_times_out_and_the_upload_waits(tmp_path: Path) -> None:
    with _serve(lambda handler: time.sleep(3)) as address:
        queue = UploadQueue(tmp_path / "queue")
        store = LocalStore(tmp_path / "store")
        cid = store.put(b"content")
        queue.add(cid)
        start = time.monotonic()
        push(store, queue, IpfsStore(address, timeout=0.4))
        assert time.monotonic() - start < 2.5
    (waiting,) = queue
    assert waiting.cid == cid and "did not answer" in waiting.error
    assert store.get(cid) == b"content"


def test_a_full_daemon_is_an_error_and_the_upload_waits(tmp_path: Path) -> None:
    message = json.dumps({"Message": "write: no space left on device", "Code": 0, "Type": "error"}).encode()
    with _serve(lambda handler: _answer(handler, 500, message, "application/json")) as address:
        queue = UploadQueue(tmp_path / "queue")
        store = LocalStore(tmp_path / "store")
        cids = [store.put(bytes([number])) for number in range(5)]
        for cid in cids:
            queue.add(cid)
        report = push(store, queue, IpfsStore(address, timeout=2))
    assert report.waiting == 5 and len(report.failed) == 3  # it stopped asking
    assert "no space left" in report.failed[0][1]
    assert all(store.has(cid) for cid in cids)


def test_wrong_bytes_are_refused() -> None:
    with _serve(lambda handler: _answer(handler, 200, b"not what you asked for", "text/plain")) as address:
        for wanted in (b"small", _bytes(2**20 + 1)):
            with pytest.raises(StoreError, match="other bytes"):
                IpfsStore(address, timeout=2).get(cid_of(wanted))


def test_an_endless_block_is_cut_off() -> None:
    def flood(handler: http.server.BaseHTTPRequestHandler) -> None:
        handler.send_response(200)
        handler.end_headers()
        for _ in range(400):
            handler.wfile.write(bytes(65536))

    with _serve(flood) as address, pytest.raises(StoreError, match="over"):
        IpfsStore(address, timeout=2).get(cid_of(b"small"))


def test_a_daemon_that_names_another_cid_is_refused() -> None:
    lie = json.dumps({"Name": "x", "Hash": cid_of(b"something else"), "Size": "3"}).encode()
    with (
        _serve(lambda handler: _answer(handler, 200, lie, "application/json")) as address,
        pytest.raises(StoreError, match="was expected"),
    ):
        IpfsStore(address, timeout=2).put(b"abc")


def test_a_daemon_that_talks_nonsense_is_an_error() -> None:
    with (
        _serve(lambda handler: _answer(handler, 200, b"<html>", "application/json")) as address,
        pytest.raises(StoreError),
    ):
        IpfsStore(address, timeout=2).put(b"abc")

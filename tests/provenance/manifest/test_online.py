"""Nothing is fetched unless asked: a manifest that lies at a URL, and a server that counts who calls."""

from __future__ import annotations

import http.server
import threading
from collections.abc import Iterator
from pathlib import Path

import c2pa
import pytest

from provenance.errors import CheckError
from provenance.home import Home
from provenance.identity import certificates
from provenance.identity.identity import Identity, create_identity
from provenance.manifest.read import read_manifest


class Shelf(http.server.ThreadingHTTPServer):
    """Serves one manifest store and counts the visits."""

    store = b""
    visits = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}/store.c2pa"


@pytest.fixture
def shelf() -> Iterator[Shelf]:
    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            assert isinstance(self.server, Shelf)
            self.server.visits += 1
            self.send_response(200)
            self.send_header("Content-Type", "application/c2pa")
            self.send_header("Content-Length", str(len(self.server.store)))
            self.end_headers()
            self.wfile.write(self.server.store)

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    with Shelf(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server
        server.shutdown()


@pytest.fixture
def identity(tmp_path: Path) -> Identity:
    return create_identity(Home(tmp_path / "home", tmp_path / "home/config"), subject="Jane Doe")


def test_a_remote_manifest_is_fetched_only_when_asked(
    shelf: Shelf, identity: Identity, portrait_files: dict[str, Path], tmp_path: Path
) -> None:
    output = tmp_path / "out.jpg"
    created = "http://cv.iptc.org/newscodes/digitalsourcetype/digitalCapture"
    action = {"action": "c2pa.created", "digitalSourceType": created}
    definition = {
        "claim_version": 2,
        "claim_generator_info": [{"name": "test"}],
        "assertions": [{"label": "c2pa.actions.v2", "data": {"actions": [action]}, "created": True}],
    }
    builder = c2pa.Builder(definition)
    builder.set_no_embed()
    builder.set_remote_url(shelf.url)
    signer = c2pa.Signer.from_callback(identity.sign, c2pa.C2paSigningAlg.ES256, identity.chain_pem)
    with portrait_files["hopper"].open("rb") as source, output.open("w+b") as target:
        shelf.store = builder.sign(signer, "image/jpeg", source, target)

    anchors = [certificates.to_pem([identity.root])]
    with pytest.raises(CheckError, match=r"127\.0\.0\.1") as caught:
        read_manifest(output, "image/jpeg", anchors_pem=anchors)
    assert "--online" in str(caught.value.hint)
    assert shelf.visits == 0

    report = read_manifest(output, "image/jpeg", anchors_pem=anchors, online=True)
    assert report is not None
    assert report.state == "trusted"
    assert not report.embedded
    assert report.remote_url == shelf.url
    assert shelf.visits == 1

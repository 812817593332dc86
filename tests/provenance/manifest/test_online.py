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
from provenance.manifest.embed import ManifestSpec, Parent
from provenance.manifest.read import read_manifest
from provenance.record import Relation
from provenance.session import open_session
from provenance.setup import initialize
from provenance.sign import SignRequest, sign_file
from provenance.trust.store import TrustStore
from provenance.verify import verify_file


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


def with_address_only(shelf: Shelf, identity: Identity, source: Path, output: Path) -> None:
    """Sign so that the manifest lies on the shelf, and only its address in the file."""
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
    with source.open("rb") as reading, output.open("w+b") as target:
        shelf.store = builder.sign(signer, "image/jpeg", reading, target)


def test_a_remote_manifest_is_fetched_only_when_asked(
    shelf: Shelf, identity: Identity, portrait_files: dict[str, Path], tmp_path: Path
) -> None:
    output = tmp_path / "out.jpg"
    with_address_only(shelf, identity, portrait_files["hopper"], output)
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


def test_signing_keeps_a_remote_manifest_as_the_parent_or_refuses(
    shelf: Shelf, identity: Identity, portrait_files: dict[str, Path], tmp_path: Path
) -> None:
    remote = tmp_path / "remote.jpg"
    with_address_only(shelf, identity, portrait_files["hopper"], remote)
    home = Home.at(tmp_path / "desk")
    initialize(home, subject="House", algorithm="es256", passphrase=None)
    with open_session(home) as session:
        with pytest.raises(CheckError, match="at an address") as refusal:
            sign_file(remote, tmp_path / "refused.jpg", SignRequest(ManifestSpec()), session)
        assert "--online" in refusal.value.hint and "--parent" in refusal.value.hint
        assert shelf.visits == 0 and not (tmp_path / "refused.jpg").exists()
        request = SignRequest(ManifestSpec(), online=True)
        kept = sign_file(remote, tmp_path / "kept.jpg", request, session)
        spec = ManifestSpec(relation=Relation.EDITED, parents=(Parent(portrait_files["hopper"]),))
        named = sign_file(remote, tmp_path / "named.jpg", SignRequest(spec), session)
    assert shelf.visits == 1
    assert kept.record.relation is named.record.relation is Relation.EDITED
    verdict = verify_file(kept.output, TrustStore.load(home))
    assert verdict.exit_code == 0 and not verdict.warnings
    (parent,) = verdict.ingredients
    assert parent["title"] == "remote.jpg" and parent["manifest"]["signer"] == "Jane Doe"

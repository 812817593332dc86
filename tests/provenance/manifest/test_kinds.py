"""Update manifests, redactions, manifests at an address, and several ingredients."""

from __future__ import annotations

import http.server
import threading
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest

from provenance.errors import CheckError, UsageError
from provenance.home import Home
from provenance.identity import certificates
from provenance.identity.identity import Identity, create_identity
from provenance.manifest import embed, jumbf
from provenance.manifest.embed import Action, ManifestSpec, Parent, sign_manifest
from provenance.manifest.read import ManifestReport, read_manifest
from provenance.media.formats import FORMATS
from provenance.record import Relation
from provenance.session import open_session
from provenance.setup import initialize
from provenance.sign import SignRequest, sign_file
from provenance.trust.store import TrustStore
from provenance.verify import verify_file
from tests.support.conformance import offences
from tests.support.media_files import MAKERS
from tests.support.second_verifier import second_opinion


@pytest.fixture(scope="module")
def signer(tmp_path_factory: pytest.TempPathFactory) -> Identity:
    root = tmp_path_factory.mktemp("identity")
    return create_identity(Home(root, root / "config"), subject="Jane Doe")


@pytest.fixture
def photo(portrait_files: dict[str, Path]) -> Path:
    return portrait_files["hopper"]


@pytest.fixture
def signed(photo: Path, tmp_path: Path, signer: Identity) -> Path:
    spec = ManifestSpec(title="first", author="Jane", location=(48.137, 11.575), thumbnail=True)
    sign_manifest(photo, tmp_path / "signed.jpg", spec, signer)
    return tmp_path / "signed.jpg"


def report_of(path: Path, signer: Identity, sidecar: bytes | None = None) -> ManifestReport:
    anchors = [certificates.to_pem([signer.root])]
    report = read_manifest(path, "image/jpeg", anchors_pem=anchors, manifest_data=sidecar)
    assert report is not None
    return report


def labels_of(report: ManifestReport, manifest: str) -> list[str]:
    return jumbf.assertion_labels(report.manifest_bytes, manifest)


def update_of(path: Path) -> ManifestSpec:
    return ManifestSpec(relation=Relation.EDITED, parents=(Parent(path),), update=True)


def test_an_update_says_more_and_binds_nothing_anew(signed: Path, tmp_path: Path, signer: Identity) -> None:
    spec = replace(update_of(signed), author="Ann", actions=(Action("c2pa.edited.metadata"),))
    sign_manifest(signed, tmp_path / "out.jpg", spec, signer)
    report = report_of(tmp_path / "out.jpg", signer)
    assert report.state == "trusted"
    assert report.metadata["dc:creator"] == ["Ann"]
    assert not [one for one in labels_of(report, report.active_label) if one.startswith("c2pa.hash")]
    assert offences(report.crjson()) == {}
    assert second_opinion(tmp_path / "out.jpg", "image/jpeg").word == "whole"
    first = report.ingredients[0]["manifest"]
    assert (first["title"], report.ingredients[0]["relationship"]) == ("first", "parentOf")

    data = bytearray((tmp_path / "out.jpg").read_bytes())
    data[-400] ^= 1
    (tmp_path / "out.jpg").write_bytes(data)
    assert report_of(tmp_path / "out.jpg", signer).state == "invalid", "the first manifest binds the content"


@pytest.mark.parametrize(
    "change",
    [
        {"actions": (Action("c2pa.cropped"),)},
        {"actions": (Action("org.example.aged"),)},
        {"thumbnail": True},
        {"remote_url": "https://example.org/a.c2pa"},
        {"parents": ()},
    ],
)
def test_what_an_update_cannot_say(
    change: dict[str, object], signed: Path, tmp_path: Path, signer: Identity
) -> None:
    spec = replace(update_of(signed), relation=Relation.CAPTURED, **change)  # type: ignore[arg-type]
    source = signed if spec.parents else signed.with_name("hopper.jpg")
    with pytest.raises(UsageError, match=r"update"):
        sign_manifest(source, tmp_path / "out.jpg", spec, signer)


def test_an_update_is_about_the_very_file(
    signed: Path, photo: Path, tmp_path: Path, signer: Identity
) -> None:
    with pytest.raises(UsageError, match="stays as it is"):
        sign_manifest(photo, tmp_path / "out.jpg", update_of(signed), signer)


@pytest.mark.parametrize("update", [False, True])
def test_a_redacted_assertion_is_gone_and_said(
    update: bool, signed: Path, tmp_path: Path, signer: Identity
) -> None:
    assert b"GPSLatitude" in signed.read_bytes()
    redactions = ("c2pa.metadata", "c2pa.thumbnail.claim")
    spec = replace(update_of(signed), update=update, redactions=redactions)
    output = tmp_path / "out.jpg"
    sign_manifest(signed, output, spec, signer)
    report = report_of(output, signer)
    assert report.state == "trusted" and not report.ingredient_failures
    assert b"GPSLatitude" not in output.read_bytes()
    first = labels_of(report, report.ingredients[0]["manifest_label"])
    assert "c2pa.actions.v2" in first and not set(redactions) & set(first)
    said = [one["description"] for one in report.actions if one["action"] == "c2pa.redacted"]
    assert said == [f"{label} was taken out (c2pa.PII.present)" for label in redactions]
    assert offences(report.crjson()) == {}
    # it wants the address of what is gone to lead somewhere: docs/reference/second-verifier.md
    theirs = second_opinion(output, "image/jpeg")
    assert "assertion.action.redactionMismatch" in theirs.codes
    assert theirs.codes <= {"assertion.action.redactionMismatch", "assertion.missing"}


def test_what_cannot_be_redacted(signed: Path, photo: Path, tmp_path: Path, signer: Identity) -> None:
    def refused(match: str, parent: Path = signed, **change: object) -> UsageError:
        spec = replace(ManifestSpec(relation=Relation.EDITED, parents=(Parent(parent),)), **change)  # type: ignore[arg-type]
        with pytest.raises(UsageError, match=match) as caught:
            sign_manifest(photo, tmp_path / "out.jpg", spec, signer)
        return caught.value

    assert "c2pa.metadata" in refused("has no assertion", redactions=("c2pa.nothing",)).hint
    refused("may not be redacted", redactions=("c2pa.actions.v2",))
    refused("may not be redacted", redactions=("c2pa.hash.data",))
    refused("has no manifest", photo, redactions=("c2pa.metadata",))
    refused("no reason", redactions=("c2pa.metadata",), redaction_reason="because")
    with pytest.raises(UsageError, match="no manifest to redact"):
        sign_manifest(photo, tmp_path / "out.jpg", ManifestSpec(redactions=("c2pa.metadata",)), signer)


@pytest.mark.vectors
def test_verify_says_what_was_redacted_elsewhere_and_why(test_data: Path, tmp_path: Path) -> None:
    trust = TrustStore.load(Home(tmp_path / "data", tmp_path / "config"))
    verdict = verify_file(test_data / "vectors/c2pa-wild/redacted-assertion.jpg", trust)
    assert "c2pa.metadata was taken out (c2pa.PII.present)" in [one["description"] for one in verdict.actions]


@pytest.mark.parametrize("name", [name for name, media in FORMATS.items() if media.embeddable])
def test_every_format_that_holds_a_manifest(
    name: str, tmp_path: Path, signer: Identity, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Redactions and addresses work in all of them, updates in those of the table in docs/reference/formats.md."""
    media = FORMATS[name]
    source, first, output = (tmp_path / f"{stem}{media.suffix}" for stem in ("in", "first", "out"))
    MAKERS[name](source)
    sign_manifest(source, first, ManifestSpec(author="Jane"), signer)

    def state(sidecar: bytes | None = None) -> str:
        report = read_manifest(output, media.mime, anchors_pem=(), manifest_data=sidecar)
        assert report is not None and not report.ingredient_failures
        return report.state

    redacted = ManifestSpec(relation=Relation.EDITED, parents=(Parent(first),), redactions=("cawg.metadata",))
    assert b"dc:creator" in first.read_bytes()
    if name in ("TIFF", "DNG"):
        with pytest.raises(UsageError, match="stay in the file"):
            sign_manifest(first, output, redacted, signer)
        sign_manifest(first, output, replace(redacted, redactions=()), signer)
        assert output.read_bytes().count(b"dc:creator") == 2, "c2pa has learnt it: redact there too"
    else:
        sign_manifest(first, output, redacted, signer)
        assert state() == "valid" and b"dc:creator" not in output.read_bytes()

    store = sign_manifest(source, output, ManifestSpec(remote_url="https://example.org/x.c2pa"), signer)
    assert state(store) == "valid"
    with pytest.raises(CheckError, match=r"https://example\.org/x\.c2pa"):
        read_manifest(output, media.mime, anchors_pem=())

    if name in embed.UPDATABLE:
        sign_manifest(first, output, update_of(first), signer)
        assert state() == "valid"
        return
    with pytest.raises(UsageError, match="binds the file's length"):
        sign_manifest(first, output, update_of(first), signer)
    monkeypatch.setattr(embed, "UPDATABLE", {name})
    sign_manifest(first, output, update_of(first), signer)
    broken = read_manifest(output, media.mime, anchors_pem=())
    assert broken is not None and broken.state == "invalid", "c2pa has learnt it: add it to the table"


class _Quiet(http.server.SimpleHTTPRequestHandler):
    extensions_map = {".c2pa": "application/c2pa"}  # noqa: RUF012 (the base class has it so)

    def log_message(self, *_: object) -> None:
        """Nothing on the test's terminal."""


@pytest.fixture
def web(tmp_path: Path) -> Iterator[tuple[str, Path]]:
    """Address and folder of a web server on loopback."""
    folder = tmp_path / "web"
    folder.mkdir()
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), partial(_Quiet, directory=str(folder))) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}", folder
        server.shutdown()


def test_a_manifest_at_an_address(photo: Path, tmp_path: Path, web: tuple[str, Path]) -> None:
    address, folder = web
    home = Home(tmp_path / "desk", tmp_path / "desk/config")
    initialize(home, subject="House", algorithm="es256", passphrase=None)
    spec = ManifestSpec(title="remote", remote_url=f"{address}/remote.c2pa")
    output = tmp_path / "remote.jpg"
    with open_session(home) as session:
        result = sign_file(photo, output, SignRequest(spec), session)
        assert result.sidecar == tmp_path / "remote.jpg.c2pa"
        assert result.record.manifest_cid and session.store.get(result.record.manifest_cid)
    assert b"c2pa.claim" not in output.read_bytes() and address.encode() in output.read_bytes()
    store = result.sidecar.read_bytes()
    report = read_manifest(output, "image/jpeg", anchors_pem=(), manifest_data=store)
    assert report is not None and report.state == "valid" and report.title == "remote"

    result.sidecar.rename(folder / "remote.c2pa")
    with pytest.raises(CheckError, match="at a URL"):
        read_manifest(output, "image/jpeg", anchors_pem=())
    fetched = read_manifest(output, "image/jpeg", anchors_pem=(), online=True)
    assert fetched is not None and fetched.state == "valid" and not fetched.embedded
    assert fetched.manifest_bytes == store
    data = bytearray(output.read_bytes())
    data[-400] ^= 1
    output.write_bytes(data)
    changed = read_manifest(output, "image/jpeg", anchors_pem=(), online=True)
    assert changed is not None and changed.state == "invalid"


def test_addresses_that_are_none(photo: Path, tmp_path: Path, signer: Identity) -> None:
    for address in ("ftp://example.org/x", "https://exa mple.org", "x", "https://" + "x" * 3000):
        with pytest.raises(UsageError, match="no address"):
            sign_manifest(photo, tmp_path / "out.jpg", ManifestSpec(remote_url=address), signer)
    MAKERS["BMP"](tmp_path / "in.bmp")
    spec = ManifestSpec(remote_url="https://example.org/a.c2pa")
    with pytest.raises(UsageError, match="BMP cannot hold"):
        sign_manifest(tmp_path / "in.bmp", tmp_path / "out.bmp", spec, signer)

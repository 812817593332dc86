"""The C2PA Soft Binding Resolution API, held against the description that the C2PA publishes."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient

from provenance.errors import UntrustedSignerError
from provenance.ledger.embedded.log import LocalLedger
from provenance.ledger.note import SigningKey
from provenance.manifest import jumbf
from provenance.resolve.bindings import PDQ, value_of
from provenance.resolve.matches import EXTENSION, RECORDS, Match
from provenance.store.local import LocalStore
from tests.support.discoverable import PUBLIC_ENTRIES, Filled
from tests.support.openapi import Description
from tests.veilmark.web.api.conftest import Service
from veilmark.web.app import create_app
from veilmark.web.settings import Settings

JPEG = {"Content-Type": "image/jpeg"}


def pdq(filled: Filled, index: int = 1) -> bytes:
    return bytes.fromhex(str(filled.results[index].record.fingerprints["pdq"]))


def label(filled: Filled, index: int) -> str:
    return jumbf.active_label(
        LocalStore(filled.home.store).get(str(filled.results[index].record.manifest_cid))
    )


def test_by_binding_in_address_and_body(service: Service) -> None:
    asked = {"alg": PDQ, "value": value_of(pdq(service.filled))}
    answer = service.get("/v1/matches/byBinding", params=asked)
    assert answer.status_code == 200
    assert answer.json() == service.post("/v1/matches/byBinding", json=asked).json()
    (match,) = answer.json()["matches"]
    (bare,) = answer.json()[RECORDS]
    assert match["manifestId"] == label(service.filled, 1) and match["similarityScore"] == 100
    with LocalLedger.open(service.filled.home.ledger) as ledger:
        for one, index in ((match[EXTENSION], 1), (bare, 3)):
            receipt = Match.from_json(one).receipt
            assert receipt.index == index and receipt.verify([ledger.log_key])
            receipt.opening.signed.verify()
    few = service.get("/v1/matches/byBinding", params={**asked, "maxResults": 1}).json()
    assert len(few["matches"]) + len(few[RECORDS]) == 1


def test_by_content_finds_a_stripped_copy(service: Service) -> None:
    body = service.filled.stripped["hopper"].read_bytes()
    answer = service.post("/v1/matches/byContent", content=body, headers=JPEG)
    assert [one["manifestId"] for one in answer.json()["matches"]] == [label(service.filled, 1)]
    assert 80 < answer.json()["matches"][0]["similarityScore"] <= 100
    nothing = service.post("/v1/matches/byContent?alg=io.iscc.v0", content=body, headers=JPEG)
    assert nothing.json() == {"matches": [], RECORDS: []}
    hint = {"alg": "io.iscc.v0", "hintAlg": PDQ, "hintValue": value_of(pdq(service.filled))}
    hinted = service.post("/v1/matches/byContent", params=hint, content=body, headers=JPEG)
    assert [one["manifestId"] for one in hinted.json()["matches"]] == [label(service.filled, 1)]
    other = service.post(
        "/v1/matches/byContent", params={"hintAlg": "x", "hintValue": "y"}, content=body, headers=JPEG
    )
    assert len(other.json()["matches"]) == 1


def test_the_manifest_that_a_match_names(service: Service) -> None:
    name = label(service.filled, 1)
    store = service.get(f"/v1/manifests/{name}")
    assert store.headers["content-type"] == "application/c2pa"
    cid = str(service.filled.results[1].record.manifest_cid)
    assert store.content == LocalStore(service.filled.home.store).get(cid)
    active = service.get(f"/v1/manifests/{name}?returnActiveManifest=true")
    assert jumbf.active_label(active.content) == name


def test_a_second_verifier_takes_the_manifest(service: Service) -> None:
    """What is fetched is what another program verifies: for the signed file it holds, for a copy it does not."""
    encypher = pytest.importorskip("encypher_c2pa")
    store = service.get(f"/v1/manifests/{label(service.filled, 1)}").content
    signed = service.filled.results[1].output.read_bytes()
    report = encypher.verify(signed, "image/png", manifest_store=store, telemetry=False)
    assert report["integrity"] == "valid", report


def test_algorithms(service: Service) -> None:
    answer = service.get("/v1/services/supportedAlgorithms").json()
    assert answer == {"watermarks": [], "fingerprints": [{"alg": PDQ}]}


@pytest.mark.parametrize(
    ("method", "url", "options", "status"),
    [
        ("GET", "/v1/matches/byBinding", {}, 400),
        ("GET", f"/v1/matches/byBinding?alg={PDQ}&value=x", {}, 400),
        ("GET", "/v1/matches/byBinding?alg=com.adobe.icn.dense&value=AAAA", {}, 400),
        ("GET", f"/v1/matches/byBinding?alg={PDQ}&value={'a' * 64}&maxResults=0", {}, 400),
        ("GET", f"/v1/matches/byBinding?alg={PDQ}&value={'a' * 64}&maxResults=ten", {}, 400),
        ("GET", f"/v1/matches/byBinding?alg={PDQ}&value={'a' * 3000}", {}, 414),
        ("POST", "/v1/matches/byBinding", {"content": b"{"}, 400),
        ("POST", "/v1/matches/byBinding", {"content": b"[" * 5000}, 400),
        ("POST", "/v1/matches/byBinding", {"json": {"alg": PDQ}}, 400),
        ("POST", "/v1/matches/byBinding", {"json": {"alg": [], "value": {}}}, 400),
        ("POST", "/v1/matches/byBinding", {"content": b" " * 70_000}, 413),
        ("POST", "/v1/matches/byContent", {"content": b"no picture", "headers": JPEG}, 415),
        (
            "POST",
            "/v1/matches/byContent",
            {"content": b"text", "headers": {"Content-Type": "text/plain"}},
            415,
        ),
        ("POST", "/v1/matches/byContent", {"content": b"?"}, 415),
        ("POST", "/v1/matches/byContent", {"content": b"", "headers": JPEG}, 400),
        ("POST", "/v1/matches/byContent?maxResults=-1", {"content": b"?", "headers": JPEG}, 400),
        ("POST", "/v1/matches/byContent", {"files": {"file": b"form"}}, 415),
        ("GET", "/v1/manifests/urn:c2pa:00000000-0000-0000-0000-000000000000", {}, 404),
        ("GET", f"/v1/manifests/{'a' * 1100}", {}, 400),
        ("GET", "/v1/manifests/a%01b", {}, 400),
        ("GET", "/v1/manifests/a?returnActiveManifest=maybe", {}, 400),
        ("GET", "/v1/manifests/..%2f..%2fledger.sqlite3", {}, 404),
    ],
)
def test_errors_are_those_of_the_description(
    service: Service, method: str, url: str, options: dict[str, object], status: int
) -> None:
    answer = service(method, url, **options)
    assert answer.status_code == status, answer.text
    said = answer.json()
    assert said["schema"] == "veilmark.error/1" and said["message"]
    assert str(service.filled.home.data) not in answer.text and "Traceback" not in answer.text


def test_what_is_not_discoverable_never_appears(service: Service) -> None:
    """Every public route, asked about every record: the private ones are not in any answer."""
    filled, answers = service.filled, []
    bodies = [path.read_bytes() for path in filled.stripped.values()]
    bodies += [one.output.read_bytes() for one in filled.results]
    for body in bodies:
        answers += [
            service.post("/v1/matches/byContent?maxResults=100", content=body, headers=JPEG),
            service.post("/v1/verify", content=body, headers=JPEG),
        ]
    for result in filled.results:
        record = result.record
        asked = {"alg": PDQ, "value": value_of(pdq(filled, result.index)), "maxResults": 100}
        answers.append(service.get("/v1/matches/byBinding", params=asked))
        answers += [service.get(f"/v1/bands/{bits}/0") for bits in (0, 1)]
        for value in (record.file_sha256, record.source_sha256, record.manifest_sha256):
            answers.append(service.get("/v1/records", params={"sha256": value or "0" * 64}))
        answers.append(service.get(f"/v1/records/{result.index}"))
        answers.append(service.get(f"/v1/records/{result.index}/receipt"))
        if record.manifest_cid:
            answers.append(service.get(f"/v1/manifests/{label(filled, result.index)}"))
    answers += [
        service.get(path) for path in ("/v1/records", "/v1/bands", "/checkpoint", "/tile/entries/000.p/4")
    ]
    hidden = [one for one in filled.results if one.index not in PUBLIC_ENTRIES]
    secrets = {one.record.time and one.receipt_cid for one in hidden}
    secrets |= {str(one.record.manifest_cid) for one in hidden}
    secrets |= {filled.results[0].record.source_sha256, str(filled.results[0].record.fingerprints["pdq"])}
    for answer in answers:
        if answer.request.url.path == "/v1/verify":
            assert answer.json()["similar"] == [], "a stranger's verdict lists no records of the own log"
            continue
        assert not [secret for secret in secrets if secret in answer.text], answer.request.url
        assert b"Secret" not in answer.content, answer.request.url
    for one in hidden:
        assert service.get(f"/v1/records/{one.index}").status_code == 404
        assert service.get(f"/v1/manifests/{label(filled, one.index)}").status_code == 404


def test_a_service_that_answers_no_look_ups(service: Service, filled: Filled) -> None:
    settings = Settings(filled.home)
    with TestClient(create_app(settings), base_url=settings.public_origin) as client:
        for path in ("/v1/records", "/v1/bands", f"/v1/matches/byBinding?alg={PDQ}&value={'a' * 64}"):
            assert client.get(path).status_code == 404
        assert client.post("/v1/matches/byContent", content=b"x", headers=JPEG).status_code == 404


@pytest.mark.vectors
@pytest.mark.usefixtures("test_data")
def test_the_descriptions_paths_are_all_served(
    service: Service, c2pa_description: Description | None, own_description: Description
) -> None:
    assert c2pa_description is not None
    theirs = {(method, f"/v1{path}") for method, path in c2pa_description.operations()}
    assert theirs <= own_description.operations()
    for method, path in theirs:
        ours = own_description.document["paths"][path][method.lower()]
        named = {one["name"] for one in ours.get("parameters", ())}
        their = c2pa_description.document["paths"][path.removeprefix("/v1")][method.lower()]
        assert {one["name"] for one in their.get("parameters", ())} <= named


def test_the_page_shows_how_to_check_a_match(service: Service) -> None:
    page = (Path(__file__).parents[4] / "docs/reference/service-api.md").read_text()
    block = re.search(r"^```python\n(.*?)^```$", page, re.S | re.M)
    assert block
    said: dict[str, Any] = {}
    exec(block[1], said)  # noqa: S102 - our own page
    asked = {"alg": PDQ, "value": value_of(pdq(service.filled))}
    answer = service.get("/v1/matches/byBinding", params=asked).json()
    with LocalLedger.open(service.filled.home.ledger) as ledger:
        assert said["check"](answer, ledger.log_key) == service.filled.results[1].record.file_sha256
        with pytest.raises(UntrustedSignerError):
            said["check"](answer, str(SigningKey.generate("other.example/log").verifier))

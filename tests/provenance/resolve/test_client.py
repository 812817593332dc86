"""A service is believed in nothing: odd, hostile and foreign ones, over real HTTP."""

from __future__ import annotations

import contextlib
import http.server
import json
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from provenance.errors import CheckError, ExitCode, NoCredentialError, UsageError
from provenance.ledger.embedded.log import LocalLedger
from provenance.ledger.receipt import Receipt
from provenance.record import sign_record
from provenance.resolve import client as client_module
from provenance.resolve.bindings import PDQ
from provenance.resolve.check import Proof
from provenance.resolve.client import Service
from provenance.resolve.find import How, find_on_service
from provenance.resolve.matches import EXTENSION, RECORDS, Match, to_api
from provenance.trust.store import TrustStore
from provenance.verdict import MatchKind
from tests.support.discoverable import Filled, fill
from tests.support.records import Signer, make_openings
from tests.support.schemas import checked

Answers = dict[str, Any]


@contextlib.contextmanager
def answering(answers: Answers | Callable[[str], tuple[int, str, bytes]]) -> Iterator[tuple[str, list[str]]]:
    """A web server that answers each path as told; gives its address and the requests it got."""
    asked: list[str] = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            length = int(self.headers.get("Content-Length", 0))
            self.rfile.read(length)
            asked.append(f"{self.command} {self.path}")
            path = self.path.partition("?")[0]
            if callable(answers):
                status, kind, body = answers(self.path)
            elif path in answers:
                status, kind, body = 200, "application/json", json.dumps(answers[path]).encode()
            else:
                status, kind, body = 404, "text/plain", b"nothing"
            self.send_response(status)
            self.send_header("Content-Type", kind)
            if status in (301, 302):
                self.send_header("Location", "http://127.0.0.1:9/elsewhere")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            with contextlib.suppress(OSError):
                self.wfile.write(body)

        do_POST = do_GET

        def log_message(self, *_: object) -> None:
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/v1", asked
    finally:
        server.shutdown()
        server.server_close()


ALGORITHMS = {"fingerprints": [{"alg": PDQ}], "watermarks": []}


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory, portraits: dict[str, np.ndarray]) -> Filled:
    return fill(tmp_path_factory.mktemp("client"), portraits)


@pytest.fixture(scope="module")
def receipts(filled: Filled) -> list[Receipt]:
    with LocalLedger.open(filled.home.ledger) as ledger:
        return [ledger.receipt(index) for index in range(4)]


def services(matches: Any, **more: Any) -> Answers:
    return {
        "/v1/services/supportedAlgorithms": ALGORITHMS,
        "/v1/matches/byBinding": matches,
        "/v1/matches/byContent": matches,
        **more,
    }


def answer_with(*receipts: Receipt) -> dict[str, Any]:
    return to_api([Match(one, "urn:c2pa:x", "2026-01-01T00:00:00Z", MatchKind.PDQ, 0) for one in receipts])


def test_a_match_whose_proof_holds(filled: Filled, receipts: list[Receipt]) -> None:
    trust = TrustStore.load(filled.home)
    with answering(services(answer_with(receipts[1]))) as (url, _):
        found = find_on_service(filled.stripped["hopper"], Service(url), trust)
    (one,) = found.records
    assert one.proof is Proof.HOLDS and one.signer_trusted and one.match is MatchKind.PDQ
    assert one.distance is not None and found.exit_code is ExitCode.OK and not one.faults
    assert checked(json.loads(json.dumps(found.to_json())))["records"][0]["index"] == 1
    with answering(services(answer_with(receipts[1]))) as (url, _):
        stranger = find_on_service(
            filled.stripped["hopper"], Service(url), TrustStore(filled.home.trust / "x")
        )
    assert stranger.records[0].proof is Proof.UNKNOWN_LOG and not stranger.records[0].signer_trusted
    assert stranger.exit_code is ExitCode.UNTRUSTED


def test_a_record_of_something_else_is_not_taken_for_likeness(
    filled: Filled, receipts: list[Receipt]
) -> None:
    with answering(services(answer_with(receipts[0]))) as (url, _):
        found = find_on_service(filled.stripped["hopper"], Service(url), TrustStore.load(filled.home))
    assert found.records[0].match is None and found.records[0].said is MatchKind.PDQ


def forged(receipts: list[Receipt]) -> dict[str, Receipt]:
    one = receipts[1]
    other = make_openings(1)[0]
    record = one.opening.signed.record
    stolen = Signer("Somebody else")
    renamed = sign_record(
        type(record)(**{**vars_of(record), "signer": {"key_id": stolen.key_id, "name": "Newsroom"}}), stolen
    )
    return {
        "another record": Receipt(one.index, one.proof, one.note, other),
        "another place": Receipt(2, one.proof, one.note, one.opening),
        "another proof": Receipt(one.index, (bytes(32), *one.proof[1:]), one.note, one.opening),
        "another signer": Receipt(one.index, one.proof, one.note, renamed),
    }


def vars_of(record: Any) -> dict[str, Any]:
    return {name: getattr(record, name) for name in record.__dataclass_fields__}


def test_forged_receipts(filled: Filled, receipts: list[Receipt]) -> None:
    trust = TrustStore.load(filled.home)
    for what, receipt in forged(receipts).items():
        with answering(services(answer_with(receipt))) as (url, _):
            found = find_on_service(filled.stripped["hopper"], Service(url), trust)
        (one,) = found.records
        assert one.proof is Proof.FAILS and one.faults and not one.signer_trusted, what
        assert found.exit_code is ExitCode.TAMPERED, what


def test_answers_that_make_no_sense(filled: Filled, receipts: list[Receipt]) -> None:
    good = answer_with(receipts[1])["matches"][0][EXTENSION]
    odd: list[Any] = [
        {**good, "receipt": good["receipt"] + "\n"},
        {**good, "receipt": "x" * 600_000},
        {**good, "receipt": "\ud800"},
        {**good, "schema": "veilmark.match/2"},
        "text",
        None,
        {**good, "distance": -5, "match": "nonsense", "confirmed": "yes", "transform": 7, "manifest_id": [1]},
    ]
    body = {"matches": [{"manifestId": "m", EXTENSION: one} for one in odd], RECORDS: odd}
    with answering(services(body)) as (url, asked):
        found = find_on_service(filled.stripped["hopper"], Service(url), TrustStore.load(filled.home))
    assert len(found.refused) == 11
    assert {one.proof for one in found.records} == {Proof.HOLDS, Proof.NONE}
    assert all("elsewhere" not in one for one in asked)


@pytest.mark.parametrize(
    "matches",
    [
        {},
        {"matches": None},
        {"matches": {}},
        {"matches": [1, {}, {"manifestId": 7}]},
        {"matches": [], RECORDS: "x"},
    ],
)
def test_no_matches_in_odd_forms(filled: Filled, matches: Any) -> None:
    with answering(services(matches)) as (url, _):
        found = find_on_service(filled.stripped["hopper"], Service(url), TrustStore.load(filled.home))
    assert found.records == () and found.exit_code is ExitCode.NOT_FOUND


@pytest.mark.parametrize(
    ("status", "kind", "body", "said"),
    [
        (200, "text/html", b"<html>", "JSON"),
        (200, "application/json", b"[]", "object"),
        (200, "application/json", b'{"a":NaN}', "JSON"),
        (200, "application/json", b"[" * 100_000, "JSON"),
        (302, "text/plain", b"", "another address"),
        (401, "text/plain", b"", "401"),
        (500, "application/json", b'{"message":"\\u001b[31mred"}', "500"),
    ],
)
def test_services_that_do_not_answer_as_they_should(
    filled: Filled, status: int, kind: str, body: bytes, said: str
) -> None:
    with (
        answering(lambda _: (status, kind, body)) as (url, asked),
        pytest.raises(CheckError, match=said) as raised,
    ):
        find_on_service(filled.stripped["hopper"], Service(url), TrustStore.load(filled.home))
    assert raised.value.hint and "\x1b" not in str(raised.value) and len(asked) == 1


def test_an_answer_over_the_limit_and_a_slow_one(filled: Filled, monkeypatch: pytest.MonkeyPatch) -> None:
    with answering(lambda _: (200, "application/json", b" " * 200_000)) as (url, _):
        monkeypatch.setattr(client_module, "MAX_ANSWER_BYTES", 100_000)
        with pytest.raises(CheckError, match="over the limit"):
            Service(url).algorithms()

    def slow(_: str) -> tuple[int, str, bytes]:
        time.sleep(2)
        return 200, "application/json", b"{}"

    with answering(slow) as (url, _), pytest.raises(CheckError, match="cannot be asked"):
        Service(url, timeout=0.3).algorithms()
    monkeypatch.setattr(client_module, "LONGEST_SECONDS", -1.0)
    with answering(services({})) as (url, _), pytest.raises(CheckError, match="takes longer"):
        Service(url).algorithms()


def test_nothing_listens_there() -> None:
    with pytest.raises(CheckError) as raised:
        Service("http://127.0.0.1:9").algorithms()
    assert raised.value.hint


@pytest.mark.parametrize(
    "url",
    [
        "",
        "example.org",
        "ftp://example.org",
        "file:///etc/passwd",
        "http://example.org/v1",
        "http://10.0.0.1/v1",
        "https://user:secret@example.org",
        "https://example.org/v1?x=1",
        "https://example.org:99999",
        "https://[::1",
    ],
)
def test_addresses_that_are_refused(url: str) -> None:
    with pytest.raises(UsageError):
        Service(url)


def test_a_foreign_service_without_receipts(filled: Filled) -> None:
    """Any service that speaks the API: its manifest is fetched and checked against the file."""
    from provenance.store.local import LocalStore

    manifest = LocalStore(filled.home.store).get(str(filled.results[1].record.manifest_cid))
    named = {"matches": [{"manifestId": "urn:c2pa:one", "similarityScore": 90}]}

    def foreign(path: str) -> tuple[int, str, bytes]:
        if path.startswith("/v1/manifests/urn:c2pa:one"):
            return 200, "application/c2pa", manifest
        body = ALGORITHMS if "supported" in path else named
        return 200, "application/json", json.dumps(body).encode()

    trust = TrustStore.load(filled.home)
    with answering(foreign) as (url, _):
        altered = find_on_service(filled.stripped["hopper"], Service(url), trust)
        copy = filled.stripped["hopper"].with_name("bare.png")
        with Image.open(filled.results[1].output) as picture:
            picture.save(copy)
        whole = find_on_service(filled.results[1].output, Service(url), trust)
    for found in (altered, whole):
        (one,) = found.records
        assert one.proof is Proof.NONE and one.signer_name == "Newsroom" and one.signer_trusted
    assert "bit for bit" in altered.records[0].faults[0] and not whole.records[0].faults
    assert checked(json.loads(json.dumps(whole.to_json())))


def test_a_foreign_service_that_names_others_or_lacks_what_it_names(filled: Filled) -> None:
    body = {
        "matches": [{"manifestId": "a", "endpoint": "http://169.254.169.254/"}, {"manifestId": "../../b"}]
    }
    with answering(services(body)) as (url, asked):
        found = find_on_service(filled.stripped["hopper"], Service(url), TrustStore.load(filled.home))
    assert [bool(one.faults) for one in found.records] == [True, True]
    assert [one for one in asked if "manifests" in one] == ["GET /v1/manifests/..%2F..%2Fb"]
    with answering(services({}, **{"/v1/services/supportedAlgorithms": {}})) as (url, _):
        with pytest.raises(CheckError, match="does not know"):
            find_on_service(filled.stripped["hopper"], Service(url), TrustStore.load(filled.home))
        with pytest.raises(NoCredentialError):
            Service(url).manifest("urn:c2pa:none")


def test_private_questions_to_services_that_lie(filled: Filled, receipts: list[Receipt]) -> None:
    trust, copy = TrustStore.load(filled.home), filled.stripped["hopper"]
    bands = {"band": 15, "band_bits": 16, "flips": 1}
    crowd = {"records": [Match(receipts[1], "", "").to_json()] * 3, "next": None}

    def lying(counts: list[Any], bucket: Any = crowd, **more: Any) -> Callable[[str], tuple[int, str, bytes]]:
        def answer(path: str) -> tuple[int, str, bytes]:
            body = {**bands, "counts": counts, **more} if path == "/v1/bands" else bucket
            return 200, "application/json", json.dumps(body).encode()

        return answer

    with answering(lying([1000] * 256)) as (url, asked):
        found = find_on_service(copy, Service(url), trust, how=How.PRIVATE)
    assert found.bits == 8 and found.hidden_among == 1, "the same record three times hides nobody"
    assert "showed 1" in found.refused[0] and len(asked) == 2
    for odd in ([], [1, 2, 3], ["a"], [-1], [1 << 60] * 2, [True]):
        with answering(lying(odd)) as (url, _), pytest.raises((CheckError, UsageError)):
            find_on_service(copy, Service(url), trust, how=How.PRIVATE)
    with answering(lying([5], band=3)) as (url, _), pytest.raises(CheckError, match="other bands"):
        find_on_service(copy, Service(url), trust, how=How.PRIVATE)
    for following in (0, -1, "x", 1.5, True):
        with answering(lying([5], {**crowd, "next": following})) as (url, _), pytest.raises(CheckError):
            find_on_service(copy, Service(url), trust, how=How.PRIVATE)


def test_files_without_a_fingerprint(filled: Filled, tmp_path: Path) -> None:
    flat = tmp_path / "flat.png"
    Image.new("RGB", (400, 400), "grey").save(flat)
    with answering(services({})) as (url, asked):
        for how in (How.FINGERPRINT, How.PRIVATE):
            with pytest.raises((UsageError, CheckError)):
                find_on_service(flat, Service(url), TrustStore.load(filled.home), how=how)
        assert not [one for one in asked if "Binding" in one]
        sent = find_on_service(flat, Service(url), TrustStore.load(filled.home), how=How.CONTENT)
    assert sent.records == () and sent.bits == 0

"""Verify, find, sign, records, jobs, figures: what programs may do, by role."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from starlette.testclient import TestClient

from provenance.ledger.receipt import Receipt
from provenance.resolve import bands
from provenance.resolve.bindings import PDQ, value_of
from provenance.resolve.listing import pdq_in
from provenance.trust.store import TrustStore
from provenance.verify import verify_file
from tests.support.openapi import Description, served
from tests.support.schemas import checked
from tests.veilmark.web.api.conftest import Service
from tests.veilmark.web.conftest import csrf_of
from veilmark.web import api
from veilmark.web.app import create_app
from veilmark.web.settings import Role, Settings

PNG = {"Content-Type": "image/png"}


def finished(service: Service, job: str, *, by: Role = Role.SIGNER) -> dict[str, object]:
    for _ in range(600):
        said = dict(service.get(f"/v1/jobs/{job}", by=by).json())
        if said["state"] not in ("queued", "running"):
            return said
        time.sleep(0.05)
    raise AssertionError("the job does not end")


def test_description_and_service_name_the_same_routes(service: Service, own_description: Description) -> None:
    assert served(api.routes(api.Engine(Settings(service.filled.home)))) == own_description.operations()
    assert service.get("/v1/openapi.json").json() == own_description.document
    for name in ("verdict", "match", "error"):
        schema = service.get(f"/v1/schemas/{name}.json")
        assert schema.json()["title"] == f"veilmark.{name}/1"
    assert service.get("/v1/schemas/nothing.json").status_code == 404


def test_every_object_of_the_description_is_a_schema(own_description: Description) -> None:
    from jsonschema import Draft202012Validator

    for methods in own_description.document["paths"].values():
        for operation in methods.values():
            for answer in operation["responses"].values():
                for content in (answer.get("content") or {}).values():
                    Draft202012Validator.check_schema(own_description.resolved(content["schema"]))


def test_verdicts_are_the_command_lines(service: Service) -> None:
    result = service.filled.results[1]
    body = result.output.read_bytes()
    stranger = service.post("/v1/verify?name=photo.png", content=body, headers=PNG).json()
    trust = TrustStore.load(service.filled.home)
    assert checked(stranger)["path"] == "photo.png"
    assert stranger["state"] == verify_file(result.output, trust).state
    assert stranger["ledger"]["status"] == "logged", "its public record is found"
    assert stranger["similar"] == []
    known = service.post("/v1/verify", content=body, headers=PNG, by=Role.SIGNER).json()
    assert [one["index"] for one in known["similar"]] == [1] or len(known["similar"]) > 1
    private = service.filled.results[0].output.read_bytes()
    assert service.post("/v1/verify", content=private, headers=PNG).json()["ledger"]["status"] == "not-logged"
    broken = service.post("/v1/verify", content=b"\x89PNG\r\n\x1a\n broken", headers=PNG)
    assert broken.status_code == 422 and str(service.filled.home.data) not in broken.text
    assert not list((service.filled.home.data / "web" / "jobs").iterdir()), "nothing of an upload is left"


def test_what_stands_in_metadata_and_names_comes_back_as_data(service: Service) -> None:
    body = service.filled.results[1].output.read_bytes()
    name = "../../<script>alert(1)</script>\n.png"
    said = service.post("/v1/verify", params={"name": name}, content=body, headers=PNG)
    assert said.headers["content-type"] == "application/json"
    assert "/" not in said.json()["path"] and "\n" not in said.json()["path"]


def test_sign_is_a_job_for_signers(service: Service, tmp_path: Path) -> None:
    source = (service.filled.stripped["astronaut"]).read_bytes()
    assert service.post("/v1/sign", content=source, headers=PNG).status_code == 401
    said = {"name": "moon.jpg", "title": "The <moon>", "author": "Ada", "discoverable": "true"}
    before = service.post("/v1/find", content=source, headers=PNG, by=Role.SIGNER).json()["records"]
    begun = service.post("/v1/sign", params=said, content=source, headers=PNG, by=Role.SIGNER)
    assert begun.status_code == 202 and begun.headers["location"] == f"/v1/jobs/{begun.json()['id']}"
    job = finished(service, begun.json()["id"])
    assert job["state"] == "done", job
    signed = checked(job["signed"])  # type: ignore[arg-type]
    assert signed["discoverable"] and signed["output"] == "moon.jpg"
    assert "/" not in str([signed[key] for key in ("source", "output", "receipt")])
    files = {name: service.get(f"/v1/jobs/{job['id']}/files/{name}", by=Role.SIGNER) for name in job["files"]}  # type: ignore[attr-defined]
    (tmp_path / "moon.jpg").write_bytes(files["moon.jpg"].content)
    assert Receipt.from_bytes(files["moon.jpg.receipt"].content).index == signed["ledger"]["index"] == 4
    verdict = verify_file(tmp_path / "moon.jpg", TrustStore.load(service.filled.home))
    assert verdict.state == "trusted" and verdict.title == "The <moon>"
    events = service.get(f"/v1/jobs/{job['id']}/events", by=Role.SIGNER)
    assert events.headers["content-type"].startswith("text/event-stream")
    (data,) = [line for line in events.text.splitlines() if line.startswith("data: ")]
    assert json.loads(data.removeprefix("data: "))["state"] == "done"
    for url in (
        f"/v1/jobs/{job['id']}",
        f"/v1/jobs/{job['id']}/events",
        f"/v1/jobs/{job['id']}/files/moon.jpg",
    ):
        assert service.get(url).status_code == 401, "a job of somebody else"
        assert service.get(url, by=Role.KEEPER).status_code == 404, "a job of somebody else"
    assert service.get("/v1/records/4").json()["record"]["relation"] == "captured"
    after = service.post("/v1/find", content=source, headers=PNG, by=Role.SIGNER).json()["records"]
    assert [one["index"] for one in before] == [0] and [one["index"] for one in after] == [0, 4]
    client, token = service.client, service.tokens[Role.SIGNER]
    client.post("/login", data={"csrf": csrf_of(client, "/login"), "token": token})
    assert "record no. 4" in client.get(f"/jobs/{job['id']}").text, (
        "the holder of the token sees it in a browser too"
    )
    assert service("DELETE", f"/v1/jobs/{job['id']}", by=Role.SIGNER).status_code == 204
    assert service.get(f"/v1/jobs/{job['id']}", by=Role.SIGNER).status_code == 404


def test_a_file_that_cannot_be_signed(service: Service) -> None:
    begun = service.post("/v1/sign", content=b"nothing", headers=PNG, by=Role.SIGNER)
    job = finished(service, begun.json()["id"])
    assert job["state"] == "failed" and job["error"] and job["signed"] is None
    assert str(service.filled.home.data) not in str(job)


def test_find_looks_through_everything_for_those_who_sign(service: Service) -> None:
    body = service.filled.stripped["hopper"].read_bytes()
    assert service.post("/v1/find", content=body, headers=PNG).status_code == 401
    found = service.post("/v1/find?name=x.jpg", content=body, headers=PNG, by=Role.SIGNER).json()
    assert [one["index"] for one in found["records"]] == [1, 2, 3]
    assert found["records"][1]["title"] == "Secret hopper"


def test_records_by_role_and_switching(service: Service) -> None:
    listed = service.get("/v1/records?limit=1").json()
    assert [Receipt.from_bytes(one["receipt"].encode()).index for one in listed["records"]] == [1]
    rest = service.get(f"/v1/records?after={listed['next']}").json()
    assert len(rest["records"]) == 1 and rest["next"] is None
    assert service.get("/v1/records/0", by=Role.SIGNER).json()["index"] == 0
    for index, status in (("0", 404), ("9" * 17, 404), ("x", 400), ("9" * 40, 400), ("-1", 400)):
        assert service.get(f"/v1/records/{index}").status_code == status
    assert service.get(f"/v1/records/{'9' * 17}", by=Role.SIGNER).status_code == 404
    for query in ("sha256=x", "after=-1", "limit=0", "limit=x"):
        assert service.get(f"/v1/records?{query}").status_code == 400
    switch = "/v1/records/0/discoverable"
    assert service("PUT", switch).status_code == 401
    assert service("PUT", switch, by=Role.SIGNER).status_code == 403
    assert service("PUT", switch, by=Role.KEEPER).json()["discoverable"] is True
    assert service.get("/v1/records/0").status_code == 200
    assert service("DELETE", switch, by=Role.KEEPER).json()["discoverable"] is False
    assert service.get("/v1/records/0").status_code == 404
    assert service("PUT", "/v1/records/77/discoverable", by=Role.KEEPER).status_code == 404


def test_bands(service: Service) -> None:
    said = service.get("/v1/bands").json()
    assert said["records"] == sum(said["counts"]) == 2 and said["alg"] == PDQ
    everything = service.get("/v1/bands/0/0").json()
    assert len(everything["records"]) == 2
    code = pdq_in(service.filled.results[1].record)
    assert code
    near = service.get(f"/v1/bands/16/{bands.band_of(code) ^ 1}").json()
    far = service.get(f"/v1/bands/16/{bands.band_of(code) ^ 3}").json()
    assert len(near["records"]) == 2 and far["records"] == []
    for path in ("17/0", "4/16", "x/0", "0/-1", f"4/{'1' * 30}", "0/0?after=x"):
        assert service.get(f"/v1/bands/{path}").status_code == 400


def test_health_and_figures(service: Service) -> None:
    assert service.get("/healthz").json()["status"] == "ok"
    service.get("/v1/matches/byBinding", params={"alg": PDQ, "value": value_of(bytes(32))})
    text = service.get("/metrics", by=Role.KEEPER).text
    assert "veilmark_log_entries 4.0" in text and "veilmark_public_records 2.0" in text
    assert 'veilmark_requests_total{route="/v1/matches/byBinding",status="200"} 1.0' in text
    assert service.get("/metrics").status_code == 403, "the test client is not on this machine"
    assert service.get("/metrics", by=Role.SIGNER).status_code == 403


def test_limits(service: Service, filled: object, settings: tuple[Settings, dict[Role, str]]) -> None:
    from dataclasses import replace

    from veilmark.web.settings import Limits

    small = replace(
        settings[0], limits=Limits(upload_bytes=1000, uploads_per_minute=3, requests_per_minute=6)
    )
    with TestClient(create_app(small), base_url=small.public_origin) as client:
        checking = Service(client, service.filled, service.tokens, service.own, service.c2pa)
        assert checking.post("/v1/verify", content=b"x" * 1001, headers=PNG).status_code == 413

        def pieces() -> Iterator[bytes]:
            for _ in range(100):
                yield b"x" * 100

        assert checking.post("/v1/verify", content=pieces(), headers=PNG).status_code == 413
        assert checking.post("/v1/verify", content=b"x", headers=PNG).status_code in (200, 422)
        assert checking.post("/v1/verify", content=b"x", headers=PNG).status_code == 429
        checking.get("/v1/bands")
        checking.get("/v1/bands")
        slower = checking.get("/v1/bands")
        assert slower.status_code == 429 and int(slower.headers["retry-after"]) > 0


def test_a_studio_tells_strangers_nothing(service: Service) -> None:
    from dataclasses import replace

    studio = replace(Settings(service.filled.home), studio=True, discoverable=True)
    with TestClient(create_app(studio), base_url=studio.public_origin) as client:
        checking = Service(client, service.filled, service.tokens, service.own, service.c2pa)
        for path in ("/v1/records", "/v1/bands", "/checkpoint", "/tile/0/000.p/4", "/v1/openapi.json"):
            assert checking.get(path).status_code == 401
        assert checking.post("/v1/verify", content=b"x", headers=PNG).status_code == 401
        assert checking.get("/metrics").status_code == 403


def test_no_ledger_yet(tmp_path: Path, service: Service) -> None:
    from provenance.home import Home

    empty = Settings(Home.at(tmp_path / "nothing"), discoverable=True)
    with TestClient(create_app(empty), base_url=empty.public_origin) as client:
        checking = Service(client, service.filled, service.tokens, service.own, service.c2pa)
        body = service.filled.results[1].output.read_bytes()
        assert (
            checking.post("/v1/verify", content=body, headers=PNG).json()["state"] == "valid-unknown-signer"
        )
        assert checking.get("/v1/bands").status_code == 404
        assert checking.get("/checkpoint").status_code == 409
        assert checking.get("/healthz").status_code == 200


@pytest.mark.parametrize("path", ["/v1/verify", "/v1/matches/byContent"])
def test_a_session_of_a_browser_counts_for_nothing_here(service: Service, path: str) -> None:
    """No page of somebody else's acts in a visitor's name: cookies are not looked at, and forms are not taken."""
    answer = service.post(path, files={"file": ("a.png", b"x", "image/png")})
    assert answer.status_code == 415

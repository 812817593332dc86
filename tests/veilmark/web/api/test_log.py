"""The log under the service's own address, and the witness: as other programs of these protocols use them."""

from __future__ import annotations

import threading
from dataclasses import replace
from pathlib import Path

import pytest

from provenance.errors import LedgerError
from provenance.home import Home
from provenance.ledger import serve
from provenance.ledger.audit import audit_published
from provenance.ledger.embedded.log import LocalLedger
from provenance.ledger.note import VerifierKey
from provenance.ledger.policy import Policy
from provenance.ledger.publish import publish
from provenance.ledger.service import check_published
from provenance.ledger.witness import ask
from provenance.trust.store import TrustStore
from tests.support.records import make_openings
from tests.support.serving import running
from tests.veilmark.web.api.conftest import Service
from veilmark.web.settings import Role, Settings


def test_tiles_are_those_that_publishing_writes(service: Service, tmp_path: Path) -> None:
    with LocalLedger.open(service.filled.home.ledger) as ledger:
        ledger.append(make_openings(600))
        publish(ledger, tmp_path / "site")
        files = [one for one in (tmp_path / "site").rglob("*") if one.is_file()]
        assert len(files) >= 8
        for file in files:
            path = str(file.relative_to(tmp_path / "site"))
            assert service.get(f"/{path}").content == file.read_bytes(), path
        for odd in (
            "tile/0/003",
            "tile/0/002",
            "tile/0/002.p/200",
            "tile/0/000.p/0",
            "tile/0/000.p/256",
            "tile/0/000.p/02",
            "tile/00/000",
            "tile/0/x000/000",
            "tile/64/000",
            "tile/2/000.p/1",
            "tile/entries/003",
            "tile/0/0",
            "tile/entries/../../ledger.sqlite3",
            "tile/0/000/",
        ):
            assert serve.tile(ledger, odd) is None, odd
        assert service.get("/tile/0/000.p/1").content == ledger.tile(0, 0, 1)[0]
    assert service.get("/tile/0/999").status_code == 404


def test_audit_and_consistency_over_the_network(settings: tuple[Settings, dict[Role, str]]) -> None:
    made = settings[0]
    with running(made) as url, LocalLedger.open(made.home.ledger) as ledger:
        policy = Policy.of_logs([ledger.log_key])
        earlier = ledger.note()
        report = audit_published(url, policy=policy)
        assert report.ok and report.entries == 4 and report.log_trusted
        ledger.append(make_openings(300))
        report = audit_published(url, policy=policy, earlier=earlier)
        assert report.ok and report.entries == 304
        assert check_published(earlier, url, [VerifierKey.parse(ledger.log_key)]).size == 304


def test_a_restored_older_copy_is_not_shown(service: Service) -> None:
    from provenance.ledger.embedded.backup import backup, restore

    home = service.filled.home
    with LocalLedger.open(home.ledger) as ledger:
        backup(ledger, home.data / "old")
        ledger.append(make_openings(1))
    restore(home.data / "old", home.ledger, force=True)
    assert service.get("/checkpoint").status_code == 422
    assert service.get("/healthz").status_code == 503


@pytest.fixture
def watched(filled: object, tmp_path: Path) -> LocalLedger:
    return LocalLedger.create(tmp_path / "other.sqlite3", origin="other.example/log")


def test_the_witness_cosigns_what_extends_and_refuses_what_forks(
    settings: tuple[Settings, dict[Role, str]], watched: LocalLedger, tmp_path: Path
) -> None:
    made = settings[0]
    TrustStore.load(made.home).add_log_key(watched.log_key)
    watched.append(make_openings(3))
    with running(made) as url:
        import json
        import urllib.request

        with urllib.request.urlopen(f"{url}/v1/witness") as answer:  # noqa: S310 - of this test
            vkey = VerifierKey.parse(json.load(answer)["vkey"])
        signed = watched.add_cosignatures(ask(url, watched.note(), watched.consistency_proof), [vkey])
        assert signed.verify([vkey])[vkey]
        watched.append(make_openings(5, start=3))
        # the log believes that nothing was cosigned yet, and is told the size by a 409
        watched.add_cosignatures(ask(url, watched.note(), watched.consistency_proof), [vkey])
        stranger = LocalLedger.create(tmp_path / "stranger.sqlite3", origin="stranger.example/log")
        with pytest.raises(LedgerError, match="404"):
            ask(url, stranger.note(), stranger.consistency_proof)
    assert watched.receipt(0).verify([watched.log_key, vkey])[vkey]


def test_one_that_is_no_witness(service: Service, settings: tuple[Settings, dict[Role, str]]) -> None:
    from starlette.testclient import TestClient

    from veilmark.web.app import create_app

    plain = replace(settings[0], witness="")
    with TestClient(create_app(plain), base_url=plain.public_origin) as client:
        assert client.post("/add-checkpoint", content=b"old 0\n\n").status_code == 404
        assert client.get("/v1/witness").status_code == 404


def test_the_witness_keeps_its_key(tmp_path: Path) -> None:
    from provenance.ledger.witnessing import witness_key

    home = Home.at(tmp_path / "w")
    home.data.mkdir()
    first, again = witness_key(home, "w.example/w"), witness_key(home, "w.example/w")
    assert str(first.verifier) == str(again.verifier) and threading.active_count()
    assert (home.data / "witness.key").stat().st_mode & 0o077 == 0

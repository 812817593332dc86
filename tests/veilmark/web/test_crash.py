"""A service that is killed (SIGKILL) while it signs: every file is signed, and each of them is recorded once."""

from __future__ import annotations

import hashlib
import re
import subprocess
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any

import httpx
import pytest
from PIL import Image

from provenance.home import Home
from provenance.ledger.embedded.log import LocalLedger
from tests.veilmark.web.conftest import running, token_of
from veilmark.web.settings import Role


@pytest.fixture
def photos(portrait_files: dict[str, Path], tmp_path: Path) -> list[Path]:
    """Pictures with different bytes."""
    made = []
    with Image.open(portrait_files["hopper"]) as image:
        for number in range(8):
            made.append(tmp_path / f"photo-{number}.jpg")
            image.convert("RGB").save(made[-1], quality=80 + number)
    return made


@pytest.fixture
def signer() -> tuple[str, dict[str, str]]:
    """The service's configuration, and the header of somebody who may sign."""
    token, entry = token_of(Role.SIGNER)
    config = f'[[token]]\nname = "{entry.name}"\nrole = "signer"\nsha256 = "{entry.sha256}"\n'
    return config, {"Authorization": f"Bearer {token}"}


def kill_after(home: Home, records: int, process: subprocess.Popen[bytes]) -> None:
    """Kill the service in the moment in which its log has so many records: their jobs are not finished yet."""
    until = time.monotonic() + 60
    with LocalLedger.open(home.ledger) as ledger:
        while ledger.size < records:
            assert time.monotonic() < until and process.poll() is None
            time.sleep(0.001)
    process.kill()
    process.wait()


def ended(client: httpx.Client, path: str) -> dict[str, Any]:
    until = time.monotonic() + 90
    while True:
        said = dict(client.get(path).json())
        if said["state"] not in ("queued", "running"):
            return said
        assert time.monotonic() < until, said
        time.sleep(0.1)


def recorded(home: Home) -> list[tuple[str, str]]:
    """Source and signed file of each record."""
    with LocalLedger.open(home.ledger) as ledger:
        return [(one.record.source_sha256, one.record.file_sha256) for one in ledger.entries()]


def test_a_program_s_jobs_leave_one_record_each(
    home: Home, tmp_path: Path, photos: list[Path], signer: tuple[str, dict[str, str]]
) -> None:
    config, headers = signer
    jobs: dict[str, Path] = {}

    def send(address: str, some: list[Path]) -> None:
        with httpx.Client(headers=headers) as client, suppress(httpx.TransportError):
            for photo in some:
                answer = client.post(f"{address}/v1/sign?name={photo.name}", content=photo.read_bytes())
                assert answer.status_code == 202
                jobs[answer.headers["location"]] = photo

    for start in (0, 4):
        with running(home, config, tmp_path) as (address, process), ThreadPoolExecutor(1) as aside:
            already = len(recorded(home))
            sent = aside.submit(send, address, photos[start : start + 4])
            kill_after(home, already + 1, process)
            sent.result()
    assert jobs
    with running(home, config, tmp_path) as (address, _), httpx.Client(headers=headers) as client:
        for path, photo in jobs.items():
            said = ended(client, f"{address}{path}")
            assert said["state"] == "done", said
            signed = client.get(f"{address}{path}/files/{photo.name}").content
            record = said["signed"]["record"]
            assert record["source_sha256"] == hashlib.sha256(photo.read_bytes()).hexdigest()
            assert record["file_sha256"] == hashlib.sha256(signed).hexdigest()
            assert f"{photo.name}.receipt" in said["files"]
    sources = [source for source, _ in recorded(home)]
    assert len(sources) == len(set(sources)), "each of them once"
    assert {hashlib.sha256(one.read_bytes()).hexdigest() for one in jobs.values()} <= set(sources)
    assert not list((home.data / "web" / "jobs").glob("*/work")), "what was kept for a crash is gone"


def test_a_job_of_several_files_goes_on_where_it_was(
    home: Home, tmp_path: Path, photos: list[Path], signer: tuple[str, dict[str, str]]
) -> None:
    config, headers = signer
    with running(home, config, tmp_path) as (address, process), httpx.Client(headers=headers) as client:
        parts = [("file", (one.name, one.read_bytes())) for one in photos]
        looked = client.post(f"{address}/sign", files=parts)
        assert looked.status_code == 303, looked.text
        path = looked.headers["location"]
        ended(client, f"{address}{path}/status")
        go_on = f"{address}{path.replace('jobs', 'sign')}"
        with ThreadPoolExecutor(1) as aside:  # it is answered when the job ended, or a moment later
            answered = aside.submit(client.post, go_on, data={"thumbnail": "yes"})
            kill_after(home, 3, process)
            with suppress(httpx.TransportError):
                answered.result()
    assert 3 <= len(recorded(home)) < len(photos), "it was killed in the middle"
    with running(home, config, tmp_path) as (address, _), httpx.Client(headers=headers) as client:
        assert ended(client, f"{address}{path}/status")["state"] == "done"
        page = client.get(f"{address}{path}").text
    assert page.count(">Signed</span>") == len(photos) and "role=alert" not in page
    shown = {int(one) for one in re.findall(r"record no\. (\d+)</a>", page)}
    assert shown == set(range(len(photos)))
    assert len({source for source, _ in recorded(home)}) == len(recorded(home)) == len(photos)

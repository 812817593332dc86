"""Looking at what somebody sent: within a time, in processes that are replaced, and without a key."""

from __future__ import annotations

import multiprocessing
import os
import signal
import time
from pathlib import Path

import av
import numpy as np
import pytest

from provenance.errors import CheckError, VeilmarkError
from provenance.home import Home
from tests.veilmark.web.conftest import Make, csrf_of, ended, enter, send, token_of
from veilmark.web.desk import serve
from veilmark.web.job import CancelledError
from veilmark.web.settings import Limits, Role, Settings
from veilmark.web.workers import TookTooLongError, Workers


@pytest.fixture(scope="module")
def long_film(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Minutes of a small film: some hundred kilobytes to send, and many seconds of work."""
    path = tmp_path_factory.mktemp("long") / "long.mp4"
    with av.open(str(path), "w") as out:
        stream = out.add_stream("libx264", rate=25, options={"preset": "ultrafast", "crf": "45"})
        stream.width, stream.height, stream.pix_fmt = 320, 240, "yuv420p"
        grey = av.VideoFrame.from_ndarray(np.full((240, 320, 3), 90, np.uint8), format="rgb24")
        for number in range(9000):
            grey.pts = number
            out.mux(stream.encode(grey))
        out.mux(stream.encode(None))
    return path


def desks() -> list[int]:
    return [one.pid or 0 for one in multiprocessing.active_children() if one.name == "veilmark-desk"]


def test_a_program_s_file_that_takes_too_long_is_given_up(
    make: Make, long_film: Path, portrait_files: dict[str, Path]
) -> None:
    token, entry = token_of(Role.SIGNER)
    client = make(tokens=(entry,), discoverable=True, limits={"look_seconds": 1})
    headers = {"Authorization": f"Bearer {token}"}
    body, small = long_film.read_bytes(), portrait_files["hopper"].read_bytes()
    began = time.monotonic()
    answer = client.post("/v1/find?name=long.mp4", content=body, headers=headers)
    assert answer.status_code == 422 and time.monotonic() - began < 60
    assert (
        "takes longer than 1 s" in answer.json()["message"] and answer.json()["error"] == "TookTooLongError"
    )
    answer = client.post("/v1/matches/byContent", content=body, headers={"Content-Type": "video/mp4"})
    assert answer.status_code == 413, "the C2PA's description has no 422"
    assert desks() == [], "nobody works at it any more"
    # whoever comes next is answered
    answer = client.post("/v1/verify?name=a.jpg", content=small)
    assert answer.status_code == 200 and answer.json()["state"] == "no-credential"
    assert len(desks()) == 1


def test_a_page_s_file_that_takes_too_long_is_not_checked_and_the_others_are(
    make: Make, long_film: Path, portrait_files: dict[str, Path]
) -> None:
    client = enter(make(studio=True, limits={"look_seconds": 1}))
    page = send(client, "/verify", [portrait_files["hopper"], long_film, portrait_files["astronaut"]]).text
    assert "3 verdicts" in page and page.count("takes longer than 1 s") >= 1
    assert page.count("carries no credential") == 2


def test_who_cancels_does_not_wait_for_the_file(make: Make, long_film: Path) -> None:
    client = enter(make(studio=True))
    parts = [("file", ("long.mp4", long_film.read_bytes()))]
    job = client.post("/verify", data={"csrf": csrf_of(client)}, files=parts).url.path
    assert client.get(f"{job}/status").json()["state"] == "running"
    began = time.monotonic()
    client.post(f"{job}/cancel", data={"csrf": csrf_of(client)})
    assert "Cancelled" in ended(client, client.get(job)).text and time.monotonic() - began < 10
    assert desks() == []


def test_a_process_that_dies_is_replaced(
    home: Home, portrait_files: dict[str, Path], long_film: Path
) -> None:
    workers = Workers(Settings(home), serve)
    task = ("verify", portrait_files["hopper"], "a.jpg", True)
    assert workers.run(*task)["state"] == "no-credential"
    (first,) = desks()
    os.kill(first, signal.SIGKILL)
    time.sleep(0.2)
    assert workers.run(*task)["state"] == "no-credential"
    (second,) = desks()
    assert second != first

    def kill() -> None:
        for pid in desks():
            os.kill(pid, signal.SIGKILL)

    with pytest.raises(CheckError, match="ended unexpectedly"):
        workers.run("find", long_film, "a.mp4", waiting=kill)
    workers.close()
    assert desks() == []


def test_what_the_waiting_one_raises_stops_the_work(home: Home, long_film: Path) -> None:
    workers = Workers(Settings(home, limits=Limits(look_seconds=60)), serve)

    def cancelled() -> None:
        raise CancelledError

    with pytest.raises(CancelledError):
        workers.run("find", long_film, "a.mp4", waiting=cancelled)
    assert desks() == []
    assert issubclass(TookTooLongError, VeilmarkError)


def test_no_private_key_is_opened_where_files_are_looked_at(home: Home) -> None:
    keys = list(home.config.rglob("*.key")) + list(home.data.rglob("*.key"))
    assert keys
    workers = Workers(Settings(home, passphrase="secret"), serve)
    for key in keys:
        with pytest.raises(VeilmarkError, match="is not opened here"):
            workers.run("verify", key, "a.jpg", True)
    workers.close()

"""The queue: what was acknowledged is done, what was uploaded is removed, who asks too much waits."""

from __future__ import annotations

import os
import threading
import time
from pathlib import Path
from typing import Any

import httpx
import pytest

from provenance.home import Home
from tests.veilmark.web.conftest import Make, enter, running, send
from tests.veilmark.web.test_limits import opened, small_form
from veilmark.web.job import Job, JobState
from veilmark.web.jobs import Busy, JobQueue, Kind
from veilmark.web.settings import Limits


def wait_for(job: Job, state: JobState, seconds: float = 20) -> None:
    until = time.monotonic() + seconds
    while job.state is not state and time.monotonic() < until:
        time.sleep(0.01)
    assert job.state is state, job


def submit(jobs: JobQueue, kind: str, owner: str = "ada") -> Job:
    with jobs.preparing(kind, owner) as job:
        (job.inbox / "a.jpg").write_bytes(b"picture")
        job.options = {"files": ["a.jpg"]}
        jobs.submit(job)
    return job


class Works:
    """A queue whose work waits until it is let go."""

    def __init__(self, folder: Path, **limits: int) -> None:
        self.go = threading.Event()
        kinds = {
            "quick": Kind(self._work),
            "long": Kind(self._work, long=True),
            "ask": Kind(self._work, asks=True),
        }
        self.jobs = JobQueue(folder, kinds, Limits(**limits))

    def _work(self, job: Job) -> dict[str, Any]:
        while not self.go.wait(0.01):
            job.tell(0.5, "waiting")
        (job.outbox / "b.jpg").write_bytes(b"result")
        return {"files": ["b.jpg"]}


@pytest.fixture
def works(tmp_path: Path) -> Any:
    one = Works(tmp_path / "jobs", workers=1, queue=3, jobs_each=2)
    one.jobs.start()
    yield one
    one.go.set()
    one.jobs.close()


def test_what_was_uploaded_is_removed_when_a_job_ends(works: Works) -> None:
    works.go.set()
    job = submit(works.jobs, "quick")
    wait_for(job, JobState.DONE)
    assert not job.inbox.exists() and (job.outbox / "b.jpg").exists()
    works.jobs.forget(job)
    assert not job.folder.exists() and works.jobs.get(job.id, "ada") is None


def test_a_full_queue_says_so(works: Works) -> None:
    for owner in ("ada", "ada", "bob"):
        submit(works.jobs, "quick", owner)
    with pytest.raises(Busy):
        submit(works.jobs, "quick", "eve")


def test_one_owner_does_not_fill_the_queue(works: Works) -> None:
    submit(works.jobs, "quick")
    submit(works.jobs, "long")
    with pytest.raises(Busy):
        submit(works.jobs, "quick")
    submit(works.jobs, "quick", "bob")


def test_long_jobs_do_not_hold_up_quick_ones(works: Works) -> None:
    long = submit(works.jobs, "long")
    wait_for(long, JobState.RUNNING)
    quick = submit(works.jobs, "quick")
    wait_for(quick, JobState.RUNNING)


def test_cancelling_a_job_that_waits_and_one_that_runs(works: Works) -> None:
    runs, waits = submit(works.jobs, "quick"), submit(works.jobs, "quick")
    wait_for(runs, JobState.RUNNING)
    for job in (waits, runs):
        works.jobs.cancel(job)
        wait_for(job, JobState.CANCELLED)
        assert not job.inbox.exists() and not job.outbox.exists()


def test_a_question_keeps_the_upload_until_its_one_answer(works: Works) -> None:
    works.go.set()
    job = submit(works.jobs, "ask")
    wait_for(job, JobState.DONE)
    assert job.inbox.exists()
    assert works.jobs.proceed(job, "quick", {"more": 1})
    assert not works.jobs.proceed(job, "quick", {})  # a second click
    wait_for(job, JobState.DONE)
    assert job.options == {"files": ["a.jpg"], "more": 1} and not job.inbox.exists()


def test_what_runs_when_the_service_ends_is_taken_up_again(tmp_path: Path) -> None:
    first = Works(tmp_path / "jobs")
    first.jobs.start()
    job = submit(first.jobs, "quick")
    wait_for(job, JobState.RUNNING)
    first.jobs.close()
    second = Works(tmp_path / "jobs")
    second.go.set()
    second.jobs.start()
    again = second.jobs.get(job.id, "ada")
    assert again is not None
    wait_for(again, JobState.DONE)
    second.jobs.close()


def test_results_and_broken_uploads_are_swept(tmp_path: Path) -> None:
    works = Works(tmp_path / "jobs", keep_seconds=1)
    works.go.set()
    works.jobs.start()
    job = submit(works.jobs, "quick")
    wait_for(job, JobState.DONE)
    broken = tmp_path / "jobs" / "broken"
    broken.mkdir()
    os.utime(broken, (1, 1))
    job.ended -= 10
    works.jobs.sweep()
    assert not job.folder.exists() and not broken.exists()
    works.jobs.close()


def test_a_job_that_kills_the_service_is_given_up(tmp_path: Path) -> None:
    works = Works(tmp_path / "jobs")
    works.go.set()
    folder = tmp_path / "jobs" / "x"
    folder.mkdir(parents=True)
    Job("x", "quick", "ada", folder, {"files": []}, attempts=3).save()
    works.jobs.start()
    job = works.jobs.get("x", "ada")
    assert job is not None
    wait_for(job, JobState.FAILED)
    assert "each time" in job.error
    works.jobs.close()


def test_killed_in_the_middle_nothing_acknowledged_is_lost(home: Home, tmp_path: Path) -> None:
    config = "[limits]\nworkers = 1\n"
    with running(home, config, tmp_path) as (address, process):
        cookie, token = opened(address)
        headers = {"Cookie": cookie, "Content-Type": "multipart/form-data; boundary=b"}
        acknowledged = []
        with httpx.Client(headers=headers, timeout=30) as client:
            for _ in range(6):
                answer = client.post(f"{address}/verify", content=small_form(token))
                assert answer.status_code == 303
                acknowledged.append(answer.headers["location"])
        process.kill()  # SIGKILL
        process.wait()
    config = f"{config}workers = 2\n".replace("workers = 1\n", "")
    with running(home, config, tmp_path) as (address, process):
        until = time.monotonic() + 60
        for path in acknowledged:
            while True:
                # a cookie knows no port; its name does
                name = f"veilmark-{address.rsplit(':')[-1]}"
                said = httpx.get(
                    f"{address}{path}/status",
                    headers={"Cookie": f"{name}={cookie.split('=')[1]}"},
                    timeout=30,
                )
                assert said.status_code == 200
                if said.json()["state"] == "done" or time.monotonic() > until:
                    break
                time.sleep(0.1)
            assert said.json()["state"] == "done"


def test_a_second_service_on_the_same_home_is_refused(home: Home, tmp_path: Path) -> None:
    from provenance.errors import UsageError
    from veilmark.web.run import only_one
    from veilmark.web.settings import Settings

    with (
        only_one(Settings(home)),
        pytest.raises(UsageError, match="another studio"),
        only_one(Settings(home)),
    ):
        pass


def test_events_tell_how_a_job_ends(make: Make, portrait_files: dict[str, Path]) -> None:
    client = enter(make(studio=True))
    job = send(client, "/verify", [portrait_files["hopper"]]).url.path
    answer = client.get(f"{job}/events")
    assert answer.headers["content-type"].startswith("text/event-stream")
    assert '"state": "done"' in answer.text
    part = client.get(f"{job}/state")  # for browsers to which no events come
    assert part.headers["hx-refresh"] == "true" and "Done." in part.text and "<html" not in part.text

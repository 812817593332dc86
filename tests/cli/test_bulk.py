"""Many files by workers: one pipeline, two executors; whoever dies, each file has one record."""

from __future__ import annotations

import importlib.util
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from provenance.bulk.executor import Executor
from provenance.bulk.jobs import FingerprintJob
from provenance.bulk.logging import Recording, log_recorded
from provenance.bulk.processes import ProcessExecutor
from provenance.errors import UsageError, VeilmarkError, WorkerDiedError
from provenance.home import Home
from provenance.ledger.audit import audit
from provenance.ledger.opening import open_ledger
from provenance.session import Session, open_session
from tests.cli.conftest import Run
from tests.conftest import absent
from tests.support.bulk import Dying, Slow, Squares

ROOT = Path(__file__).parents[2]


def _pictures(folder: Path, count: int) -> list[Path]:
    folder.mkdir()
    draw = np.random.default_rng(4)
    paths = []
    for number in range(count):
        small = draw.integers(0, 256, (12, 16, 3), dtype=np.uint8)
        paths.append(folder / f"{number:03d}.png")
        Image.fromarray(small).resize((160, 120), Image.Resampling.BICUBIC).save(paths[-1])
    return paths


def _require_ray() -> None:
    if importlib.util.find_spec("ray") is None:
        absent("cluster", 'ray is not installed: pip install "veilmark[cluster]"')


def _two_nodes(tries: int = 3) -> Any:
    """Ray gives a node thirty seconds to start, whatever its variables say; a busy machine may need another go."""
    from ray.cluster_utils import Cluster

    small = {"num_cpus": 1, "object_store_memory": 80 << 20}
    made = Cluster()
    try:
        made.add_node(**small)
        made.add_node(**small)
        made.wait_for_nodes(timeout=300)
    except Exception:
        made.shutdown()
        if tries == 1:
            raise
        return _two_nodes(tries - 1)
    return made


@pytest.fixture(scope="module")
def cluster() -> Iterator[Any]:
    """A Ray cluster of two nodes, with a core each, on this machine; this process has joined it."""
    _require_ray()
    with pytest.MonkeyPatch.context() as patch:
        # a busy machine may take long; read when ray is imported
        patch.setenv("RAY_gcs_server_port_wait_time_s", "120")
        patch.setenv("RAY_worker_register_timeout_seconds", "300")
        patch.setenv("RAY_worker_niceness", "0")
        patch.setenv("PYTHONPATH", str(ROOT))
        patch.setenv("RAY_USAGE_STATS_ENABLED", "0")
        import ray

        made = _two_nodes()
        ray.init(address=made.address, log_to_driver=False)
        yield made
        ray.shutdown()
        made.shutdown()


@pytest.fixture(params=["processes", pytest.param("cluster", marks=[pytest.mark.cluster, pytest.mark.slow])])
def executor(request: pytest.FixtureRequest) -> Iterator[Executor]:
    """Two workers of either kind."""
    if request.param == "processes":
        yield ProcessExecutor(2)
        return
    made = request.getfixturevalue("cluster")
    from provenance.bulk.cluster import ClusterExecutor

    yield ClusterExecutor(made.address, 2)


def test_results_come_in_order_with_errors_in_their_places(executor: Executor) -> None:
    found = [one for part in executor.results(Squares(), [*range(40), -1, 50]) for one in part]
    assert found[:40] == [number**2 for number in range(40)] and found[41] == 2500
    assert isinstance(found[40], VeilmarkError) and found[40].hint == "take another"


def test_tasks_are_taken_as_they_can_be_done(executor: Executor) -> None:
    taken: list[int] = []

    def tasks() -> Iterator[int]:
        for number in range(300):
            taken.append(number)
            yield number

    given = 0
    for part in executor.results(Squares(), tasks()):
        given += len(part)
        assert len(taken) <= given + 64, "tasks were taken far ahead of what was given back"
    assert given == 300


@pytest.mark.parametrize("count", [16, pytest.param(500, marks=pytest.mark.slow)])
def test_workers_that_are_killed_leave_no_record_twice_and_none_missing(
    executor: Executor, ready: Callable[..., Run], tmp_path: Path, count: int
) -> None:
    paths = _pictures(tmp_path / "pictures", count)
    marks = tmp_path / "marks"
    marks.mkdir()
    job = Dying(FingerprintJob(), marks, (paths[3].name, paths[count // 2].name))
    home = Home.locate()
    with open_session(home) as session:
        place = 0
        for part in executor.results(job, paths):
            items = [Recording(paths[place + number], None, found) for number, found in enumerate(part)]
            place += len(part)
            assert all(not isinstance(one, VeilmarkError) for one in log_recorded(items, session))
        assert len(list(marks.glob("died *"))) == 2
        began = len(list(marks.glob("began *")))
        assert 3 <= began <= 4 + 2, f"the job was opened {began} times for {count} files"
        _require_plain(session, paths)


def test_a_file_that_kills_every_worker_is_given_up(executor: Executor, tmp_path: Path) -> None:
    marks = tmp_path / "marks"
    marks.mkdir()
    job = Dying(Squares(), marks, ("2",), always=True)
    found = [one for part in executor.results(job, [1, 2, 3]) for one in part]
    assert found[0] == 1 and found[2] == 9
    assert isinstance(found[1], WorkerDiedError) and "died 3 times on 2" in str(found[1])


def test_recording_with_processes_is_started_again_where_it_stopped(
    ready: Callable[..., Run], tmp_path: Path
) -> None:
    paths = _pictures(tmp_path / "pictures", 6)
    damaged = tmp_path / "pictures" / "003.png"
    whole = damaged.read_bytes()
    damaged.write_bytes(whole[:100])
    first = ready("record", tmp_path / "pictures", "--jobs", "2", "--json")
    assert first.code == 3 and [one.get("error") for one in first.json][3] is not None
    damaged.write_bytes(whole)
    (tmp_path / "pictures" / "001.png.receipt").unlink()
    again = ready("record", *paths, "--jobs", "2")
    assert again.code == 0, again.err
    assert again.out.count("has its receipt already") == 4
    assert all(path.with_name(path.name + ".receipt").is_file() for path in paths)
    with open_ledger(Home.locate()) as ledger:
        assert ledger.size == 6
    found = ready("find", *paths[:3], "--jobs", "2", "--json").json
    assert [[record["match"] for record in one["records"]] for one in found] == [["file"]] * 3


@pytest.mark.slow
@pytest.mark.cluster
def test_the_commands_work_on_a_cluster(cluster: Any, ready: Callable[..., Run], tmp_path: Path) -> None:
    paths = _pictures(tmp_path / "pictures", 4)
    signed = ready("sign", *paths, "-o", tmp_path / "signed", "--cluster", cluster.address, "--json")
    assert signed.code == 0, signed.err
    assert [one["ledger"]["index"] for one in signed.json] == [0, 1, 2, 3]
    outputs = sorted((tmp_path / "signed").glob("*.png"))
    assert len(outputs) == 4 and not list((tmp_path / "signed").glob(".veilmark-*"))
    verified = ready("verify", *outputs, "--json").json
    assert {one["ledger"]["status"] for one in verified} == {"logged"}
    assert ready("record", *paths, "--cluster", cluster.address).code == 0
    found = ready("find", *paths[:2], "--cluster", cluster.address, "--json")
    assert found.code == 0 and all(len(one["records"]) >= 2 for one in found.json)
    skipped = ready(
        "sign", *paths, "-o", tmp_path / "signed", "--cluster", cluster.address, "--resume", "--json"
    )
    assert [one["skipped"] for one in skipped.json] == ["exists"] * 4


@pytest.mark.slow
@pytest.mark.cluster
def test_a_cluster_cloaks_and_judges_as_processes_here_do(
    cluster: Any, ready: Callable[..., Run], portrait_files: dict[str, Path], tmp_path: Path
) -> None:
    pytest.importorskip("torch", reason="needs the extra cloak")
    paths = [*portrait_files.values(), tmp_path / "torn.png"]
    paths[-1].write_bytes(paths[0].read_bytes()[:200])
    found: dict[str, tuple[Any, ...]] = {}
    for name, how in (("here", ("--jobs", "2")), ("there", ("--cluster", cluster.address))):
        folder = tmp_path / name
        options = ("--detectors", "centerface", "--judges", "none", "--steps", "2", "--strength", "low")
        made = ready("cloak", *paths, "-o", folder, *options, *how, "--json")
        assert made.code == 3 and "failed" in made.err, made.err
        verified = ready("verify", *sorted(folder.glob("*.*g")), "--json").json
        seen = ready("detect", *paths, "-o", folder / "saw", "--detectors", "warp,splice", *how, "--json")
        assert seen.code == 3, seen.err
        reports = [
            (line["report"]["faces"], line["report"]["detectors"]) for line in made.json if line.get("report")
        ]
        assert len(reports) == len(portrait_files)
        found[name] = (
            reports,
            [one["ledger"]["status"] for one in verified],
            [line.get("detectors") for line in seen.json],
            {path.name: path.read_bytes() for path in (folder / "saw").iterdir()},
        )
        assert not list(folder.glob(".veilmark-*"))
    assert found["here"] == found["there"] and found["here"][1] == ["logged"] * len(portrait_files)
    resumed = ready(
        "cloak",
        *paths[:1],
        "-o",
        tmp_path / "there",
        *options,
        "--cluster",
        cluster.address,
        "--resume",
        "--json",
    )
    assert resumed.json[0]["skipped"] == "exists"


@pytest.mark.slow
@pytest.mark.cluster
@pytest.mark.parametrize("count", [60, 500])
def test_a_raylet_killed_in_mid_run_leaves_no_record_twice_and_none_missing(
    cluster: Any, ready: Callable[..., Run], tmp_path: Path, count: int
) -> None:
    from provenance.bulk.cluster import ClusterExecutor

    paths = _pictures(tmp_path / "pictures", count)
    node = cluster.add_node(num_cpus=1, object_store_memory=80 << 20)
    cluster.wait_for_nodes(timeout=300)
    said: list[str] = []
    running = ClusterExecutor(cluster.address, 3, tell=said.append)
    killer: threading.Thread | None = None
    place = 0
    with open_session(Home.locate()) as session:
        # slowly enough that each node has work when one of them is killed
        for part in running.results(Slow(FingerprintJob(), 0.05), paths):
            items = [Recording(paths[place + number], None, found) for number, found in enumerate(part)]
            place += len(part)
            assert all(not isinstance(one, VeilmarkError) for one in log_recorded(items, session))
            if killer is None and place >= count // 5:
                killer = threading.Thread(target=cluster.remove_node, args=(node, False))
                killer.start()
        running.close()
        assert killer is not None
        killer.join()
        assert any("is given to another" in line for line in said), (
            "the node had nothing to do when it was killed"
        )
        _require_plain(session, paths)


def _require_plain(session: Session, paths: list[Path]) -> None:
    """The ledger holds one record of each file, in their order, and says what a plain run says."""
    entries = list(session.ledger.entries())
    once = [entry.record.file_sha256 for entry in entries]
    assert len(once) == len(set(once)) == len(paths)
    assert audit(session.ledger, signatures=True).ok
    with FingerprintJob().open() as work:
        for entry, path in zip(entries, paths, strict=True):
            found = work(path)
            assert entry.record.fingerprints == found.fingerprints and entry.features == found.features
            assert entry.record.file_sha256 == found.sha256


@pytest.mark.slow
@pytest.mark.cluster
def test_another_version_and_another_clock_are_named(cluster: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    from provenance.bulk import cluster as module

    said: list[str] = []
    running = module.ClusterExecutor(cluster.address, 1, tell=said.append)
    now = time.time()
    running._greet((module.VERSION, now + 60, "10.0.0.7"), now - 1)
    running._greet((module.VERSION, now + 60, "10.0.0.7"), now - 1)
    running._greet((module.VERSION, now - 0.5, "10.0.0.8"), now - 1)
    assert len(said) == 1 and "clock of 10.0.0.7 is 60 s ahead" in said[0]
    monkeypatch.setattr(module, "VERSION", "9.9.9")
    with pytest.raises(UsageError, match=r"has veilmark \S+, this machine has 9\.9\.9"):
        list(running.results(Squares(), [1]))
    running.close()


@pytest.mark.cluster
def test_a_cluster_out_of_reach_is_said_at_once() -> None:
    """In a process of its own: this one may have joined a cluster."""
    _require_ray()
    with socket.socket() as taken:  # bound, but nobody listens
        taken.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        code = (
            "import sys, time; from provenance.bulk.cluster import ClusterExecutor; "
            "from provenance.errors import CheckError\n"
            "start = time.monotonic()\n"
            "try: ClusterExecutor(sys.argv[1])\n"
            "except CheckError as error: print(time.monotonic() - start < 60, error, error.hint)"
        )
        done = subprocess.run(
            [sys.executable, "-c", code, address], capture_output=True, text=True, cwd=ROOT, timeout=300
        )
    assert done.stdout.startswith(f"True the Ray cluster {address} cannot be reached: "), done.stderr
    assert "Connection refused" in done.stdout and "ray start --head" in done.stdout

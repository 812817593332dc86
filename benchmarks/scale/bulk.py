"""Bulk recording by processes and by a Ray cluster of this machine: one worker against two, and what Ray itself costs.

    python benchmarks/scale/bulk.py [--files 120] [--rounds 3]

Pictures are read and fingerprinted by workers and logged by this process, as ``veilmark record --jobs`` and
``--cluster`` do it. Counted from the moment when every worker has given back two files, so that no start is in it.
Wall time says little where others use the machine, processor time (of this process, the workers and all of Ray) does.
The kinds take turns.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from collections.abc import Iterable
from pathlib import Path
from statistics import median

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("RAY_worker_niceness", "0")  # as our own processes
sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
os.environ["PYTHONPATH"] = os.pathsep.join(
    (sys.path[0], os.environ.get("PYTHONPATH", ""))
)  # of Ray's workers

import numpy as np
from PIL import Image

from provenance.bulk.cluster import ClusterExecutor
from provenance.bulk.executor import Executor
from provenance.bulk.jobs import Fingerprinted, FingerprintJob
from provenance.bulk.logging import Recording, log_recorded
from provenance.bulk.processes import ProcessExecutor
from provenance.errors import VeilmarkError
from provenance.home import Home
from provenance.session import Session, open_session
from provenance.setup import initialize

_TICKS = os.sysconf("SC_CLK_TCK")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--files", type=int, default=120)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="veilmark-bulk-") as name:
        folder = Path(name)
        pictures = _pictures(folder / "pictures", options.files)
        seen: dict[tuple[str, int], list[tuple[float, float]]] = {}
        for turn in range(options.rounds):
            for kind, workers in (("processes", 1), ("Ray", 1), ("processes", 2), ("Ray", 2)):
                home = Home.at(folder / f"{kind}-{workers}-{turn}")
                initialize(home, subject="Bulk", algorithm="ed25519", passphrase=None)
                cluster = ClusterExecutor("local", workers) if kind == "Ray" else None
                try:
                    with open_session(home) as session:
                        executor: Executor = cluster or ProcessExecutor(workers)
                        rate, cpu = _record(executor, workers, pictures, session)
                finally:
                    if cluster:
                        cluster.close()
                seen.setdefault((kind, workers), []).append((rate, cpu))
                figures = f"{rate:6.2f} files/s, {1e3 * cpu:6.1f} ms of processors a file"
                print(f"{kind:<10} {workers}: {figures}, load {os.getloadavg()[0]:.1f}", flush=True)
    rates = {key: median(rate for rate, _ in values) for key, values in seen.items()}
    costs = {key: median(cpu for _, cpu in values) for key, values in seen.items()}
    for kind in ("processes", "Ray"):
        print(f"two workers against one, {kind}: {rates[kind, 2] / rates[kind, 1]:.2f} times")
    for workers in (1, 2):
        more = costs["Ray", workers] / costs["processes", workers] - 1
        slower = rates["processes", workers] / rates["Ray", workers] - 1
        print(
            f"Ray against processes, {workers} worker(s): {more:+.1%} processor time, {slower:+.1%} wall time"
        )


def _pictures(folder: Path, count: int) -> list[Path]:
    """Photographs of 3 megapixels: one of scikit-image's, each cut and lit in its own way."""
    import skimage.data

    folder.mkdir()
    draw = np.random.default_rng(2)
    base = Image.fromarray(skimage.data.astronaut())
    paths = []
    for number in range(count):
        left, top = draw.integers(0, 120, 2)
        part = base.crop((left, top, left + 392, top + 294)).resize((2000, 1500), Image.Resampling.BICUBIC)
        pixels = np.asarray(part).astype(np.float32) * draw.uniform(0.7, 1.1) + draw.normal(
            0, 6, (1500, 2000, 1)
        )
        paths.append(folder / f"{number:04d}.jpg")
        Image.fromarray(pixels.clip(0, 255).astype(np.uint8)).save(paths[-1], quality=90)
    return paths


def _record(executor: Executor, workers: int, paths: list[Path], session: Session) -> tuple[float, float]:
    """Files a second, and seconds of processors a file."""
    place = counted = 0
    began = used = 0.0
    for part in executor.results(FingerprintJob(), paths):
        items = [
            Recording(paths[place + number], None, found)
            for number, found in enumerate(part)
            if isinstance(found, Fingerprinted)
        ]
        place += len(part)
        logged = log_recorded(items, session)
        if len(items) < len(part) or any(isinstance(one, VeilmarkError) for one in logged):
            raise SystemExit("a picture could not be recorded")
        if not counted and place >= 2 * workers:
            counted, began, used = place, time.perf_counter(), _processors()
        done, spent = time.perf_counter(), _processors()
    if session.ledger.size != len(paths):
        raise SystemExit(f"{session.ledger.size} records of {len(paths)} files")
    return (place - counted) / (done - began), (spent - used) / (place - counted)


def _processors() -> float:
    """Seconds of processors that this process and all below it have used."""
    parents: dict[int, int] = {}
    seconds: dict[int, float] = {}
    for pid, fields in _processes():
        parents[pid] = int(fields[1])
        seconds[pid] = (int(fields[11]) + int(fields[12])) / _TICKS
    ours, total = {os.getpid()}, 0.0
    while True:
        more = {pid for pid, parent in parents.items() if parent in ours} - ours
        if not more:
            break
        ours |= more
    for pid in ours:
        total += seconds.get(pid, 0.0)
    return total


def _processes() -> Iterable[tuple[int, list[str]]]:
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            text = path.read_text()
        except OSError:
            continue  # it ended meanwhile
        yield int(path.parent.name), text.rpartition(")")[2].split()


if __name__ == "__main__":
    main()

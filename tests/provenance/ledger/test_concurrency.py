"""Many writers at once, and writers killed at any moment."""

from __future__ import annotations

import os
import random
import signal
import threading
import time
from pathlib import Path

import pytest

from provenance.errors import UsageError
from provenance.ledger.audit import audit
from provenance.ledger.embedded.inbox import ProcessLock, _encode
from provenance.ledger.embedded.log import LocalLedger
from provenance.ledger.receipt import Receipt
from provenance.record import Opening
from tests.support.ledger_writer import acknowledged, save_openings, start_writer
from tests.support.logs import Place
from tests.support.records import make_openings


def _check(place: Place, known: dict[int, Opening]) -> None:
    """Every acknowledged opening is at its index; the log is sound; no opening has two leaves."""
    with place.open() as log:
        assert log.fork is None
        for index, opening in known.items():
            assert log.entry(index).opening == opening
        report = audit(log)
        assert report.ok, report.problems
        with log.view() as tables:
            leaves = tables.nodes.leaves(0, log.size)
        assert len(set(leaves)) == len(leaves)


def test_threads_share_commits_and_all_get_their_receipts(place: Place) -> None:
    with place.create() as log:
        results: dict[int, list[Receipt]] = {}

        def work(number: int) -> None:
            own = make_openings(6, seed=f"thread {number}")
            results[number] = [log.append([opening])[0] for opening in own]
            assert [receipt.opening for receipt in results[number]] == own

        threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        receipts = [receipt for mine in results.values() for receipt in mine]
        assert sorted(receipt.index for receipt in receipts) == list(range(48))
        for receipt in receipts:
            receipt.verify([log.log_key])
        assert audit(log).ok


def test_a_bad_request_does_not_spoil_the_others(place: Place) -> None:
    with place.create() as log:
        with pytest.raises(UsageError):
            log.append(make_openings(1), [bytes(9 * 1024 * 1024)])
        assert log.append(make_openings(1))[0].index == 0


def test_processes_write_at_once(place: Place, tmp_path: Path) -> None:
    place.create().close()
    known: dict[int, Opening] = {}
    openings = [make_openings(15, seed=f"process {number}") for number in range(3)]
    for number, own in enumerate(openings):
        save_openings(tmp_path / str(number), own)
    writers = [start_writer(place, tmp_path / str(number)) for number in range(3)]
    for own, writer in zip(openings, writers, strict=True):
        output, _ = writer.communicate(timeout=60)
        assert writer.returncode == 0
        known.update({index: own[number] for index, number in acknowledged(output)})
    assert sorted(known) == list(range(45))
    _check(place, known)


def test_what_a_waiting_process_offers_is_committed_with_the_next(tmp_path: Path) -> None:
    path = tmp_path / "l"
    with LocalLedger.create(path, origin="example.org/log") as log:
        mine, theirs = make_openings(2)
        busy, waiting = ProcessLock(path), ProcessLock(path)
        offered = threading.Event()

        def wait() -> None:
            with waiting.held([(theirs, b"features")]):
                offered.set()

        with busy.held():
            thread = threading.Thread(target=wait)
            thread.start()
            while not (path.with_name("l.inbox")).is_dir() or not busy.waiting():
                time.sleep(0.005)
            assert [item.features for item in busy.waiting()] == [b"features"]
            assert not offered.is_set()
        thread.join()
        assert busy.waiting() == []  # withdrawn: its owner has the lock now
        # an offer that nobody stands behind any more is dropped
        stale = path.with_name("l.inbox") / "1-dead"
        stale.write_bytes(_encode([(theirs, None)]))
        assert [receipt.index for receipt in log.append([mine])] == [0]
        assert log.size == 1 and not stale.exists()


@pytest.mark.parametrize("batch", [1, 40])
def test_killed_writers_lose_nothing_acknowledged(place: Place, tmp_path: Path, batch: int) -> None:
    place.create().close()
    openings = make_openings(2000)
    save_openings(tmp_path / "openings", openings)
    draw = random.Random(batch)
    known: dict[int, Opening] = {}
    for _ in range(4):
        # each round begins again with openings of the round before: they must keep their places
        writer = start_writer(place, tmp_path / "openings", max(0, len(known) - 2 * batch), batch)
        assert writer.stdout is not None
        first = writer.stdout.readline()
        time.sleep(draw.uniform(0, 0.1))
        os.kill(writer.pid, signal.SIGKILL)
        output = first + writer.communicate()[0]
        for index, number in acknowledged(output):
            assert known.setdefault(index, openings[number]) == openings[number]
    assert len(known) >= 2  # of a slow machine each round may see only what the round before saw
    assert sorted(known) == list(range(len(known)))
    _check(place, known)
    with place.open() as log:
        assert log.append(make_openings(1, seed="after the crashes"))[0].index == log.size - 1

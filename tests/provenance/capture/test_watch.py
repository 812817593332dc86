"""The hot folder: complete files only, survives restarts, never twice, never loses one."""

from __future__ import annotations

import io
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from provenance.capture.journal import Entry, Journal
from provenance.capture.watch import WatchEvent, WatchOptions, watch_folder
from provenance.errors import CorruptMediaError, MissingPathError, UsageError
from provenance.home import Home
from provenance.identity.identity import Identity, create_identity
from provenance.manifest.embed import ManifestSpec, sign_manifest
from provenance.manifest.read import read_manifest

FAST = WatchOptions(settle_s=0.1, rescan_s=0.5)
ONCE = WatchOptions(settle_s=0.1, rescan_s=0.5, once=True)


def _jpeg(seed: int = 0, size: int = 32) -> bytes:
    pixels = np.random.default_rng(seed).integers(0, 255, (size, size, 3), np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "JPEG")
    return buffer.getvalue()


@pytest.fixture(scope="module")
def identity(tmp_path_factory: pytest.TempPathFactory) -> Identity:
    root = tmp_path_factory.mktemp("identity")
    return create_identity(Home(root, root / "config"), subject="Jane Doe")


class Desk:
    """A hot folder, its output, its journal, and a real signer that counts."""

    def __init__(self, root: Path, identity: Identity) -> None:
        self.folder, self.output, self.journal = root / "in", root / "out", root / "journal.sqlite3"
        self.folder.mkdir()
        self.identity = identity
        self.signed: list[Path] = []
        self.events: list[WatchEvent] = []

    def sign(self, source: Path, target: Path) -> None:
        temporary = target.with_name(f".{target.name}")
        sign_manifest(source, temporary, ManifestSpec(title=source.name), self.identity)
        temporary.rename(target)
        self.signed.append(source)

    def run(self, options: WatchOptions = ONCE, **more: object) -> dict[str, int]:
        return watch_folder(
            self.folder,
            self.output,
            self.journal,
            self.sign,
            options=options,
            on_event=self.events.append,
            **more,  # type: ignore[arg-type]
        )

    def titles(self) -> list[str]:
        titles = []
        for path in sorted(self.output.rglob("*.jpg")):
            report = read_manifest(path, "image/jpeg", anchors_pem=[self.identity.chain_pem])
            assert report is not None
            assert report.state == "trusted"
            titles.append(report.title)
        return titles


@pytest.fixture
def desk(tmp_path: Path, identity: Identity) -> Desk:
    return Desk(tmp_path, identity)


class Running:
    """A watch in the background, stopped at the end of the block."""

    def __init__(self, desk: Desk, options: WatchOptions = FAST) -> None:
        self.stop, self.errors = threading.Event(), []
        self.thread = threading.Thread(target=self._run, args=(desk, options))

    def _run(self, desk: Desk, options: WatchOptions) -> None:
        try:
            desk.run(options, stop=self.stop)
        except BaseException as error:
            self.errors.append(error)

    def __enter__(self) -> Running:
        self.thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop.set()
        self.thread.join(20)
        assert not self.thread.is_alive()
        assert self.errors == []


def _until(true: Callable[[], bool], seconds: float = 20.0) -> None:
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end, "took too long"
        time.sleep(0.02)


def test_what_is_there_and_what_is_dropped_later_is_signed(desk: Desk) -> None:
    (desk.folder / "before.jpg").write_bytes(_jpeg(1))
    with Running(desk):
        _until(lambda: len(desk.signed) == 1)
        (desk.folder / "after.jpg").write_bytes(_jpeg(2))
        moved = desk.folder.parent / "moved.jpg"
        moved.write_bytes(_jpeg(3))
        moved.rename(desk.folder / "moved.jpg")
        _until(lambda: len(desk.signed) == 3)
    assert desk.titles() == ["after.jpg", "before.jpg", "moved.jpg"]


@pytest.mark.parametrize("count", [150, pytest.param(1000, marks=pytest.mark.slow)])
def test_many_files_at_once_are_all_signed_once(desk: Desk, count: int) -> None:
    data = _jpeg(0, 16)
    for index in range(count):
        # bytes after the end marker make each file its own content
        (desk.folder / f"{index:04d}.jpg").write_bytes(data + index.to_bytes(4, "big"))
    assert desk.run(WatchOptions(settle_s=0.1, rescan_s=0.5, once=True, jobs=2)) == {"signed": count}
    assert len(desk.signed) == len(set(desk.signed)) == count
    assert len(list(desk.output.iterdir())) == count
    assert desk.run() == {"signed": count}
    assert len(desk.signed) == count, "a second run has nothing to do"


def test_a_file_is_left_alone_until_it_is_complete(desk: Desk) -> None:
    data = _jpeg(4, 128)
    with Running(desk):
        slow = (desk.folder / "slow.jpg").open("wb")
        slow.write(data[: len(data) // 2])
        slow.flush()
        half = desk.folder / "half.jpg"
        half.write_bytes(data[: len(data) // 2])
        time.sleep(1.0)
        assert desk.signed == []
        slow.write(data[len(data) // 2 :])
        slow.flush()
        time.sleep(0.8)
        assert desk.signed == [], "whole, but somebody still has it open for writing"
        slow.close()
        _until(lambda: len(desk.signed) == 1)
        with half.open("ab") as rest:
            rest.write(data[len(data) // 2 :])
        _until(lambda: len(desk.signed) == 2)
    assert desk.titles() == ["half.jpg", "slow.jpg"]


def test_patience_ends(desk: Desk) -> None:
    (desk.folder / "half.jpg").write_bytes(_jpeg(4)[:500])
    (desk.folder / "empty.jpg").touch()
    with Running(desk, WatchOptions(settle_s=0.1, rescan_s=0.2, patience_s=0.6)):
        _until(lambda: len(desk.events) == 2)
    assert {event.kind for event in desk.events} == {"failed"}
    assert {event.message for event in desk.events} == {"the file is not complete"}


def test_what_is_not_media_or_not_finished_is_passed_over(desk: Desk) -> None:
    (desk.folder / "notes.txt").write_text("hello")
    for name in ("x.jpg.part", ".hidden.jpg", "a.receipt", "b.c2pa", "~lock.jpg"):
        (desk.folder / name).write_bytes(_jpeg(5))
    (desk.folder / "inside").mkdir()
    (desk.folder / "inside/deep.jpg").write_bytes(_jpeg(6))
    (desk.folder / "link.jpg").symlink_to(desk.folder / "inside/deep.jpg")
    assert desk.run() == {"skipped": 1}
    assert desk.signed == []
    assert [event.kind for event in desk.events] == ["skipped"]
    assert desk.run(WatchOptions(settle_s=0.1, once=True, recursive=True)) == {"skipped": 1, "signed": 1}
    assert (desk.output / "inside/deep.jpg").exists()


def test_outputs_inside_the_folder_are_not_signed_again(tmp_path: Path, identity: Identity) -> None:
    desk = Desk(tmp_path, identity)
    desk.output = desk.folder / "signed"
    (desk.folder / "a.jpg").write_bytes(_jpeg(7))
    options = WatchOptions(settle_s=0.1, once=True, recursive=True)
    for _ in range(3):
        assert desk.run(options) == {"signed": 1}
    assert len(desk.signed) == 1


def test_touched_and_renamed_files_are_not_signed_again_but_changed_ones_are(desk: Desk) -> None:
    path = desk.folder / "a.jpg"
    path.write_bytes(_jpeg(8))
    desk.run()
    os.utime(path, (1, 1))
    desk.run()
    path.rename(desk.folder / "b.jpg")
    desk.run()
    assert len(desk.signed) == 1
    (desk.folder / "copy.jpg").write_bytes(_jpeg(8))
    desk.run()
    assert len(desk.signed) == 2, "a second file with the same content wants its own output"
    (desk.folder / "b.jpg").write_bytes(_jpeg(9))
    desk.run()
    assert len(desk.signed) == 3
    (desk.folder / "a.jpg").write_bytes(_jpeg(10))
    desk.run()
    assert sorted(path.name for path in desk.output.iterdir()) == ["a-2.jpg", "a.jpg", "b.jpg", "copy.jpg"]


def test_failures_are_told_and_tried_again_after_a_restart(desk: Desk) -> None:
    (desk.folder / "a.jpg").write_bytes(_jpeg(11))
    works, real = [], desk.sign

    def fails(source: Path, target: Path) -> None:
        works.append(source)
        if len(works) == 1:
            raise CorruptMediaError("no luck")
        if len(works) == 2:
            raise ZeroDivisionError("a bug")
        real(source, target)

    desk.sign = fails  # type: ignore[method-assign]
    assert desk.run() == {"failed": 1}
    assert len(works) == 1
    assert desk.events[-1].message == "no luck"
    assert desk.run() == {"failed": 1}
    assert desk.events[-1].message == "ZeroDivisionError: a bug"
    assert desk.run() == {"signed": 1}
    assert desk.titles() == ["a.jpg"]


def test_an_attempt_that_was_cut_off_is_settled_by_its_output(desk: Desk) -> None:
    """As after a crash between writing the output and noting it, and between noting the start and writing."""
    desk.output.mkdir()
    for name in ("done.jpg", "cut.jpg"):
        (desk.folder / name).write_bytes(_jpeg(len(name)))
    desk.sign(desk.folder / "done.jpg", desk.output / "done.jpg")
    journal = Journal(desk.journal)
    for name in ("done.jpg", "cut.jpg"):
        status = (desk.folder / name).stat()
        target = str(desk.output / name)
        journal.put(Entry(name, status.st_size, status.st_mtime_ns, "00" * 32, target, "started", ""))
    journal.close()
    assert desk.run() == {"signed": 2}
    assert [path.name for path in desk.signed] == ["done.jpg", "cut.jpg"]
    assert [event.kind for event in desk.events] == ["recovered", "signed"]


KILLED = """
import sys, threading
from pathlib import Path
from provenance.home import Home
from provenance.identity.identity import load_identity
from provenance.manifest.embed import ManifestSpec, sign_manifest
from provenance.capture.watch import WatchOptions, watch_folder

root, home = Path(sys.argv[1]), Path(sys.argv[2])
identity = load_identity(Home(home, home / "config"))

def sign(source, target):
    temporary = target.with_name("." + target.name)
    sign_manifest(source, temporary, ManifestSpec(title=source.name), identity)
    temporary.rename(target)
    print(source.name, flush=True)

watch_folder(root / "in", root / "out", root / "journal.sqlite3", sign,
             options=WatchOptions(settle_s=0.05, once=True))
"""


def test_a_watch_that_is_killed_loses_nothing_and_repeats_nothing(tmp_path: Path, identity: Identity) -> None:
    home = tmp_path / "home"
    killed = create_identity(Home(home, home / "config"), subject="Jane Doe")
    desk = Desk(tmp_path, killed)
    for index in range(60):
        (desk.folder / f"{index:02d}.jpg").write_bytes(_jpeg(index))
    for at in (7, 23):
        command = [sys.executable, "-c", KILLED, str(tmp_path), str(home)]
        root = str(Path(__file__).parents[3])
        process = subprocess.Popen(
            command, stdout=subprocess.PIPE, env={**os.environ, "PYTHONPATH": root}, cwd=root
        )
        assert process.stdout is not None
        for _ in range(at):
            assert process.stdout.readline()
        process.send_signal(signal.SIGKILL)
        process.wait()
        process.stdout.close()
    done_before = len(list(desk.output.glob("[0-9]*.jpg")))
    assert 30 <= done_before < 60
    assert desk.run() == {"signed": 60}
    assert len(desk.signed) == 60 - done_before
    assert desk.titles() == [f"{index:02d}.jpg" for index in range(60)]


def test_two_watches_of_one_folder_are_refused(desk: Desk) -> None:
    with Running(desk):
        _until(desk.journal.exists)
        with pytest.raises(UsageError, match="another process watches"):
            desk.run()
    assert desk.run() == {}


def test_without_events_the_clock_alone_does(desk: Desk) -> None:
    with Running(desk, WatchOptions(settle_s=0.1, rescan_s=0.2, use_events=False)):
        (desk.folder / "a.jpg").write_bytes(_jpeg(12))
        _until(lambda: len(desk.signed) == 1)


def test_a_folder_that_is_not_there(desk: Desk, tmp_path: Path) -> None:
    desk.folder = tmp_path / "absent"
    with pytest.raises(MissingPathError):
        desk.run()

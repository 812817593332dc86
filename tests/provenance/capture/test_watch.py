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


class Session:
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
def session(tmp_path: Path, identity: Identity) -> Session:
    return Session(tmp_path, identity)


class Running:
    """A watch in the background, stopped at the end of the block."""

    def __init__(self, session: Session, options: WatchOptions = FAST) -> None:
        self.stop, self.errors = threading.Event(), []
        self.thread = threading.Thread(target=self._run, args=(session, options))

    def _run(self, session: Session, options: WatchOptions) -> None:
        try:
            session.run(options, stop=self.stop)
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


def test_what_is_there_and_what_is_dropped_later_is_signed(session: Session) -> None:
    (session.folder / "before.jpg").write_bytes(_jpeg(1))
    with Running(session):
        _until(lambda: len(session.signed) == 1)
        (session.folder / "after.jpg").write_bytes(_jpeg(2))
        moved = session.folder.parent / "moved.jpg"
        moved.write_bytes(_jpeg(3))
        moved.rename(session.folder / "moved.jpg")
        _until(lambda: len(session.signed) == 3)
    assert session.titles() == ["after.jpg", "before.jpg", "moved.jpg"]


@pytest.mark.parametrize("count", [150, pytest.param(1000, marks=pytest.mark.slow)])
def test_many_files_at_once_are_all_signed_once(session: Session, count: int) -> None:
    data = _jpeg(0, 16)
    for index in range(count):
        # bytes after the end marker make each file its own content
        (session.folder / f"{index:04d}.jpg").write_bytes(data + index.to_bytes(4, "big"))
    assert session.run(WatchOptions(settle_s=0.1, rescan_s=0.5, once=True, jobs=2)) == {"signed": count}
    assert len(session.signed) == len(set(session.signed)) == count
    assert len(list(session.output.iterdir())) == count
    assert session.run() == {"signed": count}
    assert len(session.signed) == count, "a second run has nothing to do"


def test_a_file_is_left_alone_until_it_is_complete(session: Session) -> None:
    data = _jpeg(4, 128)
    with Running(session):
        slow = (session.folder / "slow.jpg").open("wb")
        slow.write(data[: len(data) // 2])
        slow.flush()
        half = session.folder / "half.jpg"
        half.write_bytes(data[: len(data) // 2])
        time.sleep(1.0)
        assert session.signed == []
        slow.write(data[len(data) // 2 :])
        slow.flush()
        time.sleep(0.8)
        assert session.signed == [], "whole, but somebody still has it open for writing"
        slow.close()
        _until(lambda: len(session.signed) == 1)
        with half.open("ab") as rest:
            rest.write(data[len(data) // 2 :])
        _until(lambda: len(session.signed) == 2)
    assert session.titles() == ["half.jpg", "slow.jpg"]


def test_patience_ends(session: Session) -> None:
    (session.folder / "half.jpg").write_bytes(_jpeg(4)[:500])
    (session.folder / "empty.jpg").touch()
    with Running(session, WatchOptions(settle_s=0.1, rescan_s=0.2, patience_s=0.6)):
        _until(lambda: len(session.events) == 2)
    assert {event.kind for event in session.events} == {"failed"}
    assert {event.message for event in session.events} == {"the file is not complete"}


def test_what_is_not_media_or_not_finished_is_passed_over(session: Session) -> None:
    (session.folder / "notes.txt").write_text("hello")
    for name in ("x.jpg.part", ".hidden.jpg", "a.receipt", "b.c2pa", "~lock.jpg"):
        (session.folder / name).write_bytes(_jpeg(5))
    (session.folder / "inside").mkdir()
    (session.folder / "inside/deep.jpg").write_bytes(_jpeg(6))
    (session.folder / "link.jpg").symlink_to(session.folder / "inside/deep.jpg")
    assert session.run() == {"skipped": 1}
    assert session.signed == []
    assert [event.kind for event in session.events] == ["skipped"]
    assert session.run(WatchOptions(settle_s=0.1, once=True, recursive=True)) == {"skipped": 1, "signed": 1}
    assert (session.output / "inside/deep.jpg").exists()


def test_outputs_inside_the_folder_are_not_signed_again(tmp_path: Path, identity: Identity) -> None:
    session = Session(tmp_path, identity)
    session.output = session.folder / "signed"
    (session.folder / "a.jpg").write_bytes(_jpeg(7))
    options = WatchOptions(settle_s=0.1, once=True, recursive=True)
    for _ in range(3):
        assert session.run(options) == {"signed": 1}
    assert len(session.signed) == 1


def test_touched_and_renamed_files_are_not_signed_again_but_changed_ones_are(session: Session) -> None:
    path = session.folder / "a.jpg"
    path.write_bytes(_jpeg(8))
    session.run()
    os.utime(path, (1, 1))
    session.run()
    path.rename(session.folder / "b.jpg")
    session.run()
    assert len(session.signed) == 1
    (session.folder / "copy.jpg").write_bytes(_jpeg(8))
    session.run()
    assert len(session.signed) == 2, "a second file with the same content wants its own output"
    (session.folder / "b.jpg").write_bytes(_jpeg(9))
    session.run()
    assert len(session.signed) == 3
    (session.folder / "a.jpg").write_bytes(_jpeg(10))
    session.run()
    assert sorted(path.name for path in session.output.iterdir()) == ["a-2.jpg", "a.jpg", "b.jpg", "copy.jpg"]


def test_failures_are_told_and_tried_again_after_a_restart(session: Session) -> None:
    (session.folder / "a.jpg").write_bytes(_jpeg(11))
    works, real = [], session.sign

    def fails(source: Path, target: Path) -> None:
        works.append(source)
        if len(works) == 1:
            raise CorruptMediaError("no luck")
        if len(works) == 2:
            raise ZeroDivisionError("a bug")
        real(source, target)

    session.sign = fails  # type: ignore[method-assign]
    assert session.run() == {"failed": 1}
    assert len(works) == 1
    assert session.events[-1].message == "no luck"
    assert session.run() == {"failed": 1}
    assert session.events[-1].message == "ZeroDivisionError: a bug"
    assert session.run() == {"signed": 1}
    assert session.titles() == ["a.jpg"]


def test_an_attempt_that_was_cut_off_is_settled_by_its_output(session: Session) -> None:
    """As after a crash between writing the output and noting it, and between noting the start and writing."""
    session.output.mkdir()
    for name in ("done.jpg", "cut.jpg"):
        (session.folder / name).write_bytes(_jpeg(len(name)))
    session.sign(session.folder / "done.jpg", session.output / "done.jpg")
    journal = Journal(session.journal)
    for name in ("done.jpg", "cut.jpg"):
        status = (session.folder / name).stat()
        target = str(session.output / name)
        journal.put(Entry(name, status.st_size, status.st_mtime_ns, "00" * 32, target, "started", ""))
    journal.close()
    assert session.run() == {"signed": 2}
    assert [path.name for path in session.signed] == ["done.jpg", "cut.jpg"]
    assert [event.kind for event in session.events] == ["recovered", "signed"]


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
    session = Session(tmp_path, killed)
    for index in range(60):
        (session.folder / f"{index:02d}.jpg").write_bytes(_jpeg(index))
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
    done_before = len(list(session.output.glob("[0-9]*.jpg")))
    assert 30 <= done_before < 60
    assert session.run() == {"signed": 60}
    assert len(session.signed) == 60 - done_before
    assert session.titles() == [f"{index:02d}.jpg" for index in range(60)]


def test_two_watches_of_one_folder_are_refused(session: Session) -> None:
    with Running(session):
        _until(session.journal.exists)
        with pytest.raises(UsageError, match="another process watches"):
            session.run()
    assert session.run() == {}


def test_without_events_the_clock_alone_does(session: Session) -> None:
    with Running(session, WatchOptions(settle_s=0.1, rescan_s=0.2, use_events=False)):
        (session.folder / "a.jpg").write_bytes(_jpeg(12))
        _until(lambda: len(session.signed) == 1)


def test_a_folder_that_is_not_there(session: Session, tmp_path: Path) -> None:
    session.folder = tmp_path / "absent"
    with pytest.raises(MissingPathError):
        session.run()

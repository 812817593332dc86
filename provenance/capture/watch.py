"""A hot folder: what is dropped into it comes out signed.

A file is signed when it is complete: its size and time have stood still, nobody has it open for writing, and
its own structure says that it ends where it should. The truth is a scan of the folder; file system events
only make the next scan come sooner, so a lost event loses no file. What was done is in a journal on disk.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from provenance.capture.journal import Entry, Journal
from provenance.errors import CorruptMediaError, MissingPathError, UnknownFormatError, VeilmarkError
from provenance.identity.certificates import printable
from provenance.media.completeness import has_writer, is_whole
from provenance.media.files import sha256_file
from provenance.media.formats import detect_format

#: Names that other programs give to files that are not finished, and what veilmark lays beside media.
UNFINISHED = (".part", ".partial", ".tmp", ".temp", ".crdownload", ".download", ".filepart", ".swp")
OWN = (".c2pa", ".receipt")


@dataclass(frozen=True)
class WatchEvent:
    """Something happened to a file: ``signed``, ``failed``, ``skipped`` (no media) or ``recovered``."""

    kind: str
    path: Path
    output: Path | None = None
    message: str = ""


@dataclass(frozen=True)
class WatchOptions:
    """How to watch.

    Attributes:
        recursive: folders inside too (hidden ones and the output folder never).
        settle_s: how long size and time must stand still.
        rescan_s: scan at least this often.
        patience_s: a file that stands still for so long and still is not whole counts as failed.
        jobs: how many files are signed at the same time; ``sign`` must allow it.
        once: return when nothing is left to do, instead of waiting for more.
        use_events: let watchdog wake the scan; False scans by time alone (network file systems).
    """

    recursive: bool = False
    settle_s: float = 1.0
    rescan_s: float = 2.0
    patience_s: float = 600.0
    jobs: int = 1
    once: bool = False
    use_events: bool = True


@dataclass(frozen=True)
class _FileState:
    """A file as one scan saw it; ``since`` is when it was first seen like this."""

    size: int
    mtime_ns: int
    since: float

    def unchanged(self, status: os.stat_result) -> bool:
        return (self.size, self.mtime_ns) == (status.st_size, status.st_mtime_ns)


def watch_folder(
    folder: Path,
    output: Path,
    journal: Path,
    sign: Callable[[Path, Path], Any],
    *,
    options: WatchOptions | None = None,
    stop: threading.Event | None = None,
    on_event: Callable[[WatchEvent], None] | None = None,
) -> dict[str, int]:
    """Sign what appears in ``folder`` until ``stop`` is set (or, with ``once``, until all is done).

    A file that is replaced by another content is signed again, under a new output name. One that is renamed
    or touched is not. What failed is tried again when it changes, and after a restart.

    Args:
        output: where signed files go, with the same relative names; it may lie inside ``folder``.
        journal: the journal file; one per folder.
        sign: ``sign(source, target)`` writes ``target`` whole or not at all, and raises a VeilmarkError when
            it cannot.
        on_event: called from worker threads.

    Returns:
        State (``signed``, ``failed``, ``skipped``) to number of files in the journal.

    Raises:
        MissingPathError: ``folder`` is no folder.
        UsageError: another process watches with this journal.
    """
    if not folder.is_dir():
        raise MissingPathError(f"{folder} is no folder")
    watcher = _Watcher(folder.resolve(), output.absolute(), Journal(journal), sign, options or WatchOptions())
    watcher.on_event = on_event or (lambda _: None)
    try:
        watcher.run(stop or threading.Event())
        return watcher.journal.counts()
    finally:
        watcher.journal.close()


class _Watcher:
    def __init__(
        self,
        folder: Path,
        output: Path,
        journal: Journal,
        sign: Callable[[Path, Path], Any],
        options: WatchOptions,
    ) -> None:
        self.folder, self.output, self.journal, self.sign, self.options = (
            folder,
            output,
            journal,
            sign,
            options,
        )
        self.on_event: Callable[[WatchEvent], None] = lambda _: None
        self.seen: dict[str, _FileState] = {}
        self.busy: dict[str, Future[None]] = {}
        self.names = threading.Lock()
        self.wake = threading.Event()
        self.failed: set[str] = set()

    def run(self, stop: threading.Event) -> None:
        for entry in self.journal.recover():
            self._tell("recovered", entry.path, Path(entry.output))
        observer = self._observer() if self.options.use_events else None
        try:
            with ThreadPoolExecutor(self.options.jobs, thread_name_prefix="watch") as pool:
                while not stop.is_set():
                    self.wake.clear()
                    pending = self._scan(pool)
                    if self.options.once and not pending and not self.busy:
                        break
                    # unsettled files need a look soon; otherwise an event or the clock wakes us
                    self._wait(stop, min(self.options.settle_s, 0.25) if pending else self.options.rescan_s)
        finally:
            if observer is not None:
                observer.stop()
                observer.join()

    def _wait(self, stop: threading.Event, seconds: float) -> None:
        """Until an event, a stop, or the time; ``stop`` is looked at often enough to feel immediate."""
        end = time.monotonic() + seconds
        while not stop.is_set() and not self.wake.is_set():
            left = end - time.monotonic()
            if left <= 0:
                return
            self.wake.wait(min(left, 0.1))

    def _scan(self, pool: ThreadPoolExecutor) -> bool:
        """Start work on files that have settled; whether some have not."""
        for name in [name for name, job in self.busy.items() if job.done()]:
            self.busy.pop(name).result()
        now, pending, present = time.monotonic(), False, set()
        for path in self._files():
            name = str(path.relative_to(self.folder))
            present.add(name)
            try:
                status = path.stat()
            except OSError:
                continue
            if name in self.busy or self._is_done(name, status):
                continue
            seen = self.seen.get(name)
            if seen is None or not seen.unchanged(status):
                self.failed.discard(name)
                seen = self.seen[name] = _FileState(status.st_size, status.st_mtime_ns, now)
            age = now - seen.since
            if age < self.options.settle_s:
                pending = True
            elif self._is_complete(path, name, status, age):
                self.busy[name] = pool.submit(self._work, path, name, status)
        for name in set(self.seen) - present:
            del self.seen[name]
        return pending

    def _files(self) -> Iterator[Path]:
        """Regular files that may be media, in name order."""
        for root, folders, files in os.walk(self.folder):
            here = Path(root)
            folders[:] = sorted(
                one for one in folders if not one.startswith(".") and (here / one).absolute() != self.output
            )
            if not self.options.recursive:
                folders.clear()
            for file in sorted(files):
                path = here / file
                hidden = file.startswith((".", "~"))
                if not hidden and path.suffix.lower() not in UNFINISHED + OWN and not path.is_symlink():
                    yield path

    def _is_done(self, name: str, status: os.stat_result) -> bool:
        entry = self.journal.get(name)
        if entry is None or (entry.size, entry.mtime_ns) != (status.st_size, status.st_mtime_ns):
            return False
        # what failed in an earlier run is tried once more in this one
        return entry.state in ("signed", "skipped") or name in self.failed

    def _is_complete(self, path: Path, name: str, status: os.stat_result, age: float) -> bool:
        """Whether a settled file is written to its end; says what is wrong when patience ends."""
        try:
            media = detect_format(path)
            whole = is_whole(path, media)
        except UnknownFormatError as error:
            self._note(name, status, "skipped", str(error))
            return False
        except CorruptMediaError:
            whole = False
        except (OSError, VeilmarkError):
            return False
        if whole and has_writer(path) is not True:
            return True
        if age >= self.options.patience_s:
            self._note(name, status, "failed", "the file is not complete")
        return False

    def _work(self, path: Path, name: str, status: os.stat_result) -> None:
        """Sign one complete file, journalled before and after."""
        entry: Entry | None = None
        try:
            digest = sha256_file(path)
            entry = Entry(name, status.st_size, status.st_mtime_ns, digest, "", "started", "")
            known = self._signed_already(name, digest)
            if known is not None:
                moved = Entry(**{**vars(entry), "output": known.output, "state": "signed"})
                self.journal.put(moved, instead_of=known.path)
                return
            with self.names:
                target = self._free_output(name)
                entry = Entry(**{**vars(entry), "output": str(target)})
                self.journal.put(entry)
            self.sign(path, target)
            self.journal.put(Entry(**{**vars(entry), "state": "signed"}))
            self._tell("signed", name, target)
        except VeilmarkError as error:
            self._note(name, status, "failed", str(error), entry)
        except Exception as error:
            # one file must not end the watch over all others
            self._note(name, status, "failed", f"{type(error).__name__}: {error}", entry)
        finally:
            self.wake.set()

    def _signed_already(self, name: str, digest: str) -> Entry | None:
        """The entry of the same content: this very file, touched, or one that was renamed to it."""
        for entry in self.journal.find_signed(digest):
            if entry.path == name or not (self.folder / entry.path).exists():
                return entry
        return None

    def _free_output(self, name: str) -> Path:
        wanted = self.output / name
        for number in range(1, 1_000_000):
            path = wanted if number == 1 else wanted.with_name(f"{wanted.stem}-{number}{wanted.suffix}")
            if not path.exists() and not self.journal.is_taken(str(path)):
                path.parent.mkdir(parents=True, exist_ok=True)
                return path
        raise CorruptMediaError(f"there is no free name for {wanted}")

    def _note(
        self, name: str, status: os.stat_result, state: str, message: str, entry: Entry | None = None
    ) -> None:
        message = printable(message, 500)
        digest = entry.sha256 if entry else ""
        self.failed.add(name)
        self.journal.put(Entry(name, status.st_size, status.st_mtime_ns, digest, "", state, message))
        self._tell(state, name, None, message)

    def _tell(self, kind: str, name: str, output: Path | None, message: str = "") -> None:
        self.on_event(WatchEvent(kind, self.folder / name, output, message))

    def _observer(self) -> Any:
        """A watchdog observer that wakes the scan; None where there is none to be had."""
        try:
            from watchdog.events import FileSystemEventHandler
            from watchdog.observers import Observer
        except ImportError:
            return None
        wake = self.wake

        class Waker(FileSystemEventHandler):
            def on_any_event(self, event: Any) -> None:
                wake.set()

        observer = Observer()
        try:
            observer.schedule(Waker(), str(self.folder), recursive=self.options.recursive)
            observer.start()
        except OSError:
            # no inotify watches left: the clock alone will do
            return None
        return observer

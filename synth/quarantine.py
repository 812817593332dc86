"""A private folder for generated files that have no label yet.

It lies outside every folder that a person named, and is removed at the end, even if the program is killed. Functions
that write generated pixels accept only an :class:`Unlabelled` place, and only a :class:`Quarantine` makes one, so they
cannot write anywhere else. :mod:`synth.label` takes files out.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from provenance.errors import NotWritableError, UsageError
from provenance.home import Home

FOLDER = "unlabelled"
_MAKER = object()
#: Run by a process of its own: waits until the one that started it ends, in whichever way, then removes the folder.
_GUARD = "import shutil, sys; sys.stdin.buffer.read(); shutil.rmtree(sys.argv[1], ignore_errors=True)"


class Unlabelled:
    """The place of one generated file without a label. It is of use only while its quarantine is open."""

    __slots__ = ("_name", "_quarantine")

    def __init__(self, quarantine: Quarantine, name: str, maker: object) -> None:
        if maker is not _MAKER:
            raise TypeError("only a quarantine makes places for files without a label")
        self._quarantine, self._name = quarantine, name

    @property
    def path(self) -> Path:
        """Where to write.

        Raises:
            UsageError: the quarantine is over.
        """
        return self._quarantine.folder / self._name


class Quarantine:
    """An open folder for generated files without a label; made by :func:`quarantine`."""

    def __init__(self, folder: Path, maker: object) -> None:
        if maker is not _MAKER:
            raise TypeError("quarantine() opens a quarantine")
        self._folder: Path | None = folder

    @property
    def folder(self) -> Path:
        """The private folder, for what reads from it.

        Raises:
            UsageError: the quarantine is over.
        """
        if self._folder is None:
            raise UsageError("the generated file is gone: its quarantine is over")
        return self._folder

    def place(self, name: str) -> Unlabelled:
        """Room for a file.

        Args:
            name: a file name; its suffix tells the format.
        """
        if Path(name).name != name or not name.strip("."):
            raise UsageError(f"{name[:80]!r} is no file name")
        return Unlabelled(self, name, _MAKER)


@contextmanager
def quarantine(home: Home | None = None) -> Iterator[Quarantine]:
    """Open a quarantine in veilmark's state folder, for this machine's user alone (0700).

    At the end the folder is removed with everything in it. If this process is killed, a second process removes it;
    after a loss of power the next quarantine does.

    Args:
        home: whose state folder; default this machine's.

    Raises:
        NotWritableError: the folder cannot be made.
    """
    root = (home or Home.locate()).data / FOLDER
    try:
        root.mkdir(parents=True, exist_ok=True, mode=0o700)
        root.chmod(0o700)
        _sweep(root)
        folder = Path(tempfile.mkdtemp(dir=root, prefix=f"{os.getpid()}-"))
        guard = subprocess.Popen(
            [sys.executable, "-I", "-S", "-c", _GUARD, str(folder)],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
    except OSError as error:
        raise NotWritableError(f"cannot write in {root}: {error.strerror or error}") from error
    opened = Quarantine(folder, _MAKER)
    try:
        yield opened
    finally:
        opened._folder = None
        shutil.rmtree(folder, ignore_errors=True)
        with suppress(OSError):
            guard.communicate()
        with suppress(OSError):
            root.rmdir()  # only where it is empty


def _sweep(root: Path) -> None:
    """Remove what processes left that do not run any more."""
    for left in root.iterdir():
        number = left.name.partition("-")[0]
        if number.isdecimal() and not process_runs(int(number)):
            shutil.rmtree(left, ignore_errors=True)


def process_runs(number: int) -> bool:
    """Whether a process of that number runs on this machine."""
    try:
        os.kill(number, 0)
    except ProcessLookupError:
        return False
    except OSError:
        return True
    return True

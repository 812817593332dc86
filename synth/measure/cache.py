"""What was measured already: results by the hash of everything that they depend on.

A measurement that was interrupted finds what it had finished; one with other pictures, options or seeds finds nothing
that does not fit. Files appear whole or not at all. The folder holds faces, so only its owner may look into it.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from provenance.errors import CorruptMediaError, NotWritableError
from provenance.media.files import replacing, write_bytes
from provenance.version import VERSION
from synth.quarantine import process_runs

#: Rises when results are computed in another way than before.
CACHE_VERSION = 1
_SCRATCH = "scratch-"
_LARGEST = 64 * 1024 * 1024


def key_of(kind: str, depends: dict[str, Any]) -> str:
    """The name of a result: a hash of its kind, of all that it depends on, and of the program's version."""
    whole = {"kind": kind, "edition": CACHE_VERSION, "version": VERSION, "depends": depends}
    text = json.dumps(whole, sort_keys=True, separators=(",", ":"), default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:40]


class Cache:
    """A folder of results.

    Args:
        folder: is made if it is missing.

    Raises:
        NotWritableError: it cannot be made.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        try:
            for place in (folder, folder / "results", folder / "files"):
                place.mkdir(parents=True, exist_ok=True)
                place.chmod(0o700)
        except OSError as error:
            raise NotWritableError(f"cannot write in {folder}: {error.strerror or error}") from error
        for left in folder.glob(f"{_SCRATCH}*"):
            if not _alive(left.name):
                shutil.rmtree(left, ignore_errors=True)

    def get(self, key: str) -> dict[str, Any] | None:
        """A result, or None; one that is damaged counts as not there."""
        path = self.folder / "results" / f"{key}.json"
        try:
            if not path.is_file() or path.stat().st_size > _LARGEST:
                return None
            value = json.loads(path.read_bytes())
        except (OSError, ValueError, RecursionError):
            return None
        if not isinstance(value, dict):
            return None
        return value

    def put(self, key: str, value: dict[str, Any]) -> dict[str, Any]:
        """Keep a result; returns it as :meth:`get` will.

        Raises:
            NotWritableError: the folder cannot be written.
        """
        data = json.dumps(value, allow_nan=False).encode()
        write_bytes(self.folder / "results" / f"{key}.json", data, force=True)
        loaded: dict[str, Any] = json.loads(data)
        return loaded

    @contextmanager
    def leaving_nothing_empty(self) -> Iterator[None]:
        """What fails before anything was kept leaves no empty folders, neither this one nor the one that it is in."""
        try:
            yield
        except BaseException:
            if not any(one.is_file() for one in self.folder.rglob("*")):
                shutil.rmtree(self.folder, ignore_errors=True)
                with suppress(OSError):
                    self.folder.parent.rmdir()  # only where it is empty
            raise

    @contextmanager
    def scratch(self) -> Iterator[Path]:
        """A private folder for what must not stay. It is deleted in the end, also after an error; what a killed run
        left is deleted by the next. Generated clips lie in a :func:`synth.quarantine.quarantine` instead.
        """
        name = f"{_SCRATCH}{os.getpid()}-"
        with tempfile.TemporaryDirectory(dir=self.folder, prefix=name, ignore_cleanup_errors=True) as place:
            yield Path(place)

    def file(self, key: str, suffix: str) -> Path:
        """Where a file of that name is, or would be."""
        return self.folder / "files" / f"{key}{suffix}"

    def keep(self, key: str, suffix: str, data: bytes) -> Path:
        """Write a file."""
        path = self.file(key, suffix)
        with replacing(path, mode=0o600) as temporary:
            temporary.write_bytes(data)
        return path

    def read(self, key: str, suffix: str) -> bytes | None:
        """A file's bytes, or None.

        Raises:
            CorruptMediaError: it is far larger than anything that is kept here.
        """
        path = self.file(key, suffix)
        if not path.is_file():
            return None
        if path.stat().st_size > 16 * _LARGEST:
            raise CorruptMediaError(f"{path} is too large to be a result", hint="delete the folder")
        return path.read_bytes()


def _alive(name: str) -> bool:
    """Whether the process that a scratch folder names still runs."""
    number = name.removeprefix(_SCRATCH).partition("-")[0]
    return number.isdecimal() and process_runs(int(number))

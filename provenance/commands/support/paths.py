"""From what was typed to files: folders, ``-``, and where outputs go."""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from provenance.errors import (
    MediaError,
    MediaTooLargeError,
    MissingPathError,
    OutputExistsError,
    UsageError,
    VeilmarkError,
)
from provenance.media.files import is_file, read_limited

#: Files that veilmark itself puts beside media; never inputs when a folder is walked.
COMPANION_SUFFIXES = (".receipt", ".c2pa")
_MEDIA_SUFFIXES = (
    *(".jpg", ".jpeg", ".png", ".webp", ".tif", ".tiff", ".gif", ".avif", ".heic", ".heif", ".dng"),
    *(".mp4", ".mov", ".m4a", ".m4v", ".mp3", ".wav", ".flac", ".avi"),
)
MAX_STDIN_BYTES = 4 * 1024**3


@dataclass(frozen=True)
class Input:
    """One file to work on; ``shown`` is what the person typed, ``within`` the walked folder or None.

    ``fault`` says why there is nothing to work on: it is told when its turn comes, and the others are done.
    """

    path: Path
    shown: str
    within: Path | None = None
    fault: VeilmarkError | None = None

    @property
    def from_stdin(self) -> bool:
        return self.shown == "-"


@contextmanager
def gathered(paths: Sequence[Path], *, skip_named: Sequence[str] = ()) -> Iterator[list[Input]]:
    """Expand folders (recursively, sorted, media only) and ``-`` (spooled to a temporary file).

    Args:
        skip_named: endings of file stems to leave out when walking folders (``.signed``, ``.cloaked``).

    Raises:
        MissingPathError: nothing to work on was found. A path that does not exist is an input with a ``fault``.
    """
    with tempfile.TemporaryDirectory(prefix="veilmark-") as spool:
        inputs: list[Input] = []
        for path in paths:
            if str(path) == "-":
                inputs.append(Input(_spool_stdin(Path(spool)), "-"))
            elif is_file(path):
                inputs.append(Input(path, str(path)))
            elif os.path.isdir(path):  # noqa: PTH112 (Path.is_dir raises for names that are too long)
                inputs.extend(_walk(path, skip_named))
            elif os.path.exists(path):  # noqa: PTH110 (as above)
                fault = MissingPathError(
                    f"{path} is no file or folder", hint="give - to read from standard input"
                )
                inputs.append(Input(path, str(path), fault=fault))
            else:
                fault = MissingPathError(f"{path} does not exist, or is no file or folder")
                inputs.append(Input(path, str(path), fault=fault))
        if not inputs:
            raise MissingPathError(
                "no media files found in " + ", ".join(map(str, paths)),
                hint="name files, or a folder that holds pictures, videos or sound",
            )
        yield inputs


def plan_outputs(
    inputs: Sequence[Input],
    output: Path | None,
    marker: str,
    *,
    force: bool,
    skip_existing: bool = False,
) -> list[Path | None]:
    """Where each result goes; None for an input whose result already exists and ``skip_existing`` is set.

    With no ``-o``: beside the input, as ``NAME.MARKER.SUFFIX``. With ``-o``: a file when there is one input and
    the name has a suffix (and is no existing folder), else a folder that keeps the inputs' names and, for
    walked folders, their tree.

    Raises:
        UsageError: stdin without ``-o``, ``-o -``, or two inputs would write one output.
        OutputExistsError: an output exists and ``force`` is false.
    """
    if output is not None and str(output) == "-":
        raise UsageError("no media is written to standard output", hint="name a file or a folder with -o")
    planned: list[Path] = []
    single = len(inputs) == 1 and inputs[0].within is None
    for item in inputs:
        if output is None:
            if item.from_stdin:
                raise UsageError("standard input needs an output name", hint="add -o FILE")
            planned.append(item.path.with_name(f"{item.path.stem}.{marker}{item.path.suffix}"))
        elif single and output.suffix and not output.is_dir():
            planned.append(output)
        elif item.from_stdin:
            raise UsageError("standard input needs a file name as output", hint="add -o FILE")
        else:
            inside = item.path.relative_to(item.within) if item.within else Path(item.path.name)
            planned.append(output / inside)
    seen: set[Path] = set()
    results: list[Path | None] = []
    for item, target in zip(inputs, planned, strict=True):
        if item.fault is not None:
            results.append(None)
            continue
        resolved = target.resolve()
        if resolved in seen:
            raise UsageError(
                f"two inputs would both be written to {target}", hint="name different output folders"
            )
        if resolved == item.path.resolve():
            raise UsageError(
                f"{target} is the input itself", hint="name another output, or use --in-place where offered"
            )
        seen.add(resolved)
        if target.exists() and not force:
            if skip_existing:
                results.append(None)
                continue
            raise OutputExistsError(f"{target} already exists")
        results.append(target)
    return results


def in_place_outputs(inputs: Sequence[Input]) -> list[Path | None]:
    """Each input's own file, past symbolic links; None for one that an earlier input names already."""
    seen: set[Path] = set()
    results: list[Path | None] = []
    for item in inputs:
        if item.fault is not None:
            results.append(None)
            continue
        target = item.path.resolve()
        results.append(None if target in seen else target)
        seen.add(target)
    return results


def read_text(path: Path, limit: int = 4 * 1024 * 1024) -> str:
    """A small text file named on the command line; MissingPathError or UsageError otherwise."""
    try:
        return read_bytes(path, limit).decode("utf-8")
    except UnicodeDecodeError:
        raise UsageError(f"{path} is no text", hint="give a PEM or text file") from None


def read_bytes(path: Path, limit: int = 4 * 1024 * 1024) -> bytes:
    """A small file named on the command line; MissingPathError or UsageError otherwise."""
    try:
        data = read_limited(path, limit)
    except OSError as error:
        raise MissingPathError(f"cannot read {path}: {error.strerror or error}") from error
    if data is None:
        raise UsageError(f"{path} is over the limit of {limit} bytes")
    return data


def _walk(folder: Path, skip_named: Sequence[str]) -> Iterator[Input]:
    from provenance.media.picture import detect_format

    for path in sorted(folder.rglob("*")):
        relative = path.relative_to(folder)
        if any(part.startswith(".") for part in relative.parts) or not path.is_file():
            continue
        if path.suffix.lower() in COMPANION_SUFFIXES or path.stem.endswith(tuple(skip_named) or ("\0",)):
            continue
        try:
            detect_format(path)
        except MediaError:
            if path.suffix.lower() not in _MEDIA_SUFFIXES:
                continue  # a note or a spreadsheet; but a broken picture is reported, not passed over
        yield Input(path, str(path), within=folder)


def _spool_stdin(folder: Path) -> Path:
    target = folder / "stdin"
    stream = sys.stdin.buffer
    written = 0
    with target.open("wb") as out:
        while chunk := stream.read(1 << 20):
            written += len(chunk)
            if written > MAX_STDIN_BYTES:
                raise MediaTooLargeError(
                    f"standard input is over {MAX_STDIN_BYTES >> 30} GiB", hint="name a file"
                )
            out.write(chunk)
    return target

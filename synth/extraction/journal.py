"""A line for each frame that is done, so that an interrupted extraction goes on where it stopped."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, ClassVar, TextIO

from provenance.errors import NotWritableError
from synth.extraction.alignments import MAX_BYTES, Frame

_SCHEMA = "veilmark.unfinished/1"


class Journal:
    """Frames done so far, in memory and in ``unfinished.jsonl``; made by :meth:`open`."""

    FILE_NAME: ClassVar[str] = "unfinished.jsonl"

    def __init__(self, frames: list[Frame], stream: TextIO) -> None:
        self.frames = frames
        self._stream = stream

    @classmethod
    @contextmanager
    def open(cls, folder: Path, work: dict[str, Any]) -> Iterator[Journal]:
        """Continue the journal in ``folder`` where it is about the same ``work``, else begin it.

        Raises:
            NotWritableError: it cannot be written.
        """
        path = folder / cls.FILE_NAME
        frames, good = _read(path, work)
        try:
            with path.open("r+" if good else "w", encoding="utf-8") as stream:
                # what was cut off in the middle of a line is written anew
                stream.seek(good)
                stream.truncate()
                if not good:
                    stream.write(json.dumps({"schema": _SCHEMA, "work": work}) + "\n")
                yield cls(frames, stream)
        except OSError as error:
            raise NotWritableError(f"cannot write {path}: {error.strerror or error}") from error

    @classmethod
    def fits(cls, folder: Path, work: dict[str, Any]) -> bool:
        """Whether there is a journal about this very work."""
        return _read(folder / cls.FILE_NAME, work)[1] > 0

    @classmethod
    def remove(cls, folder: Path) -> None:
        (folder / cls.FILE_NAME).unlink(missing_ok=True)

    def add(self, frame: Frame) -> None:
        """Note a frame; its pictures were written before."""
        self.frames.append(frame)
        self._stream.write(json.dumps(frame.to_json(), allow_nan=False) + "\n")
        self._stream.flush()


def _read(path: Path, work: dict[str, Any]) -> tuple[list[Frame], int]:
    """The frames of whole, sound lines, and where in the file those end; 0 where it is about other work."""
    if not path.is_file() or path.stat().st_size > MAX_BYTES:
        return [], 0
    frames: list[Frame] = []
    good = 0
    with path.open("rb") as stream:
        for place, line in enumerate(stream):
            try:
                data = json.loads(line) if line.endswith(b"\n") else None
                if place == 0:
                    if data != {"schema": _SCHEMA, "work": work}:
                        return [], 0
                else:
                    frame = Frame.from_json(data)
                    if frame.number != len(frames) or not all(
                        (path.parent / face.file).is_file() for face in frame.faces
                    ):
                        break
                    frames.append(frame)
            except (ValueError, KeyError, TypeError, RecursionError):
                break
            good += len(line)
    return frames, good

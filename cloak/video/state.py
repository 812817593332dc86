"""What an interrupted run leaves behind, so that the next one goes on: JSON and plain arrays, no pickles."""

from __future__ import annotations

import io
import json
import shutil
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from cloak.video.patches import PatchGeometry
from cloak.video.tracks import MAX_TRACKS, Track
from provenance.errors import CorruptMediaError, NotWritableError
from provenance.media.files import write_bytes

_SCHEMA = "veilmark.cloak-video-state/2"
_MAX_JSON = 256 * 1024**2
_MAX_SIDE = 4096


@dataclass(frozen=True)
class VideoAnalysis:
    """Shots and faces of a video.

    Attributes:
        frames: how many there are.
        shots: their first frames, rising.
        interval: frames between detections.
        tracks: the faces to hide, then the places of decoys.
    """

    frames: int
    shots: tuple[int, ...]
    interval: int
    tracks: tuple[Track, ...]

    @property
    def faces(self) -> tuple[Track, ...]:
        """The tracks that are faces, in the order of :attr:`tracks`, with the same numbers."""
        return tuple(track for track in self.tracks if not track.decoy)

    def zones(self, frame: int) -> np.ndarray:
        """``(N, 4)`` float32, the decoys in a frame."""
        boxes = [track.box(frame) for track in self.tracks if track.decoy and track.covers(frame)]
        return np.array(boxes, np.float32).reshape(-1, 4)


@dataclass(frozen=True)
class WindowNoise:
    """The finished noise of one window.

    Attributes:
        track: which face.
        first, last: its frames, both inclusive.
        place: where it lies.
        levels: int8 ``(h, w, 3)``, for frame ``first``, in levels of 255.
        steps: of the search; 0 where the noise before it still did.
    """

    track: int
    first: int
    last: int
    place: PatchGeometry
    levels: np.ndarray
    steps: int


class WorkState:
    """A work folder. Opened with another key than it was written with, it starts empty.

    Args:
        folder: is made, and removed by :meth:`remove`.
        key: what the work depends on; any change makes what is there worthless.
    """

    def __init__(self, folder: Path, key: str) -> None:
        self.folder = folder
        self.round = 0
        head = _read(folder / "state.json")
        if head is None or head.get("schema") != _SCHEMA or head.get("key") != key:
            self._clear()
            head = None
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise NotWritableError(f"cannot write in {folder}: {error.strerror or error}") from error
        self._key = key
        if head is not None and isinstance(head.get("round"), int):
            self.round = head["round"]
        self.resumed = head is not None
        self._index: dict[int, dict[int, int]] = {}
        for path in folder.glob("noise-*-*.npz") if head is not None else ():
            if (found := _load(path)) is not None:
                self._index.setdefault(found.track, {})[found.first] = found.last
        self.begin(self.round)

    def begin(self, number: int) -> None:
        """A round begins."""
        self.round = number
        _write(self.folder / "state.json", {"schema": _SCHEMA, "key": self._key, "round": number})

    def analysis(self) -> VideoAnalysis | None:
        """The plan of an earlier run, or None."""
        data = _read(self.folder / "plan.json")
        if data is None:
            return None
        try:
            tracks = tuple(Track.from_json(one) for one in data["tracks"][:MAX_TRACKS])
            shots = tuple(int(one) for one in data["shots"])
            return VideoAnalysis(int(data["frames"]), shots, max(1, int(data["every"])), tracks)
        except (KeyError, TypeError, ValueError, CorruptMediaError):
            return None

    def save_analysis(self, analysis: VideoAnalysis) -> None:
        _write(
            self.folder / "plan.json",
            {
                "frames": analysis.frames,
                "shots": list(analysis.shots),
                "every": analysis.interval,
                "tracks": [track.to_json() for track in analysis.tracks],
            },
        )

    def save(self, noise: WindowNoise) -> None:
        """Save a window's noise over what was there."""
        numbers = [noise.track, noise.first, noise.last, noise.steps, noise.place.width, noise.place.height]
        buffer = io.BytesIO()
        np.savez_compressed(buffer, levels=noise.levels, numbers=np.array(numbers, np.int64))
        write_bytes(self._path(noise.track, noise.first), buffer.getvalue())
        self._index.setdefault(noise.track, {})[noise.first] = noise.last

    def noise(self, track: int, first: int) -> WindowNoise | None:
        """A window's noise, or None where it is not there or damaged."""
        return _load(self._path(track, first)) if first in self._index.get(track, {}) else None

    def windows(self, track: int) -> list[tuple[int, int]]:
        """First and last frames of a face's finished windows, rising."""
        return sorted(self._index.get(track, {}).items())

    def window_at(self, track: int, frame: int) -> int | None:
        """The first frame of the finished window that a frame belongs to."""
        return next((first for first, last in self.windows(track) if first <= frame <= last), None)

    def back_up(self, windows: Sequence[tuple[int, int]]) -> None:
        """Keep a copy of these windows' noise (track and first frame), for :meth:`restore`."""
        for track, first in windows:
            path = self._path(track, first)
            shutil.copyfile(path, path.with_name(f"best-{path.name}"))

    def restore(self, windows: Sequence[tuple[int, int]]) -> None:
        """Return to the copies that :meth:`back_up` made."""
        for track, first in windows:
            path = self._path(track, first)
            path.with_name(f"best-{path.name}").replace(path)

    def remove(self) -> None:
        """The work is done; what others put into the folder stays."""
        self._clear()

    def _clear(self) -> None:
        if not self.folder.is_dir():
            return
        for pattern in ("noise-*.npz", "best-*.npz", "plan.json", "state.json", "version-*.*"):
            for path in self.folder.glob(pattern):
                path.unlink(missing_ok=True)
        if not any(self.folder.iterdir()):
            self.folder.rmdir()

    def _path(self, track: int, first: int) -> Path:
        return self.folder / f"noise-{track}-{first}.npz"


def _load(path: Path) -> WindowNoise | None:
    try:
        with np.load(path, allow_pickle=False) as data:
            levels, numbers = data["levels"], data["numbers"]
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
        return None
    if levels.dtype != np.int8 or levels.ndim != 3 or levels.shape[2] != 3 or numbers.shape != (6,):
        return None
    track, first, last, steps, width, height = (int(number) for number in numbers)
    if max(levels.shape) > _MAX_SIDE or min(levels.shape[:2]) < 1 or not 0 <= first <= last:
        return None
    place = PatchGeometry(width, height, (levels.shape[0], levels.shape[1]))
    return WindowNoise(track, first, last, place, levels, steps)


def _read(path: Path) -> dict[str, Any] | None:
    try:
        if path.stat().st_size > _MAX_JSON:
            return None
        data = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return data if isinstance(data, dict) else None


def _write(path: Path, data: dict[str, Any]) -> None:
    write_bytes(path, json.dumps(data).encode())

"""Shots, and faces through time: what detectors report now and then becomes one box for every frame."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch

from cloak.detectors.base import Detections
from cloak.detectors.geometry.matching import matches_faces, merge_faces, same_face
from cloak.evaluate.detect import RELIABLE
from provenance.errors import CorruptMediaError

MAX_TRACKS = 10_000
_MAX_FACES = 200
#: Between two detections a face moves by at most so many of its sizes, and changes its size by at most this factor.
_MAX_MOVE, _MAX_GROWTH = 2.0, 1.4
#: Width of the small grey frames that are compared.
SMALL_WIDTH = 64
_MIN_CHANGE = 18.0
_CHANGE_RATIO = 3.5
_BINS = 32
_MIN_HISTOGRAM_CHANGE = 0.25
_HISTORY = 12


@dataclass
class Track:
    """One face within one shot.

    Attributes:
        first, last: the frames it is worked on in, both inclusive.
        at: frames in which it was detected, rising.
        boxes: for each of those ``x1 y1 x2 y2`` in pixels of the upright frame.
        seen_by: how often each family of detectors reported it.
        names: how often each detector did.
        decoy: not a face, but a place where a decoy is raised.
    """

    first: int
    last: int
    at: list[int] = field(default_factory=list)
    boxes: list[list[float]] = field(default_factory=list)
    seen_by: dict[str, int] = field(default_factory=dict)
    names: dict[str, int] = field(default_factory=dict)
    decoy: bool = False

    def covers(self, frame: int) -> bool:
        return self.first <= frame <= self.last

    def box(self, frame: int) -> np.ndarray:
        """The box ``(4,)`` in a frame, interpolated linearly between detections, constant before the first and after
        the last.
        """
        return np.array([np.interp(frame, self.at, [box[side] for box in self.boxes]) for side in range(4)])

    def side(self, first: int, last: int) -> tuple[float, float]:
        """The largest width and height of the box from one frame to another."""
        ends = np.array([self.box(frame) for frame in (first, (first + last) // 2, last)])
        return float((ends[:, 2] - ends[:, 0]).max()), float((ends[:, 3] - ends[:, 1]).max())

    def is_confirmed(self, named: bool) -> bool:
        """Whether it is a face: reported by a reliable family, by two families, or by detectors that were named."""
        return named or len(self.seen_by) >= 2 or any(family in RELIABLE for family in self.seen_by)

    def to_json(self) -> dict[str, Any]:
        boxes = [[float(side) for side in box] for box in self.boxes]
        return {
            "first": self.first,
            "last": self.last,
            "at": self.at,
            "boxes": boxes,
            "seen_by": dict(self.seen_by),
            "names": dict(self.names),
            "decoy": self.decoy,
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Track:
        """Raises :class:`CorruptMediaError` for what :meth:`to_json` did not write."""
        try:
            at = [int(frame) for frame in data["at"]]
            boxes = [[float(side) for side in box] for box in data["boxes"]]
            seen_by, names = (
                {str(one): int(count) for one, count in data[key].items()} for key in ("seen_by", "names")
            )
            decoy = bool(data["decoy"])
            track = cls(int(data["first"]), int(data["last"]), at, boxes, seen_by, names, decoy)
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise CorruptMediaError(f"a saved track cannot be read: {error}") from error
        if (
            not at
            or len(at) != len(boxes)
            or any(len(box) != 4 for box in boxes)
            or not np.isfinite(boxes).all()
        ):
            raise CorruptMediaError("a saved track is incomplete")
        return track


class Tracker:
    """Joins reports of successive frames into tracks."""

    def __init__(self, interval: int) -> None:
        self.interval = interval
        self._open: list[Track] = []
        self.tracks: list[Track] = []

    def start_shot(self, frame: int) -> None:
        """A shot begins here."""
        for track in self._open:
            track.last = frame - 1
        self.tracks.extend(self._open)
        self._open = []

    def update(
        self, frame: int, reports: Mapping[str, Detections], families: Mapping[str, str], begins: int
    ) -> None:
        """What detectors report in a frame of the shot that begins with frame ``begins``.

        Args:
            reports: by name of the detector, boxes in pixels of the upright frame.
            families: each detector's family.
        """
        faces = merge_faces(list(reports.values()))[:_MAX_FACES]
        seeing: list[set[str]] = [set() for _ in faces]
        for name, report in reports.items():
            for face, hit in zip(seeing, same_face(report.boxes, faces).any(0).tolist(), strict=True):
                if hit:
                    face.add(name)
        before = self._continued(frame, faces)
        for box, by, track in zip(faces, seeing, before, strict=True):
            if track is None:
                if len(self.tracks) + len(self._open) >= MAX_TRACKS:
                    continue
                # it may have been there since the detection before
                first = max(begins, frame - self.interval + 1)
                track = Track(first, frame)
                self._open.append(track)
            track.at.append(frame)
            track.boxes.append(box.tolist())
            for name in by:
                track.names[name] = track.names.get(name, 0) + 1
            for family in {families[name] for name in by}:
                track.seen_by[family] = track.seen_by.get(family, 0) + 1
        kept = []
        for track in self._open:
            if frame - track.at[-1] > 3 * self.interval:
                track.last = track.at[-1] + 2 * self.interval
                self.tracks.append(track)
            else:
                track.last = frame
                kept.append(track)
        self._open = kept

    def _continued(self, frame: int, faces: torch.Tensor) -> list[Track | None]:
        """For each face, the track that it goes on with. A face that is nowhere near any track, as in a fast pan, goes
        on with the nearest one of the look before that has no other.
        """
        free = list(self._open)
        result: list[Track | None] = []
        for box in faces:
            track = next((one for one in free if _continues(one, box)), None)
            if track is not None:
                free.remove(track)
            result.append(track)
        for place, box in enumerate(faces):
            if result[place] is None:
                late = [(_distance(one, box), one) for one in free if frame - one.at[-1] <= self.interval]
                jump, nearest = min(late, key=lambda pair: pair[0], default=(np.inf, None))
                if nearest is not None and jump <= _MAX_MOVE:
                    free.remove(nearest)
                    result[place] = nearest
        return result

    def close(self, frames: int) -> list[Track]:
        """All tracks, in the order in which they begin, after the last frame."""
        self.start_shot(frames)
        return sorted(self.tracks, key=lambda track: (track.first, track.boxes[0]))


def _distance(track: Track, box: torch.Tensor) -> float:
    """How far a face is from where it was, in its sizes; infinite where it is much larger or smaller."""
    here, there = np.array(box.tolist()), np.array(track.boxes[-1])
    sides = [float((one[2:] - one[:2]).mean()) for one in (here, there)]
    if max(sides) > _MAX_GROWTH * min(sides):
        return float("inf")
    gap = (here[:2] + here[2:] - there[:2] - there[2:]) / 2
    return float(np.hypot(*gap) / max(sides))


def _continues(track: Track, box: torch.Tensor) -> bool:
    return bool(matches_faces(box[None], box.new_tensor([track.boxes[-1]])))


class ShotDetector:
    """Told one small grey frame after another, says which begin a new shot.

    A cut changes most pixels at once, by far more than the frames before changed, and changes the histogram too: fast
    movement changes pixels alone, a flash changes the histogram but comes back.
    """

    def __init__(self) -> None:
        self._previous: np.ndarray | None = None
        self._usual: deque[float] = deque(maxlen=_HISTORY)

    def begins_shot(self, luma: np.ndarray) -> bool:
        """Does this frame, uint8 ``(h, w)``, begin a shot? The first one does."""
        previous, self._previous = self._previous, luma
        if previous is None:
            return True
        change = float(np.abs(luma.astype(np.int16) - previous).mean())
        usual = float(np.median(self._usual)) if self._usual else 0.0
        cut = (
            change >= _MIN_CHANGE
            and change >= _CHANGE_RATIO * usual
            and _histogram_change(previous, luma) >= _MIN_HISTOGRAM_CHANGE
        )
        if cut:
            self._usual.clear()
        else:
            self._usual.append(change)
        return cut


def _histogram_change(first: np.ndarray, second: np.ndarray) -> float:
    """How much of the histogram lies elsewhere, in [0, 1]."""
    a, b = (np.histogram(one, bins=_BINS, range=(0, 256))[0] / one.size for one in (first, second))
    return float(np.abs(a - b).sum() / 2)

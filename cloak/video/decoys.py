"""Placement of decoy faces in a video: a decoy rests while the camera does, and otherwise follows its background."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import cv2
import numpy as np
import torch

from cloak.attack.decoys import SMALL, place_decoys
from cloak.video.flow import FlowTracker
from cloak.video.io import VideoInfo, frames
from cloak.video.state import VideoAnalysis
from cloak.video.tracks import MAX_TRACKS, Track

Progress = Callable[[float], None]
#: Width of the frames in which optical flow is computed.
_FLOW_WIDTH = 320
#: A measured motion of less than this share of a decoy's side counts as none.
_MIN_MOTION = 0.02
#: After a motion of this share of the side, flow is measured from a new anchor frame.
_NEW_ANCHOR = 0.3
#: Number of coming detections whose faces new decoys keep away from.
_LOOKAHEAD = 25
#: A face comes no nearer than this share of its size.
_CLEARANCE = 0.35
#: Candidates for each decoy that is placed.
_CANDIDATES_PER_DECOY = 4
#: This share of a place must lie in the frame.
_VISIBLE = 0.9


def place_in_video(
    info: VideoInfo, analysis: VideoAnalysis, count: int, seed: int, progress: Progress = lambda _: None
) -> tuple[Track, ...]:
    """Tracks for decoys: up to ``count`` at a time, in frames that show a face to hide.

    A place is given up, and another looked for, when a face comes too near, or when what it lies on leaves the frame.

    Args:
        info: the source.
        analysis: with the faces to hide.
        count: at most so many in a frame.
        seed: of the random choice.
    """
    places = _DecoyPlacer(analysis, count, seed)
    shots = set(analysis.shots)
    last = max((track.last for track in analysis.tracks), default=-1)
    begun = 0
    for frame in frames(info):
        if frame.index > last:
            break
        if frame.index in shots:
            places.start_shot(frame.index)
            begun = frame.index
        if (frame.index - begun) % analysis.interval == 0:
            places.update(frame.index, frame.rgb())
        progress((frame.index + 1) / (last + 1))
    return places.close(last + 1)


class _DecoyPlacer:
    """The places of the present shot, and the finished ones."""

    def __init__(self, analysis: VideoAnalysis, count: int, seed: int) -> None:
        self.analysis, self.count, self.seed = analysis, count, seed
        self._finished: list[Track] = []
        self._current: list[Track] = []
        self._anchors: list[np.ndarray] = []
        self._follower: FlowTracker | None = None

    def start_shot(self, frame: int) -> None:
        """A shot begins here."""
        for track in self._current:
            track.last = frame - 1
        self._finished.extend(self._current)
        self._current, self._anchors, self._follower = [], [], None

    def update(self, frame: int, pixels: np.ndarray) -> None:
        """Move the decoys with the flow, end those that left the frame or met a face, and place missing ones."""
        size = (pixels.shape[1], pixels.shape[0])
        boxes = self._followed(pixels)
        faces_now = self._faces(frame, 0)
        kept: list[Track] = []
        for track, box in zip(self._current, boxes, strict=True):
            if len(faces_now) and _visible_share(box, size) >= _VISIBLE and not _touches_face(box, faces_now):
                track.at.append(frame)
                track.boxes.append(box.tolist())
                track.last = frame
                kept.append(track)
            else:
                track.last = frame - 1
                self._finished.append(track)
        if len(kept) < len(self._current):
            self._current, self._follower = kept, None
        if len(faces_now) and len(self._current) < self.count and len(self._finished) < MAX_TRACKS:
            self._place(frame, pixels)
        if self._follower is None and self._current:
            self._begin(pixels)

    def close(self, end: int) -> tuple[Track, ...]:
        """All tracks; those that are open end before frame ``end``."""
        self.start_shot(end)
        return tuple(sorted(self._finished, key=lambda track: (track.first, track.boxes[0])))

    def _place(self, frame: int, pixels: np.ndarray) -> None:
        taken = [self._faces(frame, _LOOKAHEAD), *(np.array(track.boxes[-1:]) for track in self._current)]
        avoided = torch.from_numpy(np.concatenate(taken).astype(np.float32))
        missing = self.count - len(self._current)
        # large ones are raised more easily, and are still there at half size
        found = place_decoys(
            pixels, avoided, _CANDIDATES_PER_DECOY * missing, self.seed + frame, sizes=SMALL
        ).tolist()
        for box in sorted(found, key=lambda box: box[0] - box[2])[:missing]:
            self._current.append(Track(frame, frame, [frame], [box], decoy=True))
            self._follower = None

    def _begin(self, pixels: np.ndarray) -> None:
        """Movement is measured from here on."""
        self._follower = FlowTracker(_small(pixels))
        self._follower.follow(_small(pixels))
        self._anchors = [np.array(track.boxes[-1]) for track in self._current]

    def _followed(self, pixels: np.ndarray) -> list[np.ndarray]:
        """Where the places are now, ``(4,)`` each."""
        if self._follower is None or not self._current:
            return []
        small = _small(pixels)
        flow = self._follower.follow(small)
        scale = small.shape[1] / pixels.shape[1]
        result, farthest = [], 0.0
        for track, anchor in zip(self._current, self._anchors, strict=True):
            x1, y1, x2, y2 = (np.array(track.boxes[-1]) * scale).round().astype(int)
            part = flow[max(0, y1) : max(1, y2), max(0, x1) : max(1, x2)].reshape(-1, 2)
            moved = -np.median(part, 0) / scale if len(part) else np.zeros(2)
            share = float(np.abs(moved).max() / (anchor[2:] - anchor[:2]).mean())
            farthest = max(farthest, share)
            result.append(anchor + np.tile(moved if share > _MIN_MOTION else np.zeros(2), 2))
        if farthest > _NEW_ANCHOR or not self._follower.holds(small, flow):
            self._follower = None
        return result

    def _faces(self, frame: int, ahead: int) -> np.ndarray:
        """``(N, 4)`` boxes of the faces to hide, in this frame and in the coming ``ahead`` detections of this shot."""
        later = [shot for shot in self.analysis.shots if shot > frame]
        end = min([*later, self.analysis.frames]) - 1
        looks = range(frame, min(end, frame + ahead * self.analysis.interval) + 1, self.analysis.interval)
        boxes = [track.box(at) for at in looks for track in self.analysis.tracks if track.covers(at)]
        return np.array(boxes, np.float64).reshape(-1, 4)


def _small(pixels: np.ndarray) -> np.ndarray:
    width = min(_FLOW_WIDTH, pixels.shape[1])
    size = (width, max(16, round(pixels.shape[0] * width / pixels.shape[1])))
    return np.asarray(cv2.resize(pixels, size, interpolation=cv2.INTER_AREA), dtype=np.uint8)


def _visible_share(box: np.ndarray, size: tuple[int, int]) -> float:
    """The share of the box that lies in the frame."""
    sides = np.minimum(box[2:], size) - np.maximum(box[:2], 0)
    return float(np.clip(sides, 0, None).prod() / (box[2:] - box[:2]).prod())


def _touches_face(box: np.ndarray, faces: Sequence[np.ndarray] | np.ndarray) -> bool:
    """Does it touch a face or its surroundings?"""
    every = np.asarray(faces)
    margin = np.tile((every[:, 2:] - every[:, :2]) * _CLEARANCE * 0.9, 2) * (-1, -1, 1, 1)
    around = every + margin
    return bool(
        (
            (box[0] < around[:, 2])
            & (around[:, 0] < box[2])
            & (box[1] < around[:, 3])
            & (around[:, 1] < box[3])
        ).any()
    )

"""Where decoy faces go in a video: a place keeps still while the camera does, and else follows what it lies on."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import cv2
import numpy as np
import torch

from cloak.attack.decoys import SMALL, place_decoys
from cloak.video.flow import Follower
from cloak.video.io import VideoInfo, frames
from cloak.video.state import Plan
from cloak.video.tracks import MAX_TRACKS, Track

Progress = Callable[[float], None]
#: Movement is looked for in frames of this width.
_SMALL = 320
#: A place that seems to move by less than this share of its side keeps still.
_STILL = 0.02
#: Once it has moved by this share of its side, movement is measured from there.
_ANEW = 0.3
#: Places keep away from where faces will be in so many looks from now.
_AHEAD = 25
#: A face comes no nearer than this share of its size.
_APART = 0.35
#: So many places are looked for, for each that is taken.
_CHOICE = 4
#: This share of a place must lie in the frame.
_VISIBLE = 0.9


def place_in_video(
    info: VideoInfo, plan: Plan, count: int, seed: int, progress: Progress = lambda _: None
) -> tuple[Track, ...]:
    """Tracks for decoys: up to ``count`` at a time, in frames that show a face to hide.

    A place is given up, and another looked for, when a face comes too near, or when what it lies on leaves the frame.

    Args:
        info: the source.
        plan: with the faces to hide.
        count: at most so many in a frame.
        seed: of the random choice.
    """
    places = _Places(plan, count, seed)
    shots = set(plan.shots)
    last = max((track.last for track in plan.tracks), default=-1)
    begun = 0
    for frame in frames(info):
        if frame.index > last:
            break
        if frame.index in shots:
            places.cut(frame.index)
            begun = frame.index
        if (frame.index - begun) % plan.every == 0:
            places.look(frame.index, frame.rgb())
        progress((frame.index + 1) / (last + 1))
    return places.close(last + 1)


class _Places:
    """The places of the present shot, and the finished ones."""

    def __init__(self, plan: Plan, count: int, seed: int) -> None:
        self.plan, self.count, self.seed = plan, count, seed
        self._done: list[Track] = []
        self._now: list[Track] = []
        self._anchors: list[np.ndarray] = []
        self._follower: Follower | None = None

    def cut(self, frame: int) -> None:
        """A shot begins here."""
        for track in self._now:
            track.last = frame - 1
        self._done.extend(self._now)
        self._now, self._anchors, self._follower = [], [], None

    def look(self, frame: int, pixels: np.ndarray) -> None:
        """Follow what is there, give up what no longer can be, and find what is missing."""
        size = (pixels.shape[1], pixels.shape[0])
        boxes = self._followed(pixels)
        coming = self._faces(frame, 0)
        kept: list[Track] = []
        for track, box in zip(self._now, boxes, strict=True):
            if len(coming) and _shown(box, size) >= _VISIBLE and not _near(box, coming):
                track.at.append(frame)
                track.boxes.append(box.tolist())
                track.last = frame
                kept.append(track)
            else:
                track.last = frame - 1
                self._done.append(track)
        if len(kept) < len(self._now):
            self._now, self._follower = kept, None
        if len(coming) and len(self._now) < self.count and len(self._done) < MAX_TRACKS:
            self._place(frame, pixels)
        if self._follower is None and self._now:
            self._begin(pixels)

    def close(self, end: int) -> tuple[Track, ...]:
        """All tracks; those that are open end before frame ``end``."""
        self.cut(end)
        return tuple(sorted(self._done, key=lambda track: (track.first, track.boxes[0])))

    def _place(self, frame: int, pixels: np.ndarray) -> None:
        taken = [self._faces(frame, _AHEAD), *(np.array(track.boxes[-1:]) for track in self._now)]
        avoided = torch.from_numpy(np.concatenate(taken).astype(np.float32))
        missing = self.count - len(self._now)
        # large ones are raised more easily, and are still there at half size
        found = place_decoys(pixels, avoided, _CHOICE * missing, self.seed + frame, sizes=SMALL).tolist()
        for box in sorted(found, key=lambda box: box[0] - box[2])[:missing]:
            self._now.append(Track(frame, frame, [frame], [box], decoy=True))
            self._follower = None

    def _begin(self, pixels: np.ndarray) -> None:
        """Movement is measured from here on."""
        self._follower = Follower(_small(pixels))
        self._follower.follow(_small(pixels))
        self._anchors = [np.array(track.boxes[-1]) for track in self._now]

    def _followed(self, pixels: np.ndarray) -> list[np.ndarray]:
        """Where the places are now, ``(4,)`` each."""
        if self._follower is None or not self._now:
            return []
        shown = _small(pixels)
        flow = self._follower.follow(shown)
        scale = shown.shape[1] / pixels.shape[1]
        result, farthest = [], 0.0
        for track, anchor in zip(self._now, self._anchors, strict=True):
            x1, y1, x2, y2 = (np.array(track.boxes[-1]) * scale).round().astype(int)
            part = flow[max(0, y1) : max(1, y2), max(0, x1) : max(1, x2)].reshape(-1, 2)
            moved = -np.median(part, 0) / scale if len(part) else np.zeros(2)
            share = float(np.abs(moved).max() / (anchor[2:] - anchor[:2]).mean())
            farthest = max(farthest, share)
            result.append(anchor + np.tile(moved if share > _STILL else np.zeros(2), 2))
        if farthest > _ANEW or not self._follower.holds(shown, flow):
            self._follower = None
        return result

    def _faces(self, frame: int, ahead: int) -> np.ndarray:
        """``(N, 4)`` boxes of the faces to hide, in this frame and at so many looks from then on in this shot."""
        later = [shot for shot in self.plan.shots if shot > frame]
        end = min([*later, self.plan.frames]) - 1
        looks = range(frame, min(end, frame + ahead * self.plan.every) + 1, self.plan.every)
        boxes = [track.box(at) for at in looks for track in self.plan.tracks if track.covers(at)]
        return np.array(boxes, np.float64).reshape(-1, 4)


def _small(pixels: np.ndarray) -> np.ndarray:
    width = min(_SMALL, pixels.shape[1])
    size = (width, max(16, round(pixels.shape[0] * width / pixels.shape[1])))
    return np.asarray(cv2.resize(pixels, size, interpolation=cv2.INTER_AREA), dtype=np.uint8)


def _shown(box: np.ndarray, size: tuple[int, int]) -> float:
    """The share of the box that lies in the frame."""
    sides = np.minimum(box[2:], size) - np.maximum(box[:2], 0)
    return float(np.clip(sides, 0, None).prod() / (box[2:] - box[:2]).prod())


def _near(box: np.ndarray, faces: Sequence[np.ndarray] | np.ndarray) -> bool:
    """Does it touch a face or its surroundings?"""
    every = np.asarray(faces)
    margin = np.tile((every[:, 2:] - every[:, :2]) * _APART * 0.9, 2) * (-1, -1, 1, 1)
    around = every + margin
    return bool(
        (
            (box[0] < around[:, 2])
            & (around[:, 0] < box[2])
            & (box[1] < around[:, 3])
            & (around[:, 1] < box[3])
        ).any()
    )

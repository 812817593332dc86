"""What the generator is trained on: crops of a few faces, each one altered a great deal.

Two clips of people who agreed to be shown, and two portraits in the public domain; nobody else.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import av
import cv2
import numpy as np
import torch
from torch import Tensor

from benchmarks.cloak.cloak_common import portraits
from cloak.detectors.base import FaceDetector
from cloak.evaluate.detect import find_faces

#: How much of a picture is kept around its face, in the face's sides from its middle.
_REACH = 1.9
#: Detectors are shown frames of at most so many pixels a side.
_LARGEST = 720
_SIDES = (72.0, 200.0)


@dataclass(frozen=True)
class Source:
    """A face and what is around it.

    Attributes:
        person: whose.
        pixels: uint8 ``(H, W, 3)`` RGB.
        box: ``x1 y1 x2 y2`` in pixels.
    """

    person: str
    pixels: np.ndarray
    box: tuple[float, float, float, float]

    @property
    def side(self) -> float:
        return max(self.box[2] - self.box[0], self.box[3] - self.box[1])


@dataclass(frozen=True)
class Sample:
    """One crop: ``(1, 3, H, W)`` in [0, 1] and its face ``(1, 4)`` in pixels."""

    clean: Tensor
    faces: Tensor


def load_sources(clips: Sequence[Path], detectors: Sequence[FaceDetector], every: int = 8) -> list[Source]:
    """The faces of some clips' frames, one of every so many, and of the two portraits."""
    found = []
    for person, pixels in portraits().items():
        found += _largest_face(person, pixels, detectors)
    for clip in clips:
        with av.open(str(clip)) as container:
            for number, frame in enumerate(container.decode(video=0)):
                if number % every == 0:
                    found += _largest_face(clip.stem, frame.to_ndarray(format="rgb24"), detectors)
    return found


def _largest_face(person: str, pixels: np.ndarray, detectors: Sequence[FaceDetector]) -> list[Source]:
    """The largest face that detectors see, cut out; none where they see none."""
    shrink = min(1.0, _LARGEST / max(pixels.shape[:2]))
    shown = cv2.resize(pixels, None, fx=shrink, fy=shrink, interpolation=cv2.INTER_AREA)
    votes, reports = find_faces(detectors, np.ascontiguousarray(shown))
    counted = [box for box in votes if sum(_agrees(one.boxes, box) for one in reports.values()) >= 3]
    if not counted:
        return []
    x1, y1, x2, y2 = (float(value) / shrink for value in max(counted, key=lambda b: float(b[2] - b[0])))
    side = max(x2 - x1, y2 - y1)
    left, top = (max(0, int((a + b) / 2 - _REACH * side)) for a, b in ((x1, x2), (y1, y2)))
    right, bottom = (int((a + b) / 2 + _REACH * side) for a, b in ((x1, x2), (y1, y2)))
    part = np.ascontiguousarray(pixels[top:bottom, left:right])
    return [Source(person, part, (x1 - left, y1 - top, x2 - left, y2 - top))]


def _agrees(boxes: Tensor, box: Tensor) -> bool:
    if not len(boxes):
        return False
    middles = (boxes[:, :2] + boxes[:, 2:]) / 2
    return bool(((middles >= box[:2]) & (middles <= box[2:])).all(1).any())


def draw(sources: Sequence[Source], rng: random.Random) -> Sample:
    """A crop of one face, or of two blended ones, seen by another camera in another light."""
    people = sorted({one.person for one in sources})
    side = _SIDES[0] * (_SIDES[1] / _SIDES[0]) ** rng.random()
    height, width = (16 * round(side * rng.uniform(1.8, 2.1) / 16) for _ in range(2))
    shift = (rng.uniform(-0.15, 0.15) * side, rng.uniform(-0.15, 0.15) * side)

    def one_face() -> tuple[np.ndarray, Tensor]:
        person = rng.choice(people)
        return _moved(
            rng.choice([one for one in sources if one.person == person]), side, (height, width), shift, rng
        )

    pixels, box = one_face()
    if rng.random() < 0.35:
        share = rng.uniform(0.3, 0.7)
        other, _ = one_face()
        pixels = share * pixels + (1 - share) * other
    pixels = _relit(pixels, rng)
    return Sample(torch.from_numpy(np.ascontiguousarray(pixels.transpose(2, 0, 1)))[None], box)


def _moved(
    source: Source, side: float, size: tuple[int, int], shift: tuple[float, float], rng: random.Random
) -> tuple[np.ndarray, Tensor]:
    """The source turned, stretched, flipped and bent, its face of the given side near the middle of the given size."""
    pixels, (x1, y1, x2, y2) = source.pixels, source.box
    scale = side / source.side
    if scale < 0.75:
        pixels = cv2.resize(pixels, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
        x1, y1, x2, y2 = (value * scale for value in (x1, y1, x2, y2))
        scale = 1.0
    stretch = float(np.exp(rng.gauss(0, 0.07)))
    across, down = scale * stretch, scale / stretch
    flip = -1.0 if rng.random() < 0.5 else 1.0
    turn = np.radians(rng.uniform(-15, 15))
    linear = np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]]) @ np.diag(
        [flip * across, down]
    )
    middle = np.array([size[1] / 2 + shift[0], size[0] / 2 + shift[1]])
    offset = middle - linear @ np.array([(x1 + x2) / 2, (y1 + y2) / 2])
    inverse = np.linalg.inv(linear)
    ys, xs = np.mgrid[: size[0], : size[1]].astype(np.float32)
    knots = np.random.default_rng(rng.randrange(2**31)).normal(0, 0.025 * side, (6, 6, 2)).astype(np.float32)
    bend = cv2.resize(knots, (size[1], size[0]), interpolation=cv2.INTER_CUBIC)
    xs, ys = xs - offset[0] + bend[..., 0], ys - offset[1] + bend[..., 1]
    from_x = (inverse[0, 0] * xs + inverse[0, 1] * ys).astype(np.float32)
    from_y = (inverse[1, 0] * xs + inverse[1, 1] * ys).astype(np.float32)
    moved = cv2.remap(pixels, from_x, from_y, cv2.INTER_CUBIC, borderMode=cv2.BORDER_REFLECT_101)
    half = np.array([(x2 - x1) * across, (y2 - y1) * down]) / 2 * rng.uniform(0.94, 1.06)
    middle = middle + np.array([rng.gauss(0, 0.02), rng.gauss(0, 0.02)]) * side
    return moved.astype(np.float32) / 255, torch.tensor(
        [[*(middle - half), *(middle + half)]], dtype=torch.float32
    )


def _relit(pixels: np.ndarray, rng: random.Random) -> np.ndarray:
    """Another skin tone, other light, and what cameras add; float32 in [0, 1]."""
    height, width = pixels.shape[:2]
    lab = cv2.cvtColor(np.clip(pixels, 0, 1).astype(np.float32), cv2.COLOR_RGB2LAB)
    lab[..., 0] *= rng.uniform(0.55, 1.1)
    lab[..., 1] += rng.gauss(0, 4)
    lab[..., 2] += rng.gauss(0, 6)
    result = np.clip(cv2.cvtColor(lab, cv2.COLOR_LAB2RGB), 0, 1)
    angle, slope = rng.uniform(0, 2 * np.pi), rng.uniform(0, 0.35)
    ys, xs = np.mgrid[-1 : 1 : height * 1j, -1 : 1 : width * 1j].astype(np.float32)
    result = result * (1 + slope * (float(np.cos(angle)) * xs + float(np.sin(angle)) * ys))[..., None]
    result = np.clip(result, 0, 1) ** float(np.exp(rng.gauss(0, 0.25))) * rng.uniform(0.8, 1.15)
    if rng.random() < 0.08:
        result = np.repeat(result.mean(2, keepdims=True), 3, 2)
    if rng.random() < 0.3:
        result = cv2.GaussianBlur(result, (0, 0), rng.uniform(0.4, 1.0))
    if rng.random() < 0.5:
        noise = np.random.default_rng(rng.randrange(2**31)).normal(0, rng.uniform(0, 4) / 255, result.shape)
        result = result + noise
    relit: np.ndarray = np.clip(result, 0, 1).astype(np.float32)
    return relit

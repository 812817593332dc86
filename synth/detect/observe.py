"""The input of the fake detectors: one face, tracked through a video or found in a picture.

Footage is decoded twice. The first pass finds the face and its eyes in every frame. The second uses smoothed landmarks
and collects the colours of three skin regions, how much each frame differs from its neighbours, and a few aligned faces
and whole frames for the networks.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import cv2
import numpy as np
import torch
from numpy.typing import NDArray

from cloak.recognition.face_mesh import Iris, eye_rois
from provenance.errors import CorruptMediaError, UsageError
from synth.detect.patches import PatchMeter, no_patches
from synth.extraction.canonical import alignment, face_mask, transformed, warp
from synth.extraction.finder import FaceFinder, Found
from synth.extraction.footage import RawFrame
from synth.extraction.measures import blur_effect
from synth.swap.conversion.smooth import stabilised

Floats = NDArray[np.float64]
Progress = Callable[[float], None]
POINTS = 468
#: Sides of aligned faces: for colours and flicker, and for the networks.
SIGNAL_SIDE, FACE_SIDE = 128, 192
FACES, FRAMES = 12, 2
#: Whole frames are kept with at most so many pixels on a side, around the face.
_FRAME_SIDE = 1024
_STEADINESS = 0.4
#: Footage is also cut after this many frames for each second asked for, so that frames without times end.
_MOST_RATE = 240
#: Points around the three regions of FakeCatcher: left cheek, right cheek (as seen), and from the brows down the nose.
REGIONS = (
    (50, 101, 118, 117, 123, 187, 205, 36),
    (280, 330, 347, 346, 352, 411, 425, 266),
    (107, 9, 336, 417, 351, 419, 248, 275, 4, 45, 3, 196, 122, 193),
)
REGION_NAMES = ("left cheek", "right cheek", "middle")
#: Why a video without time stamps cannot be judged over time.
TIMELESS = "all of its frames carry the same time, so nothing can be judged in time"
# the contour of MediaPipe's iris model: 0 and 8 are the corners, 1 to 7 the lower lid, 9 to 15 the upper
_UPPER, _LOWER = list(range(9, 16)), list(range(1, 8))


class FrameSource(Protocol):
    """What frames come from: :class:`synth.extraction.footage.Source`, or anything that decodes as often as asked."""

    @property
    def path(self) -> Path: ...

    @property
    def kind(self) -> str: ...

    @property
    def expected(self) -> int: ...

    def frames(self, wanted: Callable[[int], bool]) -> Any: ...


@dataclass
class ObservedFace:
    """Everything the detectors use of one face.

    Attributes:
        path: the file.
        kind: ``video`` or ``picture``.
        times: ``(T,)`` seconds.
        landmarks: ``(T, 468, 3)`` pixels, NaN where no face was found.
        openness: ``(T, 2)`` height of the left and right eye over its width, NaN without a face.
        colours: ``(T, 3, 3)`` mean R, G, B (0 to 255) of :data:`REGIONS`, NaN without a face.
        flicker: ``(T, 3)`` mean difference of each frame from the mean of its two neighbours, inside the face and
            around it, and the mean gradient inside the face; levels of 255.
        patches: ``(T, parts, measures)`` of :mod:`synth.detect.patches`, NaN without a face.
        faces: up to :data:`FACES` aligned faces ``(192, 192, 3)`` uint8.
        face_points: their landmarks ``(468, 2)`` in the aligned pictures.
        face_times: their seconds.
        frames: up to :data:`FRAMES` frames, cut to at most 1,024 pixels around the face.
        outlines: the faces' landmarks ``(468, 2)`` in those.
        several: share of the frames that show more than one face.
        frozen: share of the face's 8 x 8 blocks that do not change from one frame to the next.
        blur: median of the blur effect of ``faces``, 0 sharp to 1.
        span: median distance of the eyes, pixels.
        cut: footage longer than what was looked at.
    """

    path: Path
    kind: str
    times: Floats
    landmarks: NDArray[np.float32]
    openness: Floats
    colours: Floats
    flicker: Floats
    patches: Floats = field(default_factory=lambda: no_patches(0))
    faces: list[NDArray[np.uint8]] = field(default_factory=list)
    face_points: list[NDArray[np.float32]] = field(default_factory=list)
    face_times: list[float] = field(default_factory=list)
    frames: list[NDArray[np.uint8]] = field(default_factory=list)
    outlines: list[NDArray[np.float32]] = field(default_factory=list)
    several: float = 0.0
    frozen: float = 0.0
    blur: float = 0.0
    span: float = 0.0
    cut: bool = False

    @property
    def found(self) -> NDArray[np.bool_]:
        return np.asarray(~np.isnan(self.landmarks[:, 0, 0]))

    @property
    def rate(self) -> float:
        """Frames a second; 0 for a picture and for a :attr:`timeless` video."""
        if len(self.times) < 2 or self.times[-1] <= self.times[0]:
            return 0.0
        return float((len(self.times) - 1) / (self.times[-1] - self.times[0]))

    @property
    def timeless(self) -> bool:
        """A video whose frames all have one time stamp: its length and frame rate are unknown."""
        return len(self.times) > 1 and not self.rate

    @property
    def seconds(self) -> float:
        """Duration; 0 for a picture and for a :attr:`timeless` video."""
        return float(len(self.times) / self.rate) if self.rate else 0.0


class FaceObserver:
    """Detectors and landmark networks, loaded once.

    Args:
        device: where torch computes.
        weights_dir: a folder to look in for weights first.
        finder: a ready one.

    Raises:
        MissingModelError: weights are missing.
    """

    def __init__(
        self, device: Any = "cpu", weights_dir: Path | None = None, finder: FaceFinder | None = None
    ) -> None:
        self.device = device
        self.finder = finder or FaceFinder(device=device, weights_dir=weights_dir)
        self._iris = Iris.load(weights_dir).to(device)

    def observe(
        self, footage: FrameSource, *, max_seconds: float = 30.0, progress: Progress | None = None
    ) -> ObservedFace:
        """Look at footage from its beginning.

        Args:
            footage: a video or a picture.
            max_seconds: how much of it is looked at, 0.1 to 600.
            progress: called with the share done.

        Raises:
            UsageError: a length that is out of bounds.
            MediaError: it cannot be read.
        """
        if not (math.isfinite(max_seconds) and 0.1 <= max_seconds <= 600):
            raise UsageError(f"{max_seconds:g} seconds are not between 0.1 and 600")
        observed = self._first(footage, max_seconds, (lambda one: progress(0.8 * one)) if progress else None)
        if observed.found.any():
            collect_pixels(footage, observed, (lambda one: progress(0.8 + 0.2 * one)) if progress else None)
        if progress:
            progress(1.0)
        return observed

    def _first(self, footage: FrameSource, most: float, progress: Progress | None) -> ObservedFace:
        times: list[float] = []
        rows: list[NDArray[np.float32]] = []
        eyes: list[tuple[float, float]] = []
        several, cut = 0, False
        before: Floats | None = None
        for raw in footage.frames(lambda _: True):
            if raw.time > most or len(rows) >= most * _MOST_RATE:
                cut = True
                break
            found = self.finder.find(raw.pixels)
            several += len(found) > 1
            best = _same(found, before)
            times.append(raw.time)
            rows.append(np.full((POINTS, 3), np.nan, np.float32) if best is None else best.landmarks)
            eyes.append((np.nan, np.nan) if best is None else self._openness(raw.pixels, best.landmarks))
            before = before if best is None else best.landmarks[:, :2].mean(0)
            if progress and footage.expected:
                progress(min(1.0, len(rows) / footage.expected))
        if not rows:
            raise CorruptMediaError(f"{footage.path} holds no frame that can be decoded")
        count = len(rows)
        return ObservedFace(
            path=footage.path,
            kind=footage.kind,
            times=np.array(times),
            landmarks=np.stack(rows).astype(np.float32),
            openness=np.array(eyes, np.float64),
            colours=np.full((count, len(REGIONS), 3), np.nan),
            flicker=np.full((count, 3), np.nan),
            several=several / count,
            cut=cut,
        )

    @torch.no_grad()
    def _openness(self, pixels: NDArray[np.uint8], landmarks: NDArray[np.float32]) -> tuple[float, float]:
        low, high = landmarks[:, :2].min(0), landmarks[:, :2].max(0)
        reach = 0.3 * float((high - low).max())
        x1, y1 = (max(0, int(value - reach)) for value in low)
        x2, y2 = (int(value + reach) + 1 for value in high)
        part = pixels[y1:y2, x1:x2]
        if min(part.shape[:2]) < 8:
            return math.nan, math.nan
        shrink = max(1, int(max(part.shape[:2]) // 480))
        size = (part.shape[1] // shrink, part.shape[0] // shrink)
        small = cv2.resize(part, size, interpolation=cv2.INTER_AREA) if shrink > 1 else part
        mesh = landmarks.copy()
        mesh[:, :2] = (mesh[:, :2] - (x1, y1)) * (size[0] / part.shape[1], size[1] / part.shape[0])
        mesh[:, 2] /= shrink
        batch = torch.from_numpy(np.ascontiguousarray(small)).permute(2, 0, 1)[None].float() / 255
        points = torch.from_numpy(mesh)[None]
        result = []
        for right in (False, True):
            rois = eye_rois(points, right=right).to(self.device)
            contour = self._iris(batch.to(self.device), rois, right=right)[0][0, :, :2].cpu().numpy()
            width = float(np.linalg.norm(contour[0] - contour[8]))
            along = (contour[8] - contour[0]) / max(width, 1e-6)
            gap = contour[_LOWER] - contour[_UPPER]
            across = gap - (gap @ along)[:, None] * along
            result.append(float(np.linalg.norm(across, axis=1).mean()) / max(width, 1e-6))
        return result[0], result[1]


def _same(found: list[Found], before: Floats | None) -> Found | None:
    """The largest face at first, then the one nearest to where it was."""
    if not found or before is None:
        return found[0] if found else None
    return min(found, key=lambda face: float(np.linalg.norm(face.landmarks[:, :2].mean(0) - before)))


def collect_pixels(footage: FrameSource, observed: ObservedFace, progress: Progress | None = None) -> None:
    """The second pass: sets all fields of :class:`ObservedFace` but landmarks and eyes."""
    for kept in (
        observed.faces,
        observed.face_points,
        observed.face_times,
        observed.frames,
        observed.outlines,
    ):
        kept.clear()
    observed.colours[:], observed.flicker[:] = np.nan, np.nan
    count = len(observed.times)
    observed.patches = no_patches(count)
    if count > 2:
        steady = stabilised("savgol", observed.landmarks[..., :2], observed.times, _STEADINESS)
    else:
        steady = observed.landmarks[..., :2].astype(np.float64)
    there = np.flatnonzero(observed.found)
    faces = set(_spread(there, FACES))
    frames = set(_spread(there, FRAMES))
    meter = _Flicker(observed.flicker)
    parts = PatchMeter(observed.patches)
    still: list[float] = []
    before: NDArray[np.uint8] | None = None
    blurs: list[float] = []
    for raw in footage.frames(lambda index: index < count):
        if raw.index >= count:
            break
        points = steady[raw.index]
        if np.isnan(points[0, 0]):
            meter.skip()
            parts.skip()
            before = None
            continue
        before = _collect(raw, points, observed, meter, before, still)
        parts.add(raw.index, raw.pixels, observed.landmarks[raw.index, :, :2].astype(np.float64))
        if raw.index in faces:
            blurs.append(_keep_face(raw, points, observed))
        if raw.index in frames:
            _keep_frame(raw.pixels, points, observed)
        if progress:
            progress((raw.index + 1) / count)
        if raw.index == count - 1:
            break
    observed.frozen = float(np.mean(still)) if still else 0.0
    observed.blur = float(np.median(blurs)) if blurs else 0.0
    seen = observed.landmarks[there]
    corners = seen[:, [33, 133], :2].mean(1) - seen[:, [362, 263], :2].mean(1)
    observed.span = float(np.median(np.linalg.norm(corners, axis=1)))


def _collect(
    raw: RawFrame,
    points: Floats,
    observed: ObservedFace,
    meter: _Flicker,
    before: NDArray[np.uint8] | None,
    still: list[float],
) -> NDArray[np.uint8]:
    matrix = alignment(points, SIGNAL_SIDE)
    small = warp(raw.pixels, matrix, SIGNAL_SIDE)
    places = transformed(points, matrix).astype(np.float32)
    for number, region in enumerate(REGIONS):
        inside = face_mask(places[list(region)], SIGNAL_SIDE) > 127
        if inside.sum() >= 16:
            observed.colours[raw.index, number] = small[inside].mean(0)
    inside = face_mask(places, SIGNAL_SIDE) > 127
    meter.add(raw.index, small, inside)
    if before is not None and before.shape == raw.pixels.shape:
        still.append(_frozen(before, raw.pixels, points))
    return raw.pixels


def _frozen(before: NDArray[np.uint8], after: NDArray[np.uint8], points: Floats) -> float:
    """The share of 8 x 8 blocks around the face whose green channel did not change at all."""
    low, high = np.maximum(points.min(0), 0).astype(int) // 8 * 8, points.max(0).astype(int) // 8 * 8
    part = (slice(low[1], high[1]), slice(low[0], high[0]), 1)
    change = after[part] != before[part]
    rows, columns = change.shape[0] // 8, change.shape[1] // 8
    if not rows or not columns:
        return 0.0
    blocks = change[: rows * 8, : columns * 8].reshape(rows, 8, columns, 8).any((1, 3))
    return float(1 - blocks.mean())


class _Flicker:
    """Difference of each aligned face from the mean of its two neighbours, after the overall brightness is removed."""

    def __init__(self, result: Floats) -> None:
        self._result = result
        self._past: list[tuple[int, NDArray[np.float32], NDArray[np.bool_]]] = []

    def skip(self) -> None:
        self._past = []

    def add(self, index: int, pixels: NDArray[np.uint8], inside: NDArray[np.bool_]) -> None:
        luma = cv2.GaussianBlur(cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY).astype(np.float32), (0, 0), 0.8)
        self._past = [*self._past[-2:], (index, np.asarray(luma, np.float32), inside)]
        if len(self._past) < 3:
            return
        (_, first, _), (middle, second, mask), (_, third, _) = self._past
        change = second - (first + third) / 2
        rim = ~mask
        within = change[mask] - change[mask].mean() if mask.any() else np.zeros(1, np.float32)
        around = change[rim] - change[rim].mean() if rim.any() else np.zeros(1, np.float32)
        detail = np.hypot(*np.gradient(second))[mask]
        self._result[middle] = (
            float(np.abs(within).mean()),
            float(np.abs(around).mean()),
            float(detail.mean()) if detail.size else 0.0,
        )


def _keep_face(raw: RawFrame, points: Floats, observed: ObservedFace) -> float:
    matrix = alignment(points, FACE_SIDE)
    face = warp(raw.pixels, matrix, FACE_SIDE)
    places = transformed(points, matrix).astype(np.float32)
    observed.faces.append(face)
    observed.face_points.append(places)
    observed.face_times.append(raw.time)
    inside = face_mask(places, FACE_SIDE) > 127
    grey = np.asarray(cv2.cvtColor(face, cv2.COLOR_RGB2GRAY), np.uint8)
    return blur_effect(grey, inside) if inside.sum() >= 64 else 1.0


def _keep_frame(pixels: NDArray[np.uint8], points: Floats, observed: ObservedFace) -> None:
    """A small frame whole, else the part around the face, cut at multiples of 8 pixels (JPEG's grid)."""
    height, width = pixels.shape[:2]
    middle = points.mean(0)
    left, top = (
        max(0, min(int(centre - _FRAME_SIDE / 2), side - _FRAME_SIDE)) // 8 * 8
        for centre, side in zip(middle, (width, height), strict=True)
    )
    observed.frames.append(pixels[top : top + _FRAME_SIDE, left : left + _FRAME_SIDE].copy())
    observed.outlines.append((points - (left, top)).astype(np.float32))


def whole_picture(footage: FrameSource, observed: ObservedFace) -> None:
    """Keep the middle of the first frame, for the detector that needs no face."""
    for raw in footage.frames(lambda index: index == 0):
        height, width = raw.pixels.shape[:2]
        top, left = (max(0, (side - _FRAME_SIDE) // 2) // 8 * 8 for side in (height, width))
        observed.frames.append(raw.pixels[top : top + _FRAME_SIDE, left : left + _FRAME_SIDE].copy())
        break


def _spread(there: NDArray[np.intp], most: int) -> list[int]:
    """``most`` of the indices, evenly."""
    if len(there) <= most:
        return [int(one) for one in there]
    return [int(one) for one in there[np.linspace(0, len(there) - 1, most + 2).round().astype(int)[1:-1]]]

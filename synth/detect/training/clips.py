"""Clips that are made from real ones to train and test detectors, in memory: nothing of them is written to a file.

* again: the real clip, encoded again as the others are, so that encoding alone is not what tells them apart;
* blurred: the real clip, whole frames of it as soft as a fake's face is, so that softness alone is no tell;
* blended: self-blended, each frame alike (:mod:`synth.detect.training.selfmade`);
* rebuilt: the face as a small generator would make it: projected onto twelve principal components of the same person's
  face in other frames at 96 pixels, and laid over the frame. What a code of twelve numbers leaves out is lost: most of
  the pulse, and how one frame follows the other.
"""

from __future__ import annotations

import copy
import io
from collections.abc import Callable, Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from synth.detect.observe import FrameSource, ObservedFace, collect_pixels
from synth.detect.training.selfmade import BlendRecipe, blend_recipe, self_made
from synth.extraction.canonical import alignment, face_mask, transformed, warp
from synth.extraction.footage import RawFrame

KINDS = ("again", "blended", "rebuilt", "blurred")
#: Those of them that are real.
REAL_KINDS = ("again", "blurred")
#: Quality of the encoding: that of our own swaps.
CRF = 17
_SIDE, _COMPONENTS, _LEARN_FROM = 96, 12, 60
Pixels = NDArray[np.uint8]


class Remade:
    """Real footage with another face in every frame, encoded in memory and decoded again.

    Args:
        footage: the real clip.
        observed: the same clip, observed; as many frames are made.
        change: makes a frame from a frame and the landmarks ``(468, 2)`` in it.
        crf: of x264.

    Frames are cut to the box in which the face moves, with half of its size around it: ``corner`` is its left top.
    """

    kind = "video"

    def __init__(
        self,
        footage: FrameSource,
        observed: ObservedFace,
        change: Callable[[Pixels, NDArray[np.float64]], Pixels] | None,
        *,
        crf: int = CRF,
    ) -> None:
        self.path: Path = footage.path
        self.expected = len(observed.times)
        self._times = observed.times
        self.corner, self._far = _box(observed)
        self._data = _encoded(self._changed(footage, observed, change), max(1.0, observed.rate), crf)

    def _changed(self, footage: FrameSource, observed: ObservedFace, change: Any) -> Iterator[Pixels]:
        count = len(observed.times)
        (left, top), (right, bottom) = self.corner, self._far
        for raw in footage.frames(lambda index: index < count):
            points = observed.landmarks[raw.index, :, :2].astype(np.float64) - self.corner
            there = change is not None and not np.isnan(points[0, 0])
            part = raw.pixels[top:bottom, left:right]
            yield change(part, points) if there else part
            if raw.index == count - 1:
                break

    @property
    def size(self) -> int:
        """Bytes of the encoded clip."""
        return len(self._data)

    def frames(self, wanted: Callable[[int], bool]) -> Iterator[RawFrame]:
        import av

        with av.open(io.BytesIO(self._data), "r") as container:
            for index, frame in enumerate(container.decode(video=0)):
                if index < len(self._times) and wanted(index):
                    pixels = np.asarray(frame.to_ndarray(format="rgb24"), np.uint8)
                    yield RawFrame(index, float(self._times[index]), pixels)


def remade(
    kind: str, footage: FrameSource, observed: ObservedFace, random: np.random.Generator, *, crf: int = CRF
) -> ObservedFace:
    """A clip of that kind, observed. Landmarks and eyes are taken over from the real one, whose face has not moved.

    Args:
        kind: one of :data:`KINDS`.
        footage, observed: the real clip.
        random: of the recipe.
    """
    change: Callable[[Pixels, NDArray[np.float64]], Pixels] | None = None
    if kind == "blurred":
        change = blurring(random)
    elif kind == "blended":
        recipe = blend_recipe(random)
        change = lambda pixels, points: blended_frame(pixels, points, recipe)  # noqa: E731
    elif kind == "rebuilt":
        change = Rebuilder(footage, observed)
    made = Remade(footage, observed, change, crf=crf)
    result = copy.deepcopy(observed)
    result.landmarks[..., :2] -= np.array(made.corner, np.float32)
    collect_pixels(made, result)
    return result


def blended_frame(pixels: Pixels, points: NDArray[np.float64], recipe: BlendRecipe) -> Pixels:
    """A frame whose face is blended with a changed copy of itself, at the frame's own resolution."""
    matrix = alignment(points, 192)
    scale = float(np.sqrt(abs(np.linalg.det(matrix[:, :2]))))
    side = int(192 / scale)
    middle = np.linalg.inv(np.vstack([matrix, (0, 0, 1)]))[:2] @ (96, 96, 1)
    left, top = (int(value) for value in middle - side / 2)
    height, width = pixels.shape[:2]
    x1, y1, x2, y2 = max(0, left), max(0, top), min(width, left + side), min(height, top + side)
    square = cv2.copyMakeBorder(
        pixels[y1:y2, x1:x2], y1 - top, top + side - y2, x1 - left, left + side - x2, cv2.BORDER_REPLICATE
    )
    made, _ = self_made(np.asarray(square, np.uint8), points - (left, top), recipe)
    whole = pixels.copy()
    whole[y1:y2, x1:x2] = made[y1 - top : y2 - top, x1 - left : x2 - left]
    return whole


def blurring(random: np.random.Generator) -> Callable[[Pixels, NDArray[np.float64]], Pixels]:
    """A change that makes whole frames softer, all of a clip alike: scaled down so that an aligned face would have 48
    to 96 of its 192 pixels and back, or blurred by a Gaussian of 1 to 2.4 such pixels.
    """
    side = float(random.uniform(48, 96)) if random.random() < 0.5 else 0.0
    sigma = float(random.uniform(1.0, 2.4))

    def change(pixels: Pixels, points: NDArray[np.float64]) -> Pixels:
        scale = float(np.sqrt(abs(np.linalg.det(alignment(points, 192)[:, :2]))))
        if not side:
            return np.asarray(cv2.GaussianBlur(pixels, (0, 0), sigma / scale), np.uint8)
        height, width = pixels.shape[:2]
        share = min(1.0, scale * side / 192)
        size = (max(8, round(width * share)), max(8, round(height * share)))
        small = cv2.resize(pixels, size, interpolation=cv2.INTER_AREA)
        return np.asarray(cv2.resize(small, (width, height), interpolation=cv2.INTER_CUBIC), np.uint8)

    return change


class Rebuilder:
    """Principal components of one clip's aligned faces, and frames rebuilt from them.

    Learned from every other frame, at most sixty; the code is twelve numbers.
    """

    def __init__(self, footage: FrameSource, observed: ObservedFace) -> None:
        there = np.flatnonzero(observed.found)
        chosen = {int(one) for one in there[:: max(2, len(there) // _LEARN_FROM)]}
        last = max(chosen)
        rows = []
        for raw in footage.frames(lambda index: index in chosen):
            points = observed.landmarks[raw.index, :, :2].astype(np.float64)
            rows.append(warp(raw.pixels, alignment(points, _SIDE), _SIDE).astype(np.float32).ravel())
            if raw.index >= last:
                break
        faces = np.stack(rows)
        self._mean = faces.mean(0)
        _, _, basis = np.linalg.svd(faces - self._mean, full_matrices=False)
        self._basis = basis[:_COMPONENTS]

    def __call__(self, pixels: Pixels, points: NDArray[np.float64]) -> Pixels:
        matrix = alignment(points, _SIDE)
        face = warp(pixels, matrix, _SIDE).astype(np.float32).ravel()
        code = self._basis @ (face - self._mean)
        made = (self._mean + code @ self._basis).reshape(_SIDE, _SIDE, 3)
        hull = face_mask(transformed(points, matrix), _SIDE).astype(np.float32) / 255
        soft = cv2.GaussianBlur(cv2.erode(hull, np.ones((5, 5), np.uint8)), (0, 0), 2.5)
        half = np.array([[1, 0, 0.5], [0, 1, 0.5], [0, 0, 1]])
        back = np.linalg.inv(np.linalg.inv(half) @ np.vstack([matrix, (0, 0, 1)]) @ half)[:2]
        size = (pixels.shape[1], pixels.shape[0])
        laid = cv2.warpAffine(made, back, size, flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE)
        mask = cv2.warpAffine(soft, back, size, flags=cv2.INTER_LINEAR)[..., None]
        return np.asarray(np.clip(np.rint(pixels + (laid - pixels) * mask), 0, 255), np.uint8)


def _box(observed: ObservedFace) -> tuple[tuple[int, int], tuple[int, int]]:
    """Left top and right bottom, at multiples of 8 pixels; the latter may lie outside of the frame."""
    points = observed.landmarks[observed.found][..., :2]
    low, high = points.min((0, 1)), points.max((0, 1))
    reach = 0.5 * float((points.max(1) - points.min(1)).max())
    left, top = (max(0, int(one - reach) // 8 * 8) for one in low)
    right, bottom = (-(-int(one + reach) // 8) * 8 for one in high)
    return (left, top), (right, bottom)


def _encoded(frames: Iterator[Pixels], rate: float, crf: int) -> bytes:
    """H.264 in MP4, the first frame's size cut to even sides."""
    import av

    target = io.BytesIO()
    with av.open(target, "w", format="mp4") as container:
        stream: Any = None
        for index, pixels in enumerate(frames):
            even = pixels[: pixels.shape[0] // 2 * 2, : pixels.shape[1] // 2 * 2]
            if stream is None:
                stream = container.add_stream(
                    "libx264", rate=round(rate), options={"crf": str(crf), "preset": "veryfast"}
                )
                stream.height, stream.width = even.shape[:2]
                stream.pix_fmt = "yuv420p"
                stream.time_base = Fraction(1, max(1, round(rate)))
            frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(even), format="rgb24")
            frame.pts = index
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return target.getvalue()

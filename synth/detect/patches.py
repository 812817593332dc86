"""How parts of a face differ in sharpness, grain and steadiness: what a mouth that was put in may give away.

Of each frame the face is cut out at its own resolution (nothing is interpolated; faces whose eyes are more than
:data:`MOST_SPAN` pixels apart are averaged down first). Nine parts of it are measured, each in the same frame and
under the same encoder, so that their ratios say little about the camera and much about where pixels came from.
"""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
MOST_SPAN = 96.0
#: Outlines by FaceMesh's points: what lip-syncs paint (the first four), and what they keep.
PARTS: dict[str, tuple[int, ...]] = {
    "mouth": (61, 185, 40, 39, 37, 0, 267, 269, 270, 409, 291, 375, 321, 405, 314, 17, 84, 181, 91, 146),
    "chin": (106, 182, 83, 18, 313, 406, 335, 394, 378, 400, 377, 152, 148, 176, 149, 169),
    "left jowl": (205, 187, 147, 213, 192, 214, 212, 207),
    "right jowl": (425, 411, 376, 433, 416, 434, 432, 427),
    "left cheek": (116, 117, 118, 119, 100, 101, 50, 123),
    "right cheek": (345, 346, 347, 348, 329, 330, 280, 352),
    "nose": (122, 6, 351, 419, 248, 275, 4, 45, 3, 196),
    "left eye": (33, 246, 161, 160, 159, 158, 157, 173, 133, 155, 154, 153, 145, 144, 163, 7),
    "right eye": (263, 466, 388, 387, 386, 385, 384, 398, 362, 382, 381, 380, 374, 373, 390, 249),
}
#: Of each part in each frame, levels of 255.
MEASURES = ("fine", "coarse", "change", "fine change", "kept", "level")
_LEAST_PIXELS = 24
_SPAN = ((33, 133), (362, 263))


def no_patches(count: int) -> Floats:
    """``(count, parts, measures)`` of NaN."""
    return np.full((count, len(PARTS), len(MEASURES)), np.nan)


class PatchMeter:
    """Measures frame after frame. ``add`` fills a row of ``(T, parts, measures)``; ``skip`` where no face was seen.

    * fine: standard deviation of the luma less its Gaussian of 1 pixel; coarse: of what lies between 1 and 3 pixels.
    * change: of the luma less the previous frame's, moved onto it by dense optical flow (Kroeger et al., ECCV 2016);
      fine change: of the fine detail's.
    * kept: correlation of the fine detail with the previous frame's, moved.
    * level: mean luma.
    """

    def __init__(self, result: Floats) -> None:
        self._result = result
        self._before: tuple[NDArray[np.float32], Floats] | None = None
        self._flow: Any = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_FAST)

    def skip(self) -> None:
        self._before = None

    def add(self, index: int, pixels: NDArray[np.uint8], points: Floats) -> None:
        """Args: the frame ``(H, W, 3)`` RGB, and the face's landmarks ``(468, 2)`` in it."""
        cut = self._cut(pixels, points)
        if cut is None:
            self.skip()
            return
        luma, places = cut
        grey = np.asarray(np.clip(np.rint(luma), 0, 255), np.uint8)
        soft, softer = (cv2.GaussianBlur(luma, (0, 0), sigma) for sigma in (1.0, 3.0))
        fine, coarse = luma - soft, soft - softer
        moved: NDArray[np.float32] | None = None
        if self._before is not None:
            moved = self._moved(grey, places, self._before)
        for number, outline in enumerate(PARTS.values()):
            inside = np.zeros(grey.shape, np.uint8)
            hull = cv2.convexHull(np.asarray(places[list(outline)], np.float32))
            cv2.fillConvexPoly(inside, np.rint(hull).astype(np.int32), 1)
            chosen = inside > 0
            if chosen.sum() < _LEAST_PIXELS:
                continue
            row = self._result[index, number]
            row[0], row[1], row[5] = fine[chosen].std(), coarse[chosen].std(), luma[chosen].mean()
            if moved is not None:
                apart = luma - moved
                before = moved - cv2.GaussianBlur(moved, (0, 0), 1.0)
                row[2], row[3] = apart[chosen].std(), (fine - before)[chosen].std()
                a, b = fine[chosen] - fine[chosen].mean(), before[chosen] - before[chosen].mean()
                size = float(np.linalg.norm(a) * np.linalg.norm(b))
                row[4] = float(a @ b) / size if size > 1e-6 else 0.0
        self._before = luma, places

    def _cut(self, pixels: NDArray[np.uint8], points: Floats) -> tuple[NDArray[np.float32], Floats] | None:
        eyes = [points[list(pair)].mean(0) for pair in _SPAN]
        span = float(np.linalg.norm(eyes[0] - eyes[1]))
        low, high = points.min(0), points.max(0)
        reach = 0.08 * float((high - low).max())
        x1, y1 = (max(0, int(one - reach)) for one in low)
        x2, y2 = (int(one + reach) + 1 for one in high)
        part = pixels[y1:y2, x1:x2]
        if min(part.shape[:2]) < 24:
            return None
        luma = cv2.cvtColor(np.ascontiguousarray(part), cv2.COLOR_RGB2GRAY)
        places = points - (x1, y1)
        if span > MOST_SPAN:
            share = MOST_SPAN / span
            size = (max(16, round(luma.shape[1] * share)), max(16, round(luma.shape[0] * share)))
            places = places * (size[0] / luma.shape[1], size[1] / luma.shape[0])
            luma = cv2.resize(luma, size, interpolation=cv2.INTER_AREA)
        return luma.astype(np.float32), places

    def _moved(
        self, grey: NDArray[np.uint8], places: Floats, previous: tuple[NDArray[np.float32], Floats]
    ) -> NDArray[np.float32]:
        """The previous luma, moved onto the present one: by the face's own movement, then by optical flow."""
        before, earlier = previous
        matrix, _ = cv2.estimateAffinePartial2D(
            places.astype(np.float32), earlier.astype(np.float32), method=cv2.LMEDS
        )
        if matrix is None:
            matrix = np.array([[1, 0, 0], [0, 1, 0]], np.float64)
        size = (grey.shape[1], grey.shape[0])
        flags = cv2.INTER_CUBIC | cv2.WARP_INVERSE_MAP
        first = cv2.warpAffine(before, matrix, size, flags=flags, borderMode=cv2.BORDER_REPLICATE)
        shown = np.asarray(np.clip(np.rint(first), 0, 255), np.uint8)
        flow = self._flow.calc(grey, shown, None)
        rows, columns = np.mgrid[0 : size[1], 0 : size[0]].astype(np.float32)
        x, y = flow[..., 0] + columns, flow[..., 1] + rows
        # one interpolation, of both movements
        fx = (matrix[0, 0] * x + matrix[0, 1] * y + matrix[0, 2]).astype(np.float32)
        fy = (matrix[1, 0] * x + matrix[1, 1] * y + matrix[1, 2]).astype(np.float32)
        return np.asarray(
            cv2.remap(before, fx, fy, cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE), np.float32
        )

"""Processing histories that are made: what a picture went through before it was published, and spliced pictures."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

Pixels = NDArray[np.uint8]


@dataclass(frozen=True)
class History:
    """In this order.

    Attributes:
        demosaicing: 0 none; 1 a Bayer mosaic read bilinearly; 2 read along edges.
        noise: standard deviation in levels of 255.
        resampling: factor; below 1 shrinks.
        sharpening: strength of an unsharp mask; below 0 a blur of that sigma.
        quality: of a JPEG, or 100 for none.
    """

    demosaicing: int = 0
    noise: float = 0.0
    resampling: float = 1.0
    sharpening: float = 0.0
    quality: int = 100

    def traits(self) -> tuple[int, int, int, int, int]:
        """Classes of each trait, in the order of :data:`synth.detect.networks.splice.TRAITS`. Alike is equal."""
        return (
            self.quality // 10,
            round(self.resampling * 5),
            round(self.sharpening * 2),
            round(self.noise / 2),
            self.demosaicing,
        )


def random_history(random: np.random.Generator) -> History:
    """One of all."""
    return History(
        demosaicing=int(random.integers(0, 3)),
        noise=float(random.choice([0.0, 0.0, 1.5, 3.0, 5.0])),
        resampling=float(random.choice([1.0, 1.0, 0.7, 0.85, 1.25, 1.6, 2.0])),
        sharpening=float(random.choice([0.0, 0.0, 0.8, 1.6, -0.7, -1.2])),
        quality=int(random.choice([100, 95, 90, 80, 70, 55, 40])),
    )


def processed(pixels: Pixels, history: History, random: np.random.Generator) -> Pixels:
    """A picture ``(H, W, 3)`` uint8 RGB with that history; its size changes with the resampling."""
    work = pixels
    if history.demosaicing:
        work = _mosaicked(work, history.demosaicing)
    values = work.astype(np.float32)
    if history.noise:
        values += random.normal(0, history.noise, values.shape).astype(np.float32)
    if history.resampling != 1:
        size = (
            round(work.shape[1] * history.resampling),
            round(work.shape[0] * history.resampling),
        )
        how = cv2.INTER_AREA if history.resampling < 1 else cv2.INTER_CUBIC
        values = np.asarray(cv2.resize(values, size, interpolation=how), np.float32)
    if history.sharpening > 0:
        values = values + history.sharpening * (values - cv2.GaussianBlur(values, (0, 0), 1.2))
    elif history.sharpening < 0:
        values = np.asarray(cv2.GaussianBlur(values, (0, 0), -history.sharpening), np.float32)
    ready = np.clip(np.rint(values), 0, 255).astype(np.uint8)
    return ready if history.quality >= 100 else as_jpeg(ready, history.quality)


def as_jpeg(pixels: Pixels, quality: int) -> Pixels:
    """Encoded and decoded."""
    _, data = cv2.imencode(".jpg", pixels[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, quality])
    read = np.asarray(cv2.imdecode(data, cv2.IMREAD_COLOR), np.uint8)
    return np.ascontiguousarray(read[..., ::-1])


def _mosaicked(pixels: Pixels, kind: int) -> Pixels:
    raw = pixels[..., 1].copy()
    raw[0::2, 0::2] = pixels[0::2, 0::2, 0]
    raw[1::2, 1::2] = pixels[1::2, 1::2, 2]
    code = cv2.COLOR_BayerRG2BGR if kind == 1 else cv2.COLOR_BayerRG2BGR_EA
    # OpenCV names a pattern by its second row and column
    read = cv2.cvtColor(raw, code)
    best = min((read, read[..., ::-1]), key=lambda one: float(np.abs(one.astype(np.int16) - pixels).mean()))
    return np.ascontiguousarray(best)


def spliced(base: Pixels, other: Pixels, random: np.random.Generator) -> tuple[Pixels, NDArray[np.bool_]]:
    """A part of ``other`` (an ellipse of 8 to 30 % of the area) laid over ``base``, and where.

    Both ``(H, W, 3)``; ``other`` at least as large as the part.
    """
    height, width = base.shape[:2]
    share = random.uniform(0.08, 0.30)
    stretch = random.uniform(0.7, 1.4)
    a = min(np.sqrt(share * height * width / np.pi) * stretch, width / 2 - 1, other.shape[1] / 2 - 1)
    b = min(share * height * width / np.pi / max(a, 1.0), height / 2 - 1, other.shape[0] / 2 - 1)
    x, y = random.uniform(a, width - a), random.uniform(b, height - b)
    rows, columns = np.mgrid[0:height, 0:width]
    mask = ((columns + 0.5 - x) / a) ** 2 + ((rows + 0.5 - y) / b) ** 2 <= 1
    # at whole multiples of 8 away or not, as it comes
    dx = int(random.integers(0, max(1, other.shape[1] - 2 * a)))
    dy = int(random.integers(0, max(1, other.shape[0] - 2 * b)))
    ys, xs = np.nonzero(mask)
    from_y = np.clip(ys - ys.min() + dy, 0, other.shape[0] - 1)
    from_x = np.clip(xs - xs.min() + dx, 0, other.shape[1] - 1)
    whole = base.copy()
    whole[ys, xs] = other[from_y, from_x]
    return whole, mask

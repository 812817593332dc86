"""How different two pictures look: PSNR, SSIM, MS-SSIM and FLIP.

All functions take two ``(H, W, 3)`` uint8 RGB pictures of the same size. SSIM and MS-SSIM are computed on
luma (BT.601), with the 11-tap Gaussian window of the papers.
"""

from __future__ import annotations

import importlib.util
import math
from dataclasses import asdict, dataclass

import cv2
import numpy as np

from cloak.pixels import scaled
from provenance.errors import UsageError

_C1 = (0.01 * 255) ** 2
_C2 = (0.03 * 255) ** 2
_MS_WEIGHTS = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)
_WINDOW = 11


@dataclass(frozen=True)
class Quality:
    """The difference between two pictures.

    Attributes:
        psnr: decibels, higher is closer; ``inf`` for equal pictures.
        ssim: at most 1, which means equal.
        ms_ssim: as ``ssim``, over five scales; None when the shorter side is under 176 pixels.
        flip: mean FLIP error in [0, 1], 0 means equal; None when ``flip-evaluator`` is not installed.
        p999: the 99.9th percentile of the absolute difference of a channel, in levels of 255.
        largest: the largest absolute difference of a channel, in levels of 255.
    """

    psnr: float
    ssim: float
    ms_ssim: float | None
    flip: float | None
    p999: float
    largest: int

    def to_json(self) -> dict[str, float | int | None]:
        """Plain values; an infinite PSNR becomes None."""
        values = asdict(self)
        if math.isinf(self.psnr):
            values["psnr"] = None
        return {key: round(v, 4) if isinstance(v, float) else v for key, v in values.items()}


def compare(first: np.ndarray, second: np.ndarray, *, perceptual: bool = True, shown: float = 1.0) -> Quality:
    """All measures at once.

    Args:
        first, second: uint8 ``(H, W, 3)``.
        perceptual: without, FLIP is left out, the slowest of them.
        shown: the size at which a person is shown them, divided by their own; FLIP is measured there.
    """
    _check(first, second)
    gap = cv2.absdiff(first, second)
    return Quality(
        psnr=psnr(first, second),
        ssim=ssim(first, second),
        ms_ssim=ms_ssim(first, second) if min(first.shape[:2]) >= _WINDOW * 2**4 else None,
        flip=flip(*(as_shown(one, shown) for one in (first, second))) if perceptual else None,
        p999=float(np.percentile(gap, 99.9)),
        largest=int(gap.max()),
    )


def psnr(first: np.ndarray, second: np.ndarray) -> float:
    """Peak signal-to-noise ratio over all channels, in dB."""
    _check(first, second)
    error = float(np.mean(np.square(first.astype(np.float32) - second.astype(np.float32))))
    return math.inf if error == 0 else 10 * math.log10(255**2 / error)


def ssim(first: np.ndarray, second: np.ndarray) -> float:
    """Structural similarity (Wang et al., IEEE TIP 2004), Gaussian window of sigma 1.5, mean over luma.

    Pictures smaller than the window are compared with a reflected border.
    """
    _check(first, second)
    structure, luminance = _ssim_maps(_luma(first), _luma(second))
    return float(np.mean(structure * luminance))


def ms_ssim(first: np.ndarray, second: np.ndarray) -> float:
    """Multi-scale SSIM (Wang et al., Asilomar 2003) with the published weights of five scales."""
    _check(first, second)
    a, b = _luma(first), _luma(second)
    result = 1.0
    for level, weight in enumerate(_MS_WEIGHTS):
        structure, luminance = _ssim_maps(a, b)
        last = level == len(_MS_WEIGHTS) - 1
        value = float(np.mean(structure * luminance if last else structure))
        result *= max(value, 0.0) ** weight
        if not last:
            half = (max(1, a.shape[1] // 2), max(1, a.shape[0] // 2))
            a = cv2.resize(a, half, interpolation=cv2.INTER_AREA)
            b = cv2.resize(b, half, interpolation=cv2.INTER_AREA)
    return result


def flip(first: np.ndarray, second: np.ndarray) -> float | None:
    """Mean FLIP error (Andersson et al., HPG 2020) at 67 pixels per degree; None where not installed."""
    _check(first, second)
    if importlib.util.find_spec("flip_evaluator") is None:
        return None
    import flip_evaluator

    scaled = [np.ascontiguousarray(p, dtype=np.float32) / 255 for p in (first, second)]
    _, mean, _ = flip_evaluator.evaluate(scaled[0], scaled[1], "LDR", applyMagma=False)
    return float(mean)


def as_shown(pixels: np.ndarray, scale: float) -> np.ndarray:
    """Pixels at the size at which a person is shown them, a share of their own."""
    return pixels if scale >= 1 else scaled(pixels, scale)


def crop(picture: np.ndarray, box: tuple[float, float, float, float], margin: float = 0.0) -> np.ndarray:
    """The part of a picture inside ``x1 y1 x2 y2``, widened on each side by ``margin`` times its size."""
    height, width = picture.shape[:2]
    x1, y1, x2, y2 = box
    dx, dy = (x2 - x1) * margin, (y2 - y1) * margin
    left, top = max(0, math.floor(x1 - dx)), max(0, math.floor(y1 - dy))
    right, bottom = min(width, math.ceil(x2 + dx)), min(height, math.ceil(y2 + dy))
    if right <= left or bottom <= top:
        raise UsageError(f"the box {box} lies outside the picture of {width}x{height}")
    return picture[top:bottom, left:right]


def _ssim_maps(a: np.ndarray, b: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The contrast-structure and the luminance map, without the border the window does not fit in."""
    mean_a, mean_b = _window(a), _window(b)
    var_a = _window(a * a) - mean_a**2
    var_b = _window(b * b) - mean_b**2
    cov = _window(a * b) - mean_a * mean_b
    structure = (2 * cov + _C2) / (var_a + var_b + _C2)
    luminance = (2 * mean_a * mean_b + _C1) / (mean_a**2 + mean_b**2 + _C1)
    edge = _WINDOW // 2
    if min(a.shape) > 2 * edge:
        structure, luminance = structure[edge:-edge, edge:-edge], luminance[edge:-edge, edge:-edge]
    return structure, luminance


def _window(plane: np.ndarray) -> np.ndarray:
    blurred = cv2.GaussianBlur(plane, (_WINDOW, _WINDOW), 1.5, borderType=cv2.BORDER_REFLECT)
    return np.asarray(blurred)


def _luma(picture: np.ndarray) -> np.ndarray:
    # single precision is exact enough (errors of 1e-2 against a stabiliser of 58) at half the memory
    return np.asarray(picture.astype(np.float32) @ np.array([0.299, 0.587, 0.114], np.float32))


def _check(first: np.ndarray, second: np.ndarray) -> None:
    for picture in (first, second):
        if picture.dtype != np.uint8 or picture.ndim != 3 or picture.shape[2] != 3 or picture.size == 0:
            raise UsageError(f"expected (H, W, 3) uint8, got {picture.shape} {picture.dtype}")
    if first.shape != second.shape:
        raise UsageError(f"pictures differ in size: {first.shape[:2]} and {second.shape[:2]}")

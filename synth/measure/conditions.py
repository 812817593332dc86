"""What a published picture goes through before somebody looks for faces in it, and what may be done against a cloak.

Each is a function from ``(H, W, 3)`` uint8 RGB to the same, perhaps of another size.
"""

from __future__ import annotations

from collections.abc import Callable
from enum import StrEnum

import cv2
import numpy as np
from numpy.typing import NDArray

from cloak.pixels import recompressed, scaled
from provenance.errors import UsageError

Pixels = NDArray[np.uint8]
Treatment = Callable[[Pixels], Pixels]
#: Names of what is published: clean data, pictures that came cloaked; and before a version's name those of its
#: controls: noise of equal energy, and the same veil with random parameters.
CLEAN, GIVEN, NOISE, RANDOM = "clean", "cloaked", "noise like ", "random veil like "
CONTROLS = (NOISE, RANDOM)


class Condition(StrEnum):
    """What a published picture goes through before detectors are asked about it."""

    NOTHING = "nothing"
    JPEG_90 = "JPEG 90"
    JPEG_75 = "JPEG 75"
    JPEG_50 = "JPEG 50"
    HALF_SIZE = "half size"
    THREE_QUARTERS = "3/4 size"
    BLUR = "blur"
    SCREENSHOT = "screenshot"
    SOCIAL_NETWORKS = "social networks"


class Cleaning(StrEnum):
    """How an attacker cleans data before extracting faces."""

    JPEG = "jpeg"
    BLUR = "blur"
    DENOISE = "denoise"
    RESIZE = "resize"
    LEARNED = "learned"


def screenshot(pixels: Pixels) -> Pixels:
    """Shown at 80 % of its size (bicubic, as browsers and desktops do), captured as it is, saved as JPEG 85."""
    height, width = pixels.shape[:2]
    size = (max(1, round(width * 0.8)), max(1, round(height * 0.8)))
    return recompressed(np.asarray(cv2.resize(pixels, size, interpolation=cv2.INTER_CUBIC), np.uint8), 85)


def network_chain(pixels: Pixels) -> Pixels:
    """Two social networks in a row: JPEG 80; then 70 % of the size and JPEG 65."""
    return recompressed(scaled(recompressed(pixels, 80), 0.7), 65)


def blurred(pixels: Pixels, sigma: float) -> Pixels:
    """Gaussian blur, ``sigma`` in pixels."""
    return np.asarray(cv2.GaussianBlur(pixels, (0, 0), sigma), np.uint8)


def denoised(pixels: Pixels) -> Pixels:
    """Non-local means (Buades et al., CVPR 2005), as OpenCV has it."""
    return np.asarray(cv2.fastNlMeansDenoisingColored(pixels, None, 8, 8, 5, 15), np.uint8)


def unveiled(pixels: Pixels) -> Pixels:
    """A small network that learned to take veils and noise off; see :mod:`synth.measure.denoiser`."""
    from synth.measure.denoiser import Denoiser

    return Denoiser.shipped().clean(pixels)


CONDITIONS: dict[Condition, Treatment] = {
    Condition.NOTHING: lambda pixels: pixels,
    Condition.JPEG_90: lambda pixels: recompressed(pixels, 90),
    Condition.JPEG_75: lambda pixels: recompressed(pixels, 75),
    Condition.JPEG_50: lambda pixels: recompressed(pixels, 50),
    Condition.HALF_SIZE: lambda pixels: scaled(pixels, 0.5),
    Condition.THREE_QUARTERS: lambda pixels: scaled(pixels, 0.75),
    Condition.BLUR: lambda pixels: blurred(pixels, 1.2),
    Condition.SCREENSHOT: screenshot,
    Condition.SOCIAL_NETWORKS: network_chain,
}
CLEANING: dict[Cleaning, Treatment] = {
    Cleaning.JPEG: lambda pixels: recompressed(pixels, 60),
    Cleaning.BLUR: lambda pixels: blurred(pixels, 1.5),
    Cleaning.DENOISE: denoised,
    Cleaning.RESIZE: lambda pixels: scaled(pixels, 0.5),
    Cleaning.LEARNED: unveiled,
}


def equal_energy(clean: Pixels, cloaked: Pixels, seed: int) -> Pixels:
    """The control: the cloak's own changes, shuffled by blocks of 4 x 4 pixels and with random signs.

    It keeps the amount of change in each neighbourhood of 32 x 32 pixels and its grain, and destroys what was searched
    for. The same seed shuffles frames of one clip alike, so that noise which moves with a face still does.

    Args:
        clean, cloaked: ``(H, W, 3)`` uint8 of the same size.

    Returns:
        ``clean`` with the shuffled changes.

    Raises:
        UsageError: pictures of different sizes.
    """
    if clean.shape != cloaked.shape:
        raise UsageError(f"pictures differ in size: {clean.shape[:2]} and {cloaked.shape[:2]}")
    rng = np.random.default_rng(seed)
    change = cloaked.astype(np.int16) - clean
    height, width = (side // 32 * 32 for side in clean.shape[:2])
    core = change[:height, :width].reshape(height // 32, 8, 4, width // 32, 8, 4, 3)
    core = core.transpose(0, 3, 1, 4, 2, 5, 6).reshape(-1, 64, 4, 4, 3).copy()
    for neighbourhood in core:
        rng.shuffle(neighbourhood)
        neighbourhood *= rng.choice((-1, 1), (64, 1, 1, 3)).astype(np.int16)
    core = core.reshape(height // 32, width // 32, 8, 8, 4, 4, 3).transpose(0, 2, 4, 1, 3, 5, 6)
    change[:height, :width] = core.reshape(height, width, 3)
    return np.clip(clean + change, 0, 255).astype(np.uint8)

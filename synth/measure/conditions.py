"""What a published picture goes through before somebody looks for faces in it, and what may be done against a cloak.

Each is a function from ``(H, W, 3)`` uint8 RGB to the same, perhaps of another size.
"""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np
from numpy.typing import NDArray

from cloak.pixels import recompressed, scaled
from provenance.errors import UsageError

Pixels = NDArray[np.uint8]
Treatment = Callable[[Pixels], Pixels]


def screenshot(pixels: Pixels) -> Pixels:
    """Shown at 80 % of its size (bicubic, as browsers and desktops do), captured as it is, saved as JPEG 85."""
    height, width = pixels.shape[:2]
    size = (max(1, round(width * 0.8)), max(1, round(height * 0.8)))
    return recompressed(np.asarray(cv2.resize(pixels, size, interpolation=cv2.INTER_CUBIC), np.uint8), 85)


def network_chain(pixels: Pixels) -> Pixels:
    """Two social networks in a row: JPEG 80; then 70 % of the size and JPEG 65."""
    return recompressed(scaled(recompressed(pixels, 80), 0.7), 65)


#: The conditions of a measurement of detectors, by name.
CONDITIONS: dict[str, Treatment] = {
    "nothing": lambda pixels: pixels,
    "JPEG 90": lambda pixels: recompressed(pixels, 90),
    "JPEG 75": lambda pixels: recompressed(pixels, 75),
    "JPEG 50": lambda pixels: recompressed(pixels, 50),
    "half size": lambda pixels: scaled(pixels, 0.5),
    "3/4 size": lambda pixels: scaled(pixels, 0.75),
    "blur": lambda pixels: np.asarray(cv2.GaussianBlur(pixels, (0, 0), 1.2), np.uint8),
    "screenshot": screenshot,
    "social networks": network_chain,
}

#: What an attacker cleans data with before extracting faces, by name.
CLEANING: dict[str, Treatment] = {
    "jpeg": lambda pixels: recompressed(pixels, 60),
    "blur": lambda pixels: np.asarray(cv2.GaussianBlur(pixels, (0, 0), 1.5), np.uint8),
    "denoise": lambda pixels: np.asarray(
        cv2.fastNlMeansDenoisingColored(pixels, None, 8, 8, 5, 15), np.uint8
    ),
    "resize": lambda pixels: scaled(pixels, 0.5),
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

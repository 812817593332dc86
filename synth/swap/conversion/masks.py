"""Where the made face replaces the filmed one: shape, growth, soft border. All in the aligned picture."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from provenance.errors import UsageError
from synth.extraction.canonical import face_mask

SHAPES = ("learned", "hull", "ellipse")


def shaped(shape: str, learned: NDArray[np.float32], landmarks: NDArray[np.floating]) -> NDArray[np.float32]:
    """A mask ``(S, S)`` in [0, 1].

    Args:
        shape: "learned" (what the decoder made, inside the hull grown by a tenth, so that a network's mistake cannot
            reach far), "hull" (convex hull of the landmarks), or "ellipse" (the hull's ellipse of equal moments).
        learned: ``(S, S)`` in [0, 1].
        landmarks: ``(468, 2)`` in pixels of the aligned picture.

    Raises:
        UsageError: no such shape.
    """
    if shape not in SHAPES:
        raise UsageError(f"no shape of mask is called {shape[:40]!r}", hint="one of " + ", ".join(SHAPES))
    side = learned.shape[0]
    hull = np.asarray(face_mask(landmarks, side), np.float32) / np.float32(255)
    if shape == "hull":
        return hull
    if shape == "ellipse":
        return _ellipse(hull)
    return np.asarray(np.clip(learned, 0, 1) * grown(hull, 0.10), np.float32)


def grown(mask: NDArray[np.float32], share: float) -> NDArray[np.float32]:
    """Expand (``share`` above 0) or contract (below 0) by a share of the side, at most half of it."""
    reach = round(min(abs(share), 0.5) * mask.shape[0])
    if reach == 0:
        return mask
    disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * reach + 1,) * 2)
    change = cv2.dilate if share > 0 else cv2.erode
    return np.asarray(change(mask, disc, borderType=cv2.BORDER_REPLICATE), np.float32)


def soft_border(mask: NDArray[np.float32], share: float) -> NDArray[np.float32]:
    """A border that fades over about ``share`` of the side (a Gaussian of half of that), inwards, and is 0 at the edge
    of the aligned picture, so that no seam is left.
    """
    side = mask.shape[0]
    sigma = max(share, 0.0) * side / 2
    frame = np.zeros_like(mask)
    rim = max(1, round(2 * sigma)) if sigma else 1
    rim = min(rim, side // 4)
    frame[rim:-rim, rim:-rim] = 1
    inside = mask * frame
    if sigma < 0.1:
        return inside
    smaller = grown(inside, -sigma / side)
    return np.asarray(
        np.clip(cv2.GaussianBlur(smaller, (0, 0), sigma), 0, 1) * (frame if rim < 2 else 1), np.float32
    )


def _ellipse(hull: NDArray[np.float32]) -> NDArray[np.float32]:
    moments = cv2.moments(hull)
    total = moments["m00"]
    if total < 1:
        return hull
    centre = (moments["m10"] / total, moments["m01"] / total)
    spread = np.array([[moments["mu20"], moments["mu11"]], [moments["mu11"], moments["mu02"]]]) / total
    values, axes = np.linalg.eigh(spread)
    # of an ellipse with half axis r, the variance along it is r squared / 4
    half = 2 * np.sqrt(np.maximum(values, 1e-6))
    angle = float(np.degrees(np.arctan2(axes[1, 1], axes[0, 1])))
    fine, side = 4, hull.shape[0]
    canvas = np.zeros((side * fine,) * 2, np.uint8)
    middle = (round((centre[0] + 0.5) * fine), round((centre[1] + 0.5) * fine))
    cv2.ellipse(canvas, middle, (round(half[1] * fine), round(half[0] * fine)), angle, 0, 360, 255, -1)
    small = cv2.resize(canvas, (side, side), interpolation=cv2.INTER_AREA)
    return np.asarray(small / 255.0, np.float32)

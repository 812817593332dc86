"""Layer masks (lower face, torso, neck) and their blending.

Front to back: lower face (generated), torso, with a background of one colour beside it (filmed), neck (generated), rest
(filmed). All masks are ``(S, S)`` in [0, 1] in the frontal frame.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from synth.lipsync.shape import Series
from synth.lipsync.texture.candidates import UPPER_BORDER
from synth.lipsync.texture.frontal import Floats, Frontal, Pixels
from synth.swap.conversion.blend import blended

#: How far the generated neck reaches below the chin, and the blur of masks, eye distances.
_NECK, _SOFT = 0.30, 0.05
#: How far around the filmed lips the lower face is always complete, and over what length the neck fades at the frontal
#: frame's bottom, eye distances.
_AROUND_LIPS, _FADE = 0.10, 0.20
#: Squared Mahalanobis distances below which a colour is skin and above which it is not.
_SURE, _NOT = 6.0, 16.0
#: A background whose lightness and colours spread less than this (CIELAB) is of one colour.
_PLAIN = 9.0


@dataclass(frozen=True)
class Colour:
    """A colour distribution in CIELAB: mean ``(3,)`` and the inverse of the covariance ``(3, 3)``."""

    mean: Series
    inverse: Series

    @classmethod
    def of(cls, pixels: NDArray[np.uint8], least: tuple[float, float, float]) -> Colour:
        """Of pixels ``(P, 3)``; no narrower than ``least`` in each direction."""
        lab = lab_of(pixels.reshape(1, -1, 3)).reshape(-1, 3).astype(np.float64)
        middle = np.median(lab, 0)
        near = lab[np.abs(lab - middle).sum(1) <= np.percentile(np.abs(lab - middle).sum(1), 90)]
        return cls(near.mean(0), np.linalg.inv(np.cov(near.T) + np.diag(np.square(least))))

    def likeness(self, pixels: Pixels) -> Floats:
        """``(H, W)``: 1 like it, 0 unlike it."""
        gap = lab_of(pixels) - self.mean
        squared = np.einsum("hwi,ij,hwj->hw", gap, self.inverse, gap)
        return np.asarray(np.clip((_NOT - squared) / (_NOT - _SURE), 0, 1), np.float32)


def lab_of(pixels: NDArray[np.uint8]) -> Floats:
    """CIELAB, L 0 to 100."""
    scaled = np.ascontiguousarray(pixels).astype(np.float32) / np.float32(255)
    return np.asarray(cv2.cvtColor(scaled, cv2.COLOR_RGB2LAB), np.float32)


def filled(outline: Series, side: int) -> Floats:
    """``(side, side)`` inside of a polygon ``(K, 2)``."""
    mask = np.zeros((side, side), np.uint8)
    cv2.fillPoly(mask, [np.round((outline - 0.5) * 16).astype(np.int32)], 255, cv2.LINE_AA, 4)
    return np.asarray(mask.astype(np.float32) / np.float32(255))


def neck_mask(frontal: Frontal, made: Series, filmed: Series) -> Floats:
    """From the higher of the two jaw lines to some way below the lower one, between the corners of the jaw."""
    upper = np.where(made[:, 1:] < filmed[:, 1:], made, filmed)
    lower = np.where(made[:, 1:] < filmed[:, 1:], filmed, made)
    share = 1 - np.abs(np.linspace(-1, 1, len(made)))
    below = lower + np.stack([np.zeros(len(share)), _NECK * frontal.unit * np.sqrt(share)], 1)
    mask = filled(np.concatenate([upper - (0, 0.12 * frontal.unit), below[::-1]]), frontal.side)
    soft = cv2.GaussianBlur(mask, (0, 0), _SOFT * frontal.unit)
    # a chin that drops far takes the neck to the end of the frontal frame: no edge may show there
    left = (frontal.side - 2 - np.arange(frontal.side)) / (_FADE * frontal.unit)
    return np.asarray(soft * np.clip(left, 0, 1)[:, None], np.float32)


def lips_mask(frontal: Frontal, lips: Series, filmed: Series) -> Floats:
    """The texture's lips and the filmed ones ``(18, 2)``, what is between the two, and some way around, soft: nothing
    of the filmed mouth may be left here, wherever the chin is.
    """
    both = np.concatenate([lips[:12], filmed[:12]]).astype(np.float32)
    mask = filled(np.asarray(cv2.convexHull(both)[:, 0], np.float64), frontal.side)
    reach = max(1, round(_AROUND_LIPS * frontal.unit))
    wider = cv2.dilate(mask, cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * reach + 1,) * 2))
    return np.asarray(cv2.GaussianBlur(wider, (0, 0), 0.4 * _AROUND_LIPS * frontal.unit), np.float32)


def torso_mask(frontal: Frontal, target: Pixels, texture: Pixels, skin: Colour, filmed: Series) -> Floats:
    """Where the filmed picture stays: below the jaw lines, what is not skin in the target (shirt, hair, background) or
    not in the texture; and a background of one colour.
    """
    keep = 1 - np.minimum(skin.likeness(target), skin.likeness(texture))
    plain = background(frontal, target, filmed)
    if plain is not None:
        keep = np.maximum(keep, plain.likeness(target))
    border = frontal.pixels_of(frontal.base[list(UPPER_BORDER)])
    inside = filled(np.concatenate([filmed, border]), frontal.side)
    inside = np.asarray(cv2.erode(inside, np.ones((3, 3), np.uint8)), np.float32)
    keep = cv2.medianBlur((keep * 255).astype(np.uint8), 5).astype(np.float32) / np.float32(255)
    return np.asarray(cv2.GaussianBlur(keep * (1 - inside), (0, 0), 0.02 * frontal.unit))


def face_layer_mask(
    frontal: Frontal, target: Pixels, texture: Pixels, alpha: Floats, lips: Series, skin: Colour
) -> Floats:
    """The lower face without hair and background of target and texture at its sides; the area around the mouth is
    always complete.
    """
    side = frontal.side
    rows, columns = np.mgrid[0:side, 0:side] + 0.5
    away = np.hypot(columns - lips[:12, 0].mean(), (rows - lips[:12, 1].mean()) * 0.8) / frontal.unit
    near = np.clip((0.75 - away) / 0.15, 0, 1).astype(np.float32)
    both = np.minimum(skin.likeness(target), skin.likeness(texture))
    reach = max(1, round(0.03 * frontal.unit))
    both = np.asarray(cv2.erode(both, np.ones((2 * reach + 1,) * 2, np.uint8)), np.float32)
    both = np.asarray(cv2.GaussianBlur(both, (0, 0), 0.04 * frontal.unit), np.float32)
    return np.asarray(alpha * np.maximum(near, both), np.float32)


def background(frontal: Frontal, target: Pixels, filmed: Series) -> Colour | None:
    """The colour of what is beside the jaw, at the frontal frame's sides; None where it is not one colour."""
    width = max(2, frontal.side // 24)
    top, bottom = int(filmed[:, 1].min()), int(min(filmed[:, 1].max(), frontal.side - 1))
    beside = np.concatenate(
        [target[top : bottom + 1, :width].reshape(-1, 3), target[top : bottom + 1, -width:].reshape(-1, 3)]
    )
    if len(beside) < 64 or float(lab_of(beside[None])[0].std(0).max()) > _PLAIN:
        return None
    return Colour.of(beside, (3.0, 2.0, 2.0))


def stacked(filmed: Pixels, made: Pixels, neck: Floats, torso: Floats, face: Floats) -> Pixels:
    """The four layers of a part of the picture, each blended onto those behind it by Laplacian pyramids."""
    picture = blended("laplacian", filmed, made, neck * (1 - torso))
    picture = blended("laplacian", picture, filmed, torso * (1 - face))
    return blended("laplacian", picture, made, face)

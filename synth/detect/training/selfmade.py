"""Fakes that are made from one picture of one person, to train and test detectors: nobody becomes anybody else.

* Self-blended images: Shiohara and Yamasaki, "Detecting Deepfakes with Self-Blended Images", CVPR 2022. A copy of the
  face with slightly other colours, sharpness, size and place is blended over the original.
* Face warping artefacts: Li and Lyu, "Exposing DeepFake Videos By Detecting Face Warping Artifacts", CVPR
  Workshops 2019. The face is scaled down, blurred and scaled back, as a generator's small output is.

A :class:`BlendRecipe` has every random choice, so that all frames of a clip can be treated alike.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from synth.extraction.canonical import face_mask

Pixels = NDArray[np.uint8]


@dataclass(frozen=True)
class BlendRecipe:
    """How one self-made fake differs from its source. Lengths are shares of the picture's side.

    Attributes:
        gain, shift: of each colour channel: factor, and levels of 255 that are added.
        contrast: about the middle.
        sharpen: above 0 sharpens, below 0 blurs (Gaussian sigma in pixels).
        side: pixels that the face is scaled down to and back; 0 leaves it.
        move: x and y.
        zoom: factor.
        swell: how far the mask's outline is bent, and ``bend``, the 2 x 4 x 4 numbers it is bent by.
        grow: of the mask.
        border: over which the mask fades.
        strength: of the blend, 0 to 1.
        lower: the mask is of the lower half of the face alone.
    """

    gain: tuple[float, float, float] = (1.0, 1.0, 1.0)
    shift: tuple[float, float, float] = (0.0, 0.0, 0.0)
    contrast: float = 1.0
    sharpen: float = 0.0
    side: int = 0
    move: tuple[float, float] = (0.0, 0.0)
    zoom: float = 1.0
    swell: float = 0.0
    bend: tuple[float, ...] = (0.0,) * 32
    grow: float = 0.0
    border: float = 0.06
    strength: float = 1.0
    lower: bool = False


def blend_recipe(random: np.random.Generator, detail: float = 192.0) -> BlendRecipe:
    """Of a self-blended image; ``detail`` is the side in pixels that the face's own detail is worth."""
    three = random.normal(size=(2, 3))
    return BlendRecipe(
        gain=_three(1 + 0.035 * three[0]),
        shift=_three(4 * three[1]),
        contrast=float(1 + 0.06 * random.normal()),
        sharpen=float(random.choice([0.0, 0.5, 0.9, -0.5, -0.8, -1.1])),
        side=round(detail / 192 * random.choice([0, 0, 80, 104, 128])),
        move=(float(random.uniform(-0.02, 0.02)), float(random.uniform(-0.012, 0.012))),
        zoom=float(random.uniform(0.96, 1.04)),
        swell=float(random.uniform(0.0, 0.05)),
        bend=tuple(float(one) for one in random.normal(size=32)),
        grow=float(random.uniform(-0.05, 0.03)),
        border=float(random.uniform(0.01, 0.10)),
        strength=float(random.choice([0.5, 0.75, 1.0, 1.0, 1.0])),
        lower=bool(random.random() < 0.2),
    )


def warp_recipe(random: np.random.Generator, detail: float = 192.0) -> BlendRecipe:
    """Of a face that was warped into place: a lower resolution than its own (``detail``) and nothing else."""
    return BlendRecipe(
        sharpen=float(random.choice([0.0, -0.6, -1.0])),
        side=max(12, int(detail * random.uniform(0.22, 0.58))),
        swell=float(random.uniform(0.0, 0.03)),
        bend=tuple(float(one) for one in random.normal(size=32)),
        grow=float(random.uniform(-0.06, 0.02)),
        border=float(random.uniform(0.01, 0.08)),
        lower=bool(random.random() < 0.2),
    )


def self_made(
    face: Pixels, points: NDArray[np.floating], recipe: BlendRecipe
) -> tuple[Pixels, NDArray[np.float32]]:
    """The fake, and the mask ``(S, S)`` in [0, 1] of what was replaced.

    Args:
        face: aligned face ``(S, S, 3)`` uint8 RGB.
        points: landmarks ``(468, 2)`` in its pixels.
    """
    side = face.shape[0]
    made = face.astype(np.float32)
    if recipe.side and recipe.side < side:
        small = cv2.resize(made, (recipe.side, recipe.side), interpolation=cv2.INTER_AREA)
        made = np.asarray(cv2.resize(small, (side, side), interpolation=cv2.INTER_CUBIC), np.float32)
    if recipe.sharpen:
        soft = cv2.GaussianBlur(made, (0, 0), abs(recipe.sharpen) if recipe.sharpen < 0 else 1.2)
        made = np.asarray(soft if recipe.sharpen < 0 else made + recipe.sharpen * (made - soft), np.float32)
    if any((*recipe.move, recipe.zoom - 1)):
        turn = cv2.getRotationMatrix2D((side / 2, side / 2), 0, recipe.zoom)
        turn[:, 2] += np.array(recipe.move) * side
        made = np.asarray(
            cv2.warpAffine(
                made, turn, (side, side), flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REFLECT_101
            ),
            np.float32,
        )
    made = ((made - 128) * recipe.contrast + 128) * np.array(recipe.gain, np.float32)
    made = made + np.array(recipe.shift, np.float32)
    mask = recipe_mask(points, side, recipe)
    whole = face + (made - face) * (mask * recipe.strength)[..., None]
    return np.clip(np.rint(whole), 0, 255).astype(np.uint8), mask


def recipe_mask(points: NDArray[np.floating], side: int, recipe: BlendRecipe) -> NDArray[np.float32]:
    """The hull of the landmarks (or of those from the nose down), bent, grown and soft inwards and outwards."""
    chosen = np.asarray(points, np.float32)
    if recipe.lower:
        chosen = chosen[chosen[:, 1] > float(np.median(chosen[[4, 2], 1]))]
    mask = np.asarray(face_mask(chosen, side), np.float32) / 255
    if recipe.swell:
        field = np.array(recipe.bend, np.float32).reshape(2, 4, 4) * recipe.swell * side / 2
        dx, dy = (cv2.resize(one, (side, side), interpolation=cv2.INTER_CUBIC) for one in field)
        rows, columns = np.mgrid[0:side, 0:side].astype(np.float32)
        mask = np.asarray(cv2.remap(mask, columns + dx, rows + dy, cv2.INTER_LINEAR), np.float32)
    reach = round(abs(recipe.grow) * side)
    if reach:
        disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * reach + 1,) * 2)
        mask = np.asarray((cv2.dilate if recipe.grow > 0 else cv2.erode)(mask, disc), np.float32)
    return np.asarray(
        np.clip(cv2.GaussianBlur(mask, (0, 0), max(0.5, recipe.border * side / 2)), 0, 1), np.float32
    )


def _three(values: NDArray[np.floating]) -> tuple[float, float, float]:
    return float(values[0]), float(values[1]), float(values[2])

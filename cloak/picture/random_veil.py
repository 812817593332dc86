"""The control of a veil: the same veil with random parameters, which nobody searched, as visible as a cloak may be."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from cloak.attack.regions import plan_patches
from cloak.detectors.geometry.patch import Patch
from cloak.picture.rounds import BACKGROUND, GRAINY, VEIL_FACE_SIDE
from cloak.pixels import to_tensor
from cloak.strength import Strength
from cloak.veils import VeilName, veil_of
from cloak.veils.background import add_background
from cloak.veils.base import Canvas, Veil
from cloak.veils.grain import spread_share
from cloak.veils.visibility import CEILINGS, Ceiling, Visibility
from provenance.errors import UsageError


def random_veil(
    pixels: np.ndarray,
    faces: Tensor,
    name: VeilName,
    strength: Strength,
    seed: int,
    *,
    like: np.ndarray | None = None,
) -> np.ndarray:
    """The picture under a veil with random parameters, its amplitude fitted to the ceilings of the strength.

    Args:
        pixels: uint8 ``(H, W, 3)``; without colours for black and white film.
        faces: ``(N, 4)``, in pixels, that a cloak would hide.
        name: of the veil.
        strength: how visible it may be.
        seed: of the parameters.
        like: a cloaked picture; the mean FLIP of each patch's faces becomes what it is there, whatever the ceilings.

    Returns:
        uint8 ``(H, W, 3)``.

    Raises:
        UsageError: plain noise, which has no parameters.
    """
    veil = veil_of(name)
    if veil is None:
        raise UsageError("plain noise is no veil", hint="its control is noise of equal energy")
    change = np.zeros(pixels.shape, np.int16)
    amplitudes = []
    for patch in plan_patches(pixels.shape[:2], faces, face_side=VEIL_FACE_SIDE):
        clean = _cut(pixels, patch)
        inside = patch.boxes(faces[list(patch.faces)])
        canvas = Canvas(clean, spread_share((patch.height, patch.width), inside), 1 / patch.scale)
        visibility = Visibility(clean, inside, 1 / patch.scale)
        parameters = veil.settle(canvas, veil.random(canvas, seed))

        def render(
            amplitude: float, canvas: Canvas = canvas, parameters: Tensor = parameters, veil: Veil = veil
        ) -> Tensor:
            return veil.render(canvas, parameters, amplitude)

        ceiling = CEILINGS[strength]
        if like is not None:
            ceiling = Ceiling(_face_flip(visibility, _cut(like, patch)), 1.0)
        amplitude = visibility.fit(render, ceiling, 0.05, tries=12)
        amplitudes.append((amplitude, patch.scale))
        noise = patch.to_picture_size(render(amplitude) - clean)[0].permute(1, 2, 0).numpy() * 255
        change[patch.top : patch.bottom, patch.left : patch.right] = np.rint(noise)
    if name in GRAINY and amplitudes:
        amplitude, scale = min(amplitudes)
        add_background(change, pixels, faces, veil, min(BACKGROUND, amplitude), scale, seed)
    result: np.ndarray = np.clip(pixels.astype(np.int16) + change, 0, 255).astype(np.uint8)
    return result


def _cut(pixels: np.ndarray, patch: Patch) -> Tensor:
    part = to_tensor(np.ascontiguousarray(pixels[patch.top : patch.bottom, patch.left : patch.right]))
    return patch.to_working_size(part)


def _face_flip(visibility: Visibility, picture: Tensor) -> float:
    """The largest mean FLIP of a face, which is what ceilings are about."""
    with torch.no_grad():
        return max(1e-3, *(float(face) for face, _ in visibility.errors(picture)))

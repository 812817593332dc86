"""The control of a veil: the same veil with random parameters, which nobody searched, as visible as a cloak may be."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from cloak.attack.regions import plan_patches
from cloak.detectors.geometry.patch import Patch
from cloak.picture.rounds import BACKGROUND, BACKGROUND_SHARE, GRAINY, VEIL_FACE_SIDE
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
        like: a cloaked picture; the mean FLIP of each face becomes what it is there, whatever the ceilings.

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
            amplitude: Tensor, canvas: Canvas = canvas, parameters: Tensor = parameters, veil: Veil = veil
        ) -> Tensor:
            return veil.render(canvas, parameters, amplitude)

        ceilings = [CEILINGS[strength].for_side(side) for side in visibility.sides]
        if like is not None:
            with torch.no_grad():
                seen = visibility.errors(_cut(like, patch))
            ceilings = [Ceiling(max(1e-3, float(face)), 1.0) for face, _ in seen]
        fitted = visibility.fit(render, ceilings, [0.05] * len(ceilings), tries=12)
        amplitudes.append((min(fitted), patch.scale))
        noise = (
            patch.to_picture_size(render(visibility.spread(fitted)) - clean)[0].permute(1, 2, 0).numpy() * 255
        )
        target = change[patch.top : patch.bottom, patch.left : patch.right]
        # as in a cloak: where patches meet, the larger change counts
        np.copyto(target, np.rint(noise).astype(np.int16), where=np.abs(noise) > np.abs(target))
    if name in GRAINY and amplitudes:
        amplitude, scale = min(amplitudes)
        amplitude = min(BACKGROUND, BACKGROUND_SHARE * amplitude)
        add_background(change, pixels, faces, veil, amplitude, scale, seed)
    result: np.ndarray = np.clip(pixels.astype(np.int16) + change, 0, 255).astype(np.uint8)
    return result


def _cut(pixels: np.ndarray, patch: Patch) -> Tensor:
    part = to_tensor(np.ascontiguousarray(pixels[patch.top : patch.bottom, patch.left : patch.right]))
    return patch.to_working_size(part)

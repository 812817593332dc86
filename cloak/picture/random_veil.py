"""The control of a veil: the same veil with random parameters, which nobody searched, as visible as a cloak may be."""

from __future__ import annotations

import numpy as np
from torch import Tensor

from cloak.attack.regions import plan_patches
from cloak.picture.rounds import BACKGROUND, GRAINY, VEIL_FACE_SIDE
from cloak.pixels import to_tensor
from cloak.strength import Strength
from cloak.veils import VeilName, veil_of
from cloak.veils.background import add_background
from cloak.veils.base import Canvas
from cloak.veils.grain import spread_share
from cloak.veils.search import VeilChange
from cloak.veils.visibility import CEILINGS, Visibility
from provenance.errors import UsageError


def random_veil(
    pixels: np.ndarray, faces: Tensor, name: VeilName, strength: Strength, seed: int
) -> np.ndarray:
    """The picture under a veil with random parameters, its amplitude fitted to the ceilings of the strength.

    Args:
        pixels: uint8 ``(H, W, 3)``; without colours for black and white film.
        faces: ``(N, 4)``, in pixels, that a cloak would hide.
        name: of the veil.
        strength: how visible it may be.
        seed: of the parameters.

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
        part = to_tensor(np.ascontiguousarray(pixels[patch.top : patch.bottom, patch.left : patch.right]))
        clean = patch.to_working_size(part)
        inside = patch.boxes(faces[list(patch.faces)])
        canvas = Canvas(clean, spread_share((patch.height, patch.width), inside), 1 / patch.scale)
        visibility = Visibility(clean, inside, 1 / patch.scale)
        state = VeilChange(veil, canvas, visibility, CEILINGS[strength], steps=1, seed=seed)
        amplitudes.append((state.amplitude, patch.scale))
        noise = patch.to_picture_size(state.noise)[0].permute(1, 2, 0).numpy() * 255
        change[patch.top : patch.bottom, patch.left : patch.right] = np.rint(noise)
    if name in GRAINY and amplitudes:
        amplitude, scale = min(amplitudes)
        add_background(change, pixels, faces, veil, min(BACKGROUND, amplitude * 0.4), scale, seed)
    result: np.ndarray = np.clip(pixels.astype(np.int16) + change, 0, 255).astype(np.uint8)
    return result

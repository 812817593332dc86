"""Composite the texture into the target's frame ("Synthesizing Obama", 2017, section 4.4).

In frontal view: render the target's face, match the texture's light to it, correct the texture's jaw line, and compute
the layers' masks. Then warp texture and masks into the frame by the head's shape and pose, and blend them there.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from provenance.errors import UsageError
from synth.lipsync.shape import LIP_POINTS, POINTS, Series, Track, pose_of, remove_pose
from synth.lipsync.texture.candidates import MOVING_JAW
from synth.lipsync.texture.frontal import Floats, Frontal, Pixels, sampled
from synth.lipsync.texture.jaw import CHIN_FOLLOWS, JawModel, corrected, goal_line
from synth.lipsync.texture.layers import (
    Colour,
    face_layer_mask,
    filled,
    lips_mask,
    neck_mask,
    stacked,
    torso_mask,
)
from synth.lipsync.texture.texture import lower_face

#: Nothing above this, eye distances below the eyes, is ever changed.
CHANGED_BELOW = 0.42
_MOST_GAIN = 1.35
_LIGHT = 0.30


@dataclass(frozen=True)
class CompositeOptions:
    """How frames are composited.

    Attributes:
        steady: weight of the previous frames in the running mean of light and masks, 0 (none) to below 1.
        chin_follows: how far the texture's chin is moved towards the target's, 0 to 1.
        light: give the texture the target's light.
    """

    steady: float = 0.6
    chin_follows: float = CHIN_FOLLOWS
    light: bool = True

    def __post_init__(self) -> None:
        if not 0 <= self.steady < 1 or not 0 <= self.chin_follows <= 1:
            raise UsageError(f"{self} is out of range", hint="0 <= steady < 1 and 0 <= chin_follows <= 1")


class Compositor:
    """Composites one person's footage, frame after frame in display order.

    Args:
        track: of the target.
        options: see :class:`CompositeOptions`.
        until: share of the track that the jaw model is fitted to.
    """

    def __init__(self, track: Track, options: CompositeOptions | None = None, *, until: float = 1.0) -> None:
        self.options = options or CompositeOptions()
        self.frontal = Frontal.of(track)
        self._jaws = JawModel(track, until)
        self._means: dict[str, Floats] = {}
        self._layers: tuple[Pixels, Floats, Floats, Floats] | None = None

    def layers(self) -> Pixels:
        """``(S, 2 S, 3)`` uint8: the parts of the last frame, black before the first.

        Left: the texture in the target's light with its jaw line corrected. Right: the masks, lower face red, torso
        green, neck blue.
        """
        side = self.frontal.side
        if self._layers is None:
            return np.zeros((side, 2 * side, 3), np.uint8)
        moved, *masks = self._layers
        return np.hstack([moved, np.rint(np.dstack(masks).clip(0, 1) * 255).astype(np.uint8)])

    def state(self) -> dict[str, NDArray[Any]]:
        """The running means, for :meth:`restore`."""
        return {name: value.copy() for name, value in self._means.items()}

    def restore(self, state: Mapping[str, NDArray[Any]]) -> None:
        """Continue from a :meth:`state`."""
        side = self.frontal.side
        shapes = {"light": (side, side, 3), "torso": (side, side), "face": (side, side), "skin": (4, 3)}
        for name, value in state.items():
            if shapes.get(name) != value.shape or not np.isfinite(value).all():
                raise UsageError(f"found no running mean of this target in {name[:40]!r}", hint="start anew")
        self._means = {name: np.asarray(value, np.float32) for name, value in state.items()}

    def compose(
        self,
        pixels: Pixels,
        landmarks: NDArray[np.floating],
        texture: Pixels,
        alpha: Floats,
        shape: NDArray[np.floating],
    ) -> Pixels:
        """The frame with the texture in it. Nothing above the nose's base or beside the face changes.

        Args:
            pixels: ``(H, W, 3)`` uint8, the target's frame.
            landmarks: ``(468, 3)`` of it, pixels.
            texture: ``(S, S, 3)`` uint8. alpha: ``(S, S)`` in [0, 1]: both of
                :func:`synth.lipsync.texture.texture.synthesize_textures`.
            shape: ``(36,)`` the texture's mouth.

        Raises:
            UsageError: other shapes.
        """
        frontal, side = self.frontal, self.frontal.side
        if landmarks.shape != (POINTS, 3) or texture.shape != (side, side, 3) or alpha.shape != (side, side):
            raise UsageError(
                f"found landmarks {landmarks.shape} and texture {texture.shape}, expected side {side}"
            )
        face = remove_pose(pose_of(landmarks, frontal.base), landmarks)
        filmed = frontal.pixels_of(face[list(MOVING_JAW)])
        lips = frontal.pixels_of(np.asarray(shape, np.float64).reshape(len(LIP_POINTS), 2))
        made = frontal.pixels_of(self._jaws.jaw(shape))
        target = frontal.frontal(pixels, landmarks)
        goal = goal_line(made, filmed, self.options.chin_follows)
        filmed_lips = frontal.pixels_of(face[list(LIP_POINTS)])
        if self.options.light:
            texture = self._lit(texture, target, alpha, lips, filmed_lips)
        moved, spots = corrected(frontal, texture, target, made, goal, lips)
        front = np.minimum(sampled(alpha, spots), np.maximum(lower_face(frontal, goal), 0))
        skin = self._skin(target, filmed)
        front = self._mean("face", face_layer_mask(frontal, target, moved, front, lips, skin))
        # the mean is late where a mouth opens fast, and the chin may end above the filmed lip
        front = np.maximum(front, lips_mask(frontal, lips, filmed_lips))
        neck = neck_mask(frontal, goal, filmed)
        torso = self._mean("torso", torso_mask(frontal, target, moved, skin, filmed))
        self._layers = moved, front, torso, neck
        return self._into(pixels, landmarks, moved, neck, torso, front)

    def _into(
        self,
        pixels: Pixels,
        landmarks: NDArray[np.floating],
        moved: Pixels,
        neck: Floats,
        torso: Floats,
        front: Floats,
    ) -> Pixels:
        """Warp into the frame, blend, and write into a copy."""
        frontal = self.frontal
        top, bottom, left, right = frontal.box(landmarks, (pixels.shape[0], pixels.shape[1]))
        if bottom - top < 8 or right - left < 8:
            return pixels.copy()
        back = frontal.back(landmarks, (top, bottom, left, right))
        limit = frontal.pixels_of(np.array([0.0, CHANGED_BELOW]))[1]
        allowed = (back[..., 1] >= limit) & (back > 1).all(-1) & (back < frontal.side - 1).all(-1)
        rows = np.flatnonzero(allowed.any(1))
        if not len(rows):
            return pixels.copy()
        low, high = int(rows[0]), int(rows[-1]) + 1
        back, allowed = back[low:high], allowed[low:high]
        masks = sampled(np.dstack([neck, torso, front]), back) * allowed[..., None]
        made = cv2.remap(
            moved, back[..., 0] - 0.5, back[..., 1] - 0.5, cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE
        )
        part = np.ascontiguousarray(pixels[top + low : top + high, left:right])
        # beyond its rows the texture is black and would bleed in through the pyramids: use the filmed picture there
        empty = sampled((moved.max(-1) > 0).astype(np.float32), back) < 0.99
        laid = np.asarray(np.where(empty[..., None], part, made), np.uint8)
        neck, torso, front = (np.ascontiguousarray(masks[..., one]) for one in range(3))
        picture = stacked(part, laid, neck, torso, np.where(empty, 0, front).astype(np.float32))
        # pyramids blend slightly beyond the masks: restore the frame's own pixels there
        reach = cv2.GaussianBlur(np.maximum(front, neck * (1 - torso)), (0, 0), 2.0)
        share = np.clip(reach * 4, 0, 1)[..., None] * allowed[..., None]
        result = pixels.copy()
        blended = np.rint(part + (picture.astype(np.float32) - part) * share)
        result[top + low : top + high, left:right] = np.clip(blended, 0, 255).astype(np.uint8)
        return result

    def _lit(
        self, texture: Pixels, target: Pixels, alpha: Floats, lips: Series, filmed_lips: Series
    ) -> Pixels:
        """The texture with the target's light: a smooth gain per channel, estimated where both show skin."""
        frontal = self.frontal
        weight = alpha * (texture.max(-1) > 0)
        for ring in (lips, filmed_lips):
            middle = ring[:12].mean(0)
            weight = weight * (1 - filled(middle + 1.25 * (ring[:12] - middle), frontal.side))
        sigma = _LIGHT * frontal.unit

        def spread(picture: NDArray[Any]) -> Floats:
            weighted = picture.astype(np.float32) * weight[..., None]
            return np.asarray(cv2.GaussianBlur(weighted, (0, 0), sigma))

        rough = (spread(target) + 0.02) / (spread(texture) + 0.02)
        gain = self._mean("light", np.clip(rough, 1 / _MOST_GAIN, _MOST_GAIN))
        return np.asarray(np.clip(np.rint(texture * gain), 0, 255), np.uint8)

    def _skin(self, target: Pixels, filmed: Series) -> Colour:
        """The colours of the target's chin and cheeks."""
        frontal = self.frontal
        inside = lower_face(frontal, filmed) > 0.8
        if inside.sum() >= 64 or "skin" not in self._means:
            chosen = target[inside] if inside.sum() >= 64 else target.reshape(-1, 3)
            seen = Colour.of(chosen, (14.0, 4.0, 4.0))
            self._mean("skin", np.vstack([seen.mean, seen.inverse]).astype(np.float32))
        kept = self._means["skin"].astype(np.float64)
        return Colour(kept[0], kept[1:])

    def _mean(self, name: str, value: Floats) -> Floats:
        before = self._means.get(name)
        if before is not None:
            value = before + (value - before) * np.float32(1 - self.options.steady)
        self._means[name] = np.asarray(value, np.float32)
        return self._means[name]

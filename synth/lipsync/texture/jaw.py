"""Warp the texture's jaw line onto the target's, so that no second one shows ("Synthesizing Obama", 2017, section 4.4):
first by landmarks, then by optical flow, both along the jaw only.
"""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from provenance.errors import NoFaceError
from synth.lipsync.shape import LIP_POINTS, Series, Track, frontalised
from synth.lipsync.texture.candidates import MOVING_JAW
from synth.lipsync.texture.frontal import Floats, Frontal, Pixels, sampled, spline

#: Reach of the warp beside the jaw line, and the largest flow, eye distances.
_REACH, _MOST_FLOW = 0.16, 0.08
#: How far the chin's middle moves to the target's; the jaw's ends move all the way.
CHIN_FOLLOWS = 0.5
_EVERY = 6
_STILL = (2, 98, 327, 50, 280, 33, 263)
_RIDGE = 1e-2


class JawModel:
    """Predicts the jaw line from the mouth shape; a ridge regression on the person's footage.

    Args:
        track: of the footage.
        until: share of it, from the beginning, that is used; below 1 leaves a held-out end.

    Raises:
        NoFaceError: that share shows no face.
    """

    def __init__(self, track: Track, until: float = 1.0) -> None:
        learned = np.arange(len(track.times)) < max(2, round(until * len(track.times)))
        if not (track.found & learned).any():
            raise NoFaceError(
                "no face in the part of the footage that is learned from",
                hint="name footage that shows it earlier",
            )
        face = frontalised(track)[track.found & learned]
        shapes = face[:, list(LIP_POINTS), :2].reshape(len(face), -1)
        jaws = face[:, list(MOVING_JAW), :2].reshape(len(face), -1)
        self._shape, self._jaw = shapes.mean(0), jaws.mean(0)
        a, b = shapes - self._shape, jaws - self._jaw
        self._turn = np.linalg.solve(a.T @ a + _RIDGE * len(a) * np.eye(a.shape[1]) * a.var(), a.T @ b)

    def jaw(self, shape: NDArray[np.floating]) -> Series:
        """``(K, 2)`` places of :data:`MOVING_JAW` in the person's frame for a mouth ``(36,)``."""
        line = self._jaw + (np.asarray(shape, np.float64).ravel() - self._shape) @ self._turn
        return np.asarray(line.reshape(-1, 2))


def goal_line(made: Series, filmed: Series, follow: float = CHIN_FOLLOWS) -> Series:
    """The goal of the jaw line: the target's at its ends, ``follow`` of the way to it at the chin.

    Args:
        made, filmed: ``(K, 2)``: the texture's and the target's.
    """
    share = np.abs(np.linspace(-1, 1, len(made)))[:, None]
    return np.asarray(made + (filmed - made) * (follow + (1 - follow) * share**2))


def corrected(
    frontal: Frontal, texture: Pixels, target: Pixels, made: Series, goal: Series, lips: Series
) -> tuple[Pixels, Floats]:
    """The texture with its jaw line from ``made`` to ``goal``; the lips and the middle of the face stay.

    Args:
        frontal: their frame.
        texture, target: ``(S, S, 3)`` uint8.
        made, goal: ``(K, 2)`` jaw lines, pixels. lips: ``(18, 2)``, pixels.

    Returns:
        the texture, and the map ``(S, S, 2)`` it was sampled with.
    """
    side = frontal.side
    still = np.concatenate([lips, frontal.pixels_of(frontal.base[list(_STILL)])])
    edge = np.array(
        [[x, side] for x in np.linspace(0, side, 5)] + [[s, y] for s in (0, side) for y in (0, side / 2)]
    )
    spots = np.concatenate([goal, still, edge])
    moves = np.concatenate([made - goal, np.zeros((len(still) + len(edge), 2))])
    axis = np.arange(0, side + _EVERY, _EVERY)
    x, y = np.meshgrid(axis, axis)
    coarse = spline(spots / side, moves, np.stack([x, y], -1).reshape(-1, 2) / side, 1e-4)
    fine = (np.arange(side, dtype=np.float32) + np.float32(0.5)) / _EVERY
    shift = cv2.remap(
        coarse.reshape(*x.shape, 2).astype(np.float32), *np.meshgrid(fine, fine), cv2.INTER_LINEAR
    )
    places = np.stack(np.meshgrid(*(np.arange(side, dtype=np.float32) + np.float32(0.5),) * 2), -1)
    spots_read = np.asarray(places + shift, np.float32)
    rough = sampled(texture, spots_read)
    flow = _flow(target, rough)
    band = jaw_band(goal, side, frontal.unit)
    # the flow must not move the chin further than ``follow`` allows: it has full weight at the jaw's ends only
    length = np.linalg.norm(flow, axis=-1, keepdims=True)
    limit = np.float32(_MOST_FLOW * frontal.unit)
    flow = flow * np.minimum(1, limit / np.maximum(length, 1e-6)) * band[..., None]
    read = np.asarray(spots_read + flow, np.float32)
    return np.asarray(sampled(texture, read), np.uint8), read


def jaw_band(line: Series, side: int, unit: float) -> Floats:
    """The alpha map of the jaw line: ``(side, side)``, 1 on it, fading over :data:`_REACH`; weak at the chin's middle,
    where the texture keeps its own jaw.
    """
    canvas = np.full((side, side), 255, np.uint8)
    cv2.polylines(canvas, [np.round((line - 0.5) * 16).astype(np.int32)], False, 0, 1, cv2.LINE_8, 4)
    away = cv2.distanceTransform(canvas, cv2.DIST_L2, 3) / np.float32(_REACH * unit)
    middle = float(line[len(line) // 2, 0])
    beside = np.abs(np.arange(side) + 0.5 - middle) / max(float(np.ptp(line[:, 0])) / 2, 1.0)
    strength = np.clip(0.25 + 0.75 * beside**2, 0, 1).astype(np.float32)
    return np.asarray(np.exp(-(away**2)) * strength, np.float32)


def _flow(target: Pixels, texture: Pixels) -> Floats:
    """Where in the texture each place of the target is, smooth."""
    finder = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_FAST)
    grey = [cv2.cvtColor(one, cv2.COLOR_RGB2GRAY) for one in (target, texture)]
    flow: Any = finder.calc(grey[0], grey[1], None)  # type: ignore[call-overload]
    return np.asarray(cv2.GaussianBlur(flow, (0, 0), 3), np.float32)

"""Teeth: fine detail inside the lips, which medians blur, from the person's sharpest frames with an open mouth.

Detail is added where the median is bright and the proxy shows a tooth too, so that a dark mouth stays dark.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from synth.lipsync.shape import CORNERS, LIP_POINTS, Series, opening
from synth.lipsync.texture.candidates import Candidates, warped_onto
from synth.lipsync.texture.frontal import Floats, Pixels

PROXIES = 8
#: Least opening of a proxy, of all openings; detail finer than this, eye distances; cost of another proxy.
_OPEN, _FINE, _SWITCH = 0.5, 0.035, 0.05
_INNER = (CORNERS[0], 12, 13, 14, CORNERS[1], 15, 16, 17)


@dataclass
class Teeth:
    """Teeth proxies, and the proxy of each target shape.

    Attributes:
        candidates: of the person.
        proxies: ``(P,)`` positions among the candidates.
        shares: ``(N, P)`` of each proxy in each frame, rows sum to 1.
        levels: whiteness below which a pixel is no tooth, and above which it is one.
    """

    candidates: Candidates
    proxies: NDArray[np.int64]
    shares: Series
    levels: tuple[float, float] = (0.0, 1.0)

    @classmethod
    def of(cls, candidates: Candidates, wanted: Series) -> Teeth:
        """Choose proxies, and for each of the shapes ``(N, 36)`` one of them, without changing often."""
        proxies = choose_proxies(candidates)
        distances = np.linalg.norm(wanted[:, None] - candidates.shapes[proxies][None], axis=-1)
        path = steady_path(distances, _SWITCH)
        shares = np.eye(len(proxies))[path]
        if len(shares) > 2:
            padded = np.concatenate([shares[:1], shares, shares[-1:]])
            shares = 0.25 * padded[:-2] + 0.5 * padded[1:-1] + 0.25 * padded[2:]
        return cls(candidates, proxies, shares, white_levels(candidates, proxies))

    def into(self, made: Pixels, goal: Series, row: int, amount: float) -> Pixels:
        """The texture ``(rows, S, 3)`` with the proxy's detail inside of its lips.

        Args:
            goal: ``(K, 2)`` lips and jaw of the texture, pixels of the frontal frame.
            row: which of the wanted shapes it is.
            amount: 0 to 1.
        """
        unit = self.candidates.frontal.unit
        inside = inner_mouth(goal, self.candidates.frontal.side, unit)[
            self.candidates.rows[0] : self.candidates.rows[1]
        ]
        if inside.max() < 0.05:
            return made
        used = np.flatnonzero(self.shares[row] > 0.01)
        warped = warped_onto(self.candidates, self.proxies[used], goal).astype(np.float32)
        proxy = np.tensordot(self.shares[row, used].astype(np.float32), warped, 1)
        sigma = _FINE * unit
        rough = cv2.GaussianBlur(proxy, (0, 0), sigma)
        smooth = cv2.GaussianBlur(made.astype(np.float32), (0, 0), sigma)
        bright = self.levels
        teeth = np.minimum(_between(whiteness(smooth), bright), _between(whiteness(rough), bright))
        share = inside * teeth * np.float32(amount)
        changed = made + (smooth + proxy - rough - made) * share[..., None]
        return np.clip(np.rint(changed), 0, 255).astype(np.uint8)


def whiteness(picture: NDArray[np.integer | np.floating]) -> Floats:
    """``(H, W)``: the least of the three channels, levels. Teeth are bright in all; lips, gums and tongue lack green
    and blue, and the dark of the mouth lacks everything.
    """
    return np.asarray(picture.min(-1), np.float32)


def white_levels(candidates: Candidates, proxies: NDArray[np.int64]) -> tuple[float, float]:
    """The two levels of :class:`Teeth`: a quarter and two thirds of the way from the darkest to the brightest tenth
    inside the proxies' lips.
    """
    side, unit, top = candidates.frontal.side, candidates.frontal.unit, candidates.rows[0]
    seen = []
    for one in proxies:
        inside = inner_mouth(candidates.points[one][: len(LIP_POINTS)], side, unit)[top:] > 0.5
        soft = cv2.GaussianBlur(candidates.textures[one].astype(np.float32), (0, 0), _FINE * unit)
        seen.append(whiteness(soft)[inside])
    values = np.concatenate(seen) if seen else np.zeros(0)
    if len(values) < 12:
        return 0.0, 1.0
    dark, bright = np.percentile(values, (10, 90))
    return float(dark + 0.25 * (bright - dark)), float(dark + 0.67 * (bright - dark) + 1e-3)


def _between(values: Floats, levels: tuple[float, float]) -> Floats:
    """A linear ramp from 0 to 1 between two levels."""
    return np.asarray(np.clip((values - levels[0]) / max(levels[1] - levels[0], 1e-3), 0, 1), np.float32)


def inner_mouth(goal: Series, side: int, unit: float) -> Floats:
    """``(side, side)`` in [0, 1] inside the inner lips, faint where they nearly touch."""
    ring = goal[list(_INNER)].copy()
    # the ring has the corners of the outer lips: move them inwards
    middle = ring.mean(0)
    for place in (0, 4):
        ring[place] = middle + 0.85 * (ring[place] - middle)
    mask = np.zeros((side, side), np.uint8)
    cv2.fillPoly(mask, [np.round((ring - 0.5) * 16).astype(np.int32)], 255, cv2.LINE_AA, 4)
    gap = float(np.linalg.norm(goal[13] - goal[16])) / unit
    strength = float(np.clip((gap - 0.03) / 0.05, 0, 1))
    return np.asarray(cv2.GaussianBlur(mask.astype(np.float32) / 255, (0, 0), 0.015 * unit) * strength)


def choose_proxies(candidates: Candidates, count: int = PROXIES) -> NDArray[np.int64]:
    """``(P,)`` candidates with an open, sharp mouth: the sharpest of each class of opening."""
    gaps = opening(candidates.shapes)
    order = np.argsort(gaps)[int(len(gaps) * _OPEN) :]
    classes = [part for part in np.array_split(order, min(count, len(order))) if len(part)]
    return np.array(
        [part[int(np.argmax([sharpness(candidates, int(one)) for one in part]))] for part in classes]
    )


def sharpness(candidates: Candidates, one: int) -> float:
    """Variance of the Laplacian inside the lips, levels squared."""
    side, unit = candidates.frontal.side, candidates.frontal.unit
    inside = inner_mouth(candidates.points[one][: len(LIP_POINTS)], side, unit)[candidates.rows[0] :] > 0.5
    if inside.sum() < 12:
        return 0.0
    grey = cv2.cvtColor(candidates.textures[one], cv2.COLOR_RGB2GRAY)
    return float(cv2.Laplacian(grey, cv2.CV_32F)[inside].var())


def steady_path(costs: Series, switch: float) -> NDArray[np.int64]:
    """``(N,)``: a column for each row of the costs ``(N, P)``, with the least sum of costs and of a cost for each
    change (Viterbi).
    """
    count = len(costs)
    if not count:
        return np.zeros(0, np.int64)
    total, back = costs[0].copy(), np.zeros(costs.shape, np.int64)
    for row in range(1, count):
        best = int(np.argmin(total))
        stay = total <= total[best] + switch
        back[row] = np.where(stay, np.arange(costs.shape[1]), best)
        total = np.where(stay, total, total[best] + switch) + costs[row]
    path = np.empty(count, np.int64)
    path[-1] = int(np.argmin(total))
    for row in range(count - 1, 0, -1):
        path[row - 1] = back[row, path[row]]
    return path

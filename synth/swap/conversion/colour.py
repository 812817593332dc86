"""Give one face the colours of another. How to change them is one vector of numbers, so that it can be smoothed.

* ``reinhard``: mean and spread of each channel of CIELAB (Reinhard et al., "Color transfer between images", 2001).
* ``linear``: mean and covariance of RGB by the Monge-Kantorovich map (Pitie and Kokaram, "The linear Monge-Kantorovitch
  linear colour mapping for example-based colour transfer", CVMP 2007).
* ``histogram``: each channel's distribution.
* ``none``.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from provenance.errors import UsageError

METHODS = ("reinhard", "linear", "histogram", "none")
_MOST_GAIN = 1.5
_KNOTS = 64
Picture = NDArray[np.float32]
Vector = NDArray[np.float64]


def fit(method: str, made: Picture, goal: Picture, weight: NDArray[np.float32]) -> Vector:
    """How to change ``made`` so that it has ``goal``'s colours.

    Args:
        method: of :data:`METHODS`.
        made, goal: ``(H, W, 3)`` float32 RGB in [0, 1].
        weight: ``(H, W)`` in [0, 1]: where to look. Where it is 0 everywhere, nothing is changed.

    Returns:
        a vector for :func:`apply`; those of one method can be averaged.

    Raises:
        UsageError: no such method.
    """
    if method not in METHODS:
        raise UsageError(f"no colour match is called {method[:40]!r}", hint="one of " + ", ".join(METHODS))
    inside = weight > 0.5
    if method == "none" or int(inside.sum()) < 16:
        return identity(method)
    if method == "reinhard":
        a, b = _lab(made)[inside].astype(np.float64), _lab(goal)[inside].astype(np.float64)
        gain = np.clip(b.std(0) / np.maximum(a.std(0), 1e-3), 1 / _MOST_GAIN, _MOST_GAIN)
        return np.concatenate([gain, b.mean(0) - gain * a.mean(0)])
    a, b = made[inside].astype(np.float64), goal[inside].astype(np.float64)
    if method == "linear":
        turn = _monge(np.cov(a.T), np.cov(b.T))
        return np.concatenate([turn.ravel(), b.mean(0) - turn @ a.mean(0)])
    shares = np.linspace(0, 1, 4 * _KNOTS)
    places = np.linspace(0, 1, _KNOTS)
    curves = []
    for channel in range(3):
        levels = np.maximum.accumulate(np.quantile(a[:, channel], shares) + np.arange(len(shares)) * 1e-9)
        target = np.quantile(b[:, channel], shares)
        # beyond what was seen, the curve goes on in parallel to the diagonal
        inner = np.interp(places, levels, target)
        inner = np.where(places < levels[0], target[0] + places - levels[0], inner)
        curves.append(np.where(places > levels[-1], target[-1] + places - levels[-1], inner))
    return np.concatenate(curves)


def identity(method: str) -> Vector:
    """The vector that changes nothing."""
    if method == "reinhard":
        return np.array([1.0, 1, 1, 0, 0, 0])
    if method == "linear":
        return np.concatenate([np.eye(3).ravel(), np.zeros(3)])
    if method == "histogram":
        return np.tile(np.linspace(0, 1, _KNOTS), 3)
    return np.zeros(0)


def apply(method: str, made: Picture, vector: Vector) -> Picture:
    """Change the colours of ``(H, W, 3)`` float32 RGB in [0, 1]; the result is in [0, 1] too."""
    if method == "reinhard":
        lab = _lab(made) * vector[:3].astype(np.float32) + vector[3:].astype(np.float32)
        changed = cv2.cvtColor(np.asarray(lab, np.float32), cv2.COLOR_LAB2RGB)
    elif method == "linear":
        changed = made @ vector[:9].reshape(3, 3).T.astype(np.float32) + vector[9:].astype(np.float32)
    elif method == "histogram":
        places, curves = np.linspace(0, 1, _KNOTS), vector.reshape(3, _KNOTS)
        changed = np.stack([np.interp(made[..., one], places, curves[one]) for one in range(3)], -1)
    else:
        return made
    return np.clip(changed, 0, 1).astype(np.float32)


def _lab(pictures: Picture) -> Picture:
    return np.asarray(cv2.cvtColor(np.ascontiguousarray(pictures), cv2.COLOR_RGB2LAB), np.float32)


def _monge(a: Vector, b: Vector) -> Vector:
    """The symmetric matrix T with ``T a T = b``; its gains are bounded."""
    a = a + np.eye(3) * 1e-5
    values, vectors = np.linalg.eigh(a)
    root = (vectors * np.sqrt(values)) @ vectors.T
    inverse = (vectors / np.sqrt(values)) @ vectors.T
    inner_values, inner = np.linalg.eigh(root @ b @ root)
    turn = inverse @ ((inner * np.sqrt(np.maximum(inner_values, 0))) @ inner.T) @ inverse
    gains, axes = np.linalg.eigh((turn + turn.T) / 2)
    return np.asarray((axes * np.clip(gains, 1 / _MOST_GAIN, _MOST_GAIN)) @ axes.T)

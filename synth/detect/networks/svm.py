"""A support vector machine, evaluated: trained elsewhere, kept as plain JSON, never as a pickle."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from provenance.errors import CorruptMediaError

Floats = NDArray[np.float64]
SCHEMA = "veilmark.svm/1"
_MOST = 20_000


@dataclass(frozen=True)
class SupportVectorMachine:
    """``sum(dual * exp(-gamma * |x - support|^2)) + intercept`` of standardised features; above 0 speaks for a fake.

    Attributes:
        features: names.
        mean, scale: ``(F,)`` that features are standardised with.
        support: ``(S, F)`` standardised.
        dual: ``(S,)``.
        gamma: of the radial kernel.
        intercept: bias.
        slope, offset: logistic calibration of the decision value, fitted on people the machine had not seen.
        about: how it was made.
    """

    features: tuple[str, ...]
    mean: Floats
    scale: Floats
    support: Floats
    dual: Floats
    gamma: float
    intercept: float
    slope: float = 1.0
    offset: float = 0.0
    about: str = ""

    def decide(self, values: Floats) -> Floats:
        """Decision values ``(N,)`` of features ``(N, F)``."""
        x = (np.atleast_2d(values) - self.mean) / self.scale
        apart = ((x[:, None] - self.support[None]) ** 2).sum(-1)
        return np.asarray(np.exp(-self.gamma * apart) @ self.dual + self.intercept)

    def to_json(self) -> dict[str, Any]:
        rounded = {
            name: np.round(getattr(self, name), 6).tolist() for name in ("mean", "scale", "support", "dual")
        }
        return {
            "schema": SCHEMA,
            "features": list(self.features),
            **rounded,
            "gamma": self.gamma,
            "intercept": self.intercept,
            "slope": self.slope,
            "offset": self.offset,
            "about": self.about,
        }

    @classmethod
    def from_json(cls, data: Any) -> SupportVectorMachine:
        """Read :meth:`to_json`'s.

        Raises:
            CorruptMediaError: it is something else.
        """
        try:
            if data["schema"] != SCHEMA:
                raise ValueError(f"its schema is {str(data['schema'])[:60]!r}, expected {SCHEMA!r}")
            features = tuple(str(name)[:80] for name in data["features"])
            mean, scale, support, dual = (
                np.array(data[name], np.float64) for name in ("mean", "scale", "support", "dual")
            )
            numbers = [float(data[name]) for name in ("gamma", "intercept", "slope", "offset")]
            if not (
                mean.shape == scale.shape == (len(features),)
                and support.ndim == 2
                and support.shape == (len(dual), len(features))
                and len(dual) <= _MOST
                and all(np.isfinite(one).all() for one in (mean, scale, support, dual, np.array(numbers)))
                and (scale > 0).all()
                and numbers[0] > 0
            ):
                raise ValueError("its numbers do not fit each other")
        except (KeyError, TypeError, ValueError, OverflowError) as error:
            raise CorruptMediaError(f"this is no support vector machine: {str(error)[:200]}") from error
        gamma, intercept, slope, offset = numbers
        about = str(data.get("about", ""))[:2000]
        return cls(features, mean, scale, support, dual, gamma, intercept, slope, offset, about)


def loads(text: bytes) -> SupportVectorMachine:
    """From JSON text.

    Raises:
        CorruptMediaError: it is something else.
    """
    try:
        data = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise CorruptMediaError(f"this is no JSON: {str(error)[:200]}") from error
    return SupportVectorMachine.from_json(data)

"""The three strengths."""

from __future__ import annotations

from enum import StrEnum


class Strength(StrEnum):
    """How much visible change a person accepts for how much protection."""

    LOW = "low"
    MID = "mid"
    HIGH = "high"

    @property
    def levels(self) -> int:
        """The L-infinity budget in levels of 255."""
        return {Strength.LOW: 8, Strength.MID: 12, Strength.HIGH: 16}[self]

    @property
    def epsilon(self) -> float:
        """The L-infinity budget for pictures in [0, 1]."""
        return self.levels / 255

    @property
    def smooth_share(self) -> float:
        """The share of the budget that perfectly smooth skin gets; see :mod:`cloak.budget`."""
        return {Strength.LOW: 1.0, Strength.MID: 0.8, Strength.HIGH: 0.7}[self]

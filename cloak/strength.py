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
        """The share of the budget that perfectly smooth skin gets; see :mod:`cloak.attack.budget`."""
        return {Strength.LOW: 1.0, Strength.MID: 0.85, Strength.HIGH: 0.75}[self]

    @property
    def chroma(self) -> float:
        """The share of a step's changes of colour that is kept. Blotches of colour on skin are what shows most; without
        them less room is left, and at ``low`` and ``mid`` faces are found again: see docs/research/strengths.md.
        """
        return {Strength.LOW: 1.0, Strength.MID: 1.0, Strength.HIGH: 0.7}[self]

    @property
    def face_psnr(self) -> float:
        """PSNR in dB that the crop of no hidden face shall fall below, before encoding."""
        return {Strength.LOW: 31.3, Strength.MID: 28.8, Strength.HIGH: 26.3}[self]

    @property
    def energy(self) -> float:
        """The root mean square of the noise over a face that ``face_psnr`` allows, for pictures in [0, 1]."""
        return float(10 ** (-self.face_psnr / 20))

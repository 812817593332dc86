"""What is published: clean footage, cloaked footage, and the control of each cloak."""

from __future__ import annotations

from dataclasses import dataclass

from cloak.veils.names import VeilName
from synth.measure.conditions import NOISE, RANDOM


@dataclass(frozen=True)
class Cloaked:
    """One cloak of the footage.

    Attributes:
        veil: what it looks like. strength: how visible it may be. seed: of its search and of its control.
        several: other seeds are measured too, so that the name says which this is.
    """

    veil: VeilName
    strength: str
    seed: int
    several: bool = False

    @property
    def name(self) -> str:
        """``film mid``, or ``film mid, cloak seed 1``."""
        name = f"{self.veil.value} {self.strength}"
        return f"{name}, cloak seed {self.seed}" if self.several else name

    @property
    def control(self) -> str:
        """The control's name: of plain noise, noise of equal energy; of a veil, the same veil with random parameters
        that are as visible.
        """
        return (NOISE if self.veil is VeilName.NOISE else RANDOM) + self.name


def control_in_words(control: str) -> str:
    """Of a control's name, or of nothing."""
    return "an equally visible random veil" if control.startswith(RANDOM) else "random noise of equal energy"

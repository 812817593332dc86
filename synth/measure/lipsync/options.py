"""Options of ``measure lipsync``."""

from __future__ import annotations

from dataclasses import dataclass

from provenance.errors import UsageError
from synth.measure.options import ExperimentOptions


@dataclass(frozen=True)
class LipsyncExperimentOptions(ExperimentOptions):
    """One experiment with a lip-sync; see :class:`synth.measure.options.ExperimentOptions`.

    Every frame is published, since sound and mouth must lie side by side.

    Attributes:
        parts: 3 to 20: the footage is cut into so many equal parts, and each lip-sync is made without another one.
    """

    parts: int = 5

    def __post_init__(self) -> None:
        super().__post_init__()
        if any(one.one_shot for one in self.parsed):
            raise UsageError("the one-shot generator swaps faces", hint="leave one-shot out of --attackers")
        if any(one.share for one in self.parsed):
            raise UsageError(
                "a clip cannot be mixed of clean and cloaked frames", hint="leave mixes: out of --attackers"
            )
        if not 3 <= self.parts <= 20:
            raise UsageError(
                f"{self.parts} parts of the footage, expected 3 to 20", hint="give, say, --parts 5"
            )

    @property
    def repeats(self) -> tuple[int, ...]:
        return tuple(range(1, self.parts + 1))

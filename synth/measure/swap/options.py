"""Options of ``measure swap``, and its presets."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from provenance.errors import UsageError
from synth.measure.conditions import CLEANING
from synth.measure.options import ExperimentOptions
from synth.swap.config import Preset, preset
from synth.swap.features import available

#: A spread cannot be told from fewer generators.
FEWEST_SEEDS = 3


@dataclass(frozen=True)
class SwapExperimentOptions(ExperimentOptions):
    """One experiment with a face swapper; see :class:`synth.measure.options.ExperimentOptions`.

    Attributes:
        frames: of the person published, and of the target learned from.
        preset: of the generator.
        steps: of each training; every training takes exactly as many. None for the preset's own.
        seeds: of the generators.
        people: footage of further people, from whom the one-shot attacker's generator learns besides.
        one_shot_steps: of that generator's training.
    """

    frames: int | None = 100
    held_out: int | None = 40
    preset: str = "tiny"
    steps: int | None = 800
    seeds: tuple[int, ...] = (1, 2, 3)
    people: tuple[Path, ...] = ()
    one_shot_steps: int = 1500

    def __post_init__(self) -> None:
        super().__post_init__()
        preset(self.preset).with_steps(self.steps)
        if len(set(self.seeds)) != len(self.seeds) or not self.seeds:
            raise UsageError("seeds must differ from each other", hint="give, say, --seeds 1,2,3")

    @property
    def repeats(self) -> tuple[int, ...]:
        return self.seeds

    def generator(self) -> Preset:
        """The preset, changed so that every training takes the same steps (no phase ends early), with a feature
        network that is installed.
        """
        chosen = preset(self.preset).with_steps(self.steps)
        if chosen.features not in available():
            chosen = replace(chosen, features=available()[0])
        recipe = replace(chosen.recipe, patience=1_000_000, critic_accuracy=2.0)
        return replace(chosen, recipe=recipe)

    @property
    def size(self) -> int:
        """Side of the generator's pictures, pixels."""
        return self.generator().architecture.size

    def to_json(self) -> dict[str, Any]:
        people = [one.name for one in self.people]
        return super().to_json() | {"generator": self.generator().to_json(), "people": people}


#: What two cores do in some hours, and what a GPU does.
PRESETS: dict[str, SwapExperimentOptions] = {
    "tiny": SwapExperimentOptions(),
    "full": SwapExperimentOptions(
        preset="small",
        steps=None,
        strengths=("low", "mid", "high"),
        veils=("film", "noise"),
        seeds=tuple(range(1, 11)),
        attackers=(
            "naive",
            "attacked",
            *(f"cleans:{name}" for name in CLEANING),
            "other:mtcnn",
            *(f"mixes:{share}" for share in (10, 25, 50, 75)),
        ),
        frames=2000,
        held_out=250,
        side=1280,
    ),
}

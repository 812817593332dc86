"""What ``measure swap`` can be asked for."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from cloak import detectors as detector_list
from cloak.strength import Strength
from provenance.errors import UsageError
from synth.extraction.finder import DEFAULT_DETECTORS
from synth.measure.conditions import CLEANING
from synth.swap.config import Preset, preset

#: Families whose landmarks begin with the eyes, so that faces can be extracted with them.
WITH_EYES = ("blazeface", "centerface", "cascade", "retinaface")
CLEAN = "clean"


@dataclass(frozen=True)
class Attacker:
    """What somebody does with the published data before training on it.

    Attributes:
        name: ``naive``, ``cleans:jpeg|blur|denoise|resize``, ``other:DETECTOR`` or ``mixes:PERCENT``.
        cleaning: a name of :data:`synth.measure.conditions.CLEANING`, or None.
        detectors: asked in turn until one finds a face.
        share: of clean data that is mixed in, 0 to 1.
    """

    name: str
    cleaning: str | None = None
    detectors: tuple[str, ...] = DEFAULT_DETECTORS
    share: float = 0.0

    @classmethod
    def parse(cls, text: str) -> Attacker:
        """From its name.

        Raises:
            UsageError: there is none of that name.
        """
        kind, _, detail = text.partition(":")
        if kind == "naive" and not detail:
            return cls("naive")
        if kind == "cleans" and detail in CLEANING:
            return cls(text, cleaning=detail)
        if kind == "other" and detail:
            if detector_list.info(detail).family not in WITH_EYES:
                raise UsageError(
                    f"{detail} cannot tell where the eyes are", hint="name mtcnn or a retinaface"
                )
            return cls(text, detectors=(detail,))
        if kind == "mixes" and detail.isdecimal() and 0 <= int(detail) <= 100:
            return cls(text, share=int(detail) / 100)
        raise UsageError(
            f"no attacker is called {text[:60]!r}",
            hint=f"naive, cleans:{'|'.join(CLEANING)}, other:DETECTOR or mixes:0..100",
        )

    @property
    def sentence(self) -> str:
        """For a person."""
        if self.cleaning:
            return f"cleans the data first ({self.cleaning})"
        if self.share:
            return f"has {100 * self.share:.0f} % of the data clean"
        if self.detectors != DEFAULT_DETECTORS:
            return f"extracts faces with {self.detectors[0]} instead"
        return "takes the data as published"


@dataclass(frozen=True)
class SwapOptions:
    """One measurement.

    Attributes:
        preset: of the generator.
        steps: of each training; every training takes exactly as many.
        strengths: of the cloak.
        attackers: see :class:`Attacker`.
        seeds: of the generators, at least three.
        frames: at most so many frames (or pictures) of the person are published, and of the target learned from.
        held_out: at most so many held-out frames of each are measured on.
        side: longer side of what is published, pixels.
        crf: of the published videos.
        against: detectors that the cloak is made against; None for all installed that can be attacked, except the
            families that some attacker extracts with (``other:``).
        cloak_steps, cloak_rounds: of the cloak's search.
        cloak_seed: of the cloak and of the noise.
        control: also train on data with random noise of equal energy.
        weights: a folder to look in for weights first.
        device: where torch computes.
    """

    preset: str = "tiny"
    steps: int | None = 400
    strengths: tuple[str, ...] = ("mid",)
    attackers: tuple[str, ...] = ("naive", "other:mtcnn")
    seeds: tuple[int, ...] = (1, 2, 3)
    frames: int = 160
    held_out: int = 60
    side: int = 640
    crf: int = 20
    against: tuple[str, ...] | None = None
    cloak_steps: int = 60
    cloak_rounds: int = 3
    cloak_seed: int = 0
    control: bool = True
    weights: Path | None = None
    device: str = "cpu"

    def __post_init__(self) -> None:
        preset(self.preset).with_steps(self.steps)
        if not self.strengths:
            raise UsageError("no strength is named", hint="choose among low, mid and high")
        if not self.attackers or self.against == ():
            raise UsageError(
                "no attacker, or no detector, is named", hint="leave the option out for the default"
            )
        for name in self.strengths:
            if name not in list(Strength):
                raise UsageError(f"unknown strength {name[:40]!r}", hint="choose among low, mid and high")
        for text in self.attackers:
            Attacker.parse(text)
        for name in self.against or ():
            if not detector_list.info(name).differentiable:
                raise UsageError(
                    f"{name} cannot be attacked, it only judges", hint="leave it out of --detectors"
                )
        if len(set(self.seeds)) != len(self.seeds) or not self.seeds:
            raise UsageError("seeds must differ from each other", hint="give, say, --seeds 1,2,3")
        for what, value, low, high in (
            ("frames", self.frames, 20, 100_000),
            ("held-out frames", self.held_out, 2, 10_000),
            ("side", self.side, 128, 4096),
            ("CRF", self.crf, 0, 40),
        ):
            if not low <= value <= high:
                raise UsageError(f"{what}: {value} does not lie between {low} and {high}")

    @property
    def parsed(self) -> tuple[Attacker, ...]:
        """The attackers."""
        return tuple(Attacker.parse(one) for one in dict.fromkeys(self.attackers))

    @property
    def attacked(self) -> tuple[str, ...]:
        """Names of the detectors that the cloak is made against."""
        if self.against is not None:
            return self.against
        kept = {
            detector_list.info(one.detectors[0]).family
            for one in self.parsed
            if one.name.startswith("other:")
        }
        names = detector_list.available(self.weights, differentiable=True)
        return tuple(name for name in names if detector_list.info(name).family not in kept)

    def generator(self) -> Preset:
        """The preset, changed so that every training takes the same steps (no phase ends early), and with a feature
        network that is installed.
        """
        from synth.swap.features import available

        chosen = preset(self.preset).with_steps(self.steps)
        if chosen.features not in available():
            chosen = replace(chosen, features=available()[0])
        recipe = replace(chosen.recipe, patience=1_000_000, critic_accuracy=2.0)
        return replace(chosen, recipe=recipe)

    def to_json(self) -> dict[str, Any]:
        """Plain values, defaults filled in."""
        data = asdict(self)
        data |= {"against": list(self.attacked), "weights": str(self.weights) if self.weights else None}
        return {**data, "generator": self.generator().to_json()}


#: Of the generators: a spread cannot be told from fewer.
FEWEST_SEEDS = 3
#: What fits into an hour on two cores, and what a GPU does.
PRESETS: dict[str, SwapOptions] = {
    "tiny": SwapOptions(),
    "full": SwapOptions(
        preset="small",
        steps=None,
        strengths=("low", "mid", "high"),
        seeds=tuple(range(1, 11)),
        attackers=(
            "naive",
            *(f"cleans:{name}" for name in CLEANING),
            "other:mtcnn",
            *(f"mixes:{share}" for share in (10, 25, 50, 75)),
        ),
        frames=2000,
        held_out=250,
        side=1280,
    ),
}

"""Options that experiments with a generator share: what is published, how it is cloaked, and who attacks."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from cloak import detectors as detector_list
from cloak.strength import Strength
from cloak.veils import VeilName
from provenance.errors import UsageError
from synth.measure.attackers import Attacker
from synth.measure.conditions import CLEAN
from synth.measure.variants import Cloaked


def check_strengths(strengths: tuple[str, ...]) -> None:
    """Raise UsageError for an empty list or an unknown name."""
    if not strengths:
        raise UsageError("no strength is named", hint="choose among low, mid and high")
    for name in strengths:
        if name not in list(Strength):
            raise UsageError(f"unknown strength {name[:40]!r}", hint="choose among low, mid and high")


def check_veil(name: VeilName | str) -> VeilName:
    """The veil of that name; UsageError for an unknown one."""
    try:
        return VeilName(name)
    except ValueError:
        raise UsageError(
            f"unknown veil {str(name)[:40]!r}", hint="choose " + ", ".join(one.value for one in VeilName)
        ) from None


def check_attacked(names: tuple[str, ...] | None) -> None:
    """Raise UsageError for an empty list of detectors, or one without gradients."""
    if names == ():
        raise UsageError("no detector is named", hint="leave --detectors out for all")
    for name in names or ():
        if not detector_list.info(name).differentiable:
            raise UsageError(f"{name} cannot be attacked, it only judges", hint="leave it out of --detectors")


@dataclass(frozen=True)
class ExperimentOptions(ABC):
    """One experiment.

    Attributes:
        strengths: of the cloak.
        veils: what the cloak looks like: ``film``, ``film-bw``, ``light``, ``noise``.
        attackers: names, see :class:`synth.measure.attackers.Attacker`.
        frames: at most so many frames are published, one after the other at their own rate (of pictures, evenly
            spread); None for all.
        held_out: at most so many held-out frames are kept; None for all.
        side: longer side of what is published, pixels.
        crf: of the published videos.
        against: detectors that the cloak is made against; None for all installed ones that can be attacked, except the
            families that some attacker extracts with as not attacked (``naive``, ``other:``).
        cloak_steps, cloak_rounds: of the cloak's search.
        cloak_seeds: of the cloak and of its control; each is reported for itself.
        control: also learn from the control of each cloak, which nothing was searched for.
        weights: a folder to look in for weights first.
        device: where torch computes.
    """

    strengths: tuple[str, ...] = ("mid",)
    veils: tuple[VeilName | str, ...] = (VeilName.FILM,)
    attackers: tuple[str, ...] = ("naive", "attacked")
    frames: int | None = None
    held_out: int | None = None
    side: int = 640
    crf: int = 20
    against: tuple[str, ...] | None = None
    cloak_steps: int = 60
    cloak_rounds: int = 3
    cloak_seeds: tuple[int, ...] = (0, 1)
    control: bool = True
    weights: Path | None = None
    device: str = "cpu"

    def __post_init__(self) -> None:
        check_strengths(self.strengths)
        check_attacked(self.against)
        if not self.attackers:
            raise UsageError("no attacker is named", hint="leave the option out for the default")
        for text in self.attackers:
            Attacker.parse(text, self.weights)
        if not self.veils:
            raise UsageError("no veil is named", hint="choose " + ", ".join(one.value for one in VeilName))
        for name in self.veils:
            check_veil(name)
        if not self.cloak_seeds or min(self.cloak_seeds) < 0:
            raise UsageError("the cloak has no seed, or one below 0", hint="give, say, --cloak-seeds 0,1")
        for what, value, low, high in (
            ("frames", self.frames, 20, 100_000),
            ("held-out frames", self.held_out, 2, 10_000),
            ("side", self.side, 128, 4096),
            ("CRF", self.crf, 0, 40),
        ):
            if value is not None and not low <= value <= high:
                raise UsageError(f"{what}: {value} does not lie between {low} and {high}")

    @property
    @abstractmethod
    def repeats(self) -> tuple[int, ...]:
        """Numbers of the repetitions: seeds, or parts of the footage that are left out."""

    @property
    def parsed(self) -> tuple[Attacker, ...]:
        """The attackers, each once."""
        return tuple(Attacker.parse(one, self.weights) for one in dict.fromkeys(self.attackers))

    @property
    def attacked(self) -> tuple[str, ...]:
        """Names of the detectors that the cloak is made against."""
        if self.against is not None:
            return self.against
        spared = {family for one in self.parsed for family in one.spared}
        names = detector_list.available(self.weights, differentiable=True)
        return tuple(name for name in names if detector_list.info(name).family not in spared)

    @property
    def left_out(self) -> tuple[str, ...]:
        """Families of installed detectors that the cloak is not made against."""
        attacked = {detector_list.info(name).family for name in self.attacked}
        families = (detector_list.info(name).family for name in detector_list.available(self.weights))
        return tuple(dict.fromkeys(one for one in families if one not in attacked))

    @property
    def cloaks(self) -> dict[str, Cloaked]:
        """By name, every cloak that is published."""
        several = len(dict.fromkeys(self.cloak_seeds)) > 1
        made = [
            Cloaked(check_veil(veil), strength, seed, several)
            for veil in dict.fromkeys(self.veils)
            for strength in dict.fromkeys(self.strengths)
            for seed in dict.fromkeys(self.cloak_seeds)
        ]
        return {one.name: one for one in made}

    @property
    def variants(self) -> list[str]:
        """What is published: clean data, then each cloak and its control."""
        named = [CLEAN]
        for name, one in self.cloaks.items():
            named += [name, one.control] if self.control else [name]
        return named

    def to_json(self) -> dict[str, Any]:
        """Plain values, defaults filled in."""
        weights = str(self.weights) if self.weights else None
        veils = [check_veil(one).value for one in self.veils]
        return asdict(self) | {"against": list(self.attacked), "weights": weights, "veils": veils}

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
from synth.measure.conditions import CLEAN, NOISE


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
        attackers: names, see :class:`synth.measure.attackers.Attacker`.
        frames: at most so many frames (or pictures) are published; None for all.
        held_out: at most so many held-out frames are kept; None for all.
        side: longer side of what is published, pixels.
        crf: of the published videos.
        against: detectors that the cloak is made against; None for all installed ones that can be attacked, except the
            families that some attacker extracts with (``other:``).
        cloak_steps, cloak_rounds: of the cloak's search.
        cloak_seed: of the cloak and of the noise.
        control: also train on data with random noise of equal energy.
        weights: a folder to look in for weights first.
        device: where torch computes.
    """

    strengths: tuple[str, ...] = ("mid",)
    attackers: tuple[str, ...] = ("naive", "other:mtcnn")
    frames: int | None = None
    held_out: int | None = None
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
        check_strengths(self.strengths)
        check_attacked(self.against)
        if not self.attackers:
            raise UsageError("no attacker is named", hint="leave the option out for the default")
        for text in self.attackers:
            Attacker.parse(text)
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
        return tuple(Attacker.parse(one) for one in dict.fromkeys(self.attackers))

    @property
    def attacked(self) -> tuple[str, ...]:
        """Names of the detectors that the cloak is made against."""
        if self.against is not None:
            return self.against
        spared = {
            detector_list.info(one.detectors[0]).family
            for one in self.parsed
            if one.name.startswith("other:")
        }
        names = detector_list.available(self.weights, differentiable=True)
        return tuple(name for name in names if detector_list.info(name).family not in spared)

    @property
    def variants(self) -> list[str]:
        """What is published: clean data, then for each strength the cloaked data and its noise control."""
        named = [CLEAN]
        for strength in dict.fromkeys(self.strengths):
            named += [strength, NOISE + strength] if self.control else [strength]
        return named

    def to_json(self) -> dict[str, Any]:
        """Plain values, defaults filled in."""
        weights = str(self.weights) if self.weights else None
        return asdict(self) | {"against": list(self.attacked), "weights": weights}

"""The phases of training, as a pure function of the measures.

The recipe follows NoGAN (Antic, Howard and Manor, "Decrappification, DeOldification, and Super Resolution", fast.ai,
2019): the generator is first trained alone, with losses that are easy to follow; then the critic alone, on photographs
and on what the generator makes of them; only then both together, and only until the pictures stop getting better. That
turning point is found by a measure on held-out faces, not by eye.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, field, replace
from typing import Any

from synth.swap.config import Recipe

PHASES = ("generator", "critic", "adversarial", "done")
#: Gains smaller than this share of the best measure do not count.
_LEAST_GAIN = 0.002


@dataclass(frozen=True)
class ScheduleState:
    """Where a run is.

    Attributes:
        phase: of :data:`PHASES`.
        step: steps done in all phases.
        phase_step: steps done in this phase.
        best: the lowest measure of this phase, or None.
        best_step: the step at which it was seen.
        without_gain: checks since then.
        history: (step, phase, measure) of all checks.
    """

    phase: str = "generator"
    step: int = 0
    phase_step: int = 0
    best: float | None = None
    best_step: int = 0
    without_gain: int = 0
    history: tuple[tuple[int, str, float], ...] = field(default=(), repr=False)

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> ScheduleState:
        """Read :meth:`to_json`'s; ValueError, KeyError or TypeError where it is something else."""
        if data["phase"] not in PHASES:
            raise ValueError(f"phase {str(data['phase'])[:40]!r} is none of {PHASES}")
        history = tuple((int(step), str(phase), float(value)) for step, phase, value in data["history"])
        best = None if data["best"] is None else float(data["best"])
        whole = {name: int(data[name]) for name in ("step", "phase_step", "best_step", "without_gain")}
        return cls(phase=data["phase"], best=best, history=history, **whole)


def length(phase: str, recipe: Recipe, *, alone: bool = False) -> int:
    """The most steps a phase may take; ``alone``: only the generator is trained (a face prior)."""
    if alone:
        return recipe.steps if phase == "generator" else 0
    generator = round(recipe.steps * recipe.generator_share)
    critic = round(recipe.steps * recipe.critic_share)
    return {"generator": generator, "critic": critic, "adversarial": recipe.steps - generator - critic}.get(
        phase, 0
    )


def stepped(at: ScheduleState) -> ScheduleState:
    """After one step."""
    return replace(at, step=at.step + 1, phase_step=at.phase_step + 1)


def check_due(at: ScheduleState, recipe: Recipe, *, alone: bool = False) -> bool:
    """Whether to measure on the held-out faces now: at intervals, when a phase ends, and before both networks
    alternate. Not while the critic is pretrained, because the generator does not change then.
    """
    if at.phase in ("critic", "done"):
        return False
    begins = at.phase_step == 0 and at.phase == "adversarial" and at.best is None
    ends = at.phase_step >= length(at.phase, recipe, alone=alone)
    return begins or ends or (at.phase_step > 0 and at.phase_step % recipe.check_every == 0)


def checked(at: ScheduleState, measure: float) -> tuple[ScheduleState, bool]:
    """The state after a measure (lower is better), and whether it was the phase's best."""
    gained = at.best is None or measure < at.best * (1 - _LEAST_GAIN)
    history = (*at.history, (at.step, at.phase, measure))
    if gained:
        return replace(at, best=measure, best_step=at.step, without_gain=0, history=history), True
    return replace(at, without_gain=at.without_gain + 1, history=history), False


def is_over(at: ScheduleState, recipe: Recipe, *, alone: bool = False, critic_accuracy: float = 0.0) -> bool:
    """Whether the phase ends: its steps are used up, nothing was gained for a while (the turning point), or the critic
    is right often enough.
    """
    if at.phase_step >= length(at.phase, recipe, alone=alone):
        return True
    if at.phase == "critic":
        return critic_accuracy >= recipe.critic_accuracy
    return at.without_gain >= recipe.patience


def next_phase(at: ScheduleState, recipe: Recipe, *, alone: bool = False) -> ScheduleState:
    """The next phase that has steps at all, or "done"."""
    following = PHASES[PHASES.index(at.phase) + 1 :]
    phase = next((one for one in following if length(one, recipe, alone=alone) > 0), "done")
    return replace(at, phase=phase, phase_step=0, best=None, best_step=at.step, without_gain=0)


def rate(at: ScheduleState, recipe: Recipe, top: float, *, alone: bool = False) -> float:
    """The learning rate: it rises over ``warm_up`` steps, stays, and falls to a tenth over a phase's last third. While
    generator and critic alternate, it stays at three tenths.
    """
    total = max(1, length(at.phase, recipe, alone=alone))
    rising = min(1.0, (at.phase_step + 1) / max(1, recipe.warm_up))
    if at.phase == "adversarial":
        return top * rising * 0.3
    late = max(0.0, (at.phase_step / total - 2 / 3) * 3)
    return top * rising * (1 - 0.9 * late)

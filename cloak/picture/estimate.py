"""How long a cloak will take, from a few real steps of its search with the detectors loaded."""

from __future__ import annotations

import math
from dataclasses import dataclass

from cloak.evaluate.detect import InitialDetections
from cloak.options import CloakOptions
from cloak.picture.rounds import PatchOptimiser

#: What is shown to detectors when a picture is evaluated, in pictures: as published, after JPEG 75, at half size.
_VIEWS = 2.25
#: Share of a search's steps after which the first patches are hidden: early ends seldom come before.
_SHORTEST_SHARE = 0.3
#: The mean cost of a step in a search that ends early, as a share of a first one: detectors that are evaded are shown
#: a third of the steps.
_LATER_STEPS = 0.6
#: How far off the expected time may be, as a factor; measured: it took 0.8 to 1.9 times as long.
_GIVE = 2.0
#: From so many seconds on, times are told in minutes.
_IN_MINUTES = 150.0


@dataclass(frozen=True)
class WorkEstimate:
    """How much work a picture is: each of its patches (faces and decoys that lie together) takes up to ``steps`` steps
    in each of up to ``rounds`` rounds.

    Attributes:
        faces, patches: how many there are to work on.
        steps, rounds: see above.
        expected: seconds on this machine, within a factor of two; the geometric mean of the longest and of what it
            takes if all detectors are evaded early in the first round.
        longest: seconds if no search stops before its last step.
    """

    faces: int
    patches: int
    steps: int
    rounds: int
    expected: float
    longest: float

    def __str__(self) -> str:
        return (
            f"{self.faces} face{'s' * (self.faces != 1)} to hide, in {self.patches} "
            f"patch{'es' * (self.patches != 1)} of the picture; up to {self.rounds} rounds of "
            f"{self.steps} steps for each patch, {_span(self.expected, self.longest)}"
        )


def estimate_work(
    optimiser: PatchOptimiser, initial: InitialDetections, options: CloakOptions, faces: int
) -> WorkEstimate:
    """Time a few steps on the patch of median size, and reckon from them.

    Args:
        optimiser: before its first round.
        initial: what detectors found, and how long it took them.
        options: of the cloak.
        faces: how many faces there are to hide.
    """
    cost = optimiser.trial()
    steps, patches, rounds = optimiser.steps_per_patch, len(optimiser.patches), options.most_rounds
    picture = _VIEWS * initial.seconds_attacked
    last = _VIEWS * initial.seconds_judging
    checks = steps / cost.check_every
    search = optimiser.pixel_count / cost.pixels * steps * cost.step
    checking = optimiser.pixel_count / cost.pixels * checks * cost.check
    if options.torchattack:  # one round, in which nothing is checked
        return WorkEstimate(faces, patches, steps, 1, only := search + picture + last, only)
    if optimiser.veil is not None:  # the first round is made to its end
        later = optimiser.steps_in(1) / steps
        shortest = search + picture + last
        longest = (1 + later * (rounds - 1)) * search + rounds * picture + last
        return WorkEstimate(faces, patches, steps, rounds, math.sqrt(shortest * longest), longest)
    longest = (
        (rounds + options.restarts) * (search + checking)
        + (rounds - 1) * patches * checks * picture
        + rounds * picture
        + last
    )
    shortest = _SHORTEST_SHARE * (_LATER_STEPS * search + checking) + picture + last
    return WorkEstimate(faces, patches, steps, rounds, math.sqrt(shortest * longest), longest)


def _span(expected: float, longest: float) -> str:
    """The times in words, in the unit that the expected one asks for."""
    unit, size = ("minutes", 60.0) if expected >= _IN_MINUTES else ("seconds", 1.0)
    low, high = (max(1, round(seconds / size)) for seconds in (expected / _GIVE, expected * _GIVE))
    most = max(high, round(longest / size))
    return f"about {low} to {high} {unit}, at most {most}" if low < high else f"about {most} {unit}"

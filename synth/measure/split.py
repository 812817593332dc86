"""How footage is divided in time: what is published and learned from, a gap, and what is held out.

A frame and the next one are nearly the same picture. Were the first held-out frame the next after the last published
one, a generator that only remembers would be measured on what it remembers; so nobody learns from, and nothing is
measured on, what lies between. The published part comes first, as it does where somebody publishes and is faked later.
"""

from __future__ import annotations

from dataclasses import dataclass

#: The last share of footage, in time, that is held out.
HELD_OUT = 0.2
#: Seconds between what is published and what is held out; pictures, which have no times, count as so many a second.
GAP, PICTURES_A_SECOND = 1.0, 25.0
#: Of short footage the gap is at most this share.
MOST_GAP = 0.1
#: So many frames or pictures are published, at the least.
FEWEST = 20


@dataclass(frozen=True)
class Split:
    """Frames or pictures, counted from 0 in order of time.

    Attributes:
        published: those before this one are.
        held_out: those from this one on are; what lies between is neither.
        count: in all.
    """

    published: int
    held_out: int
    count: int

    @property
    def gap(self) -> int:
        """How many are left out between the two."""
        return self.held_out - self.published


def split_of(count: int, rate: float | None) -> Split | None:
    """The split of so many frames, or None where they are too few for any.

    Args:
        count: of frames or pictures.
        rate: frames a second, above 0; None for pictures.
    """
    held_out = round(count * (1 - HELD_OUT))
    if held_out < FEWEST or count - held_out < 2:
        return None
    wanted = round(GAP * (rate or PICTURES_A_SECOND))
    gap = max(0, min(wanted, int(count * MOST_GAP), held_out - FEWEST))
    return Split(held_out - gap, held_out, count)

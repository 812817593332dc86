"""Progress of long work where nobody sees a bar: a line now and then, with how long it still takes."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from provenance.commands.support.console import fraction, note

#: A line after each tenth of the work, and at least every so many seconds.
_STEP, _SECONDS = 0.1, 60.0


class PipedProgress:
    """Says the share done, and an estimate of the time left, in lines.

    Args:
        label: what is done. tell: takes a line. clock: seconds.
    """

    def __init__(
        self, label: str, tell: Callable[[str], None], clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._label, self._tell, self._clock = label, tell, clock
        self._begun: tuple[float, float] | None = None
        self._told, self._told_at = 0.0, clock()

    def __call__(self, done: float) -> None:
        now = self._clock()
        if self._begun is None:  # what an earlier run did comes at once, and says nothing about the rest
            self._begun = (now, done)
        if done < self._told + _STEP - 1e-9 and now < self._told_at + _SECONDS:
            return
        self._told, self._told_at = done, now
        began, share = self._begun
        text = f"{self._label}: {100 * done:.0f} %"
        if done > share + 0.01 and now > began + 1:
            left = (1 - done) * (now - began) / (done - share)
            text += f", about {duration(left)} left"
        self._tell(text)


@contextmanager
def reporting(label: str) -> Iterator[Callable[[float], None]]:
    """A bar on a terminal, lines elsewhere. Yields a function that takes the share done, 0 to 1."""
    if sys.stderr.isatty():
        with fraction(label) as report:
            yield report
    else:
        yield PipedProgress(label, note)


def duration(seconds: float) -> str:
    """``40 s``, ``12 min``, ``2.5 h``."""
    if seconds < 90:
        return f"{max(1, round(seconds))} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"

"""Hands out tasks and gives results back in order, never far ahead of the slowest."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from typing import Any

from provenance.bulk.executor import MAX_TRIES, Outcome, died


class Feed:
    """Tasks by number.

    Args:
        tasks: taken one by one, as late as possible.
        ahead: at most so many are handed out beyond the first that has no result.
    """

    def __init__(self, tasks: Iterable[Any], ahead: int) -> None:
        self._tasks = iter(tasks)
        self._ahead = ahead
        self._again: deque[tuple[int, Any]] = deque()
        self._tries: dict[int, int] = {}
        self._ready: dict[int, Outcome] = {}
        self._next = self._given = 0
        self._ended = False

    @property
    def done(self) -> bool:
        """Whether every result was given back."""
        return self._ended and self._given == self._next

    def take(self) -> tuple[int, Any] | None:
        """A task to begin, or None where there is none, or none may be begun now."""
        if self._again:
            return self._again.popleft()
        if self._ended or self._next - self._given >= self._ahead:
            return None
        try:
            task = next(self._tasks)
        except StopIteration:
            self._ended = True
            return None
        self._next += 1
        return self._next - 1, task

    def put(self, number: int, outcome: Outcome) -> None:
        """A task's result."""
        self._tries.pop(number, None)
        self._ready[number] = outcome

    def lost(self, number: int, task: Any) -> None:
        """The worker of a task died: it is done again, or, after some tries, given up."""
        self._tries[number] = self._tries.get(number, 0) + 1
        if self._tries[number] >= MAX_TRIES:
            self.put(number, died(task))
        else:
            self._again.append((number, task))

    def ready(self) -> list[Outcome]:
        """The results that are next in order."""
        found = []
        while self._given in self._ready:
            found.append(self._ready.pop(self._given))
            self._given += 1
        return found

"""A value that is computed once keeps no other object waiting."""

from __future__ import annotations

import threading

from provenance.lazy import unlocked_property


class Slow:
    def __init__(self, meeting: threading.Barrier) -> None:
        self._meeting = meeting
        self.computed = 0

    @unlocked_property
    def value(self) -> int:
        self._meeting.wait(timeout=20)  # passes only while another object computes
        self.computed += 1
        return 7


def test_two_objects_compute_at_the_same_time_and_each_once() -> None:
    pair = [Slow(barrier := threading.Barrier(2)), Slow(barrier)]
    threads = [threading.Thread(target=lambda one=one: one.value) for one in pair]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert [one.value for one in pair] == [7, 7]
    assert [one.computed for one in pair] == [1, 1]
    assert isinstance(Slow.value, unlocked_property)

"""Stills of a video by their local features: so it is found mirrored, cut, letterboxed, re-timed, or by a frame alone.

Hashes of whole frames bear none of that. The features are those of pictures (:mod:`provenance.fingerprint.features`),
fewer of them, of frames that are evenly spaced.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from provenance.errors import ReceiptError
from provenance.fingerprint.features import LocalFeatures, extract_features

#: No more stills than this; a longer film is sampled more sparsely. Points of each that are kept.
MAX_STILLS, STILL_POINTS = 48, 250
#: Milliseconds between the stills of a short film.
_STEP_MS = 1000
_COUNT, _HEAD = struct.Struct(">H"), struct.Struct(">II")


@dataclass(frozen=True)
class Still:
    """One frame.

    Attributes:
        time_ms: when it is shown, from the first frame on.
        features: its local features.
        grey: ``(h, w)`` uint8, longer side at most 640; None where it was read from a record.
    """

    time_ms: int
    features: LocalFeatures
    grey: NDArray[np.uint8] | None = field(default=None, repr=False)


class StillSampler:
    """Evenly spaced frames; when there are too many, every other is dropped and the step doubled."""

    def __init__(self) -> None:
        self._kept: list[tuple[int, NDArray[np.uint8]]] = []
        self._step = float(_STEP_MS)
        self._due = 0.0

    def offer(self, milliseconds: int, grey: Callable[[], NDArray[np.uint8]]) -> None:
        """A frame; ``grey`` gives its brightness at working size, and is called where it is wanted."""
        if milliseconds < self._due - 1:
            return
        self._due = (milliseconds // self._step + 1) * self._step
        self._kept.append((milliseconds, grey()))
        if len(self._kept) > MAX_STILLS:
            del self._kept[1::2]
            self._step *= 2

    def stills(self) -> tuple[Still, ...]:
        """The frames and their features."""
        return tuple(
            Still(time, extract_features(grey, max_points=STILL_POINTS), grey) for time, grey in self._kept
        )


def pack_stills(stills: Sequence[Still]) -> bytes:
    """Big-endian: count, then of each its time, the length of its features, and these; about 9.5 KB each."""
    parts = [_COUNT.pack(len(stills))]
    for one in stills:
        data = one.features.to_bytes()
        parts += [_HEAD.pack(one.time_ms, len(data)), data]
    return b"".join(parts)


def unpack_stills(data: bytes) -> tuple[Still, ...]:
    """Parse what :func:`pack_stills` wrote.

    Raises:
        ReceiptError: too many, or a length that does not fit.
    """
    if len(data) < _COUNT.size:
        raise ReceiptError("video stills have a wrong length")
    (count,) = _COUNT.unpack_from(data)
    if count > MAX_STILLS:
        raise ReceiptError(f"a video fingerprint with {count} stills, expected {MAX_STILLS} at most")
    place, found = _COUNT.size, []
    for _ in range(count):
        if len(data) < place + _HEAD.size:
            raise ReceiptError("video stills have a wrong length")
        time, length = _HEAD.unpack_from(data, place)
        place += _HEAD.size
        found.append(Still(time, LocalFeatures.from_bytes(data[place : place + length])))
        place += length
    if place != len(data):
        raise ReceiptError("video stills have a wrong length")
    return tuple(found)

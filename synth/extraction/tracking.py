"""Follow a face through a video over frames in which no detector reported it.

Whoever makes a fake tracks: a face that was found once is looked for where it was, frame after frame, as MediaPipe's
own pipeline does (Bazarevsky et al., 2019). No detector is asked for that, so a cloak against detectors cannot prevent
it; only FaceMesh decides whether a face is there.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from provenance.errors import UsageError
from synth.extraction.finder import FaceFinder, Found, region_of, upright_eyes

Pixels = NDArray[np.uint8]
Region = tuple[list[float], list[list[float]]]
#: How far before a face was found for the first time it is looked for in the same place, frames.
_BACK = 25
_FARTHEST = 1e5
_HAND = re.compile(r"(?:(\d{1,7}):)?" + ",".join([r"(-?\d{1,6}(?:\.\d{1,3})?)"] * 4))


@dataclass(frozen=True)
class HandBox:
    """A face that a person drew a box around.

    Attributes:
        frame: counted from 0 over all frames of the footage.
        box: x1 y1 x2 y2 in pixels of the upright frame.
    """

    frame: int
    box: tuple[float, float, float, float]

    @classmethod
    def parse(cls, text: str) -> HandBox:
        """From ``[FRAME:]X1,Y1,X2,Y2``; without a frame it is the first.

        Raises:
            UsageError: of another form, or an empty box.
        """
        found = _HAND.fullmatch(text.replace(" ", ""))
        if not found:
            raise UsageError(
                f"{text[:60]!r} is no box",
                hint="give [FRAME:]X1,Y1,X2,Y2 in pixels, such as 12:80,40,240,260",
            )
        left, top, right, bottom = (float(one) for one in found.groups()[1:])
        if right - left < 8 or bottom - top < 8:
            raise UsageError(
                f"the box {text[:60]!r} is empty", hint="the second corner is right of and below the first"
            )
        return cls(int(found[1] or 0), (left, top, right, bottom))

    def to_json(self) -> list[Any]:
        return [self.frame, *self.box]


def follow_missed(
    finder: FaceFinder,
    known: Mapping[int, NDArray[np.floating]],
    missed: Sequence[int],
    frames: Iterable[tuple[int, Pixels]],
    drawn: Mapping[int, Sequence[float]] | None = None,
    add: Callable[[int, Found], None] = lambda _number, _face: None,
) -> dict[int, Found]:
    """Look for the face in the frames in which it was missed.

    In each it is looked for where it was in the frame before, then where it would be on a straight way between the last
    frame and the next one that show it. Before the first such frame it is looked for where it was then, for a second.

    Args:
        known: ``(468, 2 or 3)`` landmarks, in pixels, by number of the frame that shows a face.
        missed: numbers of the frames without a face, rising.
        frames: number and uint8 ``(H, W, 3)`` pixels of these, in this order; others are passed over.
        drawn: boxes that a person drew, by number of the frame. Where there is one, nothing else is asked.
        add: called with each face while its frame is at hand.

    Returns:
        the faces that FaceMesh takes for one, and those in a box that a person drew, by number of the frame.
    """
    drawn, wanted = drawn or {}, set(missed)
    order = np.array(sorted(known), np.int64)
    found: dict[int, Found] = {}
    for number, pixels in frames:
        if number not in wanted:
            continue
        if number in drawn:
            box = [float(side) for side in drawn[number]]
            found[number] = finder.follow(pixels, box, upright_eyes(box))
        else:
            for box, eyes in _places(number, known, order, found):
                if not np.isfinite([*box, *eyes[0], *eyes[1]]).all() or np.abs(box).max() > _FARTHEST:
                    continue
                face = finder.follow(pixels, box, eyes)
                if face.is_face:
                    found[number] = face
                    break
        if number in found:
            add(number, found[number])
    return found


def _places(
    number: int,
    known: Mapping[int, NDArray[np.floating]],
    order: NDArray[np.int64],
    found: Mapping[int, Found],
) -> list[Region]:
    """Where to look, the likeliest place first."""
    places: list[Region] = []
    before = found.get(number - 1)
    if before is not None and before.is_face:
        places.append(region_of(before.landmarks))
    elif number - 1 in known:
        places.append(region_of(known[number - 1]))
    at = int(np.searchsorted(order, number))
    if 0 < at < len(order):
        first, last = int(order[at - 1]), int(order[at])
        share = (number - first) / (last - first)
        places.append(region_of((1 - share) * known[first][:, :2] + share * known[last][:, :2]))
    elif at == 0 and len(order) and order[0] - number <= _BACK:
        places.append(region_of(known[int(order[0])]))
    return places

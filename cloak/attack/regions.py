"""Which patches of a picture are worked on, so that a 24-megapixel portrait costs no more than a small one.

Boxes are ``x1 y1 x2 y2`` in pixels.
"""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from cloak.detectors.geometry.patch import Patch

#: Patches start and end on this grid, so that JPEG blocks, and the strides of detectors at full and half size,
#: fall in a patch as they do in its picture.
GRID = 64
#: Patches are worked on smaller only where that saves half of the pixels.
SHRINK_BELOW = 0.72
#: Faces of fewer pixels are not worked on smaller, however small the picture is shown.
_MIN_FACE_SIDE = 96


def _scale_for(side: float, face_side: int, display_scale: float) -> float:
    """1 for faces up to about the wanted size: noise that is resampled a little only gets blurred by it."""
    scale = min(face_side / side, max(display_scale, _MIN_FACE_SIDE / side))
    return scale if scale < SHRINK_BELOW else 1.0


def plan_patches(
    size: tuple[int, int],
    faces: Tensor,
    *,
    context: float = 0.75,
    face_side: int = 208,
    longest: int = 640,
    display_scale: float = 1.0,
) -> list[Patch]:
    """Patches that together cover every face with ``context`` face sizes around it.

    Args:
        size: height and width of the picture.
        faces: ``(N, 4)``.
        context: in face sizes, how much of the surroundings a detector needs to see.
        face_side: the largest face of a patch is worked on at no more than this many pixels.
        longest: no patch is worked on at more pixels per side, unless one face's rectangle needs it.
        display_scale: the scale at which detectors are shown the picture; no large face needs to be worked on at more.
    """
    height, width = size
    rectangles: list[tuple[tuple[int, int, int, int], list[int]]] = []
    for index, (x1, y1, x2, y2) in enumerate(faces.tolist()):
        # small faces get at least a hundred pixels of surroundings: detectors with a stride of 32 look there
        reach = max(context * max(x2 - x1, y2 - y1), 64.0)
        rectangle = _on_grid((x1 - reach, y1 - reach, x2 + reach, y2 + reach), height, width)
        rectangles.append((rectangle, [index]))
    sides = (faces[:, 2:] - faces[:, :2]).amax(1).tolist()
    merged = True
    while merged:
        merged = False
        for first in range(len(rectangles)):
            for second in range(first + 1, len(rectangles)):
                a, b = rectangles[first], rectangles[second]
                if _should_merge(a, b, sides, face_side, longest, display_scale):
                    rectangles[first] = (_union(a[0], b[0]), a[1] + b[1])
                    del rectangles[second]
                    merged = True
                    break
            if merged:
                break
    patches = []
    for (left, top, right, bottom), members in rectangles:
        scale = _scale_for(max(sides[i] for i in members), face_side, display_scale)
        patches.append(
            Patch(
                left,
                top,
                right,
                bottom,
                height=max(1, round((bottom - top) * scale)),
                width=max(1, round((right - left) * scale)),
                faces=tuple(members),
            )
        )
    return patches


def _should_merge(
    first: tuple[tuple[int, int, int, int], list[int]],
    second: tuple[tuple[int, int, int, int], list[int]],
    sides: Sequence[float],
    face_side: int,
    longest: int,
    display_scale: float,
) -> bool:
    """Rectangles that overlap are joined while the result stays small and the faces are of similar size."""
    (a, members_a), (b, members_b) = first, second
    if a[0] >= b[2] or b[0] >= a[2] or a[1] >= b[3] or b[1] >= a[3]:
        return False
    largest = [max(sides[i] for i in members) for members in (members_a, members_b)]
    if max(largest) > face_side and max(largest) > 2.5 * min(largest):
        return False
    left, top, right, bottom = _union(a, b)
    scale = _scale_for(max(largest), face_side, display_scale)
    return max(right - left, bottom - top) * scale <= longest


def _union(a: tuple[int, int, int, int], b: tuple[int, int, int, int]) -> tuple[int, int, int, int]:
    return min(a[0], b[0]), min(a[1], b[1]), max(a[2], b[2]), max(a[3], b[3])


def _on_grid(box: tuple[float, float, float, float], height: int, width: int) -> tuple[int, int, int, int]:
    left = max(0, int(box[0] // GRID) * GRID)
    top = max(0, int(box[1] // GRID) * GRID)
    right = min(width, -int(-box[2] // GRID) * GRID)
    bottom = min(height, -int(-box[3] // GRID) * GRID)
    return left, top, max(right, left + 1), max(bottom, top + 1)

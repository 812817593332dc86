"""Aligned faces: turned upright, scaled to one size and cut out as dlib does, differentiable in the pixels.

The similarity that takes dlib's mean face to the landmarks (least squares: Umeyama, IEEE PAMI 1991) says where the
aligned face lies. Of a large face, the picture is first halved by dlib's pyramid (a 5 x 5 binomial filter) as often as
dlib would; then each pixel of it is interpolated linearly. dlib rounds each step down to whole levels, which this does
not: an embedding moves by less than 0.01 for it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from provenance.errors import UsageError

ALIGNED_SIZE = 150
_PADDING = 0.25

# dlib's mean face (dlib/image_transforms/interpolation.h, Boost Software License 1.0), x and y in shares of its size:
# of the 68 landmarks those from 27 to 54 and 60 to 64, that is nose, eyes, and upper lip
_NOSE_X = (0.490127, 0.490127, 0.490127, 0.490127, 0.36688, 0.426036, 0.490127, 0.554217, 0.613373)
_NOSE_Y = (0.203352, 0.307009, 0.409805, 0.515625, 0.587326, 0.609345, 0.628106, 0.609345, 0.587326)
_EYES_X: tuple[float, ...] = (0.121737, 0.187122, 0.265825, 0.334606, 0.260918, 0.182743)
_EYES_X += (0.645647, 0.714428, 0.793132, 0.858516, 0.79751, 0.719335)
_EYES_Y: tuple[float, ...] = (0.216423, 0.178758, 0.179852, 0.231733, 0.245099, 0.244077)
_EYES_Y += (0.231733, 0.179852, 0.178758, 0.216423, 0.244077, 0.245099)
_LIP_X = (0.254149, 0.340985, 0.428858, 0.490127, 0.551395, 0.639268, 0.726104)
_LIP_Y = (0.780233, 0.745405, 0.727388, 0.742578, 0.727388, 0.745405, 0.780233)
_INNER_X = (0.290379, 0.428096, 0.490127, 0.552157, 0.689874)
_INNER_Y = (0.784792, 0.778746, 0.785343, 0.778746, 0.784792)
_OF_68 = (*range(27, 55), *range(60, 65))
_MEAN_68 = tuple(
    zip(_NOSE_X + _EYES_X + _LIP_X + _INNER_X, _NOSE_Y + _EYES_Y + _LIP_Y + _INNER_Y, strict=True)
)
# what MTCNN, CenterFace and RetinaFace report: both eyes (left in the picture first), the tip of the nose, both
# corners of the mouth; from the same mean face
_MEAN_EYES_NOSE_MOUTH = (
    (sum(_EYES_X[:6]) / 6, sum(_EYES_Y[:6]) / 6),
    (sum(_EYES_X[6:]) / 6, sum(_EYES_Y[6:]) / 6),
    (_NOSE_X[3], _NOSE_Y[3]),
    (_LIP_X[0], _LIP_Y[0]),
    (_LIP_X[6], _LIP_Y[6]),
)


@dataclass(frozen=True)
class _Layout:
    count: int
    used: tuple[int, ...]
    mean: tuple[tuple[float, float], ...]


#: Kinds of landmarks: dlib's 68 (iBUG's numbering), and the 5 that neural detectors report (eyes, nose, corners of the
#: mouth).
LAYOUTS = {
    "dlib68": _Layout(68, _OF_68, _MEAN_68),
    "eyes-nose-mouth": _Layout(5, (0, 1, 2, 3, 4), _MEAN_EYES_NOSE_MOUTH),
}


def align_faces(
    pictures: Tensor,
    landmarks: Tensor,
    *,
    layout: str | None = None,
    pictures_of: Sequence[int] | None = None,
    size: int = ALIGNED_SIZE,
    padding: float = _PADDING,
    template: Sequence[tuple[float, float]] | None = None,
) -> Tensor:
    """Cut faces out, upright, with the eyes always in the same place.

    Args:
        pictures: ``(B, 3, H, W)`` floating point, any range (outside of a picture there is 0); gradients pass.
        landmarks: ``(N, 68, 2)`` or ``(N, 5, 2)``, x and y in pixels of the picture; no gradient passes.
        layout: one of :data:`LAYOUTS`; by default ``dlib68`` or, for five points, ``eyes-nose-mouth``.
        pictures_of: for each face, the number of its picture; by default face n is in picture n.
        size: side of the aligned faces in pixels.
        padding: what is shown around the face, in shares of its size.
        template: where eyes, nose and corners of the mouth shall lie instead, x and y in shares of ``size``; only with
            the layout ``eyes-nose-mouth``.

    Returns:
        ``(N, 3, size, size)``, as ``pictures`` otherwise.

    Raises:
        UsageError: shapes that do not fit each other, or landmarks that fall into one point.
    """
    known = _layout(landmarks, layout)
    owners = list(range(len(landmarks))) if pictures_of is None else list(pictures_of)
    if pictures.ndim != 4 or pictures.shape[1] != 3 or not pictures.is_floating_point():
        raise UsageError(f"found pictures of shape {tuple(pictures.shape)}, expected (B, 3, H, W)")
    if len(owners) != len(landmarks) or any(not 0 <= owner < len(pictures) for owner in owners):
        raise UsageError(f"found {len(landmarks)} faces for {len(pictures)} pictures")
    if template is not None and known is not LAYOUTS["eyes-nose-mouth"]:
        raise UsageError("a template goes with the landmarks of eyes, nose and mouth alone")
    mean = torch.tensor(known.mean, dtype=torch.float64)
    goal = (padding + mean) / (2 * padding + 1) * size
    if template is not None:
        goal = torch.tensor(template, dtype=torch.float64) * size
    points = landmarks.detach().to("cpu", torch.float64)[:, list(known.used)]
    aligned = [
        _align_face(pictures[owner : owner + 1], goal, own, size)
        for owner, own in zip(owners, points, strict=True)
    ]
    return torch.cat(aligned) if aligned else pictures.new_zeros(0, 3, size, size)


def similarity(source: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
    """The least-squares similarity from ``(K, 2)`` points to others: ``(2, 2)`` matrix and ``(2,)`` shift with
    ``target ~ source @ matrix.T + shift``. It turns and scales, and never mirrors.

    Raises:
        UsageError: all source or all target points are one.
    """
    middle, goal = source.mean(0), target.mean(0)
    a, b = source - middle, target - goal
    spread = a.square().sum()
    cosine = (a * b).sum() / spread
    sine = (a[:, 0] * b[:, 1] - a[:, 1] * b[:, 0]).sum() / spread
    if not bool(torch.isfinite(cosine + sine)) or float(cosine.square() + sine.square()) < 1e-12:
        raise UsageError("the landmarks of a face are all in one point", hint="ask another detector for them")
    matrix = torch.stack([torch.stack([cosine, -sine]), torch.stack([sine, cosine])])
    return matrix, goal - matrix @ middle


def _layout(landmarks: Tensor, layout: str | None) -> _Layout:
    count = landmarks.shape[1] if landmarks.ndim == 3 else -1
    name = layout or ("dlib68" if count == 68 else "eyes-nose-mouth")
    if name not in LAYOUTS:
        raise UsageError(f"no layout of landmarks is called {name!r}", hint="one of " + ", ".join(LAYOUTS))
    known = LAYOUTS[name]
    if landmarks.ndim != 3 or tuple(landmarks.shape[1:]) != (known.count, 2):
        raise UsageError(
            f"found landmarks of shape {tuple(landmarks.shape)}, expected (N, {known.count}, 2) for {name}"
        )
    return known


def _align_face(picture: Tensor, goal: Tensor, points: Tensor, size: int) -> Tensor:
    matrix, shift = similarity(goal, points)
    scale = float(torch.linalg.vector_norm(matrix[:, 0]))
    turn = matrix / scale
    # dlib's rectangle includes its last pixel: `size` pixels are size - 1 apart
    centre = matrix @ torch.full((2,), size / 2, dtype=torch.float64) + shift
    half = torch.full((2,), (size * scale - 1) / 2, dtype=torch.float64)
    low, high = centre - half, centre + half
    # dlib halves the picture while the face is more than twice as wide as the aligned face
    halvings, reach, smaller = 0, 2.0, (_down(low), _down(high))
    while _area(smaller) > size * size:
        halvings, reach, smaller = halvings + 1, reach * 2 + 2, (_down(smaller[0]), _down(smaller[1]))
    picture, corner = _around(picture, centre, turn.abs() @ half + reach)
    low, high = low - corner, high - corner
    for _ in range(halvings):
        low, high = _down(low), _down(high)
        picture = _halved(picture)
    middle, half = (low + high) / 2, (high - low) / 2
    steps = torch.linspace(-1, 1, size, dtype=torch.float64)
    offsets = torch.stack(torch.meshgrid(steps * half[0], steps * half[1], indexing="xy"), -1)
    places = offsets @ turn.T + middle
    framed = functional.pad(picture, (1, 1, 1, 1))
    # grid_sample: -1 and 1 are the centres of the outermost pixels
    span = places.new_tensor([framed.shape[-1] - 1, framed.shape[-2] - 1])
    grid = ((places + 1) / span * 2 - 1).to(picture)
    return functional.grid_sample(
        framed, grid[None], mode="bilinear", padding_mode="zeros", align_corners=True
    )


def _around(picture: Tensor, centre: Tensor, reach: Tensor) -> tuple[Tensor, Tensor]:
    """The part of the picture that matters for an aligned face, as dlib chooses it (its corner decides which pixels are
    averaged when it is halved), and its corner.
    """
    last = centre.new_tensor([picture.shape[-1] - 1, picture.shape[-2] - 1])
    left, top = (centre - reach).clamp_min(0).minimum(last).add(0.5).floor().int().tolist()
    right, bottom = (centre + reach).minimum(last).clamp_min(0).add(0.5).floor().int().tolist()
    part = picture[..., top : max(top, bottom) + 1, left : max(left, right) + 1]
    return part, centre.new_tensor([left, top])


def _area(corners: tuple[Tensor, Tensor]) -> float:
    return float((corners[1] - corners[0] + 1).clamp_min(0).prod())


def _down(point: Tensor) -> Tensor:
    """Where dlib says that a point is once the picture was halved."""
    return point / 2 - point.new_tensor([1.25, 0.75])


def _halved(picture: Tensor) -> Tensor:
    if min(picture.shape[-2:]) <= 8:  # dlib gives up on what is smaller
        return picture.new_zeros(1, 3, 1, 1)
    taps = picture.new_tensor([1.0, 4.0, 6.0, 4.0, 1.0]) / 16
    across = taps.view(1, 1, 1, 5).expand(3, 1, 1, 5)
    down = taps.view(1, 1, 5, 1).expand(3, 1, 5, 1)
    rows = functional.conv2d(picture, across, stride=(1, 2), groups=3)
    return functional.conv2d(rows, down, stride=(2, 1), groups=3)

"""The canonical face: where landmarks lie in an aligned picture, and how a face gets there.

The template is the mean of FaceMesh's points over eight frames of each of thirteen people (turned onto each other in
three dimensions by generalized Procrustes analysis, Gower 1975, and made symmetric), in units of the distance between
the middles of the eyes. In an aligned picture of side S that distance is ``EYE_DISTANCE * S`` for a face that looks
into the camera, the eyes are level, and the whole face from the upper forehead to the chin is inside with a margin.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from provenance.errors import UsageError

POINTS = 468
#: Distance between the middles of the eyes, as a share of the aligned picture's side.
EYE_DISTANCE = 0.30
#: The template's point, in eye distances below the eyes, that comes to the middle of the aligned picture.
_CENTRE_Y = 0.44
SMALLEST_SIZE, LARGEST_SIZE = 64, 512

#: Mesh point to its place: x to the right in the picture, y down, z away from the camera; the origin is between the
#: eyes. Of a pair, the point at the left in the picture comes first.
TEMPLATE: dict[int, tuple[float, float, float]] = {
    33: (-0.722, -0.007, 0.045),
    133: (-0.278, 0.007, -0.045),
    70: (-0.902, -0.250, 0.080),
    107: (-0.231, -0.392, -0.288),
    55: (-0.201, -0.254, -0.260),
    98: (-0.277, 0.629, -0.319),
    61: (-0.434, 1.000, -0.133),
    127: (-1.098, 0.117, 0.816),
    234: (-1.082, 0.346, 0.869),
    50: (-0.778, 0.477, -0.090),
    263: (0.722, -0.007, 0.045),
    362: (0.278, 0.007, -0.045),
    300: (0.902, -0.250, 0.080),
    336: (0.231, -0.392, -0.288),
    285: (0.201, -0.254, -0.260),
    327: (0.277, 0.629, -0.319),
    291: (0.434, 1.000, -0.133),
    356: (1.098, 0.117, 0.816),
    454: (1.082, 0.346, 0.869),
    280: (0.778, 0.477, -0.090),
    10: (0.0, -0.878, -0.160),
    151: (0.0, -0.631, -0.238),
    168: (0.0, -0.116, -0.299),
    6: (0.0, 0.003, -0.379),
    197: (0.0, 0.107, -0.468),
    195: (0.0, 0.200, -0.563),
    5: (0.0, 0.300, -0.661),
    4: (0.0, 0.428, -0.711),
    2: (0.0, 0.654, -0.449),
    0: (0.0, 0.866, -0.458),
}
#: What faces are aligned by: corners of the eyes, the nose's root and base, the inner brows, the corners of the mouth.
#: The jaw is not among them, so that speaking does not move the face.
ANCHORS = (33, 133, 362, 263, 55, 285, 168, 98, 2, 327, 61, 291)
#: What the pose is read from: points that an expression hardly moves.
_RIGID = (
    33,
    133,
    362,
    263,
    70,
    300,
    107,
    336,
    127,
    356,
    234,
    454,
    10,
    151,
    168,
    6,
    197,
    195,
    5,
    4,
    2,
    98,
    327,
    50,
    280,
)

LEFT_EYE = (33, 246, 161, 160, 159, 158, 157, 173, 133, 155, 154, 153, 145, 144, 163, 7)
RIGHT_EYE = (263, 466, 388, 387, 386, 385, 384, 398, 362, 382, 381, 380, 374, 373, 390, 249)
LIPS = (61, 185, 40, 39, 37, 0, 267, 269, 270, 409, 291, 375, 321, 405, 314, 17, 84, 181, 91, 146)
INNER_LIPS = (78, 191, 80, 81, 82, 13, 312, 311, 310, 415, 308, 324, 318, 402, 317, 14, 87, 178, 88, 95)
#: Mesh points in the places of iBUG's 68 landmarks: jaw 0-16, brows 17-26, nose 27-35, eyes 36-47, mouth 48-67.
OF_68 = (
    *(127, 234, 93, 132, 58, 172, 136, 149, 152, 378, 365, 397, 288, 361, 323, 454, 356),
    *(70, 63, 105, 66, 107, 336, 296, 334, 293, 300),
    *(168, 197, 5, 4, 98, 97, 2, 326, 327),
    *(33, 160, 158, 133, 153, 144, 362, 385, 387, 263, 373, 380),
    *(61, 40, 37, 0, 267, 270, 291, 321, 314, 17, 84, 91),
    *(78, 81, 13, 311, 308, 402, 14, 178),
)


#: Of dlib's 68 landmarks those that faces are aligned by, and the mesh points in their places.
_ANCHORS_68 = {36: 33, 39: 133, 42: 362, 45: 263, 27: 168, 31: 98, 33: 2, 35: 327, 48: 61, 54: 291}


def umeyama(source: NDArray[np.floating], target: NDArray[np.floating]) -> NDArray[np.float64]:
    """The similarity (rotation, one scale, shift; never a mirror image) that takes points nearest to others, in two or
    three dimensions.

    Least squares after Umeyama, "Least-squares estimation of transformation parameters between two point patterns",
    IEEE PAMI 13(4), 1991, equations 40 to 43.

    Args:
        source, target: ``(K, D)`` with D of 2 or 3, at least D different points each.

    Returns:
        ``(D, D + 1)``: ``target ~ source @ M[:, :D].T + M[:, D]``.

    Raises:
        UsageError: other shapes, values that are not finite, or all points in one place.
    """
    a, b = np.asarray(source, np.float64), np.asarray(target, np.float64)
    if (
        a.shape != b.shape
        or a.ndim != 2
        or a.shape[1] not in (2, 3)
        or not (np.isfinite(a).all() and np.isfinite(b).all())
    ):
        raise UsageError(
            f"found points of shapes {a.shape} and {b.shape}, expected two finite (K, 2) or (K, 3)"
        )
    middle, goal = a.mean(0), b.mean(0)
    spread = float(((a - middle) ** 2).sum() / len(a))
    covariance = (b - goal).T @ (a - middle) / len(a)
    u, values, vt = np.linalg.svd(covariance)
    signs = np.ones(a.shape[1])
    signs[-1] = np.sign(np.linalg.det(u) * np.linalg.det(vt)) or 1.0
    if spread < 1e-12 or values[0] < 1e-12:
        raise UsageError("the landmarks of a face are all in one place", hint="ask another detector for them")
    rotation = (u * signs) @ vt
    scale = float((values * signs).sum()) / spread
    return np.hstack([scale * rotation, (goal - scale * rotation @ middle)[:, None]])


def canonical_points(size: int, indices: tuple[int, ...] = ANCHORS) -> NDArray[np.float64]:
    """``(K, 2)`` places of template points in an aligned picture of side ``size``, pixel edges as integers."""
    flat = np.array([TEMPLATE[index][:2] for index in indices])
    return (flat - (0.0, _CENTRE_Y)) * EYE_DISTANCE * size + size / 2


def alignment(landmarks: NDArray[np.floating], size: int) -> NDArray[np.float64]:
    """``(2, 3)`` similarity from the picture's pixels to those of an aligned picture of side ``size``.

    Args:
        landmarks: ``(468, 2)`` or ``(468, 3)`` of FaceMesh, in pixels of the picture.
    """
    return umeyama(np.asarray(landmarks)[list(ANCHORS), :2], canonical_points(size))


def alignment68(landmarks: NDArray[np.floating], size: int) -> NDArray[np.float64]:
    """As :func:`alignment`, from dlib's 68 landmarks ``(68, 2)``."""
    return umeyama(
        np.asarray(landmarks)[list(_ANCHORS_68)], canonical_points(size, tuple(_ANCHORS_68.values()))
    )


def square68(landmarks: NDArray[np.floating]) -> tuple[float, float, float, float]:
    """The box ``x1 y1 x2 y2`` that dlib's detector would draw around a face of FaceMesh's ``(468, 2)`` landmarks: a
    square from the brows to the chin.
    """
    points = np.asarray(landmarks, np.float64)[list(OF_68), :2]
    low, high = points.min(0), points.max(0)
    middle, half = (low + high) / 2, float((high - low).max()) / 2
    return (middle[0] - half, middle[1] - half, middle[0] + half, middle[1] + half)


def warp(pixels: NDArray[np.uint8], matrix: NDArray[np.floating], size: int) -> NDArray[np.uint8]:
    """The aligned picture ``(size, size, 3)``: interpolated between pixels, averaged over them where it shrinks.

    Coordinates are continuous, with pixel (0, 0) covering [0, 1): its middle is at (0.5, 0.5). Outside of the picture
    its edge is mirrored.

    Args:
        pixels: uint8 ``(H, W, 3)``.
        matrix: ``(2, 3)`` from :func:`alignment`.
        size: side of the result, pixels.
    """
    whole = np.vstack([np.asarray(matrix, np.float64), (0, 0, 1)])
    scale = float(np.sqrt(abs(np.linalg.det(whole[:2, :2]))))
    # where the face shrinks a lot, a larger aligned picture is made first and then averaged over areas
    factor = 1 if scale > 0.95 else int(min(np.ceil(1 / max(scale, 1e-6)), 8))
    enlarge = np.diag([factor, factor, 1.0])
    half = np.array([[1, 0, 0.5], [0, 1, 0.5], [0, 0, 1]])
    centred = np.linalg.inv(half) @ enlarge @ whole @ half
    large = cv2.warpAffine(
        np.ascontiguousarray(pixels),
        centred[:2],
        (size * factor,) * 2,
        flags=cv2.INTER_CUBIC,
        borderMode=cv2.BORDER_REFLECT_101,
    )
    if factor > 1:
        large = cv2.resize(large, (size, size), interpolation=cv2.INTER_AREA)
    return np.asarray(large, dtype=np.uint8)


def transformed(points: NDArray[np.floating], matrix: NDArray[np.floating]) -> NDArray[np.float64]:
    """Points ``(..., 2)`` through a ``(2, 3)`` matrix."""
    turned: NDArray[np.float64] = np.asarray(points, np.float64) @ np.asarray(matrix)[:, :2].T
    return turned + np.asarray(matrix)[:, 2]


def pose(landmarks: NDArray[np.floating]) -> tuple[float, float, float]:
    """Yaw, pitch and roll in degrees, from the rotation that turns the template onto the face.

    Yaw is positive when the nose points to the right of the picture, pitch when it points up, roll when the head leans
    clockwise as seen. Depth comes from the mesh, so the figures are good to some degrees.

    Args:
        landmarks: ``(468, 3)`` of FaceMesh.
    """
    face = np.asarray(landmarks, np.float64)[list(_RIGID)]
    model = np.array([TEMPLATE[index] for index in _RIGID])
    turn = umeyama(model, face)[:, :3]
    turn /= np.cbrt(np.linalg.det(turn))
    yaw = np.degrees(np.arctan2(-turn[0, 2], turn[2, 2]))
    pitch = np.degrees(np.arcsin(np.clip(turn[1, 2], -1, 1)))
    roll = np.degrees(np.arctan2(turn[1, 0], turn[1, 1]))
    return float(yaw), float(pitch), float(roll)


def face_mask(landmarks: NDArray[np.floating], size: int) -> NDArray[np.uint8]:
    """``(size, size)`` uint8, 255 inside the convex hull of all points, 0 outside, the edge between.

    Args:
        landmarks: ``(K, 2)`` in pixels of the aligned picture.
    """
    return _filled([np.asarray(landmarks, np.float32)], size, convex=True)


def detail_mask(landmarks: NDArray[np.floating], size: int) -> NDArray[np.uint8]:
    """``(size, size)`` uint8, where a face is looked at most: 255 between the lids of each eye and between the lips,
    128 on the lips, 0 elsewhere, edges between. How far eyes and mouth are open can be read from it.

    Args:
        landmarks: ``(468, 2)`` in pixels of the aligned picture.
    """
    points = np.asarray(landmarks, np.float32)
    lips, *between = (
        _filled([points[list(group)]], size, convex=group is not INNER_LIPS)
        for group in (LIPS, LEFT_EYE, RIGHT_EYE, INNER_LIPS)
    )
    return np.asarray(np.maximum.reduce([lips // 2 + lips % 2, *between]), np.uint8)


def _filled(groups: list[NDArray[np.float32]], size: int, *, convex: bool) -> NDArray[np.uint8]:
    """Polygons drawn at four times the size and averaged, so that edges fall between pixels."""
    fine = 4
    canvas = np.zeros((size * fine, size * fine), np.uint8)
    for group in groups:
        outline = cv2.convexHull(group) if convex else group
        cv2.fillPoly(canvas, [np.round(outline * fine - 0.5).astype(np.int32).reshape(-1, 1, 2)], 255)
    return np.asarray(cv2.resize(canvas, (size, size), interpolation=cv2.INTER_AREA), dtype=np.uint8)

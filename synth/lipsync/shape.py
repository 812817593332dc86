"""The face in three dimensions: where it is in each frame, what its mouth does, how it looks from the front.

FaceMesh gives 468 points in three dimensions, seen through a scaled orthographic camera. The points that an expression
hardly moves tell the head's pose; the rest, with the pose taken away, is the expression. The frontal frame is the face
seen from the front, through one fixed surface per person (:class:`synth.lipsync.texture.frontal.Frontal`), so that the
same pixel is the same place of the skin in every frame and only what moves on the face moves in it ("Synthesizing
Obama", 2017, section 4.2).
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path
from zipfile import BadZipFile
from zlib import error as ZlibError

import numpy as np
from numpy.typing import NDArray

from provenance.errors import CorruptMediaError, NoFaceError, UsageError
from synth.extraction.canonical import LEFT_EYE, RIGHT_EYE, TEMPLATE, umeyama
from synth.swap.conversion.smooth import stabilised

POINTS = 468
#: The 18 lip points as mesh points: 12 of the outer border clockwise from the corner at the left in the picture, 6 of
#: the inner border (upper from the left, lower from the right).
LIP_POINTS = (61, 40, 37, 0, 267, 270, 291, 321, 314, 17, 84, 91, 81, 13, 311, 402, 14, 178)
#: Positions among the 18 of the middles of the inner borders: their distance is the mouth's opening.
OPENING = (13, 16)
#: The corners of the mouth among the 18.
CORNERS = (0, 6)
#: The jaw line from ear to ear, from the left in the picture.
JAW = (
    *(234, 93, 132, 58, 172, 136, 150, 149, 176, 148, 152),
    *(377, 400, 378, 379, 365, 397, 288, 361, 323, 454),
)
#: Points that neither speech nor a blink moves, from which poses are read.
RIGID = (
    *(33, 133, 263, 362, 107, 336, 55, 285, 127, 356, 234, 454, 10, 151, 168, 6, 197, 195, 5, 4),
    *(2, 98, 327, 50, 280, 8, 9, 193, 417, 122, 351, 196, 419, 21, 251, 54, 284, 103, 332, 67, 297),
)
_EYES = (33, 133, 362, 263)
_STEADINESS = 0.5
Series = NDArray[np.float64]


@dataclass
class Track:
    """What is known of the target's face in a video. Rows of NaN where no face was found.

    Attributes:
        landmarks: ``(T, 468, 3)`` in pixels of the upright frames, z away from the camera; the head's trembling between
            frames is taken out, what the face does is left as it was found.
        times: ``(T,)`` seconds.
        poses: ``(T, 3, 4)``: ``pixels = poses[t] @ (x, y, z, 1)`` of a point in the person's own frame.
        openness: ``(T,)`` of the eyes, height by width.
        base: ``(468, 3)`` the person's mean face: x to the right in the picture, y down, z away, the origin between the
            eyes, 1 is the distance between the middles of the eyes.
        size: height and width of the frames.
    """

    landmarks: Series
    times: Series
    poses: Series
    openness: Series
    base: Series
    size: tuple[int, int] = field(default=(0, 0))

    @property
    def found(self) -> NDArray[np.bool_]:
        """``(T,)`` frames with a face."""
        return np.asarray(~np.isnan(self.landmarks[:, 0, 0]))

    def rebased(self, until: float) -> Track:
        """The same faces, told by a mean face of the first share ``until`` of the frames alone: for measuring on the
        rest, of whose shape nothing may be known.

        Raises:
            NoFaceError: fewer than two of these frames show a face.
        """
        base = _mean_face(self.landmarks[_taught(self.found, until)])
        poses = self.poses.copy()
        for row in np.flatnonzero(self.found):
            poses[row] = pose_of(self.landmarks[row], base)
        return replace(self, poses=poses, base=base)

    def save(self, path: Path) -> None:
        """As a NumPy archive, float32 where pixels are told."""
        with path.open("wb") as file:
            np.savez_compressed(
                file,
                landmarks=self.landmarks.astype(np.float32),
                times=self.times,
                poses=self.poses,
                openness=self.openness,
                base=self.base,
                size=np.array(self.size),
            )

    @classmethod
    def load(cls, path: Path) -> Track:
        """What :meth:`save` wrote.

        Raises:
            CorruptMediaError: it is something else.
        """
        try:
            with np.load(path, allow_pickle=False) as data:
                parts = {
                    name: np.asarray(data[name], np.float64)
                    for name in ("landmarks", "times", "poses", "openness", "base", "size")
                }
        except (OSError, ValueError, KeyError, EOFError, BadZipFile, ZlibError) as error:
            raise CorruptMediaError(f"{path} is no track of a face: {error}") from error
        size = parts.pop("size").ravel()
        many = len(parts["times"])
        shapes = {
            "landmarks": (many, POINTS, 3),
            "poses": (many, 3, 4),
            "openness": (many,),
            "base": (POINTS, 3),
        }
        if len(size) != 2 or any(parts[name].shape != shape for name, shape in shapes.items()):
            raise CorruptMediaError(f"{path} is no track of a face", hint="remove it and run again")
        return cls(size=(int(size[0]), int(size[1])), **parts)


def track_of(
    landmarks: NDArray[np.floating],
    times: NDArray[np.floating],
    size: tuple[int, int],
    until: float = 1.0,
) -> Track:
    """A track from landmarks as they were found.

    Args:
        landmarks: ``(T, 468, 3)`` pixels, NaN where there is no face.
        times: ``(T,)`` seconds, rising.
        size: height and width of the frames.
        until: share of the frames whose faces make the mean face, see :meth:`Track.rebased`.

    Raises:
        UsageError: other shapes.
        NoFaceError: fewer than two frames show a face.
    """
    points = np.asarray(landmarks, np.float64)
    if points.ndim != 3 or points.shape[1:] != (POINTS, 3) or len(times) != len(points):
        raise UsageError(f"found landmarks {points.shape} and {len(times)} times, expected (T, 468, 3)")
    found: NDArray[np.bool_] = np.asarray(np.isfinite(points).all((1, 2)))
    if found.sum() < 2:
        raise NoFaceError(
            f"{int(found.sum())} of {len(points)} frames show a face, expected two or more",
            hint="name footage of one person who looks at the camera",
        )
    points = np.where(found[:, None, None], points, np.nan)
    base = _mean_face(points[_taught(found, until)])
    steady = stabilised("savgol", points[:, :, :2], np.asarray(times, np.float64), _STEADINESS)
    whole = np.concatenate([steady, points[:, :, 2:]], -1)
    rough, poses = np.full((len(points), 3, 4), np.nan), np.full((len(points), 3, 4), np.nan)
    for row in np.flatnonzero(found):
        rough[row], poses[row] = pose_of(points[row], base), pose_of(whole[row], base)
        points[row] = apply_pose(poses[row], remove_pose(rough[row], points[row]))
    return Track(points, np.asarray(times, np.float64), poses, _openness(points), base, size)


def _taught(found: NDArray[np.bool_], until: float) -> NDArray[np.bool_]:
    """``(T,)`` frames with a face among the first share; raises NoFaceError where they are fewer than two."""
    taught = found & (np.arange(len(found)) < round(until * len(found)))
    if taught.sum() < 2:
        raise NoFaceError(
            f"{int(taught.sum())} of the first {until:.0%} of the frames show a face, expected two or more",
            hint="name footage that shows the face from its beginning",
        )
    return np.asarray(taught)


def _mean_face(points: Series) -> Series:
    """The median of the faces, each without its pose; poses and median by turns (generalized Procrustes analysis,
    Gower 1975), from the template on.
    """
    few = points[np.linspace(0, len(points) - 1, min(len(points), 150)).round().astype(int)]
    known = list(TEMPLATE)
    goal = np.array([TEMPLATE[index] for index in known])
    chosen = [index for index in known if index in RIGID]
    model = np.array([TEMPLATE[index] for index in chosen])
    base = np.median([remove_pose(umeyama(model, one[chosen]), one) for one in few], 0)
    for _ in range(2):
        base = np.median([remove_pose(pose_of(one, base), one) for one in few], 0)
    # upright and in the template's units, whatever the poses of the footage
    return remove_pose(umeyama(goal[[known.index(i) for i in chosen]], base[chosen]), base)


def pose_of(landmarks: NDArray[np.floating], base: Series) -> Series:
    """``(3, 4)``: the similarity that lays the person's face onto landmarks, by the points that do not move.

    Args:
        landmarks: ``(468, 3)`` pixels.
        base: ``(468, 3)`` of :class:`Track`.
    """
    return umeyama(base[list(RIGID)], np.asarray(landmarks, np.float64)[list(RIGID)])


def apply_pose(pose: Series, points: NDArray[np.floating]) -> Series:
    """Points ``(..., 3)`` of the person's frame to pixels (and depth in pixels)."""
    moved: Series = np.asarray(points, np.float64) @ pose[:, :3].T + pose[:, 3]
    return moved


def remove_pose(pose: Series, points: NDArray[np.floating]) -> Series:
    """The inverse of :func:`apply_pose`."""
    back: Series = (np.asarray(points, np.float64) - pose[:, 3]) @ np.linalg.inv(pose[:, :3]).T
    return back


def frontalised(track: Track) -> Series:
    """``(T, 468, 3)`` landmarks in the person's frame: the pose taken away, in distances between the eyes."""
    result = np.full_like(track.landmarks, np.nan)
    for row in np.flatnonzero(track.found):
        result[row] = remove_pose(track.poses[row], track.landmarks[row])
    return result


def mouth_shapes(track: Track) -> Series:
    """``(T, 36)``: the 18 :data:`LIP_POINTS` (x, y of the first, x, y of the second, ...) from the front, in distances
    between the eyes from the point between them; NaN where there is no face.
    """
    return frontalised(track)[:, list(LIP_POINTS), :2].reshape(len(track.times), -1)


def opening(shapes: NDArray[np.floating]) -> Series:
    """``(N,)`` how far mouths ``(N, 36)`` are open, in distances between the eyes."""
    points = np.asarray(shapes, np.float64).reshape(len(shapes), len(LIP_POINTS), 2)
    return np.asarray(np.linalg.norm(points[:, OPENING[0]] - points[:, OPENING[1]], axis=-1))


def eye_distance(pose: Series) -> float:
    """Pixels between the middles of the eyes if the face looked into the camera."""
    return float(np.cbrt(abs(np.linalg.det(pose[:, :3]))))


def _openness(points: Series) -> Series:
    """Height of the eyes' contours by their width, both eyes' mean."""
    shares = []
    for contour in (LEFT_EYE, RIGHT_EYE):
        ring = points[:, list(contour)]
        upper, lower = ring[:, 1:8], ring[:, 15:8:-1]
        width = np.linalg.norm(ring[:, 0] - ring[:, 8], axis=-1)
        shares.append(np.linalg.norm(upper - lower, axis=-1).mean(1) / np.maximum(width, 1e-6))
    return np.asarray(np.mean(shares, 0))

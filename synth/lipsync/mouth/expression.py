"""The expression of the upper face (eyes, brows, tops of the cheeks), from which the mouth model predicts smiles and
strain.

Sound does not carry expression, and half of the mouth's movement within ten seconds is expression. The target's upper
face shows it and is not replaced, so a mouth with the same expression fits the face. The published method has no such
step.

The input is pictures, not landmarks. FaceMesh places the points of eyes and brows from the whole picture: they predict
the filmed mouth almost exactly (correlation of the opening 0.9), but not once another mouth is in the same frames
(-0.2). The components are smoothed over :data:`SLOW`: faster movement is speech, which the sound predicts.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from zipfile import BadZipFile
from zlib import error as ZlibError

import cv2
import numpy as np
from numpy.typing import NDArray

from provenance.errors import CorruptMediaError
from synth.lipsync.shape import Series, Track, apply_pose, eye_distance
from synth.lipsync.texture.frontal import spline

#: Columns and rows of the small pictures, and where they lie in the person's frame (distances between the eyes).
COLUMNS, ROWS = 48, 26
_X, _Y = np.linspace(-1.15, 1.15, COLUMNS), np.linspace(-0.75, 0.45, ROWS)
_TOP, _SIDE, _APART = -0.6, 0.9, 0.05
#: Mesh points from ear to ear above which nothing is replaced (see ``lower_face`` in texture.py).
_BORDER = (234, 50, 98, 327, 280, 454)
#: Number of components, and the standard deviation of their smoothing, seconds.
NUMBERS, SLOW = 12, 0.3
Small = NDArray[np.uint8]


def upper_faces(track: Track, pictures: Iterable[NDArray[np.uint8]]) -> Small:
    """``(T, 26, 48)`` grey pictures of the upper face from the front; 0 where there is no face.

    Args:
        track: of the video.
        pictures: ``(H, W, 3)`` uint8, all of its frames in their order.
    """
    grid = np.stack(np.meshgrid(_X, _Y), -1).reshape(-1, 2)
    depth = spline(track.base[:, :2], track.base[:, 2:], grid, 0.05)
    surface = np.column_stack([grid, depth])
    result = np.zeros((len(track.times), ROWS, COLUMNS), np.uint8)
    for index, picture in enumerate(pictures):
        if index >= len(result):
            break
        if track.found[index]:
            result[index] = _small(picture, track.poses[index], surface)
    return result


def _small(picture: NDArray[np.uint8], pose: Series, surface: Series) -> Small:
    spots = apply_pose(pose, surface)[:, :2]
    blur = max(0.5, 0.5 * eye_distance(pose) * float(_X[1] - _X[0]))
    # only the part of the picture that is sampled
    low = np.clip(np.floor(spots.min(0) - 4 * blur), 0, np.array(picture.shape[1::-1]) - 1).astype(int)
    high = np.clip(np.ceil(spots.max(0) + 4 * blur), low + 1, picture.shape[1::-1]).astype(int)
    grey = cv2.cvtColor(np.ascontiguousarray(picture[low[1] : high[1], low[0] : high[0]]), cv2.COLOR_RGB2GRAY)
    soft = cv2.GaussianBlur(grey, (0, 0), blur)
    x, y = ((spots - low).astype(np.float32).reshape(ROWS, COLUMNS, 2)[..., axis] for axis in (0, 1))
    return np.asarray(cv2.remap(soft, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE), np.uint8)


def upper_face_mask(base: Series) -> NDArray[np.bool_]:
    """``(26, 48)``: pixels of the upper face, which is not replaced.

    Args:
        base: ``(468, 3)`` of :class:`synth.lipsync.shape.Track`.
    """
    x, y = base[list(_BORDER), 0], base[list(_BORDER), 1]
    above = _Y[:, None] < np.interp(_X, x, y)[None] - _APART
    left, right = _SIDE * x[0], _SIDE * x[-1]
    inside = (left < _X) & (right > _X)
    return np.asarray(above & inside[None] & (_Y[:, None] > _TOP))


def expressions(small: Small, track: Track, until: float = 1.0) -> Series | None:
    """``(T, 12)``: the upper face's principal components, the first with a standard deviation of 1, smoothed.

    Brightness and contrast are normalised. Frames without a face are interpolated from their neighbours.

    Args:
        small: of :func:`upper_faces`.
        until: share of the frames that the components are taken from.

    Returns:
        None where there are too few frames, or all pictures are equal.
    """
    found = np.flatnonzero(track.found & (small.max((1, 2)) > 0))
    taught = found[found < round(until * len(small))]
    mask = upper_face_mask(track.base)
    if len(taught) < 2 or mask.sum() < NUMBERS:
        return None
    values = small[found][:, mask].astype(np.float32)
    values -= values.mean(1, keepdims=True)
    values /= np.maximum(values.std(1, keepdims=True), 1.0)
    first = values[: len(taught)]
    mean = first.mean(0)
    spread = (first - mean).astype(np.float64)
    powers, basis = np.linalg.eigh(spread.T @ spread / len(spread))
    powers, basis = powers[::-1][:NUMBERS], basis[:, ::-1][:, :NUMBERS]
    if powers[0] < 1e-9:
        return None
    basis = basis * np.sign(basis[np.abs(basis).argmax(0), np.arange(NUMBERS)])
    scores = (values - mean) @ basis / np.sqrt(powers[0])
    every = np.stack([np.interp(track.times, track.times[found], one) for one in scores.T], 1)
    return _smoothed(every, float(np.median(np.diff(track.times))))


def _smoothed(series: Series, step: float) -> Series:
    """Smoothed by a Gaussian of :data:`SLOW`; the first and last values are repeated beyond the ends."""
    sigma = SLOW / max(step, 1e-3)
    reach = int(3 * sigma) + 1
    window = np.exp(-0.5 * (np.arange(-reach, reach + 1) / sigma) ** 2)
    padded = np.pad(series, ((reach, reach), (0, 0)), mode="edge")
    return np.stack([np.convolve(one, window / window.sum(), "valid") for one in padded.T], 1)


def load_small(file: Path, count: int) -> Small | None:
    """Read what :func:`save_small` wrote for ``count`` frames; None where there is none.

    Raises:
        CorruptMediaError: it is something else.
    """
    if not file.is_file():
        return None
    try:
        with np.load(file, allow_pickle=False) as data:
            small = data["small"]
    except (OSError, ValueError, KeyError, EOFError, BadZipFile, ZlibError) as error:
        raise CorruptMediaError(f"{file} holds no pictures of a face: {error}") from error
    if small.shape != (count, ROWS, COLUMNS) or small.dtype != np.uint8:
        raise CorruptMediaError(f"{file} holds no pictures of a face", hint="remove it and run again")
    return np.asarray(small)


def save_small(file: Path, small: Small) -> None:
    """As a NumPy archive."""
    with file.open("wb") as handle:
        np.savez_compressed(handle, small=small)

"""A drawn face that speaks: landmarks in three dimensions and frames to match, made by code."""

from __future__ import annotations

import cv2
import numpy as np

from synth.extraction.canonical import TEMPLATE
from synth.lipsync.shape import JAW, LIP_POINTS, Track, apply_pose, track_of
from synth.lipsync.texture.frontal import spline

SIZE = (260, 240)
_LIP_PLACES = [(0.42 * np.cos(a), 1.0 + 0.16 * np.sin(a)) for a in np.pi + np.arange(12) * np.pi / 6]
_INNER_PLACES = [(-0.2, 0.97), (0.0, 0.96), (0.2, 0.97), (0.2, 1.03), (0.0, 1.04), (-0.2, 1.03)]


def base_face() -> np.ndarray:
    """``(468, 3)``: the template's points where they are, lips and jaw on curves, all others spread over the face."""
    rng = np.random.default_rng(3)
    flat = np.stack([rng.uniform(-0.95, 0.95, 468), rng.uniform(-0.8, 1.6, 468)], 1)
    for index, place in zip(LIP_POINTS, _LIP_PLACES + _INNER_PLACES, strict=True):
        flat[index] = place
    for index, angle in zip(JAW, np.linspace(np.pi, 0, len(JAW)), strict=True):
        flat[index] = (1.05 * np.cos(angle), 0.4 + 1.3 * np.sin(angle))
    known = {
        index: place for index, place in TEMPLATE.items() if index not in LIP_POINTS and index not in JAW
    }
    for index, place in known.items():
        flat[index] = place[:2]
    spots = np.array(list(TEMPLATE.values()))
    face = np.column_stack([flat, spline(spots[:, :2], spots[:, 2:], flat, 0.05)])
    for index, place in known.items():
        face[index] = place
    return face


def opened(face: np.ndarray, amount: float) -> np.ndarray:
    """The lower lips and the jaw lower by ``amount`` eye distances."""
    result = face.copy()
    lower = np.array(LIP_POINTS)[[7, 8, 9, 10, 11, 15, 16, 17]]
    result[lower, 1] += amount
    result[list(JAW[5:-5]), 1] += 0.6 * amount
    return result


def camera(yaw: float, x: float, scale: float = 60.0) -> np.ndarray:
    turn = np.array([[np.cos(yaw), 0, np.sin(yaw)], [0, 1, 0], [-np.sin(yaw), 0, np.cos(yaw)]])
    return np.hstack([scale * turn, np.array([[x], [90.0], [0.0]])])


def drawn(landmarks: np.ndarray) -> np.ndarray:
    """A frame: background, a skin-coloured head with a neck, dark inside of the mouth, red lips."""
    height, width = SIZE
    rows, columns = np.mgrid[0:height, 0:width].astype(np.float32)
    picture = np.dstack([40 + columns * 0.1, 90 + rows * 0.1, np.full_like(rows, 120)]).astype(np.uint8)
    flat = landmarks[:, :2]

    def fill(points: np.ndarray, colour: tuple[int, int, int]) -> None:
        cv2.fillPoly(picture, [np.round((points - 0.5) * 16).astype(np.int32)], colour, cv2.LINE_AA, 4)

    chin = flat[152]
    fill(chin + np.array([(-35, -30), (35, -30), (35, 80), (-35, 80)]), (150, 110, 90))
    fill(cv2.convexHull(flat.astype(np.float32))[:, 0], (205, 160, 140))
    lips = flat[list(LIP_POINTS)]
    fill(lips[:12], (170, 70, 70))
    fill(np.concatenate([lips[12:15], lips[15:18]]), (40, 20, 20))
    return picture


def speaking(count: int) -> tuple[Track, list[np.ndarray], np.ndarray]:
    """The track, the frames, and how far the mouth is opened in each."""
    face, steps = base_face(), np.arange(count)
    gaps = 0.12 * (1 - np.cos(steps * 0.7))
    poses = [camera(0.15 * np.sin(step * 0.3), 120 + 3 * np.sin(step * 0.2)) for step in steps]
    landmarks = np.stack([apply_pose(pose, opened(face, gap)) for pose, gap in zip(poses, gaps, strict=True)])
    frames = [drawn(one) for one in landmarks]
    return track_of(landmarks, steps / 25, SIZE), frames, gaps

"""Footage whose mouth is open wider than the made one: nothing of it is left below."""

from __future__ import annotations

from itertools import islice
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from cloak.video.io import frames, probe
from synth.extraction.finder import FaceFinder
from synth.lipsync.follow import track_face
from synth.lipsync.shape import (
    LIP_POINTS,
    RIGID,
    Track,
    apply_pose,
    mouth_shapes,
    opening,
    track_of,
)
from synth.lipsync.texture.candidates import Candidates
from synth.lipsync.texture.compositor import Compositor
from synth.lipsync.texture.frontal import Frontal
from synth.lipsync.texture.texture import synthesize_textures
from synth.lipsync.wide_mouth import joined
from tests.support.video_clips import write_clip
from tests.synth.lipsync.lipsync_face import SIZE, base_face, camera, drawn, opened, speaking

torch.set_num_threads(1)
#: Of one lip, from corner to corner: its outer border, then its inner one back.
LOWER_LIP = (91, 84, 17, 314, 321, 402, 14, 178)


def dropped(pixels: np.ndarray, landmarks: np.ndarray, amount: float) -> tuple[np.ndarray, np.ndarray]:
    """A frame whose jaw hangs lower by ``amount`` pixels, the mouth's inside stretched and the neck pressed together;
    and the landmarks that belong to it.
    """
    height, width = pixels.shape[:2]
    span = float(np.linalg.norm(landmarks[263, :2] - landmarks[33, :2]))
    upper, lower, chin = (float(landmarks[one, 1]) for one in (13, 14, 152))
    rows, columns = np.mgrid[0:height, 0:width].astype(np.float32)

    def beside(x: np.ndarray) -> np.ndarray:
        away = np.clip(np.abs(x - landmarks[14, 0]) / span, 0, 1)
        return np.asarray(np.cos(np.pi / 2 * away) ** 2)

    share = np.interp(
        rows, [upper, lower + amount, chin + amount, chin + amount + 1.5 * max(amount, 1)], [0, 1, 1, 0]
    )
    shift = (amount * beside(columns) * share).astype(np.float32)
    moved = landmarks.copy()
    below = np.clip((landmarks[:, 1] - upper) / (lower - upper), 0, 1)
    moved[:, 1] += amount * beside(landmarks[:, 0]) * below
    return cv2.remap(pixels, columns, rows - shift, cv2.INTER_CUBIC), moved


def inside(outline: np.ndarray, size: tuple[int, ...]) -> np.ndarray:
    """``(H, W)`` bool of an outline ``(K, 2)``."""
    mask = np.zeros(size[:2], np.uint8)
    cv2.fillPoly(mask, [np.round(outline).astype(np.int32)], 1)
    return mask > 0


class Laid:
    """The most closed mouth of some footage, laid onto its other frames."""

    def __init__(self, track: Track, shown: list[np.ndarray], without: int) -> None:
        self.track, self.shown = track, shown
        kept = Candidates.collect(track, enumerate(shown), Frontal.of(track), lambda one: one != without)
        shapes = mouth_shapes(track)
        self.shape = shapes[int(np.argmin(opening(shapes)))]
        self.texture, self.alpha = next(synthesize_textures(self.shape[None], kept))

    def onto(self, *rows: int, pixels: np.ndarray | None = None) -> np.ndarray:
        """The last of the rows, composited after the others; its picture is ``pixels`` where some are given."""
        compositor = Compositor(self.track)
        for row in rows:
            picture = self.shown[row] if pixels is None or row != rows[-1] else pixels
            made = compositor.compose(
                picture, self.track.landmarks[row], self.texture, self.alpha, self.shape
            )
        return made

    def shows_through(self, *rows: int, where: np.ndarray) -> float:
        """Share of a change of the filmed pixels in ``where`` that is seen in what is made of the last row."""
        filmed = self.shown[rows[-1]]
        other = filmed.astype(int)
        other[where] += np.where(other[where] < 128, 40, -40)
        gap = self.onto(*rows, pixels=other.astype(np.uint8)).astype(int) - self.onto(*rows)
        return float(np.abs(gap[where]).mean() / 40)


@pytest.fixture(scope="module")
def filmed(test_data: Path) -> list[np.ndarray]:
    """Frames of the contracted model, half size; the last one has the mouth open."""
    clip, wanted = probe(test_data / "media" / "talking" / "model1.mp4"), {*range(0, 50, 3), 110}
    every = (one.rgb() for one in islice(frames(clip), 111) if one.index in wanted)
    return [cv2.resize(one, (540, 960), interpolation=cv2.INTER_AREA) for one in every]


@pytest.mark.vectors
def test_nothing_of_a_wide_open_mouth_is_left(filmed: list[np.ndarray], tmp_path: Path) -> None:
    finder = FaceFinder()
    found = finder.find(filmed[-1])[0]
    wide, true = dropped(filmed[-1], found.landmarks.astype(float), 0.45 * found.span)
    shown = [*filmed[:-1], wide]
    track, last = track_face(write_clip(tmp_path / "wide.mp4", shown, crf=4), finder), len(filmed) - 1
    lip = inside(true[list(LOWER_LIP), :2], wide.shape)
    assert lip.sum() > 150
    # 0.29 where lips and chin are read once
    assert Laid(track, shown, last).shows_through(last, where=lip) < 0.12


def test_a_mouth_that_opens_from_one_frame_to_the_next_is_covered() -> None:
    track, shown, gaps = speaking(24)
    pose, face = camera(0.0, 120), opened(base_face(), 0.7)
    wide = apply_pose(pose, face)
    track = track_of(np.concatenate([track.landmarks, wide[None]]), np.arange(25) / 25, SIZE)
    shown, shut = [*shown, drawn(wide)], int(np.argmin(gaps))
    lip = inside(wide[list(LOWER_LIP), :2], SIZE)
    laid = Laid(track, shown, 24)
    # 0.07 and 0.25 where only the lower face down to its chin, as a mean over frames, is replaced
    assert laid.shows_through(24, where=lip) < 0.05
    assert laid.shows_through(shut, shut, 24, where=lip) < 0.05


def test_a_wider_second_reading_lowers_lip_and_chin_alone() -> None:
    pose = camera(0.1, 120)
    first = apply_pose(pose, opened(base_face(), 0.2))
    wider = apply_pose(pose, opened(base_face(), 0.5)) + np.array([3.0, -2.0, 0.0])
    both = joined(first, wider)
    upper = sorted({*RIGID, *LIP_POINTS[1:6], *LIP_POINTS[12:15]})
    assert np.array_equal(both[upper], first[upper]), "what is above the mouth's slit stays"
    low = [LIP_POINTS[8], LIP_POINTS[9], LIP_POINTS[16], 152]
    assert np.allclose(both[low, 1] - first[low, 1], (wider - first)[low, 1] + 2, atol=1.0)
    assert np.ptp((both - first)[:, 0]) < 1.0, "nothing goes to the side of an upright face"


def test_readings_that_differ_as_readings_do_change_nothing() -> None:
    first = apply_pose(camera(0.1, 120), opened(base_face(), 0.2))
    for amount in (0.0, 0.1, 0.25):
        assert np.array_equal(joined(first, apply_pose(camera(0.1, 120), opened(base_face(), amount))), first)

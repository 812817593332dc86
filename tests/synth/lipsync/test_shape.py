"""Poses, frontal shapes, the frontal frame and the way back, half-frames."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from provenance.errors import CorruptMediaError, NoFaceError, UsageError
from synth.lipsync.film.halfframes import half_frame
from synth.lipsync.follow import track_face
from synth.lipsync.shape import (
    Track,
    apply_pose,
    frontalised,
    mouth_shapes,
    opening,
    pose_of,
    remove_pose,
    track_of,
)
from synth.lipsync.texture.frontal import Frontal, sampled, spline
from tests.support.video_clips import write_clip
from tests.synth.lipsync.lipsync_face import SIZE, base_face, camera, opened, speaking


@pytest.fixture(scope="module")
def speech() -> tuple[Track, list[np.ndarray], np.ndarray]:
    return speaking(30)


def test_a_pose_is_found_again() -> None:
    face = base_face()
    pose = camera(0.3, 50.0, 44.0)
    assert np.allclose(pose_of(apply_pose(pose, face), face), pose, atol=1e-6)
    assert np.allclose(remove_pose(pose, apply_pose(pose, face)), face)


def test_speech_does_not_turn_the_head_and_the_head_does_not_speak(speech) -> None:
    track, _, gaps = speech
    measured = opening(mouth_shapes(track))
    assert np.corrcoef(measured, gaps)[0, 1] > 0.999
    assert np.allclose(measured - measured.min(), gaps - gaps.min(), atol=0.02)
    still = frontalised(track)[:, [4, 2, 33, 263]]
    assert np.ptp(still, axis=0).max() < 0.02


def test_frames_without_a_face_stay_without(speech) -> None:
    landmarks = speech[0].landmarks.copy()
    landmarks[4:6] = np.nan
    track = track_of(landmarks, speech[0].times, SIZE)
    assert np.flatnonzero(~track.found).tolist() == [4, 5]
    assert np.isnan(mouth_shapes(track)[4:6]).all() and np.isfinite(mouth_shapes(track)[6:]).all()
    with pytest.raises(NoFaceError):
        track_of(np.full((5, 468, 3), np.nan), np.arange(5.0), SIZE)
    with pytest.raises(UsageError):
        track_of(landmarks[:, :400], speech[0].times, SIZE)


def test_whoever_stops_need_not_wait_for_the_last_frame(tmp_path: Path) -> None:
    class Finder:
        asked = 0

        def find(self, pixels: np.ndarray) -> list[object]:
            self.asked += 1
            return []

    clip = write_clip(tmp_path / "a.mp4", [np.zeros((64, 64, 3), np.uint8)] * 9)
    finder = Finder()
    with pytest.raises(KeyboardInterrupt):
        track_face(clip, finder, stop=lambda: finder.asked >= 3)
    assert finder.asked == 3


def test_a_track_is_kept(speech, tmp_path: Path) -> None:
    file = tmp_path / "track.npz"
    speech[0].save(file)
    kept = Track.load(file)
    assert np.allclose(kept.landmarks, speech[0].landmarks, atol=1e-3) and kept.size == SIZE
    file.write_bytes(file.read_bytes()[:500])
    with pytest.raises(CorruptMediaError):
        Track.load(file)


def test_the_frontal_frame_keeps_the_skin_in_its_place(speech) -> None:
    track = speech[0]
    frontal = Frontal.of(track)
    points = [50, 280, 2, 98, 327, 61, 291]
    x, y = np.floor(frontal.pixels_of(track.base[points])).astype(int).T
    for row in (2, 5, 15):  # turned by 5 degrees and more to either side
        read = frontal.places(track.poses[row])[y, x]
        there = apply_pose(track.poses[row], track.base[points])[:, :2]
        assert np.linalg.norm(read - there, axis=1).max() < 0.05 * 60


def test_back_is_the_inverse_of_frontal(speech) -> None:
    track = speech[0]
    frontal = Frontal.of(track)
    box = frontal.box(track.landmarks[3], SIZE)
    back = frontal.back(track.landmarks[3], box)
    spots = frontal.places(pose_of(track.landmarks[3], track.base)).astype(np.float64)
    # where a pixel comes from, sent forward again, is the pixel
    forward = sampled(spots.astype(np.float32), back)
    rows, columns = np.mgrid[box[0] : box[1], box[2] : box[3]] + 0.5
    gap = np.hypot(forward[..., 0] - columns, forward[..., 1] - rows)[20:-20, 20:-20]
    assert np.percentile(gap, 99) < 0.5
    with pytest.raises(UsageError):
        Frontal.of(track, 4000)


def test_a_spline_passes_through_its_points() -> None:
    rng = np.random.default_rng(1)
    spots, values = rng.random((12, 2)), rng.random((12, 3))
    assert np.allclose(spline(spots, values, spots), values, atol=1e-6)
    line = spots @ np.array([[2.0], [3.0]]) + 1
    assert np.allclose(spline(spots, line, np.array([[5.0, 5.0]])), 26, atol=1e-5)


def test_half_way_is_half_way() -> None:
    rng = np.random.default_rng(2)
    picture = cv2.GaussianBlur(rng.integers(0, 256, (160, 200, 3), np.uint8), (0, 0), 3)
    picture = cv2.normalize(picture, None, 0, 255, cv2.NORM_MINMAX)
    shifted = {step: np.roll(picture, step, 1) for step in (0, 3, 6)}
    made = half_frame(shifted[0], shifted[6]).astype(int)[20:-20, 20:-20]
    gap = np.abs(made - shifted[3].astype(int)[20:-20, 20:-20]).mean()
    mean = (shifted[0].astype(int) + shifted[6])[20:-20, 20:-20] / 2
    assert gap < 0.4 * np.abs(mean - shifted[3].astype(int)[20:-20, 20:-20]).mean()
    assert np.abs(half_frame(picture, picture).astype(int) - picture).max() <= 1
    with pytest.raises(UsageError):
        half_frame(picture, picture[:50])


def test_opening_a_mouth_moves_only_mouth_and_jaw() -> None:
    face = base_face()
    assert np.allclose(opened(face, 0.2)[33], face[33])
    shapes = mouth_shapes(
        track_of(
            np.stack([apply_pose(camera(0, 9), opened(face, g)) for g in (0.0, 0.2)] * 2),
            np.arange(4.0),
            SIZE,
        )
    )
    assert np.isclose(np.ptp(opening(shapes)), 0.2, atol=0.01)

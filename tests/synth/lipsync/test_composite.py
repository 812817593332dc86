"""What compositing changes and what it leaves."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from provenance.errors import UsageError
from synth.lipsync.shape import LIP_POINTS, Track, apply_pose, frontalised, mouth_shapes, opening
from synth.lipsync.texture.candidates import MOVING_JAW, Candidates
from synth.lipsync.texture.compositor import CHANGED_BELOW, CompositeOptions, Compositor
from synth.lipsync.texture.frontal import Frontal
from synth.lipsync.texture.jaw import JawModel, corrected, goal_line, jaw_band
from synth.lipsync.texture.texture import TextureOptions, synthesize_textures
from tests.synth.lipsync.lipsync_face import speaking


@pytest.fixture(scope="module")
def person() -> tuple[Track, list[np.ndarray], Candidates]:
    track, frames, _ = speaking(30)
    return track, frames, Candidates.collect(track, enumerate(frames), Frontal.of(track))


def laid(person, mouth: int, onto: int, compositor: Compositor | None = None) -> np.ndarray:
    track, frames, candidates = person
    shape = mouth_shapes(track)[mouth : mouth + 1]
    texture, alpha = next(synthesize_textures(shape, candidates, TextureOptions(best=4)))
    return (compositor or Compositor(track)).compose(
        frames[onto], track.landmarks[onto], texture, alpha, shape[0]
    )


def test_eyes_and_forehead_are_the_targets_to_the_byte(person) -> None:
    track, frames, _ = person
    gaps = opening(mouth_shapes(track))
    wide, shut = int(np.argmax(gaps)), int(np.argmin(gaps))
    made = laid(person, wide, shut)
    edge = min(
        apply_pose(track.poses[shut], np.array([[x, CHANGED_BELOW, -0.6], [x, CHANGED_BELOW, 0.4]]))[
            :, 1
        ].min()
        for x in (-1, 1)
    )
    assert np.array_equal(made[: int(edge) - 1], frames[shut][: int(edge) - 1])
    assert np.array_equal(made[:, :20], frames[shut][:, :20])
    assert (made != frames[shut]).any(-1).mean() > 0.01


def test_the_mouth_is_the_wanted_one(person) -> None:
    track, frames, _ = person
    gaps = opening(mouth_shapes(track))
    wide, shut = int(np.argmax(gaps)), int(np.argmin(gaps))
    made = laid(person, wide, shut)
    x, y = apply_pose(track.poses[shut], np.array([0.0, 1.08, -0.3]))[:2].astype(int)
    # the dark inside of an open mouth, where the closed one had lip
    assert made[y - 2 : y + 3, x - 3 : x + 4].mean() < 0.7 * frames[shut][y - 2 : y + 3, x - 3 : x + 4].mean()


def test_its_own_mouth_changes_little(person) -> None:
    _, frames, _ = person
    gap = np.abs(laid(person, 10, 10).astype(int) - frames[10])
    assert gap.mean() < 1.0 and np.percentile(gap, 99) < 40


def test_going_on_from_a_state_is_the_same(person) -> None:
    track = person[0]
    whole = Compositor(track)
    laid(person, 4, 6, whole)
    again = Compositor(track)
    again.restore(whole.state())
    assert np.array_equal(laid(person, 5, 7, whole), laid(person, 5, 7, again))
    with pytest.raises(UsageError):
        again.restore({"light": np.zeros((2, 2, 3))})
    with pytest.raises(UsageError):
        CompositeOptions(steady=1.0)


def test_light_comes_slowly(person) -> None:
    """The gain is the mean of those before, each counting less than the one after it."""
    track, frames, candidates = person
    dark = (frames[6] * 0.75).astype(np.uint8)
    shape = mouth_shapes(track)[4:5]
    texture, alpha = next(synthesize_textures(shape, candidates, TextureOptions(best=4)))

    def gain(*shown: np.ndarray) -> np.ndarray:
        compositor = Compositor(track, CompositeOptions(steady=0.6))
        for one in shown:
            compositor.compose(one, track.landmarks[6], texture, alpha, shape[0])
        return compositor.state()["light"]

    bright, dim = gain(frames[6]), gain(dark)
    assert np.abs(bright - dim).max() > 0.1
    assert gain(frames[6], dark) == pytest.approx(0.6 * bright + 0.4 * dim, abs=1e-5)


def test_layers_show_what_a_frame_is_made_of(person) -> None:
    track = person[0]
    compositor = Compositor(track)
    side = compositor.frontal.side
    assert compositor.layers().shape == (side, 2 * side, 3) and not compositor.layers().any()
    laid(person, 4, 6, compositor)
    masks = compositor.layers()[:, side:]
    x, y = compositor.frontal.pixels_of(np.array([0.0, 1.0])).astype(int)
    assert masks[y, x, 0] > 200 and masks[y, x, 2] < 60, "the mouth is lower face, and no neck"
    assert not masks[:20, :, 0].any() and not masks[:20, :, 2].any(), "nothing of them is forehead"
    assert compositor.layers()[y, x].any()


def test_held_out_frames_teach_the_jaw_nothing(person) -> None:
    track = person[0]
    shape = mouth_shapes(track)[4]
    late = track.landmarks.copy()
    late[20:, list(MOVING_JAW)] += np.array([9.0, 5.0, 0.0])
    other = replace(track, landmarks=late)
    assert np.allclose(JawModel(other, 0.6).jaw(shape), JawModel(track, 0.6).jaw(shape))
    assert not np.allclose(JawModel(other).jaw(shape), JawModel(track).jaw(shape), atol=1e-3)


def test_the_jaw_goes_with_the_mouth(person) -> None:
    track = person[0]
    model, face = JawModel(track), frontalised(track)
    real = face[:, list(MOVING_JAW), :2]
    guessed = np.stack([model.jaw(one) for one in mouth_shapes(track)])
    assert np.abs(guessed - real).max() < 0.03 < np.ptp(real[..., 1], axis=0).max()


def test_jaw_correction_moves_the_jaw_and_not_the_lips(person) -> None:
    track, frames, candidates = person
    frontal = candidates.frontal
    gaps = opening(mouth_shapes(track))
    wide, shut = int(np.argmax(gaps)), int(np.argmin(gaps))
    views = [frontal.frontal(frames[one], track.landmarks[one]) for one in (wide, shut)]
    face = frontalised(track)
    made, filmed = (frontal.pixels_of(face[one][list(MOVING_JAW)]) for one in (wide, shut))
    lips = frontal.pixels_of(face[wide][list(LIP_POINTS)])
    goal = goal_line(made, filmed, 1.0)
    assert np.allclose(goal, filmed)
    assert np.allclose(goal_line(made, filmed, 0.0)[[0, -1]], filmed[[0, -1]])
    _, spots = corrected(frontal, views[0], views[1], made, goal, lips)
    middle = len(made) // 2
    x, y = goal[middle].astype(int)
    assert abs(spots[y, x, 1] - made[middle, 1]) < 0.12 * frontal.unit
    assert abs(goal[middle, 1] - made[middle, 1]) > 0.1 * frontal.unit
    x, y = lips[3].astype(int)
    assert np.abs(spots[y, x] - (x + 0.5, y + 0.5)).max() < 2
    band = jaw_band(goal, frontal.side, frontal.unit)
    assert band[y, x] < 0.05 and 0.9 < band.max() <= 1

"""Which of the four layers is seen where, and how they are blended."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from synth.lipsync.shape import LIP_POINTS, Track
from synth.lipsync.texture import jaw
from synth.lipsync.texture.frontal import Frontal
from synth.lipsync.texture.jaw import corrected
from synth.lipsync.texture.layers import Colour, background, face_layer_mask, neck_mask, stacked, torso_mask
from tests.synth.lipsync.lipsync_face import speaking

SKIN, SHIRT, WALL = (205, 160, 135), (40, 70, 160), (120, 130, 120)


@pytest.fixture(scope="module")
def track() -> Track:
    return speaking(12)[0]


@pytest.fixture(scope="module")
def frontal(track: Track) -> Frontal:
    return Frontal.of(track)


def jaw_line(frontal: Frontal) -> np.ndarray:
    """An arc below the mouth, from one corner of the jaw to the other; pixels."""
    turn = np.linspace(np.pi, 0, 17)
    side, low = frontal.side, frontal.pixels_of(frontal.base[[17]])[0, 1]
    return np.stack([side / 2 + 0.33 * side * np.cos(turn), low + 0.12 * side * np.sin(turn)], -1)


def painted(side: int, colour: tuple[int, int, int], seed: int = 0) -> np.ndarray:
    noise = np.random.default_rng(seed).normal(0, 3, (side, side, 3))
    return np.clip(np.array(colour) + noise, 0, 255).astype(np.uint8)


def test_the_lower_face_is_before_the_torso_before_the_neck_before_the_rest() -> None:
    filmed, made = (np.full((160, 160, 3), level, np.uint8) for level in (40, 200))
    rows = np.arange(160)[:, None] * np.ones((1, 160))
    face, torso, neck = (
        ((rows >= a) & (rows < b)).astype(np.float32) for a, b in ((0, 64), (32, 128), (96, 160))
    )
    seen = stacked(filmed, made, neck, torso, face)[:, 80, 0].astype(int)
    assert seen[20] > 180, "the face alone"
    assert seen[48] > 160, "the face before the torso"
    assert seen[80] < 80, "the torso alone is filmed"
    assert seen[112] < 80, "the torso before the neck"
    assert seen[148] > 180, "the neck before the rest"
    nothing = np.zeros((160, 160), np.float32)
    assert np.abs(stacked(filmed, made, nothing, nothing, nothing).astype(int) - filmed).max() <= 1


def test_layers_meet_softly_in_what_is_coarse() -> None:
    filmed, made = (np.full((128, 128, 3), level, np.uint8) for level in (60, 180))
    face = np.zeros((128, 128), np.float32)
    face[:64] = 1
    nothing = np.zeros_like(face)
    seen = stacked(filmed, made, nothing, nothing, face)[:, 64, 0].astype(int)
    # a mask that is sharp leaves no step: some pixels on either side the two are mixed
    assert 65 < seen[68] < 175 and 65 < seen[60] < 175


def test_a_background_counts_only_where_it_is_of_one_colour(frontal: Frontal) -> None:
    line = jaw_line(frontal)
    plain = painted(frontal.side, WALL)
    found = background(frontal, plain, line)
    assert found is not None and found.likeness(plain).mean() > 0.9
    assert found.likeness(painted(frontal.side, SKIN)).mean() < 0.1
    two = plain.copy()
    two[:, : frontal.side // 2] = (250, 240, 20)
    assert background(frontal, two, line) is None


def test_the_neck_lies_below_the_jaw(frontal: Frontal) -> None:
    line = jaw_line(frontal)
    mask = neck_mask(frontal, line, line + np.array((0, 4)))
    x, y = (int(one) for one in line[8])
    assert mask[min(frontal.side - 1, y + int(0.1 * frontal.unit)), x] > 0.9
    assert mask[y - int(0.5 * frontal.unit), x] < 0.05 and mask[y, 2] < 0.05
    # of a chin near the view's end it has no edge there
    low = neck_mask(frontal, line, line + np.array((0, 0.5 * frontal.unit)))
    assert low[-1].max() < 0.02 and np.abs(np.diff(low, axis=0)).max() < 0.2


def test_a_shirt_and_a_plain_wall_stay_as_filmed_and_skin_does_not(frontal: Frontal) -> None:
    side, line = frontal.side, jaw_line(frontal)
    texture = painted(side, SKIN)
    target = painted(side, SKIN, 1)
    below = min(side - 8, int(line[:, 1].max()) + 6)
    target[below:] = painted(side, SHIRT, 2)[below:]
    skin = Colour.of(texture[:20].reshape(-1, 3), (6.0, 5.0, 5.0))
    mask = torso_mask(frontal, target, texture, skin, line)
    assert mask[side - 3, side // 2] > 0.8, "the shirt"
    assert mask[int(line[8, 1]) - int(0.3 * frontal.unit), side // 2] < 0.1, "the face"
    # a wall of the skin's own colour beside the jaw is told by being of one colour
    assert background(frontal, texture, line) is not None
    assert torso_mask(frontal, texture, texture, skin, line)[int(line[:, 1].max()) + 3, 2] > 0.8


def test_hair_at_the_side_is_not_replaced_and_the_mouth_always_is(frontal: Frontal) -> None:
    side = frontal.side
    texture, target = painted(side, SKIN), painted(side, SKIN, 1)
    lips = frontal.pixels_of(frontal.base[list(LIP_POINTS)])
    x, y = (int(one) for one in lips[:12].mean(0))
    target[:, : side // 8] = (25, 20, 18)
    target[y - 4 : y + 4, x - 4 : x + 4] = (25, 20, 18)
    skin = Colour.of(texture.reshape(-1, 3), (6.0, 5.0, 5.0))
    mask = face_layer_mask(frontal, target, texture, np.ones((side, side), np.float32), lips, skin)
    assert mask[y, side // 16] < 0.1 and mask[y, x] == pytest.approx(1) and mask[y, 3 * side // 4] > 0.9


def test_flow_brings_the_jaws_ends_nearer(
    frontal: Frontal, track: Track, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The texture is 3 pixels off to the side, of which the landmarks say nothing."""
    draws = np.random.default_rng(5)
    rough = cv2.GaussianBlur(draws.normal(0, 1, (frontal.side, frontal.side, 3)), (0, 0), 4)
    target = np.clip(128 + 400 * rough, 0, 255).astype(np.uint8)
    texture = np.roll(target, 3, axis=1)
    line, lips = jaw_line(frontal), frontal.pixels_of(frontal.base[list(LIP_POINTS)])
    ends = [tuple(int(one) for one in line[place]) for place in (1, 15)]

    def gap(picture: np.ndarray) -> float:
        near = [np.s_[y - 3 : y + 4, x - 3 : x + 4] for x, y in ends]
        return float(np.mean([np.abs(picture[one].astype(float) - target[one]).mean() for one in near]))

    made, read = corrected(frontal, texture, target, line, line, lips)
    monkeypatch.setattr(jaw, "_flow", lambda *_: np.zeros((frontal.side, frontal.side, 2), np.float32))
    without, still = corrected(frontal, texture, target, line, line, lips)
    assert gap(made) < 0.75 * gap(without)
    x, y = (int(one) for one in lips[:12].mean(0))
    assert np.abs(read - still)[y, x].max() < 0.5, "the lips stay"

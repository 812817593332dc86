"""The parts of a conversion: colours, masks, blending, smoothing, flicker, measures."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks.synth import swap_measures as measure
from provenance.errors import UsageError
from synth.extraction.canonical import POINTS, TEMPLATE, canonical_points
from synth.measure.stats import correlation
from synth.swap.conversion import blend, colour, masks, smooth
from synth.swap.flicker import FlickerMeter

_SIDE = 64


def _face(seed: int = 0, low: float = 0.2, high: float = 0.8) -> np.ndarray:
    draws = np.random.default_rng(seed)
    rough = draws.uniform(low, high, (8, 8, 3)).astype(np.float32)
    return np.clip(cv2.resize(rough, (_SIDE, _SIDE), interpolation=cv2.INTER_LINEAR), 0, 1)


def _landmarks() -> np.ndarray:
    """The template's points in their places, all others in the middle of the face."""
    points = np.tile(canonical_points(_SIDE).mean(0), (POINTS, 1))
    known = tuple(TEMPLATE)
    points[list(known)] = canonical_points(_SIDE, known)
    return points


def _hull() -> np.ndarray:
    return masks.shaped("hull", np.zeros((_SIDE, _SIDE), np.float32), _landmarks())


# --- colours


@pytest.mark.parametrize("method", [one for one in colour.METHODS if one != "none"])
def test_a_cast_is_taken_back(method: str) -> None:
    """What differs by light only comes out alike on the face."""
    goal, everywhere = _face(1), np.ones((_SIDE, _SIDE), np.float32)
    made = np.clip(goal * (0.8, 0.9, 0.95) + (0.12, 0.03, -0.03), 0, 1).astype(np.float32)
    matched = colour.apply(method, made, colour.fit(method, made, goal, everywhere))
    assert np.abs(matched - goal).mean() < 0.4 * np.abs(made - goal).mean()
    assert matched.dtype == np.float32 and matched.min() >= 0 and matched.max() <= 1


@pytest.mark.parametrize("method", colour.METHODS)
def test_alike_stays_alike_and_an_empty_mask_changes_nothing(method: str) -> None:
    face = _face(2)
    for weight in (np.ones((_SIDE, _SIDE), np.float32), np.zeros((_SIDE, _SIDE), np.float32)):
        vector = colour.fit(method, face, face, weight)
        assert vector.shape == colour.identity(method).shape
        assert np.abs(colour.apply(method, face, vector) - face).max() < 0.02


def test_the_linear_map_gives_mean_and_covariance() -> None:
    made, goal = _face(3), _face(4, 0.3, 0.7)
    matched = colour.apply(
        "linear", made, colour.fit("linear", made, goal, np.ones((_SIDE, _SIDE), np.float32))
    )
    a, b = matched.reshape(-1, 3), goal.reshape(-1, 3)
    assert np.allclose(a.mean(0), b.mean(0), atol=0.01) and np.allclose(np.cov(a.T), np.cov(b.T), atol=0.004)


def test_unknown_names_are_refused() -> None:
    face, mask = _face(), _hull()
    with pytest.raises(UsageError):
        colour.fit("magic", face, face, mask)
    with pytest.raises(UsageError):
        masks.shaped("star", mask, _landmarks())
    with pytest.raises(UsageError):
        blend.blended("glue", np.zeros((9, 9, 3), np.uint8), np.zeros((9, 9, 3), np.uint8), np.zeros((9, 9)))
    with pytest.raises(UsageError):
        smooth.smoothed("wish", np.zeros((3, 1)), np.arange(3), 1)


# --- masks


def test_shapes_of_masks() -> None:
    hull, learned = _hull(), np.full((_SIDE, _SIDE), 0.7, np.float32)
    ellipse, own = (masks.shaped(shape, learned, _landmarks()) for shape in ("ellipse", "learned"))
    both = np.minimum(hull, ellipse).sum() / np.maximum(hull, ellipse).sum()
    assert 0.85 < both < 1, "the ellipse lies where the hull lies"
    assert own.max() == pytest.approx(0.7) and own[0, 0] == 0, (
        "what the decoder says counts near the hull only"
    )
    assert own.sum() > 0.7 * hull.sum()


@settings(max_examples=20, deadline=None)
@given(st.floats(-0.2, 0.2), st.floats(0, 0.25))
def test_growth_and_border(share: float, border: float) -> None:
    hull = _hull()
    grown = masks.grown(hull, share)
    assert (grown >= hull).all() if share > 0 else (grown <= hull).all()
    soft = masks.soft_border(grown, border)
    assert soft.min() >= 0 and soft.max() <= 1
    edge = np.concatenate([soft[0], soft[-1], soft[:, 0], soft[:, -1]])
    assert edge.max() < 0.06, "no seam at the edge of the aligned picture"
    wide = np.abs(np.diff(soft, axis=1)).max()
    assert border < 0.05 or wide < 0.35, "a border fades"


# --- blending


@pytest.mark.parametrize("method", blend.METHODS)
@pytest.mark.parametrize("size", [(40, 41), (41, 40), (33, 57)])
def test_a_face_laid_over_itself_changes_nothing(method: str, size: tuple[int, int]) -> None:
    frame = (cv2.resize(_face(5), (120, 100)) * 255).astype(np.uint8)
    mask = np.zeros((100, 120), np.float32)
    mask[20 : 20 + size[0], 30 : 30 + size[1]] = 1
    mask = cv2.GaussianBlur(mask, (0, 0), 3)
    assert np.abs(blend.blended(method, frame, frame, mask).astype(int) - frame).max() <= 2


@pytest.mark.parametrize("method", blend.METHODS)
def test_outside_nothing_changes_and_inside_the_face_arrives(method: str) -> None:
    draws = np.random.default_rng(0)
    frame = draws.integers(80, 140, (160, 180, 3), dtype=np.uint8)
    made = np.full_like(frame, 110)
    made[70:90, 80:100] = (200, 40, 40)
    mask = np.zeros((160, 180), np.float32)
    cv2.ellipse(mask, (90, 80), (45, 50), 0, 0, 360, 1, -1)
    mask = cv2.GaussianBlur(mask, (0, 0), 3)
    result = blend.blended(method, frame, made, mask)
    far = cv2.dilate((mask > 1e-3).astype(np.uint8), np.ones((41, 41), np.uint8)) == 0
    assert (result[far] == frame[far]).all() and far.any()
    middle = result[75:85, 85:95].reshape(-1, 3).mean(0)
    assert middle[0] - middle[1] > 100, "the red patch is there"
    assert result[60:65, 60:65].std() < 12, "the frame's noise is not"
    assert (blend.blended(method, frame, made, np.zeros_like(mask)) == frame).all()


# --- smoothing


@pytest.mark.parametrize("method", ["savgol", "one-euro", "mean"])
def test_trembling_gets_less_and_movement_stays(method: str) -> None:
    times = np.arange(60) / 25
    path = np.stack([40 * times, 30 + 0 * times], 1)
    shaky = path + np.random.default_rng(0).normal(0, 1.0, path.shape)
    calm = smooth.smoothed(method, shaky, times, 0.6)
    trembling = [np.abs(np.diff(one, 2, axis=0)).mean() for one in (shaky, calm)]
    assert trembling[1] < 0.5 * trembling[0]
    assert np.abs(calm - path)[8:-8].mean() < 1.5


@pytest.mark.parametrize("method", smooth.METHODS)
def test_gaps_stay_and_nothing_leaks_across_them(method: str) -> None:
    series = np.arange(30, dtype=float)[:, None] % 7
    series[10:13] = np.nan
    times = np.arange(30) / 25
    calm = smooth.smoothed(method, series, times, 0.7)
    assert (np.isnan(calm) == np.isnan(series)).all()
    other = series.copy()
    other[13:] += 1000
    assert np.allclose(smooth.smoothed(method, other, times, 0.7)[:10], calm[:10])


def test_savgol_takes_uneven_times_as_they_are() -> None:
    times = np.sort(np.random.default_rng(3).uniform(0, 2, 40))
    parabola = (3 * times**2 - times + 2)[:, None]
    assert np.allclose(smooth.smoothed("savgol", parabola, times, 1.0), parabola, atol=1e-6)


def test_trembling_is_taken_from_landmarks_and_a_jolt_is_not() -> None:
    times = np.arange(40) / 25
    still = np.repeat(_landmarks()[None] * 4, 40, 0)
    shaky = still + np.random.default_rng(0).normal(0, 0.25, (40, 1, 1))
    jolted = shaky + np.where(np.arange(40) >= 20, 15.0, 0.0)[:, None, None]
    calm, after = (smooth.stabilised("savgol", one, times, 0.6) for one in (shaky, jolted))
    assert np.abs(np.diff(calm, axis=0)).mean() < 0.7 * np.abs(np.diff(shaky, axis=0)).mean()
    assert np.abs(after - jolted)[18:22].max() < 0.3, "a jolt is not smeared over its neighbours"


def test_no_strength_no_change() -> None:
    series = np.random.default_rng(0).normal(size=(9, 4, 2))
    assert (smooth.smoothed("savgol", series, np.arange(9), 0) == series).all()


# --- flicker and measures


def test_flicker_counts_what_moves_against_the_footage() -> None:
    texture = (np.random.default_rng(0).uniform(0, 255, (30, 30, 3))).astype(np.uint8)
    scene = cv2.resize(texture, (240, 240), interpolation=cv2.INTER_CUBIC)
    mask = np.zeros((200, 200), np.float32)
    mask[40:160, 40:160] = 1
    steady, light = FlickerMeter(), FlickerMeter()
    for number in range(6):
        frame = np.ascontiguousarray(scene[number : number + 200, 2 * number : 2 * number + 200])
        steady.add(frame, frame, mask)
        shifted = np.clip(frame.astype(int) + (8 if number % 2 else 0), 0, 255).astype(np.uint8)
        light.add(frame, shifted, mask)
    calm, shaky = steady.result(), light.result()
    assert calm is not None and shaky is not None
    assert calm.added == 0 and calm.made < 6, "a camera's movement is no flicker"
    assert 4 < shaky.added < 9
    assert FlickerMeter().result() is None


def test_flicker_does_not_look_across_a_gap() -> None:
    meter, dark, light = FlickerMeter(), np.zeros((50, 50, 3), np.uint8), np.full((50, 50, 3), 200, np.uint8)
    mask = np.ones((50, 50), np.float32)
    meter.add(dark, dark, mask)
    meter.skip()
    meter.add(light, light, mask)
    assert meter.result() is None


def test_measures_of_mouth_identity_and_movement() -> None:
    points = np.repeat(_landmarks()[None], 20, 0)
    gap = np.linspace(0, 1, 20) ** 2
    points[:, 14, 1] = points[:, 13, 1] + gap
    opening = measure.mouth_openings(points)
    assert correlation(opening, gap) == pytest.approx(1, abs=1e-3)
    assert measure.landmark_correlation(points, points * 2 + 3) == pytest.approx(1)
    assert measure.landmark_correlation(points, points[::-1]) < 0.9
    wanted, other = np.eye(4)[:1].repeat(3, 0), np.eye(4)[1:2].repeat(5, 0)
    made = np.concatenate([wanted[:1] * 0.9, other[:1], wanted[:1], wanted[:1] + 0.1])
    assert measure.identity_share(made, wanted, other) == 0.75
    assert measure.mean_and_spread([1.0, 3.0]) == (2.0, pytest.approx(2**0.5))
    with pytest.raises(UsageError):
        correlation(np.zeros(3), np.zeros(4))

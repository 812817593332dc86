"""Weights, medians, and textures of wanted mouths."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from provenance.errors import NoFaceError, UsageError
from synth.lipsync.shape import Track, frontalised, mouth_shapes, opening
from synth.lipsync.texture.candidates import Candidates, usable
from synth.lipsync.texture.frontal import Frontal
from synth.lipsync.texture.texture import (
    TextureOptions,
    candidate_weights,
    synthesize_textures,
    weighted_median,
)
from tests.synth.lipsync.lipsync_face import speaking


@pytest.fixture(scope="module")
def person() -> tuple[Track, list[np.ndarray], Candidates]:
    track, frames, _ = speaking(30)
    even = Candidates.collect(track, enumerate(frames), Frontal.of(track), keep=lambda index: index % 2 == 0)
    return track, frames, even


def slow_median(values: np.ndarray, weights: np.ndarray) -> np.ndarray:
    flat, result = values.reshape(len(values), -1), []
    for column in flat.T:
        order = np.argsort(column, kind="stable")
        total = np.cumsum(weights[order])
        result.append(column[order][np.argmax(total >= weights.sum() / 2 * (1 - 1e-6))])
    return np.array(result, np.uint8).reshape(values.shape[1:])


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 9), st.integers(0, 2**32 - 1))
def test_the_median_is_that_of_the_slow_reference(count: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    values = rng.integers(0, 256, (count, 3, 5, 3)).astype(np.uint8)
    # multiples of 1/64, so that sums are exact in any order
    weights = rng.integers(1, 64, count) / 64
    assert np.array_equal(weighted_median(values, weights), slow_median(values, weights))


@settings(max_examples=40, deadline=None)
@given(st.integers(12, 60), st.integers(0, 2**32 - 1))
def test_the_best_carry_their_share(count: int, seed: int) -> None:
    distances = np.random.default_rng(seed).random((4, count)) + 0.01
    weights = candidate_weights(distances, 6, 0.9)
    assert np.allclose(weights.sum(1), 1)
    assert np.allclose(np.sort(weights, 1)[:, -6:].sum(1), 0.9, atol=1e-3)
    assert (np.argmax(weights, 1) == np.argmin(distances, 1)).all()


def test_few_candidates_are_all_used() -> None:
    weights = candidate_weights(np.array([[0.1, 0.2, 0.3]]), 8, 0.9)
    assert np.isclose(weights.sum(), 1) and (np.diff(weights[0]) < 0).all()


def test_lips_that_jump_are_no_candidates(person) -> None:
    track, _, _ = person
    face = frontalised(track)
    assert usable(track, face)[11]
    face[11, 61] += 0.4
    assert not usable(track, face)[11] and usable(track, face)[20]


def test_what_lips_usually_do_is_told_by_what_may_be_used(person) -> None:
    """Frames that are held out jump wildly: that makes no jump before them usual, and none of them usable."""
    track, _, _ = person
    face = frontalised(track)
    learned = np.arange(len(face)) < 14
    face[11, 61] += 0.2
    before = usable(track, face, learned)
    face[14:, 61] += np.random.default_rng(0).uniform(0, 2, (len(face) - 14, 1))
    assert not before[11] and before[:14].sum() > 5 and not before[14:].any()
    assert np.array_equal(usable(track, face, learned), before)
    assert usable(track, face)[11], "all together, such a jump is usual"


def test_a_texture_has_the_wanted_mouth(person) -> None:
    track, frames, candidates = person
    frontal, wanted = candidates.frontal, np.array([3, 5, 13])
    shapes = mouth_shapes(track)[wanted]
    options = TextureOptions(best=4, steady=0)
    made = list(synthesize_textures(shapes, candidates, options))
    closed = frontal.frontal(frames[0], track.landmarks[0]).astype(int)
    x, y = frontal.pixels_of(np.array([0.0, 1.1])).astype(int)
    reach = int(0.5 * frontal.unit)
    area = (slice(y - reach // 2, y + reach // 2), slice(x - reach, x + reach))
    for (texture, alpha), index in zip(made, wanted, strict=True):
        real = frontal.frontal(frames[index], track.landmarks[index]).astype(int)
        assert texture.shape == (frontal.side, frontal.side, 3) and texture.dtype == np.uint8
        assert np.abs(texture.astype(int) - real)[area].mean() < 0.5 * np.abs(closed - real)[area].mean()
        assert (
            alpha.min() >= 0
            and alpha.max() <= 1
            and alpha[y, x] > 0.95
            and alpha[: y - 2 * reach].max() < 0.01
        )
    later = list(synthesize_textures(shapes, candidates, options, start=2))
    assert len(later) == 1 and np.array_equal(later[0][0], made[2][0])


def levels_of(candidates: Candidates, shapes: np.ndarray, **options: float) -> list[int]:
    """The middle of the chin in textures made of candidates each of which is one level all over: its place times 15."""
    flat = np.broadcast_to(
        (15 * np.arange(len(candidates.indices), dtype=np.uint8))[:, None, None, None],
        candidates.textures.shape,
    )
    marked = replace(candidates, textures=np.ascontiguousarray(flat))
    x, y = candidates.frontal.pixels_of(np.array([0.0, 1.1])).astype(int)
    chosen = TextureOptions(best=1, teeth=0.0, **options)  # type: ignore[arg-type]
    return [int(texture[y, x, 0]) for texture, _ in synthesize_textures(shapes, marked, chosen)]


def test_what_is_copied_is_the_nearest_mouth(person) -> None:
    candidates = person[2]
    assert len(candidates.indices) <= 17
    own = levels_of(candidates, candidates.shapes, steady=0.0)
    # the drawn face comes back to the same mouth: of equal ones any will do
    gaps = np.linalg.norm(candidates.shapes[:, None] - candidates.shapes[None], axis=-1)
    for place, level in enumerate(own):
        assert gaps[place, level // 15] <= np.sort(gaps[place])[1] + 1e-6
        assert gaps[place, level // 15] < 0.2 * gaps[place].max()


def test_a_mouth_of_one_frame_does_not_flash_up_where_choices_are_steady(person) -> None:
    candidates = person[2]
    shut, wide = (int(pick(opening(candidates.shapes))) for pick in (np.argmin, np.argmax))
    wanted = candidates.shapes[[shut] * 8 + [wide] + [shut] * 8]
    hasty, steady = (levels_of(candidates, wanted, steady=sigma) for sigma in (0.0, 2.0))
    assert hasty[8] != hasty[7] and hasty[8] == 15 * wide
    assert len(set(steady)) == 1 and steady[8] == hasty[0]


def test_what_cannot_be_is_refused(person) -> None:
    track, frames, candidates = person
    with pytest.raises(UsageError):
        next(synthesize_textures(np.full((2, 36), np.nan), candidates))
    with pytest.raises(UsageError):
        TextureOptions(best=0)
    with pytest.raises(NoFaceError):
        Candidates.collect(track, enumerate(frames), candidates.frontal, keep=lambda _: False)

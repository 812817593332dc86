"""Proxies and their detail."""

from __future__ import annotations

import itertools
from dataclasses import replace

import numpy as np

from synth.lipsync.shape import opening
from synth.lipsync.texture.candidates import Candidates
from synth.lipsync.texture.frontal import Frontal
from synth.lipsync.texture.teeth import Teeth, choose_proxies, inner_mouth, steady_path
from tests.synth.lipsync.lipsync_face import speaking


def some() -> Candidates:
    track, frames, _ = speaking(20)
    return Candidates.collect(track, enumerate(frames), Frontal.of(track))


def test_the_path_is_the_cheapest() -> None:
    costs = np.random.default_rng(0).random((5, 3))

    def price(path: tuple[int, ...]) -> float:
        changes = sum(a != b for a, b in itertools.pairwise(path))
        return float(sum(costs[row, one] for row, one in enumerate(path)) + 0.3 * changes)

    best = min(itertools.product(range(3), repeat=5), key=price)
    assert np.isclose(price(tuple(steady_path(costs, 0.3))), price(best))


def test_proxies_are_sharp_and_open() -> None:
    candidates = some()
    gaps = opening(candidates.shapes)
    sharp = int(np.argsort(gaps)[-2])
    noisy = candidates.textures.copy()
    noisy[sharp] = np.random.default_rng(1).integers(0, 256, noisy[sharp].shape)
    proxies = choose_proxies(replace(candidates, textures=noisy), 3)
    assert sharp in proxies and gaps[proxies].min() >= np.median(gaps) - 1e-9


def test_detail_comes_inside_the_lips_only() -> None:
    candidates = some()
    noisy = candidates.textures.copy()
    noisy += np.random.default_rng(1).integers(0, 40, noisy.shape).astype(np.uint8)
    candidates = replace(candidates, textures=noisy)
    one = int(np.argmax(opening(candidates.shapes)))
    teeth = Teeth.of(candidates, candidates.shapes[one : one + 1])
    flat = np.full(candidates.textures.shape[1:], 100, np.uint8)
    made = teeth.into(flat, candidates.points[one], 0, 1.0)
    frontal = candidates.frontal
    inside = inner_mouth(candidates.points[one], frontal.side, frontal.unit)[candidates.rows[0] :]
    assert made[inside > 0.9].std() > 3
    assert (made[inside == 0] == 100).all()


def test_closed_lips_get_none() -> None:
    candidates = some()
    shut = candidates.points[0].copy()
    shut[15:18] = shut[12:15][::-1]
    assert inner_mouth(shut, candidates.frontal.side, candidates.frontal.unit).max() == 0


def test_a_dark_mouth_stays_dark_and_a_bright_one_gets_teeth() -> None:
    candidates = some()
    shown = candidates.textures.copy()
    random = np.random.default_rng(2)
    frontal, top = candidates.frontal, candidates.rows[0]
    for one, points in enumerate(candidates.points):
        inside = inner_mouth(points, frontal.side, frontal.unit)[top:] > 0
        upper = np.arange(len(inside))[:, None] < points[[13, 16], 1].mean() - top
        shown[one][inside & upper] = 200  # teeth above, nothing below
        shown[one][inside & ~upper] = 20
    shown = np.clip(shown + random.integers(-15, 16, shown.shape[:3])[..., None], 0, 255).astype(np.uint8)
    candidates = replace(candidates, textures=shown)
    one = int(np.argmax(opening(candidates.shapes)))
    goal = candidates.points[one]
    teeth = Teeth.of(candidates, candidates.shapes[one : one + 1])
    assert 20 < teeth.levels[0] < teeth.levels[1] < 200
    inside = inner_mouth(goal, frontal.side, frontal.unit)[top:] > 0.9
    upper = np.arange(len(inside))[:, None] < goal[[13, 16], 1].mean() - top - 3
    lower = np.arange(len(inside))[:, None] > goal[[13, 16], 1].mean() - top + 3
    dark, bright = (np.full(shown.shape[1:], level, np.uint8) for level in (20, 200))
    assert (teeth.into(dark, goal, 0, 1.0) == dark).all(), "the median shows none"
    made = teeth.into(bright, goal, 0, 1.0)
    assert made[inside & upper].std() > 3
    assert made[inside & lower].std() < 1, "the proxy shows none"
    without = inner_mouth(goal, frontal.side, frontal.unit)[top:] == 0
    white = replace(candidates, textures=np.where(without[None, ..., None], 230, shown).astype(np.uint8))
    everywhere = Teeth.of(white, candidates.shapes[one : one + 1]).into(bright, goal, 0, 1.0)
    assert (everywhere[without] == 200).all(), "white skin is no tooth"

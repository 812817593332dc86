"""Shots, flow, tracks, windows and the state of videos, each for itself."""

from __future__ import annotations

import json
import random
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from cloak.attack.budget import project
from cloak.attack.whole_frame import SquareFrame, resampling_matrix
from cloak.detectors.base import Detections
from cloak.detectors.geometry.rendering import Affine, Rendering
from cloak.options import CloakOptions
from cloak.video.flow import FlowTracker, flicker, grid_of, moved, moved_tensor
from cloak.video.options import VideoOptions, check_picture_options
from cloak.video.patches import MovingNoise, PatchGeometry
from cloak.video.render import equal_energy
from cloak.video.search import equivalent_jpeg_quality
from cloak.video.state import VideoAnalysis, WindowNoise, WorkState
from cloak.video.tracks import ShotDetector, Track, Tracker
from cloak.video.window import Window
from provenance.errors import CorruptMediaError, UsageError
from tests.support.video_clips import panned

torch.set_num_threads(1)


def small(picture: np.ndarray) -> np.ndarray:
    grey = cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY)
    return np.asarray(cv2.resize(grey, (64, 48), interpolation=cv2.INTER_AREA))


def reported(*boxes: tuple[float, float, float, float]) -> Detections:
    return Detections(torch.tensor(boxes).reshape(-1, 4), torch.ones(len(boxes)))


def test_cuts_are_found_and_movement_is_none(portraits: dict[str, np.ndarray]) -> None:
    first, second = panned(portraits["astronaut"], 9), panned(portraits["hopper"], 7)
    film = [*first, *second, *first]
    finder = ShotDetector()
    assert [i for i, one in enumerate(film) if finder.begins_shot(small(one))] == [0, 9, 16]


def test_a_fast_pan_is_one_shot(portraits: dict[str, np.ndarray]) -> None:
    finder = ShotDetector()
    film = [portraits["astronaut"][:, left : left + 256] for left in range(0, 250, 12)]
    assert [i for i, one in enumerate(film) if finder.begins_shot(small(one))] == [0]


def test_flow_finds_a_known_movement(portraits: dict[str, np.ndarray]) -> None:
    picture = portraits["astronaut"]
    key, later = picture[40:240, 120:320], picture[43:243, 115:315]
    follower = FlowTracker(np.ascontiguousarray(key))
    flow = follower.follow(np.ascontiguousarray(later))
    middle = flow[60:140, 60:140]
    assert np.abs(np.median(middle, (0, 1)) - (-5, 3)).max() < 0.3
    assert follower.holds(later, flow)
    other = np.ascontiguousarray(portraits["hopper"][40:240, 120:320])
    assert not follower.holds(other, follower.follow(other))
    noise = np.random.default_rng(0).normal(0, 5, key.shape).astype(np.float32)
    there = np.roll(noise, (-3, 5), (0, 1))
    assert flicker(noise, there, flow) < 0.5 * flicker(noise, noise, flow)


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 2**31), st.floats(0, 6))
def test_numpy_and_torch_move_alike_within_the_limit(seed: int, reach: float) -> None:
    rng = np.random.default_rng(seed)
    noise = rng.uniform(-12, 12, (24, 31, 3)).astype(np.float32)
    flow = rng.uniform(-reach, reach, (24, 31, 2)).astype(np.float32)
    tensor = torch.from_numpy(noise.transpose(2, 0, 1).copy())[None]
    ours = moved_tensor(tensor, grid_of(flow), 12)[0].permute(1, 2, 0).numpy()
    theirs = np.clip(moved(noise, flow), -12, 12)
    assert np.abs(ours).max() <= 12
    # OpenCV rounds places to 32nds of a pixel
    assert np.abs(ours - theirs).mean() < 0.25


def test_tracks_through_gaps_and_cuts() -> None:
    families = {"a": "cascade", "b": "blazeface"}
    tracker = Tracker(5)
    empty = reported()
    for frame, left in ((0, 10.0), (5, 14.0), (15, 22.0)):
        tracker.update(frame, {"a": reported((left, 10, left + 40, 60)), "b": empty}, families, 0)
        if frame == 5:
            tracker.update(10, {"a": empty, "b": reported((120, 10, 140, 30))}, families, 0)
    tracker.start_shot(18)
    tracker.update(18, {"a": reported((10, 10, 50, 60)), "b": empty}, families, 18)
    face, false, after = tracker.close(20)
    assert (face.first, face.last, face.at) == (0, 17, [0, 5, 15])
    assert face.box(10) == pytest.approx([18, 10, 58, 60])
    assert face.box(17) == pytest.approx([22, 10, 62, 60])
    assert (false.first, false.last, after.first, after.last) == (6, 17, 18, 19)
    assert face.is_confirmed(False) and not false.is_confirmed(False) and false.is_confirmed(True)
    # a resumed run must work on the same pixels: the boxes come back to the last bit
    exact = replace(face, boxes=[[side + 1 / 3 for side in box] for box in face.boxes])
    assert Track.from_json(json.loads(json.dumps(exact.to_json()))) == exact
    for damage in ({}, {"at": []}, {"boxes": [[1, 2]]}, {"boxes": [[1, 2, 3, float("nan")]] * 3}):
        with pytest.raises(CorruptMediaError):
            Track.from_json({**face.to_json(), **damage} if damage else damage)


def test_a_fast_pan_is_followed() -> None:
    """A face goes on where it jumps by more than its width; one of another size, or one too far away, is another."""
    tracker = Tracker(5)
    for frame, boxes in (
        (0, [(200.0, 50, 260, 120), (20, 20, 50, 55)]),
        (5, [(110.0, 52, 170, 122)]),
        (10, [(20.0, 50, 80, 120), (300, 20, 360, 90)]),
    ):
        tracker.update(frame, {"a": reported(*boxes)}, {"a": "cascade"}, 0)
    tracks = tracker.close(12)
    assert sorted(one.at for one in tracks) == [[0], [0, 5, 10], [10]]
    fast = next(one for one in tracks if len(one.at) == 3)
    assert fast.box(7)[0] == pytest.approx(74)


@pytest.fixture
def window(portraits: dict[str, np.ndarray]) -> Window:
    pictures = panned(portraits["astronaut"], 8)
    track = Track(0, 7, [0, 7], [[48, 20, 108, 100], [45, 20, 109, 104]])
    one = Window(track, 0, 7, (128,), "cpu")
    assert all(one.offer(number, picture) for number, picture in enumerate(pictures))
    return one


def test_a_window_shows_its_noise_in_every_frame(window: Window) -> None:
    """Whatever part of the patch the search shows, noise comes out where the flow leads and the rest is the frame."""
    key = window.key
    noise = project((torch.rand(key.shape, generator=torch.Generator().manual_seed(1)) - 0.5) / 20, key, 0.05)
    published = window.publication_conditions(95, 0.05)[0]
    assert len(published.evaluation_transforms) == len(window.samples) >= 4
    for cut in (0, 9):
        part = Rendering((key + noise)[..., cut:, cut:], affine=Affine(offset=(cut, cut)))
        for swap, sample in zip(published.evaluation_transforms, window.samples, strict=True):
            rendering = swap.render(part)
            shown = rendering.pixels
            assert rendering.frame == sample.frame and shown.shape[-2] <= part.pixels.shape[-2]
            if swap is published.evaluation_transforms[0]:
                clean = torch.from_numpy(sample.clean).permute(2, 0, 1)[None] / 255
                change = shown - clean[..., cut:, cut:]
                assert 0.004 < float(change.abs().mean()) < 0.06
    drawn = published.random_transform(random.Random(3))
    plain = drawn(key)
    assert float((drawn(key + noise) - plain).abs().max()) > 0.01


def test_window_squares_agree_with_the_picture_pipelines(
    window: Window, portraits: dict[str, np.ndarray]
) -> None:
    whole_frame = window.whole_frame(0.05, None)
    assert whole_frame is not None
    pictures = panned(portraits["astronaut"], 8)
    looks = [whole_frame.next_frame() for _ in window.samples]  # all begin before the first is answered
    for sample, look in zip(window.samples, looks, strict=True):
        picture = pictures[sample.frame]
        rendering = look.render(torch.zeros_like(window.key), 128)
        shown = rendering.pixels
        assert sample.squares[128].shape == (1, 3, 128, 128)
        assert float((shown - SquareFrame(picture, "cpu").square(128)).abs().max()) < 1e-5
        x1, y1, x2, y2 = rendering.boxes(window.place.face)[0].tolist()
        truth = window.track.box(sample.frame) * 128 / 160
        assert abs((x1 + x2) / 2 - truth[[0, 2]].mean()) < 1 and abs((y1 + y2) / 2 - truth[[1, 3]].mean()) < 1


def test_window_squares_are_coded(window: Window) -> None:
    """Detectors that shrink the frame meet the encoder, too, and each frame both ways."""
    plain, coded = window.whole_frame(0.05, None), window.whole_frame(0.05, 40)
    assert plain is not None and coded is not None
    noise = torch.zeros_like(window.key).requires_grad_(True)
    gaps = []
    for _ in range(2 * len(window.samples)):
        shown = coded.next_frame().render(noise, 128).pixels
        gaps.append(float((shown - plain.next_frame().render(noise, 128).pixels).detach().abs().mean()))
    first, second = gaps[: len(window.samples)], gaps[len(window.samples) :]
    assert all(gap > 0 for gap in gaps)
    assert all((a > b) == (place % 2 == 0) for place, (a, b) in enumerate(zip(first, second, strict=True)))
    shown.sum().backward()
    assert noise.grad is not None and float(noise.grad.abs().sum()) > 0


def test_spans_reach_beyond_the_frame() -> None:
    whole = resampling_matrix(100, 20, valid=(0, 100))
    assert whole.sum(1).numpy() == pytest.approx(np.ones(20), abs=1e-5)
    beyond = resampling_matrix(100, 20, -30, 60, valid=(0, 100))
    assert torch.equal(beyond[:, :30], torch.zeros(20, 30))
    assert torch.allclose(beyond[:, 30:], whole[:, :30])
    assert resampling_matrix(5, 11).sum(1).numpy() == pytest.approx(np.ones(11))


@settings(max_examples=30, deadline=None)
@given(st.floats(-40, 150), st.floats(-40, 150), st.floats(4, 200), st.floats(4, 200))
def test_faces_anywhere(x: float, y: float, width: float, height: float) -> None:
    """At the border, beyond it, tiny or larger than the picture."""
    picture = np.random.default_rng(0).integers(0, 255, (90, 120, 3), np.uint8)
    track = Track(0, 1, [0], [[x, y, x + width, y + height]])
    place = PatchGeometry.of(track, 0, 1)
    patch = place.cut(picture, place.corner(track, 0))
    assert patch.shape == (*place.work, 3)
    assert max(place.work) <= 2 * 208 + 1 and min(place.work) >= 16
    carrier = MovingNoise(place, np.full((*place.work, 3), 3, np.int8), FlowTracker(patch))
    assert place.recut(carrier, track, 1).shape == (place.height, place.width, 3)


def a_noise(levels: np.ndarray, first: int = 0) -> WindowNoise:
    return WindowNoise(0, first, first + 4, PatchGeometry(64, 64, levels.shape[:2]), levels, 7)


def test_state_survives_and_is_not_trusted(tmp_path: Path) -> None:
    folder = tmp_path / "work"
    state = WorkState(folder, "key")
    levels = np.random.default_rng(0).integers(-12, 13, (64, 64, 3), np.int8)
    state.save(a_noise(levels))
    state.save(a_noise(levels, 5))
    state.save_analysis(VideoAnalysis(10, (0,), 5, (Track(0, 9, [0], [[1.0, 2, 3, 4]], {"cascade": 1}),)))
    state.back_up([(0, 5)])
    state.save(a_noise(levels // 2, 5))
    state.begin(1)

    again = WorkState(folder, "key")
    assert again.resumed and again.round == 1 and again.windows(0) == [(0, 4), (5, 9)]
    assert again.window_at(0, 7) == 5 and again.window_at(0, 10) is None and again.window_at(1, 0) is None
    found, analysis = again.noise(0, 5), again.analysis()
    assert found is not None and np.array_equal(found.levels, levels // 2) and found.steps == 7
    assert analysis is not None and analysis.tracks[0].seen_by == {"cascade": 1}
    again.restore([(0, 5)])
    assert np.array_equal(again.noise(0, 5).levels, levels)  # type: ignore[union-attr]

    (folder / "noise-0-0.npz").write_bytes(b"PK damaged")
    np.savez(folder / "noise-0-5.npz", levels=np.array([print], object), numbers=np.arange(6))
    (folder / "plan.json").write_text('{"frames": "many"}')
    damaged = WorkState(folder, "key")
    assert damaged.windows(0) == [] and damaged.analysis() is None and damaged.noise(0, 0) is None

    (folder / "mine.txt").write_text("kept")
    other = WorkState(folder, "another key")
    assert not other.resumed and other.windows(0) == [] and not list(folder.glob("noise-*"))
    other.remove()
    assert [path.name for path in folder.iterdir()] == ["mine.txt"]


def test_the_control_has_the_same_energy() -> None:
    levels = np.random.default_rng(2).integers(-12, 13, (70, 100, 3), np.int8)
    first, second = (equal_energy(a_noise(levels, frame), 1) for frame in (0, 5))
    assert np.array_equal(first, second) and not np.array_equal(first, levels)
    assert np.array_equal(np.sort(np.abs(first[:32, :32]).ravel()), np.sort(np.abs(levels[:32, :32]).ravel()))


def test_options_that_videos_do_not_have() -> None:
    for wrong in (
        CloakOptions(faces=(0,)),
        CloakOptions(attack="torchattacks:PGD"),
        CloakOptions(quality=80),
        CloakOptions(strict=True),
    ):
        with pytest.raises(UsageError, match="videos"):
            check_picture_options(wrong)
    for options in ({"crf": 99}, {"preset": "magic"}, {"window": 0}, {"detection_rate": 0.0}):
        with pytest.raises(UsageError):
            VideoOptions(**options)  # type: ignore[arg-type]
    qualities = [equivalent_jpeg_quality(crf, number) for number in (0, 1) for crf in (18, 23, 28)]
    assert qualities == sorted(qualities[:3], reverse=True) + sorted(qualities[3:], reverse=True)
    assert qualities[3] < qualities[0]

"""Veils on films: a small film, real detectors, a real encoder."""

from __future__ import annotations

import random
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import torch

from cloak import detectors
from cloak.attack.budget import project
from cloak.attack.search import optimise
from cloak.attack.task import Goals, Schedule, Task
from cloak.options import CloakOptions
from cloak.strength import Strength
from cloak.veils.visibility import CEILINGS, Ceiling
from cloak.video.flow import FlowTracker, moved
from cloak.video.io import VideoInfo, frames, probe
from cloak.video.options import VideoOptions
from cloak.video.pipeline import cloak_video, work_folder
from cloak.video.render import NoiseRenderer, control_of
from cloak.video.report import VideoReport
from cloak.video.search import VideoOptimiser, equivalent_jpeg_quality
from cloak.video.state import VideoAnalysis, WindowNoise, WorkState
from cloak.video.tracks import Track
from cloak.video.veil import WindowVeil, to_levels, to_noise
from cloak.video.window import Window
from cloak.video.write import Writer
from tests.support.video_clips import panned, write_clip

torch.set_num_threads(1)
OPTIONS = CloakOptions(detectors=("centerface",), judges=(), steps=24, rounds=1)
VIDEO = VideoOptions(window=5, preset="ultrafast", detection_rate=12.5)
FRAMES = 12
#: Over so much the grain that moves may exceed a ceiling that was kept for what was searched.
MOVING = 1.08


class Stop(Exception):
    """Raised where a person would press Ctrl+C."""


@pytest.fixture(scope="module")
def clip(portraits: dict[str, np.ndarray], tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_clip(tmp_path_factory.mktemp("film") / "in.mp4", panned(portraits["astronaut"], FRAMES))


@pytest.fixture(scope="module")
def cloaked(clip: Path) -> tuple[Path, VideoReport]:
    """Interrupted in the search, then continued."""
    output = clip.with_name("film.mp4")

    def stop(share: float) -> None:
        if share > 0.4:
            raise Stop

    with pytest.raises(Stop):
        cloak_video(clip, output, OPTIONS, VIDEO, progress=stop)
    assert list(work_folder(output).glob("noise-*.npz"))
    report = cloak_video(clip, output, OPTIONS, VIDEO)
    assert report.resumed and report.veil == "film"
    return output, report


def pixels_of(path: Path) -> list[np.ndarray]:
    return [frame.rgb() for frame in frames(probe(path))]


def planes_of(path: Path) -> list[np.ndarray]:
    return [np.array(frame.coded.to_ndarray()).astype(np.int16) for frame in frames(probe(path))]


def test_film_is_the_default_and_stays_below_its_ceiling(cloaked: tuple[Path, VideoReport]) -> None:
    report = cloaked[1]
    ceiling = CEILINGS[Strength.MID].face
    assert 0.5 * ceiling < report.flip_before <= MOVING * ceiling
    assert report.dislike < 2 and report.noise > 2
    data = report.to_json()
    assert data["veil"] == "film" and data["quality"]["flip_before_encoding"] <= MOVING * ceiling
    assert any("veil film" in line for line in report.lines())


def test_it_hides_more_than_random_grain(cloaked: tuple[Path, VideoReport]) -> None:
    (detector,) = cloaked[1].detectors
    assert detector.control is not None and detector.before == detector.control >= 3
    assert detector.after["published"] < detector.control


def test_it_hardly_flickers(cloaked: tuple[Path, VideoReport]) -> None:
    report = cloaked[1]
    assert report.flicker < report.noise / 2
    assert report.flicker_original > 0


def test_an_interrupted_run_ends_as_one_that_was_not(
    clip: Path, cloaked: tuple[Path, VideoReport], tmp_path: Path
) -> None:
    straight = tmp_path / "out.mp4"
    assert not cloak_video(clip, straight, OPTIONS, VIDEO).resumed
    for one, other in zip(pixels_of(straight), pixels_of(cloaked[0]), strict=True):
        assert np.array_equal(one, other)


def rendered(
    clip: Path, folder: Path, levels: Sequence[np.ndarray], options: CloakOptions, box: Sequence[float]
) -> tuple[VideoInfo, list[np.ndarray], NoiseRenderer]:
    """What is added to each frame, for windows that were given."""
    info = probe(clip)
    track = Track(0, FRAMES - 1, [0], [list(box)], {"centerface": 1})
    state, place = WorkState(folder, "key"), Window(track, 0, 4, (), "cpu").place
    for number, one in enumerate(levels):
        whole = np.broadcast_to(one[: place.work[0], : place.work[1]], (*place.work, 3)).copy()
        state.save(WindowNoise(0, 5 * number, FRAMES - 1 if number else 4, place, whole, 1))
    film = NoiseRenderer(info, VideoAnalysis(FRAMES, (0,), 2, (track,)), state, options)
    added = [film.noise(frame.index, frame.rgb) for frame in frames(info)]
    assert all(one is not None for one in added)
    return info, [one for one in added if one is not None], film


BOX = (50.0, 20.0, 110.0, 90.0)


def test_the_searched_layer_follows_the_face_and_the_rest_moves(clip: Path, tmp_path: Path) -> None:
    levels = np.random.default_rng(1).integers(-40, 41, (200, 200, 1), np.int8)
    _, added, _ = rendered(clip, tmp_path / "work", [levels, levels], OPTIONS, BOX)
    shown = pixels_of(clip)
    tracker = FlowTracker(shown[0])
    tracker.follow(shown[0])
    for number in (1, 2, 3):
        flow = tracker.follow(shown[number])
        back = moved(added[0].astype(np.float32), flow)
        face, corner = (slice(40, 80), slice(60, 100)), (slice(0, 12), slice(0, 20))

        def alike(
            part: tuple[slice, slice], back: np.ndarray = back, here: np.ndarray = added[number]
        ) -> float:
            return float(np.corrcoef(back[part].ravel(), here[part].ravel())[0, 1])

        assert alike(face) > 0.5 and abs(alike(corner)) < 0.4
        assert np.abs(added[number][corner]).max() > 0


def test_film_changes_brightness_alone(clip: Path, tmp_path: Path) -> None:
    levels = np.random.default_rng(1).integers(-40, 41, (200, 200, 3), np.int8)
    info, added, film = rendered(clip, tmp_path / "work", [levels, levels], OPTIONS, BOX)
    assert not film.chroma
    out = tmp_path / "out.mkv"
    with Writer(out, info, crf=0, preset="ultrafast") as writer:
        for frame, noise in zip(frames(info), added, strict=True):
            writer.write(frame, noise, chroma=film.chroma)
    height = info.size[1]
    for before, after in zip(planes_of(clip), planes_of(out), strict=True):
        assert np.array_equal(before[height:], after[height:])
        assert np.abs(before[:height] - after[:height]).mean() > 1


def test_black_and_white_has_no_colours_and_is_compared_without(clip: Path, tmp_path: Path) -> None:
    options = CloakOptions(veil="film-bw", detectors=("centerface",), judges=(), steps=3, rounds=1)
    video = VideoOptions(window=10, preset="ultrafast", control=False)
    report = cloak_video(clip, tmp_path / "out.mp4", options, video)
    height = probe(clip).size[1]
    assert all(np.abs(planes[height:] - 128).max() <= 2 for planes in planes_of(tmp_path / "out.mp4"))
    # beside the film in colour that would be far more
    assert report.veil == "film-bw" and report.flip_before <= MOVING * CEILINGS[Strength.MID].face


def test_light_has_no_grain(clip: Path, tmp_path: Path) -> None:
    options = CloakOptions(
        veil="light", strength="low", detectors=("centerface",), judges=(), steps=3, rounds=1
    )
    video = VideoOptions(window=10, preset="ultrafast", control=False)
    report = cloak_video(clip, tmp_path / "out.mp4", options, video)
    assert report.veil == "light" and report.flip_before <= MOVING * CEILINGS[Strength.LOW].face
    assert report.flicker < report.noise / 3


def test_a_fast_search_makes_one_round_of_few_steps(clip: Path, tmp_path: Path) -> None:
    options = CloakOptions(fast=True, detectors=("blazeface-short",), judges=())
    report = cloak_video(clip, tmp_path / "out.mp4", options, VideoOptions(window=10, preset="ultrafast"))
    assert report.rounds == 1 and 0 < report.steps <= 12 * report.windows
    assert report.detectors[0].control is None


@pytest.fixture
def window(portraits: dict[str, np.ndarray]) -> Window:
    track = Track(0, 4, [0], [list(BOX)], {"centerface": 1}, {"centerface": 1})
    result = Window(track, 0, 4, (), "cpu")
    for number, picture in enumerate(panned(portraits["astronaut"], 5)):
        assert result.offer(number, picture)
    return result


def test_a_search_goes_on_with_what_the_window_before_had(window: Window) -> None:
    veil = WindowVeil.of(OPTIONS.chosen_veil, Strength.MID, window.place, window.key, 1.0)
    assert veil is not None
    wanted = veil.random(torch.zeros_like(window.key) + 0.02, 5)
    task = Task(window.key, window.place.face, torch.ones(1, 1, 1, 1))
    schedule = Schedule(steps=4, seed=9)
    fresh, fitted = (veil.begin(task, schedule, random.Random(0), one) for one in (None, wanted))

    def alike(noise: torch.Tensor) -> float:
        pair = torch.stack([noise.mean(1).flatten(), wanted.mean(1).flatten()])
        return float(torch.corrcoef(pair)[0, 1])

    # the grain that nobody searches is the same in both
    assert alike(fitted.noise) > 0.9 and abs(alike(fresh.noise)) < 0.5


def test_the_ceiling_holds_in_every_frame_and_the_control_is_as_visible(window: Window) -> None:
    veil = WindowVeil.of(OPTIONS.chosen_veil, Strength.LOW, window.place, window.key, 1.0)
    assert veil is not None
    loud = 0.3 * (torch.rand(window.key.shape, generator=torch.Generator().manual_seed(1)) - 0.5)
    assert veil.visibility.share((window.key + loud).clamp(0, 1), veil.ceiling) > 1.5
    quiet = veil.held(loud, window.samples)
    assert 0.8 < veil.visibility.share((window.key + quiet).clamp(0, 1), veil.ceiling) <= 1.0
    other = veil.random(quiet, 3)
    seen, same = (
        float(veil.visibility.errors((window.key + one).clamp(0, 1))[0][0]) for one in (quiet, other)
    )
    assert same == pytest.approx(seen, rel=0.06) and Ceiling(seen, 1).face > 0.05
    change = control_of(CloakOptions(veil="film", strength="low"), (160, 160))
    patch = window.samples[0].clean
    noise = WindowNoise(0, 0, 4, window.place, to_levels(quiet), 1)
    control = to_noise(change(noise, patch))
    assert float(veil.visibility.errors((window.key + control).clamp(0, 1))[0][0]) == pytest.approx(
        seen, rel=0.1
    )


def test_plain_noise_is_searched_as_ever(window: Window, tmp_path: Path) -> None:
    """To the bit what the search of plain noise gives for that window."""
    options = CloakOptions(veil="noise", detectors=("centerface",), judges=(), steps=6)
    detector = detectors.load("centerface")
    optimiser = VideoOptimiser(
        probe(write_clip(tmp_path / "in.mp4", [window.samples[0].clean[:64, :64]])),
        VideoAnalysis(5, (0,), 2, (window.track,)),
        WorkState(tmp_path / "work", "key"),
        [detector],
        options,
        VideoOptions(),
    )
    levels, steps = optimiser.search(window, None, 0, set())
    quality, epsilon = equivalent_jpeg_quality(20, 0), Strength.MID.epsilon
    task = optimiser._task(window, quality, [detector])
    assert float(task.limit.max()) <= epsilon + 1e-6
    plain = optimise(
        task,
        [detector],
        window.publication_conditions(quality, epsilon),
        goals=Goals(displacement=options.landmark_share),
        schedule=Schedule(steps=6, seed=0),
    )
    assert steps == plain.steps and np.array_equal(levels, to_levels(plain.noise))
    assert torch.equal(project(plain.noise, task.clean, task.limit), plain.noise)

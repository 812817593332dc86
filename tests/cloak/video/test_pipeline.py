"""The video pipeline from file to file, with real detectors, a real encoder and real films, and plain noise; veils are
tested in :mod:`tests.cloak.video.test_veils`.
"""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from cloak import detectors
from cloak.detectors.geometry.matching import faces_found
from cloak.evaluate.detect import detect_pixels, find_faces
from cloak.options import CloakOptions
from cloak.video.io import frames, probe
from cloak.video.options import VideoOptions
from cloak.video.pipeline import cloak_video, work_folder
from cloak.video.search import VideoOptimiser
from cloak.video.state import VideoAnalysis, WorkState
from cloak.video.tracks import Track
from cloak.video.write import Writer
from provenance.errors import CorruptMediaError, NoFaceError, OutputExistsError, UsageError
from tests.support.video_clips import packets, panned, write_clip

torch.set_num_threads(1)
OPTIONS = CloakOptions(
    strength="high", veil="noise", detectors=("centerface",), judges=(), steps=30, rounds=2
)
# ultrafast has no macroblock tree, with which x264 may code the same frames otherwise the next time
VIDEO = VideoOptions(window=6, crf=20, preset="ultrafast", detection_rate=8)
FRAMES = 17


class Stop(Exception):
    """Raised where a person would press Ctrl+C."""


@pytest.fixture(scope="module")
def clip(portraits: dict[str, np.ndarray], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A film with a cut: a moving portrait, then another; turned, with sound and uneven times."""
    hopper = cv2.resize(portraits["hopper"][:480, 16:496], (160, 160), interpolation=cv2.INTER_AREA)
    pictures = [*panned(portraits["astronaut"], FRAMES - 4), *[np.asarray(hopper)] * 4]
    times = [24 * number + 5 * (number % 2) for number in range(FRAMES)]
    coded = [np.ascontiguousarray(np.rot90(one, -1)) for one in pictures]
    folder = tmp_path_factory.mktemp("film")
    return write_clip(folder / "in.mp4", coded, times=times, sound=True, turned=90)


@pytest.fixture(scope="module")
def cloaked(clip: Path) -> tuple[Path, list[float]]:
    """Its cloak against CenterFace, interrupted in the search, then continued."""
    output, told = clip.with_name("out.mp4"), list[float]()

    def stop(share: float) -> None:
        if share > 0.5:
            raise Stop

    with pytest.raises(Stop):
        cloak_video(clip, output, OPTIONS, VIDEO, progress=stop)
    assert not output.exists()
    assert list(work_folder(output).glob("noise-*.npz"))
    report = cloak_video(clip, output, OPTIONS, VIDEO, progress=told.append)
    assert report.resumed and report.success, report.lines()
    assert (report.shots, report.faces, report.frames) == (2, 2, FRAMES)
    assert report.largest_noise <= 16 and report.steps > 0 and report.windows >= 3
    assert report.detectors[0].before == report.judged >= 3
    assert report.detectors[0].after["published"] == 0 and report.detectors[0].control is not None
    assert report.flicker < report.noise / 3
    assert not work_folder(output).exists()
    return output, told


def test_faces_are_hidden_in_the_decoded_film(clip: Path, cloaked: tuple[Path, list[float]]) -> None:
    """Judged apart from the pipeline: every frame, not only those that the pipeline looks at."""
    detector = detectors.load("centerface")
    shown = found = 0
    for before, after in zip(frames(probe(clip)), frames(probe(cloaked[0])), strict=True):
        faces, _ = find_faces([detector], before.rgb())
        shown += len(faces)
        found += sum(faces_found(detect_pixels(detector, after.rgb()), faces).tolist())
    assert shown >= FRAMES and found <= shown * 0.1


def test_everything_else_is_kept(clip: Path, cloaked: tuple[Path, list[float]]) -> None:
    old, new = probe(clip), probe(cloaked[0])
    assert (new.size, new.turns, new.matrix, new.colour) == (old.size, old.turns, old.matrix, old.colour)
    assert packets(cloaked[0], "audio") == packets(clip, "audio")
    times = [[Fraction(one.pts) * info.time_base for one in frames(info)] for info in (old, new)]
    assert times[0] == times[1] and len(times[0]) == FRAMES
    assert new.codec == "h264"


def test_progress_rises_to_one(cloaked: tuple[Path, list[float]]) -> None:
    told = cloaked[1]
    assert told == sorted(told) and told[-1] == 1.0 and len(told) > FRAMES


def test_an_interrupted_run_ends_as_one_that_was_not(
    clip: Path, cloaked: tuple[Path, list[float]], tmp_path: Path
) -> None:
    straight = tmp_path / "out.mp4"
    report = cloak_video(clip, straight, OPTIONS, VIDEO)
    assert not report.resumed
    for one, other in zip(frames(probe(straight)), frames(probe(cloaked[0])), strict=True):
        assert np.array_equal(one.rgb(), other.rgb())


def test_a_window_ends_where_it_no_longer_fits_and_can_be_worked_on_again(clip: Path, tmp_path: Path) -> None:
    """One track across the cut, as where a cut was overlooked; its box grows, so that the window's place is its own."""
    info, cut = probe(clip), FRAMES - 4
    track = Track(0, FRAMES - 1, [0, FRAMES - 1], [[48, 20, 108, 90], [40, 10, 130, 110]], {"centerface": 2})
    state = WorkState(tmp_path / "work", "key")
    analysis = VideoAnalysis(FRAMES, (0,), 3, (track,))
    options = CloakOptions(strength="high", veil="noise", detectors=("centerface",), judges=(), steps=2)
    optimiser = VideoOptimiser(info, analysis, state, [detectors.load("centerface")], options, VideoOptions())
    optimiser.first_pass(lambda _: None)
    assert state.windows(0) == [(0, cut - 1), (cut, FRAMES - 1)]
    before = state.noise(0, 0)
    optimiser.refine({(0, 0): {("centerface", "published")}}, 1, lambda _: None)
    after = state.noise(0, 0)
    assert before is not None and after is not None
    assert after.place == before.place and not np.array_equal(after.levels, before.levels)
    assert np.abs(after.levels).max() <= 16


def test_too_few_steps_are_partial_success(clip: Path, tmp_path: Path) -> None:
    """Every round is made; the file is written and the report says what is left."""
    options = CloakOptions(
        strength="low", veil="noise", detectors=("centerface",), judges=(), steps=1, rounds=2
    )
    report = cloak_video(
        clip, tmp_path / "out.mp4", options, VideoOptions(crf=34, preset="ultrafast", control=False)
    )
    assert not report.success and report.rounds == 2 and report.largest_noise <= 8
    assert report.detectors[0].after["published"] > 0
    assert len(list(frames(probe(tmp_path / "out.mp4")))) == FRAMES


def test_no_face(tmp_path: Path) -> None:
    ramp = np.linspace(0, 255, 160, dtype=np.uint8)
    pictures = [np.stack([np.roll(np.tile(ramp, (160, 1)), shift, 1)] * 3, 2) for shift in (0, 3, 6)]
    source = write_clip(tmp_path / "in.mp4", pictures)
    with pytest.raises(NoFaceError):
        cloak_video(source, tmp_path / "out.mp4", OPTIONS, VIDEO)
    assert [path.name for path in tmp_path.iterdir()] == ["in.mp4"]


def test_one_frame(portraits: dict[str, np.ndarray], tmp_path: Path) -> None:
    source = write_clip(tmp_path / "in.mkv", panned(portraits["astronaut"], 1))
    report = cloak_video(source, tmp_path / "out.mkv", OPTIONS, VideoOptions(control=False, preset="fast"))
    assert (report.frames, report.judged, report.windows) == (1, 1, 1)
    assert report.detectors[0].control is None and report.detectors[0].before == 1


@pytest.mark.parametrize("suffix", [".mp4", ".mkv"])
def test_half_a_film(portraits: dict[str, np.ndarray], tmp_path: Path, suffix: str) -> None:
    """A broken download: what comes first tells of frames that never arrived."""
    pictures = panned(portraits["astronaut"], 6)
    whole = write_clip(tmp_path / "whole.mp4", pictures, times=[600 * number for number in range(6)])
    with Writer(tmp_path / f"indexed{suffix}", probe(whole), crf=10, preset="fast") as out:
        for frame in frames(probe(whole)):
            out.write(frame, None)
    half = tmp_path / f"half{suffix}"
    data = (tmp_path / f"indexed{suffix}").read_bytes()
    half.write_bytes(data[: len(data) * 2 // 5])
    with pytest.raises(CorruptMediaError, match="decoded"):
        cloak_video(half, tmp_path / "out.mp4", OPTIONS, VIDEO)
    assert {path.name for path in tmp_path.iterdir()} == {"whole.mp4", f"indexed{suffix}", half.name}


def test_refusals_come_before_the_work(clip: Path, tmp_path: Path) -> None:
    existing = tmp_path / "there.mp4"
    existing.write_bytes(b"mine")
    with pytest.raises(OutputExistsError):
        cloak_video(clip, existing, OPTIONS, VIDEO)
    with pytest.raises(UsageError, match=r"H\.264"):
        cloak_video(clip, tmp_path / "out.webm", OPTIONS, VIDEO)
    with pytest.raises(UsageError, match="choice of faces"):
        cloak_video(clip, tmp_path / "out.mp4", CloakOptions(faces=(0,)), VIDEO)
    with pytest.raises(UsageError, match="only judges"):
        cloak_video(clip, tmp_path / "out.mp4", CloakOptions(detectors=("haar-default",)), VIDEO)
    assert existing.read_bytes() == b"mine" and len(list(tmp_path.iterdir())) == 1

"""Of the end that is measured on, nothing is learned: other held-out faces leave what is made before them as it was."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
import torch

from synth.lipsync import pipeline
from synth.lipsync.mouth.expression import upper_faces
from synth.lipsync.person import Person
from synth.lipsync.pipeline import LipsyncOptions
from synth.lipsync.shape import JAW, LIP_POINTS, RIGID, mouth_shapes, track_of
from synth.lipsync.texture import compositor as compositor_module
from synth.lipsync.texture.texture import TextureOptions
from synth.lipsync.workspace import Workspace
from synth.measure.cache import Cache
from synth.measure.clips import write_clip
from synth.measure.judge import Judge
from synth.measure.lipsync.cells import made_and_measured
from synth.measure.lipsync.footage import AttackerFootage
from synth.measure.lipsync.judge import LipsyncJudge
from synth.quarantine import quarantine
from tests.synth.lipsync.lipsync_face import SIZE, speaking
from tests.synth.lipsync.test_audio import write_wav
from tests.synth.lipsync.test_prior import syllables

torch.set_num_threads(1)
PUBLISHED, FOLLOWING, LOOKED_AT = 60, 60, 4


def poisoned(landmarks: np.ndarray, first: int) -> np.ndarray:
    """From a frame on a mouth and a jaw that jump and should teach nobody anything. The upper face stays: it is no
    answer, a generator is given it.
    """
    result = landmarks.copy()
    answer = sorted({*LIP_POINTS, *JAW} - set(RIGID))
    middle = result[first:, answer].mean(1, keepdims=True)
    result[first:, answer] = middle + (result[first:, answer] - middle) * np.array([1.5, 1.7, 0.5])
    result[np.ix_(np.arange(first, len(result), 2), answer)] += [9, 7, 0]
    return result


def test_the_mean_face_is_that_of_what_is_learned_from() -> None:
    track, _, _ = speaking(PUBLISHED + FOLLOWING)
    other = track_of(poisoned(track.landmarks, PUBLISHED), track.times, track.size)
    share = PUBLISHED / (PUBLISHED + FOLLOWING)
    assert np.abs(other.base - track.base).max() > 0.01, "the whole footage's mean face does change"
    # what is left: steadying reaches over a few frames, and took its pose from the whole footage's mean face
    assert np.abs(other.rebased(share).base - track.rebased(share).base).max() < 1e-3
    same = track.rebased(1.0)
    assert np.abs(same.base - track.base).max() < 1e-3 and np.nanmax(np.abs(same.poses - track.poses)) < 0.1


def test_what_a_measured_cell_makes_does_not_hang_on_later_frames(tmp_path: Path) -> None:
    track, frames, _ = speaking(PUBLISHED + FOLLOWING)
    clip = tmp_path / "clip.mp4"
    write_clip(clip, iter(frames), Fraction(25), 4)
    sound, _ = syllables(4)
    points = track.landmarks
    footage = AttackerFootage(clip, points[:PUBLISHED], points[PUBLISHED:], SIZE, Fraction(25), sound)
    judge = LipsyncJudge.of_footage(footage, iter(frames[PUBLISHED:]), Judge("onet"))
    judge = replace(judge, rows=judge.rows[:LOOKED_AT], frames=judge.frames[:LOOKED_AT])
    # the judge is the same; the generator meets other faces after those that are looked at
    other = replace(footage, following=poisoned(points[PUBLISHED:], LOOKED_AT + 16))
    (one, tiles), (two, others) = (
        made_and_measured(got, 1, 5, judge, Cache(tmp_path / str(number)))
        for number, got in enumerate((footage, other))
    )
    assert tiles is not None and others is not None
    assert np.array_equal(tiles, others) and one["measures"]["mouth psnr"] == two["measures"]["mouth psnr"]


def test_the_share_reaches_every_stage_of_the_command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """``until`` of the options: the mean face, the mouth, its rest, the candidates, and the jaw."""
    track, frames, _ = speaking(120)
    clip = tmp_path / "clip.mp4"
    write_clip(clip, iter(frames), Fraction(25), 4)
    sound, _ = syllables(5)
    told: dict[str, float] = {}

    def known(path: Path, workspace: object, *, until: float = 1.0, **_: object) -> Person:
        from cloak.video.io import probe

        told["study_target"] = until
        upper = upper_faces(track, frames)
        return Person(path, "1" * 64, probe(path), track.rebased(until), mouth_shapes(track), sound, upper)

    def noted(name: str, place: int) -> None:
        real = getattr(pipeline, name)

        def call(*words: object, **named: object) -> object:
            told[name] = float(named["until"] if "until" in named else words[place])  # type: ignore[arg-type]
            return real(*words, **named)

        monkeypatch.setattr(pipeline, name, call)

    monkeypatch.setattr(pipeline, "study_target", known)
    for name, place in (
        ("mouth_model_for", 9),
        ("resting_mouth", 2),
        ("collect_candidates", 1),
        ("too_short", 1),
        ("Compositor", 9),
    ):
        noted(name, place)
    jaw = compositor_module.JawModel
    monkeypatch.setattr(
        compositor_module, "JawModel", lambda track, until=1.0: told.update(jaw=until) or jaw(track, until)
    )
    options = LipsyncOptions(until=0.6, texture=TextureOptions(device="cpu"))
    wave = tmp_path / "sound.wav"
    write_wav(wave, sound.part(0.0, 0.4).samples, 16_000)
    with quarantine() as private:
        made = private.place("out.mp4")
        pipeline._render_lipsync(clip, wave, made, options, Workspace(tmp_path / "work"))
    names = (
        "study_target",
        "too_short",
        "mouth_model_for",
        "resting_mouth",
        "collect_candidates",
        "Compositor",
        "jaw",
    )
    assert told == dict.fromkeys(names, 0.6)

"""The upper face: what is read of it, what is not, and how the mouth goes with it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import cv2
import numpy as np
import pytest

from provenance.errors import CorruptMediaError, UsageError
from synth.lipsync.mouth.adapt import PRIOR, adapt_mouth
from synth.lipsync.mouth.audio import RATE, Sound, silent, speech_features
from synth.lipsync.mouth.expression import (
    COLUMNS,
    NUMBERS,
    ROWS,
    expressions,
    load_small,
    save_small,
    upper_face_mask,
    upper_faces,
)
from synth.lipsync.mouth.model import SHAPE, MouthOptions, load_mouth, save_mouth
from synth.lipsync.mouth.train import SpeechClip
from synth.lipsync.person import USUAL_PAUSES, Person, closed_mouth, resting_mouth, too_short
from synth.lipsync.pipeline import LipsyncOptions, drive_mouth
from synth.lipsync.shape import JAW, Track, apply_pose, mouth_shapes, opening
from synth.lipsync.texture.candidates import UPPER_BORDER
from tests.synth.lipsync.lipsync_face import speaking

COUNT = 150
BROWS = [(-0.62, -0.25), (-0.3, -0.3), (0.3, -0.3), (0.62, -0.25)]


def browed(track: Track, frames: list[np.ndarray], raised: np.ndarray) -> list[np.ndarray]:
    """The frames with brows that are raised by so many distances between the eyes."""
    result = []
    for pose, frame, up in zip(track.poses, frames, raised, strict=True):
        picture = frame.copy()
        points = apply_pose(pose, np.array([(x, y - up, -0.1) for x, y in BROWS]))[:, :2]
        for first, second in ((0, 1), (2, 3)):
            ends = [tuple(np.round(points[one]).astype(int).tolist()) for one in (first, second)]
            cv2.line(picture, ends[0], ends[1], (60, 40, 30), 6, cv2.LINE_AA)
        result.append(picture)
    return result


@pytest.fixture(scope="module")
def face() -> tuple[Track, list[np.ndarray], np.ndarray]:
    return speaking(COUNT)


def explained(numbers: np.ndarray, what: np.ndarray) -> float:
    """Share of the variance of ``what`` that the numbers tell, linearly."""
    a = np.column_stack([numbers, np.ones(len(numbers))])
    left = what - a @ np.linalg.lstsq(a, what, rcond=None)[0]
    return 1 - float(left.var() / what.var())


def test_a_slow_expression_is_seen_and_a_fast_one_is_not(face: tuple) -> None:
    track, frames, _ = face
    times = np.arange(COUNT) / 25
    slow, fast = 0.08 * np.sin(2 * np.pi * 0.3 * times), 0.08 * np.sin(2 * np.pi * 4 * times)
    seen = expressions(upper_faces(track, browed(track, frames, slow)), track)
    assert seen is not None and seen.shape == (COUNT, NUMBERS)
    assert explained(seen[:, :3], slow) > 0.9
    # nearly all of the amplitude of speech is gone
    swift = expressions(upper_faces(track, browed(track, frames, fast)), track)
    assert swift is not None and swift.std(0).max() < 0.35 < seen.std(0).max()


def test_nothing_of_the_replaced_face_is_read(face: tuple) -> None:
    track, frames, _ = face
    pictures = browed(track, frames, np.zeros(COUNT))
    mask = upper_face_mask(track.base)
    assert 200 < mask.sum() < mask.size and mask[8, 24], "between the eyes"
    covered = []
    for points, picture in zip(track.landmarks, pictures, strict=True):
        low = points[list(JAW), :2]
        border = points[[454, 280, 327, 98, 50, 234], :2]
        other = picture.copy()
        cv2.fillPoly(other, [np.round(np.concatenate([low, border])).astype(np.int32)], (0, 255, 0))
        covered.append(other)
    before, after = (upper_faces(track, one)[:, mask].astype(int) for one in (pictures, covered))
    assert (before != upper_faces(track, frames)[:, mask]).any(), "brows are seen"
    # the soft border of what is replaced reaches a little above its line
    assert np.mean(np.abs(before - after) > 12) < 0.04


def test_what_is_replaced_of_a_face_with_high_cheeks_is_left_out(face: tuple) -> None:
    base = face[0].base.copy()
    base[[50, 280], 1] = 0.1
    outline = base[[*JAW, *UPPER_BORDER], :2].astype(np.float32)
    rows, columns = np.nonzero(upper_face_mask(base))
    spots = np.column_stack(
        [np.linspace(-1.15, 1.15, COLUMNS)[columns], np.linspace(-0.75, 0.45, ROWS)[rows]]
    )
    inside = [cv2.pointPolygonTest(outline, tuple(map(float, spot)), False) >= 0 for spot in spots]
    assert not any(inside) and 100 < len(spots) < upper_face_mask(face[0].base).sum()


def test_light_and_missing_faces_do_not_matter(face: tuple) -> None:
    track, frames, _ = face
    raised = 0.08 * np.sin(np.arange(COUNT) / 12)
    pictures = browed(track, frames, raised)
    small = upper_faces(track, pictures)
    darker = expressions((0.7 * small).astype(np.uint8), track)
    plain = expressions(small, track)
    assert plain is not None and darker is not None
    assert np.abs(plain - darker)[:, 0].max() < 0.1
    gone = replace(track, landmarks=track.landmarks.copy())
    gone.landmarks[60:64] = np.nan
    some = upper_faces(gone, pictures)
    assert (some[60:64] == 0).all() and (some[59] == small[59]).all()
    found = expressions(some, gone)
    assert found is not None and explained(found[:, :3], raised) > 0.85
    assert (
        expressions(np.zeros_like(small), track) is None
        and expressions(small[:1].repeat(COUNT, 0), track) is None
    )
    early = expressions(small, track, 0.5)
    assert early is not None and not np.allclose(early, plain), "components are those of the first half"


def test_what_is_kept(tmp_path: Path, face: tuple) -> None:
    track, frames, _ = face
    file, small = tmp_path / "upper.npz", upper_faces(track, frames)
    assert load_small(file, COUNT) is None
    save_small(file, small)
    kept = load_small(file, COUNT)
    assert kept is not None and (kept == small).all()
    for damage in (lambda: file.write_bytes(b"nothing"), lambda: save_small(file, small[:, :4])):
        damage()
        with pytest.raises(CorruptMediaError):
            load_small(file, COUNT)


def tones(seconds: float, pause: tuple[float, float]) -> Sound:
    """Syllables of a hum that grows dark and bright, with one pause."""
    times = np.arange(round(seconds * RATE)) / RATE
    loud = 0.6 + 0.4 * np.sin(2 * np.pi * 3 * times)
    loud[(times > pause[0]) & (times < pause[1])] = 0
    hum = sum(
        np.sin(2 * np.pi * 140 * k * times) / (1 + (k / (4 + 3 * np.sin(times * 5))) ** 4)
        for k in range(1, 20)
    )
    return Sound((0.1 * loud * hum).astype(np.float32))


def test_the_mouth_goes_with_sound_and_face(tmp_path: Path) -> None:
    prior, sound = load_mouth(PRIOR), tones(12, (5, 6))
    features = speech_features(sound)
    random = np.random.default_rng(0)
    noise = random.standard_normal((NUMBERS, len(features) + 200))
    slow = np.stack([np.convolve(one, np.hanning(201), "valid") for one in noise], 1)[: len(features)]
    slow /= slow.std(0)
    smile, speech = np.zeros(SHAPE), np.zeros(SHAPE)
    smile[0], smile[12], speech[1::4] = -1, 1, 1
    shapes = prior.mean + 0.05 * slow[:, :1] * smile + 0.05 * features[:, :1] * speech
    taught = SpeechClip(features, shapes, np.arange(len(features)) < 900, upper=slow)
    model = adapt_mouth([taught], prior, MouthOptions())
    test = slice(900, None)
    truth = shapes[test] - shapes[:900].mean(0)
    made = (model.predict_steps(features) + model.expressed(slow))[test] - shapes[:900].mean(0)
    assert ((made - truth) ** 2).sum() < 0.2 * (truth**2).sum()
    deaf = adapt_mouth([replace(taught, upper=None)], prior, MouthOptions())
    alone = deaf.predict_steps(features)[test] - shapes[:900].mean(0)
    assert ((alone - truth) ** 2).sum() > 0.4 * (truth**2).sum()
    assert deaf.upper is None and (deaf.expressed(slow) == 0).all()
    save_mouth(tmp_path / "own.safetensors", model)
    back = load_mouth(tmp_path / "own.safetensors")
    assert (back.predict_steps(features) == model.predict_steps(features)).all()
    assert (back.expressed(slow) == model.expressed(slow)).all()
    # the expression stays in pauses, where the rest of the mouth rests
    times, rest = np.arange(300) / 25, shapes[:900].mean(0)
    at = np.clip((times * 100).astype(int), 0, len(slow) - 1)
    said = drive_mouth(model, features, silent(sound), rest, times, slow[at])
    inside = (times > 5.3) & (times < 5.7)
    assert said[inside] == pytest.approx((rest + model.expressed(slow[at]))[inside], abs=1e-9)


def test_a_person_rests_as_the_own_pauses_show(face: tuple) -> None:
    track, frames, _ = face
    small = upper_faces(track, browed(track, frames, 0.08 * np.sin(np.arange(COUNT) / 12)))
    shapes = mouth_shapes(track)

    def person(sound: Sound) -> Person:
        return Person(Path("x.mp4"), "0" * 64, SimpleNamespace(rate=25), track, shapes, sound, small)  # type: ignore[arg-type]

    model = load_mouth(PRIOR).of_person(shapes)
    never, once = person(tones(6, (9, 9))), person(tones(6, (2, 4)))
    closed = closed_mouth(never)
    assert (resting_mouth(never, model) == closed).all()
    rests = resting_mouth(once, model)
    calm = (track.times > 2.2) & (track.times < 3.8)
    own = shapes[calm].mean(0)
    share = float(((rests - closed) @ (own - closed)) / ((own - closed) ** 2).sum())
    assert share == pytest.approx(1.9 / (1.9 + USUAL_PAUSES), abs=0.06)
    assert opening(closed[None])[0] < opening(rests[None])[0] < opening(own[None])[0]
    assert (resting_mouth(person(Sound(np.zeros(6 * RATE, np.float32))), model) == closed).all()


def test_a_hushed_mouth_rests_in_pauses_and_speaks_as_before() -> None:
    prior, sound = load_mouth(PRIOR), tones(6, (2, 4))
    upper = np.random.default_rng(1).normal(0, 0.3, (NUMBERS, prior.options.coefficients))
    model = replace(prior, upper=upper)
    times, rest = np.arange(150) / 25, prior.mean
    expression = np.random.default_rng(2).standard_normal((150, NUMBERS))
    plain, half, hushed = (
        drive_mouth(model, speech_features(sound), silent(sound), rest, times, expression, pause_damping)
        for pause_damping in (0.0, 0.5, 1.0)
    )
    inside, speech = (times > 2.3) & (times < 3.7), (times > 0.4) & (times < 1.7)
    assert hushed[inside] == pytest.approx(np.repeat(rest[None], inside.sum(), 0), abs=1e-9)
    assert np.abs(plain - hushed)[inside].max() > 0.01
    assert half[inside] == pytest.approx((plain + hushed)[inside] / 2, abs=1e-9)
    assert hushed[speech] == pytest.approx(plain[speech], abs=1e-12)
    with pytest.raises(UsageError):
        LipsyncOptions(pause_damping=1.5).check()


def test_short_footage_is_told_of(face: tuple) -> None:
    track, frames, _ = face
    small = upper_faces(track, frames)

    def told(sound: Sound | None, until: float = 1.0) -> list[str]:
        made = Person(
            Path("x.mp4"), "0" * 64, SimpleNamespace(rate=25), track, mouth_shapes(track), sound, small
        )  # type: ignore[arg-type]
        return too_short(made, until)

    long = track.times[-1]
    assert long > 4 and told(tones(6, (9, 9))) == []
    (message,) = told(tones(6, (9, 9)), 2 / long)
    assert "x.mp4" in message and "3 s or more" in message and "does not move" in message
    assert told(None) == []

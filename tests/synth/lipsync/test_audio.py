"""Sound to features: against a second library, and whatever file the sound comes in."""

from __future__ import annotations

import wave
from pathlib import Path

import av
import numpy as np
import pytest
import python_speech_features

from provenance.errors import CorruptMediaError, MissingPathError, UnknownFormatError
from synth.lipsync.mouth.audio import (
    CEPSTRA,
    HOP,
    RATE,
    WINDOW,
    Sound,
    feature_times,
    features,
    load_sound,
    loudness,
    normalised,
    onsets,
    silent,
    voiced,
)


def speechlike(seconds: float, rate: int = RATE, seed: int = 0) -> np.ndarray:
    """Buzzing syllables of changing vowels, with noise: (n,) float32."""
    random = np.random.default_rng(seed)
    t = np.arange(round(seconds * rate)) / rate
    pitch = np.cumsum(120 + 20 * np.sin(2 * np.pi * 0.7 * t)) / rate
    wave_ = sum(
        (0.9 + 0.5 * np.sin(2 * np.pi * (0.6 + 0.3 * k) * t + k)) / k * np.sin(2 * np.pi * k * pitch)
        for k in range(1, 20)
    )
    syllables = 0.5 + 0.5 * np.sin(2 * np.pi * 4 * t)
    return (0.05 * wave_ * syllables + 0.002 * random.standard_normal(len(t))).astype(np.float32)


def write_wav(path: Path, samples: np.ndarray, rate: int) -> Path:
    """``(n,)`` or ``(n, channels)`` in -1..1 as 16 bits."""
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1 if samples.ndim == 1 else samples.shape[1])
        file.setsampwidth(2)
        file.setframerate(rate)
        file.writeframes((np.clip(samples, -1, 1) * 32767).astype("<i2").tobytes())
    return path


def test_cepstra_agree_with_a_second_library() -> None:
    """Its spectra are taken at finer steps, because it rounds its mel bands to whole ones; it also weighs the highs
    before the sound is cut up, so that figures differ a little.
    """
    sound = Sound(speechlike(3.0))
    own = features(sound)
    before = WINDOW // 2 - HOP // 2
    samples = np.pad(normalised(sound.samples), (before, WINDOW), mode="reflect").astype(np.float64)
    other = python_speech_features.mfcc(
        samples, RATE, 0.025, 0.010, CEPSTRA + 1, 40, 2048, 20, RATE / 2, 0.97, 22, False, np.hamming
    )[: len(own)]
    inner = slice(3, len(own) - 3)
    for number in range(1, CEPSTRA + 1):
        mine, theirs = own[inner, number], other[inner, number]
        assert np.corrcoef(mine, theirs)[0, 1] > 0.995, f"cepstrum {number}"
        assert 0.95 < mine.std() / theirs.std() < 1.05, f"cepstrum {number}"
    frames = np.lib.stride_tricks.sliding_window_view(samples, WINDOW)[::HOP][: len(own)]
    energy = np.log(((frames - frames.mean(1, keepdims=True)) ** 2).sum(1))
    assert own[inner, 0] == pytest.approx(energy[inner], abs=1e-3)
    assert own[1:, 14:] == pytest.approx(np.diff(own[:, :14], axis=0), abs=1e-4) and (own[0, 14:] == 0).all()


def test_features_do_not_depend_on_the_loudness() -> None:
    quiet, loud = Sound(speechlike(1.0)), Sound(8 * speechlike(1.0))
    assert features(quiet) == pytest.approx(features(loud), abs=2e-2)
    assert len(features(quiet)) == 100 and feature_times(3) == pytest.approx([0.005, 0.015, 0.025])


@pytest.mark.parametrize("rate", [8000, 22_050, 44_100, 48_000])
def test_other_rates_and_channels_give_the_same_features(tmp_path: Path, rate: int) -> None:
    samples = speechlike(1.5, rate)
    mono = load_sound(write_wav(tmp_path / "mono.wav", samples, rate))
    both = load_sound(write_wav(tmp_path / "both.wav", np.stack([samples, samples], 1), rate))
    assert (mono.rate, mono.channels, both.channels) == (rate, 1, 2)
    assert mono.seconds == pytest.approx(1.5, abs=0.01)
    one, two = features(mono), features(both)
    assert np.abs(one[:, 0] - two[:, 0]).mean() < 0.05
    reference = features(Sound(speechlike(1.5)))[: len(one)]
    assert np.corrcoef(one[:-2, 0], reference[: len(one) - 2, 0])[0, 1] > 0.98


def test_sound_of_a_video_that_starts_late_keeps_its_place(tmp_path: Path) -> None:
    path, tone = tmp_path / "late.mkv", (0.3 * np.sin(np.arange(RATE) * 0.2)).astype(np.float32)
    with av.open(str(path), "w") as out:
        stream = out.add_stream("pcm_s16le", rate=RATE, layout="mono")
        frame = av.AudioFrame.from_ndarray((tone * 32767).astype(np.int16)[None], format="s16", layout="mono")
        frame.sample_rate, frame.pts = RATE, RATE // 2
        for piece in (frame, None):
            out.mux(stream.encode(piece))
    sound = load_sound(path)
    first = int(np.flatnonzero(np.abs(sound.samples) > 0.05)[0])
    assert first / RATE == pytest.approx(0.5, abs=0.01) and sound.seconds == pytest.approx(1.5, abs=0.02)


def test_pauses_onsets_and_voice() -> None:
    speech = speechlike(1.0)
    hiss = (1e-4 * np.random.default_rng(1).standard_normal(RATE)).astype(np.float32)
    sound = Sound(np.concatenate([hiss, speech, hiss]))
    quiet = silent(sound)
    assert len(quiet) == sound.steps == len(loudness(sound)) == len(voiced(sound)) == 300
    assert quiet[5:95].all() and quiet[210:295].all() and not quiet[105:195].any()
    began = np.flatnonzero(onsets(quiet))
    assert 95 <= began[0] <= 105 and len(began) == 20
    assert voiced(sound)[110:190].mean() > 0.8 and not voiced(sound)[:95].any()
    noise = Sound((0.1 * np.random.default_rng(2).standard_normal(RATE)).astype(np.float32))
    assert voiced(noise).mean() < 0.1 and not silent(noise).any()
    nothing = Sound(np.zeros(RATE, np.float32))
    assert nothing.is_silent and silent(nothing).all() and np.isfinite(features(nothing)).all()


def test_parts_of_a_sound() -> None:
    sound = Sound(np.arange(RATE, dtype=np.float32))
    part = sound.part(-0.5, 0.5)
    assert len(part.samples) == RATE and (part.samples[: RATE // 2] == 0).all()
    assert part.samples[RATE // 2 :].tolist() == sound.samples[: RATE // 2].tolist()
    assert sound.part(0.9, 1.2).samples[-1] == 0 and not len(sound.part(1, 1).samples)


def test_what_holds_no_sound(tmp_path: Path) -> None:
    from tests.support.video_clips import write_clip

    text = tmp_path / "text.wav"
    text.write_text("no sound")
    mute = write_clip(tmp_path / "mute.mp4", [np.zeros((64, 64, 3), np.uint8)] * 3)
    short = write_wav(tmp_path / "short.wav", np.zeros(400), RATE)
    for error, path in (
        (MissingPathError, tmp_path / "none.wav"),
        (UnknownFormatError, text),
        (CorruptMediaError, mute),
        (CorruptMediaError, short),
    ):
        with pytest.raises(error):
            load_sound(path)

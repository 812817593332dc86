"""The prior that comes with the package, how footage changes it, and the mouth of nobody it was taught with."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from provenance.errors import UsageError
from synth.lipsync.mouth import audio
from synth.lipsync.mouth.adapt import PRIOR, SOFTNESS, TRUST, adapt_mouth, at_rest
from synth.lipsync.mouth.audio import RATE, Sound, features, normalised_features, speech_features
from synth.lipsync.mouth.model import SHAPE, MouthModel, MouthOptions, load_mouth
from synth.lipsync.mouth.train import SpeechClip
from synth.lipsync.mouth.visemes import KINDS, REST, Phone, controls, kinds, lips, split
from synth.lipsync.shape import CORNERS, opening
from tests.synth.lipsync.test_mouth import lag


@pytest.fixture(scope="module")
def prior() -> MouthModel:
    return load_mouth(PRIOR)


def syllables(seconds: float, seed: int = 0) -> tuple[Sound, np.ndarray]:
    """Vowels (120 Hz with the formants of an a) that come and go, with pauses; and how loud they are, at 100 Hz."""
    random, count = np.random.default_rng(seed), round(seconds * RATE)
    loud, at = np.zeros(count), 0.3
    while at < seconds - 0.3:
        length = random.uniform(0.15, 0.3)
        first, end = round(at * RATE), round((at + length) * RATE)
        loud[first:end] = np.hanning(end - first)
        at += length + (0.6 if random.random() < 0.25 else 0.03)
    times = np.arange(count) / RATE
    voice = np.zeros(count)
    for tone in range(120, 4000, 120):
        strength = sum(1 / (1 + ((tone - formant) / 120) ** 2) for formant in (700, 1200, 2600))
        voice += strength * np.sin(2 * np.pi * tone * times)
    samples = 0.1 * loud * voice + 1e-4 * random.standard_normal(count)
    return Sound(samples.astype(np.float32)), loud.reshape(-1, RATE // 100).mean(1)


def test_the_prior_opens_with_the_voice_in_time_and_rests_in_silence(prior: MouthModel) -> None:
    sound, loud = syllables(12)
    said = opening(prior.predict_steps(speech_features(sound)))
    assert np.corrcoef(said, loud)[0, 1] > 0.5
    assert abs(lag(said[:, None], loud[:, None])) <= 4, "a frame of 25 a second"
    pause = np.convolve(loud > 0, np.ones(31), "same") == 0
    speech = loud > 0.3
    assert said[speech].mean() > said[pause].mean() + 0.03
    moving = np.abs(np.gradient(said))
    assert moving[pause].mean() < 0.3 * moving[speech].mean()


def test_the_prior_says_where_it_comes_from_and_is_small(prior: MouthModel) -> None:
    assert "nobody" in prior.notes["sources"] and "consent" not in prior.notes
    assert PRIOR.stat().st_size < 300_000
    assert prior.options.units == 60 and prior.options.delay == 20


def test_another_microphone_changes_nothing(prior: MouthModel) -> None:
    sound, _ = syllables(6)
    spectrum = np.fft.rfft(sound.samples)
    tones = np.fft.rfftfreq(len(sound.samples), 1 / RATE)
    dull = np.fft.irfft(spectrum / (1 + tones / 800), len(sound.samples)).astype(np.float32)
    one, other = features(sound), features(Sound(0.05 * dull))
    loud = one[:, 0] > np.percentile(one[:, 0], 60)
    apart = np.abs((one - other)[loud, 1:14]).mean() / audio._SPREAD
    assert np.abs((normalised_features(one) - normalised_features(other))[loud, 1:14]).mean() < 0.5 * apart
    a, b = (opening(prior.predict_steps(normalised_features(raw))) for raw in (one, other))
    assert np.corrcoef(a, b)[0, 1] > 0.9


def test_evened_features_of_nothing_and_of_noise_are_finite() -> None:
    for samples in (np.zeros(RATE), np.random.default_rng(0).standard_normal(RATE), np.ones(3200)):
        even = speech_features(Sound(samples.astype(np.float32)))
        assert even.shape[1] == 28 and np.isfinite(even).all() and np.abs(even).max() < 40


def footage(prior: MouthModel, seconds: float, seed: int) -> SpeechClip:
    """Somebody whose mouth is wider, moves twice as much as the prior's, and rises where it opens."""
    even = speech_features(syllables(seconds, seed)[0])
    shapes = prior.predict_steps(even)
    moved = 2 * (shapes - prior.mean) + prior.mean
    moved[:, 0::2] *= 1.1
    moved[:, 1::2] -= 0.5 * opening(shapes)[:, None]
    return SpeechClip(even, moved, np.ones(len(even), bool))


def test_footage_makes_the_prior_a_person(prior: MouthModel) -> None:
    test = footage(prior, 6, 9)
    before = {name: one.clone() for name, one in prior.net.state_dict().items()}

    def error(model: MouthModel) -> float:
        gap = model.predict_steps(test.features) - test.shapes
        return float((gap**2).sum() / ((test.shapes - test.shapes.mean(0)) ** 2).sum())

    little, much = (adapt_mouth([footage(prior, long, 1)], prior, MouthOptions()) for long in (2, 12))
    assert error(much) < error(little) < error(prior.of_person(test.shapes))
    assert error(much) < 0.2
    held = adapt_mouth([footage(prior, 12, 1)], prior, MouthOptions(), softness=1e9)
    same = held.predict_steps(test.features) - held.mean
    wanted = TRUST * _centred(prior, footage(prior, 12, 1), test)
    assert same == pytest.approx(wanted, abs=2e-3), "what resists stays at a share of what others taught"
    assert much.notes["adapted"] and SOFTNESS > 0
    assert all(bool((before[name] == one).all()) for name, one in prior.net.state_dict().items())
    with pytest.raises(UsageError):
        adapt_mouth([replace(test, seen=np.zeros(len(test.seen), bool))], prior)


def _centred(prior: MouthModel, taught: SpeechClip, test: SpeechClip) -> np.ndarray:
    return prior.predict_steps(test.features) - prior.predict_steps(taught.features).mean(0)


def test_pauses_rest() -> None:
    shapes, rest = np.ones((200, SHAPE)), np.zeros(SHAPE)
    quiet = np.zeros(200, bool)
    quiet[20:30] = True  # too short
    quiet[80:140] = True
    made = at_rest(shapes, quiet, rest)
    assert (made[:70] == 1).all() and (made[92:128] == 0).all() and (made[152:] == 1).all()
    assert (np.diff(made[70:92, 0]) <= 0).all() and np.abs(np.diff(made[:, 0])).max() < 0.15
    assert (at_rest(shapes, np.ones(200, bool), rest) == 0).all()


def test_the_mouth_of_nobody_does_what_phonemes_want() -> None:
    phones = [
        Phone("", 0.0),
        Phone("ɑː", 0.3),
        Phone("m", 0.6),
        Phone("uː", 0.8),
        Phone("f", 1.1),
        Phone("i", 1.3),
    ]
    told = controls([*phones, Phone("", 1.6)], 200)
    made = lips(told)
    gap = opening(made)
    assert gap[45] > 0.2 and gap[70] < 0.05 and gap[5] < 0.03 and gap[190] < 0.03
    wide = made[:, 2 * CORNERS[1]] - made[:, 2 * CORNERS[0]]
    assert wide[145] > wide[5] > wide[95] + 0.1
    assert told[120, 2] > 0.5 and told[70, 3] > 0.5
    assert made[5] == pytest.approx(lips(np.zeros((1, 4)))[0], abs=0.02)
    assert lips(np.zeros((1, 4)))[0] == pytest.approx(REST.ravel())
    said = kinds(phones, 200)
    assert said.shape == (200, len(KINDS)) and said[70].argmax() == 0 and said[10].max() == 0
    assert said.min() >= 0 and said.max() <= 1 + 1e-6


def test_phonemes_in_parts() -> None:
    parts = split([Phone("(en)", 0.0), Phone("aɪ", 0.0), Phone("?", 0.2)], 0.4)
    assert [one[0] for one in parts] == ["a", "ɪ", "?"]
    assert [one[1:] for one in parts] == [pytest.approx(one) for one in ((0, 0.1), (0.1, 0.2), (0.2, 0.4))]

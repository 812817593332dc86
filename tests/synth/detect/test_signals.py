"""Blinking and pulse: known curves and known pulses are read back; a made pulse is found in real footage."""

from __future__ import annotations

import copy
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.synth.pulsing import Pulsing
from provenance.errors import UsageError
from synth.detect import pulse
from synth.detect.blink import (
    MEAN_RATE,
    SHAPE,
    blink_finding,
    count_chance,
    duration_chance,
    find_blinks,
    rarity,
)
from synth.detect.observe import FaceObserver, ObservedFace, collect_pixels
from synth.detect.pulse_features import FEATURES, window_features, windows
from synth.extraction.footage import open_footage


def observed(openness: np.ndarray, rate: float = 30.0, **more: object) -> ObservedFace:
    """Footage of which only the eyes are known."""
    count = len(openness)
    landmarks = np.zeros((count, 468, 3), np.float32)
    landmarks[np.isnan(openness)] = np.nan
    values = {
        "path": Path("clip.mp4"),
        "kind": "video",
        "times": np.arange(count) / rate,
        "landmarks": landmarks,
        "openness": np.stack([openness, openness], 1),
        "colours": np.full((count, 3, 3), np.nan),
        "flicker": np.full((count, 3), np.nan),
    }
    return ObservedFace(**{**values, **more})  # type: ignore[arg-type]


def eyes(seconds: float, blinks: tuple[float, ...], width: float = 0.2, rate: float = 30.0) -> np.ndarray:
    """Openness that dips to nearly nothing at these times, for ``width`` seconds at half depth."""
    times = np.arange(round(seconds * rate)) / rate
    curve = np.full(len(times), 0.25)
    for blink in blinks:
        curve *= 1 - 0.95 * np.exp(-0.5 * ((times - blink) / (width / 2.355)) ** 2)
    return curve


class TestBlinks:
    def test_their_number_times_and_durations_are_read(self) -> None:
        found = find_blinks(eyes(10, (2.0, 5.5, 8.25)) / 0.25, np.arange(300) / 30)
        assert [round(blink.time, 1) for blink in found] == pytest.approx([2.0, 5.5, 8.25], abs=0.06)
        assert all(blink.duration == pytest.approx(0.2, abs=0.04) for blink in found)

    def test_ordinary_blinking_scores_lower_than_a_stare_and_than_flutter(self) -> None:
        usual = blink_finding(observed(eyes(40, tuple(np.arange(2.0, 40, 4)))))
        stare = blink_finding(observed(eyes(40, ())))
        flutter = blink_finding(observed(eyes(40, tuple(np.arange(0.5, 40, 0.5)))))
        assert usual.score is not None and stare.score is not None and flutter.score is not None
        assert usual.score < 0.6 < 0.9 < min(stare.score, flutter.score)

    def test_a_short_clip_without_a_blink_is_nothing_unusual(self) -> None:
        found = blink_finding(observed(eyes(6, ())))
        assert found.score is not None and found.score < 0.8
        assert "nothing unusual" in found.sentence

    @pytest.mark.parametrize(
        ("footage", "why"),
        [
            (observed(eyes(3, (1.0,))), "too short"),
            (observed(eyes(20, (), rate=8), rate=8), "frames a second"),
            (observed(np.where(np.arange(300) < 150, np.nan, eyes(10, ()))), "no face"),
            (observed(eyes(10, ()) * 0.1), "cannot be seen"),
            (observed(eyes(1, ())[:1], kind="picture"), "picture"),
            (observed(eyes(10, ()), times=np.zeros(300)), "carry the same time"),
        ],
    )
    def test_it_says_when_it_cannot_judge(self, footage: ObservedFace, why: str) -> None:
        found = blink_finding(footage)
        assert found.score is None
        assert why in found.reason

    def test_the_number_is_judged_as_drawn_from_people(self) -> None:
        random = np.random.default_rng(0)
        rates = random.gamma(SHAPE, MEAN_RATE / SHAPE, 200_000) / 60
        drawn = random.poisson(rates * 20.0)
        for count in (0, 3, 15):
            tail = 2 * min((drawn <= count).mean(), (drawn >= count).mean())
            assert count_chance(count, 20.0) == pytest.approx(min(1.0, tail), abs=0.01)

    @given(st.integers(0, 300), st.floats(0.5, 600))
    def test_a_chance_is_a_chance(self, count: int, seconds: float) -> None:
        assert 0 <= count_chance(count, seconds) <= 1

    def test_the_sentence_says_how_rare_and_nothing_about_fakes(self) -> None:
        usual, stare = (
            blink_finding(observed(eyes(40, blinks))) for blinks in (tuple(np.arange(2.0, 40, 4)), ())
        )
        assert stare.score is not None and usual.score is not None
        share = int(stare.sentence.partition("rarer than ")[2].partition(" %")[0])
        assert share == min(99, int(100 * stare.score)) and "% of clips of people" in stare.sentence
        assert rarity(1.0) == "as common as any among clips of people"
        assert rarity(0.0) == "rarer than 99 % of clips of people"
        assert rarity(0.25) == "rarer than 75 % of clips of people"

    def test_unusual_durations(self) -> None:
        assert duration_chance([0.2]) > 0.9 > 0.05 > duration_chance([0.9])
        assert duration_chance([]) == 1.0


def skin(
    seconds: float, hertz: float, amplitude: float, flicker: float = 0.0, noise: float = 0.0, seed: int = 0
) -> np.ndarray:
    """Mean colours ``(N, 3)`` of skin with a pulse, under light that flickers for all channels alike."""
    times = np.arange(round(seconds * pulse.RATE)) / pulse.RATE
    random = np.random.default_rng(seed)
    beat = amplitude * np.sin(2 * np.pi * hertz * times)
    light = 1 + flicker * np.sin(2 * np.pi * 2.3 * times + 1)
    whole = np.array([170.0, 120.0, 100.0]) * light[:, None] * (1 + beat[:, None] * (0.43, 1.0, 0.69))
    return np.asarray(whole + random.normal(0, noise, whole.shape))


class TestPulse:
    @pytest.mark.parametrize("method", pulse.METHODS)
    @pytest.mark.parametrize("hertz", [0.9, 1.25, 1.9, 2.8])
    def test_a_known_pulse_is_read(self, method: str, hertz: float) -> None:
        found = pulse.spectrum(pulse.signal(method, skin(10, hertz, 0.005, noise=0.1)))
        assert found.peak == pytest.approx(hertz, abs=0.05)

    def test_chrominance_sees_through_flickering_light_and_green_does_not(self) -> None:
        colours = skin(10, 1.25, 0.005, flicker=0.02, noise=0.05)
        peaks = {method: pulse.spectrum(pulse.signal(method, colours)).peak for method in pulse.METHODS}
        assert peaks["pos"] == pytest.approx(1.25, abs=0.05)
        assert peaks["chrom"] == pytest.approx(1.25, abs=0.05)
        assert peaks["green"] == pytest.approx(2.3, abs=0.05)

    def test_the_band_is_what_passes(self) -> None:
        times = np.arange(300) / pulse.RATE
        slow, inside, fast = (np.sin(2 * np.pi * hertz * times) for hertz in (0.2, 1.5, 6.0))
        assert pulse.band_pass(slow + fast + 5).std() < 0.1
        assert np.corrcoef(pulse.band_pass(slow + inside + fast), inside)[0, 1] > 0.99

    def test_uneven_times_and_gaps_are_bridged(self) -> None:
        random = np.random.default_rng(0)
        times = np.sort(random.uniform(0, 10, 400))
        colours = np.stack([np.sin(times), np.cos(times), times], 1)
        colours[100:104] = np.nan
        even = pulse.uniform(colours, times)
        wanted = times[0] + np.arange(len(even)) / pulse.RATE
        assert np.abs(even[:, 0] - np.sin(wanted)).max() < 0.02

    def test_regions_that_beat_together_are_told_from_those_that_do_not(self) -> None:
        times = np.arange(120) / pulse.RATE
        flicker = np.ones((120, 3))
        together = np.stack([skin(4, 1.3, 0.01, noise=0.02, seed=seed) for seed in range(3)], 1)
        apart = np.stack([skin(4, 0.9 + 0.6 * seed, 0.01, noise=0.02, seed=seed) for seed in range(3)], 1)
        one, other = (
            dict(zip(FEATURES, window_features(x, times, flicker), strict=True)) for x in (together, apart)
        )
        for method in pulse.METHODS:
            assert one[f"{method} correlation"] > 0.8 > other[f"{method} correlation"]
            assert one[f"{method} spectral overlap"] > other[f"{method} spectral overlap"]
            assert one[f"{method} peak spread"] < other[f"{method} peak spread"]

    def test_windows_are_whole_and_need_a_face(self) -> None:
        footage = observed(eyes(9, ()))
        footage.colours = np.stack([skin(9, 1.2, 0.005, noise=0.1, seed=seed) for seed in range(3)], 1)
        footage.flicker[:] = 1.0
        assert [start for start, _ in windows(footage)] == pytest.approx([0, 1, 2, 3, 4])
        footage.colours[60:120] = np.nan
        assert [start for start, _ in windows(footage)] == pytest.approx([4])
        assert all(np.isfinite(values).all() for _, values in windows(footage))


@pytest.mark.vectors
def test_a_pulse_of_half_a_percent_is_recovered_from_real_footage(test_data: Path) -> None:
    """And only where it was put in: the same footage without it shows another rhythm, or none so strong."""
    clip = open_footage(test_data / "media" / "people" / "s29.mp4")[0]
    real = FaceObserver().observe(clip, max_seconds=4.5)
    hertz = 1.8
    made = copy.deepcopy(real)
    collect_pixels(Pulsing(clip, real, hertz, 0.005), made)
    for method in ("pos", "chrom"):
        without, with_pulse = (
            pulse.spectrum(pulse.face_signal(method, pulse.uniform(one.colours, one.times)))
            for one in (real, made)
        )
        assert with_pulse.peak * 60 == pytest.approx(hertz * 60, abs=4)
        at = [pulse.signal_to_noise(one, real.seconds, hertz) for one in (without, with_pulse)]
        assert at[1] > at[0] + 3
        assert abs(without.peak - hertz) * 60 > 10
    assert blink_finding(real).score is not None


def test_only_small_pulses_are_put_in(portraits: dict[str, np.ndarray]) -> None:
    with pytest.raises(UsageError, match="out of bounds"):
        Pulsing(None, observed(eyes(1, ())), 1.0, 0.5)  # type: ignore[arg-type]

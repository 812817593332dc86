"""Sound to the mouth network's input: 28 features, 100 times a second.

As in section 4.1 of "Synthesizing Obama" (2017): 16 kHz, equal loudness (RMS), windows of 25 ms every 10 ms, 40 mel
bands, 13 cepstral coefficients and the log energy, and the first difference of each. The transform is Kaldi's, through
kaldi-native-fbank.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from provenance.errors import CorruptMediaError, MediaTooLargeError
from provenance.media.decoding import frames_of, why
from provenance.media.formats import detect_format

#: Samples a second after decoding, mono.
RATE = 16_000
#: Features a second, and how many numbers each has.
FEATURE_RATE = 100
FEATURES = 28
HOP, WINDOW = RATE // FEATURE_RATE, RATE // 40
MEL_BANDS, CEPSTRA = 40, 13
#: The longest sound, seconds.
MAX_SECONDS = 1800
SHORTEST = 0.2
_PATIENCE = 10.0
#: RMS after normalisation; sound below the second value counts as silence and is not scaled.
_LOUDNESS, _SILENCE = 0.1, 1e-4
_ENERGY_FLOOR = 1e-4
#: Quieter than the loud parts by so many decibels is silent, where it lasts so many seconds.
_QUIETER, _PAUSE = 30.0, 0.15
_ONSET = 0.2
#: Of the autocorrelation of voiced sound; its pitch lies between these, Hz.
_VOICED, _LOWEST, _HIGHEST = 0.5, 60, 400
#: Of normalised features: 30 dB in natural logarithms of power, the softness of the floor, one step of energy, and the
#: usual spread of cepstra.
_RANGE, _FADE, _STEP, _SPREAD = 30 * np.log(10) / 10, 0.6, 2.5, 16.0
Floats = NDArray[np.float32]


@dataclass(frozen=True)
class Sound:
    """Decoded sound.

    Attributes:
        samples: ``(n,)`` float32, mono, 16 kHz; sample 0 is the container's time 0, so that a video's sound and its
            frames share one clock.
        channels, rate: of the file.
        damage: why decoding ended early, or empty.
    """

    samples: Floats
    channels: int = 1
    rate: int = RATE
    damage: str = ""

    @property
    def seconds(self) -> float:
        return len(self.samples) / RATE

    @property
    def steps(self) -> int:
        """How many features it has."""
        return round(len(self.samples) / HOP)

    @property
    def is_silent(self) -> bool:
        return not len(self.samples) or _rms(self.samples) < _SILENCE

    def part(self, start: float, end: float) -> Sound:
        """From second to second; silence where there is none."""
        first, last = round(start * RATE), round(end * RATE)
        padded = np.zeros(max(0, last - first), np.float32)
        inside = self.samples[max(0, first) : max(0, last)]
        at = max(0, -first)
        padded[at : at + len(inside)] = inside[: len(padded) - at]
        return Sound(padded, self.channels, self.rate, self.damage)


def load_sound(path: Path) -> Sound:
    """Decode a sound file, or the first sound track of a video, whatever its rate and channels.

    Raises:
        MissingPathError, UnknownFormatError: no such file, or an unknown format.
        CorruptMediaError: no sound in it, less than 0.2 s, or none that can be decoded.
        MediaTooLargeError: more than half an hour.
    """
    import av

    kind = detect_format(path)
    if kind.kind not in ("audio", "video"):
        raise CorruptMediaError(f"{path.name} is {kind.name}, which holds no sound", hint="name a sound file")
    blocks: list[Floats] = []
    length, start, damage, channels, rate = 0, 0.0, "", 1, RATE
    try:
        with av.open(str(path), timeout=(_PATIENCE, _PATIENCE), metadata_errors="ignore") as container:
            if not container.streams.audio:
                raise CorruptMediaError(f"{path.name} has no sound track", hint="name a file with sound")
            stream = container.streams.audio[0]
            resampler = av.AudioResampler(format="flt", layout="mono", rate=RATE)
            for frame in frames_of(container, stream):
                if not blocks:
                    channels, rate = int(frame.layout.nb_channels), int(frame.sample_rate)
                    start = float(frame.time or 0.0)
                for piece in resampler.resample(frame):
                    blocks.append(piece.to_ndarray().reshape(-1).astype(np.float32))
                    length += len(blocks[-1])
                if length > MAX_SECONDS * RATE:
                    raise MediaTooLargeError(
                        f"{path.name} has more than {MAX_SECONDS // 60} minutes of sound",
                        hint="cut it into parts",
                    )
            for piece in resampler.resample(None) if blocks else ():
                blocks.append(piece.to_ndarray().reshape(-1).astype(np.float32))
    except (av.FFmpegError, OSError, ValueError, MemoryError) as error:
        if not blocks:
            raise CorruptMediaError(f"{path.name} cannot be decoded as sound: {why(error)}") from error
        damage = why(error)
    samples = np.nan_to_num(np.concatenate(blocks)) if blocks else np.zeros(0, np.float32)
    if len(samples) < SHORTEST * RATE:
        raise CorruptMediaError(
            f"{path.name} holds {len(samples) / RATE:.2f} s of sound, expected {SHORTEST} s or more",
            hint="name a longer sound",
        )
    sound = Sound(np.clip(samples, -8, 8), channels, rate, damage)
    end = min(max(start, -1.0), 60.0) + sound.seconds
    return sound.part(-start, sound.seconds) if abs(start) > 1e-3 and end > SHORTEST else sound


def normalised(samples: Floats) -> Floats:
    """Samples scaled to RMS 0.1; silence is not scaled."""
    loudness = _rms(samples)
    return samples if loudness < _SILENCE else samples * np.float32(_LOUDNESS / loudness)


def features(sound: Sound) -> Floats:
    """``(N, 28)`` float32 at 100 Hz: log energy, 13 cepstra, then the first difference of each.

    Row k describes the 25 ms around second ``(k + 0.5) / 100``, see :func:`feature_times`.
    """
    import kaldi_native_fbank as fbank

    options = fbank.MfccOptions()
    options.frame_opts.samp_freq = RATE
    options.frame_opts.frame_length_ms, options.frame_opts.frame_shift_ms = 25, 10
    options.frame_opts.dither = 0
    options.frame_opts.window_type = "hamming"
    options.frame_opts.snip_edges = False
    options.mel_opts.num_bins = MEL_BANDS
    # with the energy in the place of the zeroth of 14 cepstra, 13 are left
    options.num_ceps, options.use_energy, options.energy_floor = CEPSTRA + 1, True, _ENERGY_FLOOR
    computer = fbank.OnlineMfcc(options)
    computer.accept_waveform(RATE, normalised(sound.samples).tolist())
    computer.input_finished()
    rows = [computer.get_frame(index) for index in range(computer.num_frames_ready)]
    base = np.stack(rows).astype(np.float32)[: max(1, sound.steps)]
    return np.hstack([base, np.diff(base, axis=0, prepend=base[:1])])


def speech_features(sound: Sound) -> Floats:
    """``(N, 28)`` at 100 Hz: :func:`features` as the mouth's network reads them, see :func:`normalised_features`."""
    return normalised_features(features(sound))


def normalised_features(raw: NDArray[np.floating]) -> Floats:
    """Features without the loudness and colour of a recording, so that a model of one recording works on another.

    Energy is relative to the loud parts: their 95th percentile is 1, and a step of 1 is 11 dB. It has a floor 30 dB
    below them, or at the background noise. Cepstra have their mean over the frames above the floor subtracted (cepstral
    mean normalisation: microphone and room are a constant in them), and fade to 0 towards the floor, where they would
    describe noise. Differences are taken after that.

    Args:
        raw: ``(N, 28)`` of :func:`features`, of a whole recording; cut parts out of the result.
    """
    base = np.asarray(raw, np.float64)[:, : CEPSTRA + 1]
    energy, cepstra = base[:, 0], base[:, 1:]
    loud, quiet = np.percentile(energy, 95), np.percentile(energy, 5)
    floor = max(loud - _RANGE, quiet + 0.25 * min(loud - quiet, _RANGE))
    spoken = energy > floor if (energy > floor).sum() >= 20 else np.ones(len(energy), bool)
    shown = 1 / (1 + np.exp(-np.clip((energy - floor) / _FADE, -30, 30)))
    level = (np.maximum(energy, floor - 2 * _FADE) - loud) / _STEP + 1
    colour = (cepstra - cepstra[spoken].mean(0)) * shown[:, None] / _SPREAD
    even = np.column_stack([level, colour]).astype(np.float32)
    return np.hstack([even, 3 * np.diff(even, axis=0, prepend=even[:1])])


def feature_times(count: int) -> NDArray[np.float64]:
    """``(count,)`` seconds of the middles of the features' windows."""
    return (np.arange(count) + 0.5) / FEATURE_RATE


def loudness(sound: Sound) -> NDArray[np.float64]:
    """``(N,)`` decibels relative to full scale of each 25 ms, at 100 Hz; at least -100."""
    power = (_windows(sound) ** 2).mean(1)
    return np.asarray(np.maximum(10 * np.log10(np.maximum(power, 1e-12)), -100.0))


def silent(sound: Sound) -> NDArray[np.bool_]:
    """``(N,)`` at 100 Hz: pauses of 0.15 s or more that are 30 dB below the loud parts, or nearer to the background
    noise than to them.
    """
    level = loudness(sound)
    loud, quiet = np.percentile(level, 95), np.percentile(level, 5)
    if loud < 20 * np.log10(_SILENCE):
        return np.ones(len(level), bool)
    limit = max(loud - _QUIETER, quiet + 0.25 * min(loud - quiet, _QUIETER))
    return (
        _lasting(level < limit, round(_PAUSE * FEATURE_RATE))
        if loud - quiet > 6
        else np.zeros(len(level), bool)
    )


def onsets(quiet: NDArray[np.bool_], within: float = _ONSET, rate: float = FEATURE_RATE) -> NDArray[np.bool_]:
    """``(N,)``: speech that began less than ``within`` seconds before, after a pause.

    Args:
        quiet: ``(N,)``, true in pauses, ``rate`` times a second.
    """
    reach, result = max(1, round(within * rate)), np.zeros(len(quiet), bool)
    for start in np.flatnonzero(quiet[:-1] & ~quiet[1:]) + 1:
        result[start : start + reach] = True
    return np.asarray(result & ~quiet)


def voiced(sound: Sound) -> NDArray[np.bool_]:
    """``(N,)`` at 100 Hz: where the sound repeats itself with a pitch of 60 to 400 Hz (its autocorrelation, corrected
    for the window's after Boersma, IFA Proceedings 17, 1993, exceeds one half), and is not silent.
    """
    length = 3 * RATE // _LOWEST
    frames = _windows(sound, length) * np.hanning(length)
    size = 1 << (2 * length - 1).bit_length()
    lags = slice(RATE // _HIGHEST, RATE // _LOWEST)
    own = np.fft.irfft(np.abs(np.fft.rfft(np.hanning(length), size)) ** 2)
    spectra = np.abs(np.fft.rfft(frames - frames.mean(1, keepdims=True), size, axis=1)) ** 2
    shape = np.fft.irfft(spectra, axis=1)
    peak = (shape[:, lags] / np.maximum(shape[:, :1], 1e-12) / (own[lags] / own[0])).max(1)
    return np.asarray((peak > _VOICED) & ~silent(sound))


def _windows(sound: Sound, length: int = WINDOW) -> NDArray[np.float64]:
    """``(N, length)`` around each feature's time."""
    count = max(1, sound.steps)
    before = length // 2 - HOP // 2
    padded = np.zeros(before + count * HOP + length)
    use = min(len(sound.samples), len(padded) - before)
    padded[before : before + use] = sound.samples[:use]
    return np.lib.stride_tricks.sliding_window_view(padded, length)[::HOP][:count]


def _lasting(flags: NDArray[np.bool_], least: int) -> NDArray[np.bool_]:
    """Without the runs of true that are shorter than ``least``."""
    edges = np.flatnonzero(np.diff(np.concatenate([[0], flags.astype(np.int8), [0]])))
    result = flags.copy()
    for start, end in zip(edges[::2].tolist(), edges[1::2].tolist(), strict=True):
        if end - start < least:
            result[start:end] = False
    return result


def _rms(samples: Any) -> float:
    return float(np.sqrt(np.mean(np.square(samples, dtype=np.float64)))) if len(samples) else 0.0

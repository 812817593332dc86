"""Recorded speech for the prior of mouths, with its phonemes: the voice of Debian's package ``festvox-ru``.

One man read 620 sentences for a Russian voice of Festival (Nickolay V. Shmyrev, 2005, free to use, change and publish);
the package holds the recordings and when each phoneme begins and ends. Played faster and higher, or slower and lower,
they stand for other voices as well.
"""

from __future__ import annotations

import wave
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from synth.lipsync.mouth.audio import RATE
from synth.lipsync.mouth.visemes import Phone

FOLDER = Path("/usr/share/festival/voices/russian/msu_ru_nsh_clunits")
#: The voice's phonemes in IPA; doubled letters are soft consonants and stressed vowels.
IPA = {
    **{one: one for one in "abdefilmnoprstuvz"},
    **{2 * one: one for one in "bdfglmnprstvz"},
    **{"aa": "a", "ae": "ɐ", "ay": "ə", "ee": "e", "i": "ɪ", "ii": "i", "oo": "o", "uu": "u", "ur": "u"},
    **{"y": "ɨ", "yy": "ɨ", "ch": "tʃ", "sh": "ʃ", "zh": "ʒ", "sch": "ɕ", "c": "ts", "j": "j"},
    **{"g": "g", "k": "k", "kk": "k", "h": "x", "hh": "x", "pau": ""},
}  # fmt: skip
_SLOWER, _FASTER = 0.85, 1.4


@dataclass
class Said:
    """What somebody said: samples at 16 kHz, and its phonemes."""

    samples: NDArray[np.float32]
    phones: list[Phone]


def recordings(random: np.random.Generator) -> Iterator[Said]:
    """Without end: the sentences in another order each time, each in another voice.

    Raises:
        SystemExit: the package is not installed.
    """
    files = sorted((FOLDER / "wav").glob("*.wav"))
    if not files:
        raise SystemExit(f"{FOLDER} holds no recordings: install festvox-ru")
    while True:
        for place in random.permutation(len(files)):
            phones, end = labelled(FOLDER / "lab" / f"{files[place].stem}.lab")
            faster = float(np.exp(random.uniform(np.log(_SLOWER), np.log(_FASTER))))
            samples = _faster(_read(files[place]), faster)
            told = [Phone(one.name, one.start / faster) for one in (*phones, Phone("", end))]
            yield Said(samples, told)


def labelled(file: Path) -> tuple[list[Phone], float]:
    """The phonemes of an ESPS label file (rows of end, colour, name), and when the last one ends."""
    phones, start = [], 0.0
    for line in file.read_text(errors="ignore").splitlines():
        parts = line.split()
        if len(parts) == 3:
            phones.append(Phone(IPA.get(parts[2], "?"), start))
            start = float(parts[0])
    return phones, start


def _read(file: Path) -> NDArray[np.float32]:
    with wave.open(str(file)) as sound:
        if sound.getframerate() != RATE or sound.getsampwidth() != 2 or sound.getnchannels() != 1:
            raise SystemExit(f"{file} is no 16-bit mono sound at {RATE} Hz")
        whole = np.frombuffer(sound.readframes(sound.getnframes()), "<i2")
    return np.asarray(whole, np.float32) / np.float32(32768)


def _faster(samples: NDArray[np.float32], rate: float) -> NDArray[np.float32]:
    """Played ``rate`` times as fast and as high."""
    count = int(len(samples) / rate)
    spectrum = np.fft.rfft(samples)
    kept = np.zeros(count // 2 + 1, complex)
    use = min(len(kept), len(spectrum))
    kept[:use] = spectrum[:use]
    return np.asarray(np.fft.irfft(kept, count) * count / len(samples), np.float32)

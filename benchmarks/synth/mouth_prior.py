"""Makes the prior of mouths that comes with the package, out of sound alone.

    python benchmarks/synth/mouth_prior.py [-o synth/lipsync/mouth/mouth-prior.safetensors] [--minutes 15] [--recorded
    30]
                                     [--epochs 25]

espeak-ng's library (``libespeak-ng.so.1``, from the package of that name) speaks words that nobody wrote, in many
voices and languages, and tells which phoneme begins where; recorded sentences of one man, whose phonemes are known,
come from Debian's ``festvox-ru`` (``mouth_prior_spoken.py``). :mod:`synth.lipsync.mouth.visemes` says what a mouth
does then. Sounds are coloured, made noisy, and made louder and quieter, so that the network hears what they have in
common with other recordings. No footage is in it.
"""

from __future__ import annotations

import argparse
import ctypes
import time
from collections.abc import Iterator
from pathlib import Path

import av
import numpy as np
from numpy.typing import NDArray

from benchmarks.synth.mouth_prior_spoken import Said, recordings
from synth.lipsync.mouth.audio import FEATURE_RATE, RATE, Sound, speech_features
from synth.lipsync.mouth.model import MouthOptions, save_mouth
from synth.lipsync.mouth.train import SpeechClip, train_mouth
from synth.lipsync.mouth.visemes import KINDS, Phone, controls, kinds, lips

LANGUAGES = (
    "en",
    "en-us",
    "de",
    "es",
    "it",
    "nl",
    "pt",
    "pl",
    "sv",
    "fi",
    "id",
    "tr",
    "ro",
    "cs",
    "hu",
    "sw",
)
VARIANTS = (
    "",
    "+f1",
    "+f2",
    "+f3",
    "+f4",
    "+f5",
    "+m1",
    "+m2",
    "+m3",
    "+m4",
    "+m5",
    "+m6",
    "+m7",
    "+klatt",
    "+klatt2",
)
#: Principal components of the mouth of nobody that are kept.
LIPS = 6
_SYNCHRONOUS, _PHONEMES, _IPA, _PHONEME_EVENT = 2, 1, 2, 7
_SPEED, _PITCH, _RANGE_OF_PITCH = 1, 3, 4
CONSONANTS = (
    "b",
    "d",
    "f",
    "g",
    "h",
    "k",
    "l",
    "m",
    "n",
    "p",
    "r",
    "s",
    "t",
    "v",
    "w",
    "z",
    "sh",
    "ch",
    "st",
    "br",
)
VOWELS = ("a", "e", "i", "o", "u", "a", "e", "o", "ai", "ei", "au", "oo", "ee")


class _Name(ctypes.Union):
    _fields_ = (("number", ctypes.c_int), ("name", ctypes.c_char_p), ("string", ctypes.c_char * 8))


class _Event(ctypes.Structure):
    """``espeak_EVENT`` of speak_lib.h."""

    _fields_ = (
        *(
            ("type", ctypes.c_int),
            ("identifier", ctypes.c_uint),
            ("text", ctypes.c_int),
            ("length", ctypes.c_int),
        ),
        *(("milliseconds", ctypes.c_int), ("sample", ctypes.c_int), ("user", ctypes.c_void_p), ("id", _Name)),
    )


_Callback = ctypes.CFUNCTYPE(
    ctypes.c_int, ctypes.POINTER(ctypes.c_short), ctypes.c_int, ctypes.POINTER(_Event)
)


class Speaker:
    """espeak-ng, through its C interface."""

    def __init__(self) -> None:
        self._library = ctypes.CDLL("libespeak-ng.so.1")
        self.rate = int(self._library.espeak_Initialize(_SYNCHRONOUS, 0, None, _PHONEMES | _IPA))
        if self.rate <= 0:
            raise SystemExit("espeak-ng does not begin: is its data installed?")
        self._callback = _Callback(self._take)
        self._library.espeak_SetSynthCallback(self._callback)
        self._blocks: list[NDArray[np.int16]] = []
        self._phones: list[Phone] = []

    def _take(self, samples: ctypes._Pointer, count: int, events: ctypes._Pointer) -> int:  # type: ignore[type-arg]
        place = 0
        while events[place].type != 0:
            if events[place].type == _PHONEME_EVENT:
                name = bytes(events[place].id.string).decode("utf-8", "ignore")
                self._phones.append(Phone(name, events[place].sample / self.rate))
            place += 1
        if samples and count:
            self._blocks.append(np.ctypeslib.as_array(samples, (count,)).copy())
        return 0

    def say(self, text: str, voice: str, speed: int, pitch: int, range_of_pitch: int) -> Said:
        """One text; speed in words a minute, pitch 0 to 99."""
        self._blocks, self._phones = [], []
        if self._library.espeak_SetVoiceByName(voice.encode()) != 0:
            raise SystemExit(f"espeak-ng has no voice {voice}")
        for name, value in ((_SPEED, speed), (_PITCH, pitch), (_RANGE_OF_PITCH, range_of_pitch)):
            self._library.espeak_SetParameter(name, value, 0)
        data = text.encode()
        self._library.espeak_Synth(data, len(data) + 1, 0, 1, 0, 1, None, None)
        whole = np.concatenate(self._blocks).astype(np.float32) / np.float32(32768)
        return Said(_at_16_khz(whole, self.rate), self._phones)


def _at_16_khz(samples: NDArray[np.float32], rate: int) -> NDArray[np.float32]:
    resampler = av.AudioResampler(format="flt", layout="mono", rate=RATE)
    frame = av.AudioFrame.from_ndarray(samples[None], format="flt", layout="mono")
    frame.sample_rate = rate
    pieces = [one.to_ndarray().ravel() for one in (*resampler.resample(frame), *resampler.resample(None))]
    return np.concatenate(pieces).astype(np.float32)


def words(random: np.random.Generator) -> str:
    """A few sentences of words that nobody wrote."""

    def word() -> str:
        return "".join(
            str(random.choice(CONSONANTS)) + str(random.choice(VOWELS))
            for _ in range(int(random.integers(1, 4)))
        ) + str(random.choice(("", "", "n", "s", "t", "m", "l")))

    sentences = []
    for _ in range(3):
        said = [word() + ("," if random.random() < 0.12 else "") for _ in range(int(random.integers(4, 12)))]
        sentences.append(" ".join(said).rstrip(",") + ".")
    return " ".join(sentences)


def recorded(said: Said, random: np.random.Generator) -> NDArray[np.float32]:
    """As if somebody had recorded it: coloured, at changing loudness, with noise behind it."""
    samples, count = said.samples, len(said.samples)
    spectrum, tones = np.fft.rfft(samples), np.fft.rfftfreq(count, 1 / RATE)
    bands = np.geomspace(60, 8000, 8)
    colour = np.interp(np.log(np.maximum(tones, 30)), np.log(bands), np.cumsum(random.normal(0, 3.5, 8)))
    coloured = np.fft.irfft(spectrum * 10 ** (colour / 20), count)
    slow = np.interp(np.arange(count), np.linspace(0, count, 12), random.normal(0, 2.5, 12))
    coloured *= 10 ** (slow / 20)
    noise = np.fft.rfft(random.standard_normal(count)) / np.maximum(tones, 50) ** random.uniform(0, 1)
    hiss = np.fft.irfft(noise, count)
    power = np.sqrt((coloured**2).mean() / max((hiss**2).mean(), 1e-20))
    return np.asarray(coloured + hiss * power * 10 ** (-random.uniform(18, 60) / 20), np.float32)


def clips(minutes: float, seed: int = 0) -> Iterator[SpeechClip]:
    """Sound and mouth, voice after voice, of a machine."""
    random, speaker, made = np.random.default_rng(seed), Speaker(), 0.0
    while made < 60 * minutes:
        voice = str(random.choice(LANGUAGES)) + str(random.choice(VARIANTS))
        said = speaker.say(
            words(random), voice, int(random.integers(120, 250)), int(random.integers(15, 85)),
            int(random.integers(30, 80)),
        )  # fmt: skip
        one = _clip(said, random)
        made += len(one.features) / FEATURE_RATE
        yield one


def recorded_clips(minutes: float, seed: int = 7) -> Iterator[SpeechClip]:
    """Sound and mouth of recordings."""
    random, made = np.random.default_rng(seed), 0.0
    for said in recordings(random):
        if made >= 60 * minutes:
            return
        one = _clip(said, random)
        made += len(one.features) / FEATURE_RATE
        yield one


def _clip(said: Said, random: np.random.Generator) -> SpeechClip:
    features = speech_features(Sound(recorded(said, random)))
    told = controls(said.phones, len(features)) * random.uniform(0.8, 1.25, 4)
    return SpeechClip(features, lips(told), np.ones(len(features), bool), kinds(said.phones, len(features)))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "-o", "--output", type=Path, default=Path("synth/lipsync/mouth/mouth-prior.safetensors")
    )
    parser.add_argument("--minutes", type=float, default=15.0, help="of a machine's voices")
    parser.add_argument("--recorded", type=float, default=30.0, help="minutes of recorded speech")
    parser.add_argument("--epochs", type=int, default=25)
    parser.add_argument("--units", type=int, default=60)
    parser.add_argument("--delay", type=int, default=20)
    parser.add_argument("--bidirectional", action="store_true")
    args = parser.parse_args()
    start = time.process_time()
    spoken = [*clips(args.minutes), *recorded_clips(args.recorded)]
    print(
        f"{sum(len(one.features) for one in spoken) / 6000:.1f} minutes in {time.process_time() - start:.0f} s"
    )
    options = MouthOptions(
        delay=args.delay, bidirectional=args.bidirectional, units=args.units,
        coefficients=LIPS + len(KINDS), epochs=args.epochs, stride=50,
        noise=0.3, dropout=0.2, held_out=0.0, rate=2e-3,
    )  # fmt: skip
    model = train_mouth(spoken, options, progress=lambda share: print(f"\r{share:4.0%}", end="", flush=True))
    model.notes["sources"] = (
        "machine-spoken sound of espeak-ng and the recordings of festvox-ru; a mouth of nobody"
    )
    save_mouth(args.output, model)
    errors = model.notes["history"]
    print(f"\n{args.output}: {time.process_time() - start:.0f} s of computing; errors {errors[::3]}")


if __name__ == "__main__":
    main()

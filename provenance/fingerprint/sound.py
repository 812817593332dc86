"""A sound's fingerprint: 32 bits every 46 ms, each the sign of how a band's share of the energy changes.

The method is Haitsma and Kalker's ("A highly robust audio fingerprinting system", ISMIR 2002): 33 bands from
300 to 2000 Hz, logarithmically spaced, in windows of 0.37 s; a bit tells whether the energy difference of two
neighbouring bands rises or falls. An excerpt agrees with its source in about 80 % of the bits or more, other
sounds in about 50 %. It needs no library beyond the decoder, so that every installation makes the same one. Where
the `fpcalc` program of Chromaprint is installed, its fingerprint is put into the record as well, for others.
"""

from __future__ import annotations

import json
import shutil
import struct
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from provenance.errors import CorruptMediaError, ReceiptError
from provenance.media.decoding import frames_of

#: Samples a second that everything is resampled to, mono.
RATE = 5512
_WINDOW, HOP = 2048, 256
#: A look-up reads so many positions for each hop, because an excerpt starts anywhere.
PHASES = 4
_BANDS = 33
#: No more sound than this is decoded, seconds; two hours give a fingerprint of some 600 KB.
MAX_SECONDS = 7200
_PATIENCE = 10.0
_CHUNK = 512
_SILENCE = 1e-4
_MAGIC = b"VMSF\x01"
_HEADER = struct.Struct(">5sI")
_CHROMAPRINT_SECONDS, _CHROMAPRINT_CHARACTERS = 120, 8192


@dataclass(frozen=True)
class SoundFingerprint:
    """Sub-fingerprints of a sound.

    Attributes:
        codes: ``(N,)`` uint32, one every ``HOP / RATE`` seconds.
        phases: ``(PHASES, M)`` uint32, the same read from starts a quarter of a hop apart; for look-ups, not kept.
        chromaprint: Chromaprint's compressed fingerprint of the first two minutes, where `fpcalc` is installed.
    """

    codes: NDArray[np.uint32]
    phases: NDArray[np.uint32]
    chromaprint: str | None = None
    kind: str = "sound"

    def __len__(self) -> int:
        return len(self.codes)

    @property
    def duration_ms(self) -> int:
        return round(len(self.codes) * HOP * 1000 / RATE)

    def to_record(self) -> dict[str, int | str]:
        values: dict[str, int | str] = {"kind": self.kind, "sound_ms": self.duration_ms}
        if self.chromaprint:
            values["chromaprint"] = self.chromaprint
        return values

    def to_blob(self) -> bytes:
        return _HEADER.pack(_MAGIC, len(self)) + self.codes.astype(">u4").tobytes()

    @classmethod
    def from_blob(cls, data: bytes) -> SoundFingerprint:
        """Parse what :meth:`to_blob` wrote.

        Raises:
            ReceiptError: another format or version, or a length that does not fit.
        """
        if len(data) < _HEADER.size or not data.startswith(_MAGIC):
            raise ReceiptError("not a veilmark sound fingerprint of a known version")
        _, count = _HEADER.unpack_from(data)
        if count > MAX_SECONDS * RATE // HOP + 1 or len(data) != _HEADER.size + 4 * count:
            raise ReceiptError("sound fingerprint has a wrong length")
        codes = np.frombuffer(data, dtype=">u4", offset=_HEADER.size).astype(np.uint32)
        return cls(codes, codes[None])


def fingerprint_sound(path: Path) -> SoundFingerprint:
    """Decode a sound file, or a video's first sound track, and fingerprint it.

    Raises:
        CorruptMediaError: nothing can be decoded.
    """
    sound = sound_of(path)
    if sound is None:
        raise CorruptMediaError(f"{path.name} holds no sound that can be decoded")
    return sound


def sound_of(path: Path) -> SoundFingerprint | None:
    """The fingerprint of the first sound track; None where there is none that can be decoded.

    What is silent, or lasts less than a second, gets a fingerprint without codes, which matches nothing.
    """
    samples = _decoded(path)
    if not len(samples):
        return None
    audible = float(np.abs(samples).max()) > _SILENCE
    phases = subfingerprints(samples if audible else samples[:0])
    return SoundFingerprint(phases[0], phases, _chromaprint(path) if audible else None)


def subfingerprints(samples: NDArray[np.float32]) -> NDArray[np.uint32]:
    """``(PHASES, N)`` uint32 of mono samples, -1..1, at :data:`RATE`; N is 0 for less than a second."""
    step = HOP // PHASES
    count = (len(samples) - _WINDOW - (PHASES - 1) * step) // HOP
    if len(samples) < RATE or count < 1:
        return np.zeros((PHASES, 0), dtype=np.uint32)
    window = np.hanning(_WINDOW).astype(np.float32)
    frames = np.lib.stride_tricks.sliding_window_view(samples, _WINDOW)
    rows = []
    for phase in range(PHASES):
        starts = frames[phase * step :: HOP][: count + 1]
        energy = np.concatenate(
            [
                (np.abs(np.fft.rfft(starts[at : at + _CHUNK] * window, axis=1)) ** 2) @ _band_matrix()
                for at in range(0, len(starts), _CHUNK)
            ]
        )
        contrast = energy[:, :-1] - energy[:, 1:]
        rows.append(
            np.packbits(np.diff(contrast, axis=0) > 0, axis=1).view(">u4").reshape(-1).astype(np.uint32)
        )
    return np.stack(rows)


@lru_cache(maxsize=1)
def _band_matrix() -> NDArray[np.float32]:
    """``(window / 2 + 1, 33)``: which band each frequency belongs to."""
    edges = np.geomspace(300, 2000, _BANDS + 1)
    frequencies = np.fft.rfftfreq(_WINDOW, 1 / RATE)
    band = np.searchsorted(edges, frequencies, side="right") - 1
    matrix = np.zeros((len(frequencies), _BANDS), dtype=np.float32)
    inside = (band >= 0) & (band < _BANDS)
    matrix[np.flatnonzero(inside), band[inside]] = 1
    return matrix


def _decoded(path: Path) -> NDArray[np.float32]:
    """Mono samples at :data:`RATE`, -1..1; what comes before a damaged place; empty where there are none."""
    import av

    blocks: list[NDArray[np.float32]] = []
    length = 0
    try:
        with av.open(str(path), timeout=(_PATIENCE, _PATIENCE), metadata_errors="ignore") as container:
            if container.streams.audio:
                stream = container.streams.audio[0]
                for frame in _resampled(container, stream):
                    blocks.append(frame.to_ndarray().reshape(-1).astype(np.float32) / np.float32(32768))
                    length += len(blocks[-1])
                    if length > MAX_SECONDS * RATE:
                        break
    except (av.FFmpegError, OSError, ValueError, MemoryError):
        pass  # the caller judges by what was decoded
    return np.concatenate(blocks)[: MAX_SECONDS * RATE] if blocks else np.zeros(0, dtype=np.float32)


def _resampled(container: Any, stream: Any) -> Iterator[Any]:
    import av

    resampler = av.AudioResampler(format="s16", layout="mono", rate=RATE)
    for frame in frames_of(container, stream):
        yield from resampler.resample(frame)
    yield from resampler.resample(None)


def _chromaprint(path: Path) -> str | None:
    program = shutil.which("fpcalc")
    if not program:
        return None
    command = [program, "-json", "-length", str(_CHROMAPRINT_SECONDS), str(path.absolute())]
    try:
        done = subprocess.run(command, capture_output=True, timeout=60, check=False)
        value = json.loads(done.stdout)["fingerprint"]
    except (OSError, subprocess.SubprocessError, ValueError, KeyError, TypeError):
        return None
    return value if isinstance(value, str) and len(value) <= _CHROMAPRINT_CHARACTERS else None

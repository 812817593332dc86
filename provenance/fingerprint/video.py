"""A video's fingerprint: the PDQ hashes of its frames and when they are shown, evenly spaced, and features of stills.

A long video is sampled more sparsely, so that a fingerprint has at most :data:`MAX_SAMPLES` hashes. Decoding is
bounded in frames, size and time to wait; what was decoded before a limit or a damaged place is what counts.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass, replace
from fractions import Fraction
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from provenance.errors import CorruptMediaError, MediaTooLargeError, ReceiptError
from provenance.fingerprint.bars import Bars, find_bars
from provenance.fingerprint.features import WORKING_SIDE, at_working_size
from provenance.fingerprint.pdq import BYTES, MIN_QUALITY, hamming, pdq_hash
from provenance.fingerprint.sound import SoundFingerprint, sound_of
from provenance.fingerprint.stills import Still, StillSampler, pack_stills, unpack_stills
from provenance.media.decoding import frames_of, moving_pictures, why

#: Samples a second of a short video; halved again and again for a longer one, to keep within the maximum.
SAMPLE_RATE = 10
MAX_SAMPLES = 4096
#: No more frames than this are decoded (about an hour at 60 a second).
MAX_FRAMES = 216_000
MAX_FRAME_PIXELS = 8192 * 8192
#: Seconds to wait for opening and for one read.
_PATIENCE = 10.0
_SMALL_SIDE = 192
#: Seconds from which on frames that no other refers to are skipped: half the time, and about 12 frames a second.
_LONG = 120
#: A sample this near to the one before it adds nothing to find the video by.
_SAME_SCENE = 12
_MAX_LANDMARKS = 256
#: Of the first version, which had no stills, and of this one; in front of its stills stands their length.
_MAGIC_1, _MAGIC = b"VMVF\x01", b"VMVF\x02"
_HEADER = struct.Struct(">5sIHI")
_LENGTH = struct.Struct(">I")


class NoVideoTrackError(CorruptMediaError):
    """A container of a video format without a video track."""


@dataclass(frozen=True)
class VideoFingerprint:
    """Frames of a video, and its sound.

    Attributes:
        times: ``(N,)`` uint32, milliseconds from the first frame, rising.
        codes: ``(N, 32)`` uint8, PDQ hashes.
        qualities: ``(N,)`` uint8, 0..100.
        duration_ms: until the last decoded frame.
        sound: of its first sound track, or None.
        stills: frames by their local features.
        inside: the same of what is between bars of one colour, or None where there are none; not in the blob.
    """

    times: NDArray[np.uint32]
    codes: NDArray[np.uint8]
    qualities: NDArray[np.uint8]
    duration_ms: int
    sound: SoundFingerprint | None = None
    kind: str = "video"
    stills: tuple[Still, ...] = ()
    inside: VideoFingerprint | None = None

    def __len__(self) -> int:
        return len(self.times)

    def landmarks(self) -> list[tuple[int, bytes]]:
        """``(time in ms, code)`` of frames with structure that differ from those before: to find the video by."""
        chosen: list[tuple[int, bytes]] = []
        for time, code, quality in zip(self.times, self.codes, self.qualities, strict=True):
            data = code.tobytes()
            if quality >= MIN_QUALITY and all(hamming(data, other) > _SAME_SCENE for _, other in chosen[-3:]):
                chosen.append((int(time), data))
        step = max(1, -(-len(chosen) // _MAX_LANDMARKS))
        return chosen[::step]

    def to_record(self) -> dict[str, int | str]:
        """The hash of the best frame stands for the video; the others stay in the blob."""
        values: dict[str, int | str] = {
            "kind": self.kind,
            "duration_ms": self.duration_ms,
            "frames": len(self),
        }
        if len(self):
            best = int(np.argmax(self.qualities))
            values["pdq"] = self.codes[best].tobytes().hex()
            values["pdq_quality"] = int(self.qualities[best])
            values["pdq_time_ms"] = int(self.times[best])
        if self.sound:
            values.update({name: value for name, value in self.sound.to_record().items() if name != "kind"})
        return values

    def to_blob(self) -> bytes:
        """37 bytes a sample, then the sound's blob, the stills, and the length of these."""
        sound = self.sound.to_blob() if self.sound else b""
        stills = pack_stills(self.stills)
        head = _HEADER.pack(_MAGIC, self.duration_ms, len(self), len(sound))
        return (
            head
            + self.times.astype(">u4").tobytes()
            + self.qualities.tobytes()
            + self.codes.tobytes()
            + sound
            + stills
            + _LENGTH.pack(len(stills))
        )

    @staticmethod
    def knows(data: bytes) -> bool:
        """Whether a blob is of a video, by its first bytes."""
        return data.startswith((_MAGIC_1, _MAGIC))

    @classmethod
    def from_blob(cls, data: bytes) -> VideoFingerprint:
        """Parse what :meth:`to_blob` wrote.

        Raises:
            ReceiptError: another format or version, or a length that does not fit.
        """
        if len(data) < _HEADER.size or not data.startswith((_MAGIC_1, _MAGIC)):
            raise ReceiptError("not a veilmark video fingerprint of a known version")
        stills: tuple[Still, ...] = ()
        if data.startswith(_MAGIC):
            end = len(data) - _LENGTH.size
            (length,) = _LENGTH.unpack_from(data, end)
            if length > end - _HEADER.size:
                raise ReceiptError("video fingerprint has a wrong length")
            stills, data = unpack_stills(data[end - length : end]), data[: end - length]
        _, duration, count, sound_size = _HEADER.unpack_from(data)
        if count > MAX_SAMPLES or len(data) != _HEADER.size + count * (5 + BYTES) + sound_size:
            raise ReceiptError("video fingerprint has a wrong length")
        place = _HEADER.size
        times = np.frombuffer(data, dtype=">u4", count=count, offset=place).astype(np.uint32)
        qualities = np.frombuffer(data, dtype=np.uint8, count=count, offset=place + 4 * count)
        codes = np.frombuffer(data, dtype=np.uint8, count=count * BYTES, offset=place + 5 * count)
        sound = SoundFingerprint.from_blob(data[-sound_size:]) if sound_size else None
        return cls(times, codes.reshape(-1, BYTES), qualities, duration, sound, stills=stills)


def fingerprint_video(path: Path, *, max_frames: int = MAX_FRAMES) -> VideoFingerprint:
    """Decode a video and hash its frames.

    Args:
        path: any container and codec that FFmpeg, through PyAV, decodes.
        max_frames: decode no more than so many.

    Raises:
        NoVideoTrackError: the container holds sound only.
        CorruptMediaError: not one frame can be decoded.
        MediaTooLargeError: frames of more than 67 megapixels.
    """
    import av

    samples = _Samples()
    try:
        with av.open(str(path), timeout=(_PATIENCE, _PATIENCE), metadata_errors="ignore") as container:
            moving = moving_pictures(container)
            if not moving:
                raise NoVideoTrackError(f"{path.name} has no video track")
            stream = moving[0]
            if stream.codec_context is None:
                raise CorruptMediaError(f"{path.name} names a video codec that nothing here decodes")
            if stream.codec_context.width * stream.codec_context.height > MAX_FRAME_PIXELS:
                raise MediaTooLargeError(f"{path.name} has frames of more than {MAX_FRAME_PIXELS} pixels")
            stream.thread_type = "AUTO"
            # a hash of coarse brightness needs no deblocking, and that of a long film not every frame
            stream.codec_context.options = {"skip_loop_filter": "all"}
            if (container.duration or 0) > _LONG * av.time_base and (
                stream.average_rate or 0
            ) >= 2 * SAMPLE_RATE:
                stream.codec_context.skip_frame = "NONREF"
            _decode(container, stream, samples, max_frames)
    except (av.FFmpegError, OSError, ValueError, MemoryError) as error:
        if not samples.times:
            raise CorruptMediaError(f"{path.name} cannot be decoded as video: {why(error)}") from error
    if not samples.times:
        raise CorruptMediaError(f"{path.name} holds no frame that can be decoded")
    inside = samples.fingerprint(samples.inside) if samples.barred else None
    whole = samples.fingerprint(samples.whole)
    return replace(whole, sound=sound_of(path), stills=samples.stills.stills(), inside=inside)


class _Samples:
    """Evenly spaced frames; when there are too many, every other is dropped and the step doubled."""

    def __init__(self) -> None:
        self.times: list[int] = []
        self.whole: list[tuple[bytes, int]] = []
        self.inside: list[tuple[bytes, int]] = []
        self.barred = False
        self.stills = StillSampler()
        self.latest = 0
        self._bars: Bars | None = None
        self._step = 1000 / SAMPLE_RATE
        self._due = 0.0

    def offer(self, milliseconds: int, frame: Any) -> None:
        self.latest = max(self.latest, milliseconds)
        self.stills.offer(milliseconds, lambda: at_working_size(_small_grey(frame, WORKING_SIDE)))
        if milliseconds < self._due - 1:
            return
        self._due = (milliseconds // self._step + 1) * self._step
        grey = _small_grey(frame)
        self.times.append(milliseconds)
        self.whole.append(pdq_hash(grey))
        self.inside.append(self._between_bars(grey))
        if len(self.times) >= MAX_SAMPLES:
            for rows in (self.times, self.whole, self.inside):
                del rows[1::2]
            self._step *= 2

    def _between_bars(self, grey: NDArray[np.uint8]) -> tuple[bytes, int]:
        """Hash and quality of what is between the bars, which are in all frames so far that show anything."""
        bars = find_bars(grey)
        if bars.top < len(grey):
            self._bars = bars.thinner(self._bars) if self._bars else bars
        if self._bars is None or not self._bars.matter(grey):
            return self.whole[-1]
        self.barred = True
        return pdq_hash(self._bars.cut(grey))

    def fingerprint(self, hashes: list[tuple[bytes, int]]) -> VideoFingerprint:
        return VideoFingerprint(
            times=np.array(self.times, dtype=np.uint32),
            codes=np.frombuffer(b"".join(code for code, _ in hashes), dtype=np.uint8).reshape(-1, BYTES),
            qualities=np.array([quality for _, quality in hashes], dtype=np.uint8),
            duration_ms=self.latest,
        )


def _decode(container: Any, stream: Any, samples: _Samples, max_frames: int) -> None:
    origin: int | None = None
    base = stream.time_base or Fraction(1, 1000)
    for frame in islice(frames_of(container, stream), max_frames):
        if frame.pts is not None and frame.width * frame.height <= MAX_FRAME_PIXELS:
            origin = frame.pts if origin is None else origin
            milliseconds = int((frame.pts - origin) * base * 1000)
            if 0 <= milliseconds < 1 << 32:
                samples.offer(milliseconds, frame)


def _small_grey(frame: Any, side: int = _SMALL_SIDE) -> NDArray[np.uint8]:
    """Luma, the longer side at most ``side``, turned as a player would show it."""
    scale = min(1.0, side / max(frame.width, frame.height))
    size = {"width": max(2, round(frame.width * scale)), "height": max(2, round(frame.height * scale))}
    grey = frame.reformat(**size, format="gray", interpolation="AREA").to_ndarray()
    quarters = round(getattr(frame, "rotation", 0) / 90) % 4
    return np.ascontiguousarray(np.rot90(grey, quarters))

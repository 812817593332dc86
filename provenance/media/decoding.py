"""Frames of a video or a sound from its packets. Damaged packets are skipped, up to a limit."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

#: So many damaged packets in a row, and decoding is given up.
MAX_BROKEN = 50


def moving_pictures(container: Any) -> list[Any]:
    """The video streams of an open PyAV container; covers and previews, which are stored as such, are none."""
    from av.stream import Disposition

    return [one for one in container.streams.video if not one.disposition & Disposition.attached_pic]


def frames_of(container: Any, stream: Any) -> Iterator[Any]:
    """Decoded frames of one stream, in the order in which the decoder gives them.

    Args:
        container: an open PyAV container.
        stream: one of its streams, video or sound.
    """
    import av

    if stream.codec_context is None:  # a codec that FFmpeg does not know
        return
    broken = 0
    for packet in container.demux(stream):
        try:
            frames = packet.decode()
        except av.InvalidDataError:
            broken += 1
            if broken > MAX_BROKEN:
                return
            continue
        for frame in frames:
            broken = 0
            yield frame


def damage_of(container: Any, stream: Any) -> int:
    """How many packets could not be decoded, or not whole: their frames are missing or made up in part.

    Args:
        container, stream: as for :func:`frames_of`.
    """
    import av

    damaged = in_a_row = 0
    for packet in container.demux(stream):
        try:
            frames = packet.decode()
        except av.InvalidDataError:
            damaged, in_a_row = damaged + 1, in_a_row + 1
            if in_a_row > MAX_BROKEN:
                break
            continue
        in_a_row = 0 if frames else in_a_row
        damaged += sum(bool(frame.is_corrupt) for frame in frames)
    return damaged


def why(error: Exception) -> str:
    """The reason alone: FFmpeg's errors also have a number that means nothing to people, and the path once more."""
    return str(getattr(error, "strerror", None) or error)[:200]

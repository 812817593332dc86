"""Frames of a video in any order: forwards at the cost of decoding, backwards in blocks."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from cloak.video.io import Frame, VideoInfo, frames
from provenance.errors import CorruptMediaError
from provenance.media.decoding import frames_of, moving_pictures

_BYTES_AT_ONCE = 200_000_000
_PATIENCE = 10.0
Pixels = NDArray[np.uint8]


class FrameReader:
    """Random access to a video's upright frames.

    Args:
        info: from :func:`cloak.video.io.probe`.
        times: ``(T,)`` seconds of all frames, as tracking found them.

    Frames are kept in two blocks; going backwards decodes a block from the last key frame before it.
    """

    def __init__(self, info: VideoInfo, times: NDArray[np.floating]) -> None:
        self.info, self.times = info, np.asarray(times, np.float64)
        width, height = info.size
        self._block = max(2, min(64, _BYTES_AT_ONCE // (3 * width * height)))
        self._kept: dict[int, list[Pixels]] = {}
        self._next, self._running = 0, self._from_start()

    def __len__(self) -> int:
        return len(self.times)

    def __getitem__(self, index: int) -> Pixels:
        """uint8 ``(H, W, 3)``, upright.

        Raises:
            CorruptMediaError: the video has changed and holds no such frame.
        """
        if not 0 <= index < len(self):
            raise IndexError(index)
        block, place = divmod(int(index), self._block)
        if block not in self._kept:
            loaded = self._load(block)
            latest = list(self._kept)[-1:]
            self._kept = {one: self._kept[one] for one in latest} | {block: loaded}
        kept = self._kept[block]
        if place >= len(kept):
            raise CorruptMediaError(f"{self.info.path.name} holds no frame {index}")
        return kept[place]

    def _load(self, block: int) -> list[Pixels]:
        first = block * self._block
        if first < self._next or first > self._next + 4 * self._block:
            self._running = self._sought(first) or self._skipping(first)
        else:
            for _ in range(first - self._next):
                next(self._running, None)
        wanted = min(self._block, len(self) - first)
        result = []
        for _ in range(wanted):
            frame = next(self._running, None)
            if frame is None:
                break
            result.append(frame.rgb())
        self._next = first + len(result)
        return result

    def _from_start(self) -> Iterator[Frame]:
        return frames(self.info)

    def _skipping(self, first: int) -> Iterator[Frame]:
        running = self._from_start()
        for _ in range(first):
            next(running, None)
        return running

    def _sought(self, first: int) -> Iterator[Frame] | None:
        """From frame ``first`` by way of a key frame; None where the file's times do not allow it."""
        import av

        pts = round(float(self.times[first]) / float(self.info.time_base))
        try:
            container = av.open(str(self.info.path), timeout=(_PATIENCE, _PATIENCE), metadata_errors="ignore")
            stream = moving_pictures(container)[0]
            container.seek(pts, stream=stream, backward=True)
            decoded = frames_of(container, stream)
            for coded in decoded:
                if coded.pts is None or coded.pts > pts:
                    break
                if coded.pts == pts:
                    return self._going_on(container, coded, decoded, first)
        except (av.FFmpegError, OSError, ValueError):
            return None
        container.close()
        return None

    def _going_on(
        self, container: object, coded: object, decoded: Iterator[object], first: int
    ) -> Iterator[Frame]:
        with container:  # type: ignore[attr-defined]
            index = first
            while coded is not None:
                yield Frame(index, 0, 0, coded, self.info.turns)
                index, coded = index + 1, next(decoded, None)

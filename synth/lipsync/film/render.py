"""Shapes and timing become frames: the target's frame, or a half-frame, with the lower face composited in."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING
from zipfile import BadZipFile

import numpy as np
from numpy.typing import NDArray

from provenance.errors import CorruptMediaError
from synth.lipsync.film.frame_reader import FrameReader
from synth.lipsync.film.halfframes import half_frame
from synth.lipsync.film.retime import Retimed
from synth.lipsync.texture.texture import synthesize_textures
from synth.lipsync.workspace import Changes

if TYPE_CHECKING:
    from synth.lipsync.texture.candidates import Candidates
    from synth.lipsync.texture.compositor import Compositor
    from synth.lipsync.texture.texture import TextureOptions

_STATE_EVERY = 16
Pixels = NDArray[np.uint8]
ShowStage = Callable[[str, int, Pixels], None]


@dataclass
class Made:
    """One frame of the result.

    Attributes:
        index: counted from 0. base: what it was made from. pixels: the result, the same where there is no face.
        composited: whether there was a face.
        landmarks: ``(468, 3)`` of the face, NaN where there is none.
    """

    index: int
    base: Pixels
    pixels: Pixels
    composited: bool
    landmarks: NDArray[np.float64]


class Stage:
    """The target as it is played: which of its frames come when, and the in-between ones.

    Args:
        reader: its frames.
        landmarks: ``(T, 468, 3)`` of all of its frames.
        played: ``(M,)`` the order in which its frames are played.
        timing: which of those each made frame is laid onto.
    """

    def __init__(
        self, reader: FrameReader, landmarks: NDArray[np.float64], played: NDArray[np.int64], timing: Retimed
    ) -> None:
        self.reader, self.landmarks, self.played, self.timing = reader, landmarks, played, timing

    def __len__(self) -> int:
        return len(self.timing.frames)

    def frame(self, index: int) -> tuple[Pixels, NDArray[np.float64]]:
        """The base of made frame ``index``, and its landmarks ``(468, 3)``."""
        place = int(self.timing.base[index])
        first = int(self.played[place])
        if not self.timing.halves[index] or place + 1 >= len(self.played):
            return self.reader[first], self.landmarks[first]
        second = int(self.played[place + 1])
        middle = (self.landmarks[first] + self.landmarks[second]) / 2
        return half_frame(self.reader[first], self.reader[second]), middle


def compose_frames(
    stage: Stage,
    shapes: NDArray[np.float64],
    candidates: Candidates,
    compositor: Compositor,
    options: TextureOptions,
    *,
    changes: Changes | None = None,
    show: ShowStage | None = None,
) -> Iterator[Made]:
    """Make all frames in turn; finished ones are kept as changes, so that a stopped run goes on.

    Args:
        stage: the target as it is played.
        shapes: ``(N, 36)`` of the mouth.
        candidates: the person's own frames, for the texture.
        compositor: ready for this target.
        options: of the texture.
        changes: where finished frames are kept.
        show: is shown intermediate pictures: ``("texture", index, pixels)``, ``("target", index, pixels)`` and
            ``("layers", index, pixels)`` of :meth:`~synth.lipsync.texture.compositor.Compositor.layers`. All frames
            are made for it, also those that an interrupted run had finished.
    """
    start = _resumed(changes, compositor) if changes and not show else 0
    for index in range(start):
        base, landmarks = stage.frame(index)
        kept = changes.get(index, base) if changes else None
        if changes and kept is None:
            changes.clear()
        if kept is None:
            raise CorruptMediaError(
                "what was kept of an interrupted run was damaged, and is removed",
                hint="run the same command again",
            )
        yield Made(index, base, kept, True, landmarks)
    textures = synthesize_textures(shapes, candidates, options, start)
    for index, (texture, alpha) in enumerate(textures, start=start):
        base, landmarks = stage.frame(index)
        seen = bool(np.isfinite(landmarks).all())
        pixels = compositor.compose(base, landmarks, texture, alpha, shapes[index]) if seen else base
        if show:
            show("texture", index, texture)
            show("target", index, base)
            show("layers", index, compositor.layers())
        if changes:
            changes.put(index, base, pixels)
            if (index + 1) % _STATE_EVERY == 0:
                _remember(changes, compositor, index + 1)
        yield Made(index, base, pixels, seen, landmarks)


def _remember(changes: Changes, compositor: Compositor, done: int) -> None:
    from provenance.media.files import replacing

    with replacing(_state_file(changes), mode=0o600) as temporary, temporary.open("wb") as file:
        np.savez(file, allow_pickle=False, done=np.array(done), **compositor.state())


def _resumed(changes: Changes, compositor: Compositor) -> int:
    """How many frames need not be made again; the compositor goes on from there."""
    try:
        with np.load(_state_file(changes), allow_pickle=False) as data:
            done = int(data["done"])
            state = {name: data[name] for name in data.files if name != "done"}
    except (OSError, ValueError, KeyError, EOFError, BadZipFile, zlib.error):
        return 0
    if not all(changes.has(index) for index in range(done)):
        return 0
    compositor.restore(state)
    return done


def _state_file(changes: Changes) -> Path:
    return changes.folder / "state.npz"

"""What each stage found, written to look at: diagrams as they are, films of a likeness through a labeller."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from provenance.errors import NotWritableError
from provenance.media.files import write_bytes
from synth.label import mark_visibly
from synth.lipsync.film.film import Film
from synth.lipsync.film.render import ShowStage
from synth.lipsync.film.retime import Retimed
from synth.lipsync.stage_pictures import mouth_view, sound_view, timing_view
from synth.quarantine import Quarantine, Unlabelled

Pixels = NDArray[np.uint8]


#: Everything that is written, at most.
RECORD_NAMES = (
    "1-sound.png",
    "2-mouth.mp4",
    "3-timing.png",
    "3-timing.csv",
    "4-texture.mp4",
    "5-target.mp4",
    "6-layers.mp4",
)


class StageRecorder:
    """Writes into a folder: what :data:`RECORD_NAMES` lists.

    Args:
        folder: is made where it is missing, when everything is done: a run that fails or is stopped leaves nothing.
        private: where films lie that are not finished, or not labelled, yet.
        label: takes such a film and the place where it shall lie; signs and records it (:mod:`synth.label`).
    """

    def __init__(
        self, folder: Path, private: Quarantine, label: Callable[[Unlabelled, Path], object]
    ) -> None:
        self.folder, self.private, self.label = folder, private, label
        self._films: dict[str, Film] = {}
        self._told: dict[str, bytes] = {}
        self._made: list[Unlabelled] = []

    def sound(self, features: NDArray[np.floating], quiet: NDArray[np.bool_]) -> None:
        """The features, and where the pauses are."""
        self._picture("1-sound.png", sound_view(features, quiet))

    def mouth(self, shapes: NDArray[np.floating], mean: NDArray[np.floating], rate: float) -> None:
        """The lips' borders as a film."""
        made = self.private.place("2-mouth.mp4")
        with Film(made, (256, 256), _fraction(rate), None, 0.0) as film:
            for shape in shapes:
                film.write(mark_visibly(mouth_view(shape, mean)))
        self._made.append(made)

    def timing(self, timing: Retimed, value: NDArray[np.floating], quiet: NDArray[np.bool_]) -> None:
        """Which frame of the target each made frame is laid onto."""
        self._picture("3-timing.png", timing_view(timing, value, quiet))
        rows = "\n".join(f"{index},{place:g}" for index, place in enumerate(timing.frames))
        self._write("3-timing.csv", f"made,target\n{rows}\n".encode())

    def shower(self, rate: float) -> ShowStage:
        """To be shown textures, re-timed target frames and layers, one by one; :meth:`close` completes the films."""
        names = {"texture": "4-texture.mp4", "target": "5-target.mp4", "layers": "6-layers.mp4"}

        def show(what: str, index: int, pixels: Pixels) -> None:
            if what not in self._films:
                size = (pixels.shape[1], pixels.shape[0])
                self._films[what] = Film(self.private.place(names[what]), size, _fraction(rate), None, 0.0)
            self._films[what].write(mark_visibly(pixels))

        return show

    def close(self) -> None:
        """Complete and label the films, and put everything into the folder."""
        self.folder.mkdir(parents=True, exist_ok=True)
        for name, data in self._told.items():
            write_bytes(self.folder / name, data, force=True)
        for film in self._films.values():
            film.__exit__(None, None, None)
            self._made.append(film.made)
        for made in self._made:
            self.label(made, self.folder / made.path.name)
        self._films = {}

    def _picture(self, name: str, pixels: Pixels) -> None:
        good, data = cv2.imencode(".png", cv2.cvtColor(pixels, cv2.COLOR_RGB2BGR))
        if not good:
            raise NotWritableError(f"cannot encode {name}")
        self._write(name, data.tobytes())

    def _write(self, name: str, data: bytes) -> None:
        self._told[name] = data


def _fraction(rate: float) -> Fraction:
    return Fraction(rate).limit_denominator(100_000)

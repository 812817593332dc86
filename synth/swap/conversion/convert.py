"""Put a model's faces into frames: align, generate, match colours, mask, blend."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
import torch
from numpy.typing import NDArray

from provenance.errors import UsageError
from synth.extraction.canonical import alignment, detail_mask, face_mask, transformed, warp
from synth.swap.conversion import blend, colour, masks, smooth
from synth.swap.model import Generator
from synth.swap.training.augment import encoder_input
from synth.swap.training.checkpoint import Origin


@dataclass(frozen=True)
class ConvertOptions:
    """How a face is put into a frame.

    Attributes:
        to: whose face it becomes, "a" or "b".
        colour: of :data:`synth.swap.conversion.colour.METHODS`.
        shape: of :data:`synth.swap.conversion.masks.SHAPES`.
        grow: expand (above 0) or contract the mask by a share of the aligned side.
        border: over which share of the side the mask fades.
        blend: of :data:`synth.swap.conversion.blend.METHODS`.
        steady: how landmarks are smoothed over time, of :data:`synth.swap.conversion.smooth.METHODS`.
        steadiness: how much, 0 to 1.
        colour_memory: how much of a frame's colour match comes from the frames before, 0 to 0.99.
    """

    to: str = "b"
    colour: str = "linear"
    shape: str = "learned"
    grow: float = 0.0
    border: float = 0.08
    blend: str = "laplacian"
    steady: str = "savgol"
    steadiness: float = 0.4
    colour_memory: float = 0.0

    def check(self) -> None:
        """UsageError for unknown names and values out of range."""
        for value, known, what in (
            (self.to, ("a", "b"), "person"),
            (self.colour, colour.METHODS, "colour match"),
            (self.shape, masks.SHAPES, "shape of mask"),
            (self.blend, blend.METHODS, "blending"),
            (self.steady, smooth.METHODS, "smoothing"),
        ):
            if value not in known:
                raise UsageError(f"no {what} is called {value[:40]!r}", hint="one of " + ", ".join(known))
        for name, low, high in (
            ("grow", -0.3, 0.3),
            ("border", 0.0, 0.3),
            ("steadiness", 0, 1),
            ("colour_memory", 0, 0.99),
        ):
            if not low <= getattr(self, name) <= high:
                raise UsageError(f"{name} is {getattr(self, name)}, expected {low} to {high}")


@dataclass(frozen=True)
class Swapped:
    """A frame with another face.

    Attributes:
        pixels: uint8 ``(H, W, 3)``.
        mask: ``(H, W)`` in [0, 1], where the made face is.
        aligned: uint8 ``(S, S, 3)``, the made face in its aligned picture before it was blended.
    """

    pixels: NDArray[np.uint8]
    mask: NDArray[np.float32]
    aligned: NDArray[np.uint8]


class Swapper:
    """A model, ready to swap. It remembers the colour match from one call to the next; see :meth:`forget`.

    Args:
        generator: with a decoder for ``options.to``.
        options: how.
        device: where the generator is.

    Raises:
        UsageError: options out of range, or a model without that person.
    """

    def __init__(self, generator: Generator, options: ConvertOptions, device: Any = "cpu") -> None:
        options.check()
        if options.to not in generator.sides:
            raise UsageError(
                "this model is a face prior of no single person", hint="train a pair with --from"
            )
        self.generator, self.options, self.device = generator, options, device
        self.size = generator.shape.size
        self._colours: NDArray[np.float64] | None = None

    def forget(self) -> None:
        """The next frame has nothing to do with those before."""
        self._colours = None

    @torch.no_grad()
    def generate(
        self, aligned: NDArray[np.uint8], points: NDArray[np.float64]
    ) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Faces as another person.

        Args:
            aligned: ``(N, S, S, 3)`` uint8 RGB.
            points: ``(N, 468, 2)`` landmarks in their pixels.

        Returns:
            colours ``(N, S, S, 3)`` and masks ``(N, S, S)``, both in [0, 1].
        """
        masks, details = (
            torch.from_numpy(np.stack([drawn(one, self.size) for one in points])[:, None])
            for drawn in (face_mask, detail_mask)
        )
        pictures = torch.from_numpy(aligned).to(self.device).permute(0, 3, 1, 2).float() / 255
        inside, open_ = (one.to(self.device).float() / 255 for one in (masks, details))
        colours, learned = self.generator.as_person(encoder_input(pictures, inside, open_), self.options.to)
        return colours.permute(0, 2, 3, 1).cpu().numpy(), learned[:, 0].cpu().numpy()

    def swap(
        self, frames: Sequence[NDArray[np.uint8]], landmarks: Sequence[NDArray[np.floating] | None]
    ) -> list[Swapped | None]:
        """Frames in a row.

        Args:
            frames: uint8 ``(H, W, 3)`` RGB each.
            landmarks: ``(468, 2)`` in pixels of each frame, or None where it has no face.

        Returns:
            for each frame what became of it, None where it has no face.
        """
        found = [index for index, points in enumerate(landmarks) if points is not None]
        flat = {index: np.asarray(landmarks[index], np.float64)[:, :2] for index in found}
        matrices = {index: alignment(flat[index], self.size) for index in found}
        if not found:
            self.forget()
            return [None] * len(frames)
        aligned = np.stack([warp(frames[index], matrices[index], self.size) for index in found])
        points = np.stack([transformed(flat[index], matrices[index]) for index in found])
        colours, learned = self.generate(aligned, points)
        results: list[Swapped | None] = [None] * len(frames)
        for index in range(len(frames)):
            if index not in matrices:
                self.forget()
                continue
            row = found.index(index)
            results[index] = self._composed(
                frames[index], matrices[index], aligned[row], colours[row], learned[row], points[row]
            )
        return results

    def _composed(
        self,
        frame: NDArray[np.uint8],
        matrix: NDArray[np.float64],
        aligned: NDArray[np.uint8],
        made: NDArray[np.float32],
        learned: NDArray[np.float32],
        points: NDArray[np.float64],
    ) -> Swapped:
        options = self.options
        raw = masks.grown(masks.shaped(options.shape, learned, points), options.grow)
        mask = masks.soft_border(raw, options.border)
        vector = colour.fit(options.colour, made, np.asarray(aligned / 255.0, np.float32), raw)
        if self._colours is not None and options.colour_memory > 0:
            vector = self._colours + (1 - options.colour_memory) * (vector - self._colours)
        self._colours = vector
        matched = np.rint(colour.apply(options.colour, made, vector) * 255).astype(np.uint8)

        top, bottom, left, right = _reach(matrix, self.size, frame.shape)
        if bottom <= top or right <= left:
            return Swapped(frame.copy(), np.zeros(frame.shape[:2], np.float32), matched)
        part = frame[top:bottom, left:right]
        face = _laid_back(matched, matrix, (left, top), part.shape, cv2.INTER_CUBIC)
        where = _laid_back(mask, matrix, (left, top), part.shape, cv2.INTER_LINEAR)
        whole, whole_mask = frame.copy(), np.zeros(frame.shape[:2], np.float32)
        whole[top:bottom, left:right] = blend.blended(options.blend, part, face, np.clip(where, 0, 1))
        whole_mask[top:bottom, left:right] = where
        return Swapped(whole, whole_mask, matched)


def model_summary(origin: Origin, to: str) -> str:
    """A sentence for the label: which model made it, and what it learned from."""
    learned = "; ".join(
        f"{side}: {', '.join(str(one)[:100] for one in list(names)[:8])}"
        for side, names in sorted(origin.sources.items())
    )
    maker = f"a generator (preset {origin.preset.name}, seed {origin.seed}) that learned from {learned}"
    return f"face replaced by that of person {to}, by {maker}"


def learned_from(origin: Origin) -> list[tuple[str, str]]:
    """For the label: title of each piece of footage that a model learned from, and whose it is, with its SHA-256."""
    named = []
    for side, names in sorted(origin.sources.items()):
        for one in list(names):
            title, _, digest = str(one).partition(" sha256:")
            known = f", SHA-256 {digest}" if digest else ""
            named.append((title, f"training footage of person {side}{known}"))
    return named


def _reach(matrix: NDArray[np.float64], size: int, shape: tuple[int, ...]) -> tuple[int, int, int, int]:
    """The frame's part that the aligned picture covers: top, bottom, left, right."""
    back = np.linalg.inv(np.vstack([matrix, (0, 0, 1)]))[:2]
    corners = transformed(np.array([[0, 0], [size, 0], [size, size], [0, size]], np.float64), back)
    low, high = np.floor(corners.min(0)).astype(int), np.ceil(corners.max(0)).astype(int)
    return (
        max(0, int(low[1])),
        min(shape[0], int(high[1])),
        max(0, int(low[0])),
        min(shape[1], int(high[0])),
    )


def _laid_back(
    picture: Any, matrix: NDArray[np.float64], corner: tuple[int, int], shape: tuple[int, ...], how: int
) -> Any:
    """An aligned picture as it lies in the frame's part that begins at ``corner``; 0 where it does not reach."""
    whole = np.vstack([matrix, (0, 0, 1)])
    scale = float(np.sqrt(abs(np.linalg.det(whole[:2, :2]))))
    if scale > 1.2:  # it shrinks: what would alias is taken out first
        picture = cv2.GaussianBlur(picture, (0, 0), 0.45 * scale)
    half = np.array([[1, 0, 0.5], [0, 1, 0.5], [0, 0, 1]])
    shift = np.array([[1, 0, corner[0]], [0, 1, corner[1]], [0, 0, 1]], np.float64)
    there = np.linalg.inv(half) @ whole @ shift @ half
    border = cv2.BORDER_REPLICATE if picture.ndim == 3 else cv2.BORDER_CONSTANT
    return cv2.warpAffine(
        picture, there[:2], (shape[1], shape[0]), flags=how | cv2.WARP_INVERSE_MAP, borderMode=border
    )

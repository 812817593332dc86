"""Faces for the swap generator's tests: the two public-domain portraits, jittered, each only ever rebuilt as itself;
and drawn faces that are nobody.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch

from synth.extraction.canonical import alignment, detail_mask, face_mask, transformed, warp
from synth.extraction.finder import FaceFinder
from synth.swap.config import Architecture, Preset, Recipe, preset
from synth.swap.training.checkpoint import Origin
from synth.swap.training.data import Bank

SIZE = 64
DECLARED = {"basis": "declared", "statement": "public-domain portrait", "files": [], "evidence": []}


@dataclass
class Jittered:
    """A portrait's face, aligned again and again with landmarks that are a little off."""

    pictures: np.ndarray
    points: np.ndarray

    consent = DECLARED

    @classmethod
    def of(cls, pixels: np.ndarray, count: int, seed: int, size: int = SIZE) -> Jittered:
        landmarks = FaceFinder().find(pixels)[0].landmarks[:, :2]
        draws, pictures, points = np.random.default_rng(seed), [], []
        middle = landmarks.mean(0)
        for _ in range(count):
            turn, scale = np.radians(draws.uniform(-8, 8)), draws.uniform(0.93, 1.07)
            matrix = scale * np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
            off = (landmarks - middle) @ matrix.T + middle + draws.uniform(-4, 4, 2)
            aligned = alignment(off, size)
            pictures.append(warp(pixels, aligned, size))
            points.append(transformed(landmarks, aligned))
        return cls(np.stack(pictures), np.stack(points))

    def __len__(self) -> int:
        return len(self.pictures)

    def pixels(self) -> np.ndarray:
        return self.pictures

    def masks(self) -> np.ndarray:
        return np.stack([face_mask(one, SIZE) for one in self.points])

    def details(self) -> np.ndarray:
        return np.stack([detail_mask(one, SIZE) for one in self.points])


def drawn_bank(seed: int, count: int = 24, size: int = SIZE) -> Bank:
    """Faces that are nobody: an oval with two eyes and a mouth that opens."""
    draws, pictures, masks, details = np.random.default_rng(seed), [], [], []
    skin = draws.integers(90, 220, 3).tolist()
    for _ in range(count):
        picture = np.full((size, size, 3), draws.integers(0, 80), np.uint8)
        mask, detail = np.zeros((size, size), np.uint8), np.zeros((size, size), np.uint8)
        middle = (size // 2 + int(draws.integers(-2, 3)), size // 2 + int(draws.integers(-2, 3)))
        cv2.ellipse(picture, middle, (size // 3, size * 2 // 5), 0, 0, 360, skin, -1)
        cv2.ellipse(mask, middle, (size // 3, size * 2 // 5), 0, 0, 360, 255, -1)
        for side in (-1, 1):
            eye = (middle[0] + side * size // 7, middle[1] - size // 8)
            cv2.circle(picture, eye, size // 20, (20, 20, 30), -1)
            cv2.circle(detail, eye, size // 14, 255, -1)
        mouth = (middle[0], middle[1] + size // 5)
        cv2.ellipse(picture, mouth, (size // 9, 1 + int(draws.integers(0, 5))), 0, 0, 360, (130, 30, 40), -1)
        cv2.ellipse(detail, mouth, (size // 8, 5), 0, 0, 360, 255, -1)
        pictures.append(picture)
        masks.append(mask)
        details.append(detail)
    return Bank(*(torch.from_numpy(np.stack(one)) for one in (pictures, masks, details)))


def minute_preset(steps: int = 24, **recipe: Any) -> Preset:
    """A preset that passes through all phases within seconds."""
    shape = Architecture(size=SIZE, width=4, code=16, critic_width=4)
    settings = {
        "generator_share": 0.5, "critic_share": 0.25, "batch": 2, "check_every": 4, "warm_up": 2,
        "patience": 50, "critic_accuracy": 1.1, "held_out": 0.1, **recipe,
    }  # fmt: skip
    whole = replace(preset("tiny"), architecture=shape, features="none", precision="fp32")
    return replace(whole, recipe=replace(Recipe(), steps=steps, **settings))


def origin(chosen: Preset, sides: tuple[str, ...] = ("a", "b"), seed: int = 5) -> Origin:
    return Origin(
        chosen, sides, dict.fromkeys(sides, DECLARED), {side: ["drawn"] for side in sides}, seed, {}
    )


def stop_after(steps: int) -> Callable[[], bool]:
    """Says yes at the given step, counted from when it was made."""
    asked = iter(range(1, 10**9))
    return lambda: next(asked) >= steps


def rows(folder: Path) -> list[str]:
    """The table of a run, without its head."""
    return (folder / "log.csv").read_text().splitlines()[1:]

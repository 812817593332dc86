"""The options that the methods of :class:`veilmark.Veilmark` take by name.

The dataclass named in each docstring says what an option means, its range and its default. A test keeps both the same.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import TypedDict

from cloak.options import BroughtDetector

StrPath = str | os.PathLike[str]


class CloakChoices(TypedDict, total=False):
    """Options of :class:`cloak.options.CloakOptions`."""

    strength: str
    veil: str | None
    detectors: Sequence[str] | None
    brought: Sequence[BroughtDetector]
    judges: Sequence[str] | None
    weights: StrPath | None
    attack: str
    steps: int
    fast: bool
    rounds: int
    restarts: int
    decoys: int
    displace_landmarks: bool
    landmark_share: float
    recognition: bool
    faces: Sequence[int] | None
    longest: int | None
    format: str | None
    quality: int | None
    keep_gps: bool
    again: bool
    smooth: float
    strict: bool
    bf16: bool
    seed: int
    device: str


class ConvertChoices(TypedDict, total=False):
    """Options of :class:`synth.swap.conversion.convert.ConvertOptions`."""

    to: str
    colour: str
    shape: str
    grow: float
    border: float
    blend: str
    steady: str
    steadiness: float
    colour_memory: float


class MeasureChoices(TypedDict, total=False):
    """Options of :class:`synth.measure.swap.options.SwapExperimentOptions`, without ``preset``."""

    steps: int | None
    strengths: Sequence[str]
    veils: Sequence[str]
    attackers: Sequence[str]
    seeds: Sequence[int]
    people: Sequence[StrPath]
    one_shot_steps: int
    frames: int
    held_out: int
    side: int
    crf: int
    against: Sequence[str] | None
    cloak_steps: int
    cloak_rounds: int
    cloak_seeds: Sequence[int]
    control: bool
    weights: StrPath | None
    device: str

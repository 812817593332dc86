"""Options by name, as the methods of :class:`veilmark.Veilmark` take them; the dataclasses that are named say what each
means, its range and its default. A test holds them together.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import TypedDict

StrPath = str | os.PathLike[str]


class CloakChoices(TypedDict, total=False):
    """Of :class:`cloak.options.CloakOptions`."""

    strength: str
    detectors: Sequence[str] | None
    judges: Sequence[str] | None
    weights: StrPath | None
    attack: str
    steps: int
    rounds: int
    restarts: int
    decoys: int
    displace_landmarks: bool
    landmark_share: float
    recognition: bool
    faces: Sequence[int] | None
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
    """Of :class:`synth.swap.conversion.convert.ConvertOptions`."""

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
    """Of :class:`synth.measure.swap.options.SwapExperimentOptions`, but for the preset."""

    steps: int | None
    strengths: Sequence[str]
    attackers: Sequence[str]
    seeds: Sequence[int]
    frames: int
    held_out: int
    side: int
    crf: int
    against: Sequence[str] | None
    cloak_steps: int
    cloak_rounds: int
    cloak_seed: int
    control: bool
    weights: StrPath | None
    device: str

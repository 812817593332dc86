"""How long ``measure swap`` takes, from a few real steps of each part on this machine."""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from cloak.models import locate, model
from synth.extraction.finder import DEFAULT_DETECTORS
from synth.extraction.footage import open_footage
from synth.measure.cache import Cache, key_of
from synth.measure.calibration import Calibration, calibrate
from synth.measure.experiment import ExperimentEstimate
from synth.measure.oneshot.network import SIDE
from synth.measure.oneshot.training import People, teach
from synth.measure.split import split_of
from synth.measure.swap.experiment import is_video
from synth.measure.swap.options import SwapExperimentOptions
from synth.swap.features import DlibFeatures
from synth.swap.training.checkpoint import Origin
from synth.swap.training.data import Bank
from synth.swap.training.train import train

#: Seconds, as measured on one core, to swap and measure a frame, and to look for the face again in a held-out frame.
_MEASURE = 0.45
#: Seconds, likewise, to prepare what judges: held-out faces, landmarks, what fake detectors say of the real clip.
_JUDGES = 30.0
#: A step of the phases that have a critic, on the average of a recipe, beside one of the first phase.
_PHASES = 1.15
_PROBE_STEPS = 4
#: So many frames of the target get a face from one picture; see :mod:`synth.measure.oneshot.attack`.
_ONE_SHOT_FRAMES = 8


def estimate_work(person: Path, options: SwapExperimentOptions, cache: Cache) -> ExperimentEstimate:
    """How long it takes at most, from the footage's length and a few real steps of each part on this machine."""
    count, known = _frames(person, options), calibrate(person, options, cache)
    trained = [one for one in options.parsed if not one.one_shot]
    cells, steps = len(options.variants) * len(trained), options.generator().recipe.steps
    runs = cells * len(options.seeds)
    clip = max(2, round(count / 4))
    clip = clip if options.held_out is None else min(options.held_out, clip)
    looks = sum(known.find_seconds(one.detectors) for one in trained) * len(options.variants) * count
    looks += 2 * (count + clip) * known.find_seconds(DEFAULT_DETECTORS)
    parts = [
        (
            f"cloaking {count} frames: {'; '.join(options.cloaks)}",
            known.cloak_seconds(count, options, is_video(person)),
        ),
        (f"{cells} extractions of faces, and the target's", looks),
        ("preparing what judges", _JUDGES * known.speed),
    ]
    if trained:
        parts += [
            (f"{runs} trainings of {steps} steps", runs * steps * _PHASES * seconds_per_step(options, cache)),
            (f"measuring {runs} generators on {clip} held-out frames", runs * clip * _MEASURE * known.speed),
        ]
    if len(trained) < len(options.parsed):
        parts += _one_shot(count, options, known, cache)
    return ExperimentEstimate(tuple(parts), known.share)


def _one_shot(
    count: int, options: SwapExperimentOptions, known: Calibration, cache: Cache
) -> list[tuple[str, float]]:
    """One generator for all, and another published picture for each repetition."""
    people, steps = 2 + len(options.people), options.one_shot_steps
    pictures = len(options.variants) * len(options.seeds)
    looks = people * count * known.find_seconds(DEFAULT_DETECTORS)
    learned = steps * seconds_per_one_shot_step(options, cache)
    return [
        (f"one training of {steps} steps, on faces of {people} people", looks + learned),
        (
            f"measuring it with {pictures} pictures on {_ONE_SHOT_FRAMES} held-out frames each",
            pictures * _ONE_SHOT_FRAMES * _MEASURE * known.speed,
        ),
    ]


def seconds_per_step(options: SwapExperimentOptions, cache: Cache) -> float:
    """Of the generator's training, from a few steps on noise on this machine; timed once."""
    key = key_of("seconds a step", {"generator": options.generator().to_json(), "device": options.device})
    done = cache.get(key)
    if done is not None:
        return float(done["seconds"])
    chosen = options.generator().with_steps(10)
    recipe = replace(chosen.recipe, check_every=1_000_000, generator_share=1.0, critic_share=0.0)
    chosen = replace(chosen, recipe=recipe)
    size = chosen.architecture.size
    moments: list[float] = []
    with cache.scratch() as scratch:
        train(
            {side: _noise(24, size, seed, options.device) for seed, side in enumerate("ab")},
            Origin(chosen, ("a", "b"), {}, {}, 0, {}),
            scratch,
            device=torch.device(options.device),
            stop=lambda: len(moments) > _PROBE_STEPS,
            progress=lambda _: moments.append(time.perf_counter()),
        )
    return _kept(moments, key, cache)


def seconds_per_one_shot_step(options: SwapExperimentOptions, cache: Cache) -> float:
    """Of the one-shot generator's training, likewise."""
    key = key_of("seconds a one-shot step", {"device": options.device})
    done = cache.get(key)
    if done is not None:
        return float(done["seconds"])
    if locate(model("dlib-face-recognition")) is None:
        return 0.0  # nothing will be taught, and the report says so
    network, moments = DlibFeatures(SIDE, options.device), list[float]()
    people = People.of([_noise(4, SIDE, seed, options.device) for seed in range(2)], network)
    with cache.scratch() as scratch:
        teach(
            people, network, _PROBE_STEPS + 1, scratch / "state.safetensors", device=options.device,
            progress=lambda _: moments.append(time.perf_counter()),
        )  # fmt: skip
    return _kept(moments, key, cache)


def _noise(count: int, size: int, seed: int, device: str) -> Bank:
    draws = np.random.default_rng(seed)
    shapes = ((count, size, size, 3), (count, size, size), (count, size, size))
    made = [torch.from_numpy(draws.integers(0, 255, one, dtype=np.uint8)) for one in shapes]
    return Bank(*(one.to(device) for one in made))


def _kept(moments: list[float], key: str, cache: Cache) -> float:
    """Seconds between moments, the first step left out."""
    seconds = (moments[-1] - moments[0]) / (len(moments) - 1)
    return float(cache.put(key, {"seconds": seconds})["seconds"])


def _frames(path: Path, options: SwapExperimentOptions) -> int:
    """How many frames will be published."""
    count = sum(max(1, one.expected) for one in open_footage(path))
    split = split_of(count, None)
    published = split.published if split else round(count * 0.8)
    return max(1, published if options.frames is None else min(options.frames, published))

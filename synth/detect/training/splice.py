"""Teach the splice network from pictures whose history is made, and measure it on spliced pictures."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional as F

from provenance.errors import UsageError
from synth.detect.calibrate import auc, average_precision
from synth.detect.networks.splice import PATCH, TRAITS, SpliceNet, consistency
from synth.detect.training.histories import History, as_jpeg, processed, random_history, spliced

Pixels = NDArray[np.uint8]
_LEAST_TEXTURE = 2.5
_CLEAN_SIDE = 512
_PATCHES = 6


@dataclass(frozen=True)
class Scene:
    """A picture whose own history was averaged away, and who is in it."""

    person: str
    pixels: Pixels


@dataclass(frozen=True)
class Patches:
    """Patches of scenes with histories.

    Attributes:
        pixels: ``(N, 64, 64, 3)`` uint8.
        scene, history: ``(N,)`` numbers of theirs.
        traits: ``(H, 5)`` of each history.
    """

    pixels: NDArray[np.uint8]
    scene: NDArray[np.int64]
    history: NDArray[np.int64]
    traits: NDArray[np.int64]


def scene(person: str, pixels: Pixels) -> Scene | None:
    """Shrunk to a half, or to 512 pixels on the longer side where that is less, so that traces of what it went through
    before are gone; None for pictures that are too small for that.
    """
    factor = min(0.5, _CLEAN_SIDE / max(pixels.shape[:2]))
    size = (int(pixels.shape[1] * factor), int(pixels.shape[0] * factor))
    if min(size) < 2 * PATCH:
        return None
    return Scene(person, np.asarray(cv2.resize(pixels, size, interpolation=cv2.INTER_AREA), np.uint8))


def make_patches(scenes: Sequence[Scene], histories: int, each: int, seed: int) -> Patches:
    """Every scene with ``each`` of so many histories; six patches of each."""
    random = np.random.default_rng(seed)
    known: list[History] = [random_history(random) for _ in range(histories)]
    pixels, number, used = [], [], []
    for place, one in enumerate(scenes):
        for history in random.choice(histories, min(each, histories), replace=False):
            made = processed(one.pixels, known[history], random)
            if min(made.shape[:2]) < PATCH:
                continue
            # a crop, so that JPEG's grid lies anywhere
            for _ in range(_PATCHES):
                for _ in range(8):
                    top = int(random.integers(0, made.shape[0] - PATCH + 1))
                    left = int(random.integers(0, made.shape[1] - PATCH + 1))
                    part = made[top : top + PATCH, left : left + PATCH]
                    if part.std() > _LEAST_TEXTURE:
                        pixels.append(part)
                        number.append(place)
                        used.append(int(history))
                        break
    if not pixels:
        raise UsageError("there is no picture to learn from")
    return Patches(
        np.stack(pixels), np.array(number), np.array(used), np.array([one.traits() for one in known])
    )


def train_network(
    patches: Patches,
    scenes: Sequence[int],
    *,
    steps: int,
    seed: int,
    batch: int = 56,
    device: Any = "cpu",
    say: Callable[[str], None] | None = None,
) -> SpliceNet:
    """A network that learned from these scenes' patches.

    A batch has eight histories, each with patches of different scenes, so that what a patch shows tells nothing.
    """
    torch.manual_seed(seed)
    random = np.random.default_rng(seed)
    there = np.isin(patches.scene, list(scenes))
    by_history = {
        int(one): np.flatnonzero(there & (patches.history == one))
        for one in np.unique(patches.history[there])
    }
    names = [one for one, rows in by_history.items() if len(rows) >= 2 * _PATCHES]
    if len(names) < 4:
        raise UsageError("there are too few pictures to learn from")
    network = SpliceNet().to(device).train()
    optimizer = torch.optim.AdamW(network.parameters(), lr=1e-3, weight_decay=0.01)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 3e-3, total_steps=steps)
    mean = 0.0
    for step in range(steps):
        chosen = random.choice(names, min(8, len(names)), replace=False)
        rows = np.concatenate([random.choice(by_history[int(one)], batch // 8) for one in chosen])
        part = patches.pixels[rows]
        if random.random() < 0.5:
            part = part[:, :, ::-1]
        pictures = torch.from_numpy(np.ascontiguousarray(part)).to(device).permute(0, 3, 1, 2).float() / 255
        codes = network(pictures)
        first, second = torch.triu_indices(len(rows), len(rows), 1).to(device)
        logits = network.pairs(codes[first], codes[second])
        history = torch.from_numpy(patches.history[rows]).to(device)
        traits = torch.from_numpy(patches.traits[patches.history[rows]]).to(device)
        alike = torch.cat(
            [(history[first] == history[second])[:, None], traits[first] == traits[second]], 1
        ).float()
        # alike and not alike weigh the same in each column
        share = alike.mean(0).clamp(0.02, 0.98)
        weight = alike / (2 * share) + (1 - alike) / (2 * (1 - share))
        losses = (F.binary_cross_entropy_with_logits(logits, alike, reduction="none") * weight).mean(0)
        loss = losses[0] + losses[1:].mean()
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        schedule.step()
        mean = 0.98 * mean + 0.02 * float(losses[0].detach()) if step else float(losses[0].detach())
        if say and (step + 1) % 100 == 0:
            say(f"  step {step + 1}: loss {mean:.3f}")
    return network.eval()


@dataclass(frozen=True)
class SpliceMeasure:
    """On scenes that were not learned from.

    Attributes:
        pair_auc: patches of the same history against those of others, other scenes.
        traits_auc: the same by trait.
        precision: average precision of the map on each spliced picture.
        chance: what a map of chance would have: the share of the area that was pasted.
        spliced, whole: contrast of spliced pictures and of whole ones.
    """

    pair_auc: float
    traits_auc: dict[str, float]
    precision: list[float]
    chance: list[float]
    spliced: list[float]
    whole: list[float]


def measure(
    network: SpliceNet,
    patches: Patches,
    scenes: Sequence[Scene],
    numbers: Sequence[int],
    *,
    count: int,
    seed: int,
) -> SpliceMeasure:
    """Pairs of patches, and ``count`` spliced and whole pictures with fresh histories, half of them saved again."""
    random = np.random.default_rng(seed)
    rows = random.permutation(np.flatnonzero(np.isin(patches.scene, list(numbers))))[:400]
    with torch.no_grad():
        codes = network(torch.from_numpy(patches.pixels[rows]).permute(0, 3, 1, 2).float() / 255)
        first, second = np.triu_indices(len(rows), 1)
        logits = network.pairs(codes[first], codes[second]).numpy()
    apart = patches.scene[rows][first] != patches.scene[rows][second]
    history = patches.history[rows]
    alike = history[first] == history[second]
    traits = patches.traits[history]
    by_trait = {}
    for number, name in enumerate(TRAITS):
        same = traits[first, number] == traits[second, number]
        by_trait[name] = _auc(logits[apart, 1 + number], same[apart])
    chosen = [scenes[number] for number in numbers]
    precision, chance, contrast, whole = [], [], [], []
    for _ in range(count):
        a, b = (chosen[int(one)] for one in random.integers(0, len(chosen), 2))
        own, other = random_history(random), random_history(random)
        base = processed(a.pixels, own, random)
        result, mask = spliced(base, processed(b.pixels, other, random), random)
        if random.random() < 0.5:
            base, result = as_jpeg(base, 95), as_jpeg(result, 95)
        found, plain = consistency(network, result), consistency(network, base)
        if found is None or plain is None:
            continue
        precision.append(average_precision(found.heat(*mask.shape), mask))
        chance.append(float(mask.mean()))
        contrast.append(found.contrast)
        whole.append(plain.contrast)
    return SpliceMeasure(_auc(logits[apart, 0], alike[apart]), by_trait, precision, chance, contrast, whole)


def _auc(values: NDArray[np.floating], truth: NDArray[np.bool_]) -> float:
    """By ranks: as :func:`auc`, for many values."""
    if len(values) < 4000:
        return auc(values[~truth].tolist(), values[truth].tolist())
    order = np.argsort(values, kind="stable")
    ranks = np.empty(len(values))
    ranks[order] = np.arange(1, len(values) + 1)
    hits = int(truth.sum())
    if not hits or hits == len(truth):
        return float("nan")
    return float((ranks[truth].sum() - hits * (hits + 1) / 2) / (hits * (len(truth) - hits)))

"""Teach the two face networks from real faces alone: "warp" with warped ones, "blend" with self-blended ones."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional as F

from provenance.errors import UsageError
from synth.detect.calibrate import fit_logistic
from synth.detect.learned import NET_SCHEMA
from synth.detect.networks.face import SIDE, FaceNet
from synth.detect.training.histories import as_jpeg
from synth.detect.training.material import TrainingFace
from synth.detect.training.selfmade import Pixels, blend_recipe, self_made, warp_recipe
from synth.swap.training.checkpoint import save

RECIPES = {"warp": warp_recipe, "blend": blend_recipe}
_EDGE = 16  # the network sees SIDE pixels somewhere in a picture of 192
_KEPT = SIDE + _EDGE
#: By how much real footage is made softer, at most: as if an aligned face had a fifth of its 192 pixels.
MOST_SOFT = 5.0


@dataclass(frozen=True)
class Pool:
    """Pairs of a real face and its fake, treated alike afterwards.

    Attributes:
        real, fake: ``(N, 192, 192, 3)`` uint8.
        people: ``(N,)`` whose.
    """

    real: NDArray[np.uint8]
    fake: NDArray[np.uint8]
    people: NDArray[np.str_]


def make_pool(kind: str, faces: Sequence[TrainingFace], each: int, seed: int) -> Pool:
    """``each`` pairs from every face."""
    random = np.random.default_rng(seed)
    real, fake, people = [], [], []
    for face in faces:
        for _ in range(each):
            soft, detail = soft_footage_face(face.pixels, random)
            made, _ = self_made(soft, face.points, RECIPES[kind](random, detail))
            state = random.bit_generator.state
            real.append(published(soft, random))
            random.bit_generator.state = state  # the same treatment for both
            fake.append(published(made, random))
            people.append(face.person)
    if not real:
        raise UsageError("there is no face to learn from")
    return Pool(np.stack(real), np.stack(fake), np.array(people))


def soft_footage_face(face: Pixels, random: np.random.Generator) -> tuple[Pixels, float]:
    """A real face as softer footage would have it, and the side in pixels that its detail is worth.

    What is soft throughout is real all the same. It is done before a fake is made of it, whose resolution is then
    chosen below that: were it done afterwards alone, it would wipe out what tells the two apart, and softness itself
    would be learned as a sign of doubt.
    """
    side = face.shape[0]
    factor = float(np.exp(random.uniform(0, np.log(MOST_SOFT))))
    how = random.random()
    if how < 0.3:
        return face, float(side)
    if how < 0.6:
        return shrunk_and_back(face, 1 / factor), side / factor
    if how < 0.9:  # as soft as shrinking by that factor leaves it
        return np.asarray(cv2.GaussianBlur(face, (0, 0), 0.5 * factor), np.uint8), side / factor
    return np.asarray(cv2.filter2D(face, -1, _motion(2 * factor, random)), np.uint8), side / factor


def shrunk_and_back(face: Pixels, share: float) -> Pixels:
    """Scaled down to that share of its size and back."""
    height, width = face.shape[:2]
    size = (max(8, round(share * width)), max(8, round(share * height)))
    small = cv2.resize(face, size, interpolation=cv2.INTER_AREA)
    return np.asarray(cv2.resize(small, (width, height), interpolation=cv2.INTER_CUBIC), np.uint8)


def _motion(length: float, random: np.random.Generator) -> NDArray[np.float32]:
    """The kernel of a straight movement of so many pixels (at most 9), sum 1."""
    angle = random.uniform(0, np.pi)
    reach = np.array([np.cos(angle), np.sin(angle)]) * min(9.0, length) / 2
    kernel = np.zeros((11, 11), np.float32)
    for step in np.linspace(-1, 1, 33):
        x, y = 5 + step * reach
        kernel[round(float(y)), round(float(x))] += 1
    return np.asarray(cv2.GaussianBlur(kernel, (0, 0), 0.5) / kernel.sum(), np.float32)


def published(face: Pixels, random: np.random.Generator) -> Pixels:
    """What happens to real and fake pictures alike: size, light, blur, noise, JPEG."""
    work = face
    if random.random() < 0.5:
        work = work[:, ::-1]
    if random.random() < 0.35:
        work = shrunk_and_back(np.ascontiguousarray(work), random.uniform(0.55, 0.95))
    values: NDArray[np.floating] = work.astype(np.float32)
    if random.random() < 0.3:
        values = np.asarray(cv2.GaussianBlur(values, (0, 0), random.uniform(0.3, 1.0)), np.float32)
    elif random.random() < 0.2:
        values = values + 0.7 * (values - cv2.GaussianBlur(values, (0, 0), 1.2))
    values = (values - 128) * random.uniform(0.85, 1.15) + 128 + random.uniform(-15, 15)
    if random.random() < 0.3:
        values = values + random.normal(0, random.uniform(0.5, 4), values.shape)
    ready = np.clip(np.rint(values), 0, 255).astype(np.uint8)
    if random.random() < 0.7:
        ready = as_jpeg(np.ascontiguousarray(ready), int(random.integers(45, 97)))
    edge = (face.shape[0] - _KEPT) // 2
    return np.ascontiguousarray(ready[edge : edge + _KEPT, edge : edge + _KEPT])


def train_network(
    pool: Pool,
    people: Sequence[str] | None,
    *,
    steps: int,
    seed: int,
    batch: int = 16,
    device: Any = "cpu",
    say: Callable[[str], None] | None = None,
) -> FaceNet:
    """A network that learned from the pairs of these people (all of them for None).

    Real and fake of a pair are always in the same batch, so that what they show tells nothing.
    """
    chosen = np.flatnonzero(
        np.isin(pool.people, list(people)) if people is not None else np.ones(len(pool.people), bool)
    )
    if not len(chosen):
        raise UsageError("none of these people is in the pool")
    torch.manual_seed(seed)
    random = np.random.default_rng(seed)
    network = FaceNet().to(device).train()
    optimizer = torch.optim.AdamW(network.parameters(), lr=2e-3, weight_decay=0.02)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 4e-3, total_steps=steps)
    # people with many faces are not seen more often than others
    counts = {person: int((pool.people[chosen] == person).sum()) for person in np.unique(pool.people[chosen])}
    weight = np.array([1 / np.sqrt(counts[str(person)]) for person in pool.people[chosen]])
    weight /= weight.sum()
    mean = 0.0
    for step in range(steps):
        rows = random.choice(chosen, batch // 2, p=weight)
        x, y = random.integers(0, _EDGE + 1, 2)
        both = np.concatenate([pool.real[rows], pool.fake[rows]])[:, y : y + SIDE, x : x + SIDE]
        pictures = torch.from_numpy(np.ascontiguousarray(both)).to(device).permute(0, 3, 1, 2).float() / 255
        truth = torch.cat([torch.zeros(len(rows)), torch.ones(len(rows))]).to(device)
        # smoothed: some recipes change nothing that can be seen
        loss = F.binary_cross_entropy_with_logits(network(pictures), truth * 0.9 + 0.05)
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        schedule.step()
        mean = 0.98 * mean + 0.02 * float(loss.detach()) if step else float(loss.detach())
        if say and (step + 1) % 100 == 0:
            say(f"  step {step + 1}: loss {mean:.3f}")
    return network.eval()


@torch.no_grad()
def logits_of(network: FaceNet, pictures: NDArray[np.uint8], device: Any = "cpu") -> NDArray[np.float64]:
    """``(N,)`` of pool pictures, cut to their middle."""
    edge = _EDGE // 2
    result = []
    for start in range(0, len(pictures), 64):
        part = pictures[start : start + 64, edge : edge + SIDE, edge : edge + SIDE]
        batch = torch.from_numpy(np.ascontiguousarray(part)).to(device).permute(0, 3, 1, 2).float() / 255
        result.append(network(batch).cpu().numpy())
    return np.concatenate(result).astype(np.float64)


def calibration(means: NDArray[np.float64], fake: NDArray[np.bool_]) -> tuple[float, float]:
    """Slope and offset of a logistic curve on clips' mean values, of people that the network had not seen. The slope is
    not allowed to turn the network round.
    """
    (slope,), offset = fit_logistic(means[:, None], fake, 2.0)
    return max(float(slope), 1e-3), float(offset)


def save_network(
    path: Path, network: torch.nn.Module, slope: float, offset: float, about: dict[str, Any]
) -> None:
    """As :class:`synth.detect.learned.LearnedDetectors` reads it."""
    save(path, dict(network.state_dict()), NET_SCHEMA, {"slope": slope, "offset": offset, **about})

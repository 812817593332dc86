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
from synth.detect.face_net import SIDE, FaceNet
from synth.detect.histories import as_jpeg
from synth.detect.judges import NET_SCHEMA
from synth.detect.material import Face
from synth.detect.selfmade import Pixels, blend_recipe, self_made, warp_recipe
from synth.swap.checkpoint import save

RECIPES = {"warp": warp_recipe, "blend": blend_recipe}
_EDGE = 16  # the network sees SIDE pixels somewhere in a picture of 160
_KEPT = SIDE + _EDGE


@dataclass(frozen=True)
class Pool:
    """Pairs of a real face and its fake, treated alike afterwards.

    Attributes:
        real, fake: ``(N, 160, 160, 3)`` uint8.
        people: ``(N,)`` whose.
    """

    real: NDArray[np.uint8]
    fake: NDArray[np.uint8]
    people: NDArray[np.str_]


def make_pool(kind: str, faces: Sequence[Face], each: int, seed: int) -> Pool:
    """``each`` pairs from every face."""
    random = np.random.default_rng(seed)
    real, fake, people = [], [], []
    for face in faces:
        for _ in range(each):
            made, _ = self_made(face.pixels, face.points, RECIPES[kind](random))
            state = random.bit_generator.state
            real.append(published(face.pixels, random))
            random.bit_generator.state = state  # the same treatment for both
            fake.append(published(made, random))
            people.append(face.person)
    if not real:
        raise UsageError("there is no face to learn from")
    return Pool(np.stack(real), np.stack(fake), np.array(people))


def published(face: Pixels, random: np.random.Generator) -> Pixels:
    """What happens to real and fake pictures alike: size, light, blur, noise, JPEG; cut to 160 pixels."""
    work = face
    if random.random() < 0.5:
        work = work[:, ::-1]
    if random.random() < 0.4:
        small = int(random.uniform(0.45, 0.95) * work.shape[0])
        down = cv2.resize(np.ascontiguousarray(work), (small, small), interpolation=cv2.INTER_AREA)
        work = np.asarray(
            cv2.resize(down, (face.shape[1], face.shape[0]), interpolation=cv2.INTER_CUBIC), np.uint8
        )
    values: NDArray[np.floating] = work.astype(np.float32)
    if random.random() < 0.3:
        values = np.asarray(cv2.GaussianBlur(values, (0, 0), random.uniform(0.3, 1.2)), np.float32)
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


def teach(
    pool: Pool,
    people: Sequence[str] | None,
    *,
    steps: int,
    seed: int,
    batch: int = 24,
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
    """As :class:`synth.detect.judges.Judges` reads it."""
    save(path, dict(network.state_dict()), NET_SCHEMA, {"slope": slope, "offset": offset, **about})

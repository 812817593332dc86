"""How fast a face swapper learns: ours against the plain way, and against what the machine can multiply.

::

    python benchmarks/synth/swap_train.py --preset tiny
    python benchmarks/synth/swap_train.py --preset full --size 128 --device cuda --compile
    torchrun --nproc-per-node 8 benchmarks/synth/swap_train.py --preset full --device cuda

(a) is the plain way: faces changed one by one by OpenCV in a CPU loader, single precision, NCHW, no compiler, one
pass through the encoder for each person. (b) is the same step as :mod:`synth.swap.training.train` does it. Both train
the same network on the same losses with the same batch. Images count both people's. On a CPU, time is CPU seconds of
this process divided by its threads, so that other work matters little. ``--memory`` prints what each preset needs.

Runs without arguments.
"""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from typing import Any

import cv2
import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset
from torch.utils.flop_counter import FlopCounterMode

from synth.swap.config import PRESETS, Preset, preset
from synth.swap.model import Generator
from synth.swap.training.augment import Batch, encoder_input
from synth.swap.training.checkpoint import Origin
from synth.swap.training.critic import Critic
from synth.swap.training.data import Bank
from synth.swap.training.losses import reconstruction
from synth.swap.training.parallel import is_first, join, world_size
from synth.swap.training.train import Run, generator_step


def made_up(size: int, count: int, seed: int) -> Bank:
    """Pictures with a face's mask; what they show does not matter for speed."""
    draws = np.random.default_rng(seed)
    pixels = np.stack(
        [cv2.resize(draws.integers(0, 255, (9, 9, 3), np.uint8), (size, size)) for _ in range(count)]
    )
    mask = np.zeros((size, size), np.uint8)
    cv2.ellipse(mask, (size // 2, size // 2), (size // 3, size * 2 // 5), 0, 0, 360, 255, -1)
    details = np.zeros_like(mask)
    cv2.circle(details, (size // 2, size * 2 // 3), size // 8, 255, -1)
    masks, marks = (torch.from_numpy(one).repeat(count, 1, 1) for one in (mask, details))
    return Bank(torch.from_numpy(pixels), masks, marks)


class PlainFaces(Dataset):  # type: ignore[type-arg]
    """One face at a time, changed by OpenCV, as NCHW tensors."""

    def __init__(self, bank: Bank, chosen: Preset) -> None:
        self.bank, self.how, self.size = bank, chosen.augmentation, chosen.architecture.size
        self.draws = np.random.default_rng(0)

    def __len__(self) -> int:
        return 10**9

    def __getitem__(self, _: int) -> tuple[torch.Tensor, ...]:
        draws, how, size = self.draws, self.how, self.size
        index = int(draws.integers(len(self.bank)))
        stack = np.dstack(
            [getattr(self.bank, name)[index].numpy() for name in ("pixels", "masks", "details")]
        )
        angle, zoom = draws.uniform(-how.rotation, how.rotation), 1 + draws.uniform(-how.zoom, how.zoom)
        turn = np.asarray(cv2.getRotationMatrix2D((size / 2, size / 2), angle, zoom), np.float64)
        turn[:, 2] += draws.uniform(-how.shift, how.shift, 2) * size
        moved = (
            cv2.warpAffine(stack, turn, (size, size), borderMode=cv2.BORDER_REFLECT).astype(np.float32) / 255
        )
        if draws.random() < how.flip:
            moved = moved[:, ::-1]
        moved[..., :3] = np.clip(moved[..., :3] * (1 + draws.uniform(-how.colour, how.colour, 3)), 0, 1)
        coarse = draws.normal(0, how.warp * size, (5, 5, 2)).astype(np.float32)
        rows, columns = np.mgrid[0:size, 0:size].astype(np.float32)
        shift = cv2.resize(coarse, (size, size), interpolation=cv2.INTER_CUBIC)
        places = columns + shift[..., 0], rows + shift[..., 1]
        seen = np.asarray(cv2.remap(moved[..., :4], *places, cv2.INTER_LINEAR), np.float32)
        half = cv2.resize(
            cv2.resize(seen[..., :3], (size // 2,) * 2, interpolation=cv2.INTER_AREA), (size, size)
        )
        seen[..., :3] += (half - seen[..., :3]) * np.float32(draws.random() * how.crappify)
        noise = np.asarray(draws.normal(0, 0.02 * how.crappify, half.shape), np.float32)
        seen[..., :3] = np.clip(seen[..., :3] + noise, 0, 1)
        planes = np.ascontiguousarray(np.dstack([seen, moved]).transpose(2, 0, 1))
        whole = torch.from_numpy(planes)
        seen_of = encoder_input(whole[None, :3], whole[None, 3:4], whole[None, 8:9])[0]
        return seen_of, whole[4:7], whole[7:8], whole[8:9]


def plain_way(chosen: Preset, banks: dict[str, Bank], device: str, workers: int) -> Callable[[], object]:
    """(a)."""
    torch.manual_seed(0)
    generator = Generator(chosen.architecture).to(device)
    optimizer = torch.optim.Adam(generator.parameters(), lr=1e-4, foreach=False, fused=False)
    loaders: dict[str, Iterator[Any]] = {
        side: iter(
            DataLoader(
                PlainFaces(bank, chosen), chosen.recipe.batch, num_workers=workers, pin_memory=device != "cpu"
            )
        )
        for side, bank in banks.items()
    }

    def step() -> None:
        losses = []
        for side, loader in loaders.items():
            batch = Batch(*(one.to(device) for one in next(loader)))
            colours, mask = generator.as_person(batch.seen, side)
            losses.append(
                torch.stack([*reconstruction(colours, mask, batch, chosen.weights, None).values()]).sum()
            )
        optimizer.zero_grad()
        torch.stack(losses).sum().backward()
        optimizer.step()

    return step


def our_way(
    chosen: Preset, banks: dict[str, Bank], device: str, compiled: bool
) -> tuple[Callable[[], object], Run]:
    """(b)."""
    run = Run(Origin(chosen, ("a", "b"), {}, {}, 0, {}), torch.device(device), compiled=compiled)
    there = {
        side: Bank(bank.pixels.to(device), bank.masks.to(device), bank.details.to(device))
        for side, bank in banks.items()
    }
    return partial(generator_step, run, there, None), run


def seconds(step: Callable[[], object], device: str, count: int) -> float:
    """Of one step, the median of ``count``."""
    for _ in range(3):
        step()
    taken = []
    for _ in range(count):
        if device != "cpu":
            torch.cuda.synchronize()
        began = time.perf_counter() if device != "cpu" else time.process_time()
        step()
        if device != "cpu":
            torch.cuda.synchronize()
            taken.append(time.perf_counter() - began)
        else:
            taken.append((time.process_time() - began) / torch.get_num_threads())
    return float(np.median(taken))


def matrix_rate(device: str, kind: torch.dtype) -> float:
    """Floating-point operations a second of one large product of matrices."""
    side = 8192 if device != "cpu" else 1024
    a, b = (torch.randn(side, side, device=device).to(kind) for _ in range(2))
    return 2 * side**3 / seconds(partial(torch.mm, a, b), device, 9)


def operations(chosen: Preset) -> float:
    """Floating-point operations of the networks in one step, counted by torch on shapes alone."""
    size, count = chosen.architecture.size, chosen.recipe.batch
    with torch.device("meta"):
        generator = Generator(chosen.architecture)
        pictures = {side: torch.rand(count, 4, size, size) for side in "ab"}
    with FlopCounterMode(display=False) as counter:
        made = generator(pictures)
        sum(colours.sum() + mask.sum() for colours, mask in made.values()).backward()
    return float(counter.get_total_flops())


def busy_share(step: Callable[[], object]) -> float:
    """Share of the time in which the GPU had work, over ten steps."""
    from torch.profiler import ProfilerActivity, profile

    torch.cuda.synchronize()
    with profile(activities=[ProfilerActivity.CUDA]) as seen:
        began = time.perf_counter()
        for _ in range(10):
            step()
        torch.cuda.synchronize()
        total = time.perf_counter() - began
    return float(sum(one.self_device_time_total for one in seen.key_averages())) / 1e6 / total


def memory(chosen: Preset) -> str:
    """What training needs: weights, their average, gradients, Adam's two moments; and what the backward pass keeps."""
    size, count = chosen.architecture.size, chosen.recipe.batch
    with torch.device("meta"):
        generator, critic = Generator(chosen.architecture), Critic(chosen.architecture)
        pictures = {side: torch.rand(count, 4, size, size) for side in "ab"}
    kept: dict[int, int] = {}
    own = {weight.untyped_storage()._cdata for weight in generator.parameters()}

    def note(tensor: torch.Tensor) -> torch.Tensor:
        storage = tensor.untyped_storage()
        if storage._cdata not in own:
            kept[storage._cdata] = storage.nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor):
        generator(pictures)
    learned, judged = (sum(one.numel() for one in net.parameters()) for net in (generator, critic))
    state, activations = 4 * (5 * learned + 4 * judged), sum(kept.values())
    return (
        f"{chosen.name:<6} {size:>4} px  generator {learned / 1e6:6.1f} M  critic {judged / 1e6:5.2f} M  "
        f"state {state / 2**30:5.2f} GiB  activations (fp32, 2 x {count} faces) {activations / 2**30:5.2f} GiB"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--preset", default="tiny")
    parser.add_argument("--size", type=int, help="other side of the pictures than the preset's")
    parser.add_argument("--batch", type=int)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--steps", type=int, default=9)
    parser.add_argument("--workers", type=int, default=0, help="of the plain way's loader")
    parser.add_argument("--compile", action="store_true")
    parser.add_argument("--precisions", default="auto", help="comma-separated: auto, fp32, bf16")
    parser.add_argument("--memory", action="store_true")
    asked = parser.parse_args()
    if asked.memory:
        for one in PRESETS.values():
            print(memory(one), flush=True)
        return
    device, chosen = join(asked.device), preset(asked.preset)
    if asked.size:
        chosen = replace(chosen, architecture=replace(chosen.architecture, size=asked.size))
    if asked.batch:
        chosen = replace(chosen, recipe=replace(chosen.recipe, batch=asked.batch))
    size, images = chosen.architecture.size, 2 * chosen.recipe.batch
    banks = {side: made_up(size, 256, index) for index, side in enumerate("ab")}
    work = operations(chosen)
    if is_first():
        name = torch.cuda.get_device_name() if device != "cpu" else f"CPU, {torch.get_num_threads()} threads"
        print(f"{chosen.name} at {size} px, {images} images a step, {work / 1e9:.1f} Gflop a step, {name}, "
              f"torch {torch.__version__}, {world_size()} processes, load {os.getloadavg()[0]:.1f}")  # fmt: skip
    base = None
    if world_size() == 1:
        base = images / seconds(plain_way(chosen, banks, device, asked.workers), device, asked.steps)
        print(f"(a) plain fp32          {base:9.1f} images/s", flush=True)
    for precision in asked.precisions.split(","):
        for compiled in (False, True) if asked.compile else (False,):
            step, run = our_way(replace(chosen, precision=precision), banks, device, compiled)
            taken = seconds(step, device, asked.steps)
            kind = run.precision
            rate = matrix_rate(device, kind)
            label = f"(b) ours {str(kind)[6:]}{' compiled' if compiled else ''}"
            ratio = f"{images * world_size() / taken / base:5.2f} x (a)" if base else ""
            busy = f"  busy {busy_share(step):4.0%}" if device != "cpu" else ""
            peak = f"  peak {torch.cuda.max_memory_allocated() / 2**30:.1f} GiB" if device != "cpu" else ""
            if is_first():
                print(f"{label:<23} {images * world_size() / taken:9.1f} images/s  {ratio}  "
                      f"{work / taken / rate:5.1%} of {rate / 1e12:.3f} Tflop/s{busy}{peak}", flush=True)  # fmt: skip


if __name__ == "__main__":
    main()

"""The whole command against itself with torchattacks' attacks, and against PGD on the plain sum of losses.

::

    python benchmarks/cloak/attacks.py --picture astronaut --strength mid --attacks PGD,MIFGSM,VMIFGSM,APGD

Ours runs as it does in earnest, and stops when it is done; every other attack gets the same patch, the same largest
change, the same detectors, and as many steps as fill about the same CPU seconds on one thread (what a step takes is
tried first). Each is judged by the detectors as used in earnest, on the decoded JPEG. Only ours knows the
conditions, and the bound on the face's PSNR.

Runs without arguments.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from functools import partial

import numpy as np
import torch

from benchmarks.cloak.cloak_common import (
    CONDITIONS,
    Subject,
    Tally,
    decoded,
    encoded,
    load_all,
    one_thread,
    pictures,
)
from cloak import CloakOptions, cloak_bytes
from cloak.attack.budget import context_mask, project
from cloak.attack.objective import hiding_loss
from cloak.attack.regions import plan_patches
from cloak.attack.task import Task
from cloak.pixels import to_tensor
from cloak.strength import Strength
from provenance.media.picture import open_picture


def plain_pgd(task: Task, members, steps: int) -> torch.Tensor:  # type: ignore[no-untyped-def]
    """The baseline: signed steps along the gradient of the plain sum of all detectors' losses."""
    noise = torch.zeros_like(task.clean)
    for _ in range(steps):
        noise.requires_grad_(True)
        losses = [
            hiding_loss(member.candidates(task.clean + noise, [task.faces])[0], task.faces).sum()
            for member in members
        ]
        loss = torch.stack(losses).sum()
        (gradient,) = torch.autograd.grad(loss, noise)
        noise = project(noise.detach() - task.limit / 6 * gradient.sign(), task.clean, task.limit)
    return noise.detach()


def plain_sum(pixels: np.ndarray, subject: Subject, members, levels: float, steps: int) -> np.ndarray:  # type: ignore[no-untyped-def]
    """The picture with the baseline's noise, decoded."""
    patch = plan_patches(pixels.shape[:2], subject.faces, face_side=10_000, longest=10_000)[0]
    clean = to_tensor(pixels[patch.top : patch.bottom, patch.left : patch.right])
    faces = patch.boxes(subject.faces[list(patch.faces)])
    limit = levels / 255 * context_mask((patch.height, patch.width), faces, 0.25)
    noise = plain_pgd(Task(clean, faces, limit), members, steps)
    whole = pixels.astype(np.int16)
    whole[patch.top : patch.bottom, patch.left : patch.right] += (
        (noise[0] * 255).round().to(torch.int16).permute(1, 2, 0).numpy()
    )
    return decoded(encoded(np.clip(whole, 0, 255).astype(np.uint8)))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--picture", default="astronaut", help="with one face, or faces that lie together")
    parser.add_argument(
        "--detectors", default="mtcnn,centerface,blazeface-short,blazeface-back,blazeface-full"
    )
    parser.add_argument("--strength", default="mid")
    parser.add_argument("--attacks", default="PGD,MIFGSM,VMIFGSM,APGD")
    asked = parser.parse_args()
    one_thread()
    names = tuple(asked.detectors.split(","))
    members = load_all(names)
    (pixels,) = pictures(asked.picture).values()
    source = open_picture(encoded(pixels))
    subject = Subject.of(pixels, members)
    levels = Strength(asked.strength).levels

    def command(attack: str, steps: int) -> np.ndarray:
        options = CloakOptions(
            veil="noise",
            strength=asked.strength,
            detectors=names,
            judges=(),
            attack=attack,
            steps=steps,
            seed=0,
        )
        return decoded(cloak_bytes(source, options).encoded)

    print(f"{asked.picture}, {asked.strength}, {asked.detectors}")
    print(f"{'':22s} steps  CPU s  {' / '.join(CONDITIONS)} (% still found)  face PSNR")

    def show(label: str, steps: int, attack: Callable[[int], np.ndarray]) -> float:
        started = time.process_time()
        result = attack(steps)
        spent = time.process_time() - started
        tally = Tally()
        subject.count(tally, label, result, members)
        print(
            f"{label:22s} {steps:5d} {spent:6.0f}  {tally.row(label):32s} {subject.worst_psnr(result):.1f} dB",
            flush=True,
        )
        return spent

    budget = show("ours", 60, lambda steps: command("ensemble", steps))
    others: dict[str, Callable[[int], np.ndarray]] = {
        "plain PGD sum": lambda steps: plain_sum(pixels, subject, members, levels, steps)
    }
    for name in asked.attacks.split(","):
        others[f"torchattacks:{name}"] = partial(command, f"torchattacks:{name}")
    for label, attack in others.items():
        show(label, _affordable(attack, budget), attack)


def _affordable(attack: Callable[[int], np.ndarray], budget: float) -> int:
    """How many steps of an attack fill ``budget`` CPU seconds, looks before and after included."""
    spent = []
    for steps in (_FEW, 3 * _FEW):
        started = time.process_time()
        attack(steps)
        spent.append(time.process_time() - started)
    each = max((spent[1] - spent[0]) / (2 * _FEW), 1e-3)
    return max(_FEW, round((budget - spent[0]) / each) + _FEW)


#: Steps of the shorter of two trials.
_FEW = 4


if __name__ == "__main__":
    main()

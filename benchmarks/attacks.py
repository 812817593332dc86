"""Our ensemble search against the plain sum of losses by PGD and torchattacks' attacks, at equal budget and time.

::

    python benchmarks/attacks.py --picture astronaut --levels 12 --seconds 40 --attacks PGD,MIFGSM,APGD

Every attack gets the same patch, the same hard budget, the same detectors, and about the same CPU seconds on one
thread; each is judged by the detectors as used in earnest, on the decoded JPEG.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable

import numpy as np
import torch
from cloak_common import CONDITIONS, Subject, Tally, crew, decoded, encoded, one_thread, pictures

from cloak.adapter import run_torchattack
from cloak.attack import optimise
from cloak.budget import context_mask, project
from cloak.judge import to_tensor
from cloak.objective import hide
from cloak.regions import plan_patches
from cloak.task import Schedule, Task, conditions


def plain_pgd(task: Task, members, steps: int) -> torch.Tensor:  # type: ignore[no-untyped-def]
    """The baseline: signed steps along the gradient of the plain sum of all detectors' losses."""
    noise = torch.zeros_like(task.clean)
    for _ in range(steps):
        noise.requires_grad_(True)
        loss = sum(
            hide(member.candidates(task.clean + noise, [task.faces])[0], task.faces).sum()
            for member in members
        )
        (gradient,) = torch.autograd.grad(loss, noise)
        noise = project(noise.detach() - task.limit / 6 * gradient.sign(), task.clean, task.limit)
    return noise.detach()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--picture", default="astronaut")
    parser.add_argument("--detectors", default="mtcnn,centerface")
    parser.add_argument("--levels", type=float, default=12)
    parser.add_argument("--seconds", type=float, default=40)
    parser.add_argument("--attacks", default="PGD,MIFGSM,APGD")
    asked = parser.parse_args()
    one_thread()
    members = crew(asked.detectors.split(","))
    (pixels,) = pictures(asked.picture).values()
    subject = Subject.of(pixels, members)
    patch = plan_patches(pixels.shape[:2], subject.faces, face_side=10_000, longest=10_000)[0]
    clean = to_tensor(pixels[patch.top : patch.bottom, patch.left : patch.right])
    faces = patch.boxes(subject.faces[list(patch.faces)])
    limit = asked.levels / 255 * context_mask((patch.height, patch.width), faces, 0.25)
    task, met = Task(clean, faces, limit), conditions(95, subsample=False)

    def ours(steps: int) -> torch.Tensor:
        return optimise(task, members, met, schedule=Schedule(steps=steps, least=steps)).noise

    runs: dict[str, Callable[[int], torch.Tensor]] = {
        "ours": ours,
        "plain PGD sum": lambda s: plain_pgd(task, members, s),
    }
    for name in asked.attacks.split(","):
        runs[f"torchattacks:{name}"] = lambda s, name=name: (
            run_torchattack(name, task, members, met, steps=s).noise
        )
    print(f"{asked.picture}, {asked.levels:g}/255, {asked.detectors}, about {asked.seconds:g} CPU s each")
    print(f"{'':22s} steps  CPU s  {' / '.join(CONDITIONS)} (% still found)  face PSNR")
    for label, attack in runs.items():
        started = time.process_time()
        attack(2)
        steps = max(4, round(2 * asked.seconds / (time.process_time() - started)))
        started = time.process_time()
        noise = attack(steps)
        spent = time.process_time() - started
        whole = pixels.astype(np.int16)
        whole[patch.top : patch.bottom, patch.left : patch.right] += (
            (noise[0] * 255).round().to(torch.int16).permute(1, 2, 0).numpy()
        )
        result = decoded(encoded(np.clip(whole, 0, 255).astype(np.uint8)))
        tally = Tally()
        subject.count(tally, label, result, members)
        print(
            f"{label:22s} {steps:5d} {spent:6.0f}  {tally.row(label):32s} {subject.worst_psnr(result):.1f} dB",
            flush=True,
        )


if __name__ == "__main__":
    main()

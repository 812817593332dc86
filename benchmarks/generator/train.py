"""Trains the generator of film grain, end to end through the detectors that it is to hide faces from.

    python benchmarks/generator/train.py --state FILE --weights DIR --minutes 12 CLIP CLIP

Runs for so many minutes and goes on from the state file where it ended. Each step draws a crop, lets the network
propose a field of grain, settles and renders it as a cloak does, shows the result under one of a cloak's conditions to
a few detectors, and moves the weights against their gradients, each of the same size.
"""

from __future__ import annotations

import argparse
import math
import random
import time
from pathlib import Path

import cv2
import numpy as np
import torch
from torch import Tensor

from benchmarks.generator.network import GrainNetwork, propose
from benchmarks.generator.samples import Sample, Source, draw, load_sources
from cloak import detectors
from cloak.attack import transforms
from cloak.attack.conditions import Condition, cleaned, publication_conditions
from cloak.attack.input_policy import input_policy_of
from cloak.attack.objective import hiding_loss
from cloak.detectors.base import FaceDetector
from cloak.detectors.geometry.matching import expand_boxes
from cloak.detectors.geometry.rendering import Rendering
from cloak.veils.base import Canvas, luminance
from cloak.veils.film import Film
from cloak.veils.grain import spread_share
from cloak.veils.visibility import folds_loss, mottle_loss

#: Detectors, and how often each is drawn.
ATTACKED = {
    "centerface": 1.0,
    "blazeface-short": 0.8,
    "blazeface-back": 0.8,
    "blazeface-full": 0.8,
    "retinaface-mobilenet": 1.0,
    "retinaface-rfb": 0.8,
    "retinaface-slim": 0.8,
    "faceboxes": 1.0,
    "mtcnn": 0.25,
    "dlib-cnn": 0.25,
}
#: Detectors of a step; how fast weights move at first and at last; how slowly the average that is kept follows.
_ASKED, _RATES, _KEPT = 3, (1.5e-3, 1e-4), 0.998
_WARM_UP = 100
#: A detector that misses the face still counts so much.
_LEAST = 0.25
_AMPLITUDES = (0.1, 0.14)
_FOLDS, _MOTTLE = 0.3, 0.15


class Training:
    """Everything that a state file holds.

    Args:
        attacked: loaded detectors.
        sources: of faces.
        steps: of the whole training.
        seed: of weights and draws.
    """

    def __init__(self, attacked: list[FaceDetector], sources: list[Source], steps: int, seed: int) -> None:
        torch.manual_seed(seed)
        self.attacked, self.sources, self.steps = attacked, sources, steps
        self.network, self.average = GrainNetwork(), GrainNetwork()
        self.average.load_state_dict(self.network.state_dict())
        self.optimiser = torch.optim.Adam(self.network.parameters(), lr=_RATES[0], betas=(0.9, 0.99))
        self.made, self.seed = 0, seed
        self.residual = {one.name: 1.0 for one in attacked}
        self.film = Film()
        self.conditions: list[Condition] = []

    def state(self) -> dict[str, object]:
        return {
            "network": self.network.state_dict(),
            "average": self.average.state_dict(),
            "optimiser": self.optimiser.state_dict(),
            "made": self.made,
            "residual": self.residual,
        }

    def load(self, path: Path) -> None:
        state = torch.load(path, weights_only=True)
        self.network.load_state_dict(state["network"])
        self.average.load_state_dict(state["average"])
        self.optimiser.load_state_dict(state["optimiser"])
        self.made = state["made"]
        self.residual.update(state["residual"])

    def step(self) -> None:
        rng = random.Random(self.seed * 1_000_003 + self.made)
        sample = draw(self.sources, rng)
        pixel = 1.0 if rng.random() < 0.8 else rng.uniform(1.0, 1.6)
        size = (sample.clean.shape[-2], sample.clean.shape[-1])
        canvas = Canvas(sample.clean, spread_share(size, sample.faces), pixel)
        field = propose(self.network, sample.clean, sample.faces)
        settled = self.film.settle(canvas, field)
        picture = self.film.render(canvas, settled, rng.uniform(*_AMPLITUDES))
        gradient = self._pull(sample, picture.detach(), rng)
        leaf = picture.detach().requires_grad_(True)
        change = luminance(leaf - canvas.clean) * canvas.share
        for weight, loss in (
            (_FOLDS, folds_loss(change, pixel=pixel)),
            (_MOTTLE, mottle_loss(change, pixel=pixel)),
        ):
            (away,) = torch.autograd.grad(loss, leaf, retain_graph=True)
            gradient = gradient + weight * gradient.norm() / away.norm().clamp_min(1e-12) * away
        share = min(1.0, self.made / self.steps)
        rate = _RATES[1] + (_RATES[0] - _RATES[1]) * (0.5 + 0.5 * math.cos(math.pi * share))
        for group in self.optimiser.param_groups:
            group["lr"] = rate * min(1.0, (self.made + 1) / _WARM_UP)
        self.optimiser.zero_grad()
        picture.backward(gradient / gradient[0].numel())
        torch.nn.utils.clip_grad_norm_(self.network.parameters(), 1.0)
        self.optimiser.step()
        self.made += 1
        kept = min(_KEPT, self.made / (self.made + 10))
        with torch.no_grad():
            for slow, fast in zip(self.average.parameters(), self.network.parameters(), strict=True):
                slow.lerp_(fast, 1 - kept)

    def _pull(self, sample: Sample, picture: Tensor, rng: random.Random) -> Tensor:
        """The gradient of a few detectors in the picture, each of the same size and weighted by what is left to do."""
        condition = self._condition(picture, rng)
        boxes = expand_boxes(sample.faces, 0.4)[0]
        left, top = (int(value) // 16 * 16 for value in boxes[:2])
        right, bottom = (-int(-value // 16) * 16 for value in boxes[2:])
        transform = transforms.crop(left, top, right, bottom).then(condition.random_transform(rng))
        if rng.random() < 0.3:
            transform = transform.then(transforms.resize(rng.uniform(0.6, 0.95)))
        source = picture.clone().requires_grad_(True)
        shown = transform.render(Rendering(transforms.quantise(source)))
        leaf = shown.pixels.detach().requires_grad_(True)
        total = torch.zeros_like(leaf)
        for detector in self._asked(rng):
            policy = input_policy_of(detector)
            size = (float(picture.shape[-2]), float(picture.shape[-1]))
            seen = policy.resize_transform(size, shown.affine.scale[0]).render(shown.with_pixels(leaf))
            faces = seen.boxes(sample.faces)
            hiding = hiding_loss(detector.candidates(seen.pixels, [faces])[0], faces)
            distance = min(1.0, float(hiding.detach().min()))
            self.residual[detector.name] += 0.02 * (distance - self.residual[detector.name])
            loss = (hiding / (hiding.detach() + 0.05) ** 2).sum()
            if not loss.requires_grad:
                continue
            own = torch.nan_to_num(torch.autograd.grad(loss, leaf)[0])
            need = max((distance - 0.3) / 0.7, _LEAST)
            total += need * own / own.abs().mean().clamp_min(1e-12)
        (gradient,) = torch.autograd.grad(shown.pixels, source, total)
        return gradient

    def _condition(self, picture: Tensor, rng: random.Random) -> Condition:
        published = publication_conditions(None, max_shift=24)
        return rng.choices([*published, cleaned(published[0], 1.4)], (3, 3, 2.5, 1.5))[0]

    def _asked(self, rng: random.Random) -> list[FaceDetector]:
        weights = {one.name: ATTACKED[one.name] * (0.25 + self.residual[one.name]) for one in self.attacked}
        order = sorted(self.attacked, key=lambda one: rng.random() ** (1 / weights[one.name]), reverse=True)
        return order[:_ASKED]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("clips", nargs="*", type=Path)
    parser.add_argument("--state", type=Path, required=True)
    parser.add_argument("--weights", type=Path)
    parser.add_argument("--steps", type=int, default=2500)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--minutes", type=float, default=12.0)
    args = parser.parse_args()
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    attacked = [detectors.load(name, weights_dir=args.weights) for name in ATTACKED]
    sources = load_sources(args.clips, [one for one in attacked if one.family in ("retinaface", "faceboxes")])
    print(f"{len(sources)} faces, " + ", ".join(sorted({one.person for one in sources})), flush=True)
    training = Training(attacked, sources, args.steps, args.seed)
    if args.state.exists():
        training.load(args.state)
    began, spent = time.monotonic(), time.process_time()
    while training.made < args.steps and time.monotonic() - began < args.minutes * 60:
        training.step()
        if training.made % 100 == 0:
            left = ", ".join(f"{name} {value:.2f}" for name, value in training.residual.items())
            mean = np.mean([*training.residual.values()])
            print(f"{training.made}: {time.process_time() - spent:.0f} CPU s, {mean:.3f}: {left}", flush=True)
            torch.save(training.state(), args.state)
    torch.save(training.state(), args.state)


if __name__ == "__main__":
    main()

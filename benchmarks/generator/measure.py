"""What the generator is worth: finds after its one pass alone, and finds along a search that starts from it.

    python benchmarks/generator/measure.py --out FILE --weights DIR [--state FILE] [--steps 24] PICTURE...

Without ``--state`` the search starts from random grain, as ``veilmark cloak`` does. With ``--steps 0`` nothing is
searched, and random grain at the same FLIP is told beside it. A picture with one patch is looked at after 3, 6 and 12
steps as well; processor seconds are without these looks.
"""

from __future__ import annotations

import argparse
import io
import json
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from PIL import Image
from torch import Tensor

from benchmarks.generator.network import GrainNetwork, propose
from cloak import CloakOptions
from cloak.attack import search
from cloak.attack.task import Schedule, Task
from cloak.detectors.geometry.matching import faces_found
from cloak.detectors.geometry.patch import Patch
from cloak.evaluate.detect import InitialDetections, detect_all, detect_pixels, select_faces
from cloak.evaluate.quality import crop, flip
from cloak.picture.random_veil import random_veil
from cloak.picture.rounds import ImageEncoder, PatchOptimiser
from cloak.pixels import render_conditions
from cloak.strength import Strength
from cloak.veils import VeilName
from cloak.veils.search import VeilChange
from cloak.veils.visibility import dislike
from provenance.media.picture import open_picture

ATTACKED = (
    "centerface,blazeface-short,blazeface-back,blazeface-full,retinaface-mobilenet,retinaface-rfb,retinaface-slim,"
    "faceboxes"
)
UNSEEN = "yunet,face-api-tiny,face-api-ssd,haar-default"
_LOOKS = (3, 6, 12)


class ProposedStart(PatchOptimiser):
    """As a cloak is searched, but from what a network proposes.

    Attributes:
        network: None starts from random grain.
    """

    network: GrainNetwork | None = None

    def _veil_change(self, task: Task, patch: Patch, schedule: Schedule) -> VeilChange:
        change = super()._veil_change(task, patch, schedule)
        if self.network is not None:
            with torch.no_grad():
                field = propose(self.network, task.clean, task.faces)
                change.parameters = change.veil.settle(change.canvas, field / field.std())
        change.finish()
        return change


class Looks:
    """Counts finds, and keeps the time for that apart.

    Args:
        initial: what detectors found before.
        faces: ``(N, 4)`` to hide.
        pixels: uint8 of the clean picture.
    """

    def __init__(self, initial: InitialDetections, faces: Tensor, pixels: np.ndarray) -> None:
        self.initial, self.faces, self.pixels = initial, faces, pixels
        self.known = {
            name: faces_found(report, faces * initial.displayed.scale)
            for name, report in initial.before.items()
        }
        self.spent = 0.0

    def __call__(self, cloaked: np.ndarray) -> dict[str, Any]:
        """Finds by role and condition, who still finds as published, FLIP and dislike of each face."""
        began = time.process_time()
        row: dict[str, Any] = {}
        for role, loaded in (
            ("attacked", self.initial.detectors.attacked),
            ("unseen", self.initial.detectors.judging),
        ):
            row[role] = {"before": sum(int(self.known[one.name].sum()) for one in loaded)}
            for condition, (shown, scale) in render_conditions(cloaked).items():
                left = {
                    one.name: int(
                        (
                            faces_found(detect_pixels(one, shown), self.faces * scale) & self.known[one.name]
                        ).sum()
                    )
                    for one in loaded
                }
                row[role][condition] = sum(left.values())
                if condition == "published":
                    row[role]["by"] = [name for name, count in left.items() if count]
        boxes: list[tuple[float, float, float, float]] = [
            (box[0], box[1], box[2], box[3]) for box in self.faces.tolist()
        ]
        crops = [(crop(self.pixels, box), crop(cloaked, box)) for box in boxes]
        row["flip"] = [round(flip(*pair) or 0.0, 4) for pair in crops]
        row["dislike"] = [round(dislike(*pair).total, 2) for pair in crops]
        self.spent += time.process_time() - began
        return row


@contextmanager
def looking_at(steps: Sequence[int], tell: Any) -> Iterator[None]:
    """Within, ``tell`` is called with the number of steps made and the noise, after each of some steps."""
    usual = search._Search.step

    def step(self: search._Search, schedule: Schedule, number: int) -> None:
        usual(self, schedule, number)
        if number + 1 in steps:
            tell(number + 1, self.noise)

    search._Search.step = step  # type: ignore[method-assign]
    try:
        yield
    finally:
        search._Search.step = usual  # type: ignore[method-assign]


def one(path: Path, args: argparse.Namespace, network: GrainNetwork | None) -> dict[str, Any]:
    """Everything about one picture."""
    buffer = io.BytesIO()
    Image.open(path).convert("RGB").save(buffer, "PNG")
    picture = open_picture(buffer.getvalue())
    options = CloakOptions(
        detectors=tuple(args.attack.split(",")),
        judges=tuple(args.judges.split(",")),
        weights=args.weights,
        steps=max(1, round(args.steps * 1.5)),
    )
    initial = detect_all(picture.pixels, options)
    faces = select_faces(initial.confirmed_faces, options)
    looks = Looks(initial, faces, picture.pixels)
    optimiser = ProposedStart(
        picture,
        initial.detectors.attacked,
        ImageEncoder("PNG", None),
        options,
        faces,
        initial.all_faces,
        initial.displayed,
        initial.before,
    )
    optimiser.network = network
    rows: list[dict[str, Any]] = []
    began = time.process_time()

    def tell(step: int, noises: Sequence[Tensor | None]) -> np.ndarray:
        seconds = time.process_time() - began - looks.spent
        cloaked = optimiser._compose(noises)
        rows.append({"step": step, "cpu": round(seconds, 1), **looks(cloaked)})
        print(path.stem, rows[-1], flush=True)
        return cloaked

    single = len(optimiser.patches) == 1
    with looking_at(_LOOKS if single else (), lambda step, noise: tell(step, [noise])):
        for index, patch in enumerate(optimiser.patches):
            if args.steps:
                optimiser._optimise_patch(index, 0, lambda _: None)
            else:
                change = optimiser._veil_change(optimiser._task(patch, index), patch, Schedule())
                optimiser.changes[index], optimiser.noises[index] = change, change.noise
    cloaked = tell(optimiser.steps, optimiser.noises)
    row: dict[str, Any] = {
        "picture": path.name,
        "proposed": network is not None,
        "faces": len(faces),
        "rows": rows,
    }
    if not args.steps:
        control = random_veil(picture.pixels, faces, VeilName.FILM, Strength.MID, 1000, like=cloaked)
        row["random"] = looks(control)
        print(path.stem, "random", row["random"], flush=True)
    return row


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("pictures", nargs="+", type=Path)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--weights", type=Path)
    parser.add_argument("--state", type=Path, help="of benchmarks/generator/train.py")
    parser.add_argument("--steps", type=int, default=24)
    parser.add_argument("--attack", default=ATTACKED)
    parser.add_argument("--judges", default=UNSEEN)
    args = parser.parse_args()
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    network = None
    if args.state:
        network = GrainNetwork()
        network.load_state_dict(torch.load(args.state, weights_only=True)["average"])
        network.eval().requires_grad_(False)
    for path in args.pictures:
        row = one(path, args, network)
        with args.out.open("a") as stream:
            stream.write(json.dumps(row) + "\n")


if __name__ == "__main__":
    main()

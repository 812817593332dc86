"""Which frozen network to compare faces by: what each says about changes that matter and that do not, and its cost.

::

    python benchmarks/synth/swap_features.py [--critic MODEL]

On the two public-domain portraits, aligned: the feature distance of a change, divided by that to the other person. A
good loss sees blur and a closed mouth, and cares little for light. ``--critic`` adds the layers of the critic that a
training in the folder MODEL has learned; its pictures have the side of that model.

Runs without arguments.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from torch.nn.functional import interpolate

from benchmarks.cloak.cloak_common import portraits
from provenance.errors import UsageError
from synth.extraction.canonical import alignment, warp
from synth.extraction.finder import FaceFinder
from synth.swap.features import available, load_features
from synth.swap.training import checkpoint
from synth.swap.training.critic import Critic
from synth.swap.training.losses import Features, feature_distance

SIZE = 128


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--critic", type=Path, help="A folder that `veilmark synth train` wrote.")
    asked = parser.parse_args()
    torch.set_num_threads(1)
    finder, faces = FaceFinder(), []
    for pixels in portraits().values():
        matrix = alignment(finder.find(pixels)[0].landmarks, SIZE)
        faces.append(warp(pixels, matrix, SIZE))
    face, other = faces
    lips = face.copy()
    lips[78:98, 44:84] = cv2.GaussianBlur(face, (0, 0), 6)[78:98, 44:84]
    changes = {
        "blurred": cv2.GaussianBlur(face, (0, 0), 1.5),
        "no mouth": lips,
        "a pixel off": np.roll(face, 1, axis=1),
        "noise": np.clip(face + np.random.default_rng(0).normal(0, 6, face.shape), 0, 255).astype(np.uint8),
        "light": np.clip(face * 1.08, 0, 255).astype(np.uint8),
    }
    tensors = {name: _tensor(one) for name, one in {**changes, "face": face, "other": other}.items()}
    print(f"{'':<8}" + "".join(f"{name:>13}" for name in changes) + f"{'ms, both ways':>15}")
    networks: dict[str, Any] = {name: load_features(name, SIZE) for name in available()}
    if asked.critic:
        networks["critic"] = critic_features(asked.critic)
    for name, features in networks.items():
        if features is None:
            continue
        whole = float(feature_distance(features, tensors["other"], tensors["face"]))
        cells = [float(feature_distance(features, tensors[one], tensors["face"])) / whole for one in changes]
        batch = tensors["face"].repeat(8, 1, 1, 1).requires_grad_(True)
        began = time.process_time()
        feature_distance(features, batch, tensors["other"].repeat(8, 1, 1, 1)).backward()
        cost = (time.process_time() - began) / 8 * 1000
        print(f"{name:<8}" + "".join(f"{cell:>13.3f}" for cell in cells) + f"{cost:>15.1f}")


def critic_features(folder: Path) -> Features:
    """The layers of a run's critic, frozen, as it judges person a.

    Raises:
        UsageError: the run ended before its critic learned anything.
        MissingPathError, CorruptMediaError: the folder holds no run.
    """
    tensors, about = checkpoint.load(folder / checkpoint.CHECKPOINT_FILE, checkpoint.RUN_SCHEMA)
    origin = checkpoint.Origin.from_json(about["origin"])
    if not checkpoint.unprefixed("critic_optimizer", tensors):
        raise UsageError(f"the critic in {folder} has learned nothing yet")
    critic = Critic(origin.preset.architecture, origin.sides)
    critic.load_state_dict(checkpoint.unprefixed("critic", tensors))
    critic.eval().requires_grad_(False)
    side = origin.preset.architecture.size

    def layers(pictures: torch.Tensor) -> list[torch.Tensor]:
        return list(critic(interpolate(pictures, (side, side), mode="area"), origin.sides[0])[1])

    return layers


def _tensor(picture: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(picture).permute(2, 0, 1)[None].float() / 255


if __name__ == "__main__":
    main()

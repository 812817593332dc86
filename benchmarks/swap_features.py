"""Which frozen network to compare faces by: what each says about changes that matter and that do not, and its cost.

::

    python benchmarks/swap_features.py

On the two public-domain portraits, aligned: the feature distance of a change, divided by that to the other person. A
good loss sees blur and a closed mouth, and cares little for light.
"""

from __future__ import annotations

import time

import cv2
import numpy as np
import torch
from cloak_common import portraits

from synth.extraction.canonical import alignment, warp
from synth.extraction.finder import FaceFinder
from synth.swap.features import available, load_features
from synth.swap.losses import feature_distance

SIZE = 128


def main() -> None:
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
    for name in available():
        features = load_features(name, SIZE)
        if features is None:
            continue
        whole = float(feature_distance(features, tensors["other"], tensors["face"]))
        cells = [float(feature_distance(features, tensors[one], tensors["face"])) / whole for one in changes]
        batch = tensors["face"].repeat(8, 1, 1, 1).requires_grad_(True)
        began = time.process_time()
        feature_distance(features, batch, tensors["other"].repeat(8, 1, 1, 1)).backward()
        cost = (time.process_time() - began) / 8 * 1000
        print(f"{name:<8}" + "".join(f"{cell:>13.3f}" for cell in cells) + f"{cost:>15.1f}")


def _tensor(picture: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(picture).permute(2, 0, 1)[None].float() / 255


if __name__ == "__main__":
    main()

"""A cell of the attacker who needs one picture: whose face comes out of the published one?"""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from numpy.typing import NDArray

from synth.extraction.canonical import alignment, warp
from synth.extraction.finder import FaceFinder
from synth.extraction.footage import open_footage
from synth.measure.conditions import Pixels
from synth.measure.identity import FaceIdentity
from synth.measure.judge import pixels_to_tensor
from synth.measure.oneshot.network import SIDE, OneShot
from synth.measure.pictures import in_rows
from synth.swap.conversion.footage import Tracked
from synth.swap.features import DlibFeatures

#: So many held-out frames of the target are swapped.
_FRAMES, _TILES, _TILE = 8, 6, 160


@dataclass
class OneShotJudge:
    """What swapped frames are measured with.

    Attributes:
        finder: finds the face in the published picture, with the attacker's detectors; and in the fake.
        network: embeds the published face, as it embedded the faces that were learned from.
        identity: judges whose face came out; it taught nothing.
        looks: of the person and of the target's person, by ``identity``.
        clip, tracked: the target's held-out footage and its landmarks.
    """

    finder: FaceFinder
    network: DlibFeatures
    identity: FaceIdentity
    looks: tuple[NDArray[np.float64], NDArray[np.float64]]
    clip: Path
    tracked: Tracked


def measured(source: Pixels, swapper: OneShot, judge: OneShotJudge) -> tuple[dict[str, Any], Pixels | None]:
    """Swap the face of one published picture into the target's frames.

    Args:
        source: uint8 ``(H, W, 3)``.

    Returns:
        a cell as :func:`synth.measure.swap.cells.trained_and_measured` returns it.
    """
    began = time.perf_counter()
    seen = [face for face in judge.finder.find(source) if face.is_face]
    if not seen:
        return {"untrained": "no face was found in the one picture", "seconds": 0.0}, None
    face = warp(source, alignment(seen[0].landmarks[:, :2].astype(np.float64), SIDE), SIDE)
    tracked, device = judge.tracked, str(next(swapper.parameters()).device)
    usable = np.flatnonzero(tracked.found)
    chosen = usable[np.unique(np.linspace(0, len(usable) - 1, min(len(usable), _FRAMES)).round().astype(int))]
    wanted, near, far, gaps, tiles = set(chosen.tolist()), [], [], [], []
    with torch.no_grad():
        who = judge.network.embed(pixels_to_tensor(face[None], device))
        for raw in open_footage(judge.clip)[0].frames(wanted.__contains__):
            filmed = tracked.landmarks[raw.index]
            made = _swapped_frame(raw.pixels, filmed, who, swapper)
            tiles.append(warp(made, alignment(filmed, _TILE), _TILE))
            again = [one for one in judge.finder.find(made) if one.is_face]
            if not again:
                continue
            vector = judge.identity.embed(made, again[0].landmarks)
            near.append(float(np.linalg.norm(vector - judge.looks[0])))
            far.append(float(np.linalg.norm(vector - judge.looks[1])))
            points = again[0].landmarks[:, :2]
            gaps.append(float(np.linalg.norm(points - filmed, axis=1).mean()) / again[0].span)
    measures: dict[str, float | None] = {"swapped found": len(near) / max(1, len(tiles))}
    if near:
        measures["swapped identity"] = float(np.mean(near))
        measures["swapped taken for the person"] = float(np.mean(np.array(near) < np.array(far)))
        measures["swapped landmarks"] = float(np.mean(gaps))
    rounded = {name: None if one is None else round(one, 6) for name, one in measures.items()}
    return {"measures": rounded, "seconds": round(time.perf_counter() - began, 1)}, in_rows(tiles[:_TILES])


def _swapped_frame(
    pixels: Pixels, landmarks: NDArray[np.floating], who: torch.Tensor, swapper: OneShot
) -> Pixels:
    """A frame uint8 ``(H, W, 3)`` with the face of an embedding ``(1, 128)`` in the place of its own."""
    matrix = alignment(np.asarray(landmarks[:, :2], np.float64), SIDE)
    aligned = warp(pixels, matrix, SIDE)
    colours, mask = swapper(pixels_to_tensor(aligned[None], str(who.device)), who)
    face = colours[0].permute(1, 2, 0).cpu().numpy()
    height, width = pixels.shape[:2]
    back = np.linalg.inv(np.vstack([matrix, (0, 0, 1)]))[:2]
    laid = cv2.warpAffine(face, back, (width, height), flags=cv2.INTER_LINEAR)
    share = cv2.warpAffine(cv2.GaussianBlur(mask[0, 0].cpu().numpy(), (0, 0), 1.5), back, (width, height))[
        ..., None
    ]
    mixed = pixels.astype(np.float32) * (1 - share) + laid * 255 * share
    return np.asarray(np.clip(mixed.round(), 0, 255), np.uint8)

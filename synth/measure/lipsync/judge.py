"""How a made mouth is compared with the filmed one: its movement, its pictures, and the face around it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction

import numpy as np
import torch
from numpy.typing import NDArray

from cloak.evaluate.quality import psnr, ssim
from provenance.errors import NoFaceError
from synth.extraction.canonical import alignment, warp
from synth.lipsync.shape import LIP_POINTS, mouth_shapes, opening
from synth.measure.cache import Cache
from synth.measure.clips import write_clip
from synth.measure.conditions import Pixels
from synth.measure.judge import JUDGED_SIDE, Judge, Scores, pixels_to_tensor
from synth.measure.lipsync.footage import AttackerFootage, Landmarks
from synth.measure.pictures import in_rows
from synth.measure.stats import correlation
from synth.swap.features import load_features
from synth.swap.flicker import FlickerMeter
from synth.swap.training.losses import feature_distance

#: So many of the held-out frames, one after the other, are made.
RENDERED = 50
#: Constant rate factor of what fake detectors look at.
FAKE_CRF = 17
#: Seconds by which a mouth may be late or early.
_MOST_LAG = 0.3
_TILES, _TILE, _BATCH = 6, 160, 16


@dataclass(kw_only=True)
class LipsyncJudge(Judge):
    """What made mouths are measured with; see :class:`synth.measure.judge.Judge`.

    Attributes:
        frames: the held-out frames that are made anew, as filmed. rows: their places among those after the published.
        landmarks: ``(F, 468, 3)`` of all frames after the published ones, NaN without a face.
        shapes: ``(F, 36)`` their mouths in terms of the clean footage, NaN without a face and in the gap.
    """

    frames: list[Pixels]
    rows: NDArray[np.int64]
    landmarks: Landmarks
    shapes: NDArray[np.float64]

    @classmethod
    def of_footage(cls, clean: AttackerFootage, following: Iterator[Pixels], common: Judge) -> LipsyncJudge:
        """From the clean footage, as the first attacker sees it; ``following`` are the frames after the published ones.

        Raises:
            NoFaceError: the held-out part shows too few faces.
        """
        seen = np.flatnonzero(np.isfinite(clean.following[:, 0, 0]))
        seen = seen[seen >= clean.gap]
        if len(seen) < 2:
            raise NoFaceError(
                "the held-out fifth shows no face", hint="name footage that shows the face to its end"
            )
        rows = seen[:RENDERED]
        wanted = set(rows.tolist())
        filmed = [pixels for index, pixels in enumerate(following) if index in wanted]
        shapes = mouth_shapes(clean.track())[len(clean.published) :]
        shapes[: clean.gap] = np.nan
        judge = cls(**vars(common), frames=filmed, rows=rows, landmarks=clean.following, shapes=shapes)
        embedded = judge.embedded(judge.aligned(filmed))
        judge.person = None if embedded is None else embedded.mean(0)
        return judge

    def aligned(self, pictures: list[Pixels], side: int = JUDGED_SIDE) -> Pixels:
        """``(N, side, side, 3)`` faces of the made frames, aligned by the filmed landmarks."""
        matrices = [alignment(self.landmarks[row][:, :2], side) for row in self.rows]
        return np.stack([warp(one, matrix, side) for one, matrix in zip(pictures, matrices, strict=True)])

    def sheet(self, made: list[Pixels]) -> Pixels:
        """Six faces in two rows."""
        chosen = np.linspace(0, len(made) - 1, min(_TILES, len(made))).round().astype(int)
        return in_rows(list(self.aligned(made, _TILE)[chosen]))

    def real_scores(self, rate: Fraction, cache: Cache) -> Scores:
        """What fake detectors say about the same frames as they were filmed, encoded as a fake is."""
        with cache.scratch() as scratch:
            write_clip(scratch / "filmed.mp4", iter(self.frames), rate, FAKE_CRF)
            return self.scores(scratch / "filmed.mp4")

    def picture_measures(self, made: list[Pixels], device: str = "cpu") -> Scores:
        """How like the filmed frames the made ones are, in the mouth's region and as faces."""
        likeness, noise, meter = [], [], FlickerMeter()
        for row, pixels, filmed in zip(self.rows, made, self.frames, strict=True):
            box = mouth_box(self.landmarks[row], pixels.shape)
            regions = np.ascontiguousarray(filmed[box]), np.ascontiguousarray(pixels[box])
            likeness.append(ssim(*regions))
            noise.append(min(100.0, psnr(*regions)))
            mask = np.zeros(pixels.shape[:2], np.float32)
            mask[box] = 1
            meter.add(filmed, pixels, mask)
        flicker = meter.result()
        found: Scores = {
            "mouth ssim": float(np.mean(likeness)),
            "mouth psnr": float(np.mean(noise)),
            "mouth flicker": flicker.added if flicker else None,
        }
        faces = self.aligned(made)
        distance = self._feature_distance(faces, device)
        if distance is not None:
            found["face feature"] = distance
        embedded = self.embedded(faces)
        if embedded is not None and self.person is not None:
            found["face identity"] = float(np.linalg.norm(embedded - self.person, axis=1).mean())
        return found

    @torch.no_grad()
    def _feature_distance(self, faces: Pixels, device: str) -> float | None:
        features = load_features(self.features_name, JUDGED_SIDE, device)
        if features is None:
            return None
        made, filmed = (pixels_to_tensor(one, device) for one in (faces, self.aligned(self.frames)))
        parts = [slice(first, first + _BATCH) for first in range(0, len(faces), _BATCH)]
        distances = [float(feature_distance(features, made[part], filmed[part])) for part in parts]
        return float(np.average(distances, weights=[len(made[part]) for part in parts]))


def mouth_measures(spoken: NDArray[np.floating], filmed: NDArray[np.floating], rate: float = 25.0) -> Scores:
    """How well a mouth follows speech.

    Args:
        spoken, filmed: ``(T, 36)`` shapes of the same moments; frames of ``filmed`` without a face are NaN.
        rate: frames a second.
    """
    seen = ~np.isnan(filmed).any(1)
    spoken, filmed = spoken[seen], filmed[seen]
    errors = np.linalg.norm((spoken - filmed).reshape(len(spoken), -1, 2), axis=-1)
    return {
        "lips error": float(errors.mean()),
        "lips opening": correlation(opening(spoken), opening(filmed)),
        "lips lag": 1000 * abs(best_lag(spoken, filmed, round(_MOST_LAG * rate))) / rate,
    }


def best_lag(spoken: NDArray[np.floating], filmed: NDArray[np.floating], most: int) -> int:
    """By how many frames a mouth comes late where all of its points agree best with the filmed ones."""
    most = max(0, min(most, len(spoken) // 3))

    def agreement(lag: int) -> float:
        a = spoken[max(0, lag) : len(spoken) + min(0, lag)]
        b = filmed[max(0, -lag) : len(filmed) - max(0, lag)]
        return correlation(a - a.mean(0), b - b.mean(0))

    return max(range(-most, most + 1), key=lambda lag: (round(agreement(lag), 3), -abs(lag)))


def mouth_box(landmarks: NDArray[np.floating], shape: tuple[int, ...]) -> tuple[slice, slice]:
    """The mouth's region: the lips' box, and about a third of their width around it."""
    points = landmarks[list(LIP_POINTS), :2]
    low, high = points.min(0), points.max(0)
    margin = 0.35 * (high[0] - low[0])
    (left, top), (right, bottom) = np.maximum(low - margin, 0), high + margin
    first, start = min(int(top), shape[0] - 2), min(int(left), shape[1] - 2)
    rows = slice(first, max(first + 2, min(shape[0], int(bottom))))
    return rows, slice(start, max(start + 2, min(shape[1], int(right))))

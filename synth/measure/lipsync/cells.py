"""One cell of ``measure lipsync``: the generator as ``veilmark synth lipsync`` runs it, given what an attacker got.

The attacker's footage is what was published, followed by the rest as it was filmed: the gap and the held-out fifth. The
person's mouth and the frames that the texture is made of come from the first part alone; then the rest is made to say
what it said, by its own sound, and the held-out frames are compared with what was filmed.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from cloak.evaluate.quality import psnr, ssim
from provenance.errors import NoFaceError, UsageError
from synth.extraction.canonical import alignment, warp
from synth.lipsync.mouth import audio
from synth.lipsync.mouth.adapt import PRIOR
from synth.lipsync.mouth.audio import Sound
from synth.lipsync.mouth.model import MouthOptions
from synth.lipsync.person import TRACK_FILE, Person, closed_mouth, mouth_of, require_usable, study
from synth.lipsync.pipeline import collect, led
from synth.lipsync.shape import LIP_POINTS, Track, mouth_shapes, opening, track_of
from synth.lipsync.texture.composite import CompositeOptions, Compositor
from synth.lipsync.texture.texture import TextureOptions, synthesize_textures
from synth.lipsync.workspace import Workspace
from synth.measure.cache import Cache
from synth.measure.conditions import Pixels
from synth.measure.material import film
from synth.measure.stats import correlation
from synth.measure.swap.cells import Stop, embedded
from synth.measure.swap.faces import JUDGED_SIDE
from synth.quarantine import quarantine
from synth.swap.features import DlibFeatures, load_features
from synth.swap.flicker import FlickerMeter
from synth.swap.training.losses import feature_distance

Landmarks = NDArray[np.float64]
#: So many of the held-out frames, one after the other, are made.
RENDERED = 50
#: Constant rate factor of the attacker's footage, near lossless, and of what fake detectors look at.
_FOOTAGE_CRF, _FAKE_CRF = 4, 17
#: Seconds by which a mouth may be late or early.
_MOST_LAG = 0.3
_TILES, _COLUMNS, _TILE = 6, 3, 160


@dataclass
class Footage:
    """What an attacker has: published frames, and what follows them as it was filmed.

    Attributes:
        clip: a video of both, without sound.
        published: ``(P, 468, 3)`` landmarks as this attacker finds them, NaN where no face is found.
        late: ``(L, 468, 3)`` landmarks of the frames that follow.
        size: height and width.
        rate: frames a second.
        sound: of the whole.
        gap: so many of ``late``, the first ones, lie between what is published and what is held out; nothing is
            measured on them.
    """

    clip: Path
    published: Landmarks
    late: Landmarks
    size: tuple[int, int]
    rate: Fraction
    sound: Sound
    gap: int = 0

    @property
    def until(self) -> float:
        """Share that is learned from."""
        return len(self.published) / (len(self.published) + len(self.late))

    def track(self, part: int | None = None, parts: int = 1) -> Track:
        """Of the whole, told by the mean face of what was published; without faces in one of so many equal, contiguous
        parts of it.
        """
        points = self.published.copy()
        if part is not None:
            points[left_out(len(points), part, parts)] = np.nan
        whole = np.concatenate([points, self.late])
        return track_of(whole, np.arange(len(whole)) / float(self.rate), self.size, self.until)

    def refusal(self) -> str:
        """Why the generator refuses what was published; empty where it does not."""
        try:
            times = np.arange(len(self.published)) / float(self.rate)
            require_usable(track_of(self.published, times, self.size), "the footage")
        except (NoFaceError, UsageError) as error:
            return str(error)[:200]
        return ""


def left_out(count: int, part: int, parts: int) -> slice:
    """Which of ``count`` frames the part (from 1) of so many is."""
    return slice(round((part - 1) * count / parts), round(part * count / parts))


@dataclass
class LipJudge:
    """What fakes are measured with; the same for every cell.

    Attributes:
        frames: the held-out frames that are made anew, as filmed. rows: their places among those after the published.
        landmarks: ``(L, 468, 3)`` of all frames after the published ones, NaN without a face.
        shapes: ``(L, 36)`` their mouths in terms of the clean footage, NaN without a face and in the gap.
        features_name: a network's features of aligned faces. embedder: tells people apart, or None.
        person: the mean embedding of the filmed faces.
        detectors: asks fake detectors about a clip; names: of them.
    """

    frames: list[Pixels]
    rows: NDArray[np.int64]
    landmarks: Landmarks
    shapes: NDArray[np.float64]
    features_name: str
    detectors: Callable[[Path], dict[str, float | None]]
    names: dict[str, str] = field(default_factory=dict)
    embedder: DlibFeatures | None = None
    person: NDArray[np.float64] | None = None


def judge_of(
    clean: Footage,
    frames: Iterator[Pixels],
    features_name: str,
    detectors: Callable[[Path], dict[str, float | None]],
    names: dict[str, str],
    embedder: DlibFeatures | None,
) -> LipJudge:
    """From the clean footage, as the first attacker sees it; ``frames`` are those after the published ones.

    Raises:
        NoFaceError: the held-out part shows too few faces.
    """
    seen = np.flatnonzero(np.isfinite(clean.late[:, 0, 0]))
    seen = seen[seen >= clean.gap]
    if len(seen) < 2:
        raise NoFaceError(
            "the held-out fifth shows no face", hint="name footage that shows the face to its end"
        )
    rows = seen[:RENDERED]
    wanted = set(rows.tolist())
    shown = [pixels for index, pixels in enumerate(frames) if index in wanted]
    shapes = mouth_shapes(clean.track())[len(clean.published) :]
    shapes[: clean.gap] = np.nan
    judge = LipJudge(shown, rows, clean.late, shapes, features_name, detectors, names, embedder)
    if embedder is not None:
        judge.person = embedded(embedder, _aligned(shown, judge)).mean(0)
    return judge


def measured(
    footage: Footage,
    part: int,
    parts: int,
    judge: LipJudge,
    cache: Cache,
    *,
    device: str = "cpu",
    weights: Path | None = None,
    stop: Stop = lambda: False,
) -> tuple[dict[str, Any], Pixels | None]:
    """Fit the generator to a part of the footage, make the held-out frames with it, and measure them.

    The clip that is made exists only meanwhile, in a private folder.

    Returns:
        ``measures`` (see :data:`synth.measure.measures.MEASURES`), or ``untrained`` with the reason; and some faces in
        a row.

    Raises:
        KeyboardInterrupt: ``stop`` said so.
    """
    began = time.perf_counter()
    with cache.scratch() as scratch:
        refused = footage.refusal()
        try:
            if refused:
                raise NoFaceError(refused)
            person = _person(footage, footage.track(part, parts), Workspace(scratch), device, weights)
            said = _said(person, footage, Workspace(scratch), device)
            candidates = collect(person, footage.until)
        except (NoFaceError, UsageError) as error:
            return {"untrained": str(error)[:200], "seconds": 0.0}, None
        measures = judged(said, judge.shapes, float(footage.rate))
        made = []
        compositor = Compositor(person.track, CompositeOptions(), until=footage.until)
        textures = synthesize_textures(said[judge.rows], candidates, TextureOptions(device=device))
        for row, base, (texture, alpha) in zip(judge.rows, judge.frames, textures, strict=True):
            landmarks = person.track.landmarks[len(footage.published) + row]
            made.append(compositor.compose(base, landmarks, texture, alpha, said[row]))
            if stop():
                raise KeyboardInterrupt
        measures |= pictured(made, judge, device)
        with quarantine() as private:
            clip = private.place("said.mp4")
            film(clip.path, iter(made), footage.rate, _FAKE_CRF)
            measures |= {f"fake: {name}": score for name, score in judge.detectors(clip.path).items()}
    plain = {name: None if one is None else round(one, 6) for name, one in measures.items()}
    return {"measures": plain, "seconds": round(time.perf_counter() - began, 1)}, _tiles(made, judge)


def real_scores(judge: LipJudge, rate: Fraction, cache: Cache) -> dict[str, float | None]:
    """What fake detectors say about the same frames as they were filmed, encoded as a fake is."""
    with cache.scratch() as scratch:
        film(scratch / "filmed.mp4", iter(judge.frames), rate, _FAKE_CRF)
        return judge.detectors(scratch / "filmed.mp4")


def judged(
    said: NDArray[np.floating], filmed: NDArray[np.floating], rate: float = 25.0
) -> dict[str, float | None]:
    """How well a mouth follows speech.

    Args:
        said, filmed: ``(T, 36)`` shapes of the same moments; frames of ``filmed`` without a face are NaN.
        rate: frames a second.
    """
    seen = ~np.isnan(filmed).any(1)
    gap = (said[seen] - filmed[seen]).reshape(int(seen.sum()), -1, 2)
    return {
        "lips error": float(np.linalg.norm(gap, axis=-1).mean()),
        "lips opening": correlation(opening(said[seen]), opening(filmed[seen])),
        "lips lag": 1000 * abs(best_lag(said[seen], filmed[seen], round(_MOST_LAG * rate))) / rate,
    }


def best_lag(said: NDArray[np.floating], filmed: NDArray[np.floating], most: int) -> int:
    """By how many frames a mouth comes late where all of its points agree best with the filmed ones."""
    most = max(0, min(most, len(said) // 3))

    def agreeing(lag: int) -> float:
        a = said[max(0, lag) : len(said) + min(0, lag)]
        b = filmed[max(0, -lag) : len(filmed) - max(0, lag)]
        return correlation(a - a.mean(0), b - b.mean(0))

    return max(range(-most, most + 1), key=lambda lag: (round(agreeing(lag), 3), -abs(lag)))


def pictured(made: list[Pixels], judge: LipJudge, device: str = "cpu") -> dict[str, float | None]:
    """How like the filmed frames the made ones are, in the mouth's region and as faces."""
    likeness, noise, meter = [], [], FlickerMeter()
    for row, pixels, filmed in zip(judge.rows, made, judge.frames, strict=True):
        box = mouth_box(judge.landmarks[row], pixels.shape)
        likeness.append(ssim(np.ascontiguousarray(filmed[box]), np.ascontiguousarray(pixels[box])))
        noise.append(min(100.0, psnr(np.ascontiguousarray(filmed[box]), np.ascontiguousarray(pixels[box]))))
        mask = np.zeros(pixels.shape[:2], np.float32)
        mask[box] = 1
        meter.add(filmed, pixels, mask)
    flicker = meter.result()
    found: dict[str, float | None] = {
        "mouth ssim": float(np.mean(likeness)),
        "mouth psnr": float(np.mean(noise)),
        "mouth flicker": flicker.added if flicker else None,
    }
    faces = _aligned(made, judge)
    features = load_features(judge.features_name, JUDGED_SIDE, device)
    if features is not None:
        pairs = (_tensors(faces, device), _tensors(_aligned(judge.frames, judge), device))
        with torch.no_grad():
            far = [
                float(feature_distance(features, pairs[0][first : first + 16], pairs[1][first : first + 16]))
                for first in range(0, len(faces), 16)
            ]
        found["face feature"] = float(
            np.average(far, weights=[len(faces[first : first + 16]) for first in range(0, len(faces), 16)])
        )
    if judge.embedder is not None and judge.person is not None:
        near = np.linalg.norm(embedded(judge.embedder, faces) - judge.person, axis=1)
        found["face identity"] = float(near.mean())
    return found


def mouth_box(landmarks: NDArray[np.floating], shape: tuple[int, ...]) -> tuple[slice, slice]:
    """The mouth's region: the lips' box, and about a third of their width around it."""
    points = landmarks[list(LIP_POINTS), :2]
    low, high = points.min(0), points.max(0)
    margin = 0.35 * (high[0] - low[0])
    (left, top), (right, bottom) = np.maximum(low - margin, 0), high + margin
    first, start = min(int(top), shape[0] - 2), min(int(left), shape[1] - 2)
    rows = slice(first, max(first + 2, min(shape[0], int(bottom))))
    return rows, slice(start, max(start + 2, min(shape[1], int(right))))


def _person(
    footage: Footage, track: Track, workspace: Workspace, device: str, weights: Path | None
) -> Person:
    """As the generator studies a target, but for its track, which is known, and the sound, which lies apart."""
    from provenance.media.picture import sha256_file

    track.save(workspace.person(sha256_file(footage.clip)) / TRACK_FILE)
    person = study(footage.clip, workspace, device=device, weights_dir=weights)
    return replace(person, sound=footage.sound)


def _said(person: Person, footage: Footage, workspace: Workspace, device: str) -> NDArray[np.float64]:
    """``(L, 36)``: the mouth at the frames after the published ones, led by their own sound."""
    model, _ = mouth_of(
        person, workspace, MouthOptions(), prior=PRIOR, until=footage.until, device=device
    )  # fmt: skip
    heard, quiet = audio.heard(footage.sound), audio.silent(footage.sound)
    late = slice(len(footage.published), None)
    shown = person.expression(footage.until)
    return led(
        model, heard, quiet, closed_mouth(person, footage.until), person.track.times[late],
        None if shown is None else shown[late],
    )  # fmt: skip


def write_footage(path: Path, published: Iterator[Pixels], late: Iterator[Pixels], rate: Fraction) -> None:
    """Both as one clip, near lossless."""

    def both() -> Iterator[Pixels]:
        yield from published
        yield from late

    partial = path.with_name(f"{path.stem}.partial{path.suffix}")
    film(partial, both(), rate, _FOOTAGE_CRF)
    partial.replace(path)


def _aligned(pictures: list[Pixels], judge: LipJudge) -> Pixels:
    """``(N, 256, 256, 3)`` faces, all aligned by the filmed landmarks."""
    return np.stack(
        [
            warp(one, alignment(judge.landmarks[row][:, :2], JUDGED_SIDE), JUDGED_SIDE)
            for row, one in zip(judge.rows, pictures, strict=True)
        ]
    )


def _tensors(faces: Pixels, device: str) -> torch.Tensor:
    return torch.from_numpy(faces).to(device).permute(0, 3, 1, 2).float() / 255


def _tiles(made: list[Pixels], judge: LipJudge) -> Pixels:
    """Six faces in two rows."""
    chosen = np.linspace(0, len(made) - 1, min(_TILES, len(made))).round().astype(int)
    tiles = [
        warp(made[one], alignment(judge.landmarks[judge.rows[one]][:, :2], _TILE), _TILE) for one in chosen
    ]
    tiles += [np.zeros_like(tiles[0])] * (-len(tiles) % _COLUMNS)
    rows = [np.hstack(tiles[first : first + _COLUMNS]) for first in range(0, len(tiles), _COLUMNS)]
    return np.vstack(rows)

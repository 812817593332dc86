"""One cell of ``measure swap``: the generator trained on the faces that an attacker got, and how good its fakes are."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from cloak.models import locate, model
from provenance.errors import NoFaceError
from provenance.home import Home
from provenance.media.picture import sha256_file
from synth.code_version import code_of
from synth.consent.permission import carried_permission
from synth.extraction.canonical import alignment, warp
from synth.extraction.faceset import FEWEST_FACES, FaceSet
from synth.extraction.finder import FaceFinder
from synth.extraction.footage import open_footage
from synth.measure.cache import Cache, key_of
from synth.measure.conditions import Pixels
from synth.measure.swap.faces import JUDGED_SIDE, Faces, digest_of
from synth.measure.swap.options import SwapOptions
from synth.quarantine import quarantine
from synth.swap.conversion.convert import ConvertOptions, Swapper
from synth.swap.conversion.footage import Tracked, _render_video
from synth.swap.features import DlibFeatures, load_features
from synth.swap.training.checkpoint import CHECKPOINT_FILE, Origin, load_model
from synth.swap.training.data import Bank
from synth.swap.training.train import train
from synth.swap.training.validation import held_out_measures

Progress = Callable[[float], None]
Stop = Callable[[], bool]
Label = Callable[[Pixels, Path, int], None]
_TILES, _COLUMNS, _TILE = 6, 3, 160
_MOST_LOOKED_AT = 24


@dataclass
class Judge:
    """What fakes are measured with; the same for every cell.

    Attributes:
        finder: finds faces again.
        features: a network's features of aligned faces, for the distance of rebuilt ones; its name.
        embedder: tells people apart; None where its weights are missing.
        held_out: the person's own clean faces that nobody learned from.
        person, target: mean embeddings of both people, or None.
        clip: of the target, held out; tracked: its landmarks.
        detectors: asks fake detectors about a clip.
    """

    finder: FaceFinder
    features_name: str
    held_out: Bank
    clip: Path
    tracked: Tracked
    detectors: Callable[[Path], dict[str, float | None]]
    embedder: DlibFeatures | None = None
    person: NDArray[np.float64] | None = None
    target: NDArray[np.float64] | None = None
    names: dict[str, str] = field(default_factory=dict)


def trained_and_measured(
    person: Faces,
    target: Faces,
    seed: int,
    judge: Judge,
    consent: dict[str, dict[str, Any]],
    options: SwapOptions,
    cache: Cache,
    *,
    stop: Stop = lambda: False,
    progress: Progress | None = None,
    label: Label | None = None,
) -> dict[str, Any]:
    """Train one generator and measure its fakes; the model is deleted, the figures stay.

    Args:
        person, target: faces of both people; the cell's name in the cache comes from their hashes, so that two cells
            with the same faces are trained once.
        label: writes generated pictures signed and marked; without it none is kept.

    Returns:
        ``measures`` (see :data:`synth.measure.swap.report.MEASURES`), ``seconds``; or ``untrained``, a reason.

    Raises:
        KeyboardInterrupt: ``stop`` said so; the training goes on there next time.
    """
    key = cell_key(person, target, seed, judge, options)
    done = cache.get(key)
    if done is not None:
        return done
    learnable = person.kept - max(1, round(person.kept * options.generator().recipe.held_out))
    if learnable < FEWEST_FACES:
        return cache.put(key, {"untrained": f"{person.kept} faces are too few to train on", "seconds": 0.0})
    began = time.perf_counter()
    # what is learned does not depend on how it is measured, so an interrupted training outlives a change of that
    folder = cache.folder / "models" / model_key(person, target, seed, options)
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    sets = {
        side: FaceSet.load(cache.folder / "faces" / one.folder)
        for side, one in (("a", person), ("b", target))
    }
    for side in "ab":
        carried_permission(consent[side], Home.locate())
    sources = {side: [source["sha256"] for source in one.alignments.sources] for side, one in sets.items()}
    chosen = options.generator()
    origin = Origin(chosen, ("a", "b"), consent, sources, seed, {})
    size = chosen.architecture.size
    outcome = train(
        {side: Bank.of(one, size, options.device) for side, one in sets.items()},
        origin,
        folder,
        device=options.device,
        resume=(folder / CHECKPOINT_FILE).is_file(),
        stop=stop,
        progress=(lambda share: progress(0.85 * share)) if progress else None,
    )
    if not outcome.finished:
        raise KeyboardInterrupt
    measures, tiles = measured(folder, judge, options, cache)
    if label is not None and tiles is not None:
        label(tiles, cache.file(key, ".jpg"), seed)
    if progress:
        progress(1.0)
    shutil.rmtree(folder, ignore_errors=True)
    result = {"measures": measures, "steps": outcome.steps, "seconds": round(time.perf_counter() - began, 1)}
    return cache.put(key, result)


def model_key(person: Faces, target: Faces, seed: int, options: SwapOptions) -> str:
    """The cache's name of a generator."""
    chosen = {
        "faces": [person.digest, target.digest],
        "generator": options.generator().to_json(),
        "seed": seed,
        "code": code_of("synth.swap"),
    }
    return key_of("generator", chosen)


def cell_key(person: Faces, target: Faces, seed: int, judge: Judge, options: SwapOptions) -> str:
    """The cache's name of a trained and measured cell."""
    chosen = {
        "generator": model_key(person, target, seed, options),
        "clip": sha256_file(judge.clip),
        "held out": digest_of(judge.held_out.pixels.cpu().numpy()),
        "features": judge.features_name,
        "asked": judge.names,
    }
    return key_of("swap", chosen)


def measured(
    folder: Path, judge: Judge, options: SwapOptions, cache: Cache
) -> tuple[dict[str, float | None], Pixels | None]:
    """All measures of one model, and some swapped faces in a row. The swapped clip exists only meanwhile."""
    generator, _ = load_model(folder, options.device)
    size = generator.shape.size
    features = load_features(judge.features_name, size, options.device)
    rebuilt = held_out_measures(generator, {"a": judge.held_out}, features)
    found: dict[str, float | None] = {
        f"rebuilt {name}": rebuilt.get(name) for name in ("ssim", "psnr", "feature", "sharpness")
    }
    with quarantine() as private:
        made = private.place("swapped.mp4")
        swapper = Swapper(generator, ConvertOptions(to="a"), options.device)
        report = _render_video(judge.clip, made, swapper, judge.finder, mark=False, tracked=judge.tracked)
        found["flicker"] = report.flicker.added if report.flicker else None
        tiles = _look_at(made.path, judge, found)
        found |= {f"fake: {name}": score for name, score in judge.detectors(made.path).items()}
    return found, tiles


def _look_at(made: Path, judge: Judge, found: dict[str, float | None]) -> Pixels | None:
    """Find faces again in the swapped clip: how many, whose they are, and whether they move as filmed."""
    total = len(judge.tracked.times)
    shown = max(1, min(total, _MOST_LOOKED_AT) // _TILES)
    wanted = set(np.linspace(0, total - 1, min(total, _MOST_LOOKED_AT)).round().astype(int).tolist())
    seen, gaps = 0, []
    aligned: list[Pixels] = []
    tiles: list[Pixels] = []
    for raw in open_footage(made)[0].frames(wanted.__contains__):
        filmed = judge.tracked.landmarks[raw.index]
        if np.isnan(filmed[0, 0]):
            continue
        seen += 1
        again = judge.finder.find(raw.pixels)
        if len(tiles) < _TILES and (seen - 1) % shown == 0:
            tiles.append(warp(raw.pixels, alignment(filmed, _TILE), _TILE))
        if not again:
            continue
        points = again[0].landmarks[:, :2].astype(np.float64)
        gaps.append(float(np.linalg.norm(points - filmed, axis=1).mean()) / again[0].span)
        aligned.append(warp(raw.pixels, alignment(points, JUDGED_SIDE), JUDGED_SIDE))
    found["swapped found"] = len(gaps) / seen if seen else None
    found["swapped landmarks"] = float(np.mean(gaps)) if gaps else None
    if judge.embedder is not None and judge.person is not None and judge.target is not None and aligned:
        vectors = embedded(judge.embedder, np.stack(aligned))
        near = np.linalg.norm(vectors - judge.person, axis=1)
        far = np.linalg.norm(vectors - judge.target, axis=1)
        found["swapped identity"] = float(near.mean())
        found["swapped taken for the person"] = float((near < far).mean())
    if not tiles:
        return None
    tiles += [np.zeros_like(tiles[0])] * (-len(tiles) % _COLUMNS)
    rows = [np.hstack(tiles[first : first + _COLUMNS]) for first in range(0, len(tiles), _COLUMNS)]
    return np.vstack(rows)


@torch.no_grad()
def embedded(judge: DlibFeatures, pictures: NDArray[np.uint8]) -> NDArray[np.float64]:
    """``(N, 128)`` embeddings of ``(N, 256, 256, 3)`` aligned pictures."""
    parts = [
        judge.embed(torch.from_numpy(pictures[start : start + 16]).permute(0, 3, 1, 2).float() / 255)
        for start in range(0, len(pictures), 16)
    ]
    return np.asarray(torch.cat(parts).numpy(), np.float64)


def tells_people_apart(weights: Path | None) -> bool:
    """Whether the network that tells people apart is installed."""
    return locate(model("dlib-face-recognition"), weights) is not None


def landmarks_of(clip: Path, finder: FaceFinder) -> Tracked:
    """Landmarks of the target's held-out clip; see :func:`synth.swap.conversion.footage.track`."""
    from cloak.video.io import probe
    from synth.swap.conversion.footage import track

    found = track(probe(clip), finder)
    if not found.found.any():
        raise NoFaceError("the target's held-out footage shows no face", hint="name other footage")
    return found

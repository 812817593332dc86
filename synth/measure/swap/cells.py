"""One cell of ``measure swap``: the generator trained on the faces that an attacker got, and how good its fakes are."""

from __future__ import annotations

import json
import shutil
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from provenance.errors import NoFaceError
from provenance.home import Home
from provenance.media.files import sha256_file
from synth.code_version import code_of, code_of_module
from synth.consent.permission import carried_permission
from synth.extraction.canonical import alignment, warp
from synth.extraction.faceset import FEWEST_FACES, FaceSet
from synth.extraction.finder import FaceFinder
from synth.extraction.footage import open_footage
from synth.measure.cache import Cache, key_of
from synth.measure.conditions import Pixels
from synth.measure.experiment import AttackerFaces, Progress, Stop
from synth.measure.judge import JUDGED_SIDE, Judge
from synth.measure.likeness import rebuilt_likeness
from synth.measure.pictures import in_rows
from synth.measure.swap.faces import digest_of
from synth.measure.swap.options import SwapExperimentOptions
from synth.quarantine import quarantine
from synth.swap.conversion.convert import ConvertOptions, Swapper
from synth.swap.conversion.footage import Tracked, _render_video
from synth.swap.features import FeatureNet, load_features
from synth.swap.training.checkpoint import CHECKPOINT_FILE, Origin, load_model
from synth.swap.training.data import Bank
from synth.swap.training.train import train
from synth.swap.training.validation import held_out_measures

_TILES, _TILE = 6, 160
_FRAMES_FOUND_AGAIN = 24


@dataclass(kw_only=True)
class SwapJudge(Judge):
    """What swapped faces are measured with; see :class:`synth.measure.judge.Judge`.

    Attributes:
        finder: finds faces again.
        held_out: the person's own clean faces that nobody learned from.
        clip: of the target, held out. tracked: its landmarks.
        target: ``(128,)`` mean embedding of the target's person, or None.
        looks: mean embeddings of the person and of the target's person by the network that only judges, or None.
    """

    finder: FaceFinder
    held_out: Bank
    clip: Path
    tracked: Tracked
    target: NDArray[np.float64] | None = None
    looks: tuple[NDArray[np.float64], NDArray[np.float64]] | None = None


def trained_and_measured(
    person: AttackerFaces,
    target: AttackerFaces,
    seed: int,
    judge: SwapJudge,
    consent: dict[str, dict[str, Any]],
    options: SwapExperimentOptions,
    cache: Cache,
    *,
    stop: Stop = lambda: False,
    progress: Progress | None = None,
) -> tuple[dict[str, Any], Pixels | None]:
    """Train one generator and measure its fakes; the model is deleted, the figures stay.

    Args:
        person, target: faces of both people.
        seed: of the training.

    Returns:
        ``measures`` (see :data:`synth.measure.measures.MEASURES`) and ``steps``, or ``untrained`` with the reason;
        ``seconds``; and some swapped faces in rows.

    Raises:
        KeyboardInterrupt: ``stop`` said so; the training goes on there next time.
    """
    learnable = person.kept - max(1, round(person.kept * options.generator().recipe.held_out))
    if learnable < FEWEST_FACES:
        return {"untrained": f"{person.kept} faces are too few to train on", "seconds": 0.0}, None
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
    effort = _Effort(folder, judge, options)
    outcome = train(
        {side: Bank.of(one, size, options.device) for side, one in sets.items()},
        origin,
        folder,
        device=options.device,
        resume=(folder / CHECKPOINT_FILE).is_file(),
        stop=stop,
        progress=(lambda share: progress(0.85 * share)) if progress else None,
        preview=effort.note,
    )
    if not outcome.finished:
        raise KeyboardInterrupt
    measures, tiles = measure_generator(folder, judge, options)
    learned = effort.noted
    shutil.rmtree(folder, ignore_errors=True)
    seconds = round(time.perf_counter() - began, 1)
    return {"measures": measures, "steps": outcome.steps, "effort": learned, "seconds": seconds}, tiles


class _Effort:
    """How well the person's clean held-out faces are rebuilt after so many steps: what cloaked data costs in training.

    Kept beside the checkpoint, so that an interrupted training goes on with it.
    """

    def __init__(self, folder: Path, judge: SwapJudge, options: SwapExperimentOptions) -> None:
        self._folder, self._judge, self._device = folder, judge, options.device
        self._file = folder / "effort.json"
        try:
            rows = json.loads(self._file.read_bytes())
            self.noted: list[tuple[int, float]] = [(int(step), float(value)) for step, value in rows]
        except (OSError, ValueError, TypeError):
            self.noted = []
        self._features: FeatureNet | None = None

    def note(self, step: int, _sheet: object) -> None:
        """At a check of the training: measure the model that would be kept now."""
        if self.noted and step <= self.noted[-1][0]:
            return
        generator, _ = load_model(self._folder, self._device)
        self._features = self._features or load_features(
            self._judge.features_name, generator.shape.size, self._device
        )
        rebuilt = held_out_measures(generator, {"a": self._judge.held_out}, self._features)
        self.noted.append((step, round(rebuilt["measure"], 5)))
        self._file.write_text(json.dumps(self.noted))


def model_key(person: AttackerFaces, target: AttackerFaces, seed: int, options: SwapExperimentOptions) -> str:
    """The cache's name of a generator."""
    chosen = {
        "faces": [person.digest, target.digest],
        "generator": options.generator().to_json(),
        "seed": seed,
        "code": code_of("synth.swap"),
    }
    return key_of("generator", chosen)


def cell_key(
    person: AttackerFaces, target: AttackerFaces, seed: int, judge: SwapJudge, options: SwapExperimentOptions
) -> str:
    """The cache's name of a trained and measured cell."""
    chosen = {
        "generator": model_key(person, target, seed, options),
        "clip": sha256_file(judge.clip),
        "held out": digest_of(judge.held_out.pixels.cpu().numpy()),
        "features": judge.features_name,
        "asked": judge.fake_detectors,
        "identity": judge.identity.name if judge.identity else None,
        "code": [code_of_module(f"synth.measure.{name}") for name in ("swap.cells", "likeness", "identity")],
    }
    return key_of("swap", chosen)


def measure_generator(
    folder: Path, judge: SwapJudge, options: SwapExperimentOptions
) -> tuple[dict[str, float | None], Pixels | None]:
    """All measures of one model, and some swapped faces in a row. The swapped clip exists only meanwhile."""
    generator, _ = load_model(folder, options.device)
    size = generator.shape.size
    features = load_features(judge.features_name, size, options.device)
    rebuilt = held_out_measures(generator, {"a": judge.held_out}, features)
    found: dict[str, float | None] = {
        f"rebuilt {name}": rebuilt.get(name) for name in ("psnr", "feature", "sharpness")
    }
    found |= rebuilt_likeness(generator, "a", judge.held_out)
    with quarantine() as private:
        made = private.place("swapped.mp4")
        swapper = Swapper(generator, ConvertOptions(to="a"), options.device)
        report = _render_video(judge.clip, made, swapper, judge.finder, mark=False, tracked=judge.tracked)
        found["flicker"] = report.flicker.added if report.flicker else None
        tiles = _find_again(made.path, judge, found)
        found |= judge.fake_measures(made.path)
    return found, tiles


def _find_again(made: Path, judge: SwapJudge, found: dict[str, float | None]) -> Pixels | None:
    """Find faces again in the swapped clip: how many, whose they are, and whether they move as filmed."""
    total = len(judge.tracked.times)
    shown = max(1, min(total, _FRAMES_FOUND_AGAIN) // _TILES)
    wanted = set(np.linspace(0, total - 1, min(total, _FRAMES_FOUND_AGAIN)).round().astype(int).tolist())
    seen, gaps = 0, []
    aligned: list[Pixels] = []
    tiles: list[Pixels] = []
    looks: list[NDArray[np.float64]] = []
    for raw in open_footage(made)[0].frames(wanted.__contains__):
        filmed = judge.tracked.landmarks[raw.index]
        if np.isnan(filmed[0, 0]):
            continue
        seen += 1
        again = [face for face in judge.finder.find(raw.pixels) if face.is_face]
        if len(tiles) < _TILES and (seen - 1) % shown == 0:
            tiles.append(warp(raw.pixels, alignment(filmed, _TILE), _TILE))
        if not again:
            continue
        points = again[0].landmarks[:, :2].astype(np.float64)
        gaps.append(float(np.linalg.norm(points - filmed, axis=1).mean()) / again[0].span)
        aligned.append(warp(raw.pixels, alignment(points, JUDGED_SIDE), JUDGED_SIDE))
        if judge.identity is not None:
            looks.append(judge.identity.embed(raw.pixels, again[0].landmarks))
    found["swapped found"] = len(gaps) / seen if seen else None
    found["swapped landmarks"] = float(np.mean(gaps)) if gaps else None
    vectors = judge.embedded(np.stack(aligned)) if aligned else None
    if vectors is not None and judge.person is not None:
        found["swapped dlib"] = float(np.linalg.norm(vectors - judge.person, axis=1).mean())
    if looks and judge.looks is not None:
        near, far = (np.linalg.norm(np.stack(looks) - one, axis=1) for one in judge.looks)
        found["swapped identity"] = float(near.mean())
        found["swapped taken for the person"] = float((near < far).mean())
    return in_rows(tiles) if tiles else None


def landmarks_of(clip: Path, finder: FaceFinder) -> Tracked:
    """Landmarks of the target's held-out clip; see :func:`synth.swap.conversion.footage.track_landmarks`."""
    from cloak.video.io import probe
    from synth.swap.conversion.footage import track_landmarks

    found = track_landmarks(probe(clip), finder)
    if not found.found.any():
        raise NoFaceError("the target's held-out footage shows no face", hint="name other footage")
    return found

"""How good a swapped face is after how many steps: rebuilt faces, identity, expression, flicker.

::

    VEILMARK_TEST_DATA=... python benchmarks/synth/swap_quality.py --preset tiny --steps 2000 --seeds 1,2,3
    python benchmarks/synth/swap_quality.py --faces FACES_A FACES_B --clips A.mp4 B.mp4 --model MODEL

By default it extracts faces from the two contracted models' clips, trains one generator for each seed without the last
fifth of each clip, and measures on that fifth. ``--model`` measures a model that is there (its held-out share must be
a fifth too). Tables: what held-out faces are rebuilt like at each check; each direction of swapping; flicker before and
after each remedy. ``--sheet`` writes a contact sheet, which leaves signed and marked (needs ``veilmark init``).
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks.synth.swap_measures import (
    identity_share,
    inner_mouth,
    landmark_correlation,
    mean_and_spread,
    mouth_openings,
)
from provenance.home import Home
from synth.consent.permission import permission_for
from synth.extraction.canonical import alignment, warp
from synth.extraction.faceset import FaceSet
from synth.extraction.finder import FaceFinder
from synth.extraction.footage import open_footage
from synth.extraction.options import ExtractOptions
from synth.extraction.rules import Thresholds
from synth.extraction.run import extract_faces
from synth.measure.stats import correlation
from synth.swap.config import preset
from synth.swap.conversion import smooth
from synth.swap.conversion.convert import ConvertOptions, Swapper
from synth.swap.features import DlibFeatures
from synth.swap.flicker import FlickerMeter
from synth.swap.training.checkpoint import Origin, load_model
from synth.swap.training.data import Bank
from synth.swap.training.train import train
from synth.swap.training.validation import held_out_measures

HELD_OUT = 0.2
REMEDIES = {
    "none": {"steady": "none", "colour_memory": 0.0},
    "landmarks": {"steady": "savgol", "colour_memory": 0.0},
    "colours": {"steady": "none", "colour_memory": 0.85},
    "both": {"steady": "savgol", "colour_memory": 0.85},
}


@dataclass
class Segment:
    """The held-out part of a clip."""

    frames: list[np.ndarray]
    landmarks: np.ndarray
    times: np.ndarray


def segment(clip: Path, finder: FaceFinder, most: int) -> Segment:
    """The last fifth of a clip, at most ``most`` frames, with the landmarks found in it."""
    source = open_footage(clip)[0]
    first = round(source.expected * (1 - HELD_OUT))
    frames, points, times = [], [], []
    for raw in source.frames(lambda index: first <= index < first + most):
        found = finder.find(raw.pixels)
        if found:
            frames.append(raw.pixels)
            points.append(found[0].landmarks[:, :2].astype(np.float64))
            times.append(raw.time)
    return Segment(frames, np.stack(points), np.array(times))


def swapped(generator: Any, part: Segment, to: str, device: str, **changes: Any) -> tuple[list[Any], float]:
    """Every frame swapped, and the CPU seconds of one frame."""
    options = replace(ConvertOptions(to=to), **changes)
    steady = smooth.stabilised(options.steady, part.landmarks, part.times, options.steadiness)
    swapper, began = Swapper(generator, options, device), time.process_time()
    results = swapper.swap(part.frames, list(steady))
    return results, (time.process_time() - began) / len(results)


def flicker_of(part: Segment, results: list[Any]) -> tuple[float, float]:
    meter = FlickerMeter()
    for frame, one in zip(part.frames, results, strict=True):
        meter.add(frame, one.pixels, one.mask)
    found = meter.result()
    return (found.made, found.filmed) if found else (float("nan"), float("nan"))


@torch.no_grad()
def embedded(judge: DlibFeatures, pictures: np.ndarray) -> np.ndarray:
    parts = [
        judge.embed(torch.from_numpy(pictures[start : start + 16]).permute(0, 3, 1, 2).float() / 255)
        for start in range(0, len(pictures), 16)
    ]
    return torch.cat(parts).numpy()


def direction(
    generator: Any,
    part: Segment,
    to: str,
    people: dict[str, np.ndarray],
    finder: FaceFinder,
    judge: Any,
    device: str,
) -> dict[str, float]:
    """One direction of swapping, measured on what is found again in the swapped frames."""
    results, seconds = swapped(generator, part, to, device)
    again, filmed, pictures = [], [], []
    for index, one in enumerate(results):
        found = finder.find(one.pixels)
        if found:
            again.append(found[0].landmarks[:, :2].astype(np.float64))
            filmed.append(part.landmarks[index])
            pictures.append(warp(one.pixels, alignment(again[-1], 256), 256))
    new, old = np.stack(again), np.stack(filmed)
    vectors, other = embedded(judge, np.stack(pictures)), "a" if to == "b" else "b"
    goal, rival = people[to].mean(0), people[other].mean(0)
    made, own = flicker_of(part, results)
    return {
        "found": len(again) / len(results),
        "identity": identity_share(vectors, people[to], people[other]),
        "to wanted": float(np.linalg.norm(vectors - goal, axis=1).mean()),
        "to other": float(np.linalg.norm(vectors - rival, axis=1).mean()),
        "landmarks": landmark_correlation(old, new),
        "mouth": correlation(mouth_openings(old), mouth_openings(new)),
        "lips": landmark_correlation(inner_mouth(old), inner_mouth(new)),
        "flicker": made,
        "footage": own,
        "s/frame": seconds,
    }


def table(title: str, rows: dict[str, dict[str, Any]]) -> None:
    """Values, or means and spreads over seeds where there are lists."""
    names = list(next(iter(rows.values())))
    print(f"\n{title}\n{'':<12}" + "".join(f"{name:>14}" for name in names))
    for label, row in rows.items():
        cells = []
        for name in names:
            value = row[name]
            if isinstance(value, list):
                mean, spread = mean_and_spread(value)
                cells.append(f"{mean:.3f}±{spread:.3f}" if len(value) > 1 else f"{mean:.3f}")
            else:
                cells.append(f"{value:.3f}")
        print(f"{label:<12}" + "".join(f"{cell:>14}" for cell in cells), flush=True)


def faces_of(clip: Path, folder: Path) -> FaceSet:
    """Extracted once; the folder is used again."""
    if not (folder / "alignments.json").exists():
        basis = permission_for([clip], Home.locate(), declared=True)
        every = ExtractOptions(size=256, thresholds=Thresholds(bits=-1))  # neighbours that look alike too
        extract_faces(clip, folder, basis.to_json(), every)
    return FaceSet.load(folder)


def late_share(faces: FaceSet) -> float:
    """The share of faces that must be held out so that none is of the clip's last fifth, nor of a frame before it."""
    last = max(frame.index for frame in faces.alignments.frames)
    late = sum(frame.index >= round((last + 1) * (1 - HELD_OUT)) for frame, _ in faces.members)
    return (late + 1) / len(faces)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--preset", default="tiny")
    parser.add_argument("--steps", type=int)
    parser.add_argument("--seeds", default="1")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--frames", type=int, default=60, help="at most so many held-out frames of each clip")
    parser.add_argument("--clips", nargs=2, type=Path)
    parser.add_argument("--faces", nargs=2, type=Path, help="folders to keep, or find, extracted faces in")
    parser.add_argument("--work", type=Path, help="folder for models; default: a temporary one")
    parser.add_argument("--prior", type=Path, help="begin with this face prior")
    parser.add_argument("--model", type=Path, help="measure this model and train none")
    parser.add_argument("--sheet", type=Path)
    asked = parser.parse_args()
    talking = Path(os.environ.get("VEILMARK_TEST_DATA", "")) / "media" / "talking"
    clips = dict(zip("ab", asked.clips or (talking / "model1.mp4", talking / "model2.mp4"), strict=True))
    with tempfile.TemporaryDirectory() as temporary:
        work = asked.work or Path(temporary)
        folders = dict(zip("ab", asked.faces or (work / "faces_a", work / "faces_b"), strict=True))
        sets = {side: faces_of(clips[side], folders[side]) for side in "ab"}
        finder, judge = FaceFinder(device=asked.device), DlibFeatures(256, "cpu")
        people = {side: embedded(judge, sets[side].pixels()[: round(len(sets[side]) * 0.8)]) for side in "ab"}
        parts = {side: segment(clips[side], finder, asked.frames) for side in "ab"}
        print(
            f"faces {[len(one) for one in sets.values()]}, held-out frames {[len(p.frames) for p in parts.values()]}"
        )
        apart = float(np.linalg.norm(people["a"].mean(0) - people["b"].mean(0)))
        print(f"the two people's mean embeddings are {apart:.3f} apart (dlib: one person below 0.6)")

        models = {0: asked.model} if asked.model else {}
        for seed in [] if asked.model else [int(one) for one in asked.seeds.split(",")]:
            models[seed] = work / f"model_{asked.preset}_{seed}"
            learn(models[seed], sets, asked, seed)
        measured(models, sets, parts, people, finder, judge, asked)


def learn(folder: Path, sets: dict[str, FaceSet], asked: Any, seed: int) -> None:
    """Train one generator, unless it is there."""
    if (folder / "model.safetensors").exists():
        return
    chosen = preset(asked.preset).with_steps(asked.steps)
    chosen = replace(
        chosen, recipe=replace(chosen.recipe, held_out=max(late_share(one) for one in sets.values()))
    )
    size = chosen.architecture.size
    banks = {
        side: Bank.of(FaceSet.load(one.folder, size=size), size, asked.device) for side, one in sets.items()
    }
    consent = {side: one.consent for side, one in sets.items()}
    sources = {side: [source["sha256"] for source in one.alignments.sources] for side, one in sets.items()}
    began = time.process_time()
    done = train(
        banks,
        Origin(chosen, ("a", "b"), consent, sources, seed, {}),
        folder,
        device=asked.device,
        prior=asked.prior,
    )
    print(f"seed {seed}: {done.steps} steps in {time.process_time() - began:.0f} CPU s", flush=True)


def measured(
    models: dict[int, Path],
    sets: dict[str, FaceSet],
    parts: dict[str, Segment],
    people: dict[str, np.ndarray],
    finder: FaceFinder,
    judge: DlibFeatures,
    asked: Any,
) -> None:
    """All tables, over all seeds."""
    rebuilt: dict[str, list[float]] = {}
    swaps: dict[str, dict[str, list[float]]] = {"a to b": {}, "b to a": {}}
    flickers: dict[str, dict[str, list[float]]] = {name: {} for name in REMEDIES}
    for folder in models.values():
        generator, origin = load_model(folder, asked.device)
        size = origin.preset.architecture.size
        history(folder)
        banks = {
            side: Bank.of(FaceSet.load(one.folder, size=size), size, asked.device).split(HELD_OUT)[1]
            for side, one in sets.items()
        }
        for name, value in held_out_measures(generator, banks, DlibFeatures(size, asked.device)).items():
            rebuilt.setdefault(name, []).append(value)
        for side, to in (("a", "b"), ("b", "a")):
            row = direction(generator, parts[side], to, people, finder, judge, asked.device)
            for name, value in row.items():
                swaps[f"{side} to {to}"].setdefault(name, []).append(value)
            for label, changes in REMEDIES.items():
                made, own = flicker_of(
                    parts[side], swapped(generator, parts[side], to, asked.device, **changes)[0]
                )
                flickers[label].setdefault(f"{side} to {to}", []).append(made)
                flickers[label].setdefault(f"footage {side}", []).append(own)
        if asked.sheet:
            write_sheet(asked.sheet, generator, origin, parts, asked)
    print(
        "\nrebuilt, held out, features by dlib: "
        + ", ".join(
            f"{name} {mean_and_spread(value)[0]:.3f}±{mean_and_spread(value)[1]:.3f}"
            for name, value in rebuilt.items()
        )
    )
    table("swapped, held out", swaps)
    table("flicker by remedy, levels of 255 (and the footage's own)", flickers)


def history(folder: Path) -> None:
    """What the run's table says about held-out faces, by step."""
    path = folder / "log.csv"
    rows: dict[str, dict[str, float]] = {}
    for line in path.read_text().splitlines()[1:] if path.is_file() else []:
        step, name, value = line.split(",")
        if name.startswith("held-out/"):
            rows.setdefault(step, {})[name[9:]] = float(value)
    shown = dict(list(rows.items())[:: max(1, len(rows) // 12)])
    if shown:
        table(f"rebuilt by step, {folder.name} (features of the training's network)", shown)


def write_sheet(path: Path, generator: Any, origin: Origin, parts: dict[str, Segment], asked: Any) -> None:
    """Rows: filmed and swapped, of both directions; marked and signed."""
    import cv2

    from provenance.session import open_session
    from synth.label import Generated, label_picture

    rows = []
    for side, to in (("a", "b"), ("b", "a")):
        part = parts[side]
        which = np.linspace(0, len(part.frames) - 1, 6).round().astype(int)
        results, _ = swapped(generator, part, to, asked.device)
        for frames in (part.frames, [one.pixels for one in results]):
            tiles = []
            for index in which:
                low, high = part.landmarks[index].min(0), part.landmarks[index].max(0)
                middle, reach = (low + high) / 2, (high - low).max() * 0.75
                top, left = (max(0, int(one)) for one in (middle - reach)[::-1])
                tile = frames[index][top : int(middle[1] + reach), left : int(middle[0] + reach)]
                tiles.append(cv2.resize(tile, (200, 200), interpolation=cv2.INTER_AREA))
            rows.append(np.hstack(tiles))
    with open_session(Home.locate()) as session:
        consent = "; ".join(str(one.get("statement", ""))[:400] for one in origin.consent.values())
        about = Generated("benchmarks/synth/swap_quality.py", [], False, consent or "contracted models")
        label_picture(np.ascontiguousarray(np.vstack(rows)), path, about, session, force=True)


if __name__ == "__main__":
    main()

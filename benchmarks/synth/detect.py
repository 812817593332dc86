"""What the fake detectors are worth: per-clip scores and areas under curves, always on people they never saw.

::

    python -m synth.detect.training.train FOOTAGE... --photos PHOTOS -o WEIGHTS --work WORK --together A,B
    python benchmarks/synth/detect.py FOOTAGE... --photos PHOTOS --models WEIGHTS --work WORK --together A,B \\
        [--swap MODEL A.mp4 B.mp4] [--made KIND FILE PERSON] [--proof] [--splices] [--json FILE]

The first command leaves, beside the final detectors, those of each group of people that were held out; this one judges
each person's clips by the detectors that did not see that person: as filmed, encoded again, self-blended and rebuilt
(see synth/detect/training/clips.py), swapped by our own generator (both people in the same held-out group), and any
files that are named. Joint scores come from calibrations without the person. Beside each area is a 95 % interval, by a
bootstrap over people: with 13 of them it is wide, and says nothing about other kinds of fakes. ``--json`` writes all
figures that are printed, and each clip's scores, to a file (schema ``veilmark.detect-benchmark/1``).
"""

from __future__ import annotations

import argparse
import copy
import json
import time
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks.synth.auc_interval import auc_interval
from benchmarks.synth.pulsing import Pulsing
from provenance.media.files import require_writable, write_bytes
from synth.detect import pulse
from synth.detect.base import DETECTORS
from synth.detect.calibrate import auc, fit_joint
from synth.detect.learned import LearnedDetectors
from synth.detect.observe import FaceObserver, collect_pixels
from synth.detect.run import score_footage
from synth.detect.training import splice as train_splice
from synth.detect.training.clips import KINDS, REAL_KINDS, Remade
from synth.detect.training.train import (
    HELD_OUT,
    IN_JOINT,
    SECONDS,
    Row,
    TrainingSet,
    build_training_set,
    calibrate,
    footage_of,
    held_out_scores,
    load_held_out,
)
from synth.extraction.footage import open_footage

SCHEMA = "veilmark.detect-benchmark/1"
REAL = ("filmed", *REAL_KINDS)
PUBLISHED = """
published, on hundreds or thousands of clips (ours are a few dozen of 13 people, so neither says much about the other):
  blink   Li, Chang, Lyu 2018: AUC 0.99 for the state of an eye (0.79 by landmarks), on fakes of 2018, which hardly
          blinked. Self-blends and swaps keep the eyes of the footage: there is nothing for it to find here.
  pulse   Ciftci, Demir, Yin 2020: accuracy 0.947 on FaceForensics++, 0.915 on Celeb-DF; hundreds of people.
  warp    Li, Lyu 2019, as later benchmarks list it: AUC 0.70 on Celeb-DF v2, 0.67 on DFDC; ResNet-50.
  blend   Shiohara, Yamasaki 2022: AUC 0.93 on Celeb-DF v2, 0.72 on DFDC; EfficientNet-B4.
  splice  Huh et al. 2018, as later benchmarks list it: AUC 0.98 on Columbia, 0.76 on DSO-1, 0.50 on NIST16;
          ResNet-50 and a large set of photographs. Ours has some 30,000 weights and histories that we make.
""".strip("\n")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("footage", nargs="+", type=Path)
    parser.add_argument("--models", type=Path, required=True)
    parser.add_argument("--photos", type=Path)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--together", default="")
    parser.add_argument(
        "--swap", nargs=3, type=Path, action="append", default=[], metavar=("MODEL", "A", "B")
    )
    parser.add_argument("--made", nargs=3, action="append", default=[], metavar=("KIND", "FILE", "PERSON"))
    parser.add_argument("--proof", action="store_true", help="only the pulse that is put into real footage")
    parser.add_argument("--splices", action="store_true", help="only the splice detector on spliced pictures")
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write all figures there")
    chosen = parser.parse_args()
    if chosen.json is not None:
        require_writable(chosen.json)
    torch.set_num_threads(1)
    together = [name for name in chosen.together.split(",") if name]
    lesson = build_training_set(footage_of(chosen.footage), chosen.photos, chosen.work, together=together)
    folders = [chosen.models / f"fold-{number}" for number in range(len(lesson.groups))]
    print(f"held out in turn: {'; '.join(' '.join(group) for group in lesson.groups)}")
    if chosen.proof or chosen.splices:
        found = {"pulse": proof(lesson)} if chosen.proof else {"splices": splices(lesson, folders)}
        write(chosen.json, lesson, found)
        return
    if not (chosen.models / HELD_OUT).is_file():
        calibrate(held_out_scores(lesson, folders), chosen.models)
    rows = load_held_out(chosen.models)
    for model, first, second in chosen.swap:
        rows += list(swapped(lesson, folders, model, first, second))
    for kind, file, person in chosen.made:
        rows.append((person, kind, _scores(lesson, folders, person, Path(file))))
    write(chosen.json, lesson, report(with_joint(rows)))


def write(path: Path | None, lesson: TrainingSet, found: dict[str, Any]) -> None:
    """What was found, with the groups and versions, as one JSON object."""
    if path is None:
        return
    about = {
        "schema": SCHEMA,
        "held_out_in_turn": [list(group) for group in lesson.groups],
        "seconds": SECONDS,
        "seed": lesson.seed,
        "versions": {"torch": torch.__version__, "numpy": np.__version__},
    }
    write_bytes(path, json.dumps({**about, **found}, indent=1).encode(), force=True)
    print(f"\n{path}: all of these figures")


def with_joint(rows: list[Row]) -> list[Row]:
    """Adds the joint score of each person's clips by a calibration that saw everybody else's, and not theirs."""
    result = []
    for person in dict.fromkeys(row[0] for row in rows):
        known = [row for row in rows if row[0] != person and row[1] in ("filmed", *KINDS)]
        joint = fit_joint([row[2] for row in known], [row[1] not in REAL for row in known], list(IN_JOINT))
        for name, kind, scores in rows:
            if name == person:
                result.append((person, kind, {**scores, "joint": joint.probability(scores)}))
    return result


def report(rows: list[Row]) -> dict[str, Any]:
    """Prints each clip's scores, areas with their intervals, and how well the joint score is calibrated.

    Returns:
        The same: ``clips``, ``areas`` and ``joint``.
    """
    names = [*DETECTORS, "joint"]
    rows = sorted(rows, key=lambda row: (row[0], row[1]))
    print("\nscores of each clip (- cannot judge)")
    print(f"{'person':<10} {'clip':<11} " + " ".join(f"{name:>7}" for name in names))
    for person, kind, scores in rows:
        print(f"{person:<10} {kind:<11} " + " ".join(f"{_number(scores[name]):>7}" for name in names))
    made = [kind for kind in dict.fromkeys(kind for _, kind, _ in rows) if kind not in REAL]
    areas: list[dict[str, Any]] = []
    for against in (("filmed",), ("again",), REAL):
        print(
            f"\narea under the curve, against real clips {' and '.join(against)}: "
            "95 % by a bootstrap over people (numbers of clips: fake/real)"
        )
        areas += _table(rows, names, made, against)
    print(
        "\ncontrol: real clips that were blurred against the same as filmed (0.5: blur is no sign of a fake)"
    )
    areas += _table(rows, names, ["blurred"], ("filmed",))
    joint = _calibration(rows)
    print("\n" + PUBLISHED)
    return {
        "clips": [{"person": person, "kind": kind, "scores": scores} for person, kind, scores in rows],
        "areas": areas,
        "joint": joint,
    }


def _table(
    rows: list[Row], names: list[str], kinds: list[str], against: tuple[str, ...]
) -> list[dict[str, Any]]:
    print(f"{'':<11} " + " ".join(f"{name:>24}" for name in names))
    result = []
    for kind in kinds:
        found = [area(rows, name, kind, against) for name in names]
        print(f"{kind:<11} " + " ".join(f"{_shown(one):>24}" for one in found))
        result += found
    return result


def area(rows: list[Row], name: str, kind: str, against: tuple[str, ...]) -> dict[str, Any]:
    """One detector's area under the curve of one kind of clip against others, with its interval."""
    fake = [(person, float(s[name] or 0.0)) for person, k, s in rows if k == kind and s[name] is not None]
    real = [(person, float(s[name] or 0.0)) for person, k, s in rows if k in against and s[name] is not None]
    value = auc([one for _, one in real], [one for _, one in fake]) if real and fake else None
    interval = auc_interval(real, fake)
    return {
        "detector": name,
        "kind": kind,
        "against": list(against),
        "area": value,
        "low": None if interval is None else interval[0],
        "high": None if interval is None else interval[1],
        "clips": [len(fake), len(real)],
        "people": len({person for person, _ in (*fake, *real)}),
    }


def _shown(one: dict[str, Any]) -> str:
    if one["area"] is None:
        return "-"
    reach = "" if one["low"] is None else f" {one['low']:.2f}-{one['high']:.2f}"
    return f"{one['area']:.2f}{reach} ({one['clips'][0]}/{one['clips'][1]})"


def _calibration(rows: list[Row]) -> dict[str, Any] | None:
    joint = [(kind not in REAL, scores["joint"]) for _, kind, scores in rows if scores["joint"] is not None]
    if not joint:
        print("\njoint: no clip could be judged")
        return None
    truth, value = np.array([one for one, _ in joint]), np.array([float(one or 0) for _, one in joint])
    brier = float(np.mean((value - truth) ** 2))
    print(f"\njoint: Brier score {brier:.3f} over {len(joint)} clips (0.25 is knowing nothing)")
    bins = []
    for low in (0.0, 0.2, 0.4, 0.6, 0.8):
        inside = (value >= low) & (value < low + 0.2 + (low == 0.8))
        if inside.any():
            fakes = float(truth[inside].mean())
            bins.append({"from": low, "clips": int(inside.sum()), "fakes": fakes})
            print(f"  {low:.1f} to {low + 0.2:.1f}: {inside.sum():3} clips, {fakes:.0%} of them fakes")
    return {"brier": brier, "clips": len(joint), "bins": bins}


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.2f}"


def _fold(lesson: TrainingSet, folders: list[Path], people: tuple[str, ...]) -> LearnedDetectors:
    for group, folder in zip(lesson.groups, folders, strict=True):
        if set(people) <= set(group):
            return LearnedDetectors(folder, joint=False)
    raise SystemExit(f"no detectors saw none of {', '.join(people)}: name them with --together")


def _scores(lesson: TrainingSet, folders: list[Path], person: str, path: Path) -> dict[str, float | None]:
    observed = FaceObserver().observe(open_footage(path)[0], max_seconds=SECONDS)
    return score_footage(path, observed, _fold(lesson, folders, (person,))).scores


def swapped(
    lesson: TrainingSet, folders: list[Path], model: Path, first: Path, second: Path
) -> Iterator[Row]:
    """Both directions, converted, encoded and observed as any file; in memory."""
    from synth.swap.conversion import smooth
    from synth.swap.conversion.convert import ConvertOptions, Swapper
    from synth.swap.training.checkpoint import load_model

    judges = _fold(lesson, folders, (first.stem, second.stem))
    generator, origin = load_model(model)
    observer = FaceObserver()
    for path, to in ((first, "b"), (second, "a")):
        clip = next(one for one in lesson.clips if one.person == path.stem)
        swapper = Swapper(generator, ConvertOptions(to=to))
        observed = clip.observed
        steady = smooth.stabilised(
            "savgol", observed.landmarks[..., :2], observed.times, swapper.options.steadiness
        )
        remade = Remade(open_footage(path)[0], observed, _changer(swapper, steady))
        made = observer.observe(remade, max_seconds=SECONDS)
        yield path.stem, f"swap-{origin.preset.name}", score_footage(path, made, judges).scores


def _changer(swapper: Any, steady: np.ndarray) -> Any:
    """Frames come in order; each is swapped with its steadied landmarks, moved as the frame was cut."""
    place = iter(np.flatnonzero(~np.isnan(steady[:, 0, 0])).tolist())

    def change(pixels: np.ndarray, points: np.ndarray) -> np.ndarray:
        index = next(place)
        moved = steady[index] + np.nanmedian(points - steady[index], axis=0)
        (result,) = swapper.swap([pixels], [moved])
        return pixels if result is None else np.asarray(result.pixels)

    return change


def proof(lesson: TrainingSet) -> dict[str, Any]:
    """A pulse of 0.5 % at a known rate, put into every clip, read from the decoded frames and after encoding.

    Returns:
        By clip what was found, and by way and method in how many clips it was right.
    """
    clips: list[dict[str, Any]] = []
    rates = (66.0, 84.0, 108.0, 132.0)
    print(
        "\na pulse of 0.5 % in real footage: beats a minute that POS, CHROM and green find (signal to noise there, dB)"
    )
    hits: dict[tuple[str, str], list[Any]] = {
        (how, method): [] for how in ("none", "direct", "crf 17") for method in pulse.METHODS
    }
    for number, clip in enumerate(lesson.clips):
        beats = rates[number % len(rates)]
        source = open_footage(clip.observed.path)[0]
        pulsing = Pulsing(source, clip.observed, beats / 60, 0.005)
        for how in ("none", "direct", "crf 17"):
            observed = copy.deepcopy(clip.observed)
            if how == "direct":
                collect_pixels(pulsing, observed)
            elif how == "crf 17":
                made = Remade(pulsing, clip.observed, None, crf=17)
                observed.landmarks[..., :2] -= np.array(made.corner, np.float32)
                collect_pixels(made, observed)
            cells = []
            for method in pulse.METHODS:
                even = pulse.uniform(observed.colours, observed.times)
                found = pulse.spectrum(pulse.face_signal(method, even))
                near = 60 / max(4.0, observed.seconds) / 2
                hits[how, method].append(abs(60 * found.peak - beats) <= near)
                strength = pulse.signal_to_noise(found, observed.seconds, beats / 60)
                cells.append(f"{60 * found.peak:4.0f} ({strength:5.1f})")
                clips.append(
                    {
                        "person": clip.person,
                        "put_in": beats,
                        "how": how,
                        "method": method,
                        "found": round(60 * found.peak, 2),
                        "signal_to_noise_db": round(float(strength), 2),
                        "right": bool(hits[how, method][-1]),
                    }
                )
            print(f"{clip.person:<10} put in {beats:3.0f}, {how:<7} " + "  ".join(cells), flush=True)
    print("found within half of what so short a clip can resolve (30 / seconds beats a minute):")
    for how in ("none", "direct", "crf 17"):
        print(
            f"  {how:<7} "
            + ", ".join(f"{m} {sum(hits[how, m])} of {len(hits[how, m])}" for m in pulse.METHODS)
        )
    right = {f"{how}, {method}": [int(sum(one)), len(one)] for (how, method), one in hits.items()}
    return {"clips": clips, "right": right}


def splices(lesson: TrainingSet, folders: list[Path]) -> dict[str, Any]:
    """The network, which learned from photographs, on frames of the clips, with fresh histories."""
    patches = train_splice.make_patches(lesson.scenes, 48, 6, 100)
    network = LearnedDetectors(folders[0], joint=False).splice[0]
    held = [n for n, one in enumerate(lesson.scenes) if not one.person.startswith("photo-")]
    found = train_splice.measure(network, patches, lesson.scenes, held, count=40, seed=7)
    print(f"\npairs of patches of different pictures, same history or not: AUC {found.pair_auc:.3f}")
    for name, value in found.traits_auc.items():
        print(f"  {name:<13} {value:.3f}")
    spread = np.quantile(found.precision, (0.25, 0.5, 0.75))
    print(
        f"where {len(found.precision)} spliced pictures were pasted: average precision {np.mean(found.precision):.3f} "
        f"(quartiles {spread[0]:.2f}, {spread[1]:.2f}, {spread[2]:.2f}; chance {np.mean(found.chance):.3f})"
    )
    print(f"spliced against whole pictures: AUC {auc(found.whole, found.spliced):.2f}")
    return asdict(found)


if __name__ == "__main__":
    started = time.process_time()
    main()
    print(f"\n{time.process_time() - started:.0f} s of CPU time")

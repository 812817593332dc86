"""The cloak's whole table, one picture at a time, so that it can be stopped and taken up again.

::

    python benchmarks/cloak/cloak_table.py --out table.jsonl --strengths mid --pictures all --seeds 0
    python benchmarks/cloak/cloak_table.py --out table.jsonl --strengths high --decoys 2
    python benchmarks/cloak/cloak_table.py --out table.jsonl --leave-out centerface
    python benchmarks/cloak/cloak_table.py --out table.jsonl --only-print

Each picture, strength, seed and left-out family appends one JSON line; what is there already is not done again.
Recall is the share, in percent, of the faces that a detector found in the clean picture and still finds, as
published (decoded JPEG 95) / after JPEG 75 / at half size. The control is noise of equal energy. Landmark errors
are those of faces that an attacked detector still reports, in face sizes, against its landmarks before.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.cloak.cloak_common import (
    CONDITIONS,
    Trial,
    append_row,
    load_all,
    one_thread,
    pictures,
    rows_in,
)
from cloak import CloakOptions, detectors
from cloak.detectors.base import FaceDetector
from cloak.evaluate.compare import landmark_errors, new_detections
from cloak.evaluate.detect import detect_pixels


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--out", type=Path, required=True, help="JSON lines, appended to")
    parser.add_argument("--pictures", default="all", help="portraits, stills, all, or names")
    parser.add_argument("--strengths", default="mid")
    parser.add_argument("--seeds", default="0")
    parser.add_argument("--detectors", default="", help="attacked; default: every differentiable one")
    parser.add_argument("--weights", type=Path, help="a folder with further detectors' weights, for judges")
    parser.add_argument("--leave-out", default="", help="a family that is not attacked")
    parser.add_argument("--decoys", type=int, default=0)
    parser.add_argument("--steps", type=int, default=60)
    parser.add_argument(
        "--landmarks", type=float, default=0.0, help="displace them by this share of the face"
    )
    parser.add_argument("--only-print", action="store_true")
    asked = parser.parse_args()
    one_thread()
    if not asked.only_print:
        measure(asked)
    report(rows_in(asked.out))


def measure(asked: argparse.Namespace) -> None:
    """Append what is not in the file yet."""
    named = asked.detectors.split(",") if asked.detectors else detectors.available(differentiable=True)
    attacked = tuple(name for name in named if detectors.info(name).family != asked.leave_out)
    everyone = load_all(detectors.available(asked.weights), asked.weights)
    done = {json.dumps(row["key"]) for row in rows_in(asked.out)}
    for strength in asked.strengths.split(","):
        for seed in map(int, asked.seeds.split(",")):
            for name, pixels in pictures(asked.pictures).items():
                key = [name, strength, seed, asked.leave_out, asked.decoys, asked.steps, list(attacked)]
                key += [f"landmarks {asked.landmarks}"] if asked.landmarks else []
                if json.dumps(key) in done:
                    continue
                options = CloakOptions(
                    veil="noise",
                    strength=strength,
                    detectors=attacked,
                    judges=(),
                    weights=asked.weights,
                    seed=seed,
                    decoys=asked.decoys,
                    steps=asked.steps,
                    displace_landmarks=asked.landmarks > 0,
                    landmark_share=asked.landmarks or 0.15,
                )
                row = {"key": key, **one(pixels, options, everyone, asked.leave_out)}
                append_row(asked.out, row)
                print(f"{name} {strength} seed {seed}: {row.get('cpu_seconds', 'no face')}", flush=True)


def one(
    pixels: np.ndarray, options: CloakOptions, everyone: list[FaceDetector], left_out: str
) -> dict[str, Any]:
    """Everything about one cloaked picture."""
    trial = Trial.of(pixels, options, everyone)
    if trial is None:
        return {}
    groups: dict[str, list[list[int]]] = {}
    decoys, errors, controls = [], [], []
    for detector in everyone:
        hit = detector.name in (options.detectors or ())
        group = (
            "attacked" if hit else "left out" if detector.family == left_out else f"judge {detector.family}"
        )
        for label, version in ((group, trial.cloaked), (f"{group}, control", trial.control)):
            counts = groups.setdefault(label, [[0, 0] for _ in CONDITIONS])
            for place, (found, findable) in zip(counts, trial.counts(detector, version), strict=True):
                place[0] += found
                place[1] += findable
        if hit:
            after, before = detect_pixels(detector, trial.cloaked), trial.subject.before[detector.name]
            decoys.append(new_detections(before, after, trial.subject.faces))
            errors.extend(landmark_errors(before, after))
            controls.extend(landmark_errors(before, detect_pixels(detector, trial.control)))
    faces = [face.quality for face in trial.report.faces if face.hidden]
    return {
        "groups": groups,
        "decoys": float(np.mean(decoys)),
        "landmark_errors": errors,
        "landmark_errors_control": controls,
        "psnr": min(face.psnr for face in faces),
        "ssim": float(np.mean([face.ssim for face in faces])),
        "ssim_lowest": min(face.ssim for face in faces),
        "flip": float(np.mean([face.flip for face in faces if face.flip is not None] or [np.nan])),
        "cpu_seconds": round(trial.seconds, 1),
        "megapixels": pixels.shape[0] * pixels.shape[1] / 1e6,
    }


def report(rows: list[dict[str, Any]]) -> None:
    """The tables: one for each strength, left-out family, number of decoys, steps and set of attacked detectors."""
    tables: dict[str, list[dict[str, Any]]] = {}
    for row in rows:
        _, strength, _, family, decoys, steps, attacked, *further = row["key"]
        title = f"{strength}, {decoys} decoys, {steps} steps, left out: {family or '-'}, attacked: {' '.join(attacked)}"
        title += "".join(f", {one}" for one in further)
        tables.setdefault(title, []).append(row)
    for title, entries in tables.items():
        there = [row for row in entries if "groups" in row]
        print(f"\n{title}\n{len(there)} pictures, {len(entries) - len(there)} without a face")
        if not there:
            continue
        print(f"{'':26s} {' / '.join(CONDITIONS)} (% still found)")
        for group in sorted({name for row in there for name in row["groups"]}):
            totals = np.sum([row["groups"][group] for row in there if group in row["groups"]], axis=0)
            shares = [100 * found / findable if findable else float("nan") for found, findable in totals]
            print(f"{group:26s} {' / '.join(f'{share:3.0f}' for share in shares)}")
        errors = [error for row in there for error in row["landmark_errors"]]
        mean = {name: np.nanmean([row[name] for row in there]) for name in ("psnr", "ssim", "flip", "decoys")}
        spent, size = (sum(row[name] for row in there) for name in ("cpu_seconds", "megapixels"))
        print(f"face PSNR mean {mean['psnr']:.1f}, lowest {min(row['psnr'] for row in there):.1f} dB")
        lowest = min(row["ssim_lowest"] for row in there)
        print(f"face SSIM mean {mean['ssim']:.3f}, lowest {lowest:.3f}; FLIP {mean['flip']:.3f}")
        print(f"new reports elsewhere, a detector: {mean['decoys']:.1f}")
        if errors:
            print(f"landmark error of {len(errors)} faces still reported: {np.mean(errors):.3f} face sizes")
        controls = [error for row in there for error in row.get("landmark_errors_control", [])]
        if controls:
            print(f"landmark error of {len(controls)} faces under the control: {np.mean(controls):.3f}")
        print(f"CPU s, one thread: {spent / len(there):.0f} a picture, {spent / size:.0f} a megapixel")


if __name__ == "__main__":
    main()

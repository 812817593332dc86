"""Does a cloak carry over to detectors that it was not made against? Families are left out and then judge.

::

    python benchmarks/cloak/transfer.py --out transfer.jsonl --pictures portraits --strengths mid,high
    python benchmarks/cloak/transfer.py --out transfer.jsonl --leave-out retinaface --leave-out cascade,centerface
    python benchmarks/cloak/transfer.py --out transfer.jsonl --only-print

For each picture, strength, seed and set of left-out families (``--leave-out``, families separated by commas; default:
each family alone) every other family that has gradients is attacked, and one JSON line is appended; what is there
already is not done again. Recall is the share, in percent, of the faces that the left-out family found in the clean
picture and still finds, as published (decoded JPEG 95) / after JPEG 75 / at half size; the control is noise of equal
energy. The gain is the control's recall minus the cloak's, in points: what the search is worth to that family.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
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
from cloak.pixels import scaled


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--out", type=Path, required=True, help="JSON lines, appended to")
    parser.add_argument("--pictures", default="portraits", help="portraits, stills, all, or names")
    parser.add_argument("--strengths", default="mid,high")
    parser.add_argument("--seeds", default="0")
    parser.add_argument("--weights", type=Path, help="a folder with further detectors' weights")
    parser.add_argument("--leave-out", action="append", default=[], help="families, separated by commas")
    parser.add_argument(
        "--longest", type=int, default=512, help="pictures are shrunk to this side, in pixels"
    )
    parser.add_argument("--steps", type=int, default=60)
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--only-print", action="store_true")
    asked = parser.parse_args()
    one_thread()
    if not asked.only_print:
        measure(asked)
    report(rows_in(asked.out))


def measure(asked: argparse.Namespace) -> None:
    """Append what is not in the file yet."""
    present = detectors.available(asked.weights)
    everyone = load_all(present, asked.weights)
    families = list(dict.fromkeys(detectors.info(name).family for name in present))
    groups = [tuple(sorted(one.split(","))) for one in asked.leave_out] or [(one,) for one in families]
    done = {json.dumps(row["key"]) for row in rows_in(asked.out)}
    for name, whole in pictures(asked.pictures).items():
        pixels = scaled(whole, min(1.0, asked.longest / max(whole.shape[:2])))
        for strength in asked.strengths.split(","):
            for seed in map(int, asked.seeds.split(",")):
                for group in groups:
                    attacked = attackable(present, group)
                    size = list(pixels.shape[:2])
                    key = [name, size, strength, seed, list(group), attacked, asked.steps, asked.rounds]
                    if json.dumps(key) in done:
                        continue
                    options = CloakOptions(
                        veil="noise",
                        strength=strength,
                        detectors=tuple(attacked),
                        judges=(),
                        weights=asked.weights,
                        seed=seed,
                        steps=asked.steps,
                        rounds=asked.rounds,
                    )
                    row = {"key": key, **one(pixels, options, everyone)}
                    append_row(asked.out, row)
                    print(
                        f"{name} {strength} without {'+'.join(group)}: {row.get('cpu_seconds')} s", flush=True
                    )


def attackable(names: Sequence[str], left_out: Sequence[str]) -> list[str]:
    """The detectors with gradients that belong to none of the left-out families."""
    known = [detectors.info(name) for name in names]
    return [one.name for one in known if one.differentiable and one.family not in left_out]


def one(pixels: np.ndarray, options: CloakOptions, everyone: list[FaceDetector]) -> dict[str, Any]:
    """What each family still finds in one cloaked picture, and in its control."""
    trial = Trial.of(pixels, options, everyone)
    if trial is None:
        return {}
    versions = {"cloaked": trial.cloaked, "control": trial.control}
    counts: dict[str, dict[str, list[list[int]]]] = {}
    for detector in everyone:
        mine = counts.setdefault(detector.family, {label: [[0, 0] for _ in CONDITIONS] for label in versions})
        for label, version in versions.items():
            for place, (found, findable) in zip(mine[label], trial.counts(detector, version), strict=True):
                place[0] += found
                place[1] += findable
    return {
        "counts": counts,
        "psnr": min(face.quality.psnr for face in trial.report.faces if face.chosen),
        "cpu_seconds": round(trial.seconds, 1),
    }


def report(rows: list[dict[str, Any]]) -> None:
    """For each strength and number of steps: each family, when it was left out and when it was attacked."""
    rows = [row for row in rows if "counts" in row]
    titles = dict.fromkeys((row["key"][2], row["key"][6], row["key"][7]) for row in rows)
    for strength, steps, rounds in titles:
        mine = [row for row in rows if row["key"][2] == strength and row["key"][6:] == [steps, rounds]]
        names = sorted({row["key"][0] for row in mine})
        lowest = min(row["psnr"] for row in mine)
        print(
            f"\n{strength}, {steps} steps, {rounds} rounds, {', '.join(names)}; lowest face PSNR {lowest:.1f} dB"
        )
        print(f"{'':28s}{'cloaked':>16s} {'control':>16s} {'gain':>16s}  ({' / '.join(CONDITIONS)})")
        for family in sorted({family for row in mine for family in row["counts"]}):
            for label, wanted in (("left out", True), ("attacked", False)):
                chosen = [row for row in mine if (family in left_out(row)) == wanted]
                if chosen:
                    print(f"{family + ', ' + label:28s}" + " ".join(shares(chosen, family)))


def left_out(row: dict[str, Any]) -> set[str]:
    """The families of which nothing was attacked, whether or not they have gradients."""
    hit = {detectors.info(name).family for name in row["key"][5]}
    return set(row["counts"]) - hit


def shares(rows: list[dict[str, Any]], family: str) -> list[str]:
    """Recall when cloaked, recall of the control, and the gain, each under every condition."""
    recalls = {}
    for label in ("cloaked", "control"):
        found, findable = np.sum([row["counts"][family][label] for row in rows], axis=0).T
        recalls[label] = 100 * found / np.where(findable == 0, np.nan, findable)
    gain = recalls["control"] - recalls["cloaked"]
    return [f"{' / '.join(f'{share:3.0f}' for share in values):>16s}" for values in (*recalls.values(), gain)]


if __name__ == "__main__":
    main()

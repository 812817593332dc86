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
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.cloak.cloak_common import (
    CONDITIONS,
    Subject,
    Tally,
    decoded,
    encoded,
    equal_energy,
    one_thread,
    pictures,
)
from cloak import CloakOptions, cloak_bytes, detectors
from cloak.detectors.base import FaceDetector
from cloak.pixels import scaled
from provenance.errors import NoFaceError
from provenance.media.picture import open_picture


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
    report([json.loads(line) for line in asked.out.read_text().splitlines()])


def measure(asked: argparse.Namespace) -> None:
    """Append what is not in the file yet."""
    present = detectors.available(asked.weights)
    everyone = [_loaded(name, asked.weights) for name in present]
    families = list(dict.fromkeys(detectors.info(name).family for name in present))
    groups = [tuple(sorted(one.split(","))) for one in asked.leave_out] or [(one,) for one in families]
    lines = asked.out.read_text().splitlines() if asked.out.exists() else []
    done = {json.dumps(json.loads(line)["key"]) for line in lines}
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
                    with asked.out.open("a") as file:
                        file.write(json.dumps(row) + "\n")
                    print(
                        f"{name} {strength} without {'+'.join(group)}: {row.get('cpu_seconds')} s", flush=True
                    )


def attackable(names: Sequence[str], left_out: Sequence[str]) -> list[str]:
    """The detectors with gradients that belong to none of the left-out families."""
    known = [detectors.info(name) for name in names]
    return [one.name for one in known if one.differentiable and one.family not in left_out]


def one(pixels: np.ndarray, options: CloakOptions, everyone: list[FaceDetector]) -> dict[str, Any]:
    """What each family still finds in one cloaked picture, and in its control."""
    subject, plain = Subject.of(pixels, everyone), decoded(encoded(pixels))
    started = time.process_time()
    try:
        result = cloak_bytes(open_picture(encoded(pixels)), options)
    except NoFaceError:
        return {}
    spent = time.process_time() - started
    cloaked = decoded(result.encoded)
    versions = {"cloaked": cloaked, "control": equal_energy(plain, cloaked, options.seed)}
    counts: dict[str, dict[str, list[list[int]]]] = {}
    for detector in everyone:
        mine = counts.setdefault(detector.family, {label: [[0, 0] for _ in CONDITIONS] for label in versions})
        for label, version in versions.items():
            tally = Tally()
            subject.count(tally, label, version, [detector])
            for place, condition in zip(mine[label], CONDITIONS, strict=True):
                place[0] += tally.found[label, condition]
                place[1] += tally.findable[label, condition]
    return {
        "counts": counts,
        "psnr": min(face.quality.psnr for face in result.report.faces if face.chosen),
        "cpu_seconds": round(spent, 1),
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


def _loaded(name: str, weights: Path | None) -> FaceDetector:
    return detectors.load(name, weights_dir=weights)


if __name__ == "__main__":
    main()

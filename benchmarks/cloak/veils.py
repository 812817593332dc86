"""What veils hide from detectors that were not attacked, by face size, beside the same veil with random parameters.

    python benchmarks/cloak/veils.py --out results.jsonl --weights DIR --leave-out yunet,faceboxes PICTURE...

Each line of the output is one picture: its faces, for each detector and condition how many of the faces it found before
it still finds, with the cloak and with the control (random parameters, the amplitude fitted to the same ceiling), FLIP
and dislike of each face, and seconds. ``--table`` prints the sums of such a file. A close portrait is a picture whose
largest face is at least a third of its shorter side; its figures are never averaged with those of groups.
"""

from __future__ import annotations

import argparse
import io
import json
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import torch
from PIL import Image

from cloak import CloakOptions, cloak_bytes, detectors
from cloak.detectors.base import FaceDetector
from cloak.detectors.geometry.matching import faces_found
from cloak.evaluate.detect import detect_pixels
from cloak.evaluate.quality import crop, flip
from cloak.picture.random_veil import random_veil
from cloak.picture.shrink import shrunk
from cloak.pixels import render_conditions
from cloak.strength import Strength
from cloak.veils import VeilName
from cloak.veils.grey import without_colour
from cloak.veils.visibility import dislike
from provenance.media.picture import open_picture

#: A face of at least this share of the shorter side makes a close portrait.
CLOSE = 1 / 3


def at_flip(
    pixels: np.ndarray, cloaked: np.ndarray, box: tuple[float, float, float, float], wanted: float
) -> np.ndarray:
    """A cloak's change made weaker or stronger until the face's FLIP is as wanted."""
    change = cloaked.astype(np.float32) - pixels
    low, high = 0.0, 3.0
    result = cloaked
    for _ in range(8):
        share = (low + high) / 2
        result = np.clip(np.rint(pixels + share * change), 0, 255).astype(np.uint8)
        low, high = (
            (share, high) if (flip(crop(pixels, box), crop(result, box)) or 0.0) < wanted else (low, share)
        )
    return result


def skin_angle(pixels: np.ndarray, box: tuple[float, float, float, float]) -> float:
    """The individual typology angle of the middle of a face, in degrees (Chardon et al., 1991): above 41 light skin,
    below 28 tan to dark. Depends on the light.
    """
    x1, y1, x2, y2 = box
    rows = slice(int(y1 + 0.35 * (y2 - y1)), int(y1 + 0.7 * (y2 - y1)) + 1)
    columns = slice(int(x1 + 0.25 * (x2 - x1)), int(x1 + 0.75 * (x2 - x1)) + 1)
    part = np.ascontiguousarray(pixels[rows, columns], np.float32) / 255
    lightness, _, yellow = np.median(cv2.cvtColor(part, cv2.COLOR_RGB2LAB).reshape(-1, 3), axis=0)
    return float(np.degrees(np.arctan2(lightness - 50, yellow)))


def views(pixels: np.ndarray) -> dict[str, tuple[np.ndarray, float]]:
    """The picture under each condition, and its scale."""
    cleaned = {f"blur{sigma:g}": cv2.GaussianBlur(pixels, (0, 0), sigma) for sigma in (1.0, 2.0)}
    cleaned["median3"] = cv2.medianBlur(np.ascontiguousarray(pixels), 3)
    return render_conditions(pixels) | {name: (one, 1.0) for name, one in cleaned.items()}


def counts(
    loaded: Sequence[FaceDetector],
    before: np.ndarray,
    after: np.ndarray,
    faces: torch.Tensor,
    *,
    cleaned: bool = True,
) -> dict[str, dict[str, int]]:
    """By detector: how many faces it finds in the clean picture, and of those how many under each condition."""
    result: dict[str, dict[str, int]] = {}
    shown = views(after) if cleaned else render_conditions(after)
    for detector in loaded:
        known = faces_found(detect_pixels(detector, before), faces)
        row = {"before": int(known.sum())}
        for name, (pixels, scale) in shown.items():
            if row["before"]:
                row[name] = int((faces_found(detect_pixels(detector, pixels), faces * scale) & known).sum())
        result[detector.name] = row
    return result


def one(path: Path, args: argparse.Namespace, loaded: Sequence[FaceDetector]) -> dict[str, object]:
    """Everything about one picture."""
    picture = shrunk(open_picture(path), args.longest)
    pixels = picture.pixels
    left_out = set(args.leave_out.split(",")) if args.leave_out else set()
    attacked = tuple(name for name in args.attack.split(",") if name not in left_out)
    options = CloakOptions(
        strength=args.strength,
        veil=args.veil,
        detectors=attacked,
        judges=(),
        weights=args.weights,
        steps=args.steps,
        rounds=args.rounds,
        seed=args.seed,
        fast=args.fast,
        format=args.format,
        quality=args.quality,
    )
    started, processor = time.perf_counter(), time.process_time()
    result = cloak_bytes(picture, options)
    seconds = {"wall": time.perf_counter() - started, "cpu": time.process_time() - processor}
    decoded = np.asarray(Image.open(io.BytesIO(result.encoded)).convert("RGB"))
    chosen = [face for face in result.report.faces if face.chosen]
    faces = torch.tensor([face.box for face in chosen])
    base = without_colour(pixels) if options.chosen_veil is VeilName.FILM_BW else pixels
    row: dict[str, object] = {
        "picture": path.name,
        "veil": options.chosen_veil.value,
        "strength": args.strength,
        "seed": args.seed,
        "left_out": sorted(left_out),
        "attacked": attacked,
        "faces": len(chosen),
        "close": bool((faces[:, 2:] - faces[:, :2]).amax(1).max() >= CLOSE * min(pixels.shape[:2])),
        "flip": [round(face.quality.flip or 0.0, 4) for face in chosen],
        "psnr": [round(face.quality.psnr, 2) for face in chosen],
        "skin": [round(skin_angle(pixels, face.box)) for face in chosen],
        "dislike": [round(face.dislike or 0.0, 2) for face in chosen],
        "seconds": {name: round(value, 1) for name, value in seconds.items()},
        "steps": result.report.steps,
        "cloak": counts(loaded, pixels, decoded, faces),
    }
    if args.save:
        args.save.mkdir(parents=True, exist_ok=True)
        Image.fromarray(decoded).save(
            args.save / f"{path.stem}-{options.chosen_veil.value}-{args.strength}.png"
        )
    others = {}
    if options.chosen_veil is not VeilName.NOISE and not args.no_control:
        others["control"] = random_veil(
            base, faces, options.chosen_veil, Strength(args.strength), args.seed + 1000, like=decoded
        )
    if args.noise:
        noisy = cloak_bytes(picture, replace(options, veil=VeilName.NOISE.value, rounds=1))
        decoded = np.asarray(Image.open(io.BytesIO(noisy.encoded)).convert("RGB"))
        largest = max(chosen, key=lambda face: face.box[2] - face.box[0])
        others["noise"] = at_flip(pixels, decoded, largest.box, largest.quality.flip or 0.0)
    for name, other in others.items():
        crops = [(crop(base, face.box), crop(other, face.box)) for face in chosen]
        row[f"{name}_flip"] = [round(flip(*pair) or 0.0, 4) for pair in crops]
        row[f"{name}_dislike"] = [round(dislike(*pair).total, 2) for pair in crops]
        row[name] = counts(loaded, pixels, other, faces, cleaned=False)
    return row


def table(path: Path) -> None:
    """Sums by face size, veil, and detector."""
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    groups = sorted({(row["veil"], row["strength"], not row["close"]) for row in rows})
    for veil, strength, group in groups:
        mine = [
            row for row in rows if (row["veil"], row["strength"], not row["close"]) == (veil, strength, group)
        ]
        kind = "groups" if group else "close portraits"
        faces = [value for row in mine for value in row["flip"]]
        disliked = [value for row in mine for value in row["dislike"]]
        seconds = sum(row["seconds"]["cpu"] for row in mine) / len(mine)
        print(
            f"{veil} {strength}, {kind}: {len(mine)} pictures, FLIP mean {np.mean(faces):.3f}, largest "
            f"{max(faces):.3f}, dislike mean {np.mean(disliked):.2f}, CPU seconds a picture {seconds:.0f}"
        )
        names = list(dict.fromkeys(name for row in mine for name in row["cloak"]))
        for name in names:
            cells = []
            for condition in ("published", "jpeg75", "half", "blur1", "blur2", "median3"):
                sums = [0, 0, 0]
                for row in mine:
                    seen = row["cloak"].get(name, {})
                    if condition in seen:
                        sums[0] += seen[condition]
                        sums[1] += seen["before"]
                        sums[2] += row.get("control", {}).get(name, {}).get(condition, 0)
                if sums[1]:
                    cells.append(f"{condition} {sums[0]}/{sums[1]} ({sums[2]})")
            role = "unseen" if all(name not in row["attacked"] for row in mine) else "attacked"
            print(f"  {name:20} {role:8} " + ", ".join(cells))


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("pictures", nargs="*", type=Path)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--table", action="store_true", help="print the sums of --out")
    parser.add_argument("--weights", type=Path)
    parser.add_argument("--veil", default=None)
    parser.add_argument("--strength", default="mid")
    parser.add_argument(
        "--attack",
        default="centerface,blazeface-short,blazeface-back,blazeface-full,retinaface-mobilenet,retinaface-rfb,"
        "retinaface-slim,yunet,faceboxes,face-api-tiny,face-api-ssd,mtcnn,dlib-hog,dlib-cnn",
    )
    parser.add_argument("--leave-out", default="")
    parser.add_argument(
        "--judges", default="yunet,faceboxes,face-api-tiny,face-api-ssd,dlib-cnn,haar-default"
    )
    parser.add_argument("--steps", type=int, default=60)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument(
        "--longest", type=int, help="make the picture smaller first, as the option of cloak does"
    )
    parser.add_argument("--fast", action="store_true")
    parser.add_argument("--format", default=None)
    parser.add_argument("--quality", type=int, default=None)
    parser.add_argument("--no-control", action="store_true", help="no veil with random parameters")
    parser.add_argument("--noise", action="store_true", help="plain noise at the same FLIP as well")
    parser.add_argument("--save", type=Path, help="a folder for the cloaked pictures")
    args = parser.parse_args()
    names = dict.fromkeys([*args.judges.split(","), *args.attack.split(",")])
    loaded = [detectors.load(name, weights_dir=args.weights) for name in names] if args.pictures else []
    for picture in args.pictures:
        row = one(picture, args, loaded)
        with args.out.open("a") as stream:
            stream.write(json.dumps(row) + "\n")
        print(json.dumps(row["cloak"]), flush=True)
    if args.table:
        table(args.out)


if __name__ == "__main__":
    main()

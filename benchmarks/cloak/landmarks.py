"""Two kinds of landmarks, and the detectors that they need: FaceMesh's 468 points and dlib's 68.

    VEILMARK_TEST_DATA=FOLDER python benchmarks/cloak/landmarks.py [--frames 30] [--threads 1]

Three tables on the public test media (clips below ``media/talking`` and ``media/people``, pictures with annotations
below ``media/stills``):

1. detectors: the share of frames in which exactly one face is found, and processor time a frame;
2. agreement with the annotations of the stills: mean distance divided by that of the outer corners of the eyes. The
   annotations are themselves dlib's output, so that dlib's row says only how well it reproduces itself; FaceMesh's says
   how far two independent models are apart, once as they are and once without the constant offset of each point (the
   two define brows, jaw and the bridge of the nose differently);
3. steadiness on the clips, which needs no annotation, in thousandths of the same distance: how far points move when the
   frame is shifted by two and a half pixels, encoded as JPEG of quality 50, or made half as bright; and, over time,
   the second difference from frame to frame (movement that is even cancels out).

dlib's predictor may be used for research only: it was trained on iBUG 300-W, whose licence excludes commercial use.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
import xml.etree.ElementTree as ElementTree
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import torch

from cloak import detectors
from cloak.recognition.landmarks68 import landmarks68
from synth.extraction.canonical import OF_68
from synth.extraction.finder import FaceFinder
from synth.extraction.footage import open_footage

Points = Callable[[np.ndarray], np.ndarray | None]
CHECKED = ("blazeface-short", "blazeface-back", "blazeface-full", "centerface", "mtcnn")


def asked(about: str | None, frames: int, what: str) -> tuple[int, Path]:
    """The command line of a benchmark on the test media: how many frames of a clip, and the media's folder."""
    parser = argparse.ArgumentParser(description=about, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--frames", type=int, default=frames, help=what)
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    data = os.environ.get("VEILMARK_TEST_DATA")
    if not data:
        sys.exit("set VEILMARK_TEST_DATA to the folder of test media")
    torch.set_num_threads(options.threads)
    return options.frames, Path(data) / "media"


def clips(folder: Path) -> list[Path]:
    return sorted(folder.glob("talking/*.mp4")) + sorted(folder.glob("people/*.mp4"))


def run_of(path: Path, count: int) -> list[np.ndarray]:
    """``count`` frames in a row from a clip's middle."""
    source = open_footage(path)[0]
    start = max(0, source.expected // 2 - count // 2)
    return [one.pixels for one in source.frames(lambda index: start <= index < start + count)]


def eye_distance(points: np.ndarray) -> float:
    return float(np.linalg.norm(points[45] - points[36]))


def mesh_points(finder: FaceFinder) -> Points:
    def points(pixels: np.ndarray) -> np.ndarray | None:
        found = finder.find(pixels)
        return found[0].landmarks[list(OF_68), :2] if found else None

    return points


def dlib_points() -> Points:
    judge = detectors.load("dlib-hog")

    def points(pixels: np.ndarray) -> np.ndarray | None:
        scale = min(1.0, 640 / max(pixels.shape[:2]))
        small = cv2.resize(pixels, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
        tensor = torch.from_numpy(np.ascontiguousarray(small)).permute(2, 0, 1)[None].float() / 255
        found = judge.detect(tensor)[0]
        return landmarks68(pixels, found.boxes[0].numpy() / scale) if len(found) else None

    return points


def table_of_detectors(folder: Path, count: int) -> None:
    print("\n1. detectors, frames at 640 pixels\n")
    print(f"{'':<18}{'one face':>10}{'none':>8}{'several':>10}{'ms CPU':>9}")
    frames = []
    for path in clips(folder):
        taken = run_of(path, count)[:: max(1, count // 8)]
        for pixels in taken:
            scale = min(1.0, 640 / max(pixels.shape[:2]))
            small = cv2.resize(pixels, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
            frames.append(torch.from_numpy(np.ascontiguousarray(small)).permute(2, 0, 1)[None].float() / 255)
    for name in CHECKED:
        detector = detectors.load(name)
        detector.detect(frames[0])
        start = time.process_time()
        found = np.array([len(detector.detect(frame)[0]) for frame in frames])
        spent = (time.process_time() - start) / len(frames) * 1000
        shares = [(found == 1).mean(), (found == 0).mean(), (found > 1).mean()]
        print(f"{name:<18}{shares[0]:>10.1%}{shares[1]:>8.1%}{shares[2]:>10.1%}{spent:>9.0f}")
    print(f"({len(frames)} frames of {len(clips(folder))} clips, one person in each)")


def annotated(folder: Path) -> list[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """Pixels, box and 68 points of every annotated face."""
    faces = []
    for file in sorted((folder / "stills").glob("*_with_face_landmarks.xml")):
        # a local file of known origin; entities are not expanded by this parser's defaults
        for image in ElementTree.parse(file).getroot().iter("image"):  # noqa: S314
            pixels = np.asarray(cv2.imread(str(folder / "stills" / image.attrib["file"])))[..., ::-1]
            for box in image.iter("box"):
                x, y, w, h = (int(box.attrib[key]) for key in ("left", "top", "width", "height"))
                points = np.array([(float(p.attrib["x"]), float(p.attrib["y"])) for p in box.iter("part")])
                if len(points) == 68:
                    faces.append((np.ascontiguousarray(pixels), np.array([x, y, x + w, y + h]), points))
    return faces


def table_of_agreement(folder: Path, finder: FaceFinder) -> None:
    faces = annotated(folder)
    rows: dict[str, list[np.ndarray]] = {"FaceMesh": [], "dlib 68": []}
    missed = 0
    for pixels, box, truth in faces:
        side = box[2] - box[0]
        low = np.maximum(0, box[:2] - side)
        part = pixels[low[1] : box[3] + side, low[0] : box[2] + side]
        enlarged = max(1.0, 256 / max(part.shape[:2]))
        larger = cv2.resize(part, None, fx=enlarged, fy=enlarged, interpolation=cv2.INTER_CUBIC)
        found = [one.landmarks[list(OF_68), :2] / enlarged + low for one in finder.find(np.asarray(larger))]
        best = min(found, key=lambda one: np.abs(one - truth).mean(), default=None)
        if best is None or np.abs(best - truth).mean() > side:
            missed += 1
            continue
        unit = eye_distance(truth)
        rows["FaceMesh"].append((best - truth) / unit)
        rows["dlib 68"].append((landmarks68(pixels, box) - truth) / unit)
    print(
        f"\n2. agreement with {len(faces) - missed} annotated faces ({missed} not found), % of the eyes' distance\n"
    )
    print(f"{'':<30}{'all 68':>9}{'inner 51':>10}{'jaw 17':>9}")
    for name, errors in rows.items():
        stack = np.stack(errors)
        for label, apart in ((name, stack), (f"{name}, offsets taken out", stack - np.median(stack, axis=0))):
            length = np.linalg.norm(apart, axis=2) * 100
            print(
                f"{label:<30}{length.mean():>9.2f}{length[:, 17:].mean():>10.2f}{length[:, :17].mean():>9.2f}"
            )


def shifted(pixels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    matrix = np.array([[1, 0, 2.5], [0, 1, 1.5]])
    size = (pixels.shape[1], pixels.shape[0])
    return cv2.warpAffine(pixels, matrix, size, borderMode=cv2.BORDER_REFLECT), np.array([2.5, 1.5])


def encoded(pixels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    _, data = cv2.imencode(".jpg", pixels, [cv2.IMWRITE_JPEG_QUALITY, 50])
    return np.asarray(cv2.imdecode(data, cv2.IMREAD_COLOR)), np.zeros(2)


def dimmed(pixels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    return (pixels // 2).astype(np.uint8), np.zeros(2)


def table_of_steadiness(folder: Path, kinds: dict[str, Points], count: int) -> None:
    changes = {"shifted": shifted, "JPEG 50": encoded, "half light": dimmed}
    found: dict[str, dict[str, list[float]]] = {
        name: {key: [] for key in (*changes, "over time", "ms CPU")} for name in kinds
    }
    lost = dict.fromkeys(kinds, 0)
    for path in clips(folder):
        frames = run_of(path, count)
        for name, points in kinds.items():
            track, start = [points(frame) for frame in frames], time.process_time()
            for frame, own in list(zip(frames, track, strict=True))[:: max(1, count // 4)]:
                if own is None:
                    continue
                for key, change in changes.items():
                    pixels, moved = change(frame)
                    again = points(pixels)
                    if again is not None:
                        apart = np.linalg.norm(again - moved - own, axis=1).mean() / eye_distance(own)
                        found[name][key].append(float(apart))
            looked = max(1, len(found[name]["shifted"]))
            found[name]["ms CPU"].append((time.process_time() - start) * 1000 / max(1, 3 * min(looked, 4)))
            lost[name] += sum(one is None for one in track)
            for before, now, after in zip(track, track[1:], track[2:], strict=False):
                if before is not None and now is not None and after is not None:
                    bend = np.linalg.norm(after - 2 * now + before, axis=1).mean() / eye_distance(now)
                    found[name]["over time"].append(float(bend))
    print("\n3. steadiness, thousandths of the eyes' distance (mean over 68 points; median over frames)\n")
    print(
        f"{'':<12}" + "".join(f"{key:>12}" for key in (*changes, "over time")) + f"{'lost':>8}{'ms CPU':>9}"
    )
    for name, values in found.items():
        cells = "".join(f"{np.median(values[key]) * 1000:>12.1f}" for key in (*changes, "over time"))
        print(f"{name:<12}{cells}{lost[name]:>8}{np.median(values['ms CPU']):>9.0f}")


def main() -> None:
    count, folder = asked(__doc__, 30, "frames in a row of each clip")
    finder = FaceFinder()
    table_of_detectors(folder, count)
    table_of_agreement(folder, finder)
    table_of_steadiness(folder, {"FaceMesh": mesh_points(finder), "dlib 68": dlib_points()}, count)


if __name__ == "__main__":
    main()

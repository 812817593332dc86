"""What a scraper can do against a cloak, and what detectors that were not attacked see anyway.

    python benchmarks/cloak/countermeasures.py --pictures portraits --detectors mtcnn,centerface --strength mid

Each picture is cloaked once and written as JPEG. Then the file is treated as a scraper might, and detectors are asked
again. The same treatment of the uncloaked picture is the control: a treatment that blinds detectors by itself is no
counter-measure. Of the faces that a detector finds in the untreated, uncloaked picture, the share that it finds.

Runs without arguments.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import torch
from skimage.restoration import denoise_tv_chambolle, denoise_wavelet

from benchmarks.cloak.cloak_common import decoded, encoded, load_all, one_thread, pictures
from cloak import CloakOptions, cloak_bytes, detectors
from cloak.detectors.base import Detections, FaceDetector
from cloak.detectors.geometry.matching import faces_found
from cloak.evaluate.detect import detect_pixels, find_faces
from cloak.evaluate.quality import psnr
from cloak.models import locate, model
from cloak.pixels import recompressed, scaled, to_tensor
from cloak.recognition.network import SAME_PERSON, FaceRecognition
from cloak.recognition.objective import recogniser_for
from provenance.media.picture import open_picture
from synth.measure.conditions import network_chain

Treatment = Callable[[np.ndarray], np.ndarray]


def _back(pixels: np.ndarray, like: np.ndarray, how: int) -> np.ndarray:
    return np.asarray(cv2.resize(pixels, (like.shape[1], like.shape[0]), interpolation=how))


def _network_chain(pixels: np.ndarray) -> np.ndarray:
    """Two social networks in a row: each compresses, one shrinks; then enlarged again."""
    return _back(network_chain(pixels), pixels, cv2.INTER_CUBIC)


def _enlarged(pixels: np.ndarray) -> np.ndarray:
    """Twice the size, as a detector's own upsampling does it."""
    return np.asarray(cv2.resize(pixels, None, fx=2, fy=2, interpolation=cv2.INTER_LANCZOS4))


def _as_bytes(values: np.ndarray) -> np.ndarray:
    result: np.ndarray = (np.clip(values, 0, 1) * 255).round().astype(np.uint8)
    return result


TREATMENTS: dict[str, Treatment] = {
    "as published": lambda pixels: pixels,
    "JPEG 50": lambda pixels: recompressed(pixels, 50),
    "JPEG 80, x0.7, JPEG 65, back": _network_chain,
    "half size and back (Lanczos)": lambda pixels: _back(scaled(pixels, 0.5), pixels, cv2.INTER_LANCZOS4),
    "third of the size and back": lambda pixels: _back(scaled(pixels, 1 / 3), pixels, cv2.INTER_LANCZOS4),
    "enlarged twice (Lanczos)": _enlarged,
    "Gaussian blur, sigma 1.5": lambda pixels: np.asarray(cv2.GaussianBlur(pixels, (0, 0), 1.5)),
    "median 5 x 5": lambda pixels: np.asarray(cv2.medianBlur(pixels, 5)),
    "bilateral": lambda pixels: np.asarray(cv2.bilateralFilter(pixels, 9, 45, 5)),
    "non-local means": lambda pixels: np.asarray(cv2.fastNlMeansDenoisingColored(pixels, None, 8, 8, 5, 15)),
    "total variation": lambda pixels: _as_bytes(denoise_tv_chambolle(pixels / 255, 0.1, channel_axis=2)),
    "wavelets (BayesShrink)": lambda pixels: _as_bytes(
        denoise_wavelet(pixels / 255, sigma=12 / 255, convert2ycbcr=True, channel_axis=2)
    ),
    "blur, then sharpened": lambda pixels: np.asarray(
        cv2.addWeighted(
            cv2.GaussianBlur(pixels, (0, 0), 1.5), 2.0, cv2.GaussianBlur(pixels, (0, 0), 4.0), -1.0, 0
        )
    ),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--pictures", default="portraits", help="portraits, stills, all, or names")
    parser.add_argument("--detectors", default="mtcnn,centerface", help="to attack, comma-separated")
    parser.add_argument("--strength", default="mid", choices=["low", "mid", "high"])
    parser.add_argument("--recognition", action="store_true", help="also attack face recognition")
    parser.add_argument("--steps", type=int, default=60)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--weights", type=Path, help="a folder with further detectors' weights")
    arguments = parser.parse_args()
    one_thread()
    names = arguments.detectors.split(",")
    attacked = load_all(names)
    others = [
        _named(name, arguments.weights)
        for name in detectors.available(arguments.weights)
        if name not in names
    ]
    table = _Table(attacked, others)
    for title, pixels in pictures(arguments.pictures).items():
        started = time.process_time()
        options = CloakOptions(
            veil="noise",
            strength=arguments.strength,
            detectors=tuple(names),
            judges=(),
            recognition=arguments.recognition,
            steps=arguments.steps,
            seed=arguments.seed,
        )
        result = cloak_bytes(open_picture(encoded(pixels)), options)
        seconds = time.process_time() - started
        print(f"{title}: {result.report.steps} steps, {seconds:.0f} s of CPU time", flush=True)
        table.add(decoded(encoded(pixels)), decoded(result.encoded))
    print(f"\nattacked: {', '.join(names)}; {arguments.strength}, seed {arguments.seed}")
    print("not attacked: " + ", ".join(detector.name for detector in others))
    table.show()


def _named(name: str, weights: Path | None) -> FaceDetector:
    return detectors.load(name, weights_dir=weights)


class _Table:
    """Found and findable faces, by treatment and column; distances of face recognition."""

    def __init__(self, attacked: list[FaceDetector], others: list[FaceDetector]) -> None:
        self.groups = {"attacked": attacked, "others": others}
        self.found: dict[tuple[str, str, bool], list[bool]] = {}
        self.by_name: dict[tuple[str, str], list[bool]] = {}
        self.distances: dict[tuple[str, bool], list[float]] = {}
        self.damage: dict[str, list[float]] = {}

    def add(self, clean: np.ndarray, cloaked: np.ndarray) -> None:
        everyone = [detector for group in self.groups.values() for detector in group]
        faces, before = find_faces(everyone, clean)
        faces = faces[
            [index for index in range(len(faces)) if self._agreed(faces[index : index + 1], before)]
        ]
        recogniser = (
            recogniser_for(FaceRecognition.load(), to_tensor(clean), 1.0, faces, before)
            if locate(model("dlib-face-recognition")) is not None
            else None
        )
        for treatment, apply in TREATMENTS.items():
            for pixels, is_cloaked in ((clean, False), (cloaked, True)):
                shown = apply(pixels)
                scale = shown.shape[1] / pixels.shape[1]
                if not is_cloaked and scale == 1:
                    self.damage.setdefault(treatment, []).append(min(psnr(clean, shown), 99.0))
                for group, members in self.groups.items():
                    for detector in members:
                        was = faces_found(before[detector.name], faces).tolist()
                        now = faces_found(detect_pixels(detector, shown), faces * scale).tolist()
                        hits = [hit for hit, could in zip(now, was, strict=True) if could]
                        self.found.setdefault((treatment, group, is_cloaked), []).extend(hits)
                        if is_cloaked:
                            self.by_name.setdefault((treatment, detector.name), []).extend(hits)
                if recogniser is not None:
                    with torch.no_grad():
                        gaps = recogniser.distances(to_tensor(shown))[0].tolist()
                    self.distances.setdefault((treatment, is_cloaked), []).extend(gaps)

    def _agreed(self, face: torch.Tensor, before: dict[str, Detections]) -> bool:
        """A face is what an attacked detector and one more report."""
        attacked = {detector.name for detector in self.groups["attacked"]}
        seen = {name for name, report in before.items() if faces_found(report, face).tolist()[0]}
        return bool(seen & attacked) and len(seen) > 1

    def show(self) -> None:
        head = "treatment                        PSNR of it | attacked: clean -> cloaked | others: clean -> cloaked"
        print(f"\n{head} | recognition: distance clean -> cloaked (recognised)")
        for treatment in TREATMENTS:
            cells = [f"{treatment:32s} {np.mean(self.damage.get(treatment, [float('nan')])):7.1f} dB"]
            for group in self.groups:
                clean, cloaked = (
                    _share(self.found[treatment, group, is_cloaked]) for is_cloaked in (False, True)
                )
                cells.append(f"{clean:>9s} -> {cloaked:8s}")
            if (treatment, True) in self.distances:
                clean_gap, gaps = (self.distances[treatment, is_cloaked] for is_cloaked in (False, True))
                known = sum(gap < SAME_PERSON for gap in gaps)
                cells.append(f"{np.mean(clean_gap):.2f} -> {np.mean(gaps):.2f} ({known} of {len(gaps)})")
            print(" | ".join(cells))
        print("\nby detector, cloaked (found of findable), attacked first:")
        for members in self.groups.values():
            for detector in members:
                cells = [
                    f"{sum(hits)}/{len(hits)}"
                    for hits in (self.by_name[treatment, detector.name] for treatment in TREATMENTS)
                ]
                print(f"{detector.name:22s} " + "  ".join(cells))


def _share(hits: list[bool]) -> str:
    return f"{100 * sum(hits) / len(hits):.0f} %" if hits else "-"


if __name__ == "__main__":
    main()

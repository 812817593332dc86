"""What the cloak benchmarks share: pictures, controls, counts and tables."""

from __future__ import annotations

import io
import json
import os
import resource
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from PIL import Image
from torch import Tensor

from cloak import CloakOptions, cloak_bytes, detectors
from cloak.detectors.base import Detections, FaceDetector
from cloak.detectors.geometry.matching import faces_found
from cloak.evaluate.detect import detect_pixels, find_faces
from cloak.evaluate.quality import crop, psnr
from cloak.evaluate.report import CloakReport
from cloak.pixels import recompressed, render_conditions, scaled
from provenance.errors import NoFaceError
from provenance.media.picture import open_picture
from synth.measure.conditions import equal_energy as equal_energy

CONDITIONS = ("published", "jpeg75", "half")


def portraits() -> dict[str, np.ndarray]:
    """The two public-domain portraits, uint8 RGB."""
    import matplotlib.cbook
    import skimage.data

    with matplotlib.cbook.get_sample_data("grace_hopper.jpg") as stream:  # type: ignore[union-attr]
        hopper = np.asarray(Image.open(stream).convert("RGB"))
    return {"astronaut": np.asarray(skimage.data.astronaut()), "hopper": hopper}


def stills() -> dict[str, np.ndarray]:
    """The photos in ``$VEILMARK_TEST_DATA/media/stills``, without the one of dogs; empty where unset."""
    folder = Path(os.environ.get("VEILMARK_TEST_DATA", "")) / "media" / "stills"
    return {
        path.stem: np.asarray(Image.open(path).convert("RGB"))
        for path in sorted(folder.glob("*.jpg"))
        if path.stem != "dogs"
    }


def pictures(names: str) -> dict[str, np.ndarray]:
    """``portraits``, ``stills``, ``all``, or names separated by commas."""
    known = {**portraits(), **stills()}
    if names == "all":
        return known
    if names in ("portraits", "stills"):
        return portraits() if names == "portraits" else stills()
    return {name: known[name] for name in names.split(",")}


def load_all(names: Iterable[str], weights_dir: Path | None = None) -> list[FaceDetector]:
    """Loaded detectors, each under the name it was asked for."""
    return [detectors.load(name, weights_dir=weights_dir) for name in names]


def rows_in(path: Path) -> list[dict[str, Any]]:
    """What earlier runs measured: the rows of a file of JSON lines; none where there is no file."""
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def append_row(path: Path, row: dict[str, Any]) -> None:
    with path.open("a") as file:
        file.write(json.dumps(row) + "\n")


def encoded(pixels: np.ndarray, quality: int = 95) -> bytes:
    """As JPEG without chroma subsampling, as the pipeline writes it."""
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "JPEG", quality=quality, subsampling=0)
    return buffer.getvalue()


def decoded(data: bytes) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(data)).convert("RGB"))


def counter_measures(pixels: np.ndarray) -> dict[str, np.ndarray]:
    """What a scraper may do against noise; each result has the picture's size again."""
    height, width = pixels.shape[:2]
    chain = recompressed(scaled(recompressed(pixels, 60), 0.7), 60)
    denoised = cv2.fastNlMeansDenoisingColored(pixels, None, 6, 6, 5, 15)
    return {
        "jpeg60, x0.7, jpeg60": np.asarray(cv2.resize(chain, (width, height), interpolation=cv2.INTER_CUBIC)),
        "median 5x5": np.asarray(cv2.medianBlur(pixels, 5)),
        "non-local means": np.asarray(denoised),
        "bilateral": np.asarray(cv2.bilateralFilter(pixels, 9, 40, 5)),
    }


@dataclass
class Tally:
    """Found and findable faces, by group and condition."""

    found: dict[tuple[str, str], int] = field(default_factory=dict)
    findable: dict[tuple[str, str], int] = field(default_factory=dict)

    def add(self, group: str, condition: str, found: int, findable: int) -> None:
        key = (group, condition)
        self.found[key] = self.found.get(key, 0) + found
        self.findable[key] = self.findable.get(key, 0) + findable

    def share(self, group: str, condition: str) -> float:
        """Percent found of those that could be; NaN where there were none."""
        findable = self.findable.get((group, condition), 0)
        return 100 * self.found[group, condition] / findable if findable else float("nan")

    def row(self, group: str, conditions: Sequence[str] = CONDITIONS) -> str:
        return " / ".join(f"{self.share(group, condition):3.0f}" for condition in conditions)


@dataclass(frozen=True)
class Subject:
    """A picture, its faces, and what each detector saw before."""

    pixels: np.ndarray
    faces: Tensor
    before: dict[str, Detections]

    @classmethod
    def of(cls, pixels: np.ndarray, everyone: Sequence[FaceDetector]) -> Subject:
        faces, before = find_faces(everyone, pixels)
        return cls(pixels, faces, before)

    def count(
        self,
        tally: Tally,
        group: str,
        pixels: np.ndarray,
        asked: Sequence[FaceDetector],
        *,
        counter: bool = False,
    ) -> None:
        """Ask detectors about a version of the picture, under every condition or counter-measure."""
        if counter:
            shown = {name: (version, 1.0) for name, version in counter_measures(pixels).items()}
        else:
            shown = render_conditions(pixels)
        for detector in asked:
            could = faces_found(self.before[detector.name], self.faces).tolist()
            for condition, (version, scale) in shown.items():
                hits = faces_found(detect_pixels(detector, version), self.faces * scale).tolist()
                found = sum(hit and was for hit, was in zip(hits, could, strict=True))
                tally.add(group, condition, found, sum(could))

    def worst_psnr(self, cloaked: np.ndarray) -> float:
        """Of the face crops, against the uncloaked picture in the same encoding, in dB."""
        plain = decoded(encoded(self.pixels))
        crops = [(box[0], box[1], box[2], box[3]) for box in self.faces.tolist()]
        return min(psnr(crop(plain, box), crop(cloaked, box)) for box in crops)


@dataclass(frozen=True)
class Trial:
    """One cloak: the picture, the report, the decoded picture, its control of equal energy, and CPU seconds."""

    subject: Subject
    report: CloakReport
    cloaked: np.ndarray
    control: np.ndarray
    seconds: float

    @classmethod
    def of(cls, pixels: np.ndarray, options: CloakOptions, everyone: Sequence[FaceDetector]) -> Trial | None:
        """Cloak a picture, as JPEG 95; None without a face."""
        subject, plain = Subject.of(pixels, everyone), decoded(encoded(pixels))
        started = time.process_time()
        try:
            result = cloak_bytes(open_picture(encoded(pixels)), options)
        except NoFaceError:
            return None
        spent = time.process_time() - started
        cloaked = decoded(result.encoded)
        return cls(subject, result.report, cloaked, equal_energy(plain, cloaked, options.seed), spent)

    def counts(self, detector: FaceDetector, version: np.ndarray) -> list[tuple[int, int]]:
        """For each condition, how many faces a detector finds in a version, and how many it could."""
        tally = Tally()
        self.subject.count(tally, "", version, [detector])
        return [(tally.found["", one], tally.findable["", one]) for one in CONDITIONS]


def peak_memory() -> float:
    """Peak resident memory of this process so far, in MB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def one_thread() -> None:
    torch.set_num_threads(1)

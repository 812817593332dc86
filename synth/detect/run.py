"""Run the fake detectors on a file. They give scores, never a verdict."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from provenance.errors import UsageError
from synth.detect.base import DETECTORS, Finding
from synth.detect.blink import blink_finding
from synth.detect.learned import LearnedDetectors
from synth.detect.lips import lips_finding
from synth.detect.observe import TIMELESS, FaceObserver, ObservedFace, whole_picture

SCHEMA = "veilmark.detect/1"
_NO_FACE = "no face was found"


@dataclass(frozen=True)
class DetectOptions:
    """How to ask.

    Attributes:
        detectors: which of :data:`DETECTORS`; all unless given.
        max_seconds: how much of a video is looked at, from its beginning.
        device: where torch computes.
        weights_dir: a folder to look in for face detectors' weights first.
        models: a folder with other trained fake detectors.
        pictures: also make maps (saliency, consistency).
    """

    detectors: tuple[str, ...] = tuple(DETECTORS)
    max_seconds: float = 30.0
    device: str = "cpu"
    weights_dir: Path | None = None
    models: Path | None = None
    pictures: bool = False

    def check(self) -> None:
        """Raises UsageError for a detector that does not exist, or a length out of bounds."""
        unknown = [name for name in self.detectors if name not in DETECTORS]
        if unknown or not self.detectors:
            raise UsageError(
                f"no fake detector is called {', '.join(unknown)[:100]!r}",
                hint="the names are: " + ", ".join(DETECTORS),
            )
        if not 0.1 <= self.max_seconds <= 600:
            raise UsageError(f"{self.max_seconds:g} seconds are not between 0.1 and 600")


@dataclass(frozen=True)
class Detection:
    """What the detectors say about one file.

    Attributes:
        path: the file.
        findings: by detector, in their order.
        joint: calibrated joint score, 0 to 1, or None where the detectors that could judge carry less than a third of
            all weight: by the calibration that comes with veilmark it takes "blend", or "warp" and "pulse" together.
            The odds of "lips" are averaged with theirs.
        observed: what they looked at.
        notes: remarks about the file.
    """

    path: Path
    findings: dict[str, Finding]
    joint: float | None
    observed: ObservedFace
    notes: tuple[str, ...] = ()

    @property
    def scores(self) -> dict[str, float | None]:
        """By detector: 0 to 1, None where it could not judge."""
        return {name: finding.score for name, finding in self.findings.items()}

    @property
    def reasons(self) -> dict[str, str]:
        """Why detectors could not judge."""
        return {name: one.reason for name, one in self.findings.items() if one.score is None}

    @property
    def face(self) -> bool:
        """A face was found."""
        return bool(self.observed.found.any())

    def to_json(self) -> dict[str, Any]:
        """As docs/research/detect.md describes it."""
        return {
            "schema": SCHEMA,
            "file": str(self.path),
            "kind": self.observed.kind,
            "seconds": round(self.observed.seconds, 3),
            "frames": len(self.observed.times),
            "frames_with_face": int(self.observed.found.sum()),
            "joint": None if self.joint is None else round(self.joint, 4),
            "detectors": {
                name: {
                    "score": None if one.score is None else round(one.score, 4),
                    "reason": one.reason,
                    "sentence": one.sentence,
                    "saw": one.saw,
                }
                for name, one in self.findings.items()
            },
            "notes": list(self.notes),
        }


def detect_file(
    path: Path,
    options: DetectOptions | None = None,
    *,
    observer: FaceObserver | None = None,
    judges: LearnedDetectors | None = None,
    progress: Callable[[float], None] | None = None,
) -> Detection:
    """Run the fake detectors on a video or a picture.

    Args:
        path: a file.
        options: which detectors, and how.
        observer, judges: loaded ones, shared by many files.
        progress: called with the share done.

    Raises:
        UsageError: wrong options; MissingPathError: no such file.
        MediaError: it is no picture and no video, is damaged, or too large.
        MissingModelError: weights are missing.
    """
    from synth.extraction.footage import open_footage

    chosen = options or DetectOptions()
    chosen.check()
    if path.is_dir():
        raise UsageError(f"{path} is a folder", hint="name the files in it")
    source = open_footage(path)[0]
    observer = observer or _observer(chosen.device, chosen.weights_dir)
    judges = judges or _judges(chosen.models, chosen.device)
    observed = observer.observe(source, max_seconds=chosen.max_seconds, progress=progress)
    if not observed.found.any():
        whole_picture(source, observed)
    return score_footage(path, observed, judges, chosen, damage=source.damage, pages=source.pages)


def score_footage(
    path: Path,
    observed: ObservedFace,
    judges: LearnedDetectors,
    options: DetectOptions | None = None,
    *,
    damage: str = "",
    pages: int = 1,
) -> Detection:
    """Run the fake detectors on an observed face.

    Args:
        path: what the result names.
        observed: the footage.
        judges: the detectors.
        options: which of them, and whether they draw maps.
        damage: why decoding ended early, for the notes.
        pages: how many pictures the file of a picture holds, for the notes.
    """
    chosen = options or DetectOptions()
    face = bool(observed.found.any())
    findings: dict[str, Finding] = {}
    for name in DETECTORS:
        if name not in chosen.detectors:
            continue
        if name == "splice":
            findings[name] = judges.consistency(observed, pictures=chosen.pictures)
        elif not face:
            findings[name] = Finding.cannot(_NO_FACE)
        elif name == "blink":
            findings[name] = blink_finding(observed)
        elif name == "pulse":
            findings[name] = judges.pulse(observed)
        elif name == "lips":
            findings[name] = lips_finding(observed, judges.lips)
        else:
            findings[name] = judges.face(name, observed, pictures=chosen.pictures)
    scores = {name: finding.score for name, finding in findings.items()}
    joint = judges.joint.probability(scores) if judges.joint is not None else None
    return Detection(path, findings, joint, observed, _notes(observed, damage, pages))


def _notes(observed: ObservedFace, damage: str, pages: int) -> tuple[str, ...]:
    notes = []
    if observed.cut:
        seen = f"{len(observed.times)} frames" if observed.timeless else f"{observed.seconds:.0f} s"
        notes.append(f"only the first {seen} were looked at")
    if observed.several > 0.05:
        notes.append(
            f"{observed.several:.0%} of the frames show more than one face: "
            "one of them was followed, the largest at first"
        )
    if observed.timeless:
        notes.append(TIMELESS)
    if pages > 1:
        notes.append(
            f"the file holds {pages} pictures (an animation, or pages) and only the first was looked at: "
            "convert an animation to a video to have it judged in time"
        )
    if damage:
        notes.append(damage)
    return tuple(notes)


@lru_cache(maxsize=2)
def _observer(device: str, weights_dir: Path | None) -> FaceObserver:
    return FaceObserver(device, weights_dir)


@lru_cache(maxsize=2)
def _judges(models: Path | None, device: str) -> LearnedDetectors:
    return LearnedDetectors(models, device)

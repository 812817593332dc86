"""Who looks at a picture, what they see before it is cloaked, and which of it are faces that can be chosen."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from cloak import detectors as detector_list
from cloak.attack.objective import faces_found
from cloak.attack.parallel import map_parallel
from cloak.attack.regions import merge_faces
from cloak.detectors.base import Detections, FaceDetector
from cloak.evaluate.judge import DisplayedPicture, detect_pixels, display_picture, which_found
from cloak.options import CloakOptions
from provenance.errors import NoFaceError, UsageError
from provenance.media.picture import Picture

#: Families whose report alone is believed. The others see faces in cats and coffee cups; what one of them reports
#: counts as a face only when a second family reports it too.
RELIABLE = ("cascade", "centerface", "retinaface", "mmod")


@dataclass(frozen=True)
class DetectedFace:
    """A face that can be chosen.

    Attributes:
        number: by which it is chosen, from 0, by falling size.
        box: ``x1 y1 x2 y2`` in pixels of the picture.
        detected_by: names of the detectors that report it.
    """

    number: int
    box: tuple[float, float, float, float]
    detected_by: tuple[str, ...]


@dataclass(frozen=True)
class DetectorSet:
    """The detectors at hand."""

    attacked: list[FaceDetector]
    judging: list[FaceDetector]

    @property
    def all(self) -> list[FaceDetector]:
        return self.attacked + self.judging


@dataclass(frozen=True)
class InitialDetections:
    """Who looks, and what they see before anything is changed.

    Attributes:
        detectors: the detectors.
        displayed: the picture as they are shown it.
        before: by name, what each reports in the view.
        seconds_per_pixel: how long the attacked ones took, for a pixel of the view.
        all_faces, confirmed_faces: ``(N, 4)`` in pixels of the picture: all reports merged, and those believed to be
            faces.
    """

    detectors: DetectorSet
    displayed: DisplayedPicture
    before: dict[str, Detections]
    seconds_per_pixel: float
    all_faces: Tensor
    confirmed_faces: Tensor


def detect_all(pixels: np.ndarray, options: CloakOptions) -> InitialDetections:
    """Show a picture, uint8 ``(H, W, 3)``, to every detector that is to be fooled or to judge.

    Raises:
        UsageError: a detector that cannot be attacked.
        MissingModelError: a detector's weights are not on this machine.
    """
    detectors = _load_detectors(options)
    displayed = display_picture(pixels)
    started = time.perf_counter()
    before = _detect_each(detectors.attacked, displayed.pixels, options.device)
    seconds_per_pixel = (time.perf_counter() - started) / (
        displayed.pixels.shape[0] * displayed.pixels.shape[1]
    )
    before |= _detect_each(detectors.judging, displayed.pixels, options.device)
    all_faces = merge_faces(list(before.values()))
    confirmed = all_faces[_confirmed(all_faces, before, detectors, explicit=options.detectors is not None)]
    return InitialDetections(
        detectors,
        displayed,
        before,
        seconds_per_pixel,
        all_faces / displayed.scale,
        confirmed / displayed.scale,
    )


def select_faces(faces: Tensor, options: CloakOptions) -> Tensor:
    """Those of ``(N, 4)`` faces that are to be hidden.

    Raises:
        NoFaceError: there is no face.
        UsageError: a number that no face has.
    """
    if len(faces) == 0:
        raise NoFaceError(
            "the detectors find no face in the picture that they agree on",
            hint="nothing to hide, or it is hidden by a cloak already; a very small or turned face may need a crop, "
            "or name --detectors",
        )
    if options.faces is None:
        return faces
    if max(options.faces) >= len(faces):
        raise UsageError(
            f"there are {len(faces)} faces, numbered from 0; face {max(options.faces)} is not there"
        )
    return faces[list(dict.fromkeys(options.faces))]


def list_faces(picture: Picture, options: CloakOptions) -> list[DetectedFace]:
    """The faces of a picture that can be chosen by their numbers, with these detectors; nothing is cloaked.

    Raises:
        UsageError, MissingModelError: see :func:`cloak_bytes`.
    """
    initial = detect_all(picture.pixels, options)
    detected = {
        name: which_found(report, initial.confirmed_faces * initial.displayed.scale)
        for name, report in initial.before.items()
    }
    return [
        DetectedFace(
            number,
            (box[0], box[1], box[2], box[3]),
            tuple(name for name, hits in detected.items() if hits[number]),
        )
        for number, box in enumerate(initial.confirmed_faces.tolist())
    ]


def _detect_each(detectors: Sequence[FaceDetector], pixels: np.ndarray, device: str) -> dict[str, Detections]:
    """By name, what each detector reports."""
    reports = map_parallel(lambda detector: detect_pixels(detector, pixels, device), detectors, device=device)
    return {detector.name: report for detector, report in zip(detectors, reports, strict=True)}


def _load_detectors(options: CloakOptions) -> DetectorSet:
    installed = detector_list.available(options.weights)
    names = options.detectors or tuple(detector_list.available(options.weights, differentiable=True))
    for name in names:
        if not detector_list.info(name).differentiable:
            raise UsageError(
                f"{name} cannot be attacked, it only judges", hint="leave it out of the detectors"
            )
    if not names:
        # say which weights are missing, through the loader's own message
        names = ("mtcnn",)
    judges = options.judges if options.judges is not None else tuple(installed)
    attacked = [_load(name, options) for name in dict.fromkeys(names)]
    judging = [_load(name, options) for name in dict.fromkeys(judges) if name not in names]
    return DetectorSet(attacked, judging)


def _load(name: str, options: CloakOptions) -> FaceDetector:
    detector = detector_list.load(name, options.device, options.weights)
    # variants of one class are told apart by the name they were asked for
    detector.name = name  # type: ignore[misc]
    return detector


def _confirmed(
    faces: Tensor, reports: dict[str, Detections], detectors: DetectorSet, *, explicit: bool
) -> Tensor:
    """``(N,)`` bool: which reports are faces that an attacked detector sees.

    A report by one family alone counts when that family is reliable, or when the person named the detectors
    (``explicit``).
    """
    attacked = torch.zeros(len(faces), dtype=torch.bool)
    families: dict[str, Tensor] = {}
    for detector in detectors.all:
        detected = torch.as_tensor(faces_found(reports[detector.name], faces), dtype=torch.bool)
        families[detector.family] = families.get(detector.family, torch.zeros_like(attacked)) | detected
        if detector in detectors.attacked:
            attacked |= detected
    if explicit or not families:
        return attacked
    confirmed = torch.stack(list(families.values())).sum(0) >= 2
    for family, detected in families.items():
        if family in RELIABLE:
            confirmed |= detected
    return attacked & confirmed

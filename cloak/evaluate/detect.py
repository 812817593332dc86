"""The set of detectors, what they find before a picture is cloaked, and which reports are faces to choose from."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from cloak import detectors as detector_list
from cloak.detectors.base import Detections, FaceDetector
from cloak.detectors.geometry.matching import merge_faces, same_face
from cloak.evaluate.presence import chosen_detectors
from cloak.models import locate, model
from cloak.options import CloakOptions
from cloak.parallel import map_parallel
from cloak.pixels import DisplayedPicture, display_picture, to_tensor
from cloak.recognition import encoders
from cloak.recognition.network import FaceRecognition
from cloak.recognition.objective import Encoder
from provenance.errors import NoFaceError, UsageError
from provenance.media.picture import Picture

#: Families whose report alone confirms a face. Others report faces in cats and coffee cups; a report by one of them
#: counts only when a second family reports the same face.
RELIABLE = ("cascade", "centerface", "retinaface", "mmod", "scrfd", "yolov8-face", "s3fd")
#: Families that report faces in the texture of enlarged pictures as well, and from how many families on that were asked
#: such a report needs a second one: 13 of 13 reports of RetinaFace alone in five large portraits were no faces.
_UNSURE, _QUORUM_FAMILIES = ("retinaface",), 3
#: A report is a part of a larger face where so much of it lies in that.
_INSIDE = 0.5


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
    """The detectors, and what they find before anything is changed.

    Attributes:
        detectors: the detectors.
        displayed: the picture at the size at which they are shown it.
        before: by name, what each reports in the view.
        seconds_attacked, seconds_judging: how long the detectors took for that.
        all_faces, confirmed_faces: ``(N, 4)`` in pixels of the picture: all reports merged, and those confirmed as
            faces.
    """

    detectors: DetectorSet
    displayed: DisplayedPicture
    before: dict[str, Detections]
    seconds_attacked: float
    seconds_judging: float
    all_faces: Tensor
    confirmed_faces: Tensor


class DetectorLoader:
    """Loads detectors at first use, once in each thread: for several pictures with the same options.

    A detector is not asked by two threads at the same time, for not all of them can bear it.

    Args:
        options: that say which.
    """

    def __init__(self, options: CloakOptions) -> None:
        self._options = options
        self._loaded = threading.local()

    def __call__(self) -> DetectorSet:
        """The detectors.

        Raises:
            UsageError, MissingModelError: see :func:`load_detectors`.
        """
        if not hasattr(self._loaded, "detectors"):
            self._loaded.detectors = load_detectors(self._options)
        found: DetectorSet = self._loaded.detectors
        return found


def detect_all(
    pixels: np.ndarray, options: CloakOptions, loader: DetectorLoader | None = None
) -> InitialDetections:
    """Run every detector, attacked or judging, on a picture, uint8 ``(H, W, 3)``.

    Args:
        pixels: of the picture.
        options: that say which detectors.
        loader: has them, made with the same options; None loads them.

    Raises:
        UsageError: a detector that cannot be attacked.
        MissingModelError: a detector's weights are not on this machine.
    """
    detectors = loader() if loader else load_detectors(options)
    displayed = display_picture(pixels)
    started = time.perf_counter()
    before = _detect_each(detectors.attacked, displayed.pixels, options.device)
    judged_from = time.perf_counter()
    before |= _detect_each(detectors.judging, displayed.pixels, options.device)
    ended = time.perf_counter()
    all_faces = merge_faces(list(before.values()))
    confirmed = all_faces[confirmed_by(all_faces, before, detectors, explicit=options.detectors is not None)]
    return InitialDetections(
        detectors,
        displayed,
        before,
        judged_from - started,
        ended - judged_from,
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
        UsageError, MissingModelError: see :func:`cloak.picture.pipeline.cloak_bytes`.
    """
    initial = detect_all(picture.pixels, options)
    detected = {
        name: same_face(report.boxes, initial.confirmed_faces * initial.displayed.scale).any(0).tolist()
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


def load_detectors(options: CloakOptions) -> DetectorSet:
    """The detectors to hide from, by default all that are installed, and those that only judge.

    Raises:
        UsageError: a detector that cannot be attacked, or an unknown name.
        MissingModelError: weights that are not on this machine.
    """
    attacked, judging = chosen_detectors(options)
    return DetectorSet(
        [detector_list.load(name, options.device, options.weights) for name in attacked]
        + load_brought_detectors(options),
        [detector_list.load(name, options.device, options.weights) for name in judging],
    )


def load_brought_detectors(options: CloakOptions) -> list[FaceDetector]:
    """The detectors that the person brought as files.

    Raises:
        MissingPathError, UsageError, MissingModelError: see :func:`cloak.detectors.brought.load.load_brought`.
    """
    if not options.brought:
        return []
    from cloak.detectors.brought.load import load_brought

    taken, loaded = [known.name for known in detector_list.DETECTORS], []
    for one in options.brought:
        loaded.append(load_brought(one.path, one.head, options.device, taken))
        taken.append(loaded[-1].name)
    return loaded


def load_encoders(options: CloakOptions, *, attackable: bool | None = None) -> list[Encoder]:
    """The encoders of faces whose weights are on this machine: dlib's and those of :mod:`cloak.recognition.encoders`.

    Args:
        options: whose folder of weights and device count.
        attackable: only those that cloaks may be made against (True), only judges (False), or all.
    """
    networks: list[Encoder] = []
    if attackable is not False and locate(model("dlib-face-recognition"), options.weights) is not None:
        networks.append(FaceRecognition.load(options.weights, options.device))
    present = encoders.available(options.weights)
    for known in encoders.ENCODERS:
        if known.name in present and attackable in (None, known.attackable):
            networks.append(encoders.FaceEncoder.load(known.name, options.weights, options.device))
    return networks


def detect_pixels(detector: FaceDetector, pixels: np.ndarray, device: str = "cpu") -> Detections:
    """The detector's report for one picture, uint8 ``(H, W, 3)``, with its own thresholds; tensors on the CPU."""
    report = detector.detect(to_tensor(pixels, device))[0]
    landmarks = None if report.landmarks is None else report.landmarks.cpu()
    return Detections(report.boxes.cpu(), report.scores.cpu(), landmarks)


def find_faces(
    detectors: Sequence[FaceDetector], pixels: np.ndarray, device: str = "cpu"
) -> tuple[Tensor, dict[str, Detections]]:
    """The faces that at least one detector reports, ``(N, 4)`` largest first, and each detector's report."""
    reports = {detector.name: detect_pixels(detector, pixels, device) for detector in detectors}
    return merge_faces(list(reports.values())), reports


def confirmed_by(
    faces: Tensor, reports: dict[str, Detections], detectors: DetectorSet, *, explicit: bool
) -> Tensor:
    """``(N,)`` bool: which reports are faces that an attacked detector sees.

    A report by one family alone counts when that family is reliable, or when the person named detectors (``explicit``)
    of one or two families. Where several families were asked, RetinaFace alone is not enough, and what lies in a larger
    face that more families see is a part of it.
    """
    attacked = torch.zeros(len(faces), dtype=torch.bool)
    families: dict[str, Tensor] = {}
    for detector in detectors.all:
        detected = same_face(reports[detector.name].boxes, faces).any(0)
        families[detector.family] = families.get(detector.family, torch.zeros_like(attacked)) | detected
        if detector in detectors.attacked:
            attacked |= detected
    named_few = explicit and len({one.family for one in detectors.attacked}) < _QUORUM_FAMILIES
    if named_few or not families:
        return attacked
    seen = torch.stack(list(families.values())).sum(0)
    confirmed = seen >= 2
    for family, detected in families.items():
        if family in RELIABLE and (family not in _UNSURE or len(families) < _QUORUM_FAMILIES):
            confirmed |= detected
    return attacked & confirmed & ~_parts(faces, seen)


def _parts(faces: Tensor, seen: Tensor) -> Tensor:
    """``(N,)`` bool: which reports lie mostly in a larger one that more families see.

    Args:
        faces: ``(N, 4)``.
        seen: ``(N,)``, by how many families.
    """
    areas = (faces[:, 2:] - faces[:, :2]).clamp_min(0).prod(1)
    corner = torch.maximum(faces[:, None, :2], faces[None, :, :2])
    shared = (torch.minimum(faces[:, None, 2:], faces[None, :, 2:]) - corner).clamp_min(0).prod(2)
    within = shared >= _INSIDE * areas[:, None]
    return (within & (areas[None] > areas[:, None]) & (seen[None] > seen[:, None])).any(1)

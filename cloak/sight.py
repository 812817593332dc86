"""Who looks at a picture, what they see before it is cloaked, and which of it are faces that can be chosen."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from cloak import detectors as detector_list
from cloak.detectors.base import Detections, FaceDetector
from cloak.judge import View, ask, view_of
from cloak.objective import same_face
from cloak.options import CloakOptions
from cloak.parallel import each
from cloak.regions import merge_faces
from provenance.errors import NoFaceError, UsageError
from provenance.media import Picture

#: Families whose report alone is believed. The others see faces in cats and coffee cups; what one of them reports
#: counts as a face only when a second family reports it too.
RELIABLE = ("cascade", "centerface", "retinaface", "mmod", "scrfd", "yolov8-face", "s3fd")


@dataclass(frozen=True)
class FaceSeen:
    """A face that can be chosen.

    Attributes:
        number: by which it is chosen, from 0, by falling size.
        box: ``x1 y1 x2 y2`` in pixels of the picture.
        found: names of the detectors that report it.
    """

    number: int
    box: tuple[float, float, float, float]
    found: tuple[str, ...]


@dataclass(frozen=True)
class Crew:
    """The detectors at hand."""

    attacked: list[FaceDetector]
    judging: list[FaceDetector]

    @property
    def all(self) -> list[FaceDetector]:
        return self.attacked + self.judging


@dataclass(frozen=True)
class Sight:
    """Who looks, and what they see before anything is changed.

    Attributes:
        crew: the detectors.
        view: the picture as they are shown it.
        before: by name, what each reports in the view.
        seconds: how long the attacked ones took, for a pixel of the view.
        everyone, seen: ``(N, 4)`` in pixels of the picture: all reports merged, and those believed to be faces.
    """

    crew: Crew
    view: View
    before: dict[str, Detections]
    seconds: float
    everyone: Tensor
    seen: Tensor


def look(pixels: np.ndarray, options: CloakOptions) -> Sight:
    """Show a picture, uint8 ``(H, W, 3)``, to every detector that is to be fooled or to judge.

    Raises:
        UsageError: a detector that cannot be attacked.
        MissingModelError: a detector's weights are not on this machine.
    """
    crew = _gather(options)
    view = view_of(pixels)
    started = time.perf_counter()
    before = _asked(crew.attacked, view.pixels, options.device)
    seconds = (time.perf_counter() - started) / (view.pixels.shape[0] * view.pixels.shape[1])
    before |= _asked(crew.judging, view.pixels, options.device)
    everyone = merge_faces(list(before.values()))
    seen = everyone[believed(everyone, before, crew, named=options.detectors is not None)]
    return Sight(crew, view, before, seconds, everyone / view.scale, seen / view.scale)


def chosen(faces: Tensor, options: CloakOptions) -> Tensor:
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


def faces_in(picture: Picture, options: CloakOptions) -> list[FaceSeen]:
    """The faces of a picture that can be chosen by their numbers, with these detectors; nothing is cloaked.

    Raises:
        UsageError, MissingModelError: see :func:`cloak_bytes`.
    """
    sight = look(picture.pixels, options)
    found_by = {
        name: same_face(report.boxes, sight.seen * sight.view.scale).any(0).tolist()
        for name, report in sight.before.items()
    }
    return [
        FaceSeen(
            number,
            (box[0], box[1], box[2], box[3]),
            tuple(name for name, hits in found_by.items() if hits[number]),
        )
        for number, box in enumerate(sight.seen.tolist())
    ]


def _asked(detectors: Sequence[FaceDetector], pixels: np.ndarray, device: str) -> dict[str, Detections]:
    """By name, what each detector reports."""
    reports = each(lambda detector: ask(detector, pixels, device), detectors, device=device)
    return {detector.name: report for detector, report in zip(detectors, reports, strict=True)}


def _gather(options: CloakOptions) -> Crew:
    present = detector_list.available(options.weights)
    names = options.detectors or tuple(detector_list.available(options.weights, differentiable=True))
    for name in names:
        if not detector_list.info(name).differentiable:
            raise UsageError(
                f"{name} cannot be attacked, it only judges", hint="leave it out of the detectors"
            )
    if not names:
        # say which weights are missing, through the loader's own message
        names = ("mtcnn",)
    judges = options.judges if options.judges is not None else tuple(present)
    attacked = [_loaded(name, options) for name in dict.fromkeys(names)]
    judging = [_loaded(name, options) for name in dict.fromkeys(judges) if name not in names]
    return Crew(attacked + brought_with(options), judging)


def brought_with(options: CloakOptions) -> list[FaceDetector]:
    """The detectors that the person brought as files.

    Raises:
        MissingPathError, UsageError, MissingModelError: see :func:`cloak.detectors.brought.load_brought`.
    """
    if not options.brought:
        return []
    from cloak.detectors.brought import load_brought

    taken, loaded = [known.name for known in detector_list.DETECTORS], []
    for one in options.brought:
        loaded.append(load_brought(one.path, one.head, options.device, taken))
        taken.append(loaded[-1].name)
    return loaded


def _loaded(name: str, options: CloakOptions) -> FaceDetector:
    detector = detector_list.load(name, options.device, options.weights)
    # variants of one class are told apart by the name they were asked for
    detector.name = name  # type: ignore[misc]
    return detector


def believed(faces: Tensor, reports: dict[str, Detections], crew: Crew, *, named: bool) -> Tensor:
    """``(N,)`` bool: which reports are faces that an attacked detector sees.

    A report by one family alone counts when that family is reliable, or when the person ``named`` the detectors.
    """
    attacked = torch.zeros(len(faces), dtype=torch.bool)
    families: dict[str, Tensor] = {}
    for detector in crew.all:
        hits = same_face(reports[detector.name].boxes, faces).any(0)
        families[detector.family] = families.get(detector.family, torch.zeros_like(attacked)) | hits
        if detector in crew.attacked:
            attacked |= hits
    if named or not families:
        return attacked
    agreed = torch.stack(list(families.values())).sum(0) >= 2
    for family, hits in families.items():
        if family in RELIABLE:
            agreed |= hits
    return attacked & agreed

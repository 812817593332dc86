"""Face detectors: cloaks are made against some of them and judged by all.

Start with :mod:`cloak.detectors.base` (what a detector is) and :func:`load` (a detector by its name). Each detector has
its own module; ``priors`` is what those with anchors share, ``native`` holds those that only judge. ``networks`` are
plain torch networks, ``readers`` read weight files, ``geometry`` has boxes and patches, ``brought`` loads detectors
from a person's own files. Importing this package imports no torch.
"""

from __future__ import annotations

import importlib
import importlib.util
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cloak import models
from provenance.errors import UsageError
from provenance.lazy import lazy_exports

if TYPE_CHECKING:
    from cloak.detectors.base import Candidates, Detections, FaceDetector

__all__ = [
    "DETECTORS",
    "Candidates",
    "Detections",
    "DetectorInfo",
    "FaceDetector",
    "available",
    "info",
    "load",
]

__getattr__, __dir__, _ = lazy_exports(
    __name__,
    dict.fromkeys(("Candidates", "Detections", "FaceDetector"), "cloak.detectors.base"),
)


@dataclass(frozen=True)
class DetectorInfo:
    """A detector that :func:`load` knows.

    Attributes:
        name: what people call it on the command line.
        family: detectors of one family share an architecture, so noise against one tends to fool the others;
            transfer is only told honestly across families.
        module: where its class lives, imported on demand.
        class_name: the class, whose ``load(weights_dir)`` makes it.
        models: names of the model files it needs.
        differentiable: it has ``candidates`` with gradients, so cloaks can be made against it; else it is
            only a judge.
        variant: passed to ``load`` where one class serves several detectors.
        package: a module that must be importable besides, found without importing it, or "".
    """

    name: str
    family: str
    module: str
    class_name: str
    models: tuple[str, ...] = ()
    differentiable: bool = True
    variant: str | None = None
    package: str = ""


DETECTORS: tuple[DetectorInfo, ...] = (
    DetectorInfo(
        "mtcnn", "cascade", "cloak.detectors.mtcnn", "MTCNN", ("mtcnn-pnet", "mtcnn-rnet", "mtcnn-onet")
    ),
    DetectorInfo("centerface", "centerface", "cloak.detectors.centerface", "CenterFace", ("centerface",)),
    *(
        DetectorInfo(
            f"blazeface-{variant}",
            "blazeface",
            "cloak.detectors.blazeface",
            "BlazeFace",
            (f"blazeface-{variant}",),
            variant=variant,
        )
        for variant in ("short", "back", "full")
    ),
    *(
        DetectorInfo(
            f"retinaface-{variant}",
            "retinaface",
            "cloak.detectors.retinaface",
            "RetinaFace",
            (f"retinaface-{variant}",),
            variant=variant,
        )
        for variant in ("mobilenet", "rfb", "slim")
    ),
    *(
        DetectorInfo(
            f"face-api-{variant}",
            family,
            "cloak.detectors.face_api",
            "FaceApi",
            (f"face-api-{variant}-manifest", f"face-api-{variant}-weights"),
            variant=variant,
        )
        for variant, family in (("tiny", "tiny-yolo"), ("ssd", "ssd"))
    ),
    DetectorInfo("yunet", "yunet", "cloak.detectors.yunet", "YuNet", ("yunet",)),
    DetectorInfo("faceboxes", "faceboxes", "cloak.detectors.faceboxes", "FaceBoxes", ("faceboxes",)),
    DetectorInfo("dlib-hog", "hog", "cloak.detectors.hog", "DlibHog", package="dlib"),
    DetectorInfo("dlib-cnn", "mmod", "cloak.detectors.mmod", "DlibCnn", ("dlib-mmod",), package="dlib"),
    *(
        DetectorInfo(
            f"haar-{variant}",
            "haar",
            "cloak.detectors.native",
            "HaarCascade",
            differentiable=False,
            variant=variant,
            package="cv2",
        )
        for variant in ("default", "alt2")
    ),
)


def info(name: str) -> DetectorInfo:
    """What is known about a detector without loading it.

    Raises:
        UsageError: no detector has that name.
    """
    for known in DETECTORS:
        if known.name == name:
            return known
    raise UsageError(
        f"no detector is called {name!r}",
        hint="the names are: " + ", ".join(known.name for known in DETECTORS),
    )


def available(weights_dir: Path | None = None, *, differentiable: bool | None = None) -> list[str]:
    """Names of the detectors whose weights are on this machine.

    Args:
        weights_dir: a folder to look in besides the installed carriers and veilmark's own.
        differentiable: only those that cloaks can be made against (True), only judges (False), or all.
    """
    return [
        known.name
        for known in DETECTORS
        if differentiable in (None, known.differentiable)
        and (not known.package or importlib.util.find_spec(known.package) is not None)
        and all(models.locate(models.model(name), weights_dir) is not None for name in known.models)
    ]


def load(name: str, device: Any = "cpu", weights_dir: Path | None = None) -> FaceDetector:
    """A detector with its weights, frozen, on ``device``.

    Raises:
        UsageError: no detector has that name.
        MissingModelError: its weights are missing or altered; the hint says how to get them.
    """
    known = info(name)
    maker = getattr(importlib.import_module(known.module), known.class_name)
    detector = maker.load(weights_dir) if known.variant is None else maker.load(weights_dir, known.variant)
    result: FaceDetector = detector.to(device)
    result.name = name  # type: ignore[misc]  # one class serves several variants
    return result

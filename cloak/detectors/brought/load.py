"""Detectors that a person brings as files: weights that nobody may hand on, or that only this person has."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection
from pathlib import Path
from typing import Any

import torch

from cloak.detectors.base import FaceDetector
from cloak.detectors.brought.onnx_faces import OnnxFaceDetector, Preparation, declared_size, probe
from cloak.detectors.brought.onnx_heads import RetinaFaceOnnx, Scrfd, UltraLight
from cloak.detectors.brought.s3fd import S3fd
from cloak.detectors.brought.yolo_face import YoloV8Face
from cloak.detectors.centerface import CenterFace
from cloak.detectors.readers.onnx import Graph, read_graph
from cloak.detectors.readers.onnx_check import can_check, check_against_runtime
from cloak.detectors.yunet import YuNet
from provenance.errors import MissingModelError, MissingPathError, UsageError

_MOST_BYTES = 512 << 20
_MOST_LETTERS = 40


def load_brought(path: Path, head: str, device: Any = "cpu", taken: Collection[str] = ()) -> FaceDetector:
    """A detector from a file, frozen, on ``device``.

    An ONNX file is run once, and compared with ONNX Runtime where that is installed.

    Args:
        path: an ONNX file, or for the head ``s3fd`` a ``.pth``.
        head: how it tells faces, one of :data:`cloak.options.HEADS`.
        device: where torch computes.
        taken: names that the detector cannot have; it is called after its file.

    Raises:
        MissingPathError: there is no such file.
        UsageError: the head does not fit the kind of file.
        MissingModelError: the file cannot be read, or is no detector with this head.
    """
    data = _content(path)
    if (head == "s3fd") == (path.suffix.lower() == ".onnx"):
        raise UsageError(
            f"{path.name} with --head {head} does not fit",
            hint="s3fd wants a .pth of named tensors, every other head an ONNX file",
        )
    try:
        detector = S3fd.from_bytes(data) if head == "s3fd" else _from_graph(data, head)
    except MissingModelError as error:
        raise MissingModelError(f"{path}: {error}", hint=error.hint or None) from error
    detector.name = _name_for(path, taken)  # type: ignore[misc]
    result: FaceDetector = detector.to(device)
    return result


def _content(path: Path) -> bytes:
    if not path.is_file():
        raise MissingPathError(f"there is no detector {path}")
    if path.stat().st_size > _MOST_BYTES:
        raise MissingModelError(
            f"{path} has {path.stat().st_size >> 20} MiB, detectors may have {_MOST_BYTES >> 20}"
        )
    return path.read_bytes()


def _from_graph(data: bytes, head: str) -> FaceDetector:
    graph = read_graph(data)
    if head == "centerface":
        centre = CenterFace(graph)
        centre.candidates(torch.rand((1, 3, 64, 64), generator=torch.Generator().manual_seed(0)))
        if can_check():
            check_against_runtime(data, probe(None, Preparation()))
        return centre
    detector = _MAKERS[head](graph)
    if can_check() and not detector.shortened:
        check_against_runtime(data, probe(detector.size, detector.preparation))
    return detector


def _any_size(make: Callable[..., OnnxFaceDetector], graph: Graph) -> OnnxFaceDetector:
    """For any size of picture where the graph can be run so, whatever it declares; else for the size that it
    declares.
    """
    size = declared_size(graph)
    try:
        return make(graph, size=None)
    except MissingModelError:
        if size is None:
            raise
        return make(graph, size=size)


_MAKERS: dict[str, Callable[[Graph], OnnxFaceDetector]] = {
    "scrfd": Scrfd,
    "yolov8-face": YoloV8Face,
    "yunet": lambda graph: _any_size(YuNet, graph),
    "retinaface": lambda graph: _any_size(RetinaFaceOnnx, graph),
    "ultra-light": UltraLight,
}


def _name_for(path: Path, taken: Collection[str]) -> str:
    """The file's name without its end, plain letters only, unlike any other detector's."""
    plain = re.sub(r"[^A-Za-z0-9._-]+", "-", path.stem)[:_MOST_LETTERS].strip("-.") or "brought"
    name, number = plain, 2
    while name in taken:
        name, number = f"{plain}-{number}", number + 1
    return name

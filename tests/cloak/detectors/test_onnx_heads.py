"""Detectors that a person brings as ONNX files: each head against ONNX Runtime and a decoding written anew."""

from __future__ import annotations

import importlib
import math
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import onnx
import pytest
import torch

from cloak.detectors.brought.load import load_brought
from cloak.detectors.brought.onnx_faces import OnnxFaceDetector
from cloak.detectors.readers.onnx_check import check_against_runtime
from provenance.errors import MissingModelError, MissingPathError, UsageError
from tests.support.onnx_decoders import HEADS, greedy, run

graphs: Any = importlib.import_module("tests.support.face_graphs")


def cases() -> dict[str, tuple[str, Callable[[], bytes], tuple[int, int] | None, float]]:
    """By name: head, the file, its size (None: any), and the tolerance of scores."""

    def scrfd(**more: Any) -> Callable[[], bytes]:
        choices = {name: more.pop(name) for name in ("landmarks", "batched") if name in more}
        return lambda: bytes(graphs.scrfd_file(graphs.seeded(graphs.ScrfdLike(**choices)), **more))

    def yolo(size: int = 320, dynamic: bool = False, opset: int = 12, **more: Any) -> Callable[[], bytes]:
        count = {"maps": 3, "parts": 9 if more.get("landmarks", True) else 6}.get(more.get("form", ""), 1)
        names = [f"output{number}" for number in range(count)]
        return lambda: bytes(
            graphs.exported(graphs.yolo(**more), (size, size), names, dynamic=dynamic, opset=opset)
        )

    def retina(counts: tuple[int, ...] = (2, 2, 2), **more: Any) -> Callable[[], bytes]:
        names = ["bbox", "confidence", "landmark"]
        return lambda: bytes(
            graphs.exported(graphs.seeded(graphs.RetinaLike(counts), span=100), (256, 320), names, **more)
        )

    def yunet(fixed: bool, **more: Any) -> Callable[[], bytes]:
        model = graphs.seeded(graphs.YunetLike(fixed=fixed), span=100)
        graphs.decided(model.heads[:2], 4.0)
        return lambda: bytes(graphs.exported(model, (320, 320), graphs.YUNET_NAMES, **more))

    def ultra() -> bytes:
        return bytes(
            graphs.exported(graphs.seeded(graphs.UltraLike(240, 320)), (240, 320), ["scores", "boxes"])
        )

    def centre() -> bytes:
        model = graphs.seeded(graphs.CentreLike(), span=100)
        return bytes(graphs.exported(model, (32, 32), ["heat", "scale", "offset", "points"], opset=9))

    return {
        "scrfd-any-size": ("scrfd", scrfd(dynamic=True), (640, 640), 1e-3),
        "scrfd-fixed": ("scrfd", scrfd(size=(320, 320)), (320, 320), 1e-4),
        "scrfd-no-landmarks": ("scrfd", scrfd(size=(320, 320), landmarks=False, opset=17), (320, 320), 1e-4),
        "scrfd-batched": ("scrfd", scrfd(size=(256, 384), batched=True, dynamic=False), (256, 384), 1e-4),
        "scrfd-weights-as-nodes": (
            "scrfd",
            lambda: graphs.weights_as_nodes(scrfd(size=(320, 320))()),
            (320, 320),
            1e-4,
        ),
        "scrfd-half": ("scrfd", lambda: graphs.halved(scrfd(size=(320, 320))()), (320, 320), 0.02),
        "yolo": ("yolov8-face", yolo(), (320, 320), 1e-4),
        "yolo-any-size": ("yolov8-face", yolo(dynamic=True, opset=17), (640, 640), 1e-3),
        "yolo-no-landmarks": ("yolov8-face", yolo(landmarks=False, opset=16), (320, 320), 1e-4),
        "yolo-maps": ("yolov8-face", yolo(form="maps", opset=11), (320, 320), 1e-4),
        "yolo-parts": ("yolov8-face", yolo(form="parts", opset=13), (320, 320), 1e-4),
        "yolo-opset-20": ("yolov8-face", lambda: graphs.with_opset(yolo(opset=17)(), 20), (320, 320), 1e-4),
        "yolo-half": ("yolov8-face", lambda: graphs.halved(yolo(form="maps")()), (320, 320), 0.02),
        "retina-any-size": ("retinaface", retina(dynamic=True), None, 1e-4),
        "retina-slim": ("retinaface", retina((3, 2, 2, 3), dynamic=True), None, 1e-4),
        "ultra-light": ("ultra-light", ultra, (240, 320), 1e-4),
        "yunet-any-size": ("yunet", yunet(False, dynamic=True), None, 1e-4),
        "yunet-declared": ("yunet", yunet(False), None, 1e-4),
        "yunet-fixed": ("yunet", yunet(True), (320, 320), 1e-4),
        "centerface": ("centerface", centre, None, 1e-4),
    }


CASES = cases()


@pytest.fixture(scope="module")
def photo() -> np.ndarray:
    """A photograph, 300 high and 400 wide, without a flat part."""
    import skimage.data

    pixels = cv2.resize(np.asarray(skimage.data.astronaut()), (400, 300), interpolation=cv2.INTER_AREA)
    noise = np.random.default_rng(0).integers(0, 40, pixels.shape)
    return np.asarray(np.clip(pixels.astype(np.int16) * 0.8 + noise, 0, 255).astype(np.uint8))


def fitted(
    pixels: np.ndarray, size: tuple[int, int] | None, place: str
) -> tuple[np.ndarray, float, tuple[int, int]]:
    """The picture as the graph takes it, by OpenCV; the scale; and where it lies."""
    height, width = pixels.shape[:2]
    if size is None:
        right, bottom = -width % 32, -height % 32
        return (
            cv2.copyMakeBorder(pixels, 0, bottom, 0, right, cv2.BORDER_CONSTANT, value=0),
            np.ones(2),
            np.zeros(2),
        )
    scale = min(size[0] / height, size[1] / width)
    new = (int(width * scale), int(height * scale))
    small = cv2.resize(pixels, new) if new != (width, height) else pixels
    left, top = (0, 0) if place == "corner" else ((size[1] - new[0]) // 2, (size[0] - new[1]) // 2)
    canvas = np.zeros((*size, 3), np.uint8)
    canvas[top : top + new[1], left : left + new[0]] = small
    return canvas, np.array(new) / (width, height), np.array([left, top])


def between(scores: np.ndarray) -> float:
    """A threshold that about a fifth of the scores reach, with none close to it."""
    ordered = np.sort(scores)[int(0.75 * len(scores)) : int(0.85 * len(scores))]
    at = int(np.diff(ordered).argmax())
    return float(ordered[at] + ordered[at + 1]) / 2


def ask_for(detector: Any, threshold: float) -> None:
    """Report from this score on; random weights give no sensible ones."""
    detector.threshold, detector.limit = threshold, math.log(threshold / (1 - threshold))


@pytest.mark.parametrize("name", CASES)
def test_decoded_as_anew(name: str, photo: np.ndarray, tmp_path: Path) -> None:
    """The file's outputs by ONNX Runtime, prepared and decoded in numpy, are what ``detect`` reports."""
    head, make, size, close = CASES[name]
    data = make()
    file = tmp_path / f"{name}.onnx"
    file.write_bytes(data)
    detector = load_brought(file, head)
    assert detector.name == name
    decode, mean, scale, swapped, most, pixel, place = HEADS[head]
    if head == "centerface":
        photo = photo[:288, :384]
    shown, factor, corner = fitted(photo, size, place)
    values = shown[..., ::-1] if swapped else shown
    picture = ((values.astype(np.float32) - np.array(mean, np.float32)) * np.float32(scale)).transpose(
        2, 0, 1
    )[None]
    scores, boxes, points = decode(run(data, picture), *shown.shape[:2])
    ask_for(detector, between(scores))
    clear = scores >= detector.threshold
    assert 10 < clear.sum() < 0.5 * len(scores)
    given = torch.from_numpy(photo.copy()).permute(2, 0, 1)[None].float() / 255
    (considered,), (found,) = detector.candidates(given), detector.detect(given)
    assert len(considered) == len(scores)
    bound = 4.0 * max(shown.shape[:2])
    boxes = boxes[clear].astype(np.float64)
    boxes = boxes if head == "centerface" else np.clip(boxes, -bound, bound)
    boxes = (boxes - np.tile(corner, 2)) / np.tile(factor, 2)
    kept = greedy(boxes, scores[clear], most, pixel)
    # numbers of 16 bits, and pictures that were enlarged, may change which of two boxes is kept
    assert abs(len(found) - len(kept)) <= (0 if close <= 1e-4 else 0.1 * len(kept) + 2)
    assert abs(float(found.scores[0]) - scores.max()) < close
    assert (found.landmarks is None) == (points is None)
    same = 0
    for at in kept:
        gaps = np.abs(found.boxes.numpy() - boxes[at]).max(1)
        near = int(gaps.argmin())
        fits = gaps[near] < 0.2 and abs(float(found.scores[near]) - scores[clear][at]) < close
        if points is not None and found.landmarks is not None:
            expected = (points[clear][at] - corner) / factor
            fits = fits and float(np.abs(found.landmarks[near].numpy() - expected).max()) < 0.3
        same += bool(fits)
    assert same >= (1.0 if close <= 1e-4 else 0.6) * len(kept)


@pytest.mark.parametrize("name", CASES)
def test_every_graph_is_checked_against_onnx_runtime(name: str) -> None:
    _, make, size, close = CASES[name]
    generator = torch.Generator().manual_seed(1)
    picture = torch.rand((1, 3, *(size or (96, 160))), generator=generator) * 2 - 1
    assert check_against_runtime(make(), picture) < (1e-3 if close <= 1e-3 else 3e-2)


@pytest.mark.parametrize(
    "name", ["scrfd-fixed", "yolo", "yolo-maps", "retina-any-size", "yunet-fixed", "ultra-light"]
)
def test_gradient_is_the_slope(name: str, photo: np.ndarray, tmp_path: Path) -> None:
    """In double precision, along random directions."""
    head, make, _, _ = CASES[name]
    file = tmp_path / "one.onnx"
    file.write_bytes(make())
    detector = load_brought(file, head).double()
    generator = torch.Generator().manual_seed(1)
    picture = torch.from_numpy(photo[:160, :160].copy()).permute(2, 0, 1)[None].double() / 255
    picture = (
        picture * 0.9 + 0.05 + 1e-3 * torch.rand(picture.shape, generator=generator, dtype=torch.float64)
    )

    def value(pictures: torch.Tensor) -> torch.Tensor:
        (considered,) = detector.candidates(pictures)
        total = torch.nn.functional.softplus(considered.logits + 1).mean()
        return total if considered.landmarks is None else total + considered.landmarks.mean() / 100

    start = picture.requires_grad_(True)
    (gradient,) = torch.autograd.grad(value(start), start)
    for _ in range(2):
        direction = torch.randn(picture.shape, generator=generator, dtype=torch.float64)
        step = 1e-8
        with torch.no_grad():
            slope = (value(start + step * direction) - value(start - step * direction)) / (2 * step)
        assert float(slope) == pytest.approx(float((gradient * direction).sum()), rel=2e-3)


def test_suppression_inside_is_left_out(photo: np.ndarray, tmp_path: Path) -> None:
    """A file that chooses among its boxes itself is read up to there, and sees what the same file without it sees."""
    plain = graphs.exported(graphs.yolo(), (320, 320), ["before"], opset=17)
    (tmp_path / "plain.onnx").write_bytes(plain)
    (tmp_path / "choosing.onnx").write_bytes(graphs.choosing(plain, 300))
    picture = torch.from_numpy(photo.copy()).permute(2, 0, 1)[None].float() / 255
    found = [
        load_brought(tmp_path / f"{name}.onnx", "yolov8-face").detect(picture)[0]
        for name in ("plain", "choosing")
    ]
    assert len(found[0]) == len(found[1]) > 2
    assert torch.equal(found[0].boxes, found[1].boxes) and torch.equal(found[0].scores, found[1].scores)


def test_the_square_with_black_below_is_the_picture(photo: np.ndarray, tmp_path: Path) -> None:
    """What a size of 240 x 320 is shown of a square that holds the picture in its corner is the picture itself."""
    file = tmp_path / "ultra.onnx"
    file.write_bytes(CASES["ultra-light"][1]())
    detector = load_brought(file, "ultra-light")
    assert isinstance(detector, OnnxFaceDetector) and detector.side == 320 and detector.letterbox == "corner"
    small = torch.from_numpy(photo.copy()).permute(2, 0, 1)[None].float()[..., :240, :320] / 255
    square = torch.nn.functional.pad(small, (0, 0, 0, 80))
    assert torch.equal(detector.detect(small)[0].boxes, detector.detect(square)[0].boxes)


def test_names_are_told_apart(tmp_path: Path) -> None:
    file = tmp_path / "de t:10g.onnx"
    file.write_bytes(CASES["scrfd-fixed"][1]())
    assert load_brought(file, "scrfd").name == "de-t-10g"
    assert load_brought(file, "scrfd", taken=["de-t-10g", "de-t-10g-2"]).name == "de-t-10g-3"


def test_wrong_files_are_refused(tmp_path: Path) -> None:
    scrfd, yolo = CASES["scrfd-fixed"][1](), CASES["yolo"][1]()
    file = tmp_path / "some.onnx"
    with pytest.raises(MissingPathError, match="there is no detector"):
        load_brought(file, "scrfd")
    for data, head, message in (
        (scrfd, "yolov8-face", "none of YOLOv8-face's"),
        (yolo, "scrfd", "1 outputs, expected SCRFD's"),
        (yolo, "yunet", "1 outputs, expected YuNet's 12"),
        (yolo, "ultra-light", "expected one with rows of 2"),
        (yolo, "centerface", "not CenterFace"),
        (b"", "scrfd", "found no graph"),
        (b"\x00" * 100, "scrfd", "cannot read the ONNX model"),
        (scrfd[: len(scrfd) // 2], "scrfd", "cannot read the ONNX model"),
    ):
        file.write_bytes(data)
        with pytest.raises(MissingModelError, match=message):
            load_brought(file, head)
    file.write_bytes(scrfd)
    with pytest.raises(UsageError, match="9 outputs, RetinaFace has 2 or 3") as told:
        load_brought(file, "retinaface")
    assert "--head scrfd" in told.value.hint
    with pytest.raises(UsageError, match="does not fit"):
        load_brought(file, "s3fd")


def test_damaged_files_give_one_kind_of_error(tmp_path: Path) -> None:
    """Bytes overwritten anywhere, and operations in each other's place."""
    data, chance = CASES["yunet-fixed"][1](), random.Random(4)
    file = tmp_path / "some.onnx"
    refused = 0
    for number in range(40):
        model = onnx.load_from_string(data)
        if number % 2:
            chosen = chance.choice(model.graph.node)
            chosen.op_type = chance.choice([node.op_type for node in model.graph.node])
            file.write_bytes(model.SerializeToString())
        else:
            broken = bytearray(data)
            for _ in range(6):
                broken[chance.randrange(len(broken))] = chance.randrange(256)
            file.write_bytes(broken)
        try:
            load_brought(file, "yunet")
        except MissingModelError:
            refused += 1
    assert refused > 10


def changed(data: bytes, change: Callable[[Any], None]) -> bytes:
    model = onnx.load_from_string(data)
    change(model)
    return bytes(model.SerializeToString())


def test_what_the_reader_does_not_take(tmp_path: Path) -> None:
    data = CASES["scrfd-fixed"][1]()
    file = tmp_path / "some.onnx"

    def external(model: Any) -> None:
        tensor = model.graph.initializer[0]
        tensor.ClearField("raw_data")
        tensor.data_location = onnx.TensorProto.EXTERNAL
        tensor.external_data.add(key="location", value="../../etc/passwd")

    def foreign(model: Any) -> None:
        node = next(node for node in model.graph.node if node.op_type == "Relu")
        node.domain, node.op_type = "com.microsoft", "FusedConv"

    def quantised(model: Any) -> None:
        next(node for node in model.graph.node if node.op_type == "Relu").op_type = "QLinearConv"

    def old(model: Any) -> None:
        model.opset_import[0].version = 5

    def endless(model: Any) -> None:
        graph = model.graph
        graph.initializer.append(onnx.numpy_helper.from_array(np.array([1 << 20, 1 << 20]), "huge"))
        graph.node.insert(0, onnx.helper.make_node("ConstantOfShape", ["huge"], ["much"]))
        last = graph.node[-1]
        graph.node.append(onnx.helper.make_node("Add", [last.output[0], "much"], ["sum"]))
        graph.output[-1].name = "sum"

    def sideways(model: Any) -> None:
        dims = model.graph.input[0].type.tensor_type.shape.dim
        dims[1].dim_value, dims[3].dim_value = 320, 3

    for change, message in (
        (external, "second file"),
        (foreign, r"com\.microsoft\.FusedConv is not supported"),
        (quantised, "QLinearConv is not supported"),
        (old, "operators are of version 5"),
        (endless, "is not allowed"),
        (sideways, "expected pictures of"),
    ):
        file.write_bytes(changed(data, change))
        with pytest.raises(MissingModelError, match=message):
            load_brought(file, "scrfd")

"""YuNet against OpenCV's own FaceDetectorYN."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import onnx
import pytest
import torch

from cloak.detectors import load
from cloak.detectors.readers.onnx import read_graph
from cloak.detectors.yunet import YuNet
from provenance.errors import MissingModelError

pytestmark = pytest.mark.vectors


def shown(pixels: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(pixels.copy()).permute(2, 0, 1)[None].float() / 255


def opencv_faces(file: Path, pixels: np.ndarray, threshold: float, folder: Path) -> np.ndarray:
    """``(N, 15)`` as OpenCV reports them, best first. It reads the file only where its sizes are written down."""
    height, width = pixels.shape[:2]
    model = onnx.load(str(file))
    sides = (1, 3, -(-height // 32) * 32, -(-width // 32) * 32)
    for dimension, side in zip(model.graph.input[0].type.tensor_type.shape.dim, sides, strict=True):
        dimension.dim_value = side
    onnx.save(model, str(folder / "fixed.onnx"))
    detector = cv2.FaceDetectorYN.create(
        str(folder / "fixed.onnx"), "", (width, height), threshold, 0.3, 5000
    )
    _, faces = detector.detect(cv2.cvtColor(pixels, cv2.COLOR_RGB2BGR))
    faces = np.zeros((0, 15), np.float32) if faces is None else faces
    return faces[np.argsort(-faces[:, 14], kind="stable")]


@pytest.mark.parametrize("threshold", [0.6, 0.9])
def test_as_opencv_sees_them(
    threshold: float, test_data: Path, portraits: dict[str, np.ndarray], tmp_path: Path
) -> None:
    file = test_data / "weights" / "yunet_n.onnx"
    detector = YuNet(read_graph(file.read_bytes()), threshold=threshold)
    pictures = dict(portraits)
    for name in ("2008_004176.jpg", "2008_002079.jpg"):
        pictures[name] = cv2.cvtColor(
            cv2.imread(str(test_data / "media" / "stills" / name)), cv2.COLOR_BGR2RGB
        )
    total = 0
    for pixels in pictures.values():
        expected = opencv_faces(file, pixels, threshold, tmp_path)
        (found,) = detector.detect(shown(pixels))
        assert len(found) == len(expected)
        total += len(found)
        corners = np.concatenate([expected[:, :2], expected[:, :2] + expected[:, 2:4]], axis=1)
        assert np.abs(found.boxes.numpy() - corners).max() < 0.01
        assert np.abs(found.scores.numpy() - expected[:, 14]).max() < 1e-4
        assert found.landmarks is not None
        assert np.abs(found.landmarks.numpy() - expected[:, 4:14].reshape(-1, 5, 2)).max() < 0.01
    assert total > 10


def test_candidates_carry_the_same_scores(test_data: Path, portraits: dict[str, np.ndarray]) -> None:
    """The best logit of all candidates is the logit of the best score that is reported."""
    detector = load("yunet", weights_dir=test_data / "weights")
    picture = shown(portraits["astronaut"])
    (found,), (considered,) = detector.detect(picture), detector.candidates(picture)
    best = torch.sigmoid(considered.logits.max() + detector.limit)  # type: ignore[operator]
    assert float(best) == pytest.approx(float(found.scores[0]), abs=1e-5)


def test_other_graphs_are_refused(test_data: Path) -> None:
    graph = read_graph((test_data / "weights" / "yunet_n.onnx").read_bytes())
    with pytest.raises(MissingModelError, match="expected YuNet's 12"):
        YuNet(replace(graph, outputs=graph.outputs[:9]))
    with pytest.raises(MissingModelError, match="made by nothing"):
        YuNet(replace(graph, outputs=tuple(f"{name}x" for name in graph.outputs)))
    with pytest.raises(MissingModelError, match="expected 320 rows of 1"):
        YuNet(replace(graph, outputs=(*graph.outputs[::-1][:11], "input")))

"""Each detector reports what its original reports.

``reference_detections.json`` was recorded from the originals by ``benchmarks/cloak/reference_detections.py``.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from cloak.detectors import available, load
from cloak.detectors.base import Detections
from cloak.recognition.face_mesh import FaceMesh, Iris, eye_rois, face_rois

REFERENCE: dict[str, Any] = json.loads(Path(__file__).with_name("reference_detections.json").read_text())
#: Those whose weights the packages bring; the others' lie in the test data.
RECORDED = sorted(name for name in REFERENCE["detections"] if not name.startswith("retinaface"))
FURTHER = sorted(set(REFERENCE["detections"]) - set(RECORDED))
MOST_PIXELS, MOST_SCORE = 1.0, 1e-3


def tensor(pixels: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(pixels.copy()).permute(2, 0, 1)[None].float() / 255


def need(name: str) -> None:
    if name not in available():
        pytest.skip(f"the weights of {name} are not installed: see weights.txt")


def assert_same(found: Detections, expected: Mapping[str, Any]) -> None:
    """The same faces, in whatever order equal scores left them."""
    boxes, scores = torch.tensor(expected["boxes"]).reshape(-1, 4), torch.tensor(expected["scores"])
    assert len(found) == len(boxes)
    if not len(boxes):
        return
    distance = (found.boxes[:, None] - boxes[None]).abs().amax(dim=-1)
    nearest = distance.argmin(dim=1)
    assert sorted(nearest.tolist()) == list(range(len(boxes)))
    assert distance.gather(1, nearest[:, None]).max() < MOST_PIXELS
    assert (found.scores - scores[nearest]).abs().max() < MOST_SCORE
    assert found.landmarks is not None
    landmarks = torch.tensor(expected["landmarks"])[nearest]
    assert (found.landmarks - landmarks).abs().max() < MOST_PIXELS
    assert (found.scores.diff() <= 0).all(), "best first"


@pytest.mark.parametrize("picture", ["astronaut", "hopper"])
@pytest.mark.parametrize("name", RECORDED)
def test_portraits(name: str, picture: str, portraits: dict[str, np.ndarray]) -> None:
    need(name)
    (found,) = load(name).detect(tensor(portraits[picture]))
    assert len(found) == 1
    assert_same(found, REFERENCE["detections"][name][picture])


@pytest.mark.vectors
@pytest.mark.parametrize("name", RECORDED)
def test_photos(name: str, test_data: Path) -> None:
    """Eight photos with 2 to 7 faces each, and dogs."""
    need(name)
    detector = load(name)
    for picture, expected in REFERENCE["detections"][name].items():
        path = test_data / "media" / "stills" / picture
        if not path.exists() or picture == "bald_guys.jpg":
            continue
        (found,) = detector.detect(tensor(np.asarray(Image.open(path).convert("RGB"))))
        assert_same(found, expected)


@pytest.mark.vectors
@pytest.mark.parametrize("name", FURTHER)
def test_further_weights(name: str, test_data: Path, portraits: dict[str, np.ndarray]) -> None:
    """The same on the portraits and all photos, a crowd and dogs among them."""
    detector = load(name, weights_dir=test_data / "weights")
    asked = 0
    for picture, expected in REFERENCE["detections"][name].items():
        path = test_data / "media" / "stills" / picture
        if picture not in portraits and not path.exists():
            continue
        pixels = portraits.get(picture)
        (found,) = detector.detect(
            tensor(np.asarray(Image.open(path).convert("RGB")) if pixels is None else pixels)
        )
        assert_same(found, expected)
        asked += 1
    assert asked >= 2


@pytest.mark.slow
@pytest.mark.vectors
@pytest.mark.parametrize("name", RECORDED)
def test_crowd(name: str, test_data: Path) -> None:
    """A picture of three megapixels with some twenty-five faces."""
    need(name)
    pixels = np.asarray(Image.open(test_data / "media" / "stills" / "bald_guys.jpg").convert("RGB"))
    (found,) = load(name).detect(tensor(pixels))
    assert_same(found, REFERENCE["detections"][name]["bald_guys.jpg"])


@pytest.mark.parametrize("picture", ["astronaut", "hopper"])
def test_face_mesh(picture: str, portraits: dict[str, np.ndarray]) -> None:
    need("blazeface-short")
    expected = REFERENCE["face_mesh"][picture]
    mesh, logits = FaceMesh.load()(tensor(portraits[picture]), torch.tensor([expected["roi"]]))
    assert logits[0] > 0
    assert (mesh[0, ::9] - torch.tensor(expected["every ninth"])).abs().max() < MOST_PIXELS


def test_face_mesh_and_iris_follow_the_detector(portraits: dict[str, np.ndarray]) -> None:
    """From boxes over the mesh to the irises: each iris lies between the corners of its eye."""
    need("blazeface-short")
    picture = tensor(portraits["astronaut"])
    (faces,) = load("blazeface-short").detect(picture)
    assert faces.landmarks is not None
    mesh, logits = FaceMesh.load()(picture, face_rois(faces.boxes, faces.landmarks))
    assert logits[0] > 0
    assert (mesh[0, 1, :2] - faces.landmarks[0, 2]).norm() < 0.1 * (faces.boxes[0, 2] - faces.boxes[0, 0])
    iris = Iris.load()
    for right, (outer, inner) in ((False, (33, 133)), (True, (362, 263))):
        _, points = iris(picture, eye_rois(mesh, right=right), right=right)
        assert mesh[0, outer, 0] < points[0, 0, 0] < mesh[0, inner, 0]
        assert (points[0, 1:, :2].mean(0) - points[0, 0, :2]).norm() < 2

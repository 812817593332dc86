"""FaceBoxes against a decoding written anew, and what it sees in real pictures."""

from __future__ import annotations

import io
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from cloak import models
from cloak.detectors import load
from cloak.detectors.faceboxes import FaceBoxes
from provenance.errors import MissingModelError

pytestmark = pytest.mark.vectors


def priors(height: int, width: int) -> np.ndarray:
    """``(M, 4)`` centre and side of every anchor as shares of the picture, one by one."""
    rows = []
    for stride, sides in ((32, (32, 64, 128)), (64, (256,)), (128, (512,))):
        for i in range(-(-height // stride)):
            for j in range(-(-width // stride)):
                for side in sides:
                    steps = {32: (0, 0.25, 0.5, 0.75), 64: (0, 0.5)}.get(side, (0.5,))
                    for dy in steps:
                        for dx in steps:
                            x, y = (j + dx) * stride / width, (i + dy) * stride / height
                            rows.append((x, y, side / width, side / height))
    return np.array(rows)


def greedy(boxes: np.ndarray, scores: np.ndarray, most: float) -> list[int]:
    kept: list[int] = []
    for at in np.argsort(-scores, kind="stable"):
        a = boxes[at]
        clear = True
        for other in kept:
            b = boxes[other]
            w = max(0.0, min(a[2], b[2]) - max(a[0], b[0]) + 1)
            h = max(0.0, min(a[3], b[3]) - max(a[1], b[1]) + 1)
            areas = [(one[2] - one[0] + 1) * (one[3] - one[1] + 1) for one in (a, b)]
            clear &= w * h / (sum(areas) - w * h) <= most
        if clear:
            kept.append(int(at))
    return kept


def independent(detector: FaceBoxes, pixels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Boxes and scores above 0.5, decoded in numpy from what the network puts out."""
    height, width = pixels.shape[:2]
    scale = min(1.0, 720 / height)
    scale *= min(1.0, 1080 / (width * scale))
    blue_first = np.ascontiguousarray(pixels[..., ::-1])
    if scale < 1:
        blue_first = cv2.resize(blue_first, (int(scale * width), int(scale * height)))
    small_height, small_width = blue_first.shape[:2]
    values = blue_first.astype(np.float32) - np.array((104, 117, 123), np.float32)
    with torch.no_grad():
        loc, conf = (
            one[0].double().numpy()
            for one in detector.network(torch.from_numpy(values.transpose(2, 0, 1))[None])
        )
    anchors = priors(small_height, small_width)
    assert len(anchors) == len(loc)
    centre = anchors[:, :2] + loc[:, :2] * 0.1 * anchors[:, 2:]
    size = anchors[:, 2:] * np.exp(loc[:, 2:] * 0.2)
    boxes = np.concatenate([centre - size / 2, centre + size / 2], 1)
    boxes = boxes * np.array([small_width, small_height] * 2) / scale
    scores = np.exp(conf[:, 1]) / np.exp(conf).sum(1)
    boxes, scores = boxes[scores > 0.5], scores[scores > 0.5]
    kept = greedy(boxes, scores, 0.3)
    return boxes[kept], scores[kept]


def test_decoding_and_real_pictures(test_data: Path, portraits: dict[str, np.ndarray]) -> None:
    detector = load("faceboxes", weights_dir=test_data / "weights")
    assert isinstance(detector, FaceBoxes)
    pictures = dict(portraits)
    for name in ("2008_004176.jpg", "bald_guys.jpg"):
        pictures[name] = cv2.cvtColor(
            cv2.imread(str(test_data / "media" / "stills" / name)), cv2.COLOR_BGR2RGB
        )
    for name, pixels in pictures.items():
        boxes, scores = independent(detector, pixels)
        (found,) = detector.detect(torch.from_numpy(pixels.copy()).permute(2, 0, 1)[None].float() / 255)
        assert len(found) == len(boxes) >= (1 if name in portraits else 9)
        assert np.abs(found.boxes.numpy() - boxes).max() < 0.05
        assert np.abs(found.scores.numpy() - scores).max() < 1e-4
    (astronaut,) = detector.detect(
        torch.from_numpy(portraits["astronaut"].copy()).permute(2, 0, 1)[None].float() / 255
    )
    left, top, right, bottom = astronaut.boxes[0].tolist()
    assert 150 < left < 190 and 250 < right < 300 and 40 < top < 100 and 160 < bottom < 220


def test_other_weights_are_refused(test_data: Path) -> None:
    data = models.read("retinaface-slim", test_data / "weights")
    state = torch.load(io.BytesIO(data), weights_only=True, map_location="cpu")
    with pytest.raises(MissingModelError, match="not those of FaceBoxes"):
        FaceBoxes(state)

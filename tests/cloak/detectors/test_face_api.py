"""face-api.js' two detectors: what the original reports on the same pixels, gradients, and how weights are read."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from cloak.detectors import available, load
from cloak.detectors.base import FaceDetector
from cloak.detectors.readers.tfjs import read_weights
from provenance.errors import MissingModelError

#: `make weights` puts them here.
WEIGHTS = Path(__file__).parents[3] / ".cache" / "weights"

#: What @vladmandic/face-api 1.7.15 on TensorFlow.js' processor backend reports from a score of .02 on, for the picture
#: shrunk to the network's own square: the best box, and the scores of the best two.
ORIGINAL = {
    ("tiny", "astronaut"): ((132.879, 61.497, 226.387, 151.239), (0.97252, 0.0593)),
    ("tiny", "hopper"): ((98.363, 94.868, 265.704, 243.89), (0.94675, 0.11317)),
    ("ssd", "astronaut"): ((181.118, 72.861, 264.395, 174.583), (0.96484, 0.06581)),
    ("ssd", "hopper"): ((143.536, 105.265, 300.639, 279.957), (0.9989, 0.31436)),
}


def _detector(variant: str) -> FaceDetector:
    if f"face-api-{variant}" not in available(WEIGHTS):
        pytest.skip("run `make weights`: the weights of face-api.js are not here")
    return load(f"face-api-{variant}", weights_dir=WEIGHTS)


def _square(pixels: np.ndarray, side: int) -> torch.Tensor:
    scale = side / max(pixels.shape[:2])
    small = cv2.resize(pixels, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    square = np.zeros((side, side, 3), np.uint8)
    square[: small.shape[0], : small.shape[1]] = small
    return torch.from_numpy(square).permute(2, 0, 1)[None].float() / 255


@pytest.mark.parametrize(("variant", "name"), ORIGINAL)
def test_the_original_reports_the_same(variant: str, name: str, portraits: dict[str, np.ndarray]) -> None:
    detector = _detector(variant)
    pixels = portraits[name]
    detector.threshold = 0.02  # type: ignore[attr-defined]
    found = detector.detect(_square(pixels, detector.side))[0]  # type: ignore[attr-defined,arg-type]
    box, scores = ORIGINAL[variant, name]
    assert found.boxes[0].tolist() == pytest.approx(box, abs=1.0)
    assert found.scores[:2].tolist() == pytest.approx(scores, abs=5e-3)


@pytest.mark.parametrize("variant", ["tiny", "ssd"])
def test_boxes_are_in_pixels_of_the_picture_whatever_its_shape(
    variant: str, portraits: dict[str, np.ndarray]
) -> None:
    detector = _detector(variant)
    pixels = portraits["astronaut"]
    wide = np.zeros((600, 900, 3), np.uint8)
    wide[50:562, 350:862] = pixels
    here = detector.detect(torch.from_numpy(pixels.copy()).permute(2, 0, 1)[None].float() / 255)[0]
    there = detector.detect(torch.from_numpy(wide).permute(2, 0, 1)[None].float() / 255)[0]
    assert len(here) == len(there) == 1
    shift = torch.tensor([350.0, 50, 350, 50])
    assert (there.boxes[0] - here.boxes[0] - shift).abs().max() < 15


@pytest.mark.parametrize("variant", ["tiny", "ssd"])
def test_gradients_are_those_of_differences(variant: str) -> None:
    detector = _detector(variant).double()
    generator = torch.Generator().manual_seed(1)
    side = detector.side  # type: ignore[attr-defined]
    picture = torch.rand(1, 3, 96, 80, generator=generator, dtype=torch.float64).requires_grad_(True)
    towards = torch.randn(picture.shape, generator=generator, dtype=torch.float64)
    found = detector.candidates(picture)[0]
    assert found.boxes.abs().max() < 50 * side

    def best(pixels: torch.Tensor) -> torch.Tensor:
        return detector.candidates(pixels)[0].logits.logsumexp(0)

    (gradient,) = torch.autograd.grad(best(picture), picture)
    step = 1e-8  # the layers have kinks
    with torch.no_grad():
        change = (best(picture + step * towards) - best(picture - step * towards)) / (2 * step)
    assert float((gradient * towards).sum()) == pytest.approx(float(change), rel=1e-3)


def _manifest(**changes: object) -> bytes:
    entry = {
        "name": "a",
        "shape": [2, 3],
        "dtype": "float32",
        "quantization": {"dtype": "uint8", "scale": 0.5, "min": -1.0},
    }
    return json.dumps([{"paths": ["x.bin"], "weights": [{**entry, **changes}]}]).encode()


def test_numbers_are_read_with_their_scale() -> None:
    found = read_weights(_manifest(), bytes([0, 1, 2, 3, 4, 255]))
    assert found["a"].tolist() == [[-1.0, -0.5, 0.0], [0.5, 1.0, 126.5]]
    plain = read_weights(_manifest(quantization=None), np.arange(6, dtype="<f4").tobytes())
    assert plain["a"].tolist() == [[0.0, 1.0, 2.0], [3.0, 4.0, 5.0]]


@pytest.mark.parametrize(
    ("manifest", "values"),
    [
        (b"{", b""),
        (b"[]", b"x"),
        (b'{"a": 1}', b""),
        (_manifest(), b"12345"),
        (_manifest(), b"1234567"),
        (_manifest(shape=[-2, -3]), b"123456"),
        (_manifest(shape=[10**9, 10**9]), b"123456"),
        (_manifest(shape="ab"), b"123456"),
        (_manifest(dtype="string", quantization=None), b"123456"),
        (_manifest(quantization={"dtype": "uint8"}), b"123456"),
    ],
)
def test_what_is_no_weights_is_refused(manifest: bytes, values: bytes) -> None:
    with pytest.raises(MissingModelError, match="cannot be read"):
        read_weights(manifest, values)

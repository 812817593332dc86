"""Judges: the same results as their originals give, in the same form as every detector's, and no gradients."""

from __future__ import annotations

import importlib.util
import os
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from cloak.detectors import DETECTORS, available, load
from provenance.errors import MissingModelError, UsageError

JUDGES = [known.name for known in DETECTORS if not known.differentiable]


def tensor(pixels: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(pixels.copy()).permute(2, 0, 1)[None].float() / 255


def weights_dir() -> Path | None:
    folder = os.environ.get("VEILMARK_TEST_DATA")
    return Path(folder, "weights") if folder else None


@pytest.mark.parametrize("name", JUDGES)
def test_judges_find_the_portraits(name: str, portraits: dict[str, np.ndarray]) -> None:
    """One face each where the eyes are; grey has none; two pictures at once are two alone."""
    if name not in available(weights_dir()):
        pytest.skip(f"{name} is not installed")
    judge = load(name, weights_dir=weights_dir())
    picture = tensor(portraits["astronaut"])[..., :300, 100:400]
    found, mirrored = judge.detect(torch.cat([picture, picture.flip(-1)]))
    eyes = torch.tensor([222.0 - 100, 118.0])
    assert ((found.boxes[0, :2] < eyes) & (found.boxes[0, 2:] > eyes)).all()
    assert found.boxes.dtype == found.scores.dtype == torch.float32
    assert (found.scores > 0.5).any() and (found.scores <= 1).all()
    assert len(mirrored) >= 1
    assert len(judge.detect(torch.full((1, 3, 64, 64), 0.5))[0]) == 0
    assert len(judge.detect(torch.rand((1, 3, 1, 1)))[0]) == 0
    with pytest.raises(UsageError, match="no gradients"):
        judge.candidates(picture)


def test_haar_is_opencvs(portraits: dict[str, np.ndarray]) -> None:
    cascade = cv2.CascadeClassifier(cv2.data.haarcascades + "haarcascade_frontalface_default.xml")
    for pixels in portraits.values():
        grey = cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY)
        expected = np.asarray(cascade.detectMultiScale(grey, 1.1, 5, minSize=(30, 30)), float)
        expected[:, 2:] += expected[:, :2]
        (found,) = load("haar-default").detect(tensor(pixels))
        assert sorted(found.boxes.tolist()) == sorted(expected.tolist())


def test_dlib_hog_is_dlibs(portraits: dict[str, np.ndarray]) -> None:
    dlib = pytest.importorskip("dlib")
    (found,) = load("dlib-hog").detect(tensor(portraits["hopper"]))
    (expected,) = dlib.get_frontal_face_detector()(portraits["hopper"], 1)
    corners = [expected.left(), expected.top(), expected.right() + 1, expected.bottom() + 1]
    assert found.boxes[0].tolist() == corners


@pytest.mark.skipif(importlib.util.find_spec("dlib") is not None, reason="dlib is installed")
def test_without_dlib_the_hint_says_how() -> None:
    with pytest.raises(MissingModelError) as caught:
        load("dlib-hog")
    assert "pip install dlib-bin" in str(caught.value.hint)

"""dlib's two detectors with gradients: they score as dlib does, and say where the face is."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
import torch

from cloak.detectors import available, load
from cloak.detectors.geometry.boxes import overlaps
from cloak.detectors.geometry.pyramid import levels
from cloak.detectors.native import NativeDlibCnn, NativeDlibHog
from cloak.detectors.readers.dlib import read_filters
from provenance.errors import MissingModelError


def weights_dir() -> Path | None:
    folder = os.environ.get("VEILMARK_TEST_DATA")
    return Path(folder, "weights") if folder else None


def tensor(pixels: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(pixels.copy()).permute(2, 0, 1)[None].float() / 255


@pytest.fixture(scope="module")
def faces(portraits: dict[str, np.ndarray]) -> list[np.ndarray]:
    """Two heads with some of their surroundings."""
    return [portraits["astronaut"][20:250, 110:340], portraits["hopper"][100:420:2, 100:420:2]]


@pytest.mark.parametrize(("name", "score"), [("dlib-hog", 0.15), ("dlib-cnn", 0.05)])
def test_scores_and_boxes_are_dlibs(name: str, score: float, faces: list[np.ndarray]) -> None:
    """The strongest candidate is dlib's report: its score up to rounding and resampling, its box up to a stride.

    The HOG's levels are 8-bit pictures in dlib and are not here; that is most of what is left of the difference.
    """
    if name not in available(weights_dir()):
        pytest.skip(f"{name} is not installed")
    detector = load(name, weights_dir=weights_dir())
    original = NativeDlibHog.load() if name == "dlib-hog" else NativeDlibCnn.load(weights_dir())
    compared = 0
    for face in faces:
        pixels = face[::2, ::2] if name == "dlib-hog" else face  # which enlarges what it is shown
        (theirs,) = original.detect(tensor(pixels))
        (reported,) = detector.detect(tensor(pixels))
        assert len(reported) == len(theirs)
        assert torch.allclose(torch.logit(reported.scores), torch.logit(theirs.scores), atol=score)
        if len(theirs):
            assert float(overlaps(reported.boxes, theirs.boxes).amax(1).min()) > 0.5
        for focus in (None, [theirs.boxes[:1]]):
            if not len(theirs):
                continue
            (found,) = detector.candidates(tensor(pixels), focus)
            near = overlaps(found.boxes, theirs.boxes[:1])[:, 0] > 0.75
            ours = float(found.logits[near].max()) / 4
            expected = float(torch.logit(theirs.scores[0]))
            assert ours == pytest.approx(expected, abs=score)
            strongest = found.boxes[found.logits.argmax()][None]
            assert float(overlaps(strongest, theirs.boxes[:1])) > 0.5
            compared += 1
    assert compared >= 2


def test_without_a_place_of_interest_nothing_is_considered(faces: list[np.ndarray]) -> None:
    if "dlib-hog" not in available(weights_dir()):
        pytest.skip("dlib-hog is not installed")
    (found,) = load("dlib-hog").candidates(tensor(faces[0]), [torch.zeros(0, 4)])
    assert len(found) == 0


def test_levels_shrink_by_five_sixths_around_the_wanted_size() -> None:
    picture = torch.rand(1, 3, 300, 240)
    every = [(level.shape[-1], steps) for level, steps in levels(picture, 80, 1.0)]
    assert every[0] == (240, 0) and every[1] == (200, 1) and every[-1][0] >= 64
    face = torch.tensor([[50.0, 50.0, 150.0, 170.0]])
    some = [(level.shape[-1], steps) for level, steps in levels(picture, 80, 1.0, face)]
    assert 0 < len(some) < len(every) and set(some) <= set(every)
    for width, _ in some:
        assert 0.6 < 110 * width / 240 / 80 < 1.5
    enlarged = [level.shape[-1] for level, _ in levels(picture, 80, 2.0, face / 2)]
    assert max(enlarged) > 240


def test_other_bytes_are_no_filters() -> None:
    for data in (b"", b"\x01\x02\x01\x01", bytes(200)):
        with pytest.raises(MissingModelError, match="cannot read the dlib detector"):
            read_filters(data)


def test_gradients_of_stepped_features_point_downhill(portraits: dict[str, np.ndarray]) -> None:
    """A small step against the HOG's smooth stand-in lowers its true score."""
    if "dlib-hog" not in available(weights_dir()):
        pytest.skip("dlib is not installed")
    face = tensor(portraits["astronaut"][40:220:2, 130:310:2])
    detector = load("dlib-hog")
    (seen,) = detector.detect(face)
    focus = [seen.boxes[:1]]
    shown = face.clone().requires_grad_(True)
    best = detector.candidates(shown, focus)[0].logits.max()
    (gradient,) = torch.autograd.grad(best, shown)
    lower = detector.candidates((face - 2 / 255 * gradient.sign()).clamp(0, 1), focus)[0].logits.max()
    higher = detector.candidates((face + 2 / 255 * gradient.sign()).clamp(0, 1), focus)[0].logits.max()
    assert float(lower) < float(best.detach()) - 0.5
    assert float(higher) > float(lower)

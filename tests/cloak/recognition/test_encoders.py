"""Face encoders against what TensorFlow.js 4 computed with the same files, and on people."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from cloak import CloakOptions, detectors
from cloak.evaluate.detect import load_encoders
from cloak.recognition.encoders import ENCODERS, FaceEncoder, available
from provenance.errors import MissingModelError, UsageError

WEIGHTS = Path(__file__).parents[3] / ".cache" / "weights"
#: The first six numbers, before they are scaled to length 1, of value k = 127.5 + 100 sin(.37 k) cos(.0011 k).
RECORDED = {
    "mobilefacenet": (-0.0130187, 0.0232566, -0.0000588, -0.0040367, -0.0167254, -0.0210146),
    "mobileface": (4.7756271, 1.5582693, -3.9235048, -3.3985555, -3.0137486, -6.8949718),
}


def loaded(name: str) -> FaceEncoder:
    if name not in available(WEIGHTS):
        pytest.skip(
            f"run `veilmark models get {name} -o .cache/weights`: its weights are not in .cache/weights"
        )
    return FaceEncoder.load(name, WEIGHTS)


@pytest.mark.parametrize("name", RECORDED)
def test_numbers_are_tensorflow_s(name: str) -> None:
    encoder = loaded(name)
    k = torch.arange(112 * 112 * 3, dtype=torch.float64)
    picture = (127.5 + 100 * torch.sin(0.37 * k) * torch.cos(0.0011 * k)).float().view(1, 112, 112, 3)
    assert np.allclose(encoder.graph(picture)[0, :6].tolist(), RECORDED[name], rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("name", [known.name for known in ENCODERS])
def test_two_people_are_told_apart_and_one_is_not(name: str, portraits: dict[str, np.ndarray]) -> None:
    encoder = loaded(name)
    embeddings = []
    for person in ("astronaut", "hopper"):
        picture = torch.from_numpy(portraits[person].copy()).permute(2, 0, 1)[None].float() / 255
        report = detectors.load("centerface").detect(picture)[0]
        assert report.landmarks is not None
        points = report.landmarks[:1]
        faces = [encoder.align(one, points * scale) for one, scale in ((picture, 1.0), (_half(picture), 0.5))]
        embeddings.append([encoder.embed(face) for face in faces])
    (ada, small_ada), (grace, _) = embeddings
    assert float(torch.linalg.vector_norm(ada - small_ada)) < encoder.same_person
    assert float(torch.linalg.vector_norm(ada - grace)) > encoder.same_person
    assert abs(float(torch.linalg.vector_norm(ada)) - 1) < 1e-5


def test_the_judge_is_never_attacked() -> None:
    loaded("faceres")
    options = CloakOptions(weights=WEIGHTS)
    attacked, judging = (load_encoders(options, attackable=wanted) for wanted in (True, False))
    assert "faceres" not in [one.name for one in attacked]
    assert [one.name for one in judging] == ["faceres"]


def test_missing_weights_and_unknown_names_are_said(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no face encoder"):
        FaceEncoder.load("arcface")
    with pytest.raises(MissingModelError, match="faceres"):
        FaceEncoder.load("faceres", tmp_path)


def _half(picture: torch.Tensor) -> torch.Tensor:
    return torch.nn.functional.interpolate(picture, scale_factor=0.5, mode="bilinear", antialias=True)

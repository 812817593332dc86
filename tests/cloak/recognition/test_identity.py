"""Identity: a recogniser that follows its picture through cuts and sizes, and noise that makes a face somebody else."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from cloak import CloakOptions, cloak_bytes, detectors, models
from cloak.attack.regions import plan_patches
from cloak.attack.transforms import crop_shift, identity, resize
from cloak.detectors.base import Detections
from cloak.detectors.geometry.rendering import Rendering
from cloak.evaluate.detect import detect_pixels
from cloak.pixels import to_tensor
from cloak.recognition.aligned_faces import align_faces
from cloak.recognition.network import SAME_PERSON, FaceRecognition
from cloak.recognition.objective import (
    Recogniser,
    embedding_distances,
    landmarks_of,
    recogniser_for,
)
from provenance.media.picture import open_picture

torch.set_num_threads(1)
pytestmark = pytest.mark.skipif(
    models.locate(models.model("dlib-face-recognition")) is None,
    reason="face-recognition-models is not installed",
)


@pytest.fixture(scope="module")
def report(portraits: dict[str, np.ndarray]) -> Detections:
    return detect_pixels(detectors.load("centerface"), portraits["astronaut"])


@pytest.fixture(scope="module")
def recogniser(portraits: dict[str, np.ndarray], report: Detections) -> Recogniser:
    picture = to_tensor(portraits["astronaut"])
    return recogniser_for(FaceRecognition.load(), picture, 1.0, report.boxes, {"centerface": report})


def test_a_face_is_itself_at_every_size(portraits: dict[str, np.ndarray], recogniser: Recogniser) -> None:
    picture = to_tensor(portraits["astronaut"])
    assert float(recogniser.distances(picture)) < 1e-3
    assert 0 < float(recogniser.distances(resize(0.5)(picture))) < 0.5 * SAME_PERSON
    (found,) = recogniser.detect(resize(0.5)(picture))
    assert torch.allclose(found.boxes, recogniser.faces / 2) and bool((found.scores > 0.9).all())
    stranger = to_tensor(np.ascontiguousarray(np.roll(portraits["astronaut"], 200, 0)))
    assert len(recogniser.detect(stranger)[0]) == 0


def test_a_patch_is_followed_through_cuts_and_halving(
    portraits: dict[str, np.ndarray], recogniser: Recogniser
) -> None:
    """The rendering says where the face is now."""
    pixels = portraits["astronaut"]
    (patch,) = plan_patches(pixels.shape[:2], recogniser.faces)
    part = to_tensor(pixels[patch.top : patch.bottom, patch.left : patch.right])
    inside = recogniser.for_patch(patch)
    assert isinstance(inside, Recogniser)
    faces = patch.boxes(recogniser.faces)
    for transform in (
        identity(),
        crop_shift(17, 9),
        resize(0.5),
        crop_shift(20, 6).then(resize(0.5, mode="area")),
    ):
        rendering, boxes = transform.render(Rendering(part)), transform.boxes(faces)
        shown, here = rendering.pixels, inside.for_rendering(rendering)
        (found,) = here.detect(shown)
        assert torch.allclose(found.boxes, boxes, atol=1.5), transform.name
        zone = torch.tensor([[0.0, 0.0, 20.0, 20.0]])
        (considered,) = here.candidates(shown, [torch.cat([boxes, zone])])
        assert torch.allclose(considered.boxes, boxes, atol=0.1)
        assert float(considered.logits) > 2


def test_the_distance_of_a_face_to_itself_has_a_finite_gradient() -> None:
    reference = torch.zeros(2, 128)
    start = reference.clone().requires_grad_(True)
    (gradient,) = torch.autograd.grad(embedding_distances(start, reference).sum(), start)
    assert bool(torch.isfinite(gradient).all())


def test_landmarks_come_from_reports_or_the_box(report: Detections) -> None:
    faces = torch.cat([report.boxes[:1], torch.tensor([[10.0, 300.0, 110.0, 420.0]])])
    without = Detections(report.boxes, report.scores)
    points = landmarks_of(faces, [without, report])
    assert report.landmarks is not None
    assert torch.equal(points[0], report.landmarks[0])
    assert bool((points[1] > faces[1, :2]).all()) and bool((points[1] < faces[1, 2:]).all())
    eyes, mouth = points[1, :2].mean(0), points[1, 3:].mean(0)
    assert eyes[1] < points[1, 2, 1] < mouth[1] and points[1, 0, 0] < points[1, 1, 0]


def _cloaked(pixels: np.ndarray, **options: Any) -> tuple[np.ndarray, Any]:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "JPEG", quality=95, subsampling=0)
    result = cloak_bytes(open_picture(buffer.getvalue()), CloakOptions(judges=(), rounds=1, **options))
    return np.asarray(Image.open(io.BytesIO(result.encoded)).convert("RGB")), result.report


def test_noise_makes_it_somebody_else(portraits: dict[str, np.ndarray]) -> None:
    """Judged apart from the search: Pillow decodes, and another detector's landmarks align the face."""
    pixels = portraits["astronaut"][:300, 80:380]
    cloaked, told = _cloaked(pixels, strength="mid", detectors=("centerface",), steps=25, recognition=True)
    dlib = next(one for one in told.recognition if one.encoder == "face-recognition")
    assert dlib.attacked and dlib.distances["published"][0] > SAME_PERSON
    assert any("face-recognition (attacked)" in line for line in told.lines())
    assert told.to_json()["recognition"][0]["threshold"] == SAME_PERSON
    points = detect_pixels(detectors.load("mtcnn"), pixels).landmarks
    assert points is not None
    pair = torch.cat([to_tensor(pixels), to_tensor(cloaked)])
    before, after = FaceRecognition.load().embed(align_faces(pair, points[:1].expand(2, 5, 2)))
    assert float((before - after).norm()) > SAME_PERSON


def test_without_the_option_recognition_only_judges(portraits: dict[str, np.ndarray]) -> None:
    pixels = portraits["astronaut"][:300, 80:380]
    _, told = _cloaked(pixels, strength="low", detectors=("centerface",), steps=1)
    assert told.recognition and not any(one.attacked for one in told.recognition)
    assert told.recognition[0].recognised("published") == 1
    assert {one.name for one in told.detectors} == {"centerface"}

"""Face recognition: dlib's own embeddings and aligned faces, gradients, and what is said when weights are missing."""

from __future__ import annotations

import math
import subprocess
import sys
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch

from cloak import models
from cloak.recognition.aligned_faces import LAYOUTS, align_faces, similarity
from cloak.recognition.landmarks68 import landmarks68
from cloak.recognition.network import ALIGNED_SIZE, SAME_PERSON, FaceRecognition
from provenance.errors import MissingModelError, UsageError

BOXES = {"astronaut": (170, 60, 282, 172), "hopper": (190, 90, 345, 245)}


def needs(*names: str) -> None:
    for name in names:
        if models.locate(models.model(name)) is None:
            pytest.skip(f"the weights {name} are not installed: {models.model(name).command}")


@pytest.fixture(scope="module")
def network() -> FaceRecognition:
    needs("dlib-face-recognition")
    return FaceRecognition.load()


@pytest.fixture(scope="module")
def dlib() -> Any:
    needs("dlib-face-recognition", "dlib-landmarks-68")
    return pytest.importorskip("dlib")


def tensor(pixels: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(pixels.copy()).permute(2, 0, 1)[None].float() / 255


def original(dlib: Any, pixels: np.ndarray, points: np.ndarray) -> np.ndarray:
    """dlib's own chip from the same landmarks."""
    shape = dlib.full_object_detection(
        dlib.rectangle(0, 0, 10, 10), dlib.points([dlib.point(int(x), int(y)) for x, y in points])
    )
    return np.asarray(dlib.get_face_chip(pixels, shape, ALIGNED_SIZE, 0.25))


@pytest.mark.parametrize("name", BOXES)
def test_embeddings_and_aligned_faces_are_dlibs(
    name: str, portraits: dict[str, np.ndarray], network: FaceRecognition, dlib: Any
) -> None:
    path = models.locate(models.model("dlib-face-recognition"))
    runtime = dlib.face_recognition_model_v1(str(path))
    points = landmarks68(portraits[name], BOXES[name])
    chip = original(dlib, portraits[name], points)
    expected = np.asarray(runtime.compute_face_descriptor(chip))
    with torch.no_grad():
        same_chip = network.embed(tensor(chip))[0].numpy()
        own = align_faces(tensor(portraits[name]), torch.from_numpy(points)[None])
        own_chip = network.embed(own)[0].numpy()
    assert np.abs(same_chip - expected).max() < 1e-5
    rounded_down = (own[0].permute(1, 2, 0).numpy().astype(np.float64) * 255 + 1e-3).astype(np.uint8)
    assert (np.abs(rounded_down.astype(int) - chip) <= 1).all() and (rounded_down != chip).mean() < 0.01
    assert np.linalg.norm(own_chip - expected) < 0.02


@pytest.mark.parametrize("factor", [0.5, 3.0, 7.0])
def test_aligned_faces_of_small_and_large_faces_are_dlibs(
    factor: float, portraits: dict[str, np.ndarray], dlib: Any
) -> None:
    pixels = cv2.resize(portraits["astronaut"][:256, 96:352], None, fx=factor, fy=factor)
    points = landmarks68(portraits["astronaut"][:256, 96:352], (74, 60, 186, 172))
    points = (points * factor).round()
    chip = original(dlib, pixels, points)
    own = align_faces(tensor(pixels), torch.from_numpy(points)[None])[0].permute(1, 2, 0)
    error = own.numpy() * 255 - chip
    # dlib rounds down to whole levels, once more for each time it halves the picture
    assert error.min() > -0.01 and error.max() < 3


def test_the_same_person_is_near_and_another_is_far(
    portraits: dict[str, np.ndarray], network: FaceRecognition
) -> None:
    """From what neural detectors report: eyes, nose and corners of the mouth."""
    from cloak import detectors

    detector = detectors.load("centerface")
    chips = []
    for pixels in (portraits["astronaut"], portraits["astronaut"][:, ::-1], portraits["hopper"]):
        landmarks = detector.detect(tensor(pixels))[0].landmarks
        assert landmarks is not None
        chips.append(align_faces(tensor(pixels), landmarks[:1]))
    collins, mirrored, hopper = network.embed(torch.cat(chips))
    assert float((collins - mirrored).norm()) < 0.5 * SAME_PERSON
    assert float((collins - hopper).norm()) > SAME_PERSON


def test_the_gradient_is_the_slope(network: FaceRecognition) -> None:
    """In double precision, from pixels of a picture through the chip to embedding and features."""
    precise = FaceRecognition.load().double()
    generator = torch.Generator().manual_seed(3)
    picture = torch.rand(1, 3, 200, 180, generator=generator, dtype=torch.float64).requires_grad_(True)
    points = torch.tensor([[[60.0, 80.0], [110.0, 86.0], [84.0, 110.0], [62.0, 138.0], [104.0, 142.0]]])
    weight = torch.randn(128, generator=generator, dtype=torch.float64)

    def value(pixels: torch.Tensor) -> torch.Tensor:
        chips = align_faces(pixels, points)
        return (precise.embed(chips)[0] * weight).sum() + precise.features(chips)[2].mean()

    (gradient,) = torch.autograd.grad(value(picture), picture)
    assert gradient.abs().max() > 0
    for _ in range(3):
        way = torch.randn(picture.shape, generator=generator, dtype=torch.float64)
        step = 1e-8 * way  # larger steps cross too many kinks of so many units
        with torch.no_grad():
            slope = (value(picture + step) - value(picture - step)) / 2e-8
        assert float(slope) == pytest.approx(float((gradient * way).sum()), rel=1e-3, abs=1e-6)


def test_features_shrink_five_times(network: FaceRecognition) -> None:
    chips = torch.rand(2, 3, ALIGNED_SIZE, ALIGNED_SIZE, generator=torch.Generator().manual_seed(0))
    seen = network.features(chips)
    assert [tuple(one.shape) for one in seen] == [
        (2, 32, 35, 35),
        (2, 64, 17, 17),
        (2, 128, 8, 8),
        (2, 256, 4, 4),
        (2, 256, 2, 2),
    ]
    assert all(float(one.min()) >= 0 < float(one.max()) for one in seen)
    assert torch.allclose(network(chips)[1], network.embed(chips[1:])[0], atol=1e-5)
    assert not any(weight.requires_grad for weight in network.parameters())


@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_chip_turns_a_face_upright(layout: str) -> None:
    """Dots at the landmarks of a face that is turned and scaled land where the mean face has them."""
    known = LAYOUTS[layout]
    turn, scale = math.radians(25), 110.0
    rotation = torch.tensor([[math.cos(turn), -math.sin(turn)], [math.sin(turn), math.cos(turn)]])
    mean = torch.tensor(known.mean)
    points = (mean - 0.5) @ rotation.T * scale + torch.tensor([170.0, 140.0])
    picture = torch.zeros(1, 3, 300, 320)
    yy, xx = torch.meshgrid(torch.arange(300.0), torch.arange(320.0), indexing="ij")
    for x, y in points[:5].tolist():
        picture += torch.exp(-((xx - x) ** 2 + (yy - y) ** 2) / 8)
    landmarks = torch.zeros(1, known.count, 2)
    landmarks[0, list(known.used)] = points
    chip = align_faces(picture, landmarks, layout=layout)[0, 0]
    for x, y in ((0.25 + mean[:5]) / 1.5 * ALIGNED_SIZE).tolist():
        around = chip[round(y) - 4 : round(y) + 5, round(x) - 4 : round(x) + 5]
        peak = divmod(int(around.argmax()), 9)
        assert abs(peak[0] - 4) <= 1 and abs(peak[1] - 4) <= 1


def test_faces_name_their_pictures() -> None:
    pictures = torch.stack([torch.full((3, 90, 90), 0.25), torch.full((3, 90, 90), 0.75)])
    points = torch.tensor([[30.0, 35.0], [60.0, 35.0], [45.0, 50.0], [33.0, 65.0], [57.0, 65.0]])
    chips = align_faces(pictures, points.expand(3, 5, 2), pictures_of=[1, 0, 1])
    assert [round(float(chip[0, 75, 75]), 3) for chip in chips] == [0.75, 0.25, 0.75]
    assert align_faces(pictures, torch.zeros(0, 5, 2)).shape == (0, 3, ALIGNED_SIZE, ALIGNED_SIZE)
    beyond = align_faces(pictures, points.expand(1, 5, 2) + 5000, pictures_of=[0])
    assert float(beyond.abs().max()) == 0


def test_the_similarity_is_the_least_squares_one() -> None:
    generator = torch.Generator().manual_seed(5)
    source = torch.rand(6, 2, generator=generator, dtype=torch.float64)
    goal = torch.rand(6, 2, generator=generator, dtype=torch.float64)
    matrix, shift = similarity(source, goal)
    # the same as a linear system in (a, b, x, y)
    rows = [(x, -y, 1, 0) for x, y in source.tolist()] + [(y, x, 0, 1) for x, y in source.tolist()]
    a, b, x, y = np.linalg.lstsq(np.array(rows), goal.T.reshape(-1).numpy(), rcond=None)[0]
    assert matrix.numpy() == pytest.approx(np.array([[a, -b], [b, a]]))
    assert shift.numpy() == pytest.approx(np.array([x, y]))


def test_wrong_input_is_refused(network: FaceRecognition) -> None:
    picture = torch.zeros(1, 3, 40, 40)
    for shape in ((1, 7, 2), (5, 2), (1, 5, 3)):
        with pytest.raises(UsageError, match="landmarks"):
            align_faces(picture, torch.zeros(shape))
    with pytest.raises(UsageError, match="one point"):
        align_faces(picture, torch.ones(1, 5, 2))
    with pytest.raises(UsageError, match="layout"):
        align_faces(picture, torch.ones(1, 5, 2), layout="nonsense")
    with pytest.raises(UsageError, match="2 faces for 1"):
        align_faces(picture, torch.rand(2, 5, 2))
    with pytest.raises(UsageError, match="aligned faces"):
        network.embed(torch.zeros(1, 3, 112, 112))
    for box in ((0, 0, 0, 10), (0, 0, float("nan"), 1), (1, 2, 3)):
        with pytest.raises(UsageError, match="box"):
            landmarks68(np.zeros((20, 20, 3), np.uint8), box)


def test_landmarks_lie_on_the_face(portraits: dict[str, np.ndarray], dlib: Any) -> None:
    for name, (x1, y1, x2, y2) in BOXES.items():
        points = landmarks68(portraits[name], BOXES[name])
        left_eye, right_eye, mouth = (points[a:b].mean(0) for a, b in ((36, 42), (42, 48), (48, 68)))
        assert x1 < left_eye[0] < right_eye[0] < x2 and y1 < left_eye[1] < mouth[1] < y2


def test_missing_weights_say_how_to_get_them() -> None:
    """In a Python that does not see the installed package."""
    script = (
        "import importlib.metadata as m\n"
        "from cloak import models\n"
        "models.importlib.metadata.distribution = lambda n: (_ for _ in ()).throw(m.PackageNotFoundError(n))\n"
        "from cloak.recognition.network import FaceRecognition\n"
        "try: FaceRecognition.load()\n"
        "except Exception as e: print(type(e).__name__, e.hint)\n"
    )
    result = subprocess.run(
        [sys.executable, "-c", script],
        cwd=Path(__file__).parents[3],
        capture_output=True,
        text=True,
        check=True,
    )
    assert result.stdout.split()[0] == MissingModelError.__name__
    assert "pip install --no-deps face-recognition-models==0.3.0" in result.stdout

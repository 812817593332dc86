"""Everything that takes a device computes there: nothing is mixed with the CPU, and what is read is brought back first.

The device stands in for a graphics card (:mod:`tests.support.far_device`), so no card is needed. Gradients cannot be
computed on it.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch

from cloak import detectors
from cloak.models import locate, model
from cloak.recognition import encoders
from synth.detect.learned import LearnedDetectors
from synth.detect.observe import FaceObserver, ObservedFace
from synth.detect.pulse_features import FEATURES
from synth.detect.run import DetectOptions, score_footage
from synth.extraction.canonical import alignment, warp
from synth.extraction.embedding import DlibEmbedder
from synth.extraction.finder import FaceFinder
from synth.extraction.footage import open_footage
from synth.lipsync.mouth.adapt import PRIOR
from synth.lipsync.mouth.model import load_mouth
from synth.lipsync.texture.texture import weighted_median
from synth.measure.judge import JUDGED_SIDE, Judge, pixels_to_tensor
from synth.swap.conversion.convert import ConvertOptions, Swapper
from synth.swap.features import DlibFeatures, available, load_features
from synth.swap.model import Generator
from synth.swap.training.critic import Critic
from synth.swap.training.data import Bank
from synth.swap.training.losses import feature_distance, reconstruction
from synth.swap.training.validation import held_out_measures
from tests.support.clips import film, wandering
from tests.support.far_device import far_device
from tests.support.swap_faces import drawn_bank, minute_preset


@pytest.fixture
def far() -> Iterator[torch.device]:
    with far_device() as device:
        yield device


@pytest.fixture(scope="module")
def portrait(portraits: dict[str, np.ndarray]) -> np.ndarray:
    return portraits["astronaut"]


def test_the_device_refuses_what_a_graphics_card_refuses(far: torch.device) -> None:
    there, here = torch.ones(2, 3).to(far), torch.ones(2, 3)
    for mixed in (lambda: there + here, lambda: torch.cat([there, here]), lambda: there.numpy()):
        with pytest.raises((RuntimeError, TypeError)):
            mixed()
    assert (there + 1).device.type == far.type and (there * 2).cpu().numpy().sum() == 12


@pytest.mark.parametrize("name", detectors.available())
def test_detectors(name: str, far: torch.device, portrait: np.ndarray) -> None:
    detector = detectors.load(name, far)
    batch = torch.from_numpy(portrait[::2, ::2].copy()).to(far).permute(2, 0, 1)[None].float() / 255
    with torch.no_grad():
        detector.detect(batch)


@pytest.mark.parametrize("name", encoders.available())
def test_face_encoders(name: str, far: torch.device, portrait: np.ndarray) -> None:
    encoder = encoders.FaceEncoder.load(name, None, far)
    landmarks = FaceFinder().find(portrait)[0].landmarks
    picture = torch.from_numpy(portrait.copy()).to(far).permute(2, 0, 1)[None].float() / 255
    points = torch.from_numpy(landmarks[None, :, :2].copy()).to(far)
    with torch.no_grad():
        assert np.isfinite(encoder.embed(encoder.align(picture, points)).cpu().numpy()).all()


def test_faces_are_found_and_told_apart(far: torch.device, portrait: np.ndarray) -> None:
    (face, *_) = FaceFinder(device=far).find(portrait)
    here = FaceFinder().find(portrait)[0]
    assert np.allclose(face.landmarks, here.landmarks, atol=0.5)
    if locate(model("dlib-face-recognition")) is not None:
        found = DlibEmbedder(far).embed(portrait, face.landmarks[:, :2])
        assert np.allclose(found, DlibEmbedder().embed(portrait, face.landmarks[:, :2]), atol=1e-3)


def test_the_judge_of_experiments(far: torch.device, portrait: np.ndarray) -> None:
    known = locate(model("dlib-face-recognition")) is not None
    judge = Judge(available()[0], embedder=DlibFeatures(JUDGED_SIDE, far) if known else None)
    points = FaceFinder().find(portrait)[0].landmarks[:, :2]
    faces = np.stack([warp(portrait, alignment(points, JUDGED_SIDE), JUDGED_SIDE)] * 2)
    vectors = judge.embedded(faces)
    assert vectors.shape == (2, 128) if known else vectors is None
    features = load_features(judge.features_name, JUDGED_SIDE, far)
    if features is not None:
        shown = pixels_to_tensor(faces, far)
        with torch.no_grad():
            assert float(feature_distance(features, shown, shown)) < 1e-3


@pytest.mark.parametrize("name", [one for one in available() if one != "none"])
def test_swaps_are_made_and_measured(name: str, far: torch.device, portrait: np.ndarray) -> None:
    preset = minute_preset(16)
    generator, critic = Generator(preset.architecture), Critic(preset.architecture)
    generator, critic = generator.to(far).eval(), critic.to(far)
    here = drawn_bank(1)
    bank = Bank(here.pixels.to(far), here.masks.to(far), here.details.to(far))
    features = load_features(name, preset.architecture.size, far)
    assert held_out_measures(generator, {"a": bank, "b": bank}, features)["measure"] > 0
    draws = torch.Generator().manual_seed(0)
    with torch.no_grad():
        batch = bank.draw(2, preset.augmentation, draws)
        made = generator({"a": batch.seen, "b": batch.seen})
        terms = reconstruction(*made["a"], batch, preset.weights, features)
        assert all(np.isfinite(float(one)) for one in terms.values())
        critic(batch.wanted, "a")
    landmarks = FaceFinder().find(portrait)[0].landmarks
    (swapped,) = Swapper(generator, ConvertOptions(to="b"), far).swap([portrait], [landmarks])
    assert swapped is not None and swapped.pixels.shape == portrait.shape


def test_mouths_follow_sound(far: torch.device) -> None:
    heard = np.random.default_rng(0).normal(size=(60, 28))
    there, here = (load_mouth(PRIOR, device).predict_steps(heard) for device in (far, "cpu"))
    assert np.allclose(there, here, atol=1e-4)
    pictures = np.random.default_rng(0).integers(0, 255, (5, 8, 8, 3), dtype=np.uint8)
    shares = np.random.default_rng(1).random(5).astype(np.float32)
    assert np.array_equal(
        weighted_median(pictures, shares, far),
        weighted_median(pictures, shares, "cpu"),  # type: ignore[arg-type]
    )


def test_fake_detectors(far: torch.device, portrait: np.ndarray, tmp_path: Path) -> None:
    path = film(tmp_path / "clip.mp4", wandering(portrait, 12))
    observed = FaceObserver(far).observe(open_footage(path)[0])
    assert isinstance(observed, ObservedFace) and observed.found.all() and len(FEATURES)
    found = score_footage(path, observed, LearnedDetectors(device=far), DetectOptions(pictures=False))
    assert found.scores["warp"] is not None or found.reasons["warp"]

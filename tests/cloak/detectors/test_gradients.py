"""Every differentiable detector: gradients against finite differences, batches, odd sizes, and that an attack
on its candidates fools the detector itself.
"""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
import torch

from cloak.detectors import DETECTORS, available, load
from cloak.detectors.base import FaceDetector
from provenance.errors import UsageError

NAMES = [known.name for known in DETECTORS if known.differentiable]
#: Families that decide by steps: what they hand back is the slope of a smooth stand-in, not their own.
STEPPED = ("hog", "haar")
#: Families that take the largest of neighbours again and again: on a flat background these are equal, and the largest
#: of equals has no slope. A little grain tells them apart; steps must stay far below it.
POOLED = ("yunet",)


def weights_dir() -> Path | None:
    folder = os.environ.get("VEILMARK_TEST_DATA")
    return Path(folder, "weights") if folder else None


@pytest.fixture(scope="module", params=NAMES)
def name(request: pytest.FixtureRequest) -> str:
    if request.param not in available(weights_dir()):
        pytest.skip(f"the weights of {request.param} are not on this machine")
    return str(request.param)


@pytest.fixture(scope="module")
def detector(name: str) -> FaceDetector:
    return load(name, weights_dir=weights_dir())


@pytest.fixture(scope="module")
def face(portraits: dict[str, np.ndarray]) -> torch.Tensor:
    """The astronaut's face and shoulders, 192 pixels square."""
    pixels = portraits["astronaut"][20:212, 128:320]
    return torch.from_numpy(pixels.copy()).permute(2, 0, 1)[None].float() / 255


def test_gradient_is_the_slope(name: str, face: torch.Tensor) -> None:
    """In double precision, along random directions, gradients of logits and landmarks predict the change."""
    precise = load(name, weights_dir=weights_dir()).double()
    if precise.family in STEPPED:
        pytest.skip(f"{name} decides by steps: its gradients are those of a smooth stand-in")
    generator = torch.Generator().manual_seed(1)
    start, step = face.double() * 0.9 + 0.05, 1e-8
    if precise.family in POOLED:
        start, step = start + 1e-3 * torch.rand(start.shape, generator=generator, dtype=torch.float64), 1e-10
    start = start.requires_grad_(True)
    focus = [torch.tensor([[50.0, 50.0, 145.0, 160.0]])]

    def value(pictures: torch.Tensor) -> tuple[torch.Tensor, int]:
        (found,) = precise.candidates(pictures, focus)
        if found.landmarks is None:
            return (found.logits + 3).clamp(min=0).sum(), len(found)
        weight = torch.sigmoid(found.logits.detach())[found.final_stage]
        points = (found.landmarks[found.final_stage] * weight[:, None, None].round()).sum() / 100
        if found.stages is not None:
            # a cascade's landmarks also move with its crops, which are found without gradient
            assert torch.autograd.grad(points, pictures, retain_graph=True)[0].abs().max() > 0
            points = points.detach() * 0
        return (found.logits + 3).clamp(min=0).sum() + points, len(found)

    total, count = value(start)
    (gradient,) = torch.autograd.grad(total, start)
    assert gradient.abs().max() > 0
    for _ in range(2):
        direction = torch.randn(start.shape, generator=generator, dtype=torch.float64)
        above, count_above = value(start + step * direction)
        below, count_below = value(start - step * direction)
        assert count == count_above == count_below
        slope = (above - below) / (2 * step)
        assert float(slope.detach()) == pytest.approx(float((gradient * direction).sum()), rel=1e-3)


def test_in_bfloat16_it_points_the_same_way(detector: FaceDetector, face: torch.Tensor) -> None:
    """As ``--bf16`` asks it: about the same answer, and a gradient that an attack can follow."""
    focus = [torch.tensor([[50.0, 50.0, 145.0, 160.0]])]
    tops, slopes = [], []
    for half in (False, True):
        picture = face.clone().requires_grad_(True)
        with torch.autocast("cpu", torch.bfloat16, enabled=half):
            (found,) = detector.candidates(picture, focus)
        logits = found.logits.float()
        tops.append(float(logits.detach().max()))
        slopes.append(torch.autograd.grad((logits + 3).clamp(min=0).sum(), picture)[0].flatten())
    assert tops[1] == pytest.approx(tops[0], abs=0.25)
    assert float(torch.cosine_similarity(slopes[0], slopes[1], 0)) > 0.5


def test_parameters_are_frozen(detector: FaceDetector) -> None:
    assert not detector.training
    assert not any(weight.requires_grad for weight in (*detector.parameters(), *detector.buffers()))


def test_candidates_agree_with_detect(detector: FaceDetector, face: torch.Tensor) -> None:
    """A face that is reported has a decisive candidate above 0 at its place, and grey shows neither."""
    (faces,) = detector.detect(face)
    (found,) = detector.candidates(face)
    assert len(faces) >= 1
    above = found.select(found.final_stage & (found.logits > 0))
    centre = (faces.boxes[0, :2] + faces.boxes[0, 2:]) / 2
    inside = (above.boxes[:, :2] < centre).all(1) & (above.boxes[:, 2:] > centre).all(1)
    assert inside.any()
    grey = torch.full_like(face, 0.5)
    assert len(detector.detect(grey)[0]) == 0
    (nothing,) = detector.candidates(grey)
    assert not (nothing.logits[nothing.final_stage] > 0).any()


def test_batch_is_each_alone(detector: FaceDetector, face: torch.Tensor) -> None:
    pictures = torch.cat([face, face.flip(-1), torch.zeros_like(face)])
    together = detector.detect(pictures)
    assert len(together) == 3 and len(together[2]) == 0
    for picture, found in zip(pictures, together, strict=True):
        (alone,) = detector.detect(picture[None])
        assert torch.allclose(alone.boxes, found.boxes, atol=0.05)
        assert torch.allclose(alone.scores, found.scores, atol=1e-4)


@pytest.mark.parametrize("size", [(1, 1), (19, 33), (1, 300), (33, 21)])
def test_odd_sizes(detector: FaceDetector, size: tuple[int, int]) -> None:
    pictures = torch.rand((2, 3, *size), generator=torch.Generator().manual_seed(0))
    for found in (*detector.detect(pictures), *detector.candidates(pictures)):
        assert torch.isfinite(found.boxes).all()


def test_wrong_input_is_refused(detector: FaceDetector) -> None:
    for wrong in (
        torch.zeros(3, 64, 64),
        torch.zeros(1, 1, 64, 64),
        torch.zeros(1, 3, 8, 8, dtype=torch.uint8),
    ):
        with pytest.raises(UsageError, match="expected a floating-point"):
            detector.detect(wrong)


def test_attack_on_candidates_fools_detect(detector: FaceDetector, face: torch.Tensor) -> None:
    """Twenty-five steps within 16 of 255 hide the face from ``detect``; as much random noise does not."""
    (before,) = detector.detect(face)
    focus, budget = [before.boxes], 16 / 255
    noise = torch.zeros_like(face)
    velocity = torch.zeros_like(face)
    for step in range(25):
        attempt = (face + noise).clamp(0, 1).requires_grad_(True)
        (found,) = detector.candidates(attempt, focus)
        stages = found.stages if found.stages is not None else torch.zeros_like(found.logits)
        loss = attempt.new_zeros(())
        for stage, weight in zip(stages.unique().tolist(), (0.2, 1.0, 2.0), strict=False):
            logits = found.logits[stages == stage]
            for count in (4, 64):
                best = logits.topk(min(count, len(logits))).values
                loss = loss + weight * torch.nn.functional.softplus(best + 1).mean()
        (gradient,) = torch.autograd.grad(loss, attempt)
        velocity = 0.9 * velocity + gradient / gradient.abs().mean()
        pace = 4 / 255 * (1 - step / 25)
        noise = (noise - pace * velocity.sign()).clamp(-budget, budget)
        cloaked = ((face + noise).clamp(0, 1) * 255).round() / 255
        if not len(detector.detect(cloaked)[0]):
            break
    assert len(detector.detect(cloaked)[0]) == 0
    assert (cloaked - face).abs().max() <= budget + 1e-6
    control = torch.randn(face.shape, generator=torch.Generator().manual_seed(3)).sign() * budget
    assert len(detector.detect((face + control).clamp(0, 1))[0]) >= 1

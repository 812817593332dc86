"""The search for margin: it makes every step, rests nobody, and ends further below the thresholds."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
import torch

from cloak import detectors
from cloak.attack import optimise
from cloak.budget import context_mask
from cloak.judge import to_tensor
from cloak.objective import hide
from cloak.options import CloakOptions
from cloak.regions import merge_faces
from cloak.strength import Strength
from cloak.task import Condition, Schedule, Task, examine
from cloak.transfer import optimise_for_transfer
from cloak.transforms import identity
from cloak.video_options import check_picture_options
from provenance.errors import UsageError

AS_IS = [Condition("published", lambda rng: identity(), (identity(),))]


def test_margin_grows_where_the_plain_search_stops(portraits: dict[str, np.ndarray]) -> None:
    """Both hide the face within the same limit; the thorough one makes every step and ends further below."""
    small = cv2.resize(portraits["astronaut"][:256, 96:352], (144, 144), interpolation=cv2.INTER_AREA)
    detector = detectors.load("centerface")
    clean = to_tensor(small)
    faces = merge_faces([detector.detect(clean)[0]])
    limit = Strength.HIGH.epsilon * context_mask((144, 144), faces, 0.25)
    task = Task(clean, faces, limit, energy=Strength.HIGH.energy)
    schedule = Schedule(steps=50, check_every=5)
    plain = optimise(task, [detector], AS_IS, schedule=schedule)
    thorough = optimise_for_transfer(task, [detector], AS_IS, schedule=schedule)
    assert plain.open == thorough.open == 0
    assert plain.steps < thorough.steps == 50
    left = []
    for outcome in (plain, thorough):
        assert all(examine(task, outcome.noise, [detector], AS_IS).values())
        assert bool((outcome.noise.abs() <= limit + 1e-6).all())
        found = detector.candidates((clean + outcome.noise).clamp(0, 1))[0]
        left.append(float(hide(found, faces, margin=6.0).sum().detach()))
    assert left[1] < left[0] - 0.2


def test_videos_refuse_it() -> None:
    with pytest.raises(UsageError, match="transfer"):
        check_picture_options(CloakOptions(transfer=True))
    check_picture_options(CloakOptions())


def test_gradients_of_stepped_features_point_downhill(portraits: dict[str, np.ndarray]) -> None:
    """A small step against the HOG's smooth stand-in lowers its true score."""
    if "dlib-hog" not in detectors.available():
        pytest.skip("dlib is not installed")
    face = to_tensor(portraits["astronaut"][40:220:2, 130:310:2])
    detector = detectors.load("dlib-hog")
    (seen,) = detector.detect(face)
    focus = [seen.boxes[:1]]
    shown = face.clone().requires_grad_(True)
    best = detector.candidates(shown, focus)[0].logits.max()
    (gradient,) = torch.autograd.grad(best, shown)
    lower = detector.candidates((face - 2 / 255 * gradient.sign()).clamp(0, 1), focus)[0].logits.max()
    higher = detector.candidates((face + 2 / 255 * gradient.sign()).clamp(0, 1), focus)[0].logits.max()
    assert float(lower) < float(best.detach()) - 0.5
    assert float(higher) > float(lower)

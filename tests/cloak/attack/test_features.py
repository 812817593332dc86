"""What networks see half-way, and noise that changes it."""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np
import pytest
import torch
from torch import Tensor

from cloak import detectors
from cloak.attack.budget import context_mask
from cloak.attack.conditions import Condition
from cloak.attack.features import FeatureRecorder, feature_similarity, middle_layers
from cloak.attack.search import optimise
from cloak.attack.task import Goals, Schedule, Task
from cloak.attack.transforms import identity
from cloak.detectors.base import FaceDetector
from cloak.pixels import to_tensor
from cloak.strength import Strength

AS_IS = [Condition("published", lambda rng: identity(), (identity(),))]


@pytest.fixture(scope="module")
def centerface() -> FaceDetector:
    return detectors.load("centerface")


@pytest.fixture(scope="module")
def task(portraits: dict[str, np.ndarray], centerface: FaceDetector) -> Task:
    small = cv2.resize(portraits["astronaut"][:256, 96:352], (128, 128), interpolation=cv2.INTER_AREA)
    clean = to_tensor(small)
    faces = centerface.detect(clean)[0].boxes[:1]
    limit = Strength.HIGH.epsilon * context_mask((128, 128), faces, 0.25)
    return Task(clean, faces, limit, energy=Strength.HIGH.energy)


def maps_of(detector: FaceDetector, picture: Tensor, faces: Tensor) -> list[Tensor]:
    with torch.no_grad(), FeatureRecorder() as maps:
        detector.candidates(picture, [faces])
    return maps.seen


def test_the_recorder_sees_a_networks_convolutions_only_while_it_is_open(
    centerface: FaceDetector, task: Task
) -> None:
    with FeatureRecorder() as maps:
        centerface.candidates(task.clean)
    count = len(maps.seen)
    centerface.candidates(task.clean)
    assert count == len(maps.seen) > 20
    assert all(one.ndim == 4 for one in maps.seen)


def test_half_way_is_neither_the_beginning_nor_the_end_nor_too_small() -> None:
    wide, narrow = torch.zeros(1, 1, 8, 8), torch.zeros(1, 1, 4, 4)
    assert middle_layers([wide] * 20) == [5, 8, 11, 14]
    assert middle_layers([wide, wide, wide, narrow]) == [1, 2]
    assert middle_layers([narrow] * 20) == middle_layers([]) == []


def test_only_what_changes_on_the_faces_counts() -> None:
    clean = [torch.randn(1, 8, 16, 16, generator=torch.Generator().manual_seed(0))] * 4
    faces, size = torch.tensor([[16.0, 16.0, 48.0, 48.0]]), (64, 64)
    on_face, elsewhere = clean[0].clone(), clean[0].clone()
    on_face[..., 4:12, 4:12] += 1
    elsewhere[..., 12:, :] += 1
    elsewhere[..., :4, :] += 1
    same = feature_similarity(clean, clean, faces, size)
    assert feature_similarity([elsewhere] * 4, clean, faces, size) == same
    assert feature_similarity([on_face] * 4, clean, faces, size) < same
    further = clean[0] + 2 * (on_face - clean[0])
    assert feature_similarity([further] * 4, clean, faces, size) < feature_similarity(
        [on_face] * 4, clean, faces, size
    )


def test_a_face_that_no_map_covers_asks_for_nothing() -> None:
    maps = [torch.ones(1, 2, 8, 8, requires_grad=True)] * 4
    nothing = feature_similarity(maps, maps, torch.zeros(0, 4), (64, 64))
    assert float(nothing) == 0 and not nothing.requires_grad


def test_a_search_that_counts_features_moves_them_further(centerface: FaceDetector, task: Task) -> None:
    """At equal energy, and the face is missed either way."""
    before = maps_of(centerface, task.clean, task.faces)
    left = []
    for weight in (0.0, 0.6):
        schedule = Schedule(steps=20, min_steps=20, warp=0.15)
        result = optimise(task, [centerface], AS_IS, goals=Goals(features=weight), schedule=schedule)
        assert result.unresolved_count == 0
        after = maps_of(centerface, task.clean + result.noise, task.faces)
        left.append(float(feature_similarity(after, before, task.faces, (128, 128))))
    assert left[1] < left[0] - 1


def test_nothing_is_bent_where_landmarks_shall_move(centerface: FaceDetector, task: Task) -> None:
    """A bend would falsify where landmarks are wanted: with that goal, its amount changes nothing."""
    points = centerface.detect(task.clean)[0].landmarks
    assert points is not None
    known = replace(task, landmarks={"centerface": [points[0]]})
    noises = [
        optimise(
            known, [centerface], AS_IS, goals=Goals(landmark=0.3), schedule=Schedule(steps=2, warp=warp)
        ).noise
        for warp in (0.0, 0.15)
    ]
    assert torch.equal(*noises)

"""Objectives as functions of what detectors consider."""

from __future__ import annotations

import torch

from cloak.attack.objective import decoy_loss, hiding_loss, landmark_loss
from cloak.detectors.base import Candidates, Detections
from cloak.detectors.geometry.boxes import overlaps
from cloak.detectors.geometry.matching import expand_boxes, faces_found, matches_faces, same_face

FACE = torch.tensor([[10.0, 10.0, 50.0, 60.0]])


def _considered(logits: list[float], boxes: list[list[float]], stages: list[int] | None = None) -> Candidates:
    values = torch.tensor(logits, requires_grad=True)
    last = max(stages) if stages else 0
    return Candidates(
        torch.tensor(boxes), values, stages=torch.tensor(stages) if stages else None, last_stage=last
    )


ON, OFF = [12.0, 12.0, 48.0, 58.0], [200.0, 200.0, 240.0, 250.0]


def test_hiding_is_small_once_the_face_is_missed_and_ignores_other_places() -> None:
    seen = hiding_loss(_considered([4.0, -9.0], [ON, OFF]), FACE)
    missed = hiding_loss(_considered([-9.0, 4.0], [ON, OFF]), FACE)
    assert seen.sum() > 5 and missed.sum() < 0.01


def test_hiding_pushes_only_candidates_on_the_face_down() -> None:
    considered = _considered([1.0, 1.0], [ON, OFF])
    hiding_loss(considered, FACE).sum().backward()
    assert considered.logits.grad is not None
    assert float(considered.logits.grad[0]) > 0 and float(considered.logits.grad[1]) == 0


def test_a_cascade_reports_each_stage_and_one_fallen_stage_is_visible() -> None:
    stages = hiding_loss(_considered([5.0, -9.0, 6.0], [ON, ON, ON], [0, 1, 2]), FACE)
    assert stages.shape == (3,)
    assert stages.min() < 0.01 and stages.max() > 5


def test_a_stage_with_nothing_to_say_counts_as_fallen() -> None:
    stages = hiding_loss(_considered([5.0], [ON], [1]), FACE)
    assert float(stages[0].detach()) == 0 and float(stages[1].detach()) > 5


def test_more_faces_do_not_mean_more_weight() -> None:
    one = hiding_loss(_considered([3.0], [ON]), FACE)
    two = hiding_loss(_considered([3.0, 3.0], [ON, OFF]), torch.cat([FACE, torch.tensor([OFF])]))
    assert torch.allclose(one, two, atol=1e-5)


def test_decoys_need_every_stage() -> None:
    zone = torch.tensor([OFF])
    raised = decoy_loss(_considered([6.0, 6.0], [OFF, OFF], [0, 1]), zone)
    half = decoy_loss(_considered([6.0, -6.0], [OFF, OFF], [0, 1]), zone)
    none = decoy_loss(_considered([-6.0, -6.0], [OFF, OFF], [0, 1]), zone)
    assert raised.shape == half.shape == none.shape == (2, 1)
    assert raised.max() < 0.1
    assert half.min() < 0.1 and half.max() > 5
    assert none.min() > 5


def test_a_decoy_that_no_candidate_fits_is_not_taken_for_seen() -> None:
    zone = torch.tensor([OFF])
    x1, y1, x2, y2 = OFF
    small = [(3 * x1 + x2) / 4, (3 * y1 + y2) / 4, (x1 + x2) / 2, (y1 + y2) / 2]
    assert decoy_loss(_considered([-6.0], [small]), zone) > 5  # the nearest is raised
    assert decoy_loss(_considered([-6.0], [ON]), zone) > 1  # there is nothing to raise


def test_landmarks_are_pushed_away_until_far_enough() -> None:
    truth = torch.tensor([[20.0, 30.0], [40.0, 30.0]])
    losses = []
    for gap in (0.0, 2.0, 30.0):
        considered = Candidates(torch.tensor([ON]), torch.tensor([2.0]), landmarks=(truth + gap)[None])
        losses.append(float(landmark_loss(considered, FACE, [truth], share=0.15).detach()))
    assert losses[0] > losses[1] > losses[2] == 0


def test_early_stages_without_landmarks_do_not_spoil_the_loss() -> None:
    truth = torch.tensor([[20.0, 30.0], [40.0, 30.0]])
    points = torch.stack([torch.full_like(truth, float("nan")), truth])
    considered = Candidates(
        torch.tensor([ON, ON]), torch.zeros(2), points, stages=torch.tensor([0, 1]), last_stage=1
    )
    assert 0.9 < float(landmark_loss(considered, FACE, [truth]).detach()) <= 1


def test_found_means_overlap_or_a_similar_box_around_the_centre() -> None:
    boxes = torch.tensor([ON, [15.0, 20.0, 42.0, 50.0], OFF, [28.0, 32.0, 32.0, 36.0]])
    assert matches_faces(boxes, FACE)[:, 0].tolist() == [True, True, False, False]
    assert faces_found(Detections(boxes[2:], torch.ones(2)), FACE).tolist() == [False]
    assert faces_found(Detections(boxes[:1], torch.ones(1)), FACE).tolist() == [True]
    assert matches_faces(torch.zeros(0, 4), FACE).shape == (0, 1)


def test_a_body_around_a_face_is_another_thing() -> None:
    """For hiding, a box four times a face's area still gives it away; for counting, it is no second report of it."""
    face = torch.tensor([[40.0, 20.0, 60.0, 45.0]])
    body = torch.tensor([[30.0, 15.0, 70.0, 64.0]])  # holds the face, 3.9 times its area
    assert (
        matches_faces(face, body).item()
        and not same_face(face, body).item()
        and not same_face(body, face).item()
    )
    loose = torch.tensor([[37.0, 14.0, 64.0, 49.0]])  # a detector that frames hair and chin as well
    beside = torch.tensor([[48.0, 27.0, 66.0, 50.0]])  # as large, moved by less than half
    wide = torch.tensor(
        [[31.0, 11.0, 69.0, 57.0]]
    )  # three and a half times the area, but around the face's middle
    assert overlaps(face, wide).item() < 0.3
    assert same_face(face, torch.cat([loose, beside, wide]))[0].tolist() == [True, True, True]
    assert same_face(torch.zeros(0, 4), face).shape == (0, 1)


def test_widening_is_relative_to_the_box() -> None:
    assert expand_boxes(FACE, 0.5)[0].tolist() == [-10.0, -15.0, 70.0, 85.0]

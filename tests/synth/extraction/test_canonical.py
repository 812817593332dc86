"""The canonical face: the transform, the warp, the pose, the masks."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from provenance.errors import UsageError
from synth.extraction.canonical import (
    ANCHORS,
    EYE_DISTANCE,
    INNER_LIPS,
    LEFT_EYE,
    LIPS,
    OF_68,
    POINTS,
    RIGHT_EYE,
    TEMPLATE,
    alignment,
    canonical_points,
    detail_mask,
    face_mask,
    pose,
    transformed,
    umeyama,
    warp,
)

finite = st.floats(-100, 100)


def similarity(angle: float, scale: float, x: float, y: float) -> np.ndarray:
    cosine, sine = scale * np.cos(angle), scale * np.sin(angle)
    return np.array([[cosine, -sine, x], [sine, cosine, y]])


def mesh(turn: np.ndarray | None = None, scale: float = 100, x: float = 300, y: float = 200) -> np.ndarray:
    """The template as a mesh of 468 points; those that it lacks lie at the nose's root."""
    points = np.zeros((POINTS, 3))
    for index, place in TEMPLATE.items():
        points[index] = place
    return (points @ (np.eye(3) if turn is None else turn).T) * scale + (x, y, 0)


@settings(max_examples=60, deadline=None)
@given(st.floats(-3.1, 3.1), st.floats(0.05, 20), finite, finite, st.integers(0, 1000))
def test_a_similarity_is_found_again(angle: float, scale: float, x: float, y: float, seed: int) -> None:
    points = np.random.default_rng(seed).normal(size=(12, 2)) * 50
    wanted = similarity(angle, scale, x, y)
    assert np.allclose(umeyama(points, transformed(points, wanted)), wanted, atol=1e-6 * max(1, scale))


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 1000))
def test_no_other_similarity_comes_nearer(seed: int) -> None:
    random = np.random.default_rng(seed)
    source, target = random.normal(size=(9, 2)), random.normal(size=(9, 2))
    best = umeyama(source, target)
    least = ((transformed(source, best) - target) ** 2).sum()
    for _ in range(20):
        other = best + random.normal(size=(2, 3)) * 0.05
        other[1, :2] = (-other[0, 1], other[0, 0])
        assert ((transformed(source, other) - target) ** 2).sum() >= least - 1e-9


def test_a_mirror_image_is_turned_never_mirrored() -> None:
    points = np.random.default_rng(3).normal(size=(8, 2))
    assert np.linalg.det(umeyama(points, points * (-1, 1))[:, :2]) > 0


@pytest.mark.parametrize(
    "source", [np.zeros((5, 2)), np.full((5, 2), np.nan), np.zeros((5, 3)), np.random.rand(4, 2)]
)
def test_points_without_a_shape_are_refused(source: np.ndarray) -> None:
    with pytest.raises(UsageError):
        umeyama(source, np.random.default_rng(0).normal(size=(5, 2)))


@pytest.mark.parametrize("size", [64, 256, 512])
def test_an_aligned_face_lies_where_the_template_says(size: int) -> None:
    points = mesh()[:, :2]
    aligned = transformed(points, alignment(points, size))
    assert np.allclose(aligned[list(ANCHORS)], canonical_points(size), atol=1e-6)
    eyes = [aligned[list(pair)].mean(0) for pair in ((33, 133), (362, 263))]
    assert np.isclose(np.linalg.norm(eyes[1] - eyes[0]), EYE_DISTANCE * size, rtol=1e-6)
    assert np.isclose(eyes[0][1], eyes[1][1]) and (aligned[[10, 0]] > 0.08 * size).all()


def blob(place: tuple[float, float], size: int, width: float) -> np.ndarray:
    y, x = np.mgrid[0:size, 0:size] + 0.5
    value = 200 * np.exp(-((x - place[0]) ** 2 + (y - place[1]) ** 2) / (2 * width**2))
    return np.repeat(np.round(value)[..., None], 3, axis=2).astype(np.uint8)


def middle(pixels: np.ndarray) -> np.ndarray:
    weight = pixels[..., 0].astype(float)
    y, x = np.mgrid[0 : len(pixels), 0 : len(pixels)] + 0.5
    return np.array([(x * weight).sum(), (y * weight).sum()]) / weight.sum()


@pytest.mark.parametrize("scale", [0.2, 0.45, 1.0, 1.7])
@pytest.mark.parametrize("shift", [0.0, 0.25, 0.5, 0.8])
def test_the_warp_is_right_to_a_tenth_of_a_pixel(scale: float, shift: float) -> None:
    """A soft dot goes where the matrix says, whatever the scale: no half pixel is lost on the way."""
    side = round(300 / min(scale, 1))
    place = (side / 2 - 3.0, side / 2 + 11.0)
    matrix = similarity(0.3, scale, 0, 0)
    matrix[:, 2] = 64 + shift - transformed(np.array(place), matrix)
    result = warp(blob(place, side, 6 / min(scale, 1)), matrix, 128)
    assert np.abs(middle(result) - (64 + shift)).max() < 0.1


def test_a_shrinking_warp_averages_instead_of_skipping() -> None:
    """Fine stripes become grey; point sampling would leave stripes of another width."""
    stripes = np.zeros((512, 512, 3), np.uint8)
    stripes[:, ::2] = 255
    result = warp(stripes, similarity(0.05, 0.21, 5, 5), 64)
    assert result[16:48, 16:48].std() < 25


@pytest.mark.parametrize("axis, name", [(1, "yaw"), (0, "pitch"), (2, "roll")])
@pytest.mark.parametrize("degrees", [-35, -10, 0, 20, 40])
def test_poses_are_read_with_their_signs(axis: int, name: str, degrees: int) -> None:
    """Positive: nose to the right of the picture, nose up, head leaning clockwise. x is right, y down, z away."""
    angle = np.radians(degrees)
    c, s = np.cos(angle), np.sin(angle)
    turns = {
        "yaw": np.array([[c, 0, -s], [0, 1, 0], [s, 0, c]]),
        "pitch": np.array([[1, 0, 0], [0, c, s], [0, -s, c]]),
        "roll": np.array([[c, -s, 0], [s, c, 0], [0, 0, 1]]),
    }
    points = mesh(turns[name])
    found = dict(zip(("yaw", "pitch", "roll"), pose(points), strict=True))
    assert all(np.isclose(value, degrees if key == name else 0, atol=1e-6) for key, value in found.items())
    nose = points[4] - points[6]
    if name == "yaw" and degrees:
        assert np.sign(nose[0]) == np.sign(degrees)
    if name == "pitch":
        assert (points[4, 1] < mesh()[4, 1]) == (degrees > 0)


def test_masks_cover_what_they_say(portraits: dict[str, np.ndarray]) -> None:
    points = np.array([[32, 16], [96, 16], [96, 112], [32, 112], [64, 64]], np.float32)
    mask = face_mask(points, 128)
    assert mask.shape == (128, 128) and mask[20:108, 36:92].min() == 255
    assert mask[:14].max() == 0 and mask[:, 98:].max() == 0
    assert abs(int((mask > 127).sum()) - 64 * 96) < 170
    mesh_points = np.full((POINTS, 2), 64.0)
    angle = np.linspace(0, 2 * np.pi, len(LEFT_EYE), endpoint=False)
    ring = 6 * np.stack([np.cos(angle), np.sin(angle)], 1)
    mesh_points[list(LEFT_EYE)], mesh_points[list(RIGHT_EYE)] = np.add(ring, (40, 50)), np.add(ring, (88, 50))
    detail = detail_mask(mesh_points, 128)
    assert detail[50, 40] == detail[50, 88] == 255 and detail[50, 64] == 0 and detail[20].max() == 0


def test_it_can_be_read_how_far_a_mouth_is_open() -> None:
    points = np.full((POINTS, 2), -50.0)
    angle = np.linspace(0, 2 * np.pi, len(LIPS), endpoint=False)
    ring = np.stack([np.cos(angle), np.sin(angle)], 1)
    points[list(LIPS)] = np.add(ring * (20, 12), (64, 90))
    areas = []
    for gap in (0.0, 3.0, 6.0):
        points[list(INNER_LIPS)] = np.add(ring * (14, gap), (64, 90))
        detail = detail_mask(points, 128)
        assert detail[81, 64] == 128, "on the lip"
        areas.append(int((detail == 255).sum()))
    assert areas[0] < 20 and areas[1] > 80 and 1.7 < areas[2] / areas[1] < 2.6


def test_an_outline_outside_of_the_picture_is_cut_off() -> None:
    assert face_mask(np.array([[-900, -900], [900, -900], [900, 900], [-900, 900]]), 64).min() == 255
    assert face_mask(np.array([[-90, -90], [-80, -90], [-80, -70]]), 64).max() == 0


def test_point_lists_are_of_the_mesh_and_without_repetition() -> None:
    assert len(OF_68) == len(set(OF_68)) == 68
    for group in (ANCHORS, LEFT_EYE, RIGHT_EYE, LIPS, INNER_LIPS, OF_68):
        assert len(set(group)) == len(group) and all(0 <= index < POINTS for index in group)
    assert set(ANCHORS) <= set(TEMPLATE)


def test_the_template_is_symmetric() -> None:
    places = {tuple(np.round(place, 6)) for place in TEMPLATE.values()}
    assert all((round(-x, 6) + 0.0, y, z) in {(p[0] + 0.0, p[1], p[2]) for p in places} for x, y, z in places)


def test_borders_are_mirrored_not_black(portraits: dict[str, np.ndarray]) -> None:
    result = warp(portraits["hopper"], similarity(0, 0.5, 60, 60), 256)
    assert result[:20].mean() > 5
    assert cv2.absdiff(result[57:60], result[60:63][::-1]).mean() < 25

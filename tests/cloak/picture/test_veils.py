"""Veils through the picture pipeline: what is written stays under its ceilings, whatever the picture is."""

from __future__ import annotations

import io

import cv2
import numpy as np
import pytest
import torch
from PIL import Image

from cloak import CloakOptions, cloak_bytes
from cloak.evaluate.presence import chosen_detectors
from cloak.picture.pipeline import CloakResult
from cloak.strength import Strength
from cloak.veils.names import VeilName
from cloak.veils.visibility import CEILINGS
from provenance.media.picture import open_picture

torch.set_num_threads(1)
ATTACKED = ("centerface", "blazeface-short", "blazeface-back")


@pytest.fixture(scope="module")
def small(portraits: dict[str, np.ndarray]) -> np.ndarray:
    """A portrait of 200 x 200 pixels with a face of about 90."""
    return np.asarray(
        cv2.resize(portraits["astronaut"][:240, 104:344], (200, 200), interpolation=cv2.INTER_AREA)
    )


def _cloak(pixels: np.ndarray, *, written: str = "PNG", **options: object) -> CloakResult:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, written)
    chosen = {"detectors": ATTACKED, "judges": (), "rounds": 1, "steps": 30} | options
    return cloak_bytes(open_picture(buffer.getvalue()), CloakOptions(**chosen))  # type: ignore[arg-type]


def _decoded(result: CloakResult) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(result.encoded)).convert("RGB"))


def test_film_is_the_default_and_noise_what_only_noise_can_do() -> None:
    assert CloakOptions().chosen_veil is VeilName.FILM
    assert CloakOptions(attack="torchattacks:PGD").chosen_veil is VeilName.NOISE
    assert CloakOptions(strict=True).chosen_veil is VeilName.NOISE
    assert CloakOptions(smooth=1.0).chosen_veil is VeilName.NOISE
    assert CloakOptions(veil="film-bw").chosen_veil is VeilName.FILM_BW


@pytest.mark.parametrize("strength", list(Strength))
def test_film_hides_a_face_under_its_ceiling(strength: Strength, small: np.ndarray) -> None:
    report = _cloak(small, strength=strength).report
    (face,) = report.faces
    assert face.quality.flip is not None and face.dislike is not None
    assert face.quality.flip <= CEILINGS[strength].face * 1.04
    assert report.veil == "film" and any("veil film" in line for line in report.lines())
    if strength is not Strength.LOW:
        assert report.success, report.lines()


def test_film_changes_brightness_more_than_colour(small: np.ndarray) -> None:
    result = _cloak(small)
    before, after = (cv2.cvtColor(one, cv2.COLOR_RGB2LAB).astype(float) for one in (small, _decoded(result)))
    slow = [cv2.GaussianBlur(after - before, (0, 0), 6)[60:140, 60:140]][0]
    assert abs(float(slow[..., 1].mean())) < 2.5 and abs(float(slow[..., 2].mean())) < 4
    x1, y1, x2, y2 = (round(side) for side in result.report.faces[0].box)
    assert result.report.faces[0].dislike < 3
    assert (after - before)[y1:y2, x1:x2, 0].std() > 4


def test_grain_is_all_over_the_picture(small: np.ndarray) -> None:
    wide = np.concatenate([small, np.full((200, 300, 3), 120, np.uint8)], axis=1)
    change = _decoded(_cloak(wide, steps=6)).astype(int) - wide
    assert 1 < change[:, 430:].std() < 14


def test_black_and_white_is_compared_with_the_picture_in_grey(small: np.ndarray) -> None:
    result = _cloak(small, veil="film-bw", written="JPEG", quality=92)
    decoded = _decoded(result)
    assert np.abs(decoded.astype(int) - decoded[..., :1]).max() <= 2
    assert result.report.faces[0].quality.flip <= CEILINGS["mid"].face * 1.08
    assert result.report.veil == "film-bw"


def test_a_grey_picture_stays_grey_under_film(small: np.ndarray) -> None:
    grey = cv2.cvtColor(small, cv2.COLOR_RGB2GRAY)
    decoded = _decoded(_cloak(grey, steps=6))
    assert (decoded[..., 0] == decoded[..., 2]).all()


def test_light_keeps_fine_detail(small: np.ndarray) -> None:
    decoded = _decoded(_cloak(small, veil="light", steps=12)).astype(float)
    change = decoded - small
    slow = cv2.GaussianBlur(change, (0, 0), 3)
    assert change.std() > 1 and (change - slow).std() < 0.5 * change.std()


def test_two_faces_of_different_size(small: np.ndarray) -> None:
    pair = np.full((220, 420, 3), 110, np.uint8)
    pair[:200, :200] = small
    pair[40:160, 260:380] = cv2.resize(small, (120, 120), interpolation=cv2.INTER_AREA)
    report = _cloak(pair).report
    chosen = [face for face in report.faces if face.chosen]
    assert len(chosen) == 2
    assert all(face.quality.flip <= CEILINGS["mid"].face * 1.06 for face in chosen)


def test_the_same_seed_makes_the_same_picture(small: np.ndarray) -> None:
    first, second, other = (_cloak(small, steps=4, seed=seed).encoded for seed in (1, 1, 2))
    assert first == second != other


def test_fast_asks_quick_detectors_only_and_takes_one_round() -> None:
    options = CloakOptions(fast=True)
    attacked, judging = chosen_detectors(options)
    assert "mtcnn" not in attacked and "blazeface-short" in attacked and len(judging) <= 1
    assert options.most_rounds == 1 and options.steps_a_round < CloakOptions().steps_a_round
    assert chosen_detectors(CloakOptions(fast=True, detectors=("mtcnn",)))[0] == ("mtcnn",)


def test_fast_finds_the_face_of_a_portrait_with_the_detectors_that_are_installed(
    portraits: dict[str, np.ndarray],
) -> None:
    report = _cloak(portraits["hopper"], fast=True, steps=1, detectors=(), judges=None).report
    assert sum(face.chosen for face in report.faces) == 1


def test_a_fast_search_ends_as_soon_as_the_written_picture_hides(small: np.ndarray) -> None:
    report = _cloak(small, fast=True, strength="high", detectors=("blazeface-short",), judges=()).report
    assert report.success and report.steps == 6

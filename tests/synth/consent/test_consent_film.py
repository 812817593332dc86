"""Signed footage that forbids training is known again after what is done to it so that it is not."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from provenance.errors import ConsentError
from provenance.home import Home
from provenance.identity.identity import Identity
from provenance.manifest.embed import ManifestSpec
from provenance.session import open_session
from provenance.sign import SignRequest, sign_file
from synth.consent.permission import permission_for
from synth.consent.statement import make_statement, parse_statement
from tests.support.clips import film, wandering

Frames = list[np.ndarray]


def cut(frame: np.ndarray, share: float = 0.6) -> np.ndarray:
    """The middle, so much of each side."""
    height, width = frame.shape[:2]
    top, left = round((1 - share) / 2 * height), round((1 - share) / 2 * width)
    return np.ascontiguousarray(frame[top : height - top & ~1, left : width - left & ~1])


def boxed(frame: np.ndarray) -> np.ndarray:
    return cv2.copyMakeBorder(frame, 80, 80, 0, 0, cv2.BORDER_CONSTANT)


def even(frame: np.ndarray) -> np.ndarray:
    return frame[: len(frame) & ~1, : frame.shape[1] & ~1]


@pytest.fixture(scope="module")
def shot(portraits: dict[str, np.ndarray]) -> Frames:
    """Four seconds in which the camera moves about a portrait."""
    return wandering(portraits["astronaut"], 100, (400, 400))


@pytest.fixture
def owners_film(home: Home, owner: Identity, shot: Frames, tmp_path: Path) -> Path:
    """Signed by its owner, and in the researcher's ledger."""
    source, output = film(tmp_path / "shot.mp4", shot), tmp_path / "signed.mp4"
    with open_session(home) as session:
        session.identity = owner
        sign_file(source, output, SignRequest(ManifestSpec(digital_source_type="digitalCapture")), session)
    return output


@pytest.mark.parametrize(
    "change, rate",
    [
        (lambda shot: [cut(one[:, ::-1]) for one in shot], 25),
        (lambda shot: [cut(one, 0.95) for one in shot], 25),
        (lambda shot: [boxed(one) for one in shot], 25),
        (lambda shot: shot, 31),
        (lambda shot: shot, 20),
        (lambda shot: shot[::5], 5),
        (lambda shot: [boxed(cut(one[:, ::-1], 0.7)) for one in shot[10:90:2]], 16),
    ],
    ids=["mirrored and cut", "cut by 5 %", "letterboxed", "faster", "slower", "every fifth", "all of it"],
)
def test_altered_films_are_known(
    home: Home, owners_film: Path, shot: Frames, tmp_path: Path, change: Callable[[Frames], Frames], rate: int
) -> None:
    altered = film(tmp_path / "altered.mp4", [even(one) for one in change(shot)], rate=rate)
    with pytest.raises(ConsentError, match="Owner"):
        permission_for([altered], home, declared=True)


@pytest.mark.parametrize("mirrored", [False, True])
def test_frames_of_a_film_are_known(
    home: Home, owners_film: Path, shot: Frames, tmp_path: Path, mirrored: bool
) -> None:
    for number in (3, 47, 88):
        one = shot[number]
        path = tmp_path / f"{number}.jpg"
        Image.fromarray(cut(one[:, ::-1]) if mirrored else one).save(path, quality=85)
        with pytest.raises(ConsentError, match="Owner"):
            permission_for([path], home, declared=True)


def test_the_owners_statement_opens_an_altered_film(
    home: Home, owner: Identity, owners_film: Path, shot: Frames, tmp_path: Path
) -> None:
    altered = film(tmp_path / "altered.mp4", [even(cut(one[:, ::-1])) for one in shot])
    said = parse_statement(make_statement([owners_film], owner, to="Researcher", purpose="measuring cloaks"))
    assert permission_for([altered], home, statements=[said]).basis == "statement"


def test_where_few_frames_are_alike_the_owner_is_asked(
    home: Home, owners_film: Path, shot: Frames, portraits: dict[str, np.ndarray], tmp_path: Path
) -> None:
    """One second of the owner's in five of something else."""
    other = wandering(portraits["hopper"], 100, (400, 400))
    mixed = film(tmp_path / "mixed.mp4", [*other, *shot[20:50]])
    with pytest.raises(ConsentError, match="may show"):
        permission_for([mixed], home, declared=True)


def test_other_films_are_not_taken_for_it(
    home: Home, owners_film: Path, portraits: dict[str, np.ndarray], tmp_path: Path
) -> None:
    other = film(tmp_path / "other.mp4", wandering(portraits["hopper"], 60, (400, 400)))
    assert permission_for([other], home, declared=True).basis == "declared"

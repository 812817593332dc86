"""A decoy in one detector does not hide a face from the others, and a face that was found once is followed."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from cloak.options import CloakOptions
from cloak.picture.pipeline import cloak_file
from provenance.errors import UsageError
from provenance.media.picture import open_picture
from synth.extraction.finder import FaceFinder, region_of, upright_eyes
from synth.extraction.options import ExtractOptions
from synth.extraction.rules import Thresholds
from synth.extraction.tracking import HandBox, follow_missed
from tests.support.clips import film, wandering
from tests.support.extraction import UNIQUE, extract

_ONE = ("blazeface-back",)


@pytest.fixture(scope="module")
def frames(portraits: dict[str, np.ndarray]) -> list[np.ndarray]:
    return wandering(portraits["astronaut"], 8)


@pytest.fixture(scope="module")
def decoyed(frames: list[np.ndarray], tmp_path_factory: pytest.TempPathFactory) -> np.ndarray:
    """The third frame, cloaked against one detector, with a decoy."""
    path = tmp_path_factory.mktemp("decoy") / "frame.png"
    Image.fromarray(frames[2]).save(path)
    options = CloakOptions(
        strength="high", veil="noise", detectors=_ONE, judges=(), steps=14, rounds=1, decoys=1
    )
    return open_picture(cloak_file(path, options).encoded).pixels


def test_a_decoy_in_one_detector_does_not_hide_the_face_from_another(
    frames: list[np.ndarray], decoyed: np.ndarray
) -> None:
    fooled = FaceFinder(_ONE).find(decoyed)
    assert fooled and not any(one.is_face for one in fooled), "what the test is about: a decoy, and no face"
    (clean, *_) = FaceFinder(_ONE).find(frames[2])
    for ask_all in (False, True):
        first = FaceFinder(ask_all=ask_all).find(decoyed)[0]
        assert first.is_face
        apart = first.landmarks[:, :2].mean(0) - clean.landmarks[:, :2].mean(0)
        assert np.linalg.norm(apart) < 0.5 * clean.span


def test_extraction_follows_a_face_that_no_detector_reports(
    frames: list[np.ndarray], decoyed: np.ndarray, tmp_path: Path
) -> None:
    """Through a video; pictures of a folder have no order in time."""
    shown = [*frames[:2], decoyed, decoyed, *frames[3:]]
    clip = film(tmp_path / "clip.mp4", shown)
    # high noise makes FaceMesh less sure than it is of the other frames; that rule is another matter
    options = ExtractOptions(size=96, detectors=_ONE, thresholds=Thresholds(bits=-1, face_share=0))
    done = extract(clip, tmp_path / "set", options)
    kept = {frame.index for frame, face in done.alignments.faces() if face.outcome == "keep"}
    assert kept == set(range(9))
    followed = [face for frame, face in done.alignments.faces() if frame.index in (2, 3)]
    assert [face.score for face in followed] == [0, 0]
    assert all(face.mesh_score > 0 for face in followed)
    again = extract(clip, tmp_path / "set", options)
    assert len(again.alignments.faces()) == 9, "a finished one is only judged again"


def test_nothing_is_followed_into_frames_without_a_face(frames: list[np.ndarray], tmp_path: Path) -> None:
    empty = np.full_like(frames[0], 90)
    clip = film(tmp_path / "clip.mp4", [empty, empty, *frames[:3], empty, *frames[3:5], empty])
    done = extract(clip, tmp_path / "set", ExtractOptions(size=96, detectors=_ONE, thresholds=UNIQUE))
    assert {frame.index for frame, _ in done.alignments.faces()} == {2, 3, 4, 6, 7}
    assert done.alignments.counts() == {"keep": 5, "no-face": 4}


def test_frames_between_two_that_show_a_face_are_looked_at_on_the_way(frames: list[np.ndarray]) -> None:
    finder = FaceFinder(_ONE)
    known = {0: finder.find(frames[0])[0].landmarks, 4: finder.find(frames[4])[0].landmarks}
    found = follow_missed(finder, known, [1, 2, 3], [(number, frames[number]) for number in range(5)])
    assert sorted(found) == [1, 2, 3]
    for number, face in found.items():
        (real, *_) = finder.find(frames[number])
        gap = np.linalg.norm(face.landmarks[:, :2] - real.landmarks[:, :2], axis=1).mean()
        assert gap < 0.06 * real.span, "FaceMesh finds the same face from where it was"


def test_a_box_drawn_by_hand_finds_the_face_and_is_followed(
    frames: list[np.ndarray], decoyed: np.ndarray, tmp_path: Path
) -> None:
    (clean, *_) = FaceFinder(_ONE).find(frames[2])
    x1, y1, x2, y2 = (round(side) for side in clean.box)
    clip = film(tmp_path / "clip.mp4", [decoyed] * 3)
    plain = ExtractOptions(size=96, detectors=_ONE, thresholds=UNIQUE)
    drawn = ExtractOptions(
        size=96, detectors=_ONE, thresholds=UNIQUE, boxes=(HandBox.parse(f"1:{x1},{y1},{x2},{y2}"),)
    )
    with pytest.raises(Exception, match="no face of"):
        extract(clip, tmp_path / "without", plain)
    done = extract(clip, tmp_path / "with", drawn)
    assert {frame.index for frame, _ in done.alignments.faces()} == {0, 1, 2}


@pytest.mark.parametrize(
    "text", ["", "1,2,3", "1,2,3,4,5", "x:1,2,3,4", "9,9,9,90", "10,10,5,90", "1:2:3,4,50,60"]
)
def test_wrong_boxes_are_refused(text: str) -> None:
    with pytest.raises(UsageError):
        HandBox.parse(text)


def test_boxes_are_read() -> None:
    assert HandBox.parse("12: 80,40,240,260.5") == HandBox(12, (80, 40, 240, 260.5))
    assert HandBox.parse("8,4,24,26").frame == 0


def test_where_the_eyes_of_a_box_are(frames: list[np.ndarray]) -> None:
    (face, *_) = FaceFinder(_ONE).find(frames[0])
    box, eyes = region_of(face.landmarks)
    guessed = np.array(upright_eyes(box))
    assert np.linalg.norm(guessed - np.array(eyes), axis=1).max() < 0.6 * face.span
    assert box[0] < eyes[0][0] < eyes[1][0] < box[2]

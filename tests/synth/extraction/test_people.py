"""Whose faces they are: the wrong person, orders, pairs, the sheet; and real footage where it is at hand."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from cloak import models
from provenance.errors import (
    NoFaceError,
    UsageError,
)
from synth.extraction import FaceSet
from synth.extraction.alignments import Alignments
from synth.extraction.embedding import DlibEmbedder
from synth.extraction.options import ExtractOptions
from synth.extraction.rules import Thresholds
from synth.extraction.run import Extraction
from synth.extraction.sheet import contact_sheet
from synth.extraction.sorting import ORDERS, average_shape, ordered, rank_pairs, shape_distance
from tests.support.clips import film, moved, wandering
from tests.support.extraction import OPTIONS, UNIQUE, extract


@pytest.fixture(scope="module")
def mixed(
    portraits: dict[str, np.ndarray], embedder: DlibEmbedder, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Extraction]:
    """Eight frames of one person, and three of another."""
    mine, other = wandering(portraits["astronaut"], 8), wandering(portraits["hopper"], 3)
    folder = tmp_path_factory.mktemp("mixed")
    (folder / "in").mkdir()
    for number, frame in enumerate([*mine[:4], *other, *mine[4:]]):
        Image.fromarray(frame).save(folder / f"in/{number:02d}.png")
    yield extract(folder / "in", folder / "set", embedder=embedder)


def test_other_people_are_refused(mixed: Extraction) -> None:
    assert mixed.alignments.counts() == {"keep": 8, "wrong-person": 3}
    assert [f.number for f, one in mixed.alignments.faces(kept=False) if one.outcome == "wrong-person"] == [
        4,
        5,
        6,
    ]
    assert not any("wrong-person" in note for note in mixed.notes)
    assert FaceSet.load(mixed.folder).embeddings().shape == (8, 128)  # type: ignore[union-attr]


def test_a_reference_picture_chooses_the_person(
    mixed: Extraction, embedder: DlibEmbedder, portrait_files: dict[str, Path], tmp_path: Path
) -> None:
    copy = Path(shutil.copytree(mixed.folder, tmp_path / "set"))
    options = ExtractOptions(
        size=96, detectors=OPTIONS.detectors, reference=portrait_files["hopper"], thresholds=UNIQUE
    )
    done = extract(mixed.folder.parent / "in", copy, options, embedder=embedder)
    assert [frame.number for frame, _ in done.alignments.faces()] == [4, 5, 6]
    with pytest.raises(UsageError, match="tells people apart"):
        extract(mixed.folder.parent / "in", tmp_path / "new", options)


def test_orders(mixed: Extraction) -> None:
    for by in ORDERS:
        rows = ordered(mixed.alignments, by, kept=False)
        assert sorted(face.file for _, face, _ in rows) == sorted(
            face.file for _, face in mixed.alignments.faces(kept=False)
        )
        values = [value for _, _, value in rows]
        if by == "size":
            assert values == sorted(values, reverse=True)
        elif by != "similarity":
            assert values == sorted(values)
    assert {frame.number for frame, _, _ in ordered(mixed.alignments, "person", kept=False)[-3:]} == {4, 5, 6}
    with pytest.raises(UsageError, match="no order"):
        ordered(mixed.alignments, "beauty")


def test_similar_faces_come_next_to_each_other(mixed: Extraction) -> None:
    rows = ordered(mixed.alignments, "similarity", kept=False)
    places = [place for place, (frame, _, _) in enumerate(rows) if frame.number in (4, 5, 6)]
    assert max(places) - min(places) == 2 and rows[0][2] == 0 and all(value > 0 for _, _, value in rows[1:])


def test_a_face_that_was_only_shifted_is_a_duplicate(
    portraits: dict[str, np.ndarray], tmp_path: Path
) -> None:
    """A frozen frame, filmed by a moving camera: what training would see is the same picture again."""
    picture = portraits["hopper"]
    frames = [moved(picture, turn, 0.9, shift, 0, (480, 400)) for turn, shift in ((0, 0), (1, 3), (-2, 5))]
    path = film(tmp_path / "still.mp4", frames)
    done = extract(path, tmp_path / "set", ExtractOptions(size=256, thresholds=Thresholds(bits=8)))
    assert done.alignments.counts() == {"keep": 1, "duplicate": 2}


def test_orders_by_person_need_embeddings(extracted: Extraction) -> None:
    with pytest.raises(UsageError, match="tells people apart"):
        ordered(extracted.alignments, "person")


def test_pairs_are_ranked_by_shape(
    portraits: dict[str, np.ndarray], extracted: Extraction, tmp_path: Path
) -> None:
    """Another clip of the same person fits better than one of somebody else."""
    again = [moved(portraits["astronaut"], turn, 0.75, 4, 3, (320, 320)) for turn in (-4, 0, 5, 8)]
    sets = [extracted.folder, tmp_path / "again", tmp_path / "other"]
    extract(film(tmp_path / "again.mp4", again), sets[1])
    extract(film(tmp_path / "other.mp4", wandering(portraits["hopper"], 4)), sets[2])
    ranks = rank_pairs(sets)
    assert {ranks[0].first, ranks[0].second} == set(sets[:2])
    assert ranks[0].shape < 0.6 * min(rank.shape for rank in ranks[1:])
    assert [rank.score for rank in ranks] == sorted(rank.score for rank in ranks)
    with pytest.raises(UsageError, match="at least two"):
        rank_pairs(sets[:1])


def test_the_shape_does_not_depend_on_where_the_face_was(extracted: Extraction) -> None:
    shape = average_shape(extracted.alignments)
    assert shape.shape == (68, 2)
    turned = shape @ np.array([[0.6, -0.8], [0.8, 0.6]]) * 3 + 7
    assert shape_distance(shape, turned) < 1e-9


def test_the_sheet_shows_kept_and_refused_faces(mixed: Extraction) -> None:
    page = np.asarray(Image.open(mixed.folder / "sheet.png").convert("RGB"))
    greens = (page.reshape(-1, 3) == (70, 170, 90)).all(1).sum()
    reds = (page.reshape(-1, 3) == (200, 70, 60)).all(1).sum()
    assert 3 * greens == 8 * reds, "eight are kept, three refused"
    with pytest.raises(UsageError, match="needs pictures"):
        contact_sheet([], [])


# real footage


@pytest.mark.vectors
@pytest.mark.parametrize("name", ["talking/speaker4.mp4", "people/d3.mp4"])
def test_real_footage_of_one_person_is_kept(
    name: str, test_data: Path, embedder: DlibEmbedder, tmp_path: Path
) -> None:
    """People who speak and turn their heads: hardly a face may be lost."""
    done = extract(test_data / "media" / name, tmp_path / "set", ExtractOptions(every=24), embedder=embedder)
    counts = done.alignments.counts()
    assert counts["keep"] >= 0.9 * len(done.alignments.frames) >= 8, counts


@pytest.mark.vectors
@pytest.mark.parametrize(
    "name, outcomes", [("bald_guys.jpg", {"several-people"}), ("dogs.jpg", {"no-face", "not-a-face"})]
)
def test_real_pictures_without_one_person(
    name: str, outcomes: set[str], test_data: Path, tmp_path: Path
) -> None:
    with pytest.raises(NoFaceError):
        extract(test_data / "media/stills" / name, tmp_path / "set", ExtractOptions(size=64))
    counts = Alignments.load(tmp_path / "set").counts()
    assert counts and set(counts) <= outcomes | {"not-a-face"}, counts


def test_faces_can_be_aligned_by_dlibs_landmarks(clip: Path, extracted: Extraction, tmp_path: Path) -> None:
    """For research only, which is said; the aligned faces hardly differ."""
    options = ExtractOptions(
        size=96, every=5, detectors=OPTIONS.detectors, align_by="dlib68", thresholds=UNIQUE
    )
    pytest.importorskip("dlib")
    if models.locate(models.model("dlib-landmarks-68")) is None:
        pytest.skip(f"the weights are not installed: {models.model('dlib-landmarks-68').command}")
    done = extract(clip, tmp_path / "set", options)
    assert any("research only" in note for note in done.notes)
    own, other = FaceSet.load(tmp_path / "set"), FaceSet.load(extracted.folder)
    for row, same in ((0, 0), (1, 5)):
        assert np.abs(own.landmarks()[row] - other.landmarks()[same]).mean() < 0.03 * 96
    face = done.alignments.faces()[0][1]
    assert face.landmarks68 is not None and face.landmarks68.shape == (68, 2)
    again = Alignments.load(tmp_path / "set").faces()[0][1].landmarks68
    assert again is not None and np.abs(again - face.landmarks68).max() < 0.006

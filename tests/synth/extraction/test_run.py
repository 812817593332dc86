"""The extraction as a whole, on clips of two public-domain portraits, and on real footage where it is at hand."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from PIL import Image

from provenance.errors import (
    ConsentError,
    CorruptMediaError,
    NoFaceError,
    NotWritableError,
    OutputExistsError,
    UsageError,
)
from provenance.home import Home
from provenance.media.files import sha256_file
from synth.consent.permission import permission_for
from synth.extraction import FaceSet, extract_faces
from synth.extraction.alignments import Alignments
from synth.extraction.canonical import ANCHORS, canonical_points
from synth.extraction.faceset import FEWEST_FACES
from synth.extraction.finder import FaceFinder
from synth.extraction.footage import open_footage
from synth.extraction.journal import Journal
from synth.extraction.options import ExtractOptions
from synth.extraction.rules import Thresholds
from synth.extraction.run import Extraction
from tests.support.clips import film, moved, wandering
from tests.support.extraction import OPTIONS, UNIQUE, declared, extract


@pytest.fixture
def copied(extracted: Extraction, tmp_path: Path) -> Path:
    """The extraction, to be changed."""
    return Path(shutil.copytree(extracted.folder, tmp_path / "set"))


def test_every_frame_has_an_outcome(extracted: Extraction) -> None:
    assert extracted.alignments.counts() == {"keep": 10, "no-face": 2}
    assert [frame.index for frame in extracted.alignments.frames] == list(range(12))
    assert np.allclose([frame.time for frame in extracted.alignments.frames], np.arange(12) / 25, atol=1e-3)
    assert sorted(one.name for one in extracted.folder.iterdir()) == [
        "alignments.json",
        "faces",
        "refused",
        "sheet.png",
    ]
    notes = " ".join(extracted.notes)
    assert "only 10 faces were kept" in notes and "wrong-person was not applied" in notes


def test_aligned_faces_lie_on_the_template(extracted: Extraction, clip: Path) -> None:
    """Landmarks that are looked for again in the aligned pictures are where the set says, and near the template."""
    faces = FaceSet.load(extracted.folder)
    pixels, points = faces.pixels(), faces.landmarks()
    assert pixels.shape == (10, 96, 96, 3) and pixels.dtype == np.uint8 and points.shape == (10, 468, 2)
    anchors = points[:, list(ANCHORS)]
    assert np.abs(anchors - canonical_points(96)).mean() < 0.02 * 96
    finder = FaceFinder(("blazeface-back",))
    for row in (0, 6):
        large = cv2.resize(pixels[row], (384, 384), interpolation=cv2.INTER_CUBIC)
        again = finder.find(np.asarray(large))[0].landmarks[:, :2] / 4
        assert np.linalg.norm(again - points[row], axis=1).mean() < 0.02 * 96


def test_the_matrix_takes_the_frame_to_the_picture(extracted: Extraction, clip: Path) -> None:
    faces = FaceSet.load(extracted.folder)
    frame = next(iter(open_footage(clip)[0].frames(lambda index: index == 4))).pixels
    matrix, picture = faces.matrices()[4], faces.pixels()[4].astype(int)
    places = np.mgrid[20:76:8, 20:76:8].reshape(2, -1).T + 0.5
    inverse = np.linalg.inv(np.vstack([matrix, (0, 0, 1)]))[:2]
    for x, y in places:
        u, v = inverse @ (x, y, 1)
        patch = cv2.getRectSubPix(frame, (1, 1), (float(u - 0.5), float(v - 0.5)))[0, 0]
        assert np.abs(patch.astype(int) - picture[int(y), int(x)]).max() < 45
    means = [cv2.getRectSubPix(frame, (1, 1), tuple(inverse @ (x, y, 1) - 0.5))[0, 0] for x, y in places]
    assert (
        np.abs(np.array(means, int) - picture[places[:, 1].astype(int), places[:, 0].astype(int)]).mean() < 8
    )


def test_a_set_loads_at_other_sizes(extracted: Extraction) -> None:
    faces = FaceSet.load(extracted.folder, size=64)
    assert faces.pixels().shape == (10, 64, 64, 3)
    assert faces.masks().shape == faces.details().shape == (10, 64, 64)
    assert np.allclose(faces.landmarks() * 1.5, FaceSet.load(extracted.folder).landmarks(), atol=1e-3)
    masks, details = faces.masks() > 127, faces.details() > 127
    assert (details <= masks).mean() > 0.999 and 0.25 < masks.mean() < 0.7 and 0.01 < details.mean() < 0.2
    assert len(faces) == 10 and faces.embeddings() is None and faces.consent["basis"] == "declared"
    assert faces.times()[-1] == pytest.approx(0.36, abs=0.01) and set(faces.sources()) == {0}


def test_a_finished_extraction_is_only_judged_again(clip: Path, copied: Path) -> None:
    before = {path.name: path.stat().st_mtime_ns for path in (copied / "faces").iterdir()}
    again = extract(
        clip,
        copied,
        ExtractOptions(size=96, detectors=OPTIONS.detectors, thresholds=Thresholds(roll=5, bits=-1)),
    )
    assert again.resumed == 12
    refused = again.alignments.counts()["off-pose"]
    assert refused == len(list((copied / "refused").iterdir())) > 0
    loose = extract(clip, copied)
    assert loose.alignments.counts() == {"keep": 10, "no-face": 2}
    assert {path.name: path.stat().st_mtime_ns for path in (copied / "faces").iterdir()} == before


def test_edited_outcomes_are_honoured_by_the_next_run(clip: Path, copied: Path) -> None:
    path = copied / "alignments.json"
    data = json.loads(path.read_text())
    data["frames"][3]["faces"][0]["fate"] = "by-hand"
    path.write_text(json.dumps(data))
    done = extract(clip, copied)
    assert done.alignments.counts() == {"keep": 9, "by-hand": 1, "no-face": 2}
    assert done.to_json()["edited"] == 1
    assert (copied / "refused/000003_0.png").is_file() and not (copied / "faces/000003_0.png").exists()
    assert len(FaceSet.load(copied)) == 9
    data = json.loads(path.read_text())
    data["frames"][3]["faces"][0]["fate"] = "keep"
    path.write_text(json.dumps(data))
    assert len(extract(clip, copied).alignments.faces()) == 10


class Interrupted(Exception):
    """What happens when somebody presses Ctrl-C."""


def test_an_interrupted_extraction_goes_on_and_ends_the_same(
    clip: Path, extracted: Extraction, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[int] = []
    original = FaceFinder.find

    def counting(self: FaceFinder, pixels: np.ndarray) -> Any:
        seen.append(1)
        return original(self, pixels)

    monkeypatch.setattr(FaceFinder, "find", counting)

    def stop(share: float) -> None:
        if share > 0.4:
            raise Interrupted

    with pytest.raises(Interrupted):
        extract(clip, tmp_path / "set", progress=stop)
    done = len(seen)
    assert 0 < done < 12 and not (tmp_path / "set/alignments.json").exists()
    shares: list[float] = []
    result = extract(clip, tmp_path / "set", progress=shares.append)
    assert len(seen) == 12, "no frame was looked at twice"
    assert result.resumed == done and shares == sorted(shares) and shares[-1] == 1.0
    assert result.alignments.to_bytes() == extracted.alignments.to_bytes()
    assert not (tmp_path / "set" / Journal.FILE_NAME).exists()


def test_other_footage_or_settings_need_force(
    clip: Path, copied: Path, portrait_files: dict[str, Path]
) -> None:
    with pytest.raises(OutputExistsError, match="other footage"):
        extract(portrait_files["hopper"], copied)
    with pytest.raises(OutputExistsError, match="other settings"):
        extract(clip, copied, ExtractOptions(size=64, detectors=OPTIONS.detectors, thresholds=UNIQUE))
    done = extract(portrait_files["hopper"], copied, force=True)
    assert done.alignments.counts() == {"keep": 1} and len(list((copied / "faces").iterdir())) == 1


def test_a_folder_of_other_things_is_never_touched(clip: Path, tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine/thesis.txt").write_text("years of work")
    with pytest.raises(OutputExistsError, match="other things"):
        extract(clip, tmp_path / "mine", force=True)
    assert (tmp_path / "mine/thesis.txt").read_text() == "years of work"
    (tmp_path / "file").write_text("x")
    with pytest.raises(OutputExistsError, match="is a file"):
        extract(clip, tmp_path / "file")


def test_a_run_that_was_cut_off_while_it_moved_pictures_is_finished(clip: Path, copied: Path) -> None:
    """``alignments.json`` is written first; some pictures are still where they were."""
    strict = ExtractOptions(size=96, detectors=OPTIONS.detectors, thresholds=Thresholds(roll=5, bits=-1))
    done = extract(clip, copied, strict)
    refused = sorted(path.name for path in (copied / "refused").iterdir())
    (copied / "refused" / refused[0]).rename(copied / "faces" / refused[0])
    again = extract(clip, copied, strict)
    assert again.resumed == 12 and again.alignments.to_bytes() == done.alignments.to_bytes()
    assert sorted(path.name for path in (copied / "refused").iterdir()) == refused
    (copied / "refused" / refused[0]).unlink()
    with pytest.raises(OutputExistsError):
        extract(clip, copied, strict)


def test_damaged_alignments_are_named_and_replaced_by_force(clip: Path, copied: Path) -> None:
    (copied / "alignments.json").write_text("{")
    with pytest.raises(CorruptMediaError, match=r"alignments\.json") as caught:
        extract(clip, copied)
    assert "--force" in str(caught.value.hint)
    assert len(extract(clip, copied, force=True).alignments.faces()) == 10


def test_broken_files_among_others_are_passed_over_and_named(
    portraits: dict[str, np.ndarray], clip: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    Image.fromarray(portraits["hopper"]).save(folder / "a.jpg")
    (folder / "b.jpg").write_bytes((folder / "a.jpg").read_bytes()[:9000])
    (folder / "c.mp4").write_bytes(clip.read_bytes()[:3000])
    (folder / "d.png").write_bytes(b"")
    found = permission_for([one.path for one in open_footage(folder)], Home.locate(), declared=True)
    assert found.basis == "declared"
    done = extract_faces(folder, tmp_path / "set", found.to_json(), OPTIONS)
    assert done.alignments.counts() == {"keep": 1, "unreadable": 3}
    for name in ("b.jpg", "c.mp4", "d.png"):
        assert sum(name in note for note in done.notes) == 1
    assert extract_faces(folder, tmp_path / "set", found.to_json(), OPTIONS).resumed == 4


def test_without_a_basis_of_consent_nothing_happens(clip: Path, tmp_path: Path) -> None:
    for consent in ({}, {"basis": "declared"}, {"basis": "", **{"files": declared(clip)["files"]}}):
        with pytest.raises(ConsentError, match="on which basis"):
            extract_faces(clip, tmp_path / "set", consent, OPTIONS)
    other = {"basis": "declared", "files": [{"sha256": "0" * 64, "basis": "declared"}]}
    with pytest.raises(ConsentError):
        extract_faces(clip, tmp_path / "set", other, OPTIONS)
    assert not (tmp_path / "set").exists()


# what people bring


def test_no_face_at_all(tmp_path: Path) -> None:
    noise = np.random.default_rng(0).integers(60, 120, (240, 320, 3), np.uint8)
    path = film(tmp_path / "wall.mp4", [cv2.blur(noise, (9, 9))] * 3)
    with pytest.raises(NoFaceError, match=r"no face of .*wall\.mp4 was kept \(no-face 3\)"):
        extract(path, tmp_path / "set")
    assert Alignments.load(tmp_path / "set").counts() == {"no-face": 3}


def test_two_people_in_every_frame(portraits: dict[str, np.ndarray], tmp_path: Path) -> None:
    left, right = (wandering(portraits[name], 3, (240, 240)) for name in ("astronaut", "hopper"))
    path = film(tmp_path / "two.mp4", [np.hstack(pair) for pair in zip(left, right, strict=True)])
    with pytest.raises(NoFaceError, match="several-people 6"):
        extract(path, tmp_path / "set")
    wide = ExtractOptions(size=96, detectors=OPTIONS.detectors, thresholds=Thresholds(people=2, bits=-1))
    assert extract(path, tmp_path / "set", wide).alignments.counts()["keep"] == 6


def test_one_frame_one_picture_and_three_faces(
    portraits: dict[str, np.ndarray], portrait_files: dict[str, Path], tmp_path: Path
) -> None:
    one = film(tmp_path / "one.mp4", wandering(portraits["hopper"], 1))
    assert "only 1 face was kept; training takes" in " ".join(extract(one, tmp_path / "a").notes)
    assert extract(portrait_files["hopper"], tmp_path / "b").alignments.counts() == {"keep": 1}
    three = film(tmp_path / "three.mp4", wandering(portraits["hopper"], 3))
    said = " ".join(extract(three, tmp_path / "c").notes)
    assert "only 3 faces were kept" in said and f"takes {FEWEST_FACES} and some that are held out" in said


def test_8k_is_looked_at_small_and_read_in_full(portraits: dict[str, np.ndarray], tmp_path: Path) -> None:
    """A face of some 300 pixels in a frame of 7680 x 4320: 4 % of its width."""
    frame = np.full((4320, 7680, 3), 100, np.uint8)
    face = moved(portraits["astronaut"], 0, 2.0, 0, 0, (900, 900))
    frame[1800:2700, 4000:4900] = face
    Image.fromarray(frame).save(tmp_path / "8k.jpg", quality=90)
    path = tmp_path / "8k.jpg"
    done = extract(path, tmp_path / "set", ExtractOptions(size=256))
    ((_, found),) = done.alignments.faces()
    middle = found.landmarks.mean(0)
    assert 4000 < middle[0] < 4900 and 1800 < middle[1] < 2700 and found.span > 60
    assert found.measures["blur"] < 0.6


def test_turned_and_uneven_footage(portraits: dict[str, np.ndarray], tmp_path: Path) -> None:
    upright = wandering(portraits["astronaut"], 4)
    lying = [np.ascontiguousarray(np.rot90(frame, 1)) for frame in upright]
    path = film(tmp_path / "phone.mp4", lying, rotation=90, times=[0.0, 0.03, 0.2, 0.21])
    done = extract(path, tmp_path / "set")
    assert done.alignments.counts()["keep"] == 4
    assert all(abs(face.roll) < 25 for _, face in done.alignments.faces())
    assert done.alignments.sources[0]["variable_frame_rate"]
    assert [round(frame.time, 2) for frame in done.alignments.frames] == [0.0, 0.03, 0.2, 0.21]


def test_broken_footage_leaves_no_folder_behind(clip: Path, tmp_path: Path) -> None:
    (tmp_path / "cut.mp4").write_bytes(clip.read_bytes()[:3000])
    consent = {
        "basis": "declared",
        "files": [{"sha256": sha256_file(tmp_path / "cut.mp4"), "basis": "declared"}],
    }
    with pytest.raises(CorruptMediaError, match=r"cut\.mp4"):
        extract_faces(tmp_path / "cut.mp4", tmp_path / "set", consent, OPTIONS)
    assert not (tmp_path / "set").exists()


def test_damage_half_way_is_said(clip: Path, tmp_path: Path) -> None:
    data = bytearray(clip.read_bytes())
    half, end = data.index(b"moov") // 2, data.index(b"moov") - 4
    data[half:end] = bytes(end - half)
    (tmp_path / "holes.mp4").write_bytes(bytes(data))
    done = extract(tmp_path / "holes.mp4", tmp_path / "set")
    assert 0 < len(done.alignments.frames) < 12
    assert any("holes.mp4" in note and "of 12 frames" in note for note in done.notes)


@pytest.mark.parametrize(
    "wrong",
    [{"size": 32}, {"size": 1024}, {"every": 0}, {"detectors": ("no-such-detector",)}, {"align_by": "nose"}],
)
def test_options_that_make_no_sense(clip: Path, tmp_path: Path, wrong: dict[str, Any]) -> None:
    with pytest.raises(UsageError):
        extract(clip, tmp_path / "set", ExtractOptions(**{"size": 96, **wrong}))


def test_a_full_disk_is_said(clip: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(self: Path, data: bytes) -> int:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(NotWritableError, match="No space left"):
        extract(clip, tmp_path / "set")


def test_every_nth_frame(clip: Path, tmp_path: Path) -> None:
    done = extract(
        clip,
        tmp_path / "set",
        ExtractOptions(size=96, every=4, detectors=OPTIONS.detectors, thresholds=UNIQUE),
    )
    assert [frame.index for frame in done.alignments.frames] == [0, 4, 8]


# people, orders, pairs, sheets

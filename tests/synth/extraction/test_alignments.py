"""``alignments.json``: written, read, edited, and refused where it is not what it should be."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from provenance.errors import CorruptMediaError, MediaTooLargeError, MissingPathError, NoFaceError, UsageError
from synth.extraction import FaceSet, alignments
from synth.extraction.alignments import Alignments, Face, Frame
from synth.extraction.decisions import import_decisions
from synth.extraction.journal import Journal


def face(number: int, outcome: str = "keep", judged: str | None = None, **changes: Any) -> Face:
    random = np.random.default_rng(number)
    values: dict[str, Any] = {
        "file": f"faces/{number:06d}_0.png",
        "outcome": outcome,
        "judged": judged or outcome,
        "box": (10.0, 20.0, 110.0, 120.0),
        "score": 0.9,
        "mesh_score": 40.0,
        "matrix": np.array([[1.2, 0.1, -30.0], [-0.1, 1.2, -20.0]]),
        "yaw": 3.0,
        "pitch": -4.0,
        "roll": 0.5,
        "span": 60.0,
        "measures": {"blur": 0.4, "outside": 0.0},
        "fingerprint": random.bytes(32).hex(),
        "landmarks": random.uniform(20, 100, (468, 2)).astype(np.float32),
        "embedding": random.normal(size=128).astype(np.float32),
    }
    return Face(**{**values, **changes})


def some(*faces: Face) -> Alignments:
    frames = [Frame(place, 0, place, place / 25, 320, 240, "faces", [one]) for place, one in enumerate(faces)]
    frames.append(Frame(len(faces), 0, len(faces), len(faces) / 25, 320, 240, "no-face"))
    return Alignments(
        128, [{"path": "a.mp4", "sha256": "0" * 64}], {"basis": "declared"}, {"every": 1}, frames
    )


def test_what_is_saved_comes_back(tmp_path: Path) -> None:
    before = some(face(0), face(1, "blurred"), face(2, "keep", "too-small", embedding=None))
    before.save(tmp_path)
    after = Alignments.load(tmp_path)
    assert after.counts() == {"keep": 2, "blurred": 1, "no-face": 1}
    assert (after.size, after.sources, after.consent, after.settings) == (
        128,
        before.sources,
        before.consent,
        before.settings,
    )
    for (_, one), (_, other) in zip(before.faces(kept=False), after.faces(kept=False), strict=True):
        assert (one.file, one.outcome, one.judged, one.edited) == (
            other.file,
            other.outcome,
            other.judged,
            other.edited,
        )
        assert np.abs(one.landmarks - other.landmarks).max() < 0.006
        assert np.allclose(one.matrix, other.matrix) and one.measures == other.measures
        assert (one.embedding is None) == (other.embedding is None)
    assert after.to_bytes() == Alignments.load(tmp_path / "alignments.json").to_bytes()


def test_a_frame_is_one_line_so_that_an_editor_can_change_it(tmp_path: Path) -> None:
    some(face(0), face(1)).save(tmp_path)
    lines = (tmp_path / "alignments.json").read_text().splitlines()
    assert sum('"number"' in line for line in lines) == 3
    assert all(
        line.startswith('{"number"') and '"fate"' in line[:260] for line in lines if '"number"' in line
    )


def edit(path: Path, change: Callable[[dict[str, Any]], None]) -> None:
    data = json.loads((path / "alignments.json").read_text())
    change(data)
    (path / "alignments.json").write_text(json.dumps(data))


@pytest.mark.parametrize(
    "change, said",
    [
        (lambda d: d.update(schema="other"), "schema"),
        (lambda d: d.update(size=8), "size 8"),
        (lambda d: d.update(size=True), "no whole number"),
        (lambda d: d.update(frames={}), "no list"),
        (lambda d: d.update(sources=[1]), "no objects"),
        (lambda d: d.pop("consent"), "'consent' is missing"),
        (lambda d: d["frames"][0].update(fate="lost"), "frame fate 'lost'"),
        (lambda d: d["frames"][0].update(index=-1), "no whole number"),
        (lambda d: d["frames"][0].update(source=7), "of no source"),
        (lambda d: d["frames"][1].update(time="soon"), "frame 1"),
        (lambda d: d["frames"][1]["faces"][0].update(file="../../etc/passwd"), "not like faces/"),
        (lambda d: d["frames"][1]["faces"][0].update(file="faces/000000_0.png"), "share a file"),
        (lambda d: d["frames"][0]["faces"][0].update(fate="keeep"), "fate 'keeep' is none of keep"),
        (lambda d: d["frames"][0]["faces"][0].update(matrix=[1, 2]), "6 numbers"),
        (lambda d: d["frames"][0]["faces"][0].update(matrix=[1, 2, 3, 4, 5, float("nan")]), "something else"),
        (lambda d: d["frames"][0]["faces"][0].update(landmarks=[0] * 935), "936 numbers"),
        (lambda d: d["frames"][0]["faces"][0].update(landmarks=["x"] * 936), "could not convert"),
        (lambda d: d["frames"][0]["faces"][0].update(embedding=[1.0]), "128 numbers"),
        (lambda d: d["frames"][0]["faces"][0].update(fingerprint="zz"), "64 hex digits"),
        (lambda d: d["frames"][0]["faces"][0].update(yaw=None), "no number"),
        (lambda d: d["frames"][0]["faces"][0].update(measures=[]), "measures"),
        (lambda d: d["frames"][0].update(faces=d["frames"][0]["faces"] * 60), "60 faces in one frame"),
    ],
)
def test_a_bad_edit_is_refused_and_the_place_named(
    tmp_path: Path, change: Callable[[dict[str, Any]], None], said: str
) -> None:
    some(face(0), face(1)).save(tmp_path)
    edit(tmp_path, change)
    with pytest.raises(CorruptMediaError, match=said):
        Alignments.load(tmp_path)


def test_no_alignments_broken_ones_and_huge_ones(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(MissingPathError, match="does not exist"):
        Alignments.load(tmp_path)
    for text in (b"", b"{", b"[" * 200_000, b"\xff\xfe\x00"):
        (tmp_path / "alignments.json").write_bytes(text)
        with pytest.raises(CorruptMediaError):
            Alignments.load(tmp_path)
    monkeypatch.setattr(alignments, "MAX_BYTES", 2)
    with pytest.raises(MediaTooLargeError):
        Alignments.load(tmp_path)


def test_decisions_are_imported_where_they_fit(tmp_path: Path) -> None:
    here, there = tmp_path / "here", tmp_path / "there"
    some(face(0), face(1, "blurred"), face(2)).save(here)
    some(face(0, "by-hand", "keep"), face(1, "keep", "blurred"), face(2, "too-small")).save(there)
    assert import_decisions(there / "alignments.json", here) == 2
    outcomes = [one.outcome for _, one in Alignments.load(here).faces(kept=False)]
    assert outcomes == ["by-hand", "keep", "keep"], "what the other's rules said is not a decision"
    assert import_decisions(there, here) == 0
    other = some(face(0))
    other.sources[0]["sha256"] = "f" * 64
    other.save(tmp_path / "other")
    with pytest.raises(UsageError, match="other footage"):
        import_decisions(tmp_path / "other", here)


def test_a_set_without_a_kept_face_is_refused(tmp_path: Path) -> None:
    some(face(0, "blurred")).save(tmp_path)
    with pytest.raises(NoFaceError, match="no face that was kept"):
        FaceSet.load(tmp_path)
    some(face(0)).save(tmp_path)
    with pytest.raises(UsageError, match="not between 64 and 512"):
        FaceSet.load(tmp_path, size=1024)
    loaded = FaceSet.load(tmp_path)
    with pytest.raises(MissingPathError):
        loaded.pixels()


# the journal


def journalled(folder: Path, count: int, work: dict[str, Any]) -> None:
    (folder / "faces").mkdir(parents=True, exist_ok=True)
    with Journal.open(folder, work) as journal:
        for number in range(len(journal.frames), count):
            one = face(number)
            (folder / one.file).write_bytes(b"picture")
            journal.add(Frame(number, 0, number, number / 25, 320, 240, "faces", [one]))


def test_a_journal_goes_on_after_the_last_whole_line(tmp_path: Path) -> None:
    work = {"size": 128, "sources": ["0" * 64]}
    journalled(tmp_path, 4, work)
    path = tmp_path / Journal.FILE_NAME
    whole = path.read_bytes()
    for cut in (1, 500, 5000):
        path.write_bytes(whole[:-cut])
        assert Journal.fits(tmp_path, work)
        with Journal.open(tmp_path, work) as journal:
            assert [frame.number for frame in journal.frames] == [0, 1, 2]
        journalled(tmp_path, 4, work)
        assert path.read_bytes() == whole


def test_what_a_crash_left_behind_the_last_line_goes_away(tmp_path: Path) -> None:
    journalled(tmp_path, 3, {"size": 128})
    path = tmp_path / Journal.FILE_NAME
    whole = path.read_bytes()
    path.write_bytes(whole + b"\x00" * 50_000)
    with Journal.open(tmp_path, {"size": 128}) as journal:
        assert len(journal.frames) == 3
    assert path.read_bytes() == whole


def test_a_journal_of_other_work_is_begun_anew(tmp_path: Path) -> None:
    journalled(tmp_path, 3, {"size": 128})
    assert not Journal.fits(tmp_path, {"size": 256})
    with Journal.open(tmp_path, {"size": 256}) as journal:
        assert journal.frames == []


def test_a_frame_whose_picture_is_gone_is_done_again(tmp_path: Path) -> None:
    journalled(tmp_path, 4, {"size": 128})
    (tmp_path / "faces/000002_0.png").unlink()
    with Journal.open(tmp_path, {"size": 128}) as journal:
        assert [frame.number for frame in journal.frames] == [0, 1]

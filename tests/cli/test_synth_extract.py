"""``veilmark synth extract``, ``sort``, ``pairs``, ``alignments`` and ``veilmark consent``, as people run them."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from provenance.home import Home
from provenance.setup import initialize
from tests.cli.conftest import Run
from tests.support.clips import film, wandering

FAST = ("--size", "64", "--detectors", "blazeface-back", "--threshold", "bits=-1")
Veilmark = Callable[..., Run]


@pytest.fixture(scope="module")
def clip(portraits: dict[str, np.ndarray], tmp_path_factory: pytest.TempPathFactory) -> Path:
    return film(tmp_path_factory.mktemp("clip") / "clip.mp4", wandering(portraits["astronaut"], 12))


def test_unsigned_footage_is_extracted_by_declaration(veilmark: Veilmark, clip: Path, tmp_path: Path) -> None:
    refused = veilmark("synth", "extract", clip, "-o", tmp_path / "set", *FAST)
    assert refused.code == 8 and "not signed" in refused.err and "--i-have-consent" in refused.err
    assert not (tmp_path / "set").exists()
    done = veilmark("synth", "extract", clip, "-o", tmp_path / "set", "--i-have-consent", *FAST, "--json")
    assert done.code == 0, done.err
    (answer,) = done.json
    assert answer["schema"] == "veilmark.extracted/1" and answer["kept"] == 12
    assert answer["consent"]["basis"] == "declared" and "declared" in answer["consent"]["statement"]
    again = veilmark("synth", "extract", clip, "-o", tmp_path / "set", "--i-have-consent", *FAST)
    assert again.code == 0 and "kept 12 faces of 12 frames" in again.out
    assert "12 frames had been done before" in again.out and "declared to have consent" in again.out


def test_the_owners_word_from_signing_to_extraction(
    ready: Veilmark, clip: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The owner signs and publishes; a researcher is stopped, asks, gets a statement, and goes on."""
    signed, statement = tmp_path / "published.mp4", tmp_path / "statement.json"
    assert ready("sign", clip, "-o", signed).code == 0
    own = ready("synth", "extract", signed, "-o", tmp_path / "own", *FAST, "--json")
    assert own.code == 0 and own.json[0]["consent"]["basis"] == "own-key"
    made = ready(
        "consent", signed, "-o", statement, "--to", "Ada Researcher", "--purpose", "measuring cloaks"
    )
    assert made.code == 0 and "Test Photographer" in made.out and "Ada Researcher" in made.out
    assert ready("consent", signed, "-o", statement, "--to", "A", "--purpose", "b").code == 2, "it exists"

    monkeypatch.setenv("VEILMARK_HOME", str(tmp_path / "researcher"))
    initialize(Home.locate(), subject="Ada Researcher", algorithm="es256", passphrase=None)
    for declared in ((), ("--i-have-consent",)):
        refused = ready("synth", "extract", signed, "-o", tmp_path / "set", *declared, *FAST)
        assert (
            refused.code == 8 and "'Test Photographer'" in refused.err and "veilmark consent" in refused.err
        )
    assert not (tmp_path / "set").exists()
    done = ready("synth", "extract", signed, "-o", tmp_path / "set", "--consent", statement, *FAST, "--json")
    assert done.code == 0 and done.json[0]["consent"]["basis"] == "statement"
    assert done.json[0]["consent"]["evidence"] == [json.loads(statement.read_text())]

    altered = json.loads(statement.read_text())
    altered["purpose"] = "anything"
    statement.write_text(json.dumps(altered))
    refused = ready("synth", "extract", signed, "-o", tmp_path / "set", "--consent", statement, *FAST)
    assert refused.code == 1 and "altered" in refused.err


def test_a_stripped_video_is_recognised_by_its_looks(ready: Veilmark, tmp_path: Path) -> None:
    """The record of somebody else lies in a ledger that both use; the copy is smaller, without manifest or sound."""
    import skimage.data

    frames = wandering(skimage.data.astronaut(), 40, (320, 320))
    original, signed = film(tmp_path / "original.mp4", frames), tmp_path / "signed.mp4"
    assert ready("sign", original, "-o", signed).code == 0
    small = [np.asarray(Image.fromarray(frame).resize((240, 240))) for frame in frames]
    copy = film(tmp_path / "copy.mp4", small, codec="mpeg4")
    home = Home.locate()
    (home.data / "identities").rename(tmp_path / "keys-of-somebody-else")
    refused = ready("synth", "extract", copy, "-o", tmp_path / "set", "--i-have-consent", *FAST)
    assert refused.code == 8 and "found by its looks" in refused.err


def test_outcomes_are_exported_edited_and_imported(veilmark: Veilmark, clip: Path, tmp_path: Path) -> None:
    extract = ("synth", "extract", clip, "-o", tmp_path / "set", "--i-have-consent", *FAST)
    assert veilmark(*extract).code == 0
    edited = tmp_path / "edited.json"
    assert veilmark("synth", "alignments", tmp_path / "set", "--export", edited).code == 0
    assert veilmark("synth", "alignments", tmp_path / "set", "--export", edited).code == 2
    edited.write_text(edited.read_text().replace('"fate": "keep"', '"fate": "by-hand"', 2))
    done = veilmark("synth", "alignments", tmp_path / "set", "--import", edited)
    assert done.code == 0 and "2 outcomes changed" in done.out
    again = veilmark(*extract)
    assert again.code == 0 and "kept 10 faces" in again.out and "by-hand" in again.out
    assert len(list((tmp_path / "set/faces").iterdir())) == 10
    edited.write_text(edited.read_text().replace('"fate": "by-hand"', '"fate": "bye"', 1))
    bad = veilmark("synth", "alignments", tmp_path / "set", "--import", edited)
    assert bad.code == 3 and "fate 'bye'" in bad.err and "frame 0" in bad.err
    assert veilmark("synth", "alignments", tmp_path / "set").code == 2


def test_sets_are_sorted_and_paired(
    veilmark: Veilmark, clip: Path, portrait_files: dict[str, Path], tmp_path: Path
) -> None:
    for source, name in ((clip, "a"), (portrait_files["hopper"], "b")):
        assert (
            veilmark("synth", "extract", source, "-o", tmp_path / name, "--i-have-consent", *FAST).code == 0
        )
    done = veilmark("synth", "sort", tmp_path / "a", "--by", "yaw", "--json", "--sheet", tmp_path / "s.jpg")
    values = [row["value"] for row in done.json]
    assert done.code == 0 and len(values) == 12 and values == sorted(values)
    assert Image.open(tmp_path / "s.jpg").width == 12 * 112
    assert veilmark("synth", "sort", tmp_path / "a", "--by", "yaw", "--sheet", tmp_path / "s.jpg").code == 2
    plain = veilmark("synth", "sort", tmp_path / "a")
    assert plain.code == 0 and plain.out.count("faces/") == 12
    pairs = veilmark("synth", "pairs", tmp_path / "a", tmp_path / "b", "--json")
    assert pairs.code == 0 and pairs.json[0]["schema"] == "veilmark.pair/1" and pairs.json[0]["shape"] > 0
    assert veilmark("synth", "pairs", tmp_path / "a").code == 2
    assert veilmark("synth", "sort", tmp_path / "nowhere").code == 2


@pytest.mark.parametrize(
    "make, code, said",
    [
        (lambda path: path.write_bytes(b""), 3, "empty"),
        (lambda path: path.write_text("no video"), 3, "text"),
        (lambda path: Image.new("RGB", (200, 200), (90, 90, 90)).save(path, "PNG"), 6, "no face"),
        (lambda path: path.write_bytes(b"\x00\x00\x00\x18ftypmp42" + bytes(100)), 3, "cannot be"),
    ],
)
def test_bad_footage_is_one_clear_line(
    veilmark: Veilmark, tmp_path: Path, make: Callable[[Path], object], code: int, said: str
) -> None:
    make(tmp_path / "x.bin")
    done = veilmark("synth", "extract", tmp_path / "x.bin", "-o", tmp_path / "set", "--i-have-consent", *FAST)
    assert (done.code, done.err.count("error:")) == (code, 1) and said in done.err, done.err
    assert veilmark("synth", "extract", tmp_path / "absent", "-o", tmp_path / "set").code == 2

"""Cloaking through the command: hidden, linked to the signed original, and nothing of the clean face inside."""

from __future__ import annotations

import io
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import skimage.data
from PIL import Image
from typer.testing import CliRunner

from tests.cli.conftest import Run

Command = Callable[..., Run]
#: One step within the smallest budget hides no clear face: the command ends with 7.
WEAK = ("--detectors", "mtcnn,centerface", "--steps", "1", "--strength", "low")
_STARTS = (b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b"RIFF")


def embedded_pictures(data: bytes) -> list[Image.Image]:
    """Every picture that any byte offset of a file decodes to, the file itself first."""
    found = []
    for start in sorted({m.start() for sig in _STARTS for m in re.finditer(re.escape(sig), data)}):
        try:
            picture = Image.open(io.BytesIO(data[start:]))
            picture.load()
        except (OSError, SyntaxError, ValueError):
            continue
        found.append(picture.convert("RGB"))
    return found


def faces_seen(picture: Image.Image) -> dict[str, int]:
    """How many faces each attacked detector reports."""
    import torch

    from cloak import detectors

    pixels = torch.from_numpy(np.asarray(picture).copy()).permute(2, 0, 1)[None].float() / 255
    return {name: len(detectors.load(name).detect(pixels)[0]) for name in ("mtcnn", "centerface")}


@pytest.fixture(scope="module")
def cloaked_once(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """One signed portrait with EXIF thumbnail and GPS, and its cloaked copy; made once."""
    import matplotlib.cbook

    import cli

    folder = tmp_path_factory.mktemp("cloak")
    paths = {name: folder / name for name in ("home", "clean.jpg", "signed.jpg", "cloaked.jpg")}
    with matplotlib.cbook.get_sample_data("grace_hopper.jpg") as stream:
        portrait = Image.open(stream).convert("RGB")
    exif = Image.Exif()
    exif[0x0110] = "Test Camera"
    exif.get_ifd(0x8825).update({1: "N", 2: (48.0, 8.0, 0.0), 3: "E", 4: (11.0, 34.0, 0.0)})
    portrait.save(paths["clean.jpg"], quality=95, exif=with_thumbnail(exif, portrait))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("VEILMARK_HOME", str(paths["home"]))
        for args in (
            ["init", "--name", "Test Photographer"],
            ["sign", paths["clean.jpg"], "-o", paths["signed.jpg"], "--thumbnail"],
            [
                "cloak",
                paths["signed.jpg"],
                "-o",
                paths["cloaked.jpg"],
                "--detectors",
                "mtcnn,centerface",
                "--strength",
                "high",
            ],
        ):
            done = CliRunner().invoke(cli.app, [str(arg) for arg in args])
            assert done.exit_code == 0, (args, done.output, done.exception)
    return paths


def with_thumbnail(exif: Image.Exif, portrait: Image.Image) -> bytes:
    """An EXIF block whose IFD1 holds a JPEG thumbnail of ``portrait``, as cameras write it."""
    import struct

    small = portrait.copy()
    small.thumbnail((320, 320))
    stream = io.BytesIO()
    small.save(stream, "JPEG", quality=90)
    tiff = bytearray(exif.tobytes().removeprefix(b"Exif\x00\x00"))
    order = "<" if tiff[:2] == b"II" else ">"
    first = struct.unpack_from(order + "I", tiff, 4)[0]
    entries = struct.unpack_from(order + "H", tiff, first)[0]
    second = len(tiff) + (len(tiff) & 1)
    tiff.extend(b"\x00" * (second - len(tiff)))
    struct.pack_into(order + "I", tiff, first + 2 + 12 * entries, second)
    offset = second + 2 + 3 * 12 + 4
    tiff += struct.pack(order + "H", 3)
    tiff += struct.pack(order + "HHIHH", 0x0103, 3, 1, 6, 0)
    tiff += struct.pack(order + "HHII", 0x0201, 4, 1, offset)
    tiff += struct.pack(order + "HHII", 0x0202, 4, 1, len(stream.getvalue()))
    tiff += struct.pack(order + "I", 0) + stream.getvalue()
    return b"Exif\x00\x00" + bytes(tiff)


@pytest.fixture
def at_work(cloaked_once: dict[str, Path], veilmark: Command, monkeypatch: pytest.MonkeyPatch) -> Command:
    monkeypatch.setenv("VEILMARK_HOME", str(cloaked_once["home"]))
    return veilmark


def test_the_written_file_shows_no_face_to_the_attacked(cloaked_once: dict[str, Path]) -> None:
    with Image.open(cloaked_once["signed.jpg"]) as clean, Image.open(cloaked_once["cloaked.jpg"]) as cloaked:
        assert min(faces_seen(clean.convert("RGB")).values()) >= 1
        box = np.asarray(clean.convert("L"), float) - np.asarray(cloaked.convert("L"), float)
        assert np.abs(box).max() > 0
    verdict = faces_over(cloaked_once)
    assert verdict == {"mtcnn": 0, "centerface": 0}


def faces_over(cloaked_once: dict[str, Path]) -> dict[str, int]:
    """How many reports of each detector in the cloaked file overlap the clean picture's face."""
    import torch

    from cloak import detectors

    counts = {}
    tensors = {}
    for name in ("signed.jpg", "cloaked.jpg"):
        with Image.open(cloaked_once[name]) as picture:
            pixels = np.asarray(picture.convert("RGB")).copy()
        tensors[name] = torch.from_numpy(pixels).permute(2, 0, 1)[None].float() / 255
    for name in ("mtcnn", "centerface"):
        detector = detectors.load(name)
        face = detector.detect(tensors["signed.jpg"])[0].boxes[0]
        centres = detector.detect(tensors["cloaked.jpg"])[0].boxes.reshape(-1, 2, 2).mean(1)
        inside = (centres > face[:2]).all(1) & (centres < face[2:]).all(1)
        counts[name] = int(inside.sum())
    return counts


def test_no_embedded_picture_still_shows_the_face(cloaked_once: dict[str, Path]) -> None:
    clean = embedded_pictures(cloaked_once["signed.jpg"].read_bytes())
    assert len(clean) >= 3, "the signed original carries an EXIF and a manifest thumbnail"
    assert any(max(faces_seen(picture).values()) for picture in clean[1:]), "and a thumbnail shows the face"
    for picture in embedded_pictures(cloaked_once["cloaked.jpg"].read_bytes())[1:]:
        assert max(faces_seen(picture).values()) == 0


def test_exif_stays_and_the_position_does_not(cloaked_once: dict[str, Path]) -> None:
    with Image.open(cloaked_once["signed.jpg"]) as signed, Image.open(cloaked_once["cloaked.jpg"]) as cloaked:
        assert signed.getexif().get_ifd(0x8825)
        assert cloaked.getexif()[0x0110] == "Test Camera"
        assert not cloaked.getexif().get_ifd(0x8825)


def test_verify_shows_the_chain(at_work: Command, cloaked_once: dict[str, Path]) -> None:
    verdict = at_work("verify", cloaked_once["cloaked.jpg"], "--json")
    assert verdict.code == 0, verdict.err
    found = verdict.json[0]
    original = at_work("verify", cloaked_once["signed.jpg"], "--json").json[0]
    assert found["relation"] == "cloaked"
    assert [action["action"] for action in found["actions"]] == ["c2pa.opened", "c2pa.filtered"]
    assert found["ingredients"][0]["sha256"] == original["sha256"]
    assert found["ingredients"][0]["relationship"] == "parentOf"
    assert found["parents"][0]["sha256"] == original["sha256"]
    assert found["parents"][0]["relation"] == "captured"
    shown = at_work("verify", cloaked_once["cloaked.jpg"], "-v")
    assert "signed original" in shown.out and "captured by Test Photographer" in shown.out


def test_no_face_writes_nothing(at_work: Command, tmp_path: Path) -> None:
    source, output = tmp_path / "coffee.png", tmp_path / "out.png"
    Image.fromarray(skimage.data.coffee()).save(source)
    done = at_work("cloak", source, "-o", output)
    assert done.code == 6, done.err
    assert "hint: " in done.err
    assert list(tmp_path.glob("out*")) == []


def test_a_budget_too_small_is_partial_success(
    at_work: Command, cloaked_once: dict[str, Path], tmp_path: Path
) -> None:
    output = tmp_path / "weak.jpg"
    done = at_work(
        "cloak", cloaked_once["signed.jpg"], "-o", output, *WEAK, "--json",
    )  # fmt: skip
    assert done.code == 7, done.out
    assert done.json[0]["report"]["success"] is False
    assert output.exists(), "what was reached is kept"
    assert at_work("verify", output).code == 0


def test_unsigned_input_becomes_an_ingredient_without_manifest(
    at_work: Command, cloaked_once: dict[str, Path], tmp_path: Path
) -> None:
    output = tmp_path / "from-unsigned.jpg"
    done = at_work("cloak", cloaked_once["clean.jpg"], "-o", output, *WEAK)
    assert done.code == 7, done.err
    found = at_work("verify", output, "--json").json[0]
    assert found["state"] == "trusted"
    assert found["ingredients"][0]["has_manifest"] is False
    assert found["ingredients"][0]["manifest_label"] == ""


def without_segments(data: bytes) -> bytes:
    """A JPEG file without its application segments: no EXIF, no manifest, the same picture."""
    kept, place = [data[:2]], 2
    while data[place + 1] != 0xDA:
        length = int.from_bytes(data[place + 2 : place + 4], "big")
        if not 0xE0 <= data[place + 1] <= 0xEF:
            kept.append(data[place : place + 2 + length])
        place += 2 + length
    return b"".join([*kept, data[place:]])


def test_a_cloaks_stripped_copy_is_known(
    at_work: Command, cloaked_once: dict[str, Path], tmp_path: Path
) -> None:
    quick = ["--detectors", "mtcnn,centerface", "--judges", "none", "--steps", "1", "--no-sign"]
    (tmp_path / "stripped.jpg").write_bytes(without_segments(cloaked_once["cloaked.jpg"].read_bytes()))
    done = at_work("cloak", tmp_path / "stripped.jpg", "-o", tmp_path / "never.jpg", *quick)
    assert done.code == 2 and "cloaked already" in done.err and "--again" in done.err, done.err
    assert not (tmp_path / "never.jpg").exists()
    # a recompressed copy looks like the cloak and like its original: said where no face is found
    with Image.open(cloaked_once["cloaked.jpg"]) as picture:
        picture.convert("RGB").save(tmp_path / "copy.jpg", quality=94)
    done = at_work("cloak", tmp_path / "copy.jpg", "-o", tmp_path / "out.jpg", *quick)
    assert done.code == 6 and "looks like the cloaked picture of ledger entry" in done.err, done.err
    # the original is not refused for its cloak
    (tmp_path / "original.jpg").write_bytes(without_segments(cloaked_once["clean.jpg"].read_bytes()))
    done = at_work("cloak", tmp_path / "original.jpg", "-o", tmp_path / "out2.jpg", *quick)
    assert done.code == 7 and "cloaked picture" not in done.err, done.err


def test_a_cloaked_file_is_refused_unless_asked_for_again(
    at_work: Command, cloaked_once: dict[str, Path], tmp_path: Path
) -> None:
    quick = [
        "--detectors",
        "blazeface-short,blazeface-full",
        "--judges",
        "none",
        "--steps",
        "20",
        "--strength",
        "high",
        "--no-sign",
    ]
    done = at_work("cloak", cloaked_once["cloaked.jpg"], "-o", tmp_path / "twice.jpg", *quick)
    assert done.code == 2 and "--again" in done.err
    done = at_work("cloak", cloaked_once["cloaked.jpg"], "-o", tmp_path / "twice.jpg", "--again", *quick)
    assert done.code == 0, done.err
    assert (tmp_path / "twice.jpg").exists()


def test_faces_are_listed_without_a_trace(
    at_work: Command, cloaked_once: dict[str, Path], tmp_path: Path
) -> None:
    before = sorted(cloaked_once["home"].rglob("*"))
    done = at_work(
        "cloak", cloaked_once["clean.jpg"], "--list-faces", "--detectors", "mtcnn,centerface", "--json"
    )
    assert done.code == 0, done.err
    (face,) = done.json
    assert face["number"] == 0 and {"mtcnn", "centerface"} <= set(face["found"]) and len(face["box"]) == 4
    assert sorted(cloaked_once["home"].rglob("*")) == before and not list(tmp_path.iterdir())
    Image.fromarray(skimage.data.coffee()).save(tmp_path / "coffee.png")
    assert at_work("cloak", tmp_path / "coffee.png", "--list-faces").code == 6


@pytest.mark.vectors
def test_a_detector_of_ones_own(
    at_work: Command, cloaked_once: dict[str, Path], test_data: Path, tmp_path: Path
) -> None:
    """It is attacked besides those that are named, under the name of its file."""
    mine = tmp_path / "my detector.onnx"
    mine.write_bytes((test_data / "weights" / "yunet_n.onnx").read_bytes())
    asked = ["--detector", mine, "--head", "yunet", "--detectors", "centerface", "--judges", "none"]
    done = at_work("cloak", cloaked_once["clean.jpg"], "--list-faces", *asked, "--json")
    assert done.code == 0, done.err
    assert done.json[0]["found"] == ["centerface", "my-detector"]
    target = tmp_path / "hidden.png"
    done = at_work(
        "cloak", cloaked_once["clean.jpg"], "-o", target, *asked, "--no-sign", "--steps", "40", "--json"
    )
    assert done.code in (0, 7), done.err
    told = {one["name"]: one for one in done.json[0]["report"]["detectors"]}
    assert told["my-detector"]["attacked"] and told["my-detector"]["before"] == 1


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--detector", "x.onnx"], "1 --detector and 0 --head"),
        (["--head", "scrfd"], "0 --detector and 1 --head"),
        (["--detector", "x.onnx", "--head", "yolo"], "no head is called 'yolo'"),
        (["--detector", "x.onnx", "--head", "scrfd"], "there is no detector x.onnx"),
        (["--detector", "x.onnx", "--head", "scrfd", "--head", "yunet"], "1 --detector and 2 --head"),
    ],
)
def test_files_and_heads_go_in_pairs(
    at_work: Command, cloaked_once: dict[str, Path], tmp_path: Path, options: list[str], said: str
) -> None:
    done = at_work("cloak", cloaked_once["clean.jpg"], "-o", tmp_path / "out.jpg", "--no-sign", *options)
    assert done.code == 2 and said in done.err.replace("\n", " ")
    assert not (tmp_path / "out.jpg").exists()


@pytest.mark.parametrize(
    "options",
    [
        ["--detectors", "nobody"],
        ["--detectors", "centerface,"],
        ["--attack", "magic"],
        ["--faces", "x"],
        ["--attack", "torchattacks:PGD", "--smooth", "1"],
    ],
)
def test_unknown_choices_are_usage_errors(
    at_work: Command, cloaked_once: dict[str, Path], options: list[str]
) -> None:
    done = at_work("cloak", cloaked_once["clean.jpg"], "-o", "never.jpg", *options)
    assert done.code == 2, done.err
    assert "hint: " in done.err


def test_models_lists_licence_and_hash(at_work: Command) -> None:
    done = at_work("models", "--json")
    assert done.code == 0
    listed = {line["name"]: line for line in done.json}
    assert listed["centerface"]["state"] == "present"
    assert listed["centerface"]["licence"] == "MIT"
    assert all(len(line["sha256"]) == 64 and line["command"] for line in listed.values())


def test_the_copy_is_small_and_says_so_and_the_original_stays(
    veilmark: Command, portraits: dict[str, np.ndarray], tmp_path: Path
) -> None:
    source, output = tmp_path / "large.png", tmp_path / "small.png"
    Image.fromarray(portraits["astronaut"]).save(source)
    before = source.read_bytes()
    assert veilmark("init", "--name", "Test").code == 0
    quick = ("--detectors", "centerface", "--judges", "none", "--steps", "2")
    done = veilmark("cloak", source, "-o", output, "--longest", "320", *quick)
    assert done.code in (0, 7), done.err
    assert "made smaller first, from 512 x 512 to 320 x 320 pixels" in done.out + done.err
    assert Image.open(output).size == (320, 320) and source.read_bytes() == before
    found = veilmark("verify", output, "--json").json[0]
    assert [one["action"] for one in found["actions"]] == [
        "c2pa.opened",
        "c2pa.resized.proportional",
        "c2pa.filtered",
    ]
    again = veilmark("cloak", output, "-o", tmp_path / "twice.png", *quick)
    assert again.code == 2 and "cloaked already" in again.err
    boxes = veilmark("cloak", source, "--list-faces", "--longest", "320", "--json", *quick).json
    assert boxes and max(boxes[0]["box"]) <= 320

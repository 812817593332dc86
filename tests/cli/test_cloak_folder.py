"""Cloaking whole folders: every sort of file, an interrupted run taken up again, names that fit their formats."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
import skimage.data
from PIL import Image

from tests.cli.conftest import Run

Command = Callable[..., Run]
QUICK = (
    "--no-sign",
    "--detectors",
    "centerface",
    "--judges",
    "none",
    "--steps",
    "1",
    "--strength",
    "low",
    "--json",
)


@pytest.fixture(scope="module")
def small() -> np.ndarray:
    """A portrait of 128 x 128 pixels."""
    pixels = skimage.data.astronaut()[:256, 96:352]
    return np.asarray(cv2.resize(pixels, (128, 128), interpolation=cv2.INTER_AREA))


@pytest.fixture
def folder(small: np.ndarray, tmp_path: Path) -> Path:
    """Faces as JPEG, GIF and 16-bit PNG; a picture without a face; an animation; and a damaged file."""
    folder = tmp_path / "in"
    (folder / "sub").mkdir(parents=True)
    picture = Image.fromarray(small)
    picture.save(folder / "a.jpg", quality=80)
    picture.quantize(200).save(folder / "still.gif")
    picture.save(folder / "still.png")
    cv2.imwrite(
        str(folder / "sub" / "deep.png"), cv2.cvtColor(small, cv2.COLOR_RGB2BGR).astype(np.uint16) * 257
    )
    exif = Image.Exif()
    exif.get_ifd(0x8825).update({1: "N", 2: (1.0, 2.0, 3.0)})
    Image.fromarray(np.full_like(small, 128)).save(folder / "empty.jpg", exif=exif)
    picture.save(folder / "moving.gif", save_all=True, append_images=[picture.rotate(90)])
    (folder / "torn.jpg").write_bytes((folder / "a.jpg").read_bytes()[:1500])
    return folder


def test_a_folder_of_everything(veilmark: Command, folder: Path, tmp_path: Path) -> None:
    done = veilmark("cloak", folder, "-o", tmp_path / "out", *QUICK, "--faceless")
    told = {Path(line.get("source", line.get("path"))).name: line for line in done.json}
    assert done.code == 3, "the damaged file counts most"
    assert told["torn.jpg"]["error"] == "CorruptMediaError" and told["torn.jpg"]["exit_code"] == 3
    assert told["moving.gif"]["error"] == "UsageError" and "2 frames" in told["moving.gif"]["message"]
    assert {told[name]["output"] for name in ("still.png", "still.gif")} == {
        str(tmp_path / "out" / "still.png"),
        str(tmp_path / "out" / "still.gif.png"),
    }
    assert told["a.jpg"]["report"]["encoder_quality"] == 80
    assert any("16 bits" in note for note in told["deep.png"]["report"]["notes"])
    assert told["empty.jpg"]["report"] is None
    out = tmp_path / "out"
    written = sorted(str(path.relative_to(out)) for path in out.rglob("*") if path.is_file())
    assert written == ["a.jpg", "empty.jpg", "still.gif.png", "still.png", "sub/deep.png"]
    for name in written:
        with Image.open(out / name) as image:
            assert image.format == ("JPEG" if name.endswith("jpg") else "PNG")
            assert image.size == (128, 128) and not image.getexif().get_ifd(0x8825)


def test_an_interrupted_folder_is_taken_up_again(veilmark: Command, folder: Path, tmp_path: Path) -> None:
    """What is there is left alone, byte for byte; only the rest is made; without --resume nothing is touched."""
    for name in ("torn.jpg", "moving.gif", "empty.jpg", "still.gif"):
        (folder / name).unlink()
    out = tmp_path / "out"
    out.mkdir()
    (out / "a.jpg").write_bytes(b"made by an earlier run")
    refused = veilmark("cloak", folder, "-o", out, *QUICK)
    assert refused.code == 2 and [path.name for path in out.iterdir()] == ["a.jpg"]
    done = veilmark("cloak", folder, "-o", out, *QUICK, "--resume")
    assert done.code == 7, "the budget is too small for any face"
    told = {Path(line["source"]).name: line for line in done.json}
    assert told["a.jpg"]["skipped"] == "exists" and (out / "a.jpg").read_bytes() == b"made by an earlier run"
    assert told["still.png"]["report"] and (out / "sub" / "deep.png").is_file()


def test_the_name_says_the_format(veilmark: Command, folder: Path, tmp_path: Path) -> None:
    for options, name, expected in (
        (("-o", tmp_path / "x.png"), "x.png", "PNG"),
        (("-o", tmp_path / "y", "--format", "webp"), "y/a.webp", "WEBP"),
    ):
        done = veilmark("cloak", folder / "a.jpg", *options, *QUICK)
        assert done.code == 7, done.err
        with Image.open(tmp_path / name) as image:
            assert image.format == expected
    wrong = veilmark("cloak", folder / "a.jpg", "--format", "gif", *QUICK)
    assert wrong.code == 2 and "gif" in wrong.err


@pytest.mark.slow
def test_many_faces_are_announced(veilmark: Command, small: np.ndarray, tmp_path: Path) -> None:
    """Far apart, so that each is a part of its own."""
    sheet = np.full((1100, 1200, 3), 110, np.uint8)
    for row in range(2):
        for column in range(3):
            sheet[row * 800 : row * 800 + 128, column * 500 : column * 500 + 128] = small
    Image.fromarray(sheet).save(tmp_path / "sheet.png")
    done = veilmark(
        "cloak", tmp_path / "sheet.png", "-o", tmp_path / "out.png", *QUICK, "--attack", "torchattacks:FGSM"
    )
    assert done.code == 7, done.err
    assert "6 faces to hide, in 6 patches" in done.err
    assert len(done.json[0]["report"]["faces"]) == 6


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("-o", "b.gif"), "cannot write"),
        (("-o", "b.txt"), "cannot write"),
        (("-o", "b.mp4"), "cannot write"),
        (("-o", "b.png", "--device", "banana"), "no device is called"),
        (("-o", "b.png", "--weights", "nowhere"), "no folder with weights"),
    ],
)
def test_what_cannot_be_asked_for_is_said_before_anything_is_done(
    veilmark: Command, folder: Path, tmp_path: Path, words: tuple[str, ...], said: str
) -> None:
    placed = [str(tmp_path / word) if word.startswith(("b.", "nowhere")) else word for word in words]
    done = veilmark("cloak", folder / "a.jpg", *placed, *QUICK)
    assert done.code == 2 and re.search(said, done.out + done.err)
    assert not (tmp_path / words[1]).exists()


def test_two_pictures_at_once_come_out_as_one_after_the_other(
    veilmark: Command, folder: Path, tmp_path: Path
) -> None:
    for name in ("torn.jpg", "moving.gif", "empty.jpg", "still.gif"):
        (folder / name).unlink()
    one = veilmark("cloak", folder, "-o", tmp_path / "one", *QUICK)
    two = veilmark("cloak", folder, "-o", tmp_path / "two", *QUICK, "--jobs", "2")
    assert one.code == two.code and one.code in (0, 7), (one.err, two.err)
    assert [line["source"] for line in one.json] == [line["source"] for line in two.json]
    for path in sorted((tmp_path / "one").rglob("*.*")):
        again = tmp_path / "two" / path.relative_to(tmp_path / "one")
        assert again.read_bytes() == path.read_bytes(), path.name


def test_whom_it_works_against_is_said_once_and_before(
    veilmark: Command, folder: Path, tmp_path: Path
) -> None:
    for name in ("torn.jpg", "moving.gif", "empty.jpg", "still.gif"):
        (folder / name).unlink()
    done = veilmark("cloak", folder, "-o", tmp_path / "out", *QUICK)
    first = done.err.splitlines()[0]
    assert first.startswith("strength mid: works against centerface; not here: ") or first == (
        "strength mid: works against centerface; others may still find the face"
    )
    assert done.err.count("works against") == 1
    nobody = veilmark("cloak", folder, "-o", tmp_path / "out2", "--detectors", "haar-alt2", "--no-sign")
    assert nobody.code == 2 and "only judges" in nobody.err and "works against" not in nobody.err

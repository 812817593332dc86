"""What a picture loses when it is written again is told, with real files of every kind."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from cloak import CloakOptions, cloak_picture
from cloak.picture.conversion import conversion_notes
from cloak.publish import PublishRequest, publish_file
from provenance.errors import UsageError

QUICK = CloakOptions(detectors=("centerface",), judges=(), attack="torchattacks:FGSM", rounds=1)


@pytest.fixture(scope="module")
def picture(portraits: dict[str, np.ndarray]) -> Image.Image:
    return Image.fromarray(portraits["astronaut"][:256, 96:352]).resize((160, 160))


def written(picture: Image.Image, name: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, name, **options)  # type: ignore[arg-type]
    return buffer.getvalue()


def test_plain_pictures_lose_nothing(picture: Image.Image) -> None:
    for data, name in ((written(picture, "JPEG"), "JPEG"), (written(picture, "PNG"), "PNG")):
        assert conversion_notes(data, name, len(data)) == ()
    grey = written(picture.convert("L"), "PNG")
    assert conversion_notes(grey, "PNG", len(grey)) == ()


def test_other_colour_spaces_depth_and_transparency_are_told(picture: Image.Image) -> None:
    (note,) = conversion_notes(written(picture.convert("CMYK"), "JPEG"), "JPEG", 1)
    assert "was CMYK" in note and "RGB" in note
    (note,) = conversion_notes(written(picture.convert("LAB"), "TIFF"), "TIFF", 1)
    assert "L*a*b*" in note
    deep = Image.fromarray(np.asarray(picture.convert("L")).astype(np.uint16) * 257)
    (note,) = conversion_notes(written(deep, "PNG"), "PNG", 1)
    assert "16 bits" in note
    clear = picture.convert("RGBA")
    clear.putalpha(90)
    assert conversion_notes(written(clear, "PNG"), "PNG", 1) == ()
    assert "transparent" in conversion_notes(written(clear, "PNG"), "JPEG", 1)[0]


def test_a_palette_says_that_the_file_grew_and_by_how_much(picture: Image.Image, tmp_path: Path) -> None:
    source = tmp_path / "palette.png"
    picture.quantize(64).save(source)
    report = cloak_picture(source, tmp_path / "out.png", QUICK)
    (note,) = [note for note in report.notes if "palette" in note]
    times = (tmp_path / "out.png").stat().st_size / source.stat().st_size
    assert times > 1.5 and f"{times:.1f} times as large" in note
    assert conversion_notes(source, "PNG", 10)[0].endswith("full colour")


def test_an_animation_says_so_whatever_the_output_is_called(picture: Image.Image, tmp_path: Path) -> None:
    moving, still = tmp_path / "moving.gif", tmp_path / "still.gif"
    picture.save(moving, save_all=True, append_images=[picture.rotate(90)])
    picture.save(still)
    for name in ("x.gif", "x.png", "x.bin"):
        with pytest.raises(UsageError, match="2 frames"):
            publish_file(moving, tmp_path / name, PublishRequest(QUICK))
    with pytest.raises(UsageError, match="cannot write"):
        publish_file(still, tmp_path / "x.gif", PublishRequest(QUICK))
    assert not list(tmp_path.glob("x*"))

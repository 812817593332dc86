"""What a cloaked file keeps: format, quality, and a name that fits; real files in every format."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from cloak import CloakOptions
from cloak.picture.output_format import (
    MIN_QUALITY,
    bit_depth,
    choose_format,
    jpeg_quality,
    output_name,
    with_source_quality,
)
from cloak.picture.pipeline import encode_uncloaked
from provenance.errors import UnknownFormatError, UsageError


@pytest.fixture(scope="module")
def picture(portraits: dict[str, np.ndarray]) -> Image.Image:
    return Image.fromarray(portraits["astronaut"][40:120, 180:260])


def written(picture: Image.Image, name: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, name, **options)  # type: ignore[arg-type]
    return buffer.getvalue()


@pytest.mark.parametrize("quality", [5, 40, 75, 80, 92, 97, 100])
@pytest.mark.parametrize("subsampling", [0, 2])
def test_the_quality_of_a_jpeg_is_told_from_its_tables(
    quality: int, subsampling: int, picture: Image.Image
) -> None:
    data = written(picture, "JPEG", quality=quality, subsampling=subsampling)
    assert jpeg_quality(data) == quality
    kept = with_source_quality(CloakOptions(), data).quality
    assert kept == max(quality, MIN_QUALITY)


def test_tables_of_cameras_get_the_nearest_quality(picture: Image.Image) -> None:
    base = {quality: written(picture, "JPEG", quality=quality) for quality in (80, 90)}
    tables = [Image.open(io.BytesIO(data)).quantization[0] for data in base.values()]  # type: ignore[attr-defined]
    between = [(a + b) // 2 for a, b in zip(*tables, strict=True)]
    estimate = jpeg_quality(written(picture, "JPEG", qtables=[between, between]))
    assert estimate is not None and 82 <= estimate <= 88
    assert jpeg_quality(b"\xff\xd8\xff\xe0 no picture at all") is None
    assert jpeg_quality(written(picture, "PNG")) is None


def test_what_is_chosen_counts_more(picture: Image.Image) -> None:
    data = written(picture, "JPEG", quality=80)
    assert with_source_quality(CloakOptions(quality=60), data).quality == 60
    assert with_source_quality(CloakOptions(format="webp"), data).quality is None
    assert with_source_quality(CloakOptions(), written(picture, "PNG")).quality is None


def test_a_lossless_webp_stays_lossless(picture: Image.Image, tmp_path: Path) -> None:
    source = tmp_path / "a.webp"
    picture.save(source, lossless=True)
    assert with_source_quality(CloakOptions(), source).quality == 100
    again = np.asarray(Image.open(io.BytesIO(encode_uncloaked(source, CloakOptions()))).convert("RGB"))
    assert (again == np.asarray(picture)).all()
    assert with_source_quality(CloakOptions(), written(picture, "WEBP", quality=80)).quality is None


def test_names_fit_formats(picture: Image.Image, tmp_path: Path) -> None:
    for name, form, wanted, expected in (
        ("a.jpg", "JPEG", None, "a.jpg"),
        ("a.JPEG", "JPEG", None, "a.JPEG"),
        ("a.gif", "GIF", None, "a.png"),
        ("a.png", "JPEG", None, "a.jpg"),
        ("a.b.jpg", "JPEG", "png", "a.b.png"),
        ("noname", "PNG", None, "noname.png"),
        ("a.tiff", "TIFF", "tif", "a.tiff"),
    ):
        path = tmp_path / name
        picture.save(path, form)
        assert output_name(path, wanted) == tmp_path / expected, name
    (tmp_path / "text.jpg").write_text("no picture")
    with pytest.raises(UnknownFormatError):
        output_name(tmp_path / "text.jpg", None)
    assert choose_format("HEIC", None) == "JPEG"
    assert [choose_format("PNG", wanted) for wanted in ("JPEG", "jpg", ".tif", "WebP")] == [
        "JPEG",
        "JPEG",
        "TIFF",
        "WebP",
    ]
    with pytest.raises(UsageError, match="gif"):
        choose_format("PNG", "gif")


def test_depth_is_told_by_the_head(picture: Image.Image) -> None:
    deep = Image.fromarray(np.asarray(picture.convert("L")).astype(np.uint16) * 257)
    assert bit_depth(written(deep, "PNG")) == 16 and bit_depth(written(picture, "PNG")) == 8
    assert bit_depth(written(picture, "JPEG")) == 8 and bit_depth(b"\x89PNG") == 8


def test_depth_is_told_of_tiffs_too(picture: Image.Image, tmp_path: Path) -> None:
    import cv2

    deep = np.asarray(picture).astype(np.uint16) * 257
    assert cv2.imwrite(str(tmp_path / "deep.tif"), deep)
    assert bit_depth(tmp_path / "deep.tif") == bit_depth((tmp_path / "deep.tif").read_bytes()) == 16
    assert bit_depth(written(Image.fromarray(deep[..., 0].astype(np.float32)), "TIFF")) == 32
    assert bit_depth(written(picture, "TIFF")) == 8 and bit_depth(written(picture.convert("1"), "TIFF")) == 1
    assert bit_depth(written(picture, "TIFF")[:40]) == 8, "a damaged one is for whoever decodes it"


def test_a_picture_without_a_cloak_has_no_place_in_it(picture: Image.Image, tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x010F] = "Maker"
    exif.get_ifd(0x8825).update({1: "N", 2: (1.0, 2.0, 3.0)})
    source = tmp_path / "a.jpg"
    picture.save(source, exif=exif, quality=90)
    tags = Image.open(io.BytesIO(encode_uncloaked(source, CloakOptions()))).getexif()
    assert tags[0x010F] == "Maker" and not tags.get_ifd(0x8825)
    moving = tmp_path / "a.gif"
    picture.save(moving, save_all=True, append_images=[picture.rotate(90)])
    with pytest.raises(UsageError, match="2 frames"):
        encode_uncloaked(moving, CloakOptions())

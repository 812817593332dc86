"""``veilmark find`` says what a record is called, and shows it."""

from __future__ import annotations

import base64
import io
import shutil
from collections.abc import Callable
from pathlib import Path

from PIL import Image

from tests.cli.conftest import Run


def test_title_and_thumbnail_of_what_was_found(
    ready: Callable[..., Run],
    portrait_files: dict[str, Path],
    tmp_path: Path,
) -> None:
    photo, page = portrait_files["hopper"], tmp_path / "found.html"
    title = "<b>Admiral</b>"
    assert ready("sign", photo, "-o", tmp_path / "a.jpg", "--title", title, "--thumbnail").code == 0
    assert ready("sign", photo, "-o", tmp_path / "b.jpg", "--title", "Second").code == 0
    assert ready("record", photo).code == 0
    copy = tmp_path / "copy.jpg"
    with Image.open(photo) as picture:
        picture.resize((300, 360)).save(copy, quality=60)

    (found,) = ready("find", copy, "--json", "--html", page).json
    assert [one["title"] for one in found["records"]] == [title, "Second", ""]
    thumbnails = [one["thumbnail"] for one in found["records"]]
    assert thumbnails[1:] == ["", ""]
    head, _, data = thumbnails[0].partition(",")
    assert head == "data:image/jpeg;base64"
    with Image.open(io.BytesIO(base64.b64decode(data))) as small:
        assert max(small.size) == 240

    text = page.read_text()
    assert "&lt;b&gt;Admiral&lt;/b&gt;" in text and title not in text
    assert text.count("<img") == 1 and data in text and text.count("<li>") == 3
    assert ready("find", copy, "--html", page).code != 0, "a page that is there is not overwritten"
    shown = ready("find", copy, "--html", page, "--force")
    assert shown.code == 0 and "Admiral" in shown.out and "Second" in shown.out


def test_without_the_store_records_are_found_all_the_same(
    ready: Callable[..., Run], portrait_files: dict[str, Path], tmp_path: Path
) -> None:
    assert ready("sign", portrait_files["hopper"], "-o", tmp_path / "a.jpg", "--title", "Admiral").code == 0
    shutil.rmtree(tmp_path / "veilmark-home/store")
    (found,) = ready("find", portrait_files["hopper"], "--json").json
    assert [one["title"] for one in found["records"]] == [""]

"""The blind comparison page: what it holds, in which order, and that a reader can rate with the keys alone."""

from __future__ import annotations

import base64
import io
import itertools
import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

ROOT = Path(__file__).parents[2]
# rates every picture by its key, in the order in which they are shown, as a reader would who never takes the mouse
_READER = """<script>
const pressed = (key) => document.dispatchEvent(new KeyboardEvent('keydown', {key, cancelable: true}));
const early = document.getElementById('end').disabled;
const names = document.body.innerText.includes('film');
for (let place = 0; place < document.querySelectorAll('figure').length; place++) pressed(String(place % 5 + 1));
pressed('ArrowLeft');
const visible = document.querySelectorAll('figure:not([hidden])').length;
const back = document.getElementById('which').textContent;
document.getElementById('end').click();
document.body.dataset.found = JSON.stringify({early, names, visible, back,
  wide: document.documentElement.scrollWidth <= innerWidth,
  means: [...document.querySelectorAll('#means tbody tr')].map((one) => one.innerText.split('\\t')),
  each: [...document.querySelectorAll('#each tbody tr')].map((one) => one.innerText.split('\\t'))});
</script>"""


@pytest.fixture
def variants(tmp_path: Path, portraits: dict[str, np.ndarray]) -> Path:
    """Two pictures in three variants, one of them a JPEG with EXIF data."""
    folder = tmp_path / "variants"
    for name, pixels in portraits.items():
        (folder / name).mkdir(parents=True)
        small = Image.fromarray(pixels).resize((96, 96))
        small.save(folder / name / "original.png")
        small.rotate(2).save(folder / name / "film.png")
        exif = Image.Exif()
        exif[0x010E] = "noise of the secret kind"
        small.save(folder / name / "noise.jpg", exif=exif)
    return folder


def make(*words: object, code: int = 0) -> str:
    command = [sys.executable, str(ROOT / "examples" / "blind.py"), *map(str, words)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == code, done.stderr
    return done.stdout + done.stderr


def pictures_in(page: str) -> list[bytes]:
    return [base64.b64decode(data) for data in re.findall(r'src="data:image/png;base64,([^"]+)"', page)]


def test_the_page_tells_nothing_of_what_is_what(variants: Path, tmp_path: Path) -> None:
    make(variants, tmp_path / "a.html", "--seed", "1")
    make(variants, tmp_path / "b.html", "--seed", "1")
    make(variants, tmp_path / "c.html", "--seed", "2")
    page = (tmp_path / "a.html").read_text()
    assert page == (tmp_path / "b.html").read_text() != (tmp_path / "c.html").read_text()
    for word in ("film", "noise", "original", "astronaut", "hopper", "secret", "http:", "https:"):
        assert word not in re.sub(r"base64,[^\"]+|atob\(\"[^\"]+", "", page), word
    files = pictures_in(page)
    assert len(files) == 6 and len(set(files)) == 6
    for data in files:
        with Image.open(io.BytesIO(data)) as image:
            assert image.format == "PNG" and image.size == (96, 96) and not image.info
    order = json.loads(base64.b64decode(re.findall(r'atob\("([^"]+)', page)[0]))
    assert sorted(map(tuple, order)) == sorted(
        (name, kind) for name in ("astronaut", "hopper") for kind in ("film", "noise", "original")
    )
    assert all(a[0] != b[0] for a, b in itertools.pairwise(order)), "variants do not meet"


def test_a_folder_without_pictures_is_refused(tmp_path: Path) -> None:
    assert "no folders with pictures" in make(tmp_path, tmp_path / "a.html", code=1)
    (tmp_path / "x").mkdir()
    (tmp_path / "x" / "torn.png").write_bytes(b"\x89PNG no picture")
    assert "cannot be read" in make(tmp_path, tmp_path / "a.html", code=1)
    assert not (tmp_path / "a.html").exists()


def test_a_reader_rates_with_the_keys_and_sees_the_key(variants: Path, tmp_path: Path) -> None:
    browser = shutil.which("chromium")
    if browser is None:
        pytest.skip("Chromium is not installed")
    make(variants, tmp_path / "page.html", "--seed", "1")
    page = (tmp_path / "page.html").read_text()
    (tmp_path / "page.html").write_text(page.replace("</html>", _READER + "</html>"))
    options = ["--headless", "--no-sandbox", "--disable-gpu", f"--user-data-dir={tmp_path / 'profile'}"]
    address = (tmp_path / "page.html").as_uri()
    command = [browser, *options, "--virtual-time-budget=5000", "--dump-dom", address]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)
    told = re.search(r'data-found="([^"]+)"', done.stdout)
    assert told is not None, done.stderr[-500:]
    found = json.loads(told[1].replace("&quot;", '"'))
    assert found["early"] is True, "the key is not shown before all is rated"
    assert found["names"] is False and found["visible"] == 1 and found["wide"] is True
    assert found["back"] == "Picture 5 of 6"
    order = json.loads(base64.b64decode(re.findall(r'atob\("([^"]+)', page)[0]))
    assert [line[1:3] for line in found["each"]] == order
    assert [int(line[3]) for line in found["each"]] == [1, 2, 3, 4, 5, 1]
    ratings: dict[str, list[int]] = {}
    for (_, kind), stars in zip(order, (1, 2, 3, 4, 5, 1), strict=True):
        ratings.setdefault(kind, []).append(stars)
    means = {line[0]: float(line[1]) for line in found["means"]}
    assert means == {kind: sum(stars) / len(stars) for kind, stars in ratings.items()}

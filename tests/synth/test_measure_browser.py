"""The report in a real browser, at a phone's width and a desktop's: nothing overflows, nothing is refused by its own
policy, and the slider moves.
"""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from synth.report import Curve, Gallery, Point, Shot, Table, write_report
from tests.synth.test_measure_report import a_picture, a_report

pytestmark = pytest.mark.slow
# Chromium makes no window narrower than 500 pixels, so the page is looked at in a frame, which a phone's width fits.
_FRAME = """<!doctype html><iframe id=frame style="border:0;height:800px;width:WIDTHpx"></iframe><script>
const frame = document.getElementById('frame');
frame.onload = () => {
  const page = frame.contentDocument, slider = page.querySelector('.slider input');
  slider.value = 80; slider.dispatchEvent(new Event('input'));
  document.body.dataset.found = [page.documentElement.scrollWidth, frame.contentWindow.innerWidth,
    page.querySelector('.slider').style.getPropertyValue('--at')].join(' ');
};
frame.srcdoc = TEXT;</script>"""


def chromium(page: Path, *options: str) -> subprocess.CompletedProcess[str]:
    program = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    if program is None:
        pytest.skip("no Chromium is installed")
    profile = page.parent / "profile"
    call = [
        program,
        "--headless=new",
        "--no-sandbox",
        "--disable-gpu",
        f"--user-data-dir={profile}",
        *options,
    ]
    return subprocess.run([*call, page.as_uri()], capture_output=True, text=True, timeout=120, check=False)


@pytest.fixture
def page(tmp_path: Path) -> Path:
    wide = Table(
        "wide",
        ("name", *(f"column {one}" for one in range(12))),
        (("a-very-long-detector-name", *["100 / 0"] * 12),),
    )
    curve = Curve("c", "x", "y", {"a": (Point(0, 1), Point(1, 2))}, ticks=("social networks", "b"))
    shots = Gallery("g", (Shot("one", a_picture()), Shot("two", a_picture(1))), slider=True)
    report = a_report(tables=(wide,), curves=(curve,), galleries=(shots,))
    return write_report(report, tmp_path)[0]


@pytest.mark.parametrize("width", [390, 1200])
def test_it_fits_and_the_slider_moves(page: Path, width: int) -> None:
    framed = page.with_name("framed.html")
    text = json.dumps(page.read_text()).replace("</", "<\\/")
    framed.write_text(_FRAME.replace("WIDTH", str(width)).replace("TEXT", text))
    done = chromium(framed, "--window-size=1300,900", "--virtual-time-budget=3000", "--dump-dom")
    found = re.search(r'data-found="(\d+) (\d+) (\S+)"', done.stdout)
    assert found is not None, done.stderr[-400:]
    assert int(found[2]) == width
    assert int(found[1]) <= int(found[2]), "the page is wider than its window"
    assert found[3] == "80%"


def test_its_own_policy_refuses_nothing_of_it(page: Path, tmp_path: Path) -> None:
    picture = tmp_path / "page.png"
    done = chromium(page, "--window-size=500,900", "--enable-logging=stderr", f"--screenshot={picture}")
    assert picture.stat().st_size > 5000
    assert "Content Security Policy" not in done.stderr


def test_it_prints(page: Path, tmp_path: Path) -> None:
    printed = tmp_path / "page.pdf"
    chromium(page, "--no-pdf-header-footer", f"--print-to-pdf={printed}")
    assert printed.read_bytes().startswith(b"%PDF")

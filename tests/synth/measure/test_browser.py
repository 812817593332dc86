"""The report in a real browser, at a phone's width and a desktop's, by day, in the dark and on paper: nothing
overflows, everything can be read, nothing is refused by its own policy, the slider moves, what is folded is printed.
"""

from __future__ import annotations

import html
import json
import re
from pathlib import Path
from typing import Any

import pytest

from synth.measure.conditions import CONDITIONS
from synth.report.document import Curve, Gallery, Point, Shot, Table
from synth.report.write import write_report
from tests.support.browser import chromium
from tests.synth.measure.test_report import a_picture, a_report

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

# how far each text is from what lies behind it (WCAG 2.2, contrast ratio), and each line of a curve
_CONTRAST = """<!doctype html><iframe id=frame style="border:0;height:1200px;width:WIDTHpx"></iframe><script>
const frame = document.getElementById('frame');
frame.onload = () => {
  const page = frame.contentDocument, view = frame.contentWindow;
  const parts = (colour) => colour.match(/[0-9.]+/g).map(Number);
  const light = (colour) => {
    const [r, g, b] = parts(colour).slice(0, 3).map((one) => one / 255)
      .map((one) => one <= 0.04045 ? one / 12.92 : ((one + 0.055) / 1.055) ** 2.4);
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const behind = (node) => {
    for (let one = node; one; one = one.parentElement) {
      const colour = view.getComputedStyle(one).backgroundColor;
      if (parts(colour).length < 4 || parts(colour)[3] > 0.99) return light(colour);
    }
    return 1;
  };
  const contrast = (a, b) => (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
  page.querySelectorAll('details').forEach((one) => { one.open = true; });
  const found = {texts: [], lines: [], paper: light(view.getComputedStyle(page.body).backgroundColor),
    wide: page.documentElement.scrollWidth, dark: view.matchMedia('(prefers-color-scheme: dark)').matches,
    slider: page.querySelector('.slider').getClientRects().length,
    controls: view.getComputedStyle(page.documentElement).colorScheme};
  for (const node of page.body.querySelectorAll('*')) {
    const style = view.getComputedStyle(node), own = [...node.childNodes];
    const written = own.some((one) => one.nodeType === 3 && one.textContent.trim());
    if (!node.getClientRects().length || ['SCRIPT', 'STYLE'].includes(node.tagName)) continue;
    const name = node.tagName + '.' + (node.getAttribute('class') || '');
    const svg = node instanceof view.SVGElement;
    if (written) found.texts.push([contrast(light(svg ? style.fill : style.color), behind(node)), name]);
    if (svg && node.classList.contains('line')) found.lines.push([contrast(light(style.stroke), behind(node)), name]);
  }
  document.body.dataset.found = JSON.stringify(found);
};
frame.srcdoc = TEXT;</script>"""
_SCHEMES = {
    "dark": "--blink-settings=preferredColorScheme=0",
    "light": "--blink-settings=preferredColorScheme=1",
}


@pytest.fixture
def page(tmp_path: Path) -> Path:
    wide = Table(
        "wide",
        ("name", *(f"column {one}" for one in range(12))),
        (("a-very-long-detector-name", *["100 / 0"] * 12),),
    )
    curve = Curve("c", "x", "y", {"a": (Point(0, 1), Point(1, 2))}, ticks=("social networks", "b"))
    shots = Gallery("g", (Shot("one", a_picture()), Shot("two", a_picture(1))), slider=True)
    names = ("detector", *CONDITIONS)
    cells = ("retinaface-resnet50", *["0.233 (0.000 to 0.512) [13]"] * len(CONDITIONS))
    folded = Table("folded", names, (("one",), cells), note="how to read it", folded=True)
    report = a_report(tables=(wide, folded), curves=(curve,), galleries=(shots,))
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


def looked_at(page: Path, text: str, scheme: str, width: int) -> dict[str, Any]:
    """What the browser says about the page's colours and size, in a frame of that width."""
    framed = page.with_name("framed.html")
    quoted = json.dumps(text).replace("</", "<\\/")
    framed.write_text(_CONTRAST.replace("WIDTH", str(width)).replace("TEXT", quoted))
    options = ("--window-size=1300,900", "--virtual-time-budget=3000", "--dump-dom")
    done = chromium(framed, _SCHEMES[scheme], *options)
    found = re.search(r'data-found="([^"]+)"', done.stdout)
    assert found is not None, done.stderr[-400:]
    return dict(json.loads(html.unescape(found[1])))


def assert_readable(found: dict[str, Any]) -> None:
    """By WCAG 2.2: text 4.5 to 1 (1.4.3), lines of a curve 3 to 1 (1.4.11)."""
    assert len(found["texts"]) > 40 and len(found["lines"]) >= 1
    assert min(found["texts"])[0] >= 4.5, min(found["texts"])
    assert min(found["lines"])[0] >= 3, min(found["lines"])


@pytest.mark.parametrize("scheme", ["dark", "light"])
def test_it_can_be_read_by_day_and_in_the_dark(page: Path, scheme: str) -> None:
    found = looked_at(page, page.read_text(), scheme, 390)
    assert found["dark"] is (scheme == "dark") and found["controls"] == "light dark"
    assert found["paper"] < 0.05 if scheme == "dark" else found["paper"] > 0.8
    assert_readable(found)


@pytest.mark.parametrize("scheme", ["dark", "light"])
def test_paper_is_white_whatever_the_screen_was(page: Path, scheme: str) -> None:
    """With the rules for print in force: a sheet of A4 less its margins, at 96 pixels an inch."""
    text = page.read_text()
    assert text.count("@media print") == 1
    found = looked_at(page, text.replace("@media print", "@media all"), scheme, 718)
    assert found["paper"] == 1 and found["slider"] == 0 and found["controls"] == "light"
    assert found["wide"] <= 718
    assert_readable(found)


def test_what_is_folded_is_printed(page: Path, tmp_path: Path) -> None:
    """A table of many rows: as many sheets folded as open, and more than without it."""
    rows = tuple((f"row {one}", "1") for one in range(400))
    sheets = {}
    for name, tables in (
        ("none", ()),
        ("folded", (Table("t", ("a", "b"), rows, folded=True),)),
        ("open", (Table("t", ("a", "b"), rows),)),
    ):
        folder = tmp_path / name
        folder.mkdir()
        written = write_report(a_report(tables=tables), folder)[0]
        printed = folder / "page.pdf"
        chromium(written, "--no-pdf-header-footer", f"--print-to-pdf={printed}")
        sheets[name] = len(re.findall(rb"/Type\s*/Page\b", printed.read_bytes()))
    assert sheets["none"] >= 1 and sheets["folded"] == sheets["open"] > sheets["none"] + 4


def test_its_own_policy_refuses_nothing_of_it(page: Path, tmp_path: Path) -> None:
    picture = tmp_path / "page.png"
    done = chromium(page, "--window-size=500,900", "--enable-logging=stderr", f"--screenshot={picture}")
    assert picture.stat().st_size > 5000
    assert "Content Security Policy" not in done.stderr


def test_it_prints(page: Path, tmp_path: Path) -> None:
    printed = tmp_path / "page.pdf"
    chromium(page, "--no-pdf-header-footer", f"--print-to-pdf={printed}")
    assert printed.read_bytes().startswith(b"%PDF")

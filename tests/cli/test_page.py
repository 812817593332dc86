"""The page of `veilmark verify --html` on a phone."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image

from tests.cli.conftest import Run
from tests.support.browser import chromium

# Chromium makes no window narrower than 500 pixels, so the page is looked at in a frame
_FRAME = """<!doctype html><iframe id=frame style="border:0;height:800px;width:390px"></iframe><script>
const frame = document.getElementById('frame');
frame.onload = () => {
  const page = frame.contentDocument;
  const narrow = [...page.querySelectorAll('p, li, h2, table:not(.wide) td')]
    .filter((one) => one.textContent.trim().length > 20)
    .map((one) => one.getBoundingClientRect().width);
  document.body.dataset.found = JSON.stringify({wide: page.documentElement.scrollWidth,
    narrowest: Math.min(...narrow), pictures: page.images.length,
    loaded: [...page.images].every((one) => one.naturalWidth > 0), ran: page.body.dataset.ran || ''});
};
frame.srcdoc = TEXT;</script>"""


@pytest.mark.slow
def test_it_can_be_read_at_390_pixels_and_runs_nothing(
    ready: Callable[..., Run], portrait_files: dict[str, Path], tmp_path: Path
) -> None:
    first, second, page = tmp_path / "first.jpg", tmp_path / "second.jpg", tmp_path / "verdict.html"
    assert ready("sign", portrait_files["hopper"], "-o", first, "--thumbnail").code == 0
    assert ready("sign", first, "-o", second, "--action", "c2pa.cropped").code == 0
    Image.open(second).save(tmp_path / "stripped.jpg")
    assert ready("verify", second, tmp_path / "stripped.jpg", "--html", page).code == 4
    text = page.read_text()
    assert "Content-Security-Policy" in text and "default-src 'none'" in text
    # what would run, were it not for the policy
    text = text.replace("</main>", "<script>document.body.dataset.ran = 'yes'</script></main>")
    framed = tmp_path / "framed.html"
    framed.write_text(_FRAME.replace("TEXT", json.dumps(text).replace("</", "<\\/")))
    done = chromium(framed, "--window-size=1300,900", "--virtual-time-budget=3000", "--dump-dom")
    match = re.search(r'data-found="([^"]+)"', done.stdout)
    assert match is not None, done.stderr[-400:]
    found = json.loads(match[1].replace("&quot;", '"'))
    assert found["wide"] <= 390, "the page is wider than its window"
    assert found["narrowest"] >= 240, "text is squeezed"
    assert (found["pictures"], found["loaded"], found["ran"]) == (3, True, "")

"""Cloaking in the browser, to its end: a picture from drop to download, a film with progress and cancel."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.support.video_clips import panned, write_clip
from tests.veilmark.browser.conftest import PHONE, Visit

pytest.importorskip("torch", reason='torch is not installed: pip install "veilmark[cloak]"')
pytestmark = pytest.mark.browser

Open = Callable[..., Visit]
#: On a machine that is busy with other things.
LONG = 240


def chosen(one: Visit, file: Path, heading: str) -> None:
    """Drop a file, and wait until its faces can be chosen."""
    one.go("/cloak")
    one.page.set_input_files("#file", str(file))
    one.press("Next: find the faces")
    one.see(heading, LONG)


def test_faces_are_boxed_chosen_and_the_job_cancelled(visit: Open, portrait_files: dict[str, Path]) -> None:
    one = visit()
    chosen(one, portrait_files["astronaut"], "found")
    assert one.page.locator("g.face").count() >= 1
    face, box = one.page.locator("g.face").first, one.page.locator("#face-0")
    assert box.is_checked()
    face.locator("rect").click(position={"x": 30, "y": 40})
    assert not box.is_checked() and "on" not in (face.get_attribute("class") or "").split()
    face.locator("text").click()
    assert box.is_checked()
    one.check()
    one.picture("cloak-faces")
    # a job that is not finished survives a reload, and can be cancelled
    one.press("Cloak", exact=True)
    one.page.locator("#job-state").wait_for()
    one.page.reload()
    one.page.locator("#job-state").wait_for()
    one.picture("cloak-running")
    one.press("Cancel")
    one.page.get_by_text("Cancelled").wait_for()
    one.check()


def test_a_picture_is_cloaked_from_drop_to_download(
    visit: Open, portraits: dict[str, np.ndarray], tmp_path: Path
) -> None:
    photo = tmp_path / "hopper.jpg"
    Image.fromarray(portraits["hopper"]).resize((256, 300)).save(photo, quality=95)
    one = visit()
    chosen(one, photo, "found")
    one.page.get_by_label("Quick").check()
    one.press("Cloak", exact=True)
    one.see("Cloaked", LONG)
    for said in ("Who still finds what", "EXIF that is kept", "This was a quick search", "record no."):
        assert said in one.page.inner_text("main"), said
    assert one.page.locator("[data-compare] img").count() == 2
    handle = one.page.get_by_role("slider").first
    handle.fill("10")
    assert (
        one.page.eval_on_selector("[data-compare]", "one => one.style.getPropertyValue('--share')") == "10%"
    )
    one.check()
    one.picture("cloak-done")
    cloaked = one.download("Cloaked file", tmp_path)
    with Image.open(cloaked) as after, Image.open(photo) as before:
        assert after.size == before.size
        apart = np.abs(np.asarray(after.convert("RGB")).astype(int) - np.asarray(before.convert("RGB")))
        assert 0.5 < apart.mean() < 40
    # what was downloaded tells that it is cloaked
    one.go("/verify")
    one.page.set_input_files("#file", str(cloaked))
    one.press("Verify")
    one.see("Verdict")
    assert "cloaked" in one.page.inner_text("article")
    one.go("/jobs")
    assert one.page.locator("ul.rows li").count() >= 2


def test_a_film_is_cloaked_with_progress(
    visit: Open, portraits: dict[str, np.ndarray], tmp_path: Path
) -> None:
    film = write_clip(tmp_path / "film.mp4", panned(portraits["astronaut"], 6, 320), sound=True)
    one = visit(PHONE)
    chosen(one, film, "Cloak a film")
    assert one.page.locator("img[alt='A moment of the film']").evaluate("one => one.naturalWidth") == 320
    one.page.get_by_label("Quick").check()
    one.check()
    one.picture("cloak-film")
    one.press("Cloak", exact=True)
    one.page.locator("#job-state, h1:has-text('Cloaked')").first.wait_for()
    one.see("Cloaked", LONG)
    text = one.page.inner_text("main")
    assert "The film at" in text and "Who still finds what" in text and "record no." in text
    one.check()
    one.picture("cloak-film-done")
    done = one.download("Cloaked file", tmp_path)
    assert done.suffix == ".mp4" and done.read_bytes()[4:8] == b"ftyp"


def test_a_film_can_be_cancelled(visit: Open, portraits: dict[str, np.ndarray], tmp_path: Path) -> None:
    film = write_clip(tmp_path / "film.mp4", panned(portraits["astronaut"], 40, 320))
    one = visit()
    chosen(one, film, "Cloak a film")
    one.press("Cloak", exact=True)
    until = time.monotonic() + LONG
    while not one.page.evaluate("document.querySelector('#job-state progress')?.value > 0"):
        assert time.monotonic() < until, one.page.inner_text("main")
        one.page.wait_for_timeout(200)
    one.picture("cloak-film-running")
    one.press("Cancel")
    one.page.get_by_text("Cancelled. What you uploaded was removed.").wait_for()
    one.check()

"""Results side by side, what is trusted, and the list of jobs."""

from __future__ import annotations

import csv
import hashlib
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageFilter

from tests.veilmark.browser.conftest import DESK, PHONE, ROOT, Studio, Visit

pytestmark = pytest.mark.browser

Open = Callable[..., Visit]


def veilmark(*arguments: object, home: Path) -> str:
    """The command itself; its standard output."""
    environment = {**os.environ, "VEILMARK_HOME": str(home), "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-m", "veilmark", *map(str, arguments)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300)
    assert done.returncode in (0, 7), done.stderr
    return done.stdout


def measured(studio: Studio, portraits: dict[str, np.ndarray], folder: Path) -> list[str]:
    """Two real reports of `veilmark measure detectors`: of a grey copy, and of a softened one."""
    face = Image.fromarray(portraits["astronaut"][:220, 120:340]).resize((160, 160))
    copies = {"grey": Image.new("RGB", face.size, (90, 90, 90)), "soft": face.filter(ImageFilter.BoxBlur(2))}
    (folder / "clean").mkdir()
    face.save(folder / "clean" / "collins.png")
    for name, copy in copies.items():
        (folder / name).mkdir()
        copy.save(folder / name / "collins.png")
        options = ("--cloaked", folder / name, "-o", studio.results / name, "--detectors", "blazeface-short")
        veilmark("measure", "detectors", folder / "clean", *options, home=studio.home)
    return list(copies)


@pytest.mark.parametrize("size", [DESK, PHONE])
def test_reports_are_compared_side_by_side_and_kept_as_csv(
    visit: Open, studio: Studio, portraits: dict[str, np.ndarray], tmp_path: Path, size: tuple[int, int]
) -> None:
    pytest.importorskip("torch")
    one = visit(size)
    names = ["grey", "soft"]
    if not any(studio.results.iterdir()):
        one.go("/results")
        assert "There is no report here" in one.page.inner_text("main")
        measured(studio, portraits, tmp_path)
    one.go("/results")
    boxes = one.page.locator("input[name=report]")
    assert boxes.count() == 2
    one.check()
    one.picture("results")
    for number in range(2):
        boxes.nth(number).check()
    one.press("Show side by side")
    one.see("2 reports side by side")
    panels = one.page.locator("section.panel h2")
    assert panels.count() == 2
    if size == DESK:  # beside each other, not below
        tops = one.page.eval_on_selector_all(
            "section.panel", "all => all.map(a => a.getBoundingClientRect().top)"
        )
        assert tops[0] == tops[1]
    text = one.page.inner_text("main")
    assert all(name in text for name in names) and "What" in text and "does not show" in text
    one.check()
    one.picture("results-compared")
    kept = one.download("Download as CSV", tmp_path)
    rows = list(csv.reader(kept.read_text().splitlines()))
    assert rows[0][:2] == ["report", "table"] and {row[0] for row in rows if row[0] != "report"} == set(names)


def test_a_trust_file_is_imported_after_its_fingerprints_were_shown(
    visit: Open, studio: Studio, tmp_path: Path
) -> None:
    other = tmp_path / "other"
    veilmark("init", "--name", "Grace Hopper", home=other)
    file = tmp_path / "grace.trust.json"
    veilmark("trust", "export", "-o", file, home=other)
    one = visit()
    one.go("/trust")
    assert "Grace Hopper" not in one.page.inner_text("main")
    one.page.set_input_files("#file", str(file))
    one.press("Next: see what is in it")
    one.see("What grace.trust.json holds")
    text = one.page.inner_text("main")
    assert hashlib.sha256(file.read_bytes()).hexdigest() in re.sub(r"\s", "", text), "of the file itself"
    listed = re.sub(r"\s", "", veilmark("trust", "list", "--json", home=other))
    shown = re.findall(r"\b[0-9a-f]{64}\b", text)
    anchors = [one for one in shown if one in listed]
    assert anchors, "the fingerprint that the other side reads to them"
    one.check()
    one.picture("trust-look")
    one.press("Trust all of this")
    one.see("Trusted from now on")
    one.check()
    one.go("/trust")
    text = one.page.inner_text("main")
    assert "Grace Hopper" in text and anchors[0] in re.sub(r"\s", "", text)
    one.check()
    one.picture("trust")
    one.page.get_by_role("button", name="Remove Grace-Hopper").first.click()
    one.see("Trust")
    signers = one.page.locator("section", has=one.page.get_by_role("heading", name="Signers"))
    assert "Grace" not in signers.inner_text()


def test_jobs_are_listed_opened_and_removed(visit: Open, portrait_files: dict[str, Path]) -> None:
    one = visit()
    one.go("/jobs")
    before = one.page.locator("ul.rows li").count()
    for name in ("hopper", "astronaut"):
        one.go("/verify")
        one.page.set_input_files("#file", str(portrait_files[name]))
        one.press("Verify")
        one.see("Verdict")
    one.go("/jobs")
    assert one.page.locator("ul.rows li").count() == before + 2
    first = one.page.locator("ul.rows li").first
    assert "astronaut.jpg" in first.inner_text() and "done" in first.inner_text().lower(), "the newest first"
    one.check()
    one.picture("jobs")
    first.get_by_role("link").click()
    one.see("Verdict")
    one.press("Remove it now")
    one.see("Jobs")
    assert one.page.locator("ul.rows li").count() == before + 1
    assert "astronaut.jpg" not in one.page.inner_text("main")

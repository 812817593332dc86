"""The ledger in the browser: searched by signer, hash, date, number and picture; a record with its proof."""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image

from tests.veilmark.browser.conftest import PHONE, Studio, Visit
from tests.veilmark.browser.test_flows import sign

pytestmark = pytest.mark.browser

Open = Callable[..., Visit]


def found(one: Visit, **asked: str) -> int:
    """How many records the form finds."""
    one.go("/ledger")
    for name, text in asked.items():
        one.page.fill(f"#{name}", text)
    one.press("Search", exact=True)
    one.page.wait_for_load_state()
    return int(one.page.locator("ul.records li").count())


def test_records_are_searched_and_shown_with_their_proof(
    visit: Open, studio: Studio, portrait_files: dict[str, Path], tmp_path: Path
) -> None:
    one = visit()
    for name in ("astronaut", "hopper", "astronaut"):
        sign(one, portrait_files[name], tmp_path)
    assert found(one) == 3
    one.check()
    one.picture("ledger")
    assert found(one, q="lovelace") == 3 and found(one, q="Grace") == 0
    assert "No record fits" in one.page.inner_text("main")
    assert found(one, until="2000-01-01") == 0 and found(one, since="2000-01-01") == 3
    found(one, q="1")  # a number leads to its record
    one.see("Its proof, checked just now")
    digest = re.search(r"Signed file\s+([0-9a-f]{64})", one.page.inner_text("article"))
    assert digest
    assert found(one, q=digest[1]) == 1
    # by a picture, small and cut
    copy = tmp_path / "copy.jpg"
    with Image.open(portrait_files["hopper"]) as image:
        image.crop((40, 30, 460, 500)).resize((300, 336)).save(copy, quality=75)
    one.go("/ledger")
    one.page.set_input_files("#picture", str(copy))
    one.press("Find records of it")
    one.see("Verdict")
    assert "Found by likeness" in one.page.inner_text("article") and "record no. 1" in one.page.inner_text(
        "main"
    )
    one.check()
    one.picture("found")
    # the record, its proof drawn and checked
    one.go("/ledger/0")
    marks = one.page.locator("ul.marks li")
    assert (
        one.page.locator("ul.marks li.passed").count() == 3
        and "entry 0 of the 3" in marks.nth(1).inner_text()
    )
    assert one.page.locator(".tree svg .sibling").count() == 2
    one.check()
    one.picture("record")
    with one.page.expect_download() as receipt:
        one.page.get_by_role("link", name="Receipt").click()
    assert Path(receipt.value.path()).read_bytes().startswith(b"c2sp.org/tlog-proof@v1")
    one.go("/ledger/log")
    one.see("What it signed last")
    one.press("Audit the whole log")
    one.see("All of it fits")
    one.check()
    one.picture("audit")


def test_a_record_that_was_tampered_with_does_not_verify(
    visit: Open, studio: Studio, portrait_files: dict[str, Path], tmp_path: Path
) -> None:
    """The page checks when it is looked at: somebody changes the database between two looks."""
    one = visit(PHONE)
    sign(one, portrait_files["hopper"], tmp_path)
    one.go("/ledger/0")
    one.see("Its proof, checked just now")
    assert one.page.locator("ul.marks li.failed").count() == 0
    with sqlite3.connect(next(studio.home.glob("ledger*.sqlite3"))) as database:
        database.execute("UPDATE nodes SET hashes = zeroblob(length(hashes))")
    one.go("/ledger/0")
    one.see("That could not be checked")
    assert "not what the tree commits to" in one.page.get_by_role("alert").inner_text()
    assert one.page.locator("li.passed").count() == 0

"""What people do in the studio: sign, verify what was signed or changed, look records up, trust, cloak."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.veilmark.browser.conftest import DESK, PHONE, Visit

pytestmark = pytest.mark.browser

Open = Callable[..., Visit]


def sign(one: Visit, file: Path, folder: Path) -> Path:
    """Sign a file on the page; what was downloaded."""
    one.go("/sign")
    one.page.set_input_files("#file", str(file))
    one.page.get_by_role("button", name="Next: see what will be published").click()
    one.page.get_by_role("heading", name="What will be published").wait_for()
    one.check()
    one.picture("sign-preview")
    one.page.get_by_role("button", name="Sign it").click()
    one.page.get_by_role("heading", name="Signed", exact=True).wait_for()
    one.check()
    one.picture("signed")
    with one.page.expect_download() as download:
        one.page.get_by_role("link", name="Signed file").click()
    target = folder / download.value.suggested_filename
    download.value.save_as(target)
    return target


@pytest.mark.parametrize("size", [PHONE, DESK])
def test_sign_then_verify_then_change_it(
    visit: Open, portrait_files: dict[str, Path], tmp_path: Path, size: tuple[int, int]
) -> None:
    one = visit(size)
    signed = sign(one, portrait_files["hopper"], tmp_path)
    changed = tmp_path / "changed.jpg"
    data = bytearray(signed.read_bytes())
    data[-2000] ^= 1
    changed.write_bytes(data)
    stripped = tmp_path / "stripped.jpg"
    from PIL import Image

    Image.open(signed).convert("RGB").resize((300, 350)).save(stripped, quality=80)
    one.go("/verify")
    one.page.set_input_files("#file", [str(path) for path in (signed, changed, stripped)])
    one.page.get_by_role("button", name="Verify").click()
    one.page.get_by_text("3 verdicts").wait_for()
    cards = {path.name: one.page.locator("article").filter(has_text=path.name) for path in (signed, changed)}
    assert "Trusted" in cards[signed.name].first.inner_text()
    assert "Tampered" in cards[changed.name].first.inner_text()
    looks = one.page.locator("article").filter(has_text="stripped.jpg").first.inner_text()
    assert "Found by likeness" in looks and "record no." in looks
    # word, shape and colour tell them apart
    colours = one.page.eval_on_selector_all(
        "article", "cards => cards.map(card => getComputedStyle(card).borderLeftColor)"
    )
    assert len(set(colours)) == 3
    one.check()
    one.picture("verdicts")


def test_the_ledger_shows_a_record_and_its_proof(
    visit: Open, portrait_files: dict[str, Path], tmp_path: Path
) -> None:
    one = visit()
    sign(one, portrait_files["astronaut"], tmp_path)
    one.page.locator("table a", has_text="record no.").click()
    one.page.get_by_role("heading", name="Its proof, checked just now").wait_for()
    assert "Recorded" in one.page.locator("article").inner_text()
    assert one.page.locator("li.failed").count() == 0
    one.check()
    one.picture("record")
    one.go("/ledger")
    assert one.page.locator("ul.records li").count() >= 1
    one.check()
    one.picture("ledger")
    one.page.get_by_role("link", name="State of the log").click()
    one.page.get_by_role("heading").first.wait_for()
    one.check()
    one.picture("log")
    one.go("/trust")
    one.check()
    one.picture("trust")

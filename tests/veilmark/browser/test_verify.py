"""Verify in a browser: many files, words, keyboard, no script, both sizes, both colour schemes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.veilmark.browser.conftest import DESK, PHONE, Visit

pytestmark = pytest.mark.browser


@pytest.mark.parametrize("size", [PHONE, DESK])
@pytest.mark.parametrize("dark", [False, True])
def test_each_page_is_whole_and_accessible(
    visit: Callable[..., Visit], size: tuple[int, int], dark: bool
) -> None:
    one = visit(size, dark=dark)
    one.go("/")
    places = one.page.eval_on_selector_all("header nav a", "links => links.map(a => a.getAttribute('href'))")
    assert "/verify" in places
    for place in ["/", *places, "/jobs"]:
        one.go(place)
        assert one.page.locator("h1").count() == 1, place
        one.check()
        if not dark:
            one.picture(f"page-{place.strip('/') or 'front'}")


def test_files_get_their_verdicts(visit: Callable[..., Visit], portrait_files: dict[str, Path]) -> None:
    one = visit()
    one.go("/verify")
    one.page.set_input_files("input[type=file]", [str(path) for path in portrait_files.values()])
    one.page.get_by_role("button", name="Verify").click()
    one.page.get_by_text("2 verdicts").wait_for()
    assert one.page.get_by_text("carries no credential").count() == 2
    one.check()


def test_without_script(visit: Callable[..., Visit], portrait_files: dict[str, Path]) -> None:
    one = visit(PHONE, script=False)
    one.go("/verify")
    one.page.set_input_files("input[type=file]", str(portrait_files["hopper"]))
    one.page.get_by_role("button", name="Verify").click()
    one.page.get_by_text("carries no credential").wait_for()


def test_by_keyboard_alone(visit: Callable[..., Visit], portrait_files: dict[str, Path]) -> None:
    from playwright import sync_api

    one = visit()
    one.go("/verify")
    page = one.page
    for _ in range(30):
        page.keyboard.press("Tab")
        if page.evaluate("document.activeElement.type === 'file'"):
            break
    else:
        pytest.fail("Tab never reaches the field for files")
    ring = page.evaluate("getComputedStyle(document.activeElement.closest('label, div')).outlineStyle")
    ring += page.evaluate("getComputedStyle(document.activeElement).outlineStyle")
    assert ring != "nonenone", "nothing shows where the keyboard is"
    for last in (False, False, True):  # a browser on a busy machine misses a key now and then
        try:
            with page.expect_file_chooser(timeout=20_000) as chooser:
                page.keyboard.press("Space")
            break
        except sync_api.TimeoutError:
            if last:
                raise
    chooser.value.set_files(str(portrait_files["hopper"]))
    for _ in range(10):
        page.keyboard.press("Tab")
        if page.evaluate("document.activeElement.innerText === 'Verify'"):
            break
    page.keyboard.press("Enter")
    page.get_by_text("carries no credential").wait_for()

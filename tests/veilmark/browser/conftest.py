"""The studio as its owner meets it: the real command, the real server, a real browser."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import absent
from tests.support.axe.install import find_axe
from tests.support.browser import find_chromium

ROOT = Path(__file__).parents[3]
PHONE, DESK = (390, 844), (1280, 900)
#: Faults of this weight fail a test (axe-core's words).
SERIOUS = {"serious", "critical"}


@dataclass
class Studio:
    """A studio that runs: where it is, and the link that opens it once."""

    origin: str
    link: str
    home: Path
    results: Path
    process: subprocess.Popen[str]


@dataclass
class Visit:
    """One page of a browser, and all that it did that a page of ours must not do."""

    page: Any
    origin: str
    elsewhere: list[str] = field(default_factory=list)
    complaints: list[str] = field(default_factory=list)

    def go(self, path: str) -> None:
        self.page.goto(self.origin + path)

    def press(self, button: str, exact: bool = False) -> None:
        self.page.get_by_role("button", name=button, exact=exact).click()

    def see(self, heading: str, seconds: float = 60) -> None:
        """Wait for a heading of this text."""
        self.page.get_by_role("heading", name=heading).first.wait_for(timeout=1000 * seconds)

    def download(self, link: str, folder: Path) -> Path:
        """Click a link or a button, and keep what it gives."""
        with self.page.expect_download() as begun:
            self.page.locator("a, button").filter(has_text=link).first.click()
        target = folder / str(begun.value.suggested_filename)
        begun.value.save_as(target)
        return target

    def picture(self, name: str) -> None:
        """Keep a screenshot in the folder that ``VEILMARK_SCREENSHOTS`` names, for the docs."""
        folder = os.environ.get("VEILMARK_SCREENSHOTS")
        if folder:
            width = self.page.viewport_size["width"]
            self.page.screenshot(path=Path(folder) / f"{name}-{width}.png", full_page=True)

    def check(self) -> None:
        """No request left the service, nothing was written to the console, and axe finds no serious fault."""
        assert not self.elsewhere, self.elsewhere
        assert not self.complaints, self.complaints
        script = find_axe()
        if script is None:
            absent("browser", "axe-core is not installed: python -m tests.support.axe.install")
        self.page.evaluate(Path(str(script)).read_text("utf-8"))
        found = self.page.evaluate("axe.run()")["violations"]
        faults = [
            f"{one['id']}: {node['html'][:150]} {node['failureSummary'][:200]}"
            for one in found
            if one["impact"] in SERIOUS
            for node in one["nodes"]
        ]
        assert not faults, "\n".join(faults)
        wide = self.page.evaluate("document.documentElement.scrollWidth - innerWidth")
        assert wide <= 0, f"the page is {wide} px wider than the window"


def free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


@pytest.fixture(scope="module")
def studio(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Studio]:
    """``veilmark init`` and ``veilmark studio`` on a fresh home."""
    find_chromium()
    place = tmp_path_factory.mktemp("studio")
    home, results = place / "home", place / "results"
    results.mkdir()
    environment = {**os.environ, "VEILMARK_HOME": str(home), "PYTHONPATH": str(ROOT)}
    environment.pop("VEILMARK_PASSPHRASE", None)
    command = [sys.executable, "-m", "veilmark"]
    made = [*command, "init", "--name", "Ada Lovelace"]
    subprocess.run(made, env=environment, check=True, capture_output=True, text=True, timeout=120)
    port = free_port()
    with subprocess.Popen(
        [*command, "studio", "--no-browser", "--port", str(port), "--results", str(results)],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as process:
        said = ""
        for line in process.stdout or ():
            said += line
            found = re.search(r"(http://127\.0\.0\.1:\d+)(/enter\S+)", line)
            if found:
                yield Studio(found[1], found[0], home, results, process)
                break
        else:
            pytest.fail(f"the studio ended: {said}")
        process.send_signal(signal.SIGINT)
        process.wait(timeout=30)


@pytest.fixture(scope="module")
def chromium() -> Iterator[Any]:
    """A headless Chromium; the sandbox is off because tests may run as root."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as play:
        browser = play.chromium.launch(executable_path=find_chromium(), args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def cookies(studio: Studio, chromium: Any) -> list[Any]:
    """What the one-time link gave the browser."""
    context = chromium.new_context()
    page = context.new_page()
    page.goto(studio.link)
    kept = context.cookies()
    context.close()
    assert kept
    return list(kept)


@pytest.fixture
def visit(studio: Studio, chromium: Any, cookies: list[Any]) -> Iterator[Callable[..., Visit]]:
    """``visit(size, dark=False)``: a new window of the owner's browser."""
    contexts = []

    def new(size: tuple[int, int] = DESK, *, dark: bool = False, script: bool = True) -> Visit:
        context = chromium.new_context(
            viewport={"width": size[0], "height": size[1]},
            color_scheme="dark" if dark else "light",
            java_script_enabled=script,
            accept_downloads=True,
        )
        contexts.append(context)
        context.add_cookies(cookies)
        context.set_default_timeout(60_000)
        one = Visit(context.new_page(), studio.origin)

        def asked(request: Any) -> None:
            if not request.url.startswith((studio.origin, "data:", "blob:")):
                one.elsewhere.append(request.url)

        one.page.on("request", asked)
        one.page.on(
            "console",
            lambda message: (
                one.complaints.append(message.text) if message.type in ("error", "warning") else None
            ),
        )
        one.page.on("pageerror", lambda error: one.complaints.append(str(error)))
        return one

    yield new
    for context in contexts:
        context.close()

"""Pages in a real browser."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

from tests.conftest import absent


def find_chromium() -> str:
    """The program; where none is installed the test skips, or fails if ``VEILMARK_REQUIRE`` names ``browser``."""
    program = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    if program is None:
        absent("browser", "no Chromium is installed")
    return str(program)


def chromium(page: Path, *options: str) -> subprocess.CompletedProcess[str]:
    profile = page.parent / "profile"
    call = [
        find_chromium(),
        "--headless=new",
        "--no-sandbox",
        "--disable-gpu",
        f"--user-data-dir={profile}",
        *options,
    ]
    return subprocess.run([*call, page.as_uri()], capture_output=True, text=True, timeout=120, check=False)

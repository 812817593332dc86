"""Pages in a real browser."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest


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

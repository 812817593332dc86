"""Programs for the tests that npm brings: pinned by a lock file, no install script is run."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

CACHE = Path(__file__).parents[2] / ".cache"


def install(folder: Path) -> None:
    """Install what the lock file of a folder names, under ``.cache/<name of the folder>``.

    Raises:
        RuntimeError: npm is not there, or it failed.
    """
    npm = shutil.which("npm")
    if npm is None:
        raise RuntimeError("npm is not installed (Node.js 20 or later brings it)")
    place = CACHE / folder.name
    place.mkdir(parents=True, exist_ok=True)
    for name in ("package.json", "package-lock.json"):
        shutil.copyfile(folder / name, place / name)
    command = [npm, "install", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error"]
    finished = subprocess.run(command, cwd=place, capture_output=True, text=True, timeout=600, check=False)
    if finished.returncode != 0:
        raise RuntimeError(f"npm could not install {folder.name}: {finished.stderr.strip()[-500:]}")

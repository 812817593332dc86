"""Install the Anvil node for the tests: ``python tests/support/anvil/install.py``; prints where it is.

Needs npm. The version and its integrity hash are pinned by the lock file in this folder; the program comes
ready-made inside the package for the platform, and no install script is run. Does nothing when it is there.
``ANVIL`` in the environment names another one to use instead.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).parent
CACHE = HERE.parents[2] / ".cache" / "anvil"
VERSION = json.loads((HERE / "package.json").read_text("utf-8"))["dependencies"]["@foundry-rs/anvil"]


def find_anvil() -> Path | None:
    """The program: the one that ``ANVIL`` names, else the installed one of the pinned version, else None."""
    named = os.environ.get("ANVIL")
    if named:
        return Path(named) if Path(named).is_file() else None
    for package in sorted((CACHE / "node_modules" / "@foundry-rs").glob("anvil-*/package.json")):
        if json.loads(package.read_text("utf-8")).get("version") != VERSION:
            continue
        for name in ("anvil", "anvil.exe"):
            program = package.parent / "bin" / name
            if program.is_file():
                return program
    return None


def install() -> Path:
    """Install unless present; the program's path. Raises RuntimeError when that does not work."""
    program = find_anvil()
    if program is not None:
        return program
    npm = shutil.which("npm")
    if npm is None:
        raise RuntimeError("npm is not installed; the tests on a real node need it (Node.js 20 or later)")
    CACHE.mkdir(parents=True, exist_ok=True)
    for name in ("package.json", "package-lock.json"):
        shutil.copyfile(HERE / name, CACHE / name)
    command = [npm, "install", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error"]
    finished = subprocess.run(command, cwd=CACHE, capture_output=True, text=True, timeout=600, check=False)
    program = find_anvil()
    if finished.returncode != 0 or program is None:
        raise RuntimeError(f"npm could not install anvil {VERSION}: {finished.stderr.strip()[-500:]}")
    return program


if __name__ == "__main__":
    try:
        print(install())
    except RuntimeError as error:
        sys.exit(f"error: {error}")

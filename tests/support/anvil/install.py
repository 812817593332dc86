"""Install the Anvil node for the tests: ``python -m tests.support.anvil.install``; prints where it is.

Needs npm. The version and its integrity hash are pinned by the lock file in this folder; the program comes
ready-made inside the package for the platform, and no install script is run. Does nothing when it is there.
``ANVIL`` in the environment names another one to use instead.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

from tests.support.npm import CACHE, install

HERE = Path(__file__).parent
VERSION = json.loads((HERE / "package.json").read_text("utf-8"))["dependencies"]["@foundry-rs/anvil"]


def find_anvil() -> Path | None:
    """The program: the one that ``ANVIL`` names, else the installed one of the pinned version, else None."""
    named = os.environ.get("ANVIL")
    if named:
        return Path(named) if Path(named).is_file() else None
    for package in sorted((CACHE / "anvil" / "node_modules" / "@foundry-rs").glob("anvil-*/package.json")):
        if json.loads(package.read_text("utf-8")).get("version") != VERSION:
            continue
        for name in ("anvil", "anvil.exe"):
            program = package.parent / "bin" / name
            if program.is_file():
                return program
    return None


def install_anvil() -> Path:
    """Install unless present; the program's path. Raises RuntimeError when that does not work."""
    if find_anvil() is None:
        install(HERE)
    program = find_anvil()
    if program is None:
        raise RuntimeError(f"npm brought no anvil {VERSION} for this platform")
    return program


if __name__ == "__main__":
    try:
        print(install_anvil())
    except RuntimeError as error:
        sys.exit(f"error: {error}")

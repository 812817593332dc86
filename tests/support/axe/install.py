"""Install axe-core, which looks for faults of accessibility: ``python -m tests.support.axe.install``."""

from __future__ import annotations

import json
import sys
from pathlib import Path

from tests.support.npm import CACHE, install

HERE = Path(__file__).parent
VERSION = json.loads((HERE / "package.json").read_text("utf-8"))["dependencies"]["axe-core"]


def find_axe() -> Path | None:
    """The script of the pinned version; None where it is not installed."""
    package = CACHE / "axe" / "node_modules" / "axe-core"
    if not (package / "package.json").is_file():
        return None
    current = json.loads((package / "package.json").read_text("utf-8")).get("version") == VERSION
    return package / "axe.min.js" if current else None


if __name__ == "__main__":
    try:
        if find_axe() is None:
            install(HERE)
        print(find_axe())
    except RuntimeError as error:
        sys.exit(f"error: {error}")

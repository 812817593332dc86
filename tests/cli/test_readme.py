"""The README shows what the command prints. Run this file as a script to bring its help blocks up to date."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

README = Path(__file__).parents[2] / "README.md"
_BLOCK = re.compile(r"```(?:console|text)?\n\$ (veilmark [^\n]*--help)\n(.*?)```", re.S)


def help_text(command: str) -> str:
    """What ``command`` prints on a plain terminal of 100 columns."""
    environment = {
        **os.environ,
        "COLUMNS": "100",
        "TERMINAL_WIDTH": "100",
        "NO_COLOR": "1",
        "TERM": "dumb",
        "PYTHONIOENCODING": "utf-8",
    }
    done = subprocess.run(
        [sys.executable, "-m", "cli", *shlex.split(command)[1:]],
        cwd=README.parent,
        env=environment,
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    return "\n".join(line.rstrip() for line in done.stdout.strip("\n").splitlines()) + "\n"


def blocks() -> list[tuple[str, str]]:
    return _BLOCK.findall(README.read_text(encoding="utf-8"))


def test_readme_has_help_blocks() -> None:
    assert len(blocks()) >= 1


@pytest.mark.parametrize("command, shown", blocks(), ids=[command for command, _ in blocks()])
def test_help_block_is_what_the_command_prints(command: str, shown: str) -> None:
    assert shown.strip("\n") == help_text(command).strip("\n"), "run `python tests/cli/test_readme.py`"


def test_every_file_that_the_readme_links_exists() -> None:
    text = README.read_text(encoding="utf-8")
    links = [link for link in re.findall(r"\]\(([^)#]+)[^)]*\)", text) if "://" not in link]
    assert links
    assert [link for link in links if not (README.parent / link).exists()] == []


def update() -> None:
    text = README.read_text(encoding="utf-8")
    text = _BLOCK.sub(lambda found: f"```text\n$ {found[1]}\n{help_text(found[1])}```", text)
    README.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    update()

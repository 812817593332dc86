"""README and tutorial do what they show: their blocks are run in order, in a new home, and outputs compared.

Run this file as a script to bring the outputs up to date: ``python tests/docs/test_code_blocks.py [PAGE...]``.

A ``console`` block holds commands (``$ ...``), each with what it prints on standard output. A ``python`` block is run.
What differs from run to run (names of keys, times, hashes, sizes, decibels) is compared as a placeholder, and detectors
that only judge are left out: which are there hangs on what is installed.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from PIL import Image

ROOT = Path(__file__).parents[2]
PAGES = ("README.md", "docs/start/tutorial.md")
_BLOCK = re.compile(r"^```(console|python)\n(.*?)^```$", re.S | re.M)
_PLACEHOLDERS = (
    (re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ"), "<time>"),
    (re.compile(r"\b[0-9a-f]{12,64}\b"), "<hash>"),
    # which others are asked hangs on what is installed
    (re.compile(r"^ +(?:\S+ \(not attacked|landmarks of|known, but not asked).*\n", re.M), ""),
    (re.compile(r"^( +(?:face crop:|1 face).*)$", re.M), None),
    (re.compile(r"\d+/256 bits differ"), "<n>/256 bits differ"),
    (re.compile(r"/\S*/\.local/share/veilmark"), "<home>"),
)


def plain(text: str) -> str:
    """``text`` with placeholders for what differs from run to run."""
    for pattern, placeholder in _PLACEHOLDERS:
        if placeholder is None:
            text = pattern.sub(lambda found: re.sub(r"\d+(\.\d+)?", "<n>", found[1]), text)
        else:
            text = pattern.sub(placeholder, text)
    return "\n".join(re.sub(r" {2,}", "  ", line.rstrip()) for line in text.strip("\n").splitlines())


@dataclass
class Shell:
    """One reader at one terminal: a folder with a photo in it, a new home, a terminal of 110 columns."""

    folder: Path
    status: int = 0
    environment: dict[str, str] = field(init=False)

    def __post_init__(self) -> None:
        from skimage import data

        programs = self.folder / ".bin"
        programs.mkdir()
        (programs / "veilmark").write_text(f'#!/bin/sh\nexec "{sys.executable}" -m cli "$@"\n')
        (programs / "veilmark").chmod(0o755)
        Image.fromarray(data.astronaut()).save(self.folder / "photo.jpg", quality=95)
        kept = {
            name: value for name, value in os.environ.items() if not name.startswith(("VEILMARK_", "XDG_"))
        }
        self.environment = {
            **kept,
            "HOME": str(self.folder),
            "PATH": f"{programs}{os.pathsep}{os.environ['PATH']}",
            "PYTHONPATH": str(ROOT),
            "PYTHONIOENCODING": "utf-8",
            "COLUMNS": "110",
            "NO_COLOR": "1",
            "TERM": "dumb",
            "OMP_NUM_THREADS": "1",
        }

    def command(self, line: str) -> str:
        """What ``line`` prints on standard output; its exit code is in ``status``."""
        done = self._run(["bash", "-c", f"(exit {self.status}); {line}"])
        self.status = done.returncode
        if done.returncode and not done.stdout:
            raise AssertionError(f"{line} ended with {done.returncode}:\n{done.stderr}")
        return "\n".join(one.rstrip() for one in done.stdout.rstrip("\n").splitlines())

    def python(self, code: str) -> None:
        done = self._run([sys.executable, "-c", code])
        assert done.returncode == 0, f"{code}\n{done.stderr}"

    def _run(self, command: list[str]) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            command,
            cwd=self.folder,
            env=self.environment,
            capture_output=True,
            text=True,
            encoding="utf-8",
            timeout=600,
            check=False,
        )


def steps(block: str) -> list[tuple[str, str]]:
    """The commands of a console block, each with the output that is shown."""
    found = []
    for part in re.split(r"^\$ ", block, flags=re.M)[1:]:
        line, _, output = part.partition("\n")
        found.append((line, output.strip("\n")))
    return found


def rerun(text: str, shell: Shell, *, compare: bool) -> str:
    """Run every block of a page; ``compare`` asserts that outputs are as shown. Returns the page with real outputs."""

    def replay(found: re.Match[str]) -> str:
        kind, block = found.groups()
        if kind == "python":
            shell.python(block)
            return found[0]
        shown, awaits_status = [], False
        for line, expected in steps(block):
            assert not awaits_status or line == "echo $?", (
                f"the page does not show that {line!r} follows a failure"
            )
            output = shell.command(line)
            awaits_status = shell.status != 0
            if compare:
                assert plain(output) == plain(expected), line
            shown.append(f"$ {line}\n{output.replace(str(shell.folder), '/home/ada')}".rstrip("\n"))
        assert not awaits_status, f"the page does not show the exit code {shell.status} of {line!r}"
        return "```console\n" + "\n".join(shown) + "\n```"

    return _BLOCK.sub(replay, text)


@pytest.mark.parametrize("page", PAGES)
def test_what_a_page_shows_is_what_happens(page: str, tmp_path: Path) -> None:
    text = (ROOT / page).read_text(encoding="utf-8")
    assert len(_BLOCK.findall(text)) >= 2
    rerun(text, Shell(tmp_path), compare=True)


def test_a_wrong_output_is_noticed(tmp_path: Path) -> None:
    with pytest.raises(AssertionError):
        rerun("```console\n$ echo 1 of 2\n1 of 3\n```", Shell(tmp_path), compare=True)


def test_an_exit_code_that_is_not_shown_is_noticed(tmp_path: Path) -> None:
    with pytest.raises(AssertionError, match="exit code 4"):
        rerun("```console\n$ echo none; exit 4\nnone\n```", Shell(tmp_path), compare=True)


def update(pages: list[str]) -> None:
    import tempfile

    for page in pages:
        with tempfile.TemporaryDirectory() as folder:
            path = ROOT / page
            path.write_text(
                rerun(path.read_text(encoding="utf-8"), Shell(Path(folder)), compare=False), encoding="utf-8"
            )


if __name__ == "__main__":
    update(sys.argv[1:] or list(PAGES))

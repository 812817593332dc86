"""The pages of docs/: they build without a broken link, and say what the code says."""

from __future__ import annotations

import importlib.util
import re
import subprocess
import sys
from pathlib import Path

import pytest

from provenance.errors import ExitCode

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
_spec = importlib.util.spec_from_file_location("docs_build", DOCS / "build.py")
assert _spec and _spec.loader
build = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(build)


def test_the_site_builds_without_a_broken_link() -> None:
    done = subprocess.run(
        [sys.executable, DOCS / "build.py"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert (ROOT / "build/site/guides/sign.html").exists()


def test_a_broken_link_is_found(tmp_path: Path) -> None:
    (tmp_path / "a.html").write_text('<h1 id="top">A</h1><a href="b.html#here">b</a><img src="no.png">')
    (tmp_path / "b.html").write_text(
        '<a href="a.html#top">fine</a><a href="https://example.org">not asked</a>'
    )
    assert build.link_faults(tmp_path) == [
        "a.html: b.html#here has no such heading",
        "a.html: no.png does not exist",
    ]


def test_the_command_page_names_every_command_and_option() -> None:
    page = build.cli_page()
    for wanted in (
        "## veilmark sign",
        "### veilmark ledger audit",
        "`--detectors <str>`",
        "## veilmark cloak",
    ):
        assert wanted in page
    assert page.count("```text") == len(re.findall(r"^#{2,3} ", page, re.M))


@pytest.mark.parametrize("page", sorted((DOCS / "research").glob("*.md")), ids=lambda page: page.stem)
def test_a_research_page_begins_with_its_finding_in_five_lines(page: Path) -> None:
    if page.stem == "index":
        return
    finding = re.match(r"# .+\n\n\*\*The finding\*\*\n\n((?:\* .+\n)+)\n---\n", page.read_text())
    assert finding and finding[1].count("\n") == 5, page.name


def test_the_page_of_exit_codes_has_each_code_once() -> None:
    page = (DOCS / "reference/exit-codes.md").read_text()
    assert [int(number) for number in re.findall(r"^\| (\d+) \|", page, re.M)] == [
        int(code) for code in ExitCode
    ]


def test_the_page_of_environment_variables_has_what_the_code_reads() -> None:
    name = re.compile(r"VEILMARK_[A-Z0-9_]*[A-Z0-9]")
    folders = (
        "provenance",
        "cloak",
        "synth",
        "veilmark",
        "contracts",
        "examples",
        "docs",
        "tests",
        "benchmarks",
    )
    sources = [path for folder in folders for path in (ROOT / folder).rglob("*.py") if path != Path(__file__)]
    used = {found for path in (*sources, ROOT / "cli.py") for found in name.findall(path.read_text())}
    listed = set(name.findall((DOCS / "reference/environment.md").read_text()))
    made_by_the_shell = {"VEILMARK_COMPLETE"}
    assert listed == used - made_by_the_shell


def test_every_room_on_the_map_is_there() -> None:
    text = (ROOT / "CONTRIBUTING.md").read_text()
    room = r"`((?:provenance|cloak|synth|veilmark|contracts|benchmarks|docs)/[a-z/]*)`"
    rooms = set(re.findall(room, text))
    assert len(rooms) > 20
    assert [one for one in sorted(rooms) if not (ROOT / one).is_dir()] == []
    inits = [path for top in ("provenance", "cloak", "synth") for path in (ROOT / top).glob("*/__init__.py")]
    packages = {f"{path.parent.relative_to(ROOT)}/" for path in inits if path.parent.name != "commands"}
    assert packages - rooms == set()

"""The pages of docs/: they build without a broken link, and say what the code says."""

from __future__ import annotations

import importlib.util
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

import veilmark
from provenance.errors import ExitCode

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
_spec = importlib.util.spec_from_file_location("docs_build", DOCS / "build.py")
assert _spec and _spec.loader
build = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(build)


def test_the_site_builds_without_a_broken_link() -> None:
    kept = ROOT / ".cache" / "kept-by-a-test" / "file"
    kept.parent.mkdir(parents=True, exist_ok=True)
    kept.touch()
    done = subprocess.run(
        [sys.executable, DOCS / "build.py"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert kept.exists(), "what lies in .cache is not the site's to remove"
    assert (ROOT / "build/site/guides/sign.html").exists()
    page = (ROOT / "build/site/reference/python.html").read_text()
    methods = [name for name in dir(veilmark.Veilmark) if not name.startswith("_")]
    assert {"sign", "verify", "find", "cloak", "measure"} <= set(methods)
    assert [name for name in methods if f'id="veilmark.Veilmark.{name}"' not in page] == []


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


def _shown_commands() -> list[tuple[str, str]]:
    """Every ``veilmark ...`` line of the pages' shell blocks: page and line, continued lines joined."""
    found = []
    for page in (
        ROOT / "README.md",
        *sorted(DOCS.rglob("*.md")),
        *sorted((ROOT / "benchmarks").glob("*.md")),
    ):
        for block in re.findall(r"^ *```(?:sh|console)\n(.*?)^ *```", page.read_text(), re.M | re.S):
            lines = block.replace("\\\n", " ").splitlines()
            commands = (line.strip().removeprefix("$ ") for line in lines)
            found += [(page.name, one) for one in commands if one.startswith("veilmark ")]
    return found


def test_every_command_that_a_page_shows_exists_with_its_options() -> None:
    import typer

    import cli

    every = dict(build.commands(typer.main.get_command(cli.app), "veilmark"))
    shown = _shown_commands()
    assert len(shown) > 60
    wrong = []
    for page, line in shown:
        words = shlex.split(line, comments=True)
        name = next(" ".join(words[:n]) for n in (4, 3, 2, 1) if " ".join(words[:n]) in every)
        options = {
            one for parameter in every[name].params for one in (*parameter.opts, *parameter.secondary_opts)
        }
        used = {word.partition("=")[0] for word in words if re.match(r"--?[a-z]", word)}
        wrong += [f"{page}: {line}: {option}" for option in used - options - {"-h", "--help"}]
        if hasattr(every[name], "commands") and len(words) > len(name.split()) and name != "veilmark models":
            wrong += [] if words[len(name.split())].startswith("-") else [f"{page}: {line}: no such command"]
    assert wrong == []


def test_every_room_on_the_map_is_there() -> None:
    text = (ROOT / "CONTRIBUTING.md").read_text()
    room = r"`((?:provenance|cloak|synth|veilmark|contracts|benchmarks|docs)/[a-z/]*)`"
    rooms = set(re.findall(room, text))
    assert len(rooms) > 20
    assert [one for one in sorted(rooms) if not (ROOT / one).is_dir()] == []
    inits = [path for top in ("provenance", "cloak", "synth") for path in (ROOT / top).glob("*/__init__.py")]
    packages = {f"{path.parent.relative_to(ROOT)}/" for path in inits if path.parent.name != "commands"}
    assert packages - rooms == set()

"""The README: short, without dead links, and readable where packages are listed."""

from __future__ import annotations

import re
import tomllib
from html.parser import HTMLParser
from pathlib import Path

from readme_renderer import markdown

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")


def as_published(text: str) -> str:
    """The README as the package's metadata holds it: with the substitutions of pyproject.toml."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    for rule in project["tool"]["hatch"]["metadata"]["hooks"]["fancy-pypi-readme"]["substitutions"]:
        text = re.sub(rule["pattern"], rule["replacement"], text)
    return text


class _References(HTMLParser):
    def __init__(self, html: str) -> None:
        super().__init__()
        self.found: list[str] = []
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found += [value for key, value in attrs if key in {"href", "src"} and value]


def test_the_readme_is_at_most_120_lines() -> None:
    assert README.count("\n") <= 120


def test_the_two_set_up_commands_stand_first() -> None:
    assert re.search(r"```sh\nmake demo .*\nmake test .*\n```", README[:600])


def test_the_readme_speaks_without_percentages() -> None:
    assert "%" not in re.sub(r"(?s)```console\n.*?```", "", README)


def test_every_file_that_the_readme_links_exists() -> None:
    links = [link for link in re.findall(r"\]\(([^)#]+)[^)]*\)", README) if "://" not in link]
    assert links
    assert [link for link in links if not (ROOT / link).exists()] == []


def test_a_package_index_shows_the_readme_without_a_dead_link() -> None:
    html = markdown.render(as_published(README))
    assert html and "<table>" in html and "<pre" in html
    references = _References(html).found
    assert [link for link in references if not link.startswith(("https://", "#"))] == []
    assert "docs/start/tutorial.md" in html
    assert "Left:" not in html


def test_the_readme_in_the_repository_shows_the_picture() -> None:
    html = markdown.render(README)
    assert html and any(link.endswith("before-after.jpg") for link in _References(html).found)

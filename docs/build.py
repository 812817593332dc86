"""Build the site of this folder: ``python docs/build.py`` (``make docs``).

1. Write the pages that come from the program itself: every command's ``--help``.
2. Build with Zensical, strictly: a link to a missing page or heading is an error.
3. Check what Zensical does not: every page is in the navigation and every entry of it is a page; every picture, file
   and link in the built site is there.

The site is written to ``build/site``.
"""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

ROOT = Path(__file__).resolve().parents[1]
DOCS = ROOT / "docs"
SITE = ROOT / "build" / "site"
CLI_PAGE = DOCS / "reference" / "cli.md"
sys.path.insert(0, str(ROOT))


def commands(command: Any, name: str) -> Iterator[tuple[str, Any]]:
    """The command ``name`` and everything below it, in the order of ``--help``."""
    yield name, command
    for part in command.list_commands(None) if hasattr(command, "list_commands") else ():
        below = command.get_command(None, part)
        if not below.hidden:
            yield from commands(below, f"{name} {part}")


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|").replace("<", "&lt;")


def _rows(parameters: list[Any], context: Any) -> Iterator[str]:
    for parameter in parameters:
        if getattr(parameter, "hidden", False) or parameter.name == "help":
            continue
        record = parameter.get_help_record(context)
        names, text = record if record else (parameter.human_readable_name, "")
        yield f"| `{' '.join(names.split())}` | {_cell(text)} |"


def cli_page() -> str:
    """The page of all commands, from the same objects that print ``--help``."""
    import typer

    import cli

    lines = [
        "# Command line",
        "",
        "Made from `--help` of each command. [Exit codes](exit-codes.md) are the same for all.",
        "",
    ]
    for name, command in commands(typer.main.get_command(cli.app), "veilmark"):
        context = command.make_context(name, [], resilient_parsing=True)
        lines += [f"{'##' if name.count(' ') < 2 else '###'} {name}", "", (command.help or "").strip(), ""]
        usage = " ".join([name, *command.collect_usage_pieces(context)])
        lines += ["```text", usage, "```", ""]
        rows = list(_rows(command.get_params(context), context))
        if rows:
            lines += ["| option or argument | meaning |", "|---|---|", *rows, ""]
    return "\n".join(lines)


def navigation(config: Path = ROOT / "zensical.toml") -> list[str]:
    """The pages that the navigation names, in its order."""

    def walk(node: Any) -> Iterator[str]:
        if isinstance(node, str):
            yield node
        else:
            for item in node.values() if isinstance(node, dict) else node:
                yield from walk(item)

    return list(walk(tomllib.loads(config.read_text(encoding="utf-8"))["project"]["nav"]))


def navigation_faults() -> list[str]:
    """Pages without an entry in the navigation, and entries without a page."""
    pages = {str(path.relative_to(DOCS).as_posix()) for path in DOCS.rglob("*.md")}
    named = navigation()
    faults = [f"the navigation names {page}, which is no page" for page in named if page not in pages]
    return faults + [f"{page} is not in the navigation" for page in sorted(pages - set(named))]


class _Links(HTMLParser):
    """Collects what a page refers to, and the anchors that it offers."""

    def __init__(self) -> None:
        super().__init__()
        self.targets: list[str] = []
        self.anchors: set[str] = set()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        for key, value in attrs:
            if key in {"href", "src"} and value and (tag, key) != ("link", "href"):
                self.targets.append(value)
            if key in {"id", "name"} and value:
                self.anchors.add(value)


def link_faults(site: Path = SITE) -> list[str]:
    """References inside the built site that lead nowhere. Addresses on the network are not asked."""
    pages = {}
    for path in site.rglob("*.html"):
        reader = _Links()
        reader.feed(path.read_text(encoding="utf-8"))
        pages[path.resolve()] = reader
    anchors = {path: reader.anchors for path, reader in pages.items()}
    faults = []
    for path, reader in pages.items():
        for target in reader.targets:
            parts = urlsplit(target)
            if parts.scheme or parts.netloc or path.name == "404.html":
                continue
            where = (path.parent / unquote(parts.path)).resolve() if parts.path else path
            where = where / "index.html" if where.is_dir() else where
            shown = f"{path.relative_to(site.resolve())}: {target}"
            if not where.exists():
                faults.append(f"{shown} does not exist")
            elif parts.fragment and unquote(parts.fragment) not in anchors.get(
                where, {unquote(parts.fragment)}
            ):
                faults.append(f"{shown} has no such heading")
    return sorted(set(faults))


def plain_roles(site: Path = SITE) -> None:
    """Take the names of roles (``:func:``) of docstrings off the pages; what they name stays."""
    for path in site.rglob("*.html"):
        text = path.read_text(encoding="utf-8")
        plain = re.sub(r":(?:mod|class|meth|func|attr|data|exc):(?=<code>)", "", text)
        if plain != text:
            path.write_text(plain, encoding="utf-8")


def main() -> int:
    CLI_PAGE.write_text(cli_page(), encoding="utf-8")
    # not `--clean`, which empties the whole of .cache: what the tests keep lies in folders there
    for stale in (ROOT / ".cache").glob("*"):
        if stale.is_file():
            stale.unlink()
    done = subprocess.run([sys.executable, "-m", "zensical", "build", "--strict"], cwd=ROOT, check=False)
    if done.returncode:
        return done.returncode
    (SITE / "build.py").unlink(missing_ok=True)
    plain_roles()
    faults = navigation_faults() + link_faults()
    print(*faults, sep="\n", file=sys.stderr)
    print(f"{len(list(SITE.rglob('*.html')))} pages in {SITE.relative_to(ROOT)}, {len(faults)} faults")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())

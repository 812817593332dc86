"""What commands print and where: data to stdout, everything else to stderr."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import typer

if TYPE_CHECKING:
    from collections.abc import Callable

    from rich.console import Console


def stdout() -> Console:
    """A rich console on stdout; plain text when stdout is no terminal or NO_COLOR is set."""
    from rich.console import Console

    console = Console(file=sys.stdout, highlight=False, soft_wrap=True)
    return console


def stderr() -> Console:
    from rich.console import Console

    return Console(file=sys.stderr, highlight=False, soft_wrap=True)


def print_json(value: dict[str, Any]) -> None:
    """One object on one line (JSON lines)."""
    typer.echo(json.dumps(value, ensure_ascii=False, sort_keys=False))


def clean(text: str, limit: int = 300) -> str:
    """Text from a file made safe for a terminal: no control characters, bounded length."""
    visible = "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in text)
    return visible if len(visible) <= limit else visible[: limit - 1] + "…"


def complain(message: str, hint: str = "", *, subject: str | None = None) -> None:
    """One error line, and a hint line where there is a hint, on stderr."""
    where = f"{clean(subject)}: " if subject else ""
    typer.echo(f"error: {where}{clean(message, 600)}", err=True)
    if hint:
        typer.echo(f"hint: {clean(hint, 600)}", err=True)


def note(message: str) -> None:
    """An informational line on stderr."""
    typer.echo(clean(message, 600), err=True)


@contextmanager
def progress(label: str, total: int | None) -> Iterator[Callable[[int, str], None]]:
    """A progress bar on stderr when it is a terminal, else nothing. Yields ``advance(steps, description)``."""
    if not sys.stderr.isatty():

        def ignore(steps: int, description: str = "") -> None:
            pass

        yield ignore
        return
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    columns = [TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn()]
    with Progress(*columns, console=stderr(), transient=True) as bar:
        task = bar.add_task(label, total=total)

        def advance(steps: int, description: str = "") -> None:
            bar.update(task, advance=steps, description=clean(description or label, 60))

        yield advance


@contextmanager
def fraction(label: str) -> Iterator[Callable[[float], None]]:
    """A progress bar for work that reports the share done, from 0 to 1."""
    with progress(label, 100) as advance:
        shown = 0

        def report(done: float) -> None:
            nonlocal shown
            advance(round(done * 100) - shown, label)
            shown = round(done * 100)

        yield report

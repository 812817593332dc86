"""What commands print and where: data to stdout, everything else to stderr.

On a terminal the results, the messages and the bar of progress go through one rich console, so that none is printed
into another. Lines break between words only: a hash, a time or a name stays whole. What is piped is one line each.
"""

from __future__ import annotations

import json
import os
import re
import stat
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TextIO

import typer

if TYPE_CHECKING:
    from collections.abc import Callable

    from rich.console import Console
    from rich.progress import Progress

#: Plain text, or text and its rich style.
Part = str | tuple[str, str]

#: Stands for a space at which no line breaks, until the line is printed.
_KEPT_SPACE = "\ue000"
_MAX_CHARS = 2000
_WIDEST_LABEL = 20
#: What spinner, bar, count and time take.
_BAR_COLUMNS = 44
_live: Progress | None = None


def clean(text: str, limit: int = 300) -> str:
    """Text from a file made safe for a terminal: no control characters, bounded length."""
    visible = "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in text)
    return visible if len(visible) <= limit else visible[: limit - 1] + "…"


def whole(text: object, limit: int = 300) -> str:
    """A name for :func:`say`: harmless, and kept on one line where the line is long enough for it."""
    return clean(str(text), limit).replace(" ", _KEPT_SPACE)


def say(*parts: Part, indent: int | None = None, err: bool = False) -> None:
    """Print one line: a result on stdout, or a message on stderr.

    Whatever is no printable character is replaced first, for names and titles come from strangers' files.

    Args:
        indent: by how many columns the further lines are indented, where one is not enough on a terminal; by
            default to where the text stands after a label and two spaces.
    """
    pairs = [(part, "") if isinstance(part, str) else part for part in parts]
    pairs = [(_harmless(text), style) for text, style in pairs]
    stream = sys.stderr if err else sys.stdout
    console = _console_of(stream)
    if console is None:
        typer.echo("".join(text for text, _ in pairs).replace(_KEPT_SPACE, " "), err=err)
        return
    from rich.text import Text

    line = Text.assemble(*pairs)
    if indent is None:
        label = re.match(r" *(?:\S+ )?\S+  +| *", line.plain)
        indent = len(label.group()) if label and len(label.group()) <= _WIDEST_LABEL else 4
    for first, (start, end) in enumerate(_breaks(line.plain, console.width, indent)):
        piece = line[start:end]
        piece.plain = piece.plain.replace(_KEPT_SPACE, " ")
        console.print(Text(" " * indent if first else "").append_text(piece), soft_wrap=True, highlight=False)


def print_json(value: dict[str, Any]) -> None:
    """One object on one line (JSON lines). What is no printable character is escaped, as JSON allows."""
    text = json.dumps(value, ensure_ascii=False, sort_keys=False, allow_nan=False)
    line = "".join(c if c.isprintable() else json.dumps(c)[1:-1] for c in text)
    console = _console_of(sys.stdout) if _live is not None else None
    if console is None:
        typer.echo(line)
    else:
        console.out(line, highlight=False)


def complain(message: str, hint: str = "", *, subject: str | None = None) -> None:
    """One error line, and a hint line where there is a hint, on stderr."""
    where = f"{whole(subject)}: " if subject else ""
    say(("error: ", "bold red"), f"{where}{message}", err=True)
    advise(hint)


def advise(hint: str) -> None:
    """The hint line, where there is a hint, on stderr."""
    if hint:
        say(f"hint: {hint}", err=True)


def note(message: str) -> None:
    """An informational line on stderr."""
    say(message, err=True)


@contextmanager
def progress(label: str, total: int | None, *, unit: str = "") -> Iterator[Callable[[int, str], None]]:
    """A bar on a terminal (a spinner where ``total`` is None), else nothing. Yields ``advance(steps, description)``.

    A bar inside another is a second line below it; where the outer one only spins, it takes its place.

    Args:
        unit: ``%`` shows the share done instead of a count.
    """
    global _live
    if _live is None and not _bar_is_wanted():
        yield _unseen
        return
    outermost = _live is None
    bar = _live = _live or _new_bar()
    spinning = [task.id for task in bar.tasks if task.total is None and task.visible]
    for one in spinning:
        bar.update(one, visible=False)
    task = bar.add_task(_fitting(bar, label), total=total, unit=unit)

    def advance(steps: int, description: str = "") -> None:
        bar.update(task, advance=steps, description=_fitting(bar, description or label))

    if outermost:
        bar.start()
    try:
        yield advance
    finally:
        if outermost:
            _live = None
            bar.stop()
        else:
            bar.remove_task(task)
            for one in spinning:
                bar.update(one, visible=True)


@contextmanager
def fraction(label: str) -> Iterator[Callable[[float], None]]:
    """A bar for work that reports the share done, from 0 to 1."""
    with progress(label, 100, unit="%") as advance:
        shown = 0

        def report(done: float) -> None:
            nonlocal shown
            advance(round(done * 100) - shown, label)
            shown = round(done * 100)

        yield report


def doing(what: str) -> None:
    """Say in the bar what is being done now, where there is one."""
    if _live is not None and _live.tasks:
        _live.update(_live.tasks[-1].id, description=_fitting(_live, what))


@contextmanager
def asking() -> Iterator[None]:
    """The bar makes way for a question."""
    bar = _live
    if bar is not None:
        bar.stop()
    try:
        yield
    finally:
        if bar is not None:
            bar.start()


def _unseen(steps: int, description: str = "") -> None:
    """Progress where nobody sees it."""


def _harmless(text: str) -> str:
    return _KEPT_SPACE.join(clean(piece, _MAX_CHARS) for piece in text.split(_KEPT_SPACE))


def _console_of(stream: TextIO) -> Console | None:
    """Where a line for ``stream`` goes: the bar's console, one of its own, or None where it is no terminal."""
    if not stream.isatty():
        return None
    if _live is not None:
        return _live.console
    from rich.console import Console

    return Console(file=stream, highlight=False)


def _bar_is_wanted() -> bool:
    """Not without a terminal, nor where results go through a pipe: who reads there may write to this terminal."""
    if not sys.stderr.isatty() or os.environ.get("TERM") == "dumb":
        return False
    if sys.stdout.isatty():
        return True
    try:
        return not stat.S_ISFIFO(os.fstat(sys.stdout.fileno()).st_mode)
    except (OSError, ValueError):
        return False


def _new_bar() -> Progress:
    from rich.console import Console
    from rich.progress import BarColumn, Progress, ProgressColumn, SpinnerColumn, Task, TextColumn
    from rich.table import Column
    from rich.text import Text

    class Share(ProgressColumn):
        """How much of it is done, where that is known."""

        def render(self, task: Task) -> Text:
            if task.total is None:
                return Text("")
            done = (
                f"{task.percentage:.0f} %"
                if task.fields["unit"]
                else f"{task.completed:.0f}/{task.total:.0f}"
            )
            return Text(done, style="progress.download")

    class Bar(ProgressColumn):
        def __init__(self) -> None:
            self.bar = BarColumn(bar_width=20)
            super().__init__()

        def render(self, task: Task) -> Any:
            return Text("") if task.total is None else self.bar.render(task)

    class Elapsed(ProgressColumn):
        def render(self, task: Task) -> Text:
            seconds = int(task.elapsed or 0)
            return Text(f"{seconds // 60}:{seconds % 60:02}", style="progress.elapsed")

    what = TextColumn("{task.description}", markup=False, table_column=Column(no_wrap=True))
    console = Console(file=sys.stdout if sys.stdout.isatty() else sys.stderr, highlight=False)
    return Progress(SpinnerColumn(), what, Bar(), Share(), Elapsed(), console=console, transient=True)


def _fitting(bar: Progress, text: str) -> str:
    """What is being done, cut so that the bar and its figures have room beside it."""
    from rich.text import Text

    shown = Text(clean(text))
    shown.truncate(max(bar.console.width - _BAR_COLUMNS, 10), overflow="ellipsis")
    return shown.plain


def _breaks(text: str, width: int, indent: int) -> Sequence[tuple[int, int]]:
    """Start and end of each line. None breaks inside a word, nor inside a name that fits on a line."""
    from rich.cells import cell_len

    words: list[tuple[int, int]] = []
    for match in re.finditer(r" *[^ ]+", text):
        if cell_len(match.group().strip()) <= width - indent:
            words.append(match.span())
        else:
            parts = re.finditer(rf"[ {_KEPT_SPACE}]*[^ {_KEPT_SPACE}]+", match.group())
            words += [(match.start() + part.start(), match.start() + part.end()) for part in parts]
    lines: list[tuple[int, int]] = []
    start = end = 0
    for first, last in words:
        if end > start and cell_len(text[start:last]) > width - (indent if lines else 0):
            lines.append((start, end))
            start = last - len(text[first:last].lstrip(f" {_KEPT_SPACE}"))
        end = last
    return [*lines, (start, end)]

"""Commands that take groups of options as values."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

import pytest
import typer
from typer.testing import CliRunner

from provenance.commands.support.grouped import grouped


@dataclass(frozen=True)
class Size:
    width: Annotated[int, typer.Option("--width", min=1, help="Across.")]
    height: Annotated[int, typer.Option(min=1)] = 5


@dataclass(frozen=True)
class Colour:
    shade: str = "red"


def app(seen: list[object]) -> typer.Typer:
    made = typer.Typer()

    @made.command()
    @grouped
    def paint(name: str, size: Size, loud: bool = False, *, colour: Colour) -> None:
        """Paint a thing."""
        seen.append((name, size, loud, colour))

    return made


def test_fields_are_options_and_arrive_as_values() -> None:
    seen: list[object] = []
    done = CliRunner().invoke(app(seen), ["door", "--width", "3", "--shade", "blue", "--loud"])
    assert done.exit_code == 0, done.output
    assert seen == [("door", Size(3, 5), True, Colour("blue"))]


@pytest.mark.parametrize(
    "words", [["door"], ["door", "--width", "0"], ["door", "--width", "2", "--depth", "1"]]
)
def test_what_is_missing_or_out_of_range_is_refused(words: list[str]) -> None:
    seen: list[object] = []
    assert CliRunner().invoke(app(seen), words).exit_code == 2
    assert seen == []


def test_called_from_python_defaults_hold() -> None:
    seen: list[object] = []

    @grouped
    def paint(name: str, size: Size, *, colour: Colour) -> None:
        seen.append((name, size, colour))

    paint("door", width=3)
    assert seen == [("door", Size(3, 5), Colour())]
    with pytest.raises(TypeError):
        paint("door")
    with pytest.raises(TypeError):
        paint("door", 3, 4)

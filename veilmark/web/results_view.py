"""Reports of ``veilmark measure`` as the pages show them: found in folders, compared side by side, as CSV.

A report is somebody's file: its JSON is read within limits, and everything in it is shown as text.
"""

from __future__ import annotations

import csv
import hashlib
import io
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from provenance.errors import UsageError
from provenance.media.files import read_limited

SCHEMA = "veilmark.measured/1"
_FILE = "report.json"
_MAX_BYTES, _MOST_REPORTS, _DEPTH = 16 * 1024**2, 200, 3
_MOST_TABLES, _MOST_ROWS, _MOST_COLUMNS, _MOST_CHARS = 60, 2000, 40, 400


@dataclass(frozen=True)
class Table:
    """A table of a report: a title, columns, and rows of as many cells."""

    title: str
    columns: list[str]
    rows: list[list[str]]
    note: str = ""


@dataclass(frozen=True)
class Measured:
    """A report.

    Attributes:
        id: by which an address names it.
        place: the folder's name, without those above the configured one.
    """

    id: str
    place: str
    kind: str
    title: str
    headline: str
    made: str
    device: str
    summary: list[str] = field(default_factory=list)
    limits: list[str] = field(default_factory=list)
    tables: list[Table] = field(default_factory=list)


def reports(folders: Sequence[Path]) -> list[Measured]:
    """The reports in these folders, the newest first; what cannot be read is left out."""
    found: list[Measured] = []
    for root in folders:
        for path in _files(root, _DEPTH):
            if len(found) >= _MOST_REPORTS:
                break
            data = _read(path)
            if data is not None:
                place = path.parent.relative_to(root)
                found.append(parse(data, str(place) if place.parts else root.name, key=str(path)))
    return sorted(found, key=lambda one: one.made, reverse=True)


def parse(data: dict[str, Any], place: str, *, key: str = "") -> Measured:
    """A report from its JSON.

    Raises:
        UsageError: it is none.
    """
    if data.get("schema") != SCHEMA:
        raise UsageError("this is no report of `veilmark measure`", hint="choose its report.json")
    tables = []
    for one in _items(data.get("tables"))[:_MOST_TABLES]:
        if isinstance(one, dict):
            rows = [
                [_text(cell) for cell in _items(row)[:_MOST_COLUMNS]]
                for row in _items(one.get("rows"))[:_MOST_ROWS]
            ]
            columns = [_text(cell) for cell in _items(one.get("columns"))[:_MOST_COLUMNS]]
            tables.append(Table(_text(one.get("title")), columns, rows, _text(one.get("note"))))
    return Measured(
        id=hashlib.sha256(key.encode("utf-8", "surrogateescape")).hexdigest()[:16],
        place=place,
        kind=_text(data.get("kind")),
        title=_text(data.get("title")),
        headline=_text(data.get("headline")),
        made=_text(data.get("made")),
        device=_text(data.get("device")),
        summary=[_text(one) for one in _items(data.get("summary"))[:50]],
        limits=[_text(one) for one in _items(data.get("limits"))[:50]],
        tables=tables,
    )


def side_by_side(chosen: Sequence[Measured]) -> list[dict[str, Any]]:
    """Tables of the same title together, each with one table for each report, or None where it has none."""
    titles = dict.fromkeys(table.title for one in chosen for table in one.tables)
    return [
        {
            "title": title,
            "tables": [next((t for t in one.tables if t.title == title), None) for one in chosen],
        }
        for title in titles
    ]


def to_csv(chosen: Sequence[Measured]) -> str:
    """All tables of these reports as CSV: report, table, and the table's own cells.

    A cell that a spreadsheet would compute is quoted as text.
    """
    packed = io.StringIO()
    writer = csv.writer(packed)
    for one in chosen:
        for table in one.tables:
            writer.writerow([_safe(cell) for cell in ("report", "table", *table.columns)])
            writer.writerows([_safe(cell) for cell in (one.place, table.title, *row)] for row in table.rows)
    return packed.getvalue()


def _safe(cell: str) -> str:
    try:
        float(cell)
    except ValueError:
        return f"'{cell}" if cell[:1] in ("=", "+", "-", "@", "\t", "\r") else cell
    return cell


def _files(root: Path, depth: int) -> Iterator[Path]:
    try:
        places = sorted(root.iterdir())
    except OSError:
        return
    for place in places:
        if place.name == _FILE and place.is_file() and not place.is_symlink():
            yield place
        elif depth and place.is_dir() and not place.is_symlink():
            yield from _files(place, depth - 1)


def _read(path: Path) -> dict[str, Any] | None:
    try:
        data = read_limited(path, _MAX_BYTES)
        said = json.loads(data) if data else None
    except (OSError, ValueError, RecursionError):
        return None
    return said if isinstance(said, dict) and said.get("schema") == SCHEMA else None


def _items(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def _text(value: Any) -> str:
    return str(value)[:_MOST_CHARS] if isinstance(value, str | int | float) else ""

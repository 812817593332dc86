"""Writes a report into a folder: ``report.html`` for people, ``report.json`` and ``report.csv`` for programs."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path

from provenance.media.files import write_bytes
from synth.report.document import Report
from synth.report.page import page_html


def write_report(report: Report, folder: Path) -> tuple[Path, Path]:
    """Write ``report.html``, ``report.json`` and ``report.csv`` into a folder; earlier ones are replaced.

    Raises:
        NotWritableError: the folder cannot be written.
    """
    page, data = folder / "report.html", folder / "report.json"
    text = json.dumps(report.to_json(), indent=1, allow_nan=False, ensure_ascii=False) + "\n"
    write_bytes(data, text.encode("utf-8", "backslashreplace"), force=True)
    write_bytes(folder / "report.csv", tables_csv(report).encode("utf-8", "backslashreplace"), force=True)
    write_bytes(page, page_html(report).encode("utf-8", "backslashreplace"), force=True)
    return page, data


def tables_csv(report: Report) -> str:
    """All tables one below the other: a line ``# title``, the columns, the rows, an empty line (RFC 4180). A cell that
    a spreadsheet would take for a formula begins with an apostrophe.
    """
    text = io.StringIO()
    rows = csv.writer(text, lineterminator="\r\n")
    for table in report.tables:
        rows.writerow([f"# {table.title}"])
        rows.writerow([_cell(one) for one in table.columns])
        rows.writerows([_cell(one) for one in row] for row in table.rows)
        rows.writerow([])
    return text.getvalue()


def _cell(text: str) -> str:
    number = text.lstrip("+-").replace(".", "", 1).replace(" ", "", 1)
    harmless = not text or text == "-" or number[:1].isdigit()
    return text if harmless or text[0] not in "=+-@\t\r" else f"'{text}"

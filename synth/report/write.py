"""Writes a report into a folder: ``report.html`` for people, ``report.json`` for programs."""

from __future__ import annotations

import json
from pathlib import Path

from provenance.media.files import write_bytes
from synth.report.document import Report
from synth.report.page import page_html


def write_report(report: Report, folder: Path) -> tuple[Path, Path]:
    """Write ``report.html`` and ``report.json`` into a folder; earlier ones are replaced.

    Raises:
        NotWritableError: the folder cannot be written.
    """
    page, data = folder / "report.html", folder / "report.json"
    text = json.dumps(report.to_json(), indent=1, allow_nan=False, ensure_ascii=False) + "\n"
    write_bytes(data, text.encode("utf-8", "backslashreplace"), force=True)
    write_bytes(page, page_html(report).encode("utf-8", "backslashreplace"), force=True)
    return page, data

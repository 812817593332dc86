"""A measurement as a report: one JSON object, and one HTML file that needs nothing else.

:class:`Report` says what is in it, :func:`synth.report.write.write_report` writes it.
"""

from __future__ import annotations

import hashlib
import math
import platform
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from importlib import metadata
from typing import Any

from provenance.record import now_utc
from provenance.version import VERSION
from synth.code_version import code_of

SCHEMA = "veilmark.measured/1"
_PACKAGES = ("torch", "numpy", "opencv-python-headless", "pillow", "av")


@dataclass(frozen=True)
class Table:
    """An answer in figures.

    Attributes:
        title: the question.
        rows: of as many cells as columns; a row of one cell is a heading within the table.
        note: how to read it.
        folded: the page shows its title alone until it is opened; print shows it whole.
    """

    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    note: str = ""
    folded: bool = False

    def to_json(self) -> dict[str, Any]:
        return {
            "title": self.title,
            "columns": list(self.columns),
            "rows": [list(row) for row in self.rows],
            "note": self.note,
        }


@dataclass(frozen=True)
class Point:
    """A value of a curve, with its 95 % interval where there is one."""

    x: float
    y: float
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True)
class Curve:
    """Lines over a common axis.

    Attributes:
        lines: by name, in the order of the legend.
        ticks: names of x = 0, 1, 2 ...; without them x is a number.
        bounds: of the y axis; None fits the values.
    """

    title: str
    x_label: str
    y_label: str
    lines: Mapping[str, tuple[Point, ...]]
    ticks: tuple[str, ...] = ()
    bounds: tuple[float, float] | None = None
    note: str = ""

    def to_json(self) -> dict[str, Any]:
        lines = {
            name: [[_number(one) for one in (p.x, p.y, p.low, p.high)] for p in points]
            for name, points in self.lines.items()
        }
        return {
            "title": self.title,
            "x": self.x_label,
            "y": self.y_label,
            "ticks": list(self.ticks),
            "lines": lines,
            "note": self.note,
        }


@dataclass(frozen=True)
class Shot:
    """A picture: JPEG or PNG bytes, and what it shows."""

    label: str
    data: bytes = field(repr=False)


@dataclass(frozen=True)
class Gallery:
    """Pictures side by side; with ``slider`` the first two also lie over each other, to be compared by dragging."""

    title: str
    shots: tuple[Shot, ...]
    slider: bool = False
    note: str = ""

    def to_json(self) -> dict[str, Any]:
        """Without the pictures themselves: their hashes."""
        shots = [
            {"label": one.label, "sha256": hashlib.sha256(one.data).hexdigest(), "bytes": len(one.data)}
            for one in self.shots
        ]
        return {"title": self.title, "pictures": shots, "note": self.note}


@dataclass(frozen=True)
class Report:
    """A finished measurement.

    Attributes:
        kind: ``detectors``, ``swap`` or ``lipsync``.
        title: of the page.
        headline: the result in one sentence, its uncertainty in it.
        summary: further sentences.
        limits: what was not shown.
        configuration: everything that was chosen, by name, as plain values.
        seeds: of every random choice.
        device: where it was computed.
        seconds: of work in all, parts that were done before included.
        data: every figure, for programs.
        valid: the instrument could do on clean data what a cloak is to prevent; else nothing was measured.
        finished: nothing is missing.
        versions: of what it was computed with; the present ones by default.
        made: RFC 3339 UTC.
    """

    kind: str
    title: str
    headline: str
    summary: tuple[str, ...]
    tables: tuple[Table, ...]
    curves: tuple[Curve, ...]
    galleries: tuple[Gallery, ...]
    limits: tuple[str, ...]
    configuration: dict[str, Any]
    seeds: tuple[int, ...]
    device: str
    seconds: float
    data: dict[str, Any]
    valid: bool = True
    finished: bool = True
    versions: dict[str, str] = field(default_factory=lambda: versions())
    made: str = field(default_factory=now_utc)

    def to_json(self) -> dict[str, Any]:
        """Plain values, pictures left out."""
        return {
            "schema": SCHEMA,
            "kind": self.kind,
            "title": self.title,
            "headline": self.headline,
            "summary": list(self.summary),
            "valid": self.valid,
            "finished": self.finished,
            "limits": list(self.limits),
            "configuration": self.configuration,
            "seeds": list(self.seeds),
            "device": self.device,
            "seconds": round(self.seconds, 1),
            "versions": self.versions,
            "made": self.made,
            "tables": [one.to_json() for one in self.tables],
            "curves": [one.to_json() for one in self.curves],
            "galleries": [one.to_json() for one in self.galleries],
            "data": self.data,
        }


def without_pictures(report: Report) -> Report:
    """The same without its pictures, and saying so: it shows nobody, and may go where the pictures may not."""
    said = "Pictures were left out of this report."
    return replace(report, galleries=(), summary=(*report.summary, said))


def versions() -> dict[str, str]:
    """Of veilmark (with the beginning of its source's SHA-256), Python and the packages that compute."""
    code = code_of("provenance", "cloak", "synth")
    found = {"veilmark": f"{VERSION}, code {code[:12]}", "python": platform.python_version()}
    for name in _PACKAGES:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found


def device_name(device: str) -> str:
    """The device with its maker's name where torch knows it, else with the number of threads."""
    import torch

    if device.startswith("cuda") and torch.cuda.is_available():
        return f"{device}: {torch.cuda.get_device_name(torch.device(device))}"
    return f"{device}: {platform.machine()}, {torch.get_num_threads()} threads"


def percent(value: float) -> str:
    """A share for a person."""
    return "-" if math.isnan(value) else f"{100 * value:.0f} %"


def _number(value: float | None) -> float | None:
    return None if value is None or not math.isfinite(value) else round(value, 6)

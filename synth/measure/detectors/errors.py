"""What detectors report besides faces that they should: how much of it is right, decoys, and misplaced landmarks.

Of every version of the pictures, and under every condition; the intervals are over pictures, whose faces are alike.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from synth.measure.conditions import CONDITIONS, CONTROLS
from synth.measure.detectors.experiment import DetectorMeasurements
from synth.measure.stats import Estimate, mean, ratio, share
from synth.measure.wording import interval, number, percent_interval
from synth.report.document import Table

_MEANING = (
    "Precision: share of reports that are about a face. Decoys: reports a picture where this detector saw nothing in "
    "the clean picture. Landmark error: mean distance from its own landmarks in the clean picture, in face sizes, of "
    "faces that it still reports (how many, in square brackets). In round brackets 95 % intervals over pictures."
)


@dataclass(frozen=True)
class Reported:
    """What one detector reports in one version of the pictures, under one condition.

    Attributes:
        precision: share of its reports that are about a face, 0 to 1; NaN without reports.
        decoys: reports a picture about no face, where it saw nothing in the clean picture.
        landmarks: error in face sizes, over faces; NaN without any.
        matched: faces that the landmarks are of.
    """

    precision: Estimate
    decoys: Estimate
    landmarks: Estimate
    matched: int

    def to_json(self) -> dict[str, Any]:
        return {
            "precision": self.precision.to_json(),
            "decoys": self.decoys.to_json(),
            "landmarks": self.landmarks.to_json(),
            "landmarks_of": self.matched,
        }

    def cells(self) -> tuple[str, str, str]:
        """As a person reads them: precision, decoys, landmark error."""
        error = f"{interval(self.landmarks, 3, 0.0)} [{self.matched}]" if self.matched else "-"
        return percent_interval(self.precision), interval(self.decoys, 2, 0.0), error


def reported(measured: DetectorMeasurements, version: str, condition: str, name: str) -> Reported:
    """One detector's reports, picture by picture, put together."""
    cells = [row["seen"][version][condition][name] for row in measured.rows]
    errors = [cell["landmarks"] for cell in cells]
    return Reported(
        share([float(cell["right"]) for cell in cells], [float(cell["reports"]) for cell in cells]),
        mean([float(cell["decoys"]) for cell in cells]),
        ratio([float(sum(one)) for one in errors], [float(len(one)) for one in errors]),
        sum(len(one) for one in errors),
    )


def every_report(measured: DetectorMeasurements) -> dict[str, Any]:
    """By version, condition and detector: see :meth:`Reported.to_json`."""
    return {
        version: {
            condition: {
                name: reported(measured, version, condition, name).to_json() for name in measured.detectors
            }
            for condition in CONDITIONS
        }
        for version in ("clean", *measured.versions)
    }


def published_table(measured: DetectorMeasurements, groups: Mapping[str, Sequence[str]]) -> Table:
    """As published, every version below the other."""
    rows: list[tuple[str, ...]] = []
    for version in ("clean", *measured.versions):
        rows.append((called(version),))
        for group, names in groups.items():
            for name in names:
                rows.append((f"{name} ({group})", *reported(measured, version, "nothing", name).cells()))
    return Table(
        "What else do they report?",
        ("detector", "precision", "decoys a picture", "landmark error (faces)"),
        tuple(rows),
        f"As published. {_MEANING}",
    )


def condition_tables(measured: DetectorMeasurements, groups: Mapping[str, Sequence[str]]) -> Iterator[Table]:
    """One table of each version, with a column for each condition; folded until somebody asks for it."""
    for version in ("clean", *measured.versions):
        rows: list[tuple[str, ...]] = []
        for place, measure in enumerate(("precision", "decoys a picture", "landmark error (faces)")):
            for group, names in groups.items():
                if names:
                    rows.append((f"{measure}, {group} detectors",))
                for name in names:
                    seen = [reported(measured, version, condition, name) for condition in CONDITIONS]
                    rows.append((name, *(one.cells()[place] for one in seen)))
        yield Table(
            f"What else do they report after each condition? ({called(version)})",
            ("detector", *CONDITIONS),
            tuple(rows),
            f"{_MEANING} {_pictures(len(measured.rows))}",
            folded=True,
        )


def called(version: str) -> str:
    """A version's name, for people."""
    if version in ("clean", "cloaked") or version.startswith(CONTROLS):
        return version
    return f"cloaked at {version}"


def _pictures(count: int) -> str:
    if count == 1:
        return "One picture: there is no interval but the one that chance alone gives shares."
    return f"{number(count, 0)} pictures."

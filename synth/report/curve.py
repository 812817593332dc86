"""Where the lines of a curve lie; the template ``curve.svg`` draws them with the page's own colours."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from synth.report.document import Curve, Point

_WIDTH, _HEIGHT = 460, 300
_LEFT, _RIGHT, _TOP = 62, 12, 12
_DASHES = ("", "7 4", "2 3", "9 3 2 3", "4 2", "1 2")
#: Lines are told apart by colour, dashes and marks; the page has colours for so many.
MOST_LINES = len(_DASHES)
Place = Callable[[float, float], tuple[float, float]]


@dataclass(frozen=True)
class DrawnLine:
    """One line, in pixels of the drawing.

    Attributes:
        number: of its colour, from 0.
        dash: SVG's stroke-dasharray, or empty.
        stretches: points of each part that is drawn through; it breaks at values that are missing.
        marks: places of the values. bars: x, and y of the lower and the upper end of each interval.
    """

    number: int
    name: str
    dash: str
    stretches: tuple[str, ...]
    marks: tuple[tuple[float, float], ...]
    bars: tuple[tuple[float, float, float], ...]


@dataclass(frozen=True)
class Drawing:
    """A curve, in pixels.

    Attributes:
        width, height: of the whole. left, right, bottom: of the plot. middle: of its height.
        rows, columns: labels of the axes and where they are.
    """

    lines: tuple[DrawnLine, ...]
    rows: tuple[tuple[str, float], ...]
    columns: tuple[tuple[str, float], ...]
    bottom: float
    middle: float
    width: int = _WIDTH
    height: int = _HEIGHT
    left: int = _LEFT
    right: int = _WIDTH - _RIGHT


def drawn(curve: Curve) -> Drawing | None:
    """Where everything of a curve is; None without values. At most :data:`MOST_LINES` lines are drawn."""
    named = dict(list(curve.lines.items())[:MOST_LINES])
    finite = [point for points in named.values() for point in points if math.isfinite(point.y)]
    if not finite:
        return None
    plot = _HEIGHT - _TOP - (84 if curve.ticks else 46)
    low_x, high_x = min(p.x for p in finite), max(p.x for p in finite)
    if curve.ticks:
        low_x, high_x = -0.3, len(curve.ticks) - 0.7
    elif high_x - low_x < 1e-9:
        low_x, high_x = low_x - 1, high_x + 1
    low_y, high_y = curve.bounds or _bounds(finite)

    def at(x: float, y: float) -> tuple[float, float]:
        across = _LEFT + (x - low_x) / (high_x - low_x) * (_WIDTH - _LEFT - _RIGHT)
        down = _TOP + plot * (1 - (min(max(y, low_y), high_y) - low_y) / (high_y - low_y))
        return round(across, 1), round(down, 1)

    if curve.ticks:
        columns = [(name[:24], at(number, low_y)[0]) for number, name in enumerate(curve.ticks)]
    else:
        columns = [(f"{value:g}", at(value, low_y)[0]) for value in axis_ticks(low_x, high_x)]
    # beside each other where they would lie on each other
    apart = 0.09 if curve.ticks else 0.0
    lines = []
    for number, (name, points) in enumerate(named.items()):
        aside = apart * (number - (len(named) - 1) / 2)
        lines.append(_line(number, name, [replace(point, x=point.x + aside) for point in points], at))
    rows = [(f"{value:g}", at(low_x, value)[1]) for value in axis_ticks(low_y, high_y)]
    return Drawing(tuple(lines), tuple(rows), tuple(columns), _TOP + plot, _TOP + plot // 2)


def _line(number: int, name: str, points: Sequence[Point], at: Place) -> DrawnLine:
    stretches: list[list[Point]] = [[]]
    for point in points:
        if math.isfinite(point.y):
            stretches[-1].append(point)
        else:
            stretches.append([])
    finite = [point for stretch in stretches for point in stretch]
    paths = [" ".join("{},{}".format(*at(p.x, p.y)) for p in stretch) for stretch in stretches if stretch]
    bars = [
        (at(p.x, p.low)[0], at(p.x, p.low)[1], at(p.x, p.high)[1])
        for p in finite
        if p.low is not None and p.high is not None
    ]
    marks = [at(p.x, p.y) for p in finite]
    return DrawnLine(number, name, _DASHES[number], tuple(paths), tuple(marks), tuple(bars))


def _bounds(points: Sequence[Point]) -> tuple[float, float]:
    values = [one for p in points for one in (p.y, p.low, p.high) if one is not None and math.isfinite(one)]
    low, high = min(values), max(values)
    margin = 0.06 * (high - low) or max(abs(high), 1.0) * 0.1
    return low - margin, high + margin


def axis_ticks(low: float, high: float) -> list[float]:
    """About five round values."""
    rough = (high - low) / 5
    scale = 10.0 ** math.floor(math.log10(rough))
    step = next(one * scale for one in (1, 2, 2.5, 5, 10) if one * scale >= rough * 0.999)
    first = math.ceil(low / step - 1e-9)
    return [round(number * step, 10) + 0.0 for number in range(first, math.floor(high / step + 1e-9) + 1)]

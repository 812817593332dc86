"""Curves as SVG, drawn with the page's own colours, so that they follow dark mode and print."""

from __future__ import annotations

import html
import math
from collections.abc import Callable, Sequence
from dataclasses import replace

from synth.report.document import Curve, Point

_WIDTH, _HEIGHT = 460, 300
_LEFT, _RIGHT, _TOP = 62, 12, 12
_DASHES = ("", "7 4", "2 3", "9 3 2 3", "4 2", "1 2")
Place = Callable[[float, float], tuple[float, float]]
#: Lines are told apart by colour, dashes and marks; the page has colours for so many.
MOST_LINES = len(_DASHES)


def draw(curve: Curve) -> str:
    """The curve as inline SVG; text in it is escaped."""
    lines = dict(list(curve.lines.items())[:MOST_LINES])
    drawn = [point for points in lines.values() for point in points if math.isfinite(point.y)]
    if not drawn:
        return "<p class=note>No values.</p>"
    bottom = 84 if curve.ticks else 46
    plot = _HEIGHT - _TOP - bottom
    low_x, high_x = min(p.x for p in drawn), max(p.x for p in drawn)
    if curve.ticks:
        low_x, high_x = -0.3, len(curve.ticks) - 0.7
    elif high_x - low_x < 1e-9:
        low_x, high_x = low_x - 1, high_x + 1
    low_y, high_y = curve.bounds or _bounds(drawn)

    def at(x: float, y: float) -> tuple[float, float]:
        across = _LEFT + (x - low_x) / (high_x - low_x) * (_WIDTH - _LEFT - _RIGHT)
        return across, _TOP + plot * (1 - (min(max(y, low_y), high_y) - low_y) / (high_y - low_y))

    parts = [_axes(curve, (low_x, high_x), (low_y, high_y), at, plot)]
    # beside each other where they would lie on each other
    apart = 0.09 if curve.ticks else 0.0
    for number, points in enumerate(lines.values()):
        aside = apart * (number - (len(lines) - 1) / 2)
        good = [replace(point, x=point.x + aside) for point in points if math.isfinite(point.y)]
        parts.append(_band(number, good, at))
        dash = f" stroke-dasharray='{_DASHES[number]}'" if _DASHES[number] else ""
        for stretch in _stretches([replace(point, x=point.x + aside) for point in points]):
            path = " ".join(f"{x:.1f},{y:.1f}" for x, y in (at(p.x, p.y) for p in stretch))
            parts.append(f"<polyline class='line l{number}' points='{path}'{dash} />")
        parts += [_mark(number, *at(p.x, p.y)) for p in good]
    label = html.escape(f"{curve.title}: {curve.y_label} by {curve.x_label}")
    return (
        f"<svg class=curve viewBox='0 0 {_WIDTH} {_HEIGHT}' role=img aria-label='{label}'>{''.join(parts)}</svg>"
        f"<p class=legend>{''.join(_key(number, name) for number, name in enumerate(lines))}</p>"
    )


def _stretches(points: Sequence[Point]) -> list[list[Point]]:
    """Where the line is drawn: it breaks at values that are missing."""
    found: list[list[Point]] = [[]]
    for point in points:
        if math.isfinite(point.y):
            found[-1].append(point)
        elif found[-1]:
            found.append([])
    return [one for one in found if one]


def _axes(curve: Curve, across: tuple[float, float], up: tuple[float, float], at: Place, plot: float) -> str:
    parts = []
    for value in _steps(*up):
        x, y = at(across[0], value)
        parts.append(f"<line class=grid x1={x:.1f} x2={_WIDTH - _RIGHT} y1={y:.1f} y2={y:.1f} />")
        parts.append(f"<text class=end x={x - 5:.1f} y={y + 4:.1f}>{value:g}</text>")
    if curve.ticks:
        for number, name in enumerate(curve.ticks):
            x, _ = at(number, up[0])
            y = _TOP + plot + 14
            parts.append(
                f"<text class=end x={x + 4:.1f} y={y:.1f} transform='rotate(-38 {x + 4:.1f} {y:.1f})'>"
                f"{html.escape(name[:24])}</text>"
            )
    else:
        for value in _steps(*across):
            x, _ = at(value, up[0])
            parts.append(f"<text class=mid x={x:.1f} y={_TOP + plot + 16:.1f}>{value:g}</text>")
    parts.append(
        f"<text class=mid x={_WIDTH / 2:.0f} y={_HEIGHT - 6}>{html.escape(curve.x_label[:60])}</text>"
    )
    middle = _TOP + plot / 2
    parts.append(
        f"<text class=mid x=12 y={middle:.0f} transform='rotate(-90 12 {middle:.0f})'>"
        f"{html.escape(curve.y_label[:60])}</text>"
    )
    return "".join(parts)


def _band(number: int, points: Sequence[Point], at: Place) -> str:
    bars = []
    for point in points:
        if point.low is None or point.high is None:
            continue
        x, low = at(point.x, point.low)
        _, high = at(point.x, point.high)
        bars.append(f"<line class='bar l{number}' x1={x:.1f} x2={x:.1f} y1={low:.1f} y2={high:.1f} />")
    return "".join(bars)


def _mark(number: int, x: float, y: float) -> str:
    if number % 3 == 1:
        return f"<rect class='mark l{number}' x={x - 3:.1f} y={y - 3:.1f} width=6 height=6 />"
    if number % 3 == 2:
        corners = f"{x:.1f},{y - 4:.1f} {x + 4:.1f},{y + 3:.1f} {x - 4:.1f},{y + 3:.1f}"
        return f"<polygon class='mark l{number}' points='{corners}' />"
    return f"<circle class='mark l{number}' cx={x:.1f} cy={y:.1f} r=3.4 />"


def _key(number: int, name: str) -> str:
    dash = f" stroke-dasharray='{_DASHES[number]}'" if _DASHES[number] else ""
    line = f"<polyline class='line l{number}' points='0,6 34,6'{dash} />{_mark(number, 17, 6)}"
    return f"<span><svg width=34 height=12 viewBox='0 0 34 12' aria-hidden=true>{line}</svg> {html.escape(name)}</span>"


def _bounds(points: Sequence[Point]) -> tuple[float, float]:
    values = [one for p in points for one in (p.y, p.low, p.high) if one is not None and math.isfinite(one)]
    low, high = min(values), max(values)
    room = 0.06 * (high - low) or max(abs(high), 1.0) * 0.1
    return low - room, high + room


def _steps(low: float, high: float) -> list[float]:
    """About five round values."""
    rough = (high - low) / 5
    scale = 10.0 ** math.floor(math.log10(rough))
    step = next(one * scale for one in (1, 2, 2.5, 5, 10) if one * scale >= rough * 0.999)
    first = math.ceil(low / step - 1e-9)
    return [round(number * step, 10) + 0.0 for number in range(first, math.floor(high / step + 1e-9) + 1)]

"""Curves as PNG pictures, drawn with Pillow alone."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from synth.detect.base import Plot
from synth.report.curve import axis_ticks

_WIDTH, _HEIGHT, _FINE = 720, 340, 2
_LEFT, _RIGHT, _TOP, _BOTTOM = 58, 14, 56, 44
# colours for the colour-blind (Okabe and Ito, 2008)
_COLOURS = ((0, 114, 178), (213, 94, 0), (0, 158, 115), (90, 90, 90), (204, 121, 167))
_INK, _PALE, _MARK = (40, 40, 40), (222, 222, 222), (150, 150, 210)


def draw(plot: Plot) -> NDArray[np.uint8]:
    """The plot as uint8 ``(340, 720, 3)``."""
    canvas = Image.new("RGB", (_WIDTH * _FINE, _HEIGHT * _FINE), "white")
    pen = ImageDraw.Draw(canvas)
    font, large = (ImageFont.load_default(size * _FINE) for size in (11, 14))
    x_low, x_high = _bounds([line.x for line in plot.lines], 0.0)
    y_low, y_high = _bounds([line.y for line in plot.lines], 0.06)

    def at(x: float, y: float) -> tuple[float, float]:
        across = _LEFT + (x - x_low) / (x_high - x_low) * (_WIDTH - _LEFT - _RIGHT)
        down = _TOP + (1 - (y - y_low) / (y_high - y_low)) * (_HEIGHT - _TOP - _BOTTOM)
        return across * _FINE, down * _FINE

    for value in axis_ticks(y_low, y_high):
        pen.line([at(x_low, value), at(x_high, value)], fill=_PALE, width=_FINE)
        x, y = at(x_low, value)
        pen.text((x - 6 * _FINE, y), f"{value:g}", fill=_INK, font=font, anchor="rm")
    for value in axis_ticks(x_low, x_high):
        x, y = at(value, y_low)
        pen.text((x, y + 4 * _FINE), f"{value:g}", fill=_INK, font=font, anchor="mt")
    for mark in plot.marks:
        if x_low <= mark <= x_high:
            pen.line([at(mark, y_low), at(mark, y_high)], fill=_MARK, width=2 * _FINE)
    for number, line in enumerate(plot.lines):
        _curve(pen, line.x, line.y, at, _COLOURS[number % len(_COLOURS)])
    pen.text((_LEFT * _FINE, 8 * _FINE), plot.title, fill=_INK, font=large)
    place = float(_LEFT * _FINE)
    for number, line in enumerate(plot.lines):
        colour = _COLOURS[number % len(_COLOURS)]
        pen.line([(place, 41 * _FINE), (place + 18 * _FINE, 41 * _FINE)], fill=colour, width=3 * _FINE)
        pen.text((place + 23 * _FINE, 41 * _FINE), line.name, fill=_INK, font=font, anchor="lm")
        place += (23 + 16) * _FINE + pen.textlength(line.name, font=font)
    middle = ((_LEFT + _WIDTH - _RIGHT) / 2 * _FINE, (_HEIGHT - 8) * _FINE)
    pen.text(middle, plot.x_label, fill=_INK, font=font, anchor="mb")
    pen.text(((_WIDTH - _RIGHT) * _FINE, 12 * _FINE), plot.y_label, fill=_INK, font=font, anchor="rt")
    return np.asarray(canvas.resize((_WIDTH, _HEIGHT), Image.Resampling.LANCZOS), np.uint8)


def _curve(pen: ImageDraw.ImageDraw, x: object, y: object, at: object, colour: tuple[int, int, int]) -> None:
    """A line with gaps where values are NaN; a single value is a dot."""
    run: list[tuple[float, float]] = []
    for a, b in [*zip(np.asarray(x, float), np.asarray(y, float), strict=True), (math.nan, math.nan)]:
        if math.isfinite(a) and math.isfinite(b):
            run.append(at(a, b))  # type: ignore[operator]
        elif run:
            if len(run) > 1:
                pen.line(run, fill=colour, width=2 * _FINE, joint="curve")
            else:
                (left, top), r = run[0], 2 * _FINE
                pen.ellipse((left - r, top - r, left + r, top + r), fill=colour)
            run = []


def _bounds(series: Sequence[object], room: float) -> tuple[float, float]:
    whole = np.concatenate([np.asarray(one, float).ravel() for one in series]) if series else np.zeros(0)
    whole = whole[np.isfinite(whole)]
    if not len(whole):
        return 0.0, 1.0
    low, high = float(whole.min()), float(whole.max())
    if high - low < 1e-9:
        return low - 0.5, high + 0.5
    return low - room * (high - low), high + room * (high - low)

"""Figures as a person reads them, with what is not known about them."""

from __future__ import annotations

import math

from synth.measure.conditions import RANDOM
from synth.measure.stats import Effect, Estimate


def number(value: float, digits: int) -> str:
    """``-`` for what could not be measured."""
    return f"{value:.{digits}f}" if math.isfinite(value) else "-"


def interval(one: Estimate, digits: int, least: float = -math.inf, most: float = math.inf) -> str:
    """``0.71 (0.66 to 0.76)``; the value alone where one measurement gives no interval. The bounds of what is measured
    cut off what a t interval says beyond them.
    """
    if one.low is None or one.high is None or not math.isfinite(one.value):
        return number(one.value, digits)
    return f"{one.value:.{digits}f} ({max(least, one.low):.{digits}f} to {min(most, one.high):.{digits}f})"


def percent_interval(one: Estimate) -> str:
    """A share: ``93 % (85 to 100)``."""
    if not math.isfinite(one.value):
        return "-"
    text = f"{100 * one.value:.0f} %"
    if one.low is None or one.high is None:
        return text
    return f"{text} ({100 * max(0.0, one.low):.0f} to {100 * min(1.0, one.high):.0f})"


def change(one: Estimate, digits: int) -> str:
    """As :func:`interval`, with a sign."""
    if not math.isfinite(one.value):
        return "-"
    if one.low is None or one.high is None:
        return f"{one.value:+.{digits}f}"
    return f"{one.value:+.{digits}f} ({one.low:+.{digits}f} to {one.high:+.{digits}f})"


def points(one: Estimate) -> str:
    """A difference of shares in percentage points: ``-86 points, -95 to -70``."""
    if not math.isfinite(one.value):
        return "-"
    if one.low is None or one.high is None:
        return f"{100 * one.value:+.0f} points"
    return f"{100 * one.value:+.0f} points, {100 * one.low:+.0f} to {100 * one.high:+.0f}"


def bare_p(effect: Effect) -> str:
    """``0.004``, adjusted where it was adjusted."""
    p = effect.p if effect.adjusted is None else effect.adjusted
    return "-" if math.isnan(p) else "< 0.001" if p < 0.001 else f"{p:.2g}"


def p_value(effect: Effect) -> str:
    """``p 0.004``, and where they are too few, what the pairs at hand could have shown at best."""
    if not effect.difference.count:
        return "no pairs"
    if math.isnan(effect.p):
        return "not tested: all pairs differ by the same"
    count = effect.difference.count
    pairs = f"{count} pair{'s' * (count != 1)}"
    if effect.adjusted is None and effect.p <= effect.least_p * 1.001 and effect.least_p > 0.05:
        return f"p {bare_p(effect)}, the least that {pairs} can give"
    text = f"p {bare_p(effect)}"
    return text if effect.least_p <= 0.05 else f"{text}; {pairs} can give no less than {effect.least_p:.2g}"


def control_words(control: str) -> str:
    """What a control is, from its name."""
    if control.startswith(RANDOM):
        return "an equally visible veil with random parameters"
    return "random noise of equal energy"

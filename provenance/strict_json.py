"""JSON from outside: no NaN or infinity, which JSON does not know, and no nesting that exhausts the stack."""

from __future__ import annotations

import json
import math
from typing import Any, NoReturn


def loads(data: str | bytes) -> Any:
    """Parse JSON as RFC 8259 defines it.

    Raises:
        ValueError: not JSON, not UTF-8, nested too deeply, or a number that is not finite (``NaN``, ``Infinity``,
            ``1e999``).
    """
    try:
        return _DECODER.decode(data if isinstance(data, str) else data.decode())
    except RecursionError as error:
        raise ValueError("nested too deeply") from error


def _refuse(name: str) -> NoReturn:
    raise ValueError(f"{name} is no number in JSON")


def _finite(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise ValueError(f"the number {text[:20]} is too large")
    return value


_DECODER = json.JSONDecoder(parse_constant=_refuse, parse_float=_finite)

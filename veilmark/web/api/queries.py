"""Parameters of a query, checked."""

from __future__ import annotations

from starlette.requests import Request

from provenance.errors import UsageError

MAX_RESULTS = 100


def whole(request: Request, name: str, default: int, *, low: int, high: int, cap: bool = False) -> int:
    """A whole number of the query.

    Args:
        cap: take ``high`` for what is larger.

    Raises:
        UsageError: none, or out of bounds.
    """
    text = request.query_params.get(name)
    if text is None:
        return default
    if text.isascii() and text.isdecimal() and len(text) < 20:
        value = int(text)
        if low <= value <= high:
            return value
        if cap and value > high:
            return high
    raise UsageError(f"{name} is not a whole number from {low} on", hint=f"at most {high}")


def truth(request: Request, name: str) -> bool:
    """``true`` or ``false`` of the query; false where it is not there.

    Raises:
        UsageError: something else.
    """
    text = request.query_params.get(name, "false")
    if text not in ("true", "false"):
        raise UsageError(f"{name} is neither true nor false")
    return text == "true"


def max_results(request: Request) -> int:
    """The C2PA API's ``maxResults``: at least 1, at most what one answer holds here."""
    return whole(request, "maxResults", 10, low=1, high=MAX_RESULTS, cap=True)

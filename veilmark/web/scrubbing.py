"""Error messages name files by their paths; a visitor is told names alone."""

from __future__ import annotations

import re
import tempfile
from collections.abc import Callable
from typing import Any

from veilmark.web.settings import Settings

Scrub = Callable[[str], str]

#: A path of at least two parts, absolute, and not the end of an address (``https://host/a/b``).
_PATH = re.compile(r"(?<![\w:/.])(?:[A-Za-z]:)?[/\\](?:[^/\\\s'\":;,()]+[/\\])+")


def scrubber(settings: Settings) -> Scrub:
    """Takes every folder out of a text; names of files stay."""
    own = {str(place) for place in (settings.home.data, settings.home.config, tempfile.gettempdir())}
    known = re.compile(
        "|".join(f"{re.escape(one)}[/\\\\](?:[^\\s'\":;,()]*[/\\\\])?" for one in sorted(own, key=len)[::-1])
    )

    def scrub(text: str) -> str:
        return _PATH.sub("", known.sub("", text))

    return scrub


def scrubbed(value: Any, scrub: Scrub) -> Any:
    """The same JSON with each of its texts scrubbed."""
    if isinstance(value, str):
        return scrub(value)
    if isinstance(value, dict):
        return {key: scrubbed(one, scrub) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [scrubbed(one, scrub) for one in value]
    return value

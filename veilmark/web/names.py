"""File names as visitors send them, made harmless."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Collection

_MAX_BYTES = 120
_RESERVED = re.compile(r"(?i)^(con|prn|aux|nul|com\d|lpt\d)(\.|$)")


def harmless(name: str, taken: Collection[str] = ()) -> str:
    """A name that is one plain file in one folder, whatever was sent.

    Folders, control and direction characters, leading dots and what shells or Windows give a meaning to are taken out;
    a name in ``taken`` gets a number before its suffix.
    """
    text = unicodedata.normalize("NFC", name.encode("utf-8", "replace").decode())
    text = re.split(r"[/\\]", text)[-1]
    text = "".join("_" if one in '<>:"|?*' else one for one in text if unicodedata.category(one)[0] != "C")
    text = text.strip().lstrip(".-~ ").rstrip(". ") or "file"
    if _RESERVED.match(text):
        text = f"file-{text}"
    stem, dot, suffix = text.rpartition(".")
    if not dot:
        stem, suffix = text, ""
    tail = dot + _cut(suffix, 20)
    stem = _cut(stem, _MAX_BYTES - len(tail.encode()))
    number, found = 1, stem + tail
    while found.casefold() in {one.casefold() for one in taken}:
        number += 1
        found = f"{stem}-{number}{tail}"
    return found


def _cut(text: str, limit: int) -> str:
    return text.encode()[:limit].decode(errors="ignore")

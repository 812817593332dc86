"""The records that a look-up found, as one self-contained HTML page."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from typing import Any

from markupsafe import Markup

from provenance.pages.rendering import render
from provenance.search.titles import Description
from provenance.verdict import SimilarRecord
from provenance.words import match_words, what_words

Found = tuple[str, Sequence[SimilarRecord], Mapping[int, Description]]
_MOST_RECORDS = 200


def found_page(found: Sequence[Found]) -> str:
    """The page as text; nothing is loaded from elsewhere, and everything that comes from a record is escaped.

    Args:
        found: for each file its shown path, its records, and their descriptions by index.
    """
    cards = [
        {"path": path, "records": [_row(one, about.get(one.index)) for one in records[:_MOST_RECORDS]]}
        for path, records, about in found
    ]
    return render("found.html", cards=cards)


def _row(record: SimilarRecord, about: Description | None) -> dict[str, Any]:
    packed = base64.b64encode(about.thumbnail).decode() if about and about.thumbnail else ""
    return {
        "index": record.index,
        "title": about.title if about else "",
        "picture": Markup(packed) if packed else None,  # noqa: S704 - base64 holds no markup
        "match": match_words(record),
        "what": what_words(record.relation, ""),
        "signer": record.signer_name,
        "trusted": record.signer_trusted,
        "logged_at": record.logged_at,
    }

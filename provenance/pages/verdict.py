"""A verdict as one self-contained HTML page, for people who do not use a terminal."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from typing import Any

from markupsafe import Markup

from provenance.manifest.tree import date_of, standing_words
from provenance.pages.rendering import render
from provenance.pages.thumbnails import picture_of
from provenance.verdict import State, Verdict

_WORDS = {
    State.TRUSTED: ("good", "Trusted"),
    State.VALID_UNKNOWN_SIGNER: ("open", "Valid, signer not trusted"),
    State.TAMPERED: ("bad", "Tampered"),
    State.EXPIRED: ("bad", "Expired"),
    State.NO_CREDENTIAL: ("none", "No credential"),
    State.NOT_CHECKED: ("open", "Could not check"),
}

_RELATIONS = {"parentOf": "edited into this", "componentOf": "placed into this", "inputTo": "input to this"}
_TONES = {"trusted": "good", "valid": "open", "failed": "bad"}
_MOST_STEPS = 50


def verdict_page(verdicts: Sequence[Verdict], pictures: Sequence[Mapping[str, bytes]] = ()) -> str:
    """The page as text. Everything that comes from a file is escaped; nothing is loaded from elsewhere.

    Args:
        pictures: for each verdict what :func:`provenance.pages.thumbnails.pictures_of` gave.
    """
    shown = [*pictures, *({} for _ in verdicts)]
    return render("verdict.html", cards=list(map(_card, verdicts, shown)))


def _card(verdict: Verdict, pictures: Mapping[str, bytes]) -> dict[str, Any]:
    tone, word = _WORDS[verdict.state]
    rows = [("Title", verdict.title)]
    if verdict.signer:
        claim = {True: "its certificate leads to an anchor you trust", None: "claimed name; not judged"}.get(
            verdict.signer.trusted, "claimed name"
        )
        rows.append(("Signer", f"{verdict.signer.name} ({claim}; key {verdict.signer.key_id[:16]})"))
    for one in verdict.identities:
        confirmation = "confirmed" if one.confirmed else "not confirmed"
        rows.append(("Identity", f"{one.name} (issued by {one.issuer or 'nobody named'}; {confirmation})"))
    rows += [("Time", f"{time.value} ({time.words})") for time in verdict.times]
    rows += [("What", " / ".join(part for part in (verdict.relation, verdict.source_type) if part))]
    rows += [("Action", _action(action)) for action in verdict.actions]
    place = f"{verdict.ledger['origin']}, entry {verdict.ledger['index']}" if verdict.ledger else ""
    rows.append(("Ledger", " ".join((verdict.ledger_status.value.replace("-", " "), place)).strip()))
    rows.append(("SHA-256", verdict.sha256))
    marks = {True: "passed", False: "failed", None: "open"}
    return {
        "tone": tone,
        "word": word,
        "path": verdict.path,
        "headline": verdict.headline,
        "picture": _picture(pictures, [""]),
        "warnings": verdict.warnings,
        "rows": [(label, value) for label, value in rows if value],
        "checks": [(marks[check.passed], check.name, check.detail) for check in verdict.checks],
        "made_from": _made_from(verdict.ingredients, pictures),
        "similar": verdict.similar,
    }


def _made_from(ingredients: Sequence[dict[str, Any]], pictures: Mapping[str, bytes]) -> list[dict[str, Any]]:
    """What the file was made from, and what that was made from, with pictures where a manifest kept them."""
    steps = []
    for one in ingredients[:_MOST_STEPS]:
        manifest = one.get("manifest") or {}
        said = [
            _RELATIONS.get(one.get("relationship") or "", ""),
            standing_words(one),
            manifest.get("time") or date_of(one),
            *(_action(action) for action in (manifest.get("actions") or ())[:_MOST_STEPS]),
        ]
        for failure in (one.get("failures") or ())[:3]:
            said.append(f"does not verify: {failure.get('explanation') or failure.get('code')}")
        steps.append(
            {
                "title": one.get("title") or "unnamed",
                "tone": _TONES.get(one.get("standing") or "", "none"),
                "picture": _picture(pictures, picture_of(one)),
                "lines": [str(text) for text in said if text],
                "made_from": _made_from(manifest.get("ingredients") or (), pictures),
            }
        )
    return steps


def _picture(pictures: Mapping[str, bytes], names: Sequence[str]) -> Markup | None:
    """The first of these pictures that is there, in base64."""
    data = next((pictures[name] for name in names if name in pictures), None)
    return Markup(base64.b64encode(data).decode()) if data else None  # noqa: S704 - base64 holds no markup


def _action(action: dict[str, Any]) -> str:
    parts = (action.get("action"), action.get("digital_source_type"), action.get("description"))
    return " / ".join(str(part) for part in parts if part)

"""A verdict as one self-contained HTML page, for people who do not use a terminal."""

from __future__ import annotations

import base64
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from markupsafe import Markup

from provenance.manifest.stated import FACTS
from provenance.pages.rendering import render
from provenance.pages.thumbnails import picture_of
from provenance.verdict import State, Verdict
from provenance.words import (
    action_words,
    date_of,
    headline_words,
    identity_words,
    ledger_words,
    match_words,
    signer_words,
    standing_words,
    synthetic_words,
    time_words,
    what_words,
)

_WORDS = {
    State.TRUSTED: ("good", "Trusted"),
    State.VALID_UNKNOWN_SIGNER: ("open", "Valid, signer not trusted"),
    State.TAMPERED: ("bad", "Tampered"),
    State.EXPIRED: ("bad", "Expired"),
    State.NO_CREDENTIAL: ("none", "No credential"),
    State.NOT_CHECKED: ("open", "Could not check"),
}

_RELATIONS = {"parentOf": "edited into this", "componentOf": "placed into this", "inputTo": "input to this"}
_RULES = {"allowed": "allowed", "notAllowed": "not allowed", "constrained": "with conditions"}
_TONES = {"trusted": "good", "valid": "open", "failed": "bad"}
_MOST_STEPS = 50


def verdict_page(
    verdicts: Sequence[Verdict], pictures: Sequence[Mapping[str, bytes]] = (), own_log: str = ""
) -> str:
    """The page as text. Everything that comes from a file is escaped; nothing is loaded from elsewhere.

    Args:
        pictures: for each verdict what :func:`provenance.pages.thumbnails.pictures_of` gave.
        own_log: the origin of the log that is kept on this machine, or empty.
    """
    shown = [*pictures, *({} for _ in verdicts)]
    cards = [verdict_card(verdict, one, own_log) for verdict, one in zip(verdicts, shown, strict=False)]
    return render("verdict.html", shown=cards)


def inline(jpeg: bytes) -> str:
    """A picture as an address that holds it."""
    return Markup("data:image/jpeg;base64," + base64.b64encode(jpeg).decode())  # noqa: S704 - base64 holds no markup


def verdict_card(
    verdict: Verdict,
    pictures: Mapping[str, bytes],
    own_log: str = "",
    *,
    show: Callable[[bytes], str] = inline,
    record_link: Callable[[int], str] = lambda _: "",
) -> dict[str, Any]:
    """What ``verdict_card.html`` shows of a verdict, in the words of the terminal.

    Args:
        pictures, own_log: as for :func:`verdict_page`.
        show: gives the address of a JPEG.
        record_link: gives the address of a record of the own log by its index, or nothing.
    """
    tone, word = _WORDS[verdict.state]
    if verdict.synthetic:
        word = synthetic_words(verdict)
        tone = tone if tone == "bad" else "synthetic"
    rows = [("Title", verdict.title)]
    if verdict.signer:
        said = f"{signer_words(verdict.signer)}; key {verdict.signer.key_id[:16]}"
        rows.append(("Signer", f"{verdict.signer.name} ({said})"))
    for one in verdict.identities:
        rows.append(("Identity", f"{one.name} ({identity_words(one)})"))
    rows += [("Time", f"{time.value} ({time_words(time)})") for time in verdict.times]
    rows.append(("What", what_words(verdict.relation, verdict.source_type, verdict.media_type)))
    rows += [(FACTS[name].capitalize(), value) for name, value in verdict.stated.items()]
    rows += [("Action", action_words(action)) for action in verdict.actions]
    rows += [("Use", words) for words in _use_words(verdict.training)]
    rows.append(("Ledger", ledger_words(verdict, own_log)))
    rows.append(("SHA-256", verdict.sha256))
    marks = {True: "passed", False: "failed", None: "open"}
    return {
        "tone": tone,
        "word": word,
        "path": verdict.path,
        "headline": headline_words(verdict),
        "picture": _picture(pictures, [""], show),
        "warnings": verdict.warnings,
        "rows": [(label, value) for label, value in rows if value],
        "checks": [(marks[check.passed], check.name, check.detail) for check in verdict.checks],
        "made_from": _made_from(verdict.ingredients, pictures, show),
        "similar": [
            {
                "number": one.index,
                "href": record_link(one.index),
                "match": match_words(one),
                "what": what_words(one.relation, ""),
                "signer": one.signer_name,
                "trusted": one.signer_trusted,
                "time": one.logged_at,
                "outline": one.outline,
            }
            for one in verdict.similar
        ],
    }


def _made_from(
    ingredients: Sequence[dict[str, Any]], pictures: Mapping[str, bytes], show: Callable[[bytes], str]
) -> list[dict[str, Any]]:
    """What the file was made from, and what that was made from, with pictures where a manifest kept them."""
    steps = []
    for one in ingredients[:_MOST_STEPS]:
        manifest = one.get("manifest") or {}
        said = [
            _RELATIONS.get(one.get("relationship") or "", ""),
            standing_words(one),
            manifest.get("time") or date_of(one),
            *(action_words(action) for action in (manifest.get("actions") or ())[:_MOST_STEPS]),
        ]
        for failure in (one.get("failures") or ())[:3]:
            said.append(f"does not verify: {failure.get('explanation') or failure.get('code')}")
        steps.append(
            {
                "title": one.get("title") or "unnamed",
                "tone": _TONES.get(one.get("standing") or "", "none"),
                "picture": _picture(pictures, picture_of(one), show),
                "lines": [str(text) for text in said if text],
                "made_from": _made_from(manifest.get("ingredients") or (), pictures, show),
            }
        )
    return steps


def _picture(pictures: Mapping[str, bytes], names: Sequence[str], show: Callable[[bytes], str]) -> str | None:
    """The address of the first of these pictures that is there."""
    data = next((pictures[name] for name in names if name in pictures), None)
    return show(data) if data else None


def _use_words(training: Mapping[str, str]) -> list[str]:
    """What machines may learn from it, one line for each rule."""
    by_rule: dict[str, list[str]] = {}
    for use, rule in training.items():
        words = use.replace("_", " ")
        by_rule.setdefault(rule, []).append(f"AI{words[2:]}" if words.startswith("ai ") else words)
    return [f"{', '.join(uses)}: {_RULES.get(rule, rule)}" for rule, uses in by_rule.items()]

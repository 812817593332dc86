"""How verdicts and look-ups are printed for people."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import islice

from provenance.commands.support.console import say, whole
from provenance.manifest.stated import FACTS
from provenance.manifest.tree import branches, walk
from provenance.verdict import SimilarRecord, State, TimeKind, Verdict
from provenance.words import (
    headline_words,
    identity_words,
    ingredient_words,
    ledger_words,
    match_figures,
    match_words,
    parent_words,
    signer_words,
    synthetic_words,
    time_words,
    what_words,
)

_MARKS = {
    State.TRUSTED: ("green", "✔", "TRUSTED"),
    State.VALID_UNKNOWN_SIGNER: ("yellow", "●", "VALID, SIGNER NOT TRUSTED"),
    State.TAMPERED: ("red", "✘", "TAMPERED"),
    State.EXPIRED: ("red", "✘", "EXPIRED"),
    State.NO_CREDENTIAL: ("cyan", "○", "NO CREDENTIAL"),
    State.NOT_CHECKED: ("magenta", "?", "COULD NOT CHECK"),
}
_FAILED = (State.TAMPERED, State.EXPIRED)
MAX_SIMILAR_SHOWN, MAX_INGREDIENTS_SHOWN = 10, 40
_LABEL = 11


def show_verdict(verdict: Verdict, depth: int, own_log: str = "") -> None:
    """Print a verdict in one of three depths: 0 one line, 1 summary in plain words, 2 everything, with codes.

    Args:
        own_log: the origin of the log that is kept on this machine, or empty.
    """
    colour, mark, word = _MARKS[verdict.state]
    if verdict.synthetic:
        word = whole(synthetic_words(verdict))
        if verdict.state not in _FAILED:
            colour, mark = "magenta", "◆"
    head = ((f"{mark} {word}", f"bold {colour}"), "  ", (whole(verdict.path), "bold"))
    if depth == 0:
        say(*head, f"  {headline_words(verdict)}")
        return
    say(*head)
    rows = _summary(verdict, depth, own_log) + (_details(verdict) if depth >= 2 else [])
    for label, value in rows:
        say("  ", (f"{label:<{_LABEL}}", "dim"), value)
    for warning in verdict.warnings:
        say("  ", ("warning:", "yellow"), f" {warning}", indent=4)
    show_similar(verdict.similar, verbose=depth >= 2, hint="add -v")


def show_similar(
    records: list[SimilarRecord], *, verbose: bool, hint: str = "", titles: Mapping[int, str] | None = None
) -> None:
    """Print records in log order, the first ten of them unless ``verbose``, with the titles known by index."""
    if not records:
        return
    shown = records if verbose or not hint else records[:MAX_SIMILAR_SHOWN]
    say("  records in log order")
    for record in shown:
        label = f"  no. {record.index:<{_LABEL - 4}}"
        trusted = "you trust this signer" if record.signer_trusted else "name not confirmed"
        what = what_words(record.relation, "")
        title = (titles or {}).get(record.index, "")
        named = f"“{title}”; " if title else ""
        said = f"{named}{match_words(record)}; {what}; {whole(record.signer_name)} ({trusted}), {record.logged_at}"
        say((label, "dim"), said, indent=_LABEL + 2)
        if verbose:
            say(
                f"{'':<{_LABEL + 2}}",
                (f"{match_figures(record)}; {record.relation}", "dim"),
                indent=_LABEL + 2,
            )
            say(f"{'':<{_LABEL + 2}}", (record.file_sha256, "dim"), indent=_LABEL + 2)
    if len(shown) < len(records):
        say(f"  … and {len(records) - len(shown)} more; {hint}")


def _summary(verdict: Verdict, depth: int, own_log: str) -> list[tuple[str, str]]:
    codes = depth >= 2
    rows = [("verdict", headline_words(verdict))]
    if verdict.signer:
        key = f"; key {verdict.signer.key_id[:16]}" if codes else ""
        rows.append(("signer", f"{whole(verdict.signer.name)}  ({signer_words(verdict.signer)}{key})"))
    for one in verdict.identities:
        rows.append(("identity", f"{whole(one.name)}  ({identity_words(one)})"))
    times = verdict.times
    if not codes and any(time.kind is not TimeKind.RECORD for time in times):
        times = [time for time in times if time.kind is not TimeKind.RECORD]
    for time in times if codes else times[:2]:
        rows.append(("when", f"{time.value}  ({time_words(time)}{f'; {time.kind}' if codes else ''})"))
    what = what_words(verdict.relation, verdict.source_type, verdict.media_type)
    if what:
        named = [one for one in (verdict.relation, verdict.source_type.rsplit("/", 1)[-1]) if one]
        rows.append(("what", f"{what}  ({'; '.join(named)})" if codes else what))
    for node in islice(walk(verdict.ingredients), None if codes else MAX_INGREDIENTS_SHOWN):
        label = "" if node.depth else "made from"
        rows.append((label, branches(node) + ingredient_words(node.ingredient)))
        if codes:
            rows.append(("", _ingredient_codes(node.ingredient)))
    for parent in verdict.parents:
        if "index" in parent:
            rows.append(("made from", parent_words(parent)))
    rows.append(("ledger", ledger_words(verdict, own_log)))
    if codes and verdict.ledger:
        rows.append(("", f"{verdict.ledger_status}: {verdict.ledger['origin']}"))
    return [(label, value) for label, value in rows if value]


def _details(verdict: Verdict) -> list[tuple[str, str]]:
    rows = [
        ("sha256", verdict.sha256),
        ("format", verdict.media_type),
        ("credential", verdict.credential),
        ("title", verdict.title),
    ]
    rows += [(FACTS[name], value) for name, value in verdict.stated.items()]
    rows += [("action", describe_action(action)) for action in verdict.actions]
    rows += [("training", f"{use}: {rule}") for use, rule in verdict.training.items()]
    rows += [("parent", describe_parent(parent)) for parent in verdict.parents]
    marks = {True: "passed", False: "FAILED", None: "open"}
    rows += [
        (
            "check",
            f"{marks[check.passed]}: {check.name}: {check.detail}{f' [{check.code}]' if check.code else ''}",
        )
        for check in verdict.checks
    ]
    return [(label, value) for label, value in rows if value]


def _ingredient_codes(ingredient: Mapping[str, object]) -> str:
    parts = [str(ingredient.get("relationship") or ""), str(ingredient.get("manifest_label") or "")]
    if ingredient.get("sha256"):
        parts.append(f"SHA-256 {ingredient['sha256']}")
    return "; ".join(part for part in parts if part)


def describe_parent(parent: dict[str, object]) -> str:
    line = f"sha256 {parent.get('sha256', '')}"
    if "index" in parent:
        line += f"  ({parent['relation']} by {parent['signer_name']}, record no. {parent['index']})"
    return line


def describe_action(action: dict[str, object]) -> str:
    parts = [str(action.get("action", ""))]
    source = str(action.get("digital_source_type") or "").rsplit("/", 1)[-1]
    if source:
        parts.append(f"({source})")
    if action.get("description"):
        parts.append(str(action["description"]))
    return " ".join(parts)

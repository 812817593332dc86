"""A verdict as one self-contained HTML page, for people who do not use a terminal."""

from __future__ import annotations

import base64
import html
from collections.abc import Mapping, Sequence
from typing import Any

from provenance.pages.thumbnails import picture_of
from provenance.verdict import SimilarRecord, State, Verdict

_WORDS = {
    State.TRUSTED: ("good", "Trusted"),
    State.VALID_UNKNOWN_SIGNER: ("open", "Valid, signer not trusted"),
    State.TAMPERED: ("bad", "Tampered"),
    State.NO_CREDENTIAL: ("none", "No credential"),
    State.NOT_CHECKED: ("open", "Could not check"),
}

_RELATIONS = {"parentOf": "edited into this", "componentOf": "placed into this", "inputTo": "input to this"}
_MOST_STEPS = 50


def render(verdicts: Sequence[Verdict], pictures: Sequence[Mapping[str, bytes]] = ()) -> str:
    """The page as text. Everything that comes from a file is escaped; nothing is loaded from elsewhere.

    Args:
        pictures: for each verdict what :func:`provenance.pages.thumbnails.pictures_of` gave.
    """
    shown = [*pictures, *({} for _ in verdicts)]
    return _PAGE.format(cards="".join(map(_card, verdicts, shown)))


def _card(verdict: Verdict, pictures: Mapping[str, bytes]) -> str:
    kind, word = _WORDS[verdict.state]
    rows: list[tuple[str, str]] = []
    rows.append(("Title", verdict.title))
    if verdict.signer:
        claim = "vouched for by an anchor you trust" if verdict.signer.trusted else "claimed name"
        rows.append(("Signer", f"{verdict.signer.name} ({claim}; key {verdict.signer.key_id[:16]})"))
    rows += [("Time", f"{time.value} ({time.kind})") for time in verdict.times]
    rows += [("What", " / ".join(part for part in (verdict.relation, verdict.source_type) if part))]
    rows += [("Action", _action(action)) for action in verdict.actions]
    place = f"{verdict.ledger['origin']}, entry {verdict.ledger['index']}" if verdict.ledger else ""
    rows.append(("Ledger", " ".join((verdict.standing.value.replace("-", " "), place)).strip()))
    rows.append(("SHA-256", verdict.sha256))
    marks = {True: "passed", False: "failed", None: "open"}
    checks = "".join(
        f"<li class={marks[check.passed]}><b>{_e(check.name)}</b> {_e(check.detail)}</li>"
        for check in verdict.checks
    )
    warnings = "".join(f"<p class=warning>{_e(text)}</p>" for text in verdict.warnings)
    table = "".join(f"<tr><th>{_e(label)}<td>{_e(value)}</tr>" for label, value in rows if value)
    return (
        f"<article class={kind}><h2><span>{word}</span> {_e(verdict.path)}</h2>"
        f"{_picture(pictures, [''])}<p>{_e(verdict.headline)}</p>"
        f"{warnings}<table>{table}</table><h3>Checks</h3><ul>{checks or '<li class=open>nothing to check</li>'}</ul>"
        f"{_chain(verdict.ingredients, pictures)}{_similar(verdict.similar)}</article>"
    )


def _chain(ingredients: Sequence[dict[str, Any]], pictures: Mapping[str, bytes], depth: int = 0) -> str:
    """What the file was made from, and what that was made from, with pictures where a manifest kept them."""
    if not ingredients:
        return ""
    steps = []
    for one in ingredients[:_MOST_STEPS]:
        manifest = one.get("manifest") or {}
        said = [
            _RELATIONS.get(one.get("relationship") or "", ""),
            f"signed as {manifest['signer']}" if manifest.get("signer") else "",
            manifest.get("time") or "",
            *(_action(action) for action in (manifest.get("actions") or ())[:_MOST_STEPS]),
        ]
        if not one.get("has_manifest"):
            said.append("carries no manifest")
        for failure in (one.get("failures") or ())[:3]:
            said.append(f"does not verify: {failure.get('explanation') or failure.get('code')}")
        lines = "".join(f"<br>{_e(text)}" for text in said if text)
        inner = _chain(manifest.get("ingredients") or (), pictures, depth + 1)
        title = _e(one.get("title") or "unnamed")
        steps.append(f"<li>{_picture(pictures, picture_of(one))}<b>{title}</b>{lines}{inner}</li>")
    head = "" if depth else "<h3>Made from</h3>"
    return f"{head}<ul class=chain>{''.join(steps)}</ul>"


def _picture(pictures: Mapping[str, bytes], names: Sequence[str]) -> str:
    for name in names:
        if name in pictures:
            data = base64.b64encode(pictures[name]).decode()
            return f"<img alt='' src='data:image/jpeg;base64,{data}'>"
    return ""


def _similar(records: Sequence[SimilarRecord]) -> str:
    if not records:
        return ""
    rows = "".join(
        f"<tr><td>{record.index}<td>{_e(record.match)}<td>{_e(record.relation)}<td>{_e(record.signer_name)}"
        f"{'' if record.signer_trusted else ' (claimed)'}<td>{_e(record.logged_at)}{_outline(record)}</tr>"
        for record in records
    )
    head = "<tr><th>entry<th>match<th>what<th>signer<th>logged<th>part of the original</tr>"
    return f"<h3>Records in log order</h3><div class=scroll><table class=wide>{head}{rows}</table></div>"


def _outline(record: SimilarRecord) -> str:
    """A small drawing of where this picture's content lies in the recorded one."""
    if not record.outline:
        return "<td>"
    points = " ".join(f"{60 * x:.1f},{40 * y:.1f}" for x, y in record.outline)
    return (
        "<td><svg viewBox='-4 -4 68 48' width=68 height=48 role=img aria-label='part of the original'>"
        "<rect width=60 height=40 fill=none stroke=currentColor opacity=.4 />"
        f"<polygon points='{points}' fill=currentColor fill-opacity=.25 stroke=currentColor /></svg>"
    )


def _action(action: dict[str, Any]) -> str:
    parts = (action.get("action"), action.get("digital_source_type"), action.get("description"))
    return " / ".join(str(part) for part in parts if part)


def _e(text: str) -> str:
    return html.escape(str(text)[:2000])


_PAGE = """<!doctype html>
<html lang=en><head><meta charset=utf-8><meta name=viewport content="width=device-width, initial-scale=1">
<title>veilmark verdict</title>
<style>
:root {{ --paper:#fbfaf7; --ink:#1d2327; --soft:#6b7378; --line:#dfdcd3; --card:#fff;
 --good:#1b7f4b; --bad:#b3261e; --open:#9a6700; --none:#37617a }}
@media (prefers-color-scheme: dark) {{ :root {{ --paper:#14171a; --ink:#e8e6e1; --soft:#9aa3a8; --line:#2c3237;
 --card:#1c2125; --good:#5fd08f; --bad:#ff8a80; --open:#e3b341; --none:#8fc1de }} }}
body {{ margin:0; background:var(--paper); color:var(--ink); font:16px/1.5 system-ui,sans-serif }}
main {{ max-width:52rem; margin:0 auto; padding:1.5rem 1rem 3rem }}
article {{ background:var(--card); border:1px solid var(--line); border-left:6px solid var(--soft);
 border-radius:.7rem; padding:.4rem 1.2rem 1rem; margin:1.2rem 0; overflow-wrap:anywhere }}
h2 {{ font-size:1.1rem }} h2 span {{ margin-right:.6rem }} h3 {{ font-size:.9rem; color:var(--soft) }}
.good {{ border-left-color:var(--good) }} .good h2 span {{ color:var(--good) }}
.bad {{ border-left-color:var(--bad) }} .bad h2 span {{ color:var(--bad) }}
.open {{ border-left-color:var(--open) }} .open h2 span {{ color:var(--open) }}
.none {{ border-left-color:var(--none) }} .none h2 span {{ color:var(--none) }}
th {{ text-align:left; vertical-align:top; color:var(--soft); font-weight:500; padding:.15rem 1rem .15rem 0;
 white-space:nowrap }} .wide td {{ padding-right:1rem }} .scroll {{ overflow-x:auto }}
img {{ float:right; max-width:9rem; max-height:9rem; margin:0 0 .5rem 1rem; border-radius:.4rem }}
.chain .chain {{ clear:both }} .chain li {{ overflow:hidden; margin:.4rem 0 }}
.chain {{ list-style:none; padding:0 0 0 1rem; border-left:2px solid var(--line) }}
.warning {{ color:var(--open); font-weight:600 }} ul {{ padding-left:1.1rem }}
li.failed b {{ color:var(--bad) }} li.passed b {{ color:var(--good) }}
@media print {{ body {{ background:#fff; color:#000 }} article {{ break-inside:avoid }} }}
</style></head><body><main><h1>veilmark</h1>
<p>Who claims what about a file, and what could be checked. It does not say that a picture is true.</p>
{cards}</main></body></html>
"""

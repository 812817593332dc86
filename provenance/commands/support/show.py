"""How verdicts and look-ups are printed for people."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import islice

from rich.markup import escape
from rich.table import Table

from provenance.commands.support.console import clean, stdout
from provenance.manifest.tree import branches, ingredient_line, walk
from provenance.verdict import LedgerStatus, SimilarRecord, State, Verdict

_MARKS = {
    State.TRUSTED: ("green", "✔", "TRUSTED"),
    State.VALID_UNKNOWN_SIGNER: ("yellow", "●", "VALID, SIGNER NOT TRUSTED"),
    State.TAMPERED: ("red", "✘", "TAMPERED"),
    State.EXPIRED: ("red", "✘", "EXPIRED"),
    State.NO_CREDENTIAL: ("cyan", "○", "NO CREDENTIAL"),
    State.NOT_CHECKED: ("magenta", "?", "COULD NOT CHECK"),
}
_LEDGER_WORDS = {
    LedgerStatus.NONE: "no ledger record",
    LedgerStatus.UNKNOWN_LOG: "recorded in a log you do not trust",
    LedgerStatus.LOGGED: "recorded in a log you trust",
    LedgerStatus.PENDING: "recorded; its anchor on the chain is pending",
    LedgerStatus.ANCHOR_NOT_CHECKED: "recorded; its anchor on the chain was not checked (offline)",
    LedgerStatus.ANCHORED_BY_RPC: "recorded and, according to the RPC, anchored on the chain",
    LedgerStatus.ANCHORED: "recorded and anchored on the chain",
    LedgerStatus.MISMATCH: "the receipt does not belong to this file",
}
MAX_SIMILAR_SHOWN = 10
MAX_INGREDIENTS_SHOWN = 40


def show_verdict(verdict: Verdict, depth: int) -> None:
    """Print a verdict in one of three depths: 0 one line, 1 summary, 2 everything."""
    colour, mark, word = _MARKS[verdict.state]
    console = stdout()
    head = f"[bold {colour}]{mark} {word}[/]  [bold]{_text(verdict.path)}[/]"
    if depth == 0:
        console.print(f"{head}  {_text(verdict.headline)}")
        return
    console.print(head)
    grid = Table.grid(padding=(0, 2))
    grid.add_column(style="dim", no_wrap=True)
    grid.add_column(overflow="fold")
    for label, value in _summary(verdict):
        grid.add_row(f"  {label}", _text(value, 400))
    if depth >= 2:
        for label, value in _details(verdict):
            grid.add_row(f"  {label}", _text(value, 400))
    console.print(grid)
    for warning in verdict.warnings:
        console.print(f"  [yellow]warning:[/] {_text(warning, 400)}")
    show_similar(verdict.similar, all_of_them=depth >= 2)


def show_similar(
    records: list[SimilarRecord], *, all_of_them: bool, titles: Mapping[int, str] | None = None
) -> None:
    """Print records in log order, with the titles that are known by their index."""
    if not records:
        return
    shown = records if all_of_them else records[:MAX_SIMILAR_SHOWN]
    table = Table(box=None, padding=(0, 2), title="  records in log order", title_justify="left")
    named = ("title",) if titles else ()
    for column in ("entry", *named, "match", "what", "signer", "logged", "file"):
        table.add_column(column, style="dim" if column == "file" else "", overflow="fold")
    for record in shown:
        how = (
            record.match if record.distance is None else f"{record.match} ({record.distance}/256 bits differ)"
        )
        if record.offset_seconds is not None:
            how += f", from {round(record.offset_seconds, 1) + 0.0:.1f} s"  # never -0.0
        if not record.confirmed:
            how += ", not confirmed by geometry"
        if record.transform not in ("", "upright"):
            how += f", {record.transform}"
        name = record.signer_name if record.signer_trusted else f"{record.signer_name} (claimed)"
        title = ((titles or {}).get(record.index, ""),) if titles else ()
        cells = (
            str(record.index),
            *title,
            how,
            record.relation,
            name,
            record.logged_at,
            record.file_sha256[:12],
        )
        table.add_row(*(_text(cell) for cell in cells))
    stdout().print(table)
    if len(shown) < len(records):
        stdout().print(f"  … and {len(records) - len(shown)} more; add -v")


def _summary(verdict: Verdict) -> list[tuple[str, str]]:
    rows = [("verdict", verdict.headline)]
    if verdict.signer:
        kind = {True: "its certificate chains to an anchor you trust", None: "claimed name; not judged"}.get(
            verdict.signer.trusted, "claimed name"
        )
        rows.append(("signer", f"{verdict.signer.name}  ({kind}; key {verdict.signer.key_id[:16]})"))
    for one in verdict.identities:
        confirmation = "confirmed" if one.confirmed else "not confirmed"
        rows.append(("identity", f"{one.name}  (issued by {one.issuer or 'nobody named'}; {confirmation})"))
    for time in verdict.times[:2]:
        rows.append(("when", f"{time.value}  ({time.words})"))
    if verdict.relation or verdict.source_type:
        rows.append(
            ("what", "; ".join(part for part in (verdict.relation, _short(verdict.source_type)) if part))
        )
    for node in islice(walk(verdict.ingredients), MAX_INGREDIENTS_SHOWN):
        label = "" if node.depth else "made from"
        rows.append((label, branches(node) + ingredient_line(node.ingredient)))
    rows.append(("ledger", _ledger_line(verdict)))
    return rows


def _details(verdict: Verdict) -> list[tuple[str, str]]:
    rows = [
        ("sha256", verdict.sha256),
        ("format", verdict.media_type),
        ("credential", verdict.credential),
        ("title", verdict.title),
    ]
    rows += [("when", f"{time.value}  ({time.words})") for time in verdict.times[2:]]
    rows += [("action", describe_action(action)) for action in verdict.actions]
    rows += [("training", f"{use}: {rule}") for use, rule in verdict.training.items()]
    rows += [("parent", describe_parent(parent)) for parent in verdict.parents]
    marks = {True: "passed", False: "FAILED", None: "open"}
    rows += [
        ("check", f"{marks[check.passed]}: {check.name}: {check.detail}{_code(check.code)}")
        for check in verdict.checks
    ]
    return [(label, value) for label, value in rows if value]


def describe_parent(parent: dict[str, object]) -> str:
    line = f"sha256 {parent.get('sha256', '')}"
    if "index" in parent:
        line += f"  ({parent['relation']} by {parent['signer_name']}, ledger entry {parent['index']})"
    return line


def describe_action(action: dict[str, object]) -> str:
    parts = [str(action.get("action", ""))]
    source = _short(str(action.get("digital_source_type") or ""))
    if source:
        parts.append(f"({source})")
    if action.get("description"):
        parts.append(str(action["description"]))
    return " ".join(parts)


def _ledger_line(verdict: Verdict) -> str:
    line = _LEDGER_WORDS[verdict.ledger_status]
    if verdict.ledger and verdict.ledger_status is not LedgerStatus.MISMATCH:
        line += f": {verdict.ledger['origin']} entry {verdict.ledger['index']}"
    return line


def _code(code: str) -> str:
    return f" [{code}]" if code else ""


def _short(uri: str) -> str:
    return uri.rsplit("/", 1)[-1]


def _text(value: str, limit: int = 200) -> str:
    return escape(clean(str(value), limit))

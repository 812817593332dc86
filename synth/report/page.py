"""A report as one self-contained HTML page: readable on a phone, in the dark, printed, and without a network.

Its content security policy forbids everything but its own style, its embedded pictures and one small script, which is
named by its hash and only moves the sliders, and opens what is folded when the page is printed; without it the pictures
still stand side by side.
"""

from __future__ import annotations

import base64
import hashlib
import html
import json
from typing import Any

from synth.report.curve import draw
from synth.report.document import Gallery, Report, Shot, Table

_SCRIPT = (
    "document.querySelectorAll('.slider input').forEach(function(i){i.addEventListener('input',function(){"
    "i.parentNode.style.setProperty('--at',i.value+'%')})});"
    # paper cannot be opened: what is folded is opened for printing, and only that is folded again afterwards
    "var opened=[];addEventListener('beforeprint',function(){opened=[].slice.call(document.querySelectorAll("
    "'details:not([open])'));opened.forEach(function(d){d.open=true})});"
    "addEventListener('afterprint',function(){opened.forEach(function(d){d.open=false})})"
)
_KINDS = {b"\xff\xd8": "image/jpeg", b"\x89P": "image/png"}
_LONGEST = 4000


def render(report: Report) -> str:
    """The page. Everything that is not the page's own text is escaped."""
    summary = "".join(f"<p>{_e(one)}</p>" for one in report.summary)
    limits = "".join(f"<li>{_e(one)}</li>" for one in report.limits)
    parts = [
        f"<header><p class=kind>veilmark measure {_e(report.kind)}</p><h1>{_e(report.title)}</h1>"
        f"<p class=headline>{_e(report.headline)}</p>{summary}</header>",
        *(_table(one) for one in report.tables),
        *(_curve(one.title, draw(one), one.note) for one in report.curves),
        *(_gallery(one) for one in report.galleries),
        f"<section class=limits><h2>What this does not show</h2><ul>{limits}</ul></section>",
        _facts(report),
    ]
    digest = base64.b64encode(hashlib.sha256(_SCRIPT.encode()).digest()).decode()
    policy = (
        "default-src 'none'; img-src data:; style-src 'unsafe-inline'; "
        f"script-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'"
    )
    return (
        "<!doctype html>\n<html lang=en><head><meta charset=utf-8>"
        f'<meta http-equiv="Content-Security-Policy" content="{policy}">'
        '<meta name=viewport content="width=device-width, initial-scale=1"><meta name=referrer content=no-referrer>'
        f"<title>{_e(report.title)}</title><style>{_STYLE}</style></head>"
        f"<body><main>{''.join(parts)}</main><script>{_SCRIPT}</script></body></html>\n"
    )


def _table(table: Table) -> str:
    head = "".join(f"<th scope=col>{_e(name)}" for name in table.columns)
    rows = "".join(_row(row, len(table.columns)) for row in table.rows)
    note = f"<p class=note>{_e(table.note)}</p>" if table.note else ""
    body = (
        f"{note}<div class=scroll tabindex=0 role=region aria-label='{_e(table.title)}'>"
        f"<table><thead><tr>{head}</thead><tbody>{rows}</tbody></table></div>"
    )
    heading = f"<h2>{_e(table.title)}</h2>"
    if table.folded:
        return f"<section><details><summary>{heading}</summary>{body}</details></section>"
    return f"<section>{heading}{body}</section>"


def _row(row: tuple[str, ...], columns: int) -> str:
    if len(row) == 1 and columns > 1:
        return f"<tr class=group><th colspan={columns} scope=rowgroup><span>{_e(row[0])}</span></tr>"
    first, *rest = row
    return f"<tr><th scope=row>{_e(first)}" + "".join(f"<td>{_e(cell)}" for cell in rest) + "</tr>"


def _curve(title: str, drawn: str, note: str) -> str:
    said = f"<p class=note>{_e(note)}</p>" if note else ""
    return f"<section class=figure><h2>{_e(title)}</h2>{said}{drawn}</section>"


def _gallery(gallery: Gallery) -> str:
    shots = [one for one in gallery.shots if _kind(one) is not None]
    slider = ""
    if gallery.slider and len(shots) >= 2:
        left, right = shots[:2]
        slider = (
            "<figure class=slider><div class=stage>"
            f"<img alt='{_e(left.label)}' src='{_uri(left)}'>"
            f"<img class=over alt='{_e(right.label)}' src='{_uri(right)}'></div>"
            "<input type=range min=0 max=100 value=50 aria-label='Move the edge between the two pictures'>"
            f"<figcaption>left of the edge: {_e(left.label)}; right of it: {_e(right.label)}</figcaption></figure>"
        )
    tiles = "".join(
        f"<figure><img loading=lazy alt='{_e(one.label)}' src='{_uri(one)}'><figcaption>{_e(one.label)}</figcaption>"
        "</figure>"
        for one in shots
    )
    note = f"<p class=note>{_e(gallery.note)}</p>" if gallery.note else ""
    return f"<section><h2>{_e(gallery.title)}</h2>{note}{slider}<div class=tiles>{tiles}</div></section>"


def _facts(report: Report) -> str:
    facts: dict[str, Any] = {
        "made": report.made,
        "device": report.device,
        "time": f"{report.seconds:.0f} s of work",
        "seeds": ", ".join(str(one) for one in report.seeds),
        "versions": ", ".join(f"{name} {version}" for name, version in report.versions.items()),
    }
    facts |= {name: value for name, value in report.configuration.items() if name not in facts}
    rows = "".join(
        f"<tr><th scope=row>{_e(name)}<td>{_e(_plain(value))}</tr>" for name, value in facts.items()
    )
    return (
        "<section><h2>Exactly what was done</h2><div class=scroll tabindex=0 role=region aria-label='configuration'>"
        f"<table class=facts><tbody>{rows}</tbody></table></div>"
        "<p class=note>The same command with the same files gives the same figures; every one of them is in "
        "report.json beside this page.</p></section>"
    )


def _kind(shot: Shot) -> str | None:
    return _KINDS.get(shot.data[:2])


def _uri(shot: Shot) -> str:
    return f"data:{_kind(shot)};base64,{base64.b64encode(shot.data).decode()}"


def _plain(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)


def _e(text: str) -> str:
    whole = str(text)
    return html.escape(whole if len(whole) <= _LONGEST else whole[:_LONGEST] + " …")


_STYLE = """
:root{color-scheme:light dark;--paper:#fbfaf7;--ink:#1d2327;--soft:#5d666b;--line:#dfdcd3;--card:#fff;--warn:#8a5a00;
--c0:#1a6b9a;--c1:#c2410c;--c2:#6b7280;--c3:#15803d;--c4:#7e22ce;--c5:#a16207}
@media (prefers-color-scheme:dark){:root{--paper:#14171a;--ink:#e8e6e1;--soft:#a3acb1;--line:#2f363b;--card:#1c2125;
--warn:#e3b341;--c0:#6cb8e6;--c1:#ff9d66;--c2:#aab2bd;--c3:#6fd695;--c4:#cf9bff;--c5:#e5c15a}}
*{box-sizing:border-box}
body{margin:0;background:var(--paper);color:var(--ink);font:16px/1.55 system-ui,-apple-system,sans-serif}
main{max-width:60rem;margin:0 auto;padding:1.2rem 1rem 3rem}
.kind{color:var(--soft);margin:0;font-size:.85rem;letter-spacing:.03em}
h1{font-size:1.5rem;line-height:1.25;margin:.2rem 0 .8rem}h2{font-size:1.08rem;margin:0 0 .5rem}
.headline{font-size:1.12rem;border-left:5px solid var(--c0);padding-left:.9rem;margin:1rem 0}
section{background:var(--card);border:1px solid var(--line);border-radius:.7rem;padding:1rem 1.1rem;margin:1.1rem 0}
summary{cursor:pointer}summary h2{display:inline;margin:0}details[open] summary{margin-bottom:.5rem}
.note{color:var(--soft);font-size:.88rem;margin:.2rem 0 .6rem}
.scroll{overflow-x:auto}.scroll:focus-visible{outline:2px solid var(--c0)}
table{border-collapse:collapse;font-size:.88rem;font-variant-numeric:tabular-nums;min-width:100%}
th,td{text-align:right;padding:.32rem .55rem;border-bottom:1px solid var(--line);vertical-align:top}
th{font-weight:600}thead th{color:var(--soft);vertical-align:bottom}tbody th{font-weight:500}
th:first-child{text-align:left;position:sticky;left:0;background:var(--card);min-width:7.2rem;max-width:12rem;
overflow-wrap:break-word}
td{white-space:nowrap}
.group th{color:var(--soft);padding-top:.8rem;max-width:none;font-weight:600}
.facts td{text-align:left;white-space:normal;overflow-wrap:anywhere}.facts th{vertical-align:top;white-space:nowrap}
.limits{border-left:5px solid var(--warn)}.limits ul{padding-left:1.1rem;margin:.3rem 0}.limits li{margin:.35rem 0}
.curve{width:100%;max-width:40rem;height:auto;display:block}
.curve text{font-size:11.5px;fill:var(--soft)}.curve .end{text-anchor:end}.curve .mid{text-anchor:middle}
.grid{stroke:var(--line)}.line{fill:none;stroke-width:2}.bar{stroke-width:1.4;opacity:.55}.mark{stroke:none}
.l0{stroke:var(--c0)}.l1{stroke:var(--c1)}.l2{stroke:var(--c2)}.l3{stroke:var(--c3)}.l4{stroke:var(--c4)}
.l5{stroke:var(--c5)}.mark.l0{fill:var(--c0)}.mark.l1{fill:var(--c1)}.mark.l2{fill:var(--c2)}.mark.l3{fill:var(--c3)}
.mark.l4{fill:var(--c4)}.mark.l5{fill:var(--c5)}
.legend{font-size:.88rem;margin:.5rem 0 0}.legend span{margin-right:1.1rem;white-space:nowrap;display:inline-block}
.legend svg{vertical-align:middle}
.tiles{display:grid;grid-template-columns:repeat(auto-fill,minmax(min(100%,15rem),1fr));gap:.8rem}
figure{margin:0}figure img{width:100%;height:auto;display:block;border-radius:.4rem}
figcaption{font-size:.84rem;color:var(--soft);margin-top:.25rem}
.slider{--at:50%;max-width:34rem;margin-bottom:1rem}.stage{position:relative}
.stage .over{position:absolute;inset:0;height:100%;clip-path:inset(0 0 0 var(--at))}
.stage::after{content:"";position:absolute;top:0;bottom:0;left:var(--at);width:2px;background:#fff;
box-shadow:0 0 3px #000}
.slider input{width:100%;height:2rem;margin:.2rem 0;accent-color:var(--c0)}
@media print{body{background:#fff;color:#000;font-size:11pt}main{max-width:none;padding:0}
section{break-inside:avoid;border-color:#bbb;padding:.6rem}.slider{display:none}.scroll{overflow:visible}
table{font-size:8.5pt}th,td{padding:.15rem .2rem}td{white-space:normal}
th:first-child{position:static;min-width:4.7rem;max-width:7rem;overflow-wrap:anywhere}
.tiles{grid-template-columns:repeat(3,1fr)}.curve{max-width:32rem}
:root{color-scheme:light;--paper:#fff;--ink:#000;--soft:#444;--line:#bbb;--card:#fff;--c0:#1a6b9a;--c1:#c2410c;--c2:#6b7280;--c3:#15803d;
--c4:#7e22ce;--c5:#a16207;--warn:#8a5a00}}
"""

"""The demo's page: one HTML file with its pictures inside, readable on a phone, in the dark, and on paper."""

from __future__ import annotations

import base64
import html
import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from PIL import Image, ImageDraw

_PALETTE = ("#e4572e", "#17bebb", "#ffc914", "#8f5de8", "#76b041", "#2e86de", "#f56fa1", "#a0785a")
_AMPLIFY = 8
#: Detector name to its reports: box ``x1 y1 x2 y2`` and score.
Seen = dict[str, list[tuple[list[float], float]]]


class StepLike(Protocol):
    """What the page needs to know about one command."""

    caption: str
    command: str
    code: int
    output: str
    data: list[dict[str, Any]]
    seconds: float


def render(
    folder: Path, steps: Sequence[StepLike], cloaked: Mapping[str, Any], credits: Mapping[str, str]
) -> str:
    """The page as HTML text; also writes the pictures it shows into ``folder``."""
    report = cloaked["report"]
    original = _load(folder / "signed" / "astronaut.jpg")
    result = _load(folder / "cloaked" / "astronaut.jpg")
    amplified = np.clip((result.astype(np.int16) - original) * _AMPLIFY + 128, 0, 255).astype(np.uint8)
    names = [one["name"] for one in report["detectors"]]
    seen = {"before": ask_detectors(original, names), "after": ask_detectors(result, names)}
    before = draw_boxes(original, seen["before"])
    after = draw_boxes(result, seen["after"])
    crop = _face_crop(report, original.shape)
    pictures = {
        "difference": amplified,
        "detected-before": before,
        "detected-after": after,
        "face-before": original[crop],
        "face-after": result[crop],
    }
    for name, pixels in pictures.items():
        Image.fromarray(pixels).save(folder / f"{name}.png")
    side_by_side(folder / "detected-before.png", folder / "detected-after.png", folder / "before-after.png")
    parts = [
        _intro(steps, report),
        _section("What a detector sees", _detector_table(report, seen) + _figures(pictures)),
        _section("Original and cloaked", _slider(original, result) + _quality(report)),
        _section("Every step, as it ran", "".join(_step(step) for step in steps)),
        _section("What this does not show", _limits(report)),
    ]
    credit = "; ".join(html.escape(text) for text in credits.values())
    return _PAGE.format(body="".join(parts), credits=credit)


def ask_detectors(pixels: np.ndarray, names: Sequence[str]) -> Seen:
    """What each detector reports for ``(H, W, 3)`` uint8 pixels: boxes in pixels, scores in [0, 1], best first."""
    import torch

    from cloak import detectors

    batch = torch.from_numpy(pixels.copy()).permute(2, 0, 1)[None].float() / 255
    seen: Seen = {}
    for name in names:
        found = detectors.load(name).detect(batch)[0]
        seen[name] = list(zip(found.boxes.tolist(), found.scores.tolist(), strict=True))
    return seen


def draw_boxes(pixels: np.ndarray, seen: Seen) -> np.ndarray:
    """``pixels`` (H, W, 3) uint8 with every detector's boxes in its colour."""
    picture = Image.fromarray(pixels)
    pen = ImageDraw.Draw(picture)
    width = max(2, round(max(pixels.shape) / 200))
    for index, (name, found) in enumerate(seen.items()):
        colour = _PALETTE[index % len(_PALETTE)]
        for box, _ in found:
            pen.rectangle(box, outline=colour, width=width)
            pen.text((box[0] + 4, box[1] + 2 + 12 * index), name, fill=colour)
    return np.asarray(picture)


def side_by_side(left: Path, right: Path, target: Path) -> None:
    """Join two pictures of one height."""
    with Image.open(left) as first, Image.open(right) as second:
        joined = Image.new("RGB", (first.width + second.width + 8, first.height), "white")
        joined.paste(first, (0, 0))
        joined.paste(second, (first.width + 8, 0))
        joined.save(target)


def _intro(steps: Sequence[StepLike], report: Mapping[str, Any]) -> str:
    attacked = [one for one in report["detectors"] if one["attacked"]]
    blind = sum(1 for one in attacked if one["before"] and not one["after"]["published"])
    saw = sum(1 for one in attacked if one["before"])
    face = report["faces"][0]["quality"]
    tiles = (
        (f"{blind} of {saw}", "attacked detectors no longer find the face"),
        (f"{face['psnr']:.1f} dB", "PSNR of the face crop, as published"),
        (str(len(steps)), "commands, each with the exit code it must have"),
    )
    cells = "".join(f"<div class=tile><b>{value}</b><span>{text}</span></div>" for value, text in tiles)
    return f"<div class=tiles>{cells}</div>"


def _detector_table(report: Mapping[str, Any], seen: Mapping[str, Seen]) -> str:
    rows = []
    for index, one in enumerate(report["detectors"]):
        swatch = f"<i style='background:{_PALETTE[index % len(_PALETTE)]}'></i>"
        best = [_best_on_face(seen[when][one["name"]], report["faces"]) for when in ("before", "after")]
        shown = ["no face" if value is None else f"{value:.3f}" for value in best]
        kind = "attacked" if one["attacked"] else "not attacked"
        state = "still found" if one["after"]["published"] else "hidden" if one["before"] else "-"
        rows.append(
            f"<tr><td>{swatch}{html.escape(one['name'])}</td><td>{kind}</td><td>{shown[0]}</td>"
            f"<td>{shown[1]}</td><td class='{state.replace(' ', '-')}'>{state}</td><td>{one['elsewhere']}</td></tr>"
        )
    head = "<tr><th>detector<th>role<th>best score before<th>after<th>face<th>false reports elsewhere</tr>"
    return f"<div class=scroll><table>{head}{''.join(rows)}</table></div>"


def _best_on_face(
    found: Sequence[tuple[list[float], float]], faces: Sequence[Mapping[str, Any]]
) -> float | None:
    """The best score of a report whose centre lies in a face's box."""
    scores = []
    for box, score in found:
        x, y = (box[0] + box[2]) / 2, (box[1] + box[3]) / 2
        if any(
            face["box"][0] <= x <= face["box"][2] and face["box"][1] <= y <= face["box"][3] for face in faces
        ):
            scores.append(score)
    return max(scores, default=None)


def _figures(pictures: Mapping[str, np.ndarray]) -> str:
    captions = {
        "detected-before": "before: what each detector reports",
        "detected-after": "after, on the decoded published file",
        "face-before": "face, original, pixel for pixel",
        "face-after": "face, cloaked, pixel for pixel",
        "difference": f"the difference, amplified {_AMPLIFY} times",
    }
    return (
        "<div class=grid>"
        + "".join(
            f"<figure><img alt='{name}' src='{_inline(pictures[name])}'><figcaption>{text}</figcaption></figure>"
            for name, text in captions.items()
        )
        + "</div>"
    )


def _slider(before: np.ndarray, after: np.ndarray) -> str:
    return (
        "<div class=slider style='--cut:50%'>"
        f"<img alt='cloaked' src='{_inline(after)}'><img alt='original' class=top src='{_inline(before)}'>"
        "<input type=range min=0 max=100 value=50 aria-label='compare original and cloaked'"
        " oninput=\"this.parentNode.style.setProperty('--cut', this.value + '%')\"></div>"
        "<p class=dim>Left of the line: the original. Right: the cloaked copy.</p>"
    )


def _quality(report: Mapping[str, Any]) -> str:
    rows = "".join(
        f"<tr><td>{label}</td><td>{quality['psnr']:.2f} dB</td><td>{quality['ssim']:.4f}</td></tr>"
        for label, quality in (
            ("whole picture", report["quality"]),
            ("face crop", report["faces"][0]["quality"]),
        )
    )
    head = "<tr><th>decoded file against the original in the same encoding<th>PSNR<th>SSIM</tr>"
    return f"<table>{head}{rows}</table>"


def _step(step: StepLike) -> str:
    output = html.escape(step.output)[:6000]
    return (
        f"<details open><summary>{html.escape(step.caption)} <span class=dim>exit {step.code},"
        f" {step.seconds:.1f} s</span></summary><pre>$ {html.escape(step.command)}\n{output}</pre></details>"
    )


def _limits(report: Mapping[str, Any]) -> str:
    unseen = [one["name"] for one in report["detectors"] if not one["attacked"]]
    judged = (
        f"Detectors that were not attacked: {', '.join(unseen)}."
        if unseen
        else ("No detector outside of the attacked ones was asked here.")
    )
    return (
        f"<ul><li>{html.escape(judged)} A detector that the noise was not made against may still find the face.</li>"
        "<li>A person can draw a box around a face by hand, and a future scraper may undo the noise.</li>"
        "<li>A signature and a ledger entry say who claimed what and when. They do not say that a picture is true."
        "</li></ul>"
    )


def _section(title: str, body: str) -> str:
    return f"<section><h2>{title}</h2>{body}</section>"


def _face_crop(report: Mapping[str, Any], shape: tuple[int, ...]) -> tuple[slice, slice]:
    x1, y1, x2, y2 = report["faces"][0]["box"]
    grow = 0.35 * max(x2 - x1, y2 - y1)
    rows = slice(max(0, int(y1 - grow)), min(shape[0], int(y2 + grow)))
    return rows, slice(max(0, int(x1 - grow)), min(shape[1], int(x2 + grow)))


def _load(path: Path) -> np.ndarray:
    with Image.open(path) as picture:
        return np.asarray(picture.convert("RGB"))


def _inline(pixels: np.ndarray) -> str:
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, "JPEG", quality=92)
    return "data:image/jpeg;base64," + base64.b64encode(stream.getvalue()).decode()


_PAGE = """<!doctype html>
<html lang=en><head><meta charset=utf-8><meta name=viewport content="width=device-width, initial-scale=1">
<title>veilmark demo</title>
<style>
:root {{ --paper:#fbfaf7; --ink:#1d2327; --soft:#6b7378; --line:#dfdcd3; --card:#fff; --good:#16703f; --bad:#b3261e }}
@media (prefers-color-scheme: dark) {{
 :root {{ --paper:#14171a; --ink:#e8e6e1;
  --soft:#9aa3a8; --line:#2c3237; --card:#1c2125; --good:#5fd08f; --bad:#ff8a80 }}
}}
* {{ box-sizing:border-box }}
body {{ margin:0; background:var(--paper); color:var(--ink); font:16px/1.55 system-ui,sans-serif }}
main {{ max-width:68rem; margin:0 auto; padding:2rem 1.1rem 4rem }}
h1 {{ font-size:2.1rem; letter-spacing:-.02em; margin:.2rem 0 }}
h2 {{ font-size:1.25rem; margin:2.6rem 0 .8rem }}
.dim,figcaption {{ color:var(--soft); font-size:.88rem }}
.tiles {{ display:grid; grid-template-columns:repeat(auto-fit,minmax(13rem,1fr)); gap:.8rem; margin-top:1.6rem }}
.tile {{ background:var(--card); border:1px solid var(--line); border-radius:.7rem; padding:1rem 1.1rem }}
.tile b {{ display:block; font-size:1.7rem; letter-spacing:-.02em }}
.tile span {{ color:var(--soft); font-size:.9rem }}
table {{ border-collapse:collapse; width:100%; font-variant-numeric:tabular-nums; margin:.6rem 0 1.2rem }}
th {{ text-align:left; color:var(--soft); font-weight:500; font-size:.85rem }}
th,td {{ padding:.4rem .8rem .4rem 0; border-bottom:1px solid var(--line) }}
td i {{ display:inline-block; width:.7rem; height:.7rem; border-radius:50%; margin-right:.5rem }}
.hidden {{ color:var(--good); font-weight:600 }} .still-found {{ color:var(--bad); font-weight:600 }}
.scroll {{ overflow-x:auto }}
.grid {{ display:grid; grid-template-columns:repeat(auto-fit,minmax(15rem,1fr)); gap:1rem }}
figure {{ margin:0 }} img {{ max-width:100%; display:block; border-radius:.5rem }}
figure img {{ width:100% }}
.slider {{ position:relative; max-width:32rem }} .slider img {{ width:100% }}
.slider .top {{ position:absolute; inset:0; clip-path:inset(0 calc(100% - var(--cut)) 0 0) }}
.slider input {{ position:absolute; inset:0; width:100%; height:100%; margin:0; opacity:0; cursor:ew-resize }}
.slider::after {{ content:""; position:absolute; top:0; bottom:0; left:var(--cut); width:2px; background:#fff;
 box-shadow:0 0 4px #0008; pointer-events:none }}
details {{ background:var(--card);
  border:1px solid var(--line); border-radius:.7rem; margin:.6rem 0; padding:.6rem 1rem }}
summary {{ cursor:pointer; font-weight:600 }}
pre {{ overflow-x:auto; font:.82rem/1.5 ui-monospace,monospace; margin:.6rem 0 .2rem }}
footer {{ margin-top:3rem; border-top:1px solid var(--line); padding-top:1rem }}
@media print {{ body {{ background:#fff; color:#000 }} details,.tile {{ break-inside:avoid }} }}
</style></head><body><main>
<h1>veilmark</h1><p class=dim>Sign what you capture. Cloak what you publish. Prove both.</p>
{body}
<footer class=dim>Portraits: {credits}. Made by <code>make demo</code>.</footer>
</main></body></html>
"""

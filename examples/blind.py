"""A blind comparison: make one page in which a reader rates variants of pictures without knowing which is which.

    python examples/blind.py VARIANTS blind.html --seed 1

``VARIANTS`` holds a folder for each picture, and in it its variants, named alike in every folder::

    VARIANTS/anna/original.png   VARIANTS/anna/film.png   VARIANTS/anna/noise.png
    VARIANTS/boat/original.png   VARIANTS/boat/film.png   VARIANTS/boat/noise.png

The page holds the pictures without names or metadata, in an order that the seed decides; it works offline. The reader
rates each from 1 to 5 with the mouse or the keys 1 to 5, and sees the key and each variant's mean at the end.
"""

from __future__ import annotations

import argparse
import base64
import io
import json
import random
import sys
from pathlib import Path

from PIL import Image, ImageOps

SUFFIXES = (".png", ".jpg", ".jpeg", ".webp")
MOST_PICTURES, MOST_SIDE, MOST_BYTES = 200, 1600, 64 << 20


def variants_of(folder: Path) -> list[tuple[str, str, Path]]:
    """``(picture, variant, path)`` of every picture in the subfolders, sorted."""
    found = [
        (path.parent.name, path.stem, path)
        for path in sorted(folder.glob("*/*"))
        if path.suffix.lower() in SUFFIXES and path.is_file()
    ]
    if not found:
        raise SystemExit(f"{folder} holds no folders with pictures ({', '.join(SUFFIXES)})")
    if len(found) > MOST_PICTURES:
        raise SystemExit(f"{folder} holds {len(found)} pictures, over the limit of {MOST_PICTURES}")
    return found


def data_uri(path: Path) -> str:
    """The picture as a PNG without metadata, its longer side at most :data:`MOST_SIDE`: neither its name nor its format
    nor its size in bytes says which variant it is.
    """
    try:
        with Image.open(path) as image:
            upright = ImageOps.exif_transpose(image).convert("RGB")
    except (OSError, ValueError, Image.DecompressionBombError) as error:
        raise SystemExit(f"{path} cannot be read: {error}") from error
    upright.thumbnail((MOST_SIDE, MOST_SIDE))
    buffer = io.BytesIO()
    Image.frombytes("RGB", upright.size, upright.tobytes()).save(buffer, "PNG", optimize=True)
    return "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode()


def shuffled(found: list[tuple[str, str, Path]], seed: int) -> list[tuple[str, str, Path]]:
    """In an order that the seed decides; no two variants of one picture follow each other where that can be helped."""
    rng = random.Random(seed)
    rest, order = found.copy(), []
    rng.shuffle(rest)
    while rest:
        last = order[-1][0] if order else None
        counts = {one[0]: sum(other[0] == one[0] for other in rest) for one in rest}
        free = [one for one in rest if one[0] != last] or rest
        # a picture with many variants left comes first, else they meet at the end
        most = max(counts[one[0]] for one in free)
        chosen = rng.choice([one for one in free if counts[one[0]] == most])
        rest.remove(chosen)
        order.append(chosen)
    return order


def page(found: list[tuple[str, str, Path]], seed: int) -> str:
    """The page. The key is in it, coded so that a look at the source does not give it away by accident."""
    order = shuffled(found, seed)
    key = base64.b64encode(
        json.dumps([[picture, variant] for picture, variant, _ in order]).encode()
    ).decode()
    figures = "\n".join(
        f'<figure hidden><img alt="Picture {number} of {len(order)}, to be rated" src="{data_uri(path)}"></figure>'
        for number, (_, _, path) in enumerate(order, 1)
    )
    made = TEMPLATE.replace("@FIGURES@", figures).replace("@KEY@", key).replace("@SEED@", str(seed))
    if len(made) > MOST_BYTES:
        raise SystemExit(f"the page would have {len(made) >> 20} MiB, over the limit of {MOST_BYTES >> 20}")
    return made


TEMPLATE = """<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy"
  content="default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src 'unsafe-inline'">
<title>Which would you publish?</title>
<style>
:root { color-scheme: light dark; --line: #8886; --accent: #1769aa }
* { box-sizing: border-box }
body { font: 16px/1.5 system-ui, sans-serif; margin: 0 auto; padding: 1rem; max-width: 70rem }
h1 { font-size: 1.3rem; margin: 0 0 .2rem }
p { margin: .2rem 0 .8rem }
figure { margin: 0; text-align: center }
img { max-width: 100%; max-height: 66vh; image-rendering: auto }
img.actual { max-width: none; max-height: none }
#view { overflow: auto; max-height: 70vh; border: 1px solid var(--line) }
fieldset { border: 0; padding: 0; margin: .8rem 0; display: flex; flex-wrap: wrap; gap: .5rem; align-items: center }
legend { font-weight: 600; margin-bottom: .3rem }
button, label.rate { font: inherit; padding: .5rem .9rem; border: 1px solid var(--line); border-radius: .4rem;
  cursor: pointer; background: none; color: inherit }
label.rate:has(:checked) { background: var(--accent); color: #fff }
label.rate:has(:focus-visible), button:focus-visible { outline: 3px solid var(--accent); outline-offset: 2px }
#result:focus { outline: none }
button:disabled { opacity: .4; cursor: default }
table { border-collapse: collapse; margin: 1rem 0 }
th, td { border: 1px solid var(--line); padding: .3rem .7rem; text-align: left }
progress { width: 100% }
</style>
<main>
<section id="rating">
<h1>Which would you publish?</h1>
<p>Rate how each picture looks, by itself: 1, spoilt, to 5, you would publish it at once. Keys: 1 to 5 rate, the arrows
go back and on, Z shows the picture at its own size.</p>
<progress id="done" max="1" value="0" aria-label="How many are rated"></progress>
<div id="view" tabindex="0" aria-label="The picture">
@FIGURES@
</div>
<fieldset><legend id="which" aria-live="polite"></legend>
<label class="rate"><input type="radio" name="rate" value="1"> 1 spoilt</label>
<label class="rate"><input type="radio" name="rate" value="2"> 2</label>
<label class="rate"><input type="radio" name="rate" value="3"> 3</label>
<label class="rate"><input type="radio" name="rate" value="4"> 4</label>
<label class="rate"><input type="radio" name="rate" value="5"> 5 at once</label>
</fieldset>
<button id="back" type="button">Back</button>
<button id="next" type="button">Next</button>
<button id="zoom" type="button" aria-pressed="false">Own size</button>
<button id="end" type="button">Show the key</button>
</section>
<section id="result" hidden tabindex="-1">
<h1>The key</h1>
<p>Seed @SEED@. The mean of each variant, from 1 to 5, and what each picture was. Nothing left this page.</p>
<table id="means"><thead><tr><th scope="col">variant<th scope="col">mean<th scope="col">rated</thead>
<tbody></tbody></table>
<table id="each">
<thead><tr><th scope="col">place<th scope="col">picture<th scope="col">variant<th scope="col">rating</thead>
<tbody></tbody></table>
<button id="copy" type="button">Select as text</button>
<pre id="text" hidden tabindex="0"></pre>
</section>
</main>
<noscript><p>The page needs its own small script to keep the ratings.</p></noscript>
<script>
"use strict";
const byId = (id) => document.getElementById(id);
const figures = [...document.querySelectorAll("figure")];
const radios = [...document.querySelectorAll("input[name=rate]")];
const ratings = figures.map(() => null);
let at = 0;
function show(place) {
  at = Math.min(Math.max(place, 0), figures.length - 1);
  figures.forEach((figure, index) => { figure.hidden = index !== at; });
  radios.forEach((radio) => { radio.checked = Number(radio.value) === ratings[at]; });
  const rated = ratings.filter((one) => one !== null).length;
  byId("which").textContent = `Picture ${at + 1} of ${figures.length}`;
  byId("done").value = rated / figures.length;
  byId("back").disabled = at === 0;
  byId("next").disabled = at === figures.length - 1;
  byId("end").disabled = rated < figures.length;
}
function rate(value) {
  ratings[at] = value;
  show(at);
}
function row(body, cells) {
  const line = body.insertRow();
  cells.forEach((cell) => { line.insertCell().textContent = cell; });
}
function finish() {
  if (ratings.includes(null)) return;
  const bytes = Uint8Array.from(atob("@KEY@"), (letter) => letter.charCodeAt(0));
  const key = JSON.parse(new TextDecoder().decode(bytes));
  const sums = new Map();
  key.forEach(([picture, variant], index) => {
    const [sum, count] = sums.get(variant) || [0, 0];
    sums.set(variant, [sum + ratings[index], count + 1]);
    row(byId("each").tBodies[0], [index + 1, picture, variant, ratings[index]]);
  });
  [...sums].sort((a, b) => b[1][0] / b[1][1] - a[1][0] / a[1][1]).forEach(([variant, [sum, count]]) => {
    row(byId("means").tBodies[0], [variant, (sum / count).toFixed(2), count]);
  });
  byId("text").textContent = key.map((one, index) => [...one, ratings[index]].join("\\t")).join("\\n");
  byId("rating").hidden = true;
  byId("result").hidden = false;
  byId("result").focus();
}
function zoom() {
  const on = byId("zoom").getAttribute("aria-pressed") !== "true";
  byId("zoom").setAttribute("aria-pressed", String(on));
  figures.forEach((figure) => figure.firstElementChild.classList.toggle("actual", on));
}
radios.forEach((radio) => radio.addEventListener("change", () => rate(Number(radio.value))));
byId("back").addEventListener("click", () => show(at - 1));
byId("next").addEventListener("click", () => show(at + 1));
byId("zoom").addEventListener("click", zoom);
byId("end").addEventListener("click", finish);
byId("copy").addEventListener("click", () => {
  byId("text").hidden = false;
  getSelection().selectAllChildren(byId("text"));
});
document.addEventListener("keydown", (event) => {
  if (byId("rating").hidden || event.ctrlKey || event.metaKey || event.altKey) return;
  if (event.key >= "1" && event.key <= "5") {
    rate(Number(event.key));
    if (at < figures.length - 1) show(at + 1); else byId("end").focus();
  } else if (event.key === "ArrowLeft" && event.target !== byId("view")) show(at - 1);
  else if (event.key === "ArrowRight" && event.target !== byId("view")) show(at + 1);
  else if (event.key === "z" || event.key === "Z") zoom();
  else return;
  event.preventDefault();
});
show(0);
</script>
</html>
"""


def main(arguments: list[str]) -> int:
    """Make the page."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument(
        "variants", type=Path, help="a folder of folders: a picture each, its variants inside"
    )
    parser.add_argument("output", type=Path, nargs="?", default=Path("blind.html"))
    parser.add_argument("--seed", type=int, default=0, help="decides the order")
    args = parser.parse_args(arguments)
    made = page(variants_of(args.variants), args.seed)
    args.output.write_text(made, encoding="utf-8")
    print(f"{args.output}: {len(made) / 1e6:.1f} MB; open it in a browser")
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))

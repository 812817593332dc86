"""The report: nothing from outside reaches it, nothing of it needs the outside, and it says what it says."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from html.parser import HTMLParser
from pathlib import Path

import cv2
import numpy as np

from synth.report.document import Curve, Gallery, Point, Report, Shot, Table
from synth.report.page import page_html
from synth.report.write import write_report

EVIL = "<script>alert(1)</script>'\"&"


def a_picture(seed: int = 0) -> bytes:
    pixels = np.random.default_rng(seed).integers(0, 255, (40, 60, 3), dtype=np.uint8)
    return bytes(cv2.imencode(".jpg", pixels)[1].tobytes())


def a_report(**changes: object) -> Report:
    settings: dict[str, object] = {
        "kind": "detectors",
        "title": f"title {EVIL}",
        "headline": f"headline {EVIL}",
        "summary": (f"summary {EVIL}",),
        "tables": (Table(f"q {EVIL}", ("a", EVIL), ((EVIL,), (EVIL, "1")), note=EVIL),),
        "curves": (
            Curve(f"c {EVIL}", EVIL, EVIL, {EVIL: (Point(0, 1, 0, 2), Point(1, 3))}, ticks=(EVIL, "b")),
            Curve("numbers", "x", "y", {"one": (Point(0, float("nan")), Point(10, 2.5))}),
        ),
        "galleries": (
            Gallery(EVIL, (Shot(EVIL, a_picture()), Shot("b", a_picture(1))), slider=True, note=EVIL),
        ),
        "limits": (f"limit {EVIL}",),
        "configuration": {EVIL: EVIL, "device": "hides nothing"},
        "seeds": (1, 2),
        "device": "cpu: test",
        "seconds": 12.0,
        "data": {"x": 1},
    }
    return Report(**{**settings, **changes})  # type: ignore[arg-type]


class Page(HTMLParser):
    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def named(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.tags if name == tag]


def test_everything_is_escaped() -> None:
    page = page_html(a_report())
    assert "<script>alert" not in page
    assert page.count("&lt;script&gt;alert(1)&lt;/script&gt;") > 12
    assert len(Page(page).named("script")) == 1


def test_a_curve_breaks_where_a_value_is_missing() -> None:
    points = (Point(0, 1.0), Point(1, float("nan")), Point(2, 3.0), Point(3, 4.0))
    page = page_html(a_report(curves=(Curve("c", "x", "y", {"one": points}, ticks=("a", "b", "c", "d")),)))
    drawn = re.findall(r'<polyline class="line l0" points="([^"]*)"', page)
    drawn.remove("0,6 34,6")  # the legend
    assert [len(one.split()) for one in drawn] == [1, 2]


def test_what_is_folded_is_closed_and_opens_for_print() -> None:
    tables = (Table("seen", ("a",), (("1",),)), Table("folded", ("a",), (("2",),), folded=True))
    text = page_html(a_report(tables=tables))
    page = Page(text)
    assert page.named("details") == [{}]  # closed
    inside = text[text.index("<details>") : text.index("</details>")]
    assert "<summary><h2>folded</h2></summary>" in inside and "<td>" not in inside.partition("<table>")[0]
    assert "seen" not in inside and inside.count("<table>") == 1
    assert "beforeprint" in text and "afterprint" in text


def test_nothing_is_loaded_and_nothing_else_may_run() -> None:
    page = page_html(a_report())
    tags = Page(page)
    for _, attributes in tags.tags:
        assert "href" not in attributes and "action" not in attributes
        assert not any(name.startswith("on") for name in attributes)
        assert (attributes.get("src") or "data:").startswith("data:")
    assert "@import" not in page and "url(" not in page
    policy = next(one["content"] for one in tags.named("meta") if one.get("http-equiv"))
    assert policy is not None and "default-src 'none'" in policy and "connect-src" not in policy
    script = re.search(r"<script>(.*?)</script>", page, re.S)
    assert script is not None
    digest = base64.b64encode(hashlib.sha256(script[1].encode()).digest()).decode()
    assert f"script-src 'sha256-{digest}'" in policy


def test_pictures_of_unknown_kinds_are_left_out() -> None:
    svg = Shot("drawing", b"<svg onload=alert(1)>")
    page = page_html(a_report(galleries=(Gallery("g", (svg, Shot("photo", a_picture()))),)))
    assert "onload" not in page and page.count("<img") == 1


def test_a_slider_lays_the_first_two_over_each_other_and_shows_both_beside() -> None:
    tags = Page(page_html(a_report()))
    assert len(tags.named("img")) == 4
    assert [one["type"] for one in tags.named("input")] == ["range"]


def test_limits_and_exact_configuration_are_there_and_facts_win() -> None:
    page = page_html(a_report())
    assert "What this does not show" in page and "limit &lt;script" in page
    assert "cpu: test" in page and "hides nothing" not in page
    assert "numpy" in page and "veilmark" in page


def test_the_json_has_everything_but_the_pictures(tmp_path: Path) -> None:
    page, data = write_report(a_report(), tmp_path / "out")
    said = json.loads(data.read_bytes())
    assert said["schema"] == "veilmark.measured/1"
    assert said["headline"] == f"headline {EVIL}" and said["seeds"] == [1, 2]
    assert said["galleries"][0]["pictures"][0]["sha256"] == hashlib.sha256(a_picture()).hexdigest()
    assert said["curves"][1]["lines"]["one"][0][1] is None
    assert page.read_text().startswith("<!doctype html>")
    write_report(a_report(headline="another"), tmp_path / "out")
    assert json.loads(data.read_bytes())["headline"] == "another"


def test_a_curve_without_values_says_so() -> None:
    empty = Curve("nothing", "x", "y", {"a": (Point(0, float("nan")),)})
    flat = Curve("flat", "x", "y", {"a": (Point(3, 0.0),)})
    page = page_html(a_report(curves=(empty, flat)))
    assert "No values." in page and page.count('class="curve"') == 1

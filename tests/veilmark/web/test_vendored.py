"""What the pages are made of: nothing from elsewhere, and what others wrote is unchanged."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path

import veilmark.web

STATIC = Path(veilmark.web.__file__).parent / "static"
TEMPLATES = STATIC.parent / "templates"


def test_what_others_wrote_is_what_it_should_be() -> None:
    said = (STATIC / "vendor" / "README.txt").read_text()
    digest = re.search(r"^sha256 ([0-9a-f]{64})$", said, re.M)
    assert digest and "htmx.LICENSE.txt" in said
    assert hashlib.sha256((STATIC / "vendor" / "htmx.min.js").read_bytes()).hexdigest() == digest[1]
    assert "Zero-Clause BSD" in (STATIC / "vendor" / "htmx.LICENSE.txt").read_text()
    assert sorted(one.name for one in (STATIC / "vendor").iterdir()) == [
        "README.txt",
        "htmx.LICENSE.txt",
        "htmx.min.js",
    ]


def test_nothing_is_loaded_from_elsewhere() -> None:
    own = [*STATIC.glob("*.*"), *TEMPLATES.glob("*.html")]
    assert len(own) > 20
    for path in own:
        text = path.read_text().replace("http://www.w3.org/2000/svg", "")
        assert not re.search(
            r"(src|href|url\(|@import|fetch\(|EventSource\()\s*=?\s*[\"'`]?(https?:)?//", text
        ), path.name


def test_no_template_has_inline_script_or_style() -> None:
    for path in TEMPLATES.glob("*.html"):
        assert not re.search(
            r"<script(?![^>]*\bsrc=)|\son[a-z]+=|\sstyle=|<style|javascript:", path.read_text()
        ), path.name


def test_every_form_that_sends_carries_its_token_first() -> None:
    for path in TEMPLATES.glob("*.html"):
        for form in re.findall(r"<form method=post.*?</form>", path.read_text(), re.S):
            inside = form.split(">", 1)[1].lstrip()
            assert inside.startswith(("{{ forms.token(csrf) }}", "<input type=hidden name=csrf")), (
                path.name,
                form[:80],
            )

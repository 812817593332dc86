"""A report as one self-contained HTML page: readable on a phone, in the dark, printed, and without a network.

Its content security policy forbids everything but its own style, its embedded pictures and one small script, which is
named by its hash and only moves the sliders, and opens what is folded when the page is printed; without it the pictures
still stand side by side. The templates lie in ``templates/``; all that comes from a report is escaped.
"""

from __future__ import annotations

import base64
import hashlib
import json
from functools import lru_cache
from importlib import resources
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from synth.report.curve import drawn
from synth.report.document import Report, Shot

_IMAGE_TYPES = {b"\xff\xd8": "image/jpeg", b"\x89P": "image/png"}
_LONGEST = 4000


def page_html(report: Report) -> str:
    """The page."""
    script = resources.files("synth.report").joinpath("templates", "report.js").read_text("utf-8")
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    return (
        _environment()
        .get_template("report.html")
        .render(
            report=report,
            curves=[(one, drawn(one)) for one in report.curves],
            galleries=[
                (one, [_embedded(shot) for shot in one.shots if _image_type(shot)])
                for one in report.galleries
            ],
            facts=_facts(report),
            script=Markup(script),  # noqa: S704 - a file of this package
            script_hash=Markup(f"sha256-{digest}"),  # noqa: S704 - base64
        )
    )


@lru_cache(maxsize=1)
def _environment() -> Environment:
    return Environment(
        loader=PackageLoader("synth.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        finalize=_plain,
    )


def _plain(value: Any) -> Any:
    """What is written of a value: places in tenths of a pixel, texts at most :data:`_LONGEST` characters long."""
    if isinstance(value, float):
        return round(value, 1)
    if isinstance(value, str) and not isinstance(value, Markup) and len(value) > _LONGEST:
        return value[:_LONGEST] + " …"
    return value


def _facts(report: Report) -> list[tuple[str, str]]:
    facts: dict[str, Any] = {
        "made": report.made,
        "device": report.device,
        "time": f"{report.seconds:.0f} s of work",
        "seeds": ", ".join(str(one) for one in report.seeds),
        "versions": ", ".join(f"{name} {version}" for name, version in report.versions.items()),
    }
    facts |= {name: value for name, value in report.configuration.items() if name not in facts}
    return [
        (name, value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str))
        for name, value in facts.items()
    ]


def _image_type(shot: Shot) -> str | None:
    return _IMAGE_TYPES.get(shot.data[:2])


def _embedded(shot: Shot) -> dict[str, str]:
    data = base64.b64encode(shot.data).decode()
    return {"label": shot.label, "uri": Markup(f"data:{_image_type(shot)};base64,{data}")}  # noqa: S704 - base64

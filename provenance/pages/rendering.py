"""One Jinja environment for all pages: every value is escaped, nothing is loaded from elsewhere.

``provenance/pages/templates/page.html`` is the frame that other templates extend (blocks ``title``, ``style``,
``content``). A package with pages of its own keeps them in its folder ``templates`` and names itself to :func:`render`.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from jinja2 import Environment

MAX_TEXT_CHARS = 2000
_HERE = "provenance.pages"


def render(name: str, /, *, package: str = _HERE, **values: object) -> str:
    """A page as text.

    Args:
        name: the template's file name, such as ``verdict.html``.
        package: where its folder ``templates`` is; it may extend and include the templates here.
        values: what the template shows. Text is escaped and cut off at :data:`MAX_TEXT_CHARS` characters; HTML that is
            meant as such must be ``markupsafe.Markup``.

    Raises:
        jinja2.UndefinedError: the template asks for a value that was not given.
    """
    return _environment(package).get_template(name).render(**values)


@lru_cache(maxsize=8)
def _environment(package: str) -> Environment:
    from jinja2 import ChoiceLoader, Environment, PackageLoader, StrictUndefined

    packages = dict.fromkeys((package, _HERE))
    return Environment(
        loader=ChoiceLoader([PackageLoader(one) for one in packages]),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=_bounded,
    )


def _bounded(value: object) -> object:
    """Text of a stranger's file, cut off; markup made by a template stays whole."""
    if type(value) is str and len(value) > MAX_TEXT_CHARS:
        return value[:MAX_TEXT_CHARS] + "…"
    return value

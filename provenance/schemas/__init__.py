"""The JSON Schemas of the objects that ``--json`` prints, as files: ``verdict.json`` describes ``veilmark.verdict/1``.

``veilmark schema NAME`` prints one of them; ``tests/cli/test_schemas.py`` checks real output against all of them.
"""

from __future__ import annotations

from importlib import resources

from provenance.errors import UsageError


def schema_names() -> list[str]:
    """Names of all schemas, sorted."""
    files = (entry.name for entry in resources.files(__name__).iterdir())
    return sorted(name.removesuffix(".json") for name in files if name.endswith(".json"))


def schema_text(name: str) -> str:
    """A schema as JSON text (JSON Schema, draft 2020-12).

    Args:
        name: ``verdict``, or as objects name it: ``veilmark.verdict/1``.

    Raises:
        UsageError: there is no such schema.
    """
    short = name.removeprefix("veilmark.").partition("/")[0]
    if short not in schema_names():
        raise UsageError(f"there is no schema {name[:60]!r}", hint="`veilmark schema` lists them")
    return resources.files(__name__).joinpath(f"{short}.json").read_text("utf-8")

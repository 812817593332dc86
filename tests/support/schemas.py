"""Checks objects that the command prints against the JSON Schemas that the package ships."""

from __future__ import annotations

import json
from functools import cache
from typing import Any

from jsonschema import Draft202012Validator
from jsonschema.exceptions import best_match

from provenance.schemas import schema_text

#: Names of schemas that some object was checked against, in this process.
seen: set[str] = set()


def checked(value: dict[str, Any]) -> dict[str, Any]:
    """The object, if it names a schema and satisfies it; fails with the deviation that tells most otherwise."""
    name = value["schema"].removeprefix("veilmark.").partition("/")[0]
    error = best_match(_validator(name).iter_errors(value))
    assert error is None, f"{value['schema']}: {error.json_path}: {error.message[:300]}"
    seen.add(name)
    return value


@cache
def _validator(name: str) -> Draft202012Validator:
    schema = json.loads(schema_text(name))
    Draft202012Validator.check_schema(schema)
    return Draft202012Validator(schema)

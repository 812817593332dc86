"""Checks objects that the command prints against the JSON Schemas that the package ships."""

from __future__ import annotations

import json
from functools import cache
from typing import Any

from jsonschema import Draft202012Validator

from provenance.schemas import schema_text

#: Names of schemas that some object was checked against, in this process.
seen: set[str] = set()


def checked(value: dict[str, Any]) -> dict[str, Any]:
    """The object, if it names a schema and satisfies it; fails with the first few deviations otherwise."""
    name = value["schema"].removeprefix("veilmark.").partition("/")[0]
    errors = [f"{error.json_path}: {error.message[:300]}" for error in _validator(name).iter_errors(value)]
    assert not errors, f"{value['schema']}: {errors[:5]}"
    seen.add(name)
    return value


@cache
def _validator(name: str) -> Draft202012Validator:
    schema = json.loads(schema_text(name))
    Draft202012Validator.check_schema(schema)
    return Draft202012Validator(schema)

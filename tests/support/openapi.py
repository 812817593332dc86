"""Answers of a service held against its OpenAPI description."""

from __future__ import annotations

import json
from typing import Any

from httpx import Response
from jsonschema import Draft202012Validator
from jsonschema.exceptions import best_match
from starlette.routing import Route, compile_path

from provenance.schemas import schema_text


class Description:
    """An OpenAPI description.

    Args:
        document: the description.
        prefix: what stands before its paths at the service.
        binary: media types whose bodies are not looked into.
    """

    def __init__(self, document: dict[str, Any], prefix: str = "") -> None:
        self.document, self.prefix = document, prefix
        self.seen: set[tuple[str, str, int]] = set()
        self._patterns = {path: compile_path(prefix + _startlike(path))[0] for path in document["paths"]}

    def operation(self, method: str, path: str) -> tuple[str, dict[str, Any]]:
        """The described path that fits, the most literal one, and its operation."""
        fitting = [one for one, pattern in self._patterns.items() if pattern.match(path)]
        assert fitting, f"{path} is not described"
        best = min(fitting, key=lambda one: one.count("{"))
        return best, self.document["paths"][best][method.lower()]

    def check(self, method: str, path: str, answer: Response, *, also: frozenset[int] = frozenset()) -> None:
        """The status is described, the media type is, and the body fits its schema.

        Args:
            also: statuses that HTTP has for every path, whether they are described or not.
        """
        named, operation = self.operation(method, path)
        status = str(answer.status_code)
        if status not in operation["responses"]:
            assert answer.status_code in also, f"{method} {named}: {status} is not described"
            return
        self.seen.add((method, named, answer.status_code))
        content = operation["responses"][status].get("content")
        if not content:
            return
        kind = answer.headers.get("content-type", "").partition(";")[0]
        assert kind in content, f"{method} {named} {status}: {kind} is not described"
        schema = content[kind].get("schema")
        if schema is not None and kind == "application/json":
            error = best_match(Draft202012Validator(self.resolved(schema)).iter_errors(answer.json()))
            assert error is None, f"{method} {named} {status}: {error.json_path}: {error.message[:300]}"

    def resolved(self, schema: Any) -> Any:
        """The schema with every reference put in place."""
        if isinstance(schema, list):
            return [self.resolved(one) for one in schema]
        if not isinstance(schema, dict):
            return schema
        reference = schema.get("$ref", "")
        if reference.startswith("#/components/schemas/"):
            return self.resolved(self.document["components"]["schemas"][reference.rsplit("/", 1)[-1]])
        if reference.startswith("schemas/"):
            return json.loads(schema_text(reference.removeprefix("schemas/").removesuffix(".json")))
        return {key: self.resolved(value) for key, value in schema.items()}

    def operations(self) -> set[tuple[str, str]]:
        """``(method, path)`` of all."""
        paths = self.document["paths"]
        return {(method.upper(), path) for path, methods in paths.items() for method in methods}


def served(routes: list[Route]) -> set[tuple[str, str]]:
    """``(method, path)`` of what a service answers, in the words of a description."""
    named = {"{manifest:path}": "{manifestId}", "{path:path}": "{path}"}
    found = set()
    for route in routes:
        path = route.path
        for ours, theirs in named.items():
            path = path.replace(ours, theirs)
        found |= {(method, path) for method in (route.methods or set()) - {"HEAD"}}
    return found


def _startlike(path: str) -> str:
    """Parameters that hold slashes."""
    return path.replace("{path}", "{path:path}").replace("{manifestId}", "{manifestId:path}")

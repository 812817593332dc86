"""A manifest definition as c2patool takes it, merged into ours."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from provenance import strict_json
from provenance.errors import MissingPathError, UsageError
from provenance.manifest.actions import ACTIONS, REPLACED, STANDARD_PARAMETERS, source_type
from provenance.media.files import read_limited

MAX_DEFINITION_BYTES = 4 * 1024 * 1024
_MAX_ASSERTIONS = 200
#: Keys that say how and with which key to sign; here the identity decides that.
SIGNING_KEYS = ("alg", "private_key", "sign_cert", "ta_url", "reserve_size", "signer_path")
_ACTIONS = ("c2pa.actions", "c2pa.actions.v2")
_AUTHORSHIP = "stds.schema-org.CreativeWork"


def load_definition(path: Path) -> dict[str, Any]:
    """Read a definition file.

    Raises:
        MissingPathError: no such file.
        UsageError: too large, not JSON, or not an object.
    """
    try:
        data = read_limited(path, MAX_DEFINITION_BYTES)
    except OSError as error:
        raise MissingPathError(f"cannot read {path}: {error.strerror or error}") from error
    if data is None:
        raise UsageError(f"{path} is over the limit of {MAX_DEFINITION_BYTES} bytes")
    try:
        parsed = strict_json.loads(data)
    except (ValueError, RecursionError) as error:
        raise UsageError(f"{path} is not JSON: {error}", hint="see c2patool's manifest definition") from error
    if not isinstance(parsed, dict):
        raise UsageError(f"{path} holds no JSON object", hint="see c2patool's manifest definition")
    return parsed


def merge_definition(target: dict[str, Any], user: Mapping[str, Any]) -> None:
    """Put what ``user`` says on top of ``target``, in place.

    The claim generator's ``specVersion`` stays ours; the inception action stays first; further actions come
    after ours; ``stds.schema-org.CreativeWork``, which C2PA dropped, becomes ``cawg.metadata``; an assertion
    with a label that we write too replaces ours.

    Raises:
        UsageError: the definition has a part of the wrong type.
    """
    rest = {k: v for k, v in copy.deepcopy(dict(user)).items() if k not in SIGNING_KEYS}
    if "title" in rest:
        target["title"] = _text(rest.pop("title"), "title")
    info = rest.pop("claim_generator_info", None)
    if info:
        extra = info[0] if isinstance(info, list) else info
        if not isinstance(extra, dict):
            raise UsageError("claim_generator_info is no object", hint="see c2patool's manifest definition")
        ours = target["claim_generator_info"][0]
        target["claim_generator_info"][0] = {**extra, **{"specVersion": ours["specVersion"]}}
        target["claim_generator_info"][0].setdefault("name", ours["name"])
    assertions = rest.pop("assertions", [])
    if not isinstance(assertions, list) or len(assertions) > _MAX_ASSERTIONS:
        raise UsageError("assertions is no list, or too long a one")
    for assertion in assertions:
        _merge_assertion(target, assertion)
    for ingredient in rest.get("ingredients") or []:
        if isinstance(ingredient, dict):
            # described, not read from a file: it is named without a manifest
            target["ingredients"].append(ingredient)
    if isinstance(rest.get("metadata"), list | dict):
        target["metadata"] = rest["metadata"]


def _merge_assertion(target: dict[str, Any], assertion: Any) -> None:
    if not isinstance(assertion, dict) or not isinstance(assertion.get("data"), dict | list):
        raise UsageError("an assertion has no label or data", hint="see c2patool's manifest definition")
    label, data = _text(assertion.get("label"), "assertion label"), assertion["data"]
    present = target["assertions"]
    if label in _ACTIONS:
        ours = next(one for one in present if one["label"] == "c2pa.actions.v2")["data"]
        named = data.get("actions", []) if isinstance(data, dict) else []
        _merge_actions(ours, named, data.get("allActionsIncluded") if isinstance(data, dict) else None)
        return
    if label == _AUTHORSHIP:
        assertion = _as_cawg_metadata(data)
        label = assertion["label"]
        ours = next((one["data"] for one in present if one["label"] == label), None)
        if ours is not None:
            assertion["data"] = {**ours, **assertion["data"]}
    assertion = {**assertion, "created": bool(assertion.get("created", True))}
    present[:] = [one for one in present if one["label"] != label or "." not in label]
    present.append(assertion)


def _merge_actions(ours: dict[str, Any], named: Any, all_included: Any) -> None:
    if not isinstance(named, list) or not all(isinstance(one, dict) for one in named):
        raise UsageError("actions is no list of objects", hint="see c2patool's manifest definition")
    for action in named:
        name = _text(action.get("action"), "action")
        if name in ("c2pa.created", "c2pa.opened"):
            # one inception action; what the user says about it refines ours when it is the same one
            if name == ours["actions"][0]["action"]:
                refined = {k: v for k, v in action.items() if k != "parameters"}
                ours["actions"][0].update(refined)
            continue
        ours["actions"].append(_up_to_date(action, name))
    if isinstance(all_included, bool):
        ours["allActionsIncluded"] = all_included


def _up_to_date(action: dict[str, Any], name: str) -> dict[str, Any]:
    """An action in the terms of C2PA 2.4: current name, description outside the parameters, a source type
    where one is demanded, and a namespace for parameters that are not C2PA's."""
    current = REPLACED.get(name, name)
    parameters = dict(action.get("parameters") or {})
    fresh = {**action, "action": current}
    if "description" in parameters:
        fresh.setdefault("description", parameters.pop("description"))
    space = "org.veilmark" if current.startswith("c2pa.") else current
    for key in [key for key in parameters if key not in STANDARD_PARAMETERS and "." not in key]:
        parameters[f"{space}.{key}"] = parameters.pop(key)
    if parameters:
        fresh["parameters"] = parameters
    else:
        fresh.pop("parameters", None)
    if ACTIONS.get(current):
        fresh.setdefault("digitalSourceType", source_type("humanEdits"))
    return fresh


def _as_cawg_metadata(work: Any) -> dict[str, Any]:
    """schema.org CreativeWork's authors, headline and description in Dublin Core."""
    work = work if isinstance(work, dict) else {}
    authors = work.get("author", [])
    authors = authors if isinstance(authors, list) else [authors]
    names = [str(one["name"])[:4000] for one in authors if isinstance(one, dict) and one.get("name")]
    data: dict[str, Any] = {"@context": {"dc": "http://purl.org/dc/elements/1.1/"}}
    if names:
        data["dc:creator"] = names
    for theirs, ours in (("headline", "dc:title"), ("description", "dc:description")):
        if isinstance(work.get(theirs), str):
            data[ours] = work[theirs]
    return {"label": "cawg.metadata", "data": data, "kind": "Json"}


def _text(value: Any, what: str) -> str:
    if not isinstance(value, str) or not value or len(value) > 4000:
        raise UsageError(
            f"{what} is no text of 1 to 4000 characters", hint="see c2patool's manifest definition"
        )
    return value


def definition_files(definition: Mapping[str, Any], folder: Path | None) -> tuple[list[Path], Path | None]:
    """Files that a definition names: ingredients (``ingredient_paths``, or paths in ``ingredients``), and a
    thumbnail. Relative paths start at the definition's ``base_path``, else at ``folder``.

    Raises:
        UsageError: a path is no text.
        MissingPathError: a file is not there.
    """
    base = folder or Path()
    if isinstance(definition.get("base_path"), str):
        base = base / definition["base_path"]
    named: list[Any] = []
    for key in ("ingredient_paths", "ingredients"):
        value = definition.get(key, [])
        if not isinstance(value, list) or len(value) > _MAX_ASSERTIONS:
            raise UsageError(
                f"{key} is no list, or too long a one", hint="see c2patool's manifest definition"
            )
        named += [one for one in value if not isinstance(one, dict)]
    paths = [base / _text(one, "ingredient path") for one in named]
    thumbnail = definition.get("thumbnail")
    picture = None
    if isinstance(thumbnail, dict) and thumbnail.get("identifier"):
        picture = base / _text(thumbnail["identifier"], "thumbnail identifier")
    for path in [*paths, *([picture] if picture else [])]:
        if not path.is_file():
            raise MissingPathError(f"the manifest definition names {path}, which does not exist")
    return paths, picture

"""The conformance rubric 0.2 for C2PA 2.4, restated as functions over crJSON.

The rubric states 31 requirements as formulas. Here each is a function, named as in the rubric, that returns what
offends: an empty list where all is well.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

SPEC = "2.4"
INCEPTION = {"c2pa.created", "c2pa.opened"}
NON_EDITORIAL = {
    f"c2pa.{name}"
    for name in [
        "converted",
        "published",
        "repackaged",
        "transcoded",
        "resized.proportional",
        "enhanced",
        "edited.metadata",
        "watermarked",
        "watermarked.bound",
        "watermarked.unbound",
        "redacted",
    ]
}
MALFORMED = {
    "assertion.action.malformed",
    "assertion.bmffHash.malformed",
    "assertion.boxesHash.malformed",
    "assertion.collectionHash.malformed",
    "assertion.dataHash.malformed",
    "assertion.external-reference.malformed",
    "assertion.external-reference.labelMismatch",
    "assertion.external-reference.created",
    "assertion.ingredient.malformed",
    "assertion.alternativeContentRepresentation.malformed",
    "assertion.alternativeContentRepresentation.missing",
    "assertion.multiAssetHash.malformed",
    "assertion.cbor.invalid",
    "assertion.json.invalid",
    "claim.cbor.invalid",
    "claim.hardBindings.missing",
    "claim.malformed",
    "claim.missing",
    "claim.multiple",
    "hashedURI.missing",
    "ingredient.manifest.missing",
    "assertion.boxesHash.unknownBox",
    "assertion.multipleHardBindings",
    "manifest.compressed.invalid",
    "manifest.html.multipleManifests",
    "manifest.inaccessible",
    "manifest.multipleParents",
    "manifest.structuredText.emptyReference",
    "manifest.structuredText.malformedReference",
    "manifest.structuredText.multipleReferences",
    "manifest.structuredText.noManifest",
    "manifest.structuredText.noResolutionPath",
    "manifest.timestamp.invalid",
    "manifest.timestamp.wrongParents",
    "manifest.update.invalid",
    "manifest.update.wrongParents",
    "MISSING_VALIDATION_RESULTS",
}
MISMATCHES = {
    "assertion.action.ingredientMismatch",
    "assertion.action.redactionMismatch",
    "assertion.bmffHash.mismatch",
    "assertion.boxesHash.mismatch",
    "assertion.collectionHash.mismatch",
    "assertion.dataHash.mismatch",
    "assertion.external-reference.hashMismatch",
    "assertion.alternativeContentRepresentation.hashMismatch",
    "assertion.multiAssetHash.mismatch",
    "assertion.hashedURI.mismatch",
    "assertion.hardBinding.redacted",
    "hashedURI.mismatch",
    "ingredient.manifest.mismatch",
    "ingredient.claimSignature.missing",
    "ingredient.claimSignature.mismatch",
    "claimSignature.missing",
    "MISSING_VALIDATION_RESULTS",
}
ASSERTIONS = {
    f"c2pa.{name}"
    for name in [
        "hash.data",
        "hash.data.part",
        "actions.v2",
        "ingredient.v3",
        "hash.boxes",
        "hash.bmff.v3",
        "hash.collection.data",
        "soft-binding",
        "cloud-data",
        "embedded-data",
        "metadata",
        "certificate-status",
        "asset-ref",
        "asset-type.v2",
        "hash.multi-asset",
        "thumbnail.claim",
        "thumbnail.ingredient",
        "depthmap.GDepth",
        "icon",
        "alternative-content-representation",
        "external-reference",
        "session-keys",
        "environmental-sustainability",
        "repository-receipt",
        "ai-disclosure",
        "assertion.metadata",
        "time-stamp",
    ]
} | {"font.info"}
DEPRECATED_ASSERTIONS = {
    f"c2pa.{name}"
    for name in ["claim", "hash.bmff.v2", "asset-type", "ingredient", "ingredient.v2", "actions"]
}
ACTIONS = {
    f"c2pa.{name}"
    for name in [
        "addedText",
        "adjustedColor",
        "changedSpeed",
        "color_adjustments",
        "converted",
        "created",
        "cropped",
        "deleted",
        "drawing",
        "dubbed",
        "edited",
        "edited.metadata",
        "enhanced",
        "filtered",
        "mastered",
        "mixed",
        "opened",
        "orientation",
        "placed",
        "published",
        "redacted",
        "remixed",
        "removed",
        "repackaged",
        "resized",
        "resized.proportional",
        "transcoded",
        "translated",
        "trimmed",
        "unknown",
        "watermarked",
        "watermarked.bound",
        "watermarked.unbound",
    ]
}
DEPRECATED_ACTIONS = {
    f"c2pa.{name}"
    for name in [
        "copied",
        "formatted",
        "version_updated",
        "printed",
        "managed",
        "produced",
        "saved",
        "color_adjustments",
        "watermarked",
    ]
}
PARAMETERS = {
    "redacted",
    "ingredients",
    "ingredient",
    "description",
    "relatedAssertions",
    "sourceLanguage",
    "targetLanguage",
    "multipleInstances",
    "ranges",
    "weight",
    "width",
    "italic",
    "slant",
    "optical-size",
}


class Manifest:
    """The active manifest of a crJSON document."""

    def __init__(self, crjson: dict[str, Any]) -> None:
        self.whole = crjson["manifests"][0]
        self.assertions: dict[str, Any] = self.whole.get("assertions", {})
        self.values = [one for one in self.assertions.values() if isinstance(one, dict)]
        self.actions = [one for value in self.values for one in value.get("actions") or []]
        self.claim = self.whole.get("claim.v2", {})
        self.created = [one["url"] for one in self.claim.get("created_assertions", [])]
        self.ingredients = [one for one in self.values if one.get("relationship") is not None]
        info = self.claim.get("claim_generator_info")
        self.info = info[0] if isinstance(info, list) else info or {}
        results = self.whole.get("validationResults") or {"failure": [{"code": "MISSING_VALIDATION_RESULTS"}]}
        self.failures = [one["code"] for one in results.get("failure") or []]


def _has(value: dict[str, Any], key: str) -> bool:
    """JMESPath's ``key != null``: an empty value counts as one."""
    return value.get(key) is not None


def mandatory_dst_for_perceptible_transformations(m: Manifest) -> list[Any]:
    exempt = INCEPTION | NON_EDITORIAL | {"c2pa.placed"}
    return [
        a["action"]
        for a in m.actions
        if a["action"].startswith("c2pa.") and a["action"] not in exempt and not a.get("digitalSourceType")
    ]


def mandatory_spec_version(m: Manifest) -> list[Any]:
    version = m.info.get("specVersion")
    good = isinstance(version, str) and version.split(".")[:2] == SPEC.split(".")
    return [] if good else [version]


def mandatory_all_actions_included(m: Manifest) -> list[Any]:
    return [v for v in m.values if v.get("actions") is not None and v.get("allActionsIncluded") is None]


def no_dst_for_opened_action(m: Manifest) -> list[Any]:
    return [a for a in m.actions if a["action"] == "c2pa.opened" and a.get("digitalSourceType") is not None]


def well_formed_data_present(m: Manifest) -> list[Any]:
    return [] if m.whole.get("validationResults") is not None else ["no validation results"]


def well_formed_success(m: Manifest) -> list[Any]:
    return [code for code in m.failures if code in MALFORMED]


def valid_data_present(m: Manifest) -> list[Any]:
    return well_formed_data_present(m)


def valid_success(m: Manifest) -> list[Any]:
    return [code for code in m.failures if code in MISMATCHES]


def inception_action_position(m: Manifest) -> list[Any]:
    first = next((url for url in m.created if "c2pa.actions" in url), "")
    starts = not any(a["action"] == "c2pa.created" for a in m.actions) or m.actions[0]["action"] in INCEPTION
    return [] if first.endswith("c2pa.actions.v2") and starts else [first]


def no_deprecated_assertions(m: Manifest) -> list[Any]:
    return [key for key in m.assertions if key.startswith("stds.") or key in DEPRECATED_ASSERTIONS]


def no_unsupported_assertions(m: Manifest) -> list[Any]:
    known = ASSERTIONS | DEPRECATED_ASSERTIONS
    return [key for key in m.assertions if key.startswith("c2pa.") and key.split("__")[0] not in known]


def no_deprecated_actions(m: Manifest) -> list[Any]:
    return [a["action"] for a in m.actions if a["action"] in DEPRECATED_ACTIONS]


def no_unsupported_actions(m: Manifest) -> list[Any]:
    return [a["action"] for a in m.actions if a["action"].startswith("c2pa.") and a["action"] not in ACTIONS]


def no_unrecognized_custom_assertions(m: Manifest) -> list[Any]:
    return [key for key in m.assertions if not key.startswith("c2pa.") and "." not in key]


def no_unrecognized_custom_actions(m: Manifest) -> list[Any]:
    return [a["action"] for a in m.actions if "." not in a["action"]]


def no_unrecognized_custom_action_parameters(m: Manifest) -> list[Any]:
    keys = [key for a in m.actions for key in a.get("parameters") or {}]
    return [key for key in keys if key not in PARAMETERS and "." not in key]


def discouraged_legacy_action_parameters(m: Manifest) -> list[Any]:
    return [a for a in m.actions if {"description", "ingredient"} & set(a.get("parameters") or {})]


def active_manifest_urn(m: Manifest) -> list[Any]:
    label = m.whole.get("label") or ""
    return [] if label.startswith("urn:c2pa:") else [label]


def review_ratings_datasource(m: Manifest) -> list[Any]:
    human = {"humanEntry.anonymous", "humanEntry.credentialed"}
    return [
        v
        for v in m.values
        if v.get("reviewRatings") is not None and (v.get("dataSource") or {}).get("type") in human
    ]


def ingredient_v3_no_active_manifest(m: Manifest) -> list[Any]:
    return [i for i in m.ingredients if i.get("activeManifest") is None and _has(i, "validationResults")]


def ingredient_v3_mandatory_validation_results(m: Manifest) -> list[Any]:
    return [i for i in m.ingredients if _has(i, "activeManifest") and not i.get("validationResults")]


def ingredient_relationship_values(m: Manifest) -> list[Any]:
    good = {"parentOf", "inputTo", "componentOf"}
    return [i["relationship"] for i in m.ingredients if i["relationship"] not in good]


def mandatory_dst_for_created_action(m: Manifest) -> list[Any]:
    return [a for a in m.actions if a["action"] == "c2pa.created" and not a.get("digitalSourceType")]


def no_deprecated_claim_fields(m: Manifest) -> list[Any]:
    return ["specVersion in claim"] if m.claim.get("specVersion") is not None else []


def ingredient_v3_choice(m: Manifest) -> list[Any]:
    return [i for i in m.ingredients if _has(i, "activeManifest") and _has(i, "digitalSourceType")]


def alternative_content_representation_choice(m: Manifest) -> list[Any]:
    wanted = "exif.originalPreservationImage"
    found = []
    for value in m.values:
        parameters = value.get("parameters") if isinstance(value.get("parameters"), dict) else {}
        if wanted in (value.get("type"), parameters.get("type")):
            present = [
                parameters.get("multiAssetPartIndex"),
                parameters.get("embeddedOriginalPreservationImage"),
            ]
            if sum(one is not None for one in present) != 1:
                found.append(value)
    return found


def forbidden_labels_in_external_references(m: Manifest) -> list[Any]:
    forbidden = ("c2pa.actions", "c2pa.actions.v2", "c2pa.cloud-data", "c2pa.external-reference")
    return [
        v["label"]
        for v in m.values
        if _has(v, "label") and _has(v, "url") and not _has(v, "relationship")
        if v["label"] in forbidden or v["label"].startswith(("c2pa.hash", "c2pa.ingredient"))
    ]


def no_url_in_hashes(m: Manifest) -> list[Any]:
    labels = ("c2pa.hash.data", "c2pa.hash.bmff.v3")
    return [label for label in labels if (m.assertions.get(label) or {}).get("url") is not None]


def all_actions_included_opened(m: Manifest) -> list[Any]:
    alone = len(m.actions) == 1 and m.actions[0]["action"] == "c2pa.opened"
    complete = m.assertions.get("c2pa.actions.v2", {}).get("allActionsIncluded") is True
    return m.actions if alone and not complete else []


def opened_action_ingredient_reference(m: Manifest) -> list[Any]:
    opened = [a for a in m.actions if a["action"] == "c2pa.opened"]
    return [a for a in opened if len((a.get("parameters") or {}).get("ingredients") or []) != 1]


def no_box_hash_for_tiff(m: Manifest) -> list[Any]:
    kind = (m.assertions.get("c2pa.asset-type.v2") or {}).get("dc:format")
    is_tiff = kind in ("image/tiff", "image/x-adobe-dng")
    return ["c2pa.hash.boxes"] if is_tiff and "c2pa.hash.boxes" in m.assertions else []


CHECKS: list[Callable[[Manifest], list[Any]]] = [
    mandatory_dst_for_perceptible_transformations,
    mandatory_spec_version,
    mandatory_all_actions_included,
    no_dst_for_opened_action,
    well_formed_data_present,
    well_formed_success,
    valid_data_present,
    valid_success,
    inception_action_position,
    no_deprecated_assertions,
    no_unsupported_assertions,
    no_deprecated_actions,
    no_unsupported_actions,
    no_unrecognized_custom_assertions,
    no_unrecognized_custom_actions,
    no_unrecognized_custom_action_parameters,
    discouraged_legacy_action_parameters,
    active_manifest_urn,
    review_ratings_datasource,
    ingredient_v3_no_active_manifest,
    ingredient_v3_mandatory_validation_results,
    ingredient_relationship_values,
    mandatory_dst_for_created_action,
    no_deprecated_claim_fields,
    ingredient_v3_choice,
    alternative_content_representation_choice,
    forbidden_labels_in_external_references,
    no_url_in_hashes,
    all_actions_included_opened,
    opened_action_ingredient_reference,
    no_box_hash_for_tiff,
]


def offences(crjson: str | dict[str, Any]) -> dict[str, list[Any]]:
    """Failed requirements and what offends; empty for a conforming manifest."""
    manifest = Manifest(json.loads(crjson) if isinstance(crjson, str) else crjson)
    results = {check.__name__: check(manifest) for check in CHECKS}
    return {name: found for name, found in results.items() if found}

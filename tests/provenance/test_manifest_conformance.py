"""Every manifest that veilmark writes passes the conformance rubric 0.2 for C2PA 2.4.

The rubric states 31 requirements as formulas over crJSON. Here they are restated as functions, one a
requirement, named as in the rubric; a function returns what offends, an empty list where all is well.
"""

from __future__ import annotations

import copy
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from provenance.formats import FORMATS
from provenance.home import Home
from provenance.identity import Identity, create_identity
from provenance.manifest import Action, ManifestSpec, Parent, sign_manifest
from provenance.manifest_read import read_manifest

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
    "manifest.inaccessible",
    "manifest.multipleParents",
    "manifest.timestamp.invalid",
    "manifest.timestamp.wrongParents",
    "manifest.update.invalid",
    "manifest.update.wrongParents",
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
}
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
        self.failures = [one["code"] for one in self.whole.get("validationResults", {}).get("failure", [])]


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
        v for v in m.values if v.get("reviewRatings") and (v.get("dataSource") or {}).get("type") in human
    ]


def ingredient_v3_no_active_manifest(m: Manifest) -> list[Any]:
    return [i for i in m.ingredients if not i.get("activeManifest") and i.get("validationResults")]


def ingredient_v3_mandatory_validation_results(m: Manifest) -> list[Any]:
    return [i for i in m.ingredients if i.get("activeManifest") and not i.get("validationResults")]


def ingredient_relationship_values(m: Manifest) -> list[Any]:
    good = {"parentOf", "inputTo", "componentOf"}
    return [i["relationship"] for i in m.ingredients if i["relationship"] not in good]


def mandatory_dst_for_created_action(m: Manifest) -> list[Any]:
    return [a for a in m.actions if a["action"] == "c2pa.created" and not a.get("digitalSourceType")]


def no_deprecated_claim_fields(m: Manifest) -> list[Any]:
    return ["specVersion in claim"] if m.claim.get("specVersion") is not None else []


def ingredient_v3_choice(m: Manifest) -> list[Any]:
    return [i for i in m.ingredients if i.get("activeManifest") and i.get("digitalSourceType")]


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
        if v.get("label") and v.get("url") and v.get("relationship") is None
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


@pytest.fixture(scope="module")
def signer(tmp_path_factory: pytest.TempPathFactory) -> Identity:
    root = tmp_path_factory.mktemp("identity")
    return create_identity(Home(root, root / "config"), subject="Jane Doe")


@pytest.fixture(scope="module")
def signed(tmp_path_factory: pytest.TempPathFactory, signer: Identity) -> Path:
    """A plain photo, signed, with a thumbnail; ``photo.jpg`` beside it is the unsigned one."""
    folder = tmp_path_factory.mktemp("media")
    rng = np.random.default_rng(1)
    pixels = rng.integers(0, 255, (12, 16, 3), np.uint8).repeat(16, 0).repeat(16, 1)
    Image.fromarray(pixels).save(folder / "photo.jpg")
    spec = ManifestSpec(title="first", thumbnail=True)
    sign_manifest(folder / "photo.jpg", folder / "signed.jpg", spec, signer)
    return folder / "signed.jpg"


C2PATOOL_DEFINITION = {
    "alg": "es256",
    "private_key": "key.pem",
    "sign_cert": "cert.pem",
    "ta_url": "http://timestamp.example",
    "claim_generator_info": [{"name": "Example Editor", "version": "3.1"}],
    "title": "From a definition",
    "assertions": [
        {
            "label": "stds.schema-org.CreativeWork",
            "data": {"@type": "CreativeWork", "author": [{"@type": "Person", "name": "Jane Doe"}]},
            "kind": "Json",
        },
        {
            "label": "c2pa.actions",
            "data": {
                "actions": [
                    {"action": "c2pa.created"},
                    {"action": "c2pa.color_adjustments", "parameters": {"description": "brighter"}},
                    {"action": "org.example.aged", "parameters": {"name": "sepia"}},
                ]
            },
        },
        {"label": "org.example.note", "data": {"text": "hello"}},
    ],
}


def _specs(signed: Path) -> dict[str, ManifestSpec]:
    photo = signed.with_name("photo.jpg")
    return {
        "capture": ManifestSpec(title="a"),
        "capture with everything": ManifestSpec(
            title="a",
            author="Jane",
            description="d",
            device="Canon R5",
            captured_at="2026-11-22T10:00:00Z",
            location=(1.5, -2.5),
            fingerprints={"pdq": "0f" * 32},
            allow_training=True,
            thumbnail=True,
            extra_assertions=[("org.example.note", {"text": "hello"})],
            actions=[Action("c2pa.cropped", description="left"), Action("org.example.aged")],
        ),
        "edit without named actions": ManifestSpec(relation="edited", parents=[Parent(signed)]),
        "edit": ManifestSpec(
            relation="edited",
            parents=[Parent(signed), Parent(photo, relationship="componentOf")],
            actions=[Action("c2pa.cropped"), Action("c2pa.transcoded"), Action("c2pa.published")],
        ),
        "cloak": ManifestSpec(relation="cloaked", parents=[Parent(signed, embed=False)]),
        "cloak of an unsigned picture": ManifestSpec(relation="cloaked", parents=[Parent(photo)]),
        "synthetic": ManifestSpec(relation="synthetic", parents=[Parent(signed, relationship="inputTo")]),
        "synthetic composite": ManifestSpec(
            relation="synthetic",
            digital_source_type="compositeWithTrainedAlgorithmicMedia",
            parents=[Parent(signed, embed=False), Parent(photo, relationship="inputTo")],
        ),
        "definition": ManifestSpec(definition=C2PATOOL_DEFINITION),
        "definition for an edit": ManifestSpec(
            relation="edited", parents=[Parent(signed)], definition=C2PATOOL_DEFINITION
        ),
    }


NAMES = [
    "capture",
    "capture with everything",
    "edit without named actions",
    "edit",
    "cloak",
    "cloak of an unsigned picture",
    "synthetic",
    "synthetic composite",
    "definition",
    "definition for an edit",
]


@pytest.mark.parametrize("name", NAMES)
def test_what_veilmark_writes_conforms(name: str, signed: Path, tmp_path: Path, signer: Identity) -> None:
    spec = _specs(signed)[name]
    sign_manifest(signed.with_name("photo.jpg"), tmp_path / "out.jpg", spec, signer)
    report = read_manifest(tmp_path / "out.jpg", "image/jpeg", anchors_pem=[signer.chain_pem])
    assert report is not None
    assert report.state == "trusted"
    assert offences(report.crjson()) == {}


def test_a_side_car_conforms(signed: Path, tmp_path: Path, signer: Identity) -> None:
    photo = signed.with_name("photo.jpg")
    Image.open(photo).save(tmp_path / "in.bmp")
    store = sign_manifest(
        tmp_path / "in.bmp", tmp_path / "out.bmp", ManifestSpec(), signer, media=FORMATS["BMP"]
    )
    report = read_manifest(tmp_path / "out.bmp", "image/bmp", anchors_pem=(), manifest_data=store)
    assert report is not None
    assert report.state == "valid"
    assert offences(report.crjson()) == {}


def test_every_check_can_fail(signed: Path, signer: Identity) -> None:
    """A check that cannot fail shows nothing: each one finds the offence made for it."""
    report = read_manifest(signed, "image/jpeg", anchors_pem=())
    assert report is not None
    good = json.loads(report.crjson())
    assert offences(good) == {}

    def broken(change: Callable[[dict[str, Any]], object]) -> set[str]:
        document = copy.deepcopy(good)
        change(document["manifests"][0])
        return set(offences(document))

    def act(manifest: dict[str, Any], **action: Any) -> None:
        manifest["assertions"]["c2pa.actions.v2"]["actions"].append(action)

    def put(manifest: dict[str, Any], label: str, value: Any) -> None:
        manifest["assertions"][label] = value

    def fail(manifest: dict[str, Any], code: str) -> None:
        manifest["validationResults"]["failure"].append({"code": code})

    def only_opened(manifest: dict[str, Any]) -> None:
        manifest["assertions"]["c2pa.actions.v2"] = {
            "actions": [{"action": "c2pa.opened", "parameters": {"ingredients": [{}]}}],
            "allActionsIncluded": False,
        }

    ingredient = {"relationship": "parentOf"}
    found: set[str] = set()
    for change in (
        lambda m: act(m, action="c2pa.cropped"),
        lambda m: m["claim.v2"]["claim_generator_info"].pop("specVersion"),
        lambda m: m["assertions"]["c2pa.actions.v2"].pop("allActionsIncluded"),
        lambda m: act(m, action="c2pa.opened", digitalSourceType="x", parameters={"ingredients": [{}]}),
        lambda m: m.pop("validationResults"),
        lambda m: fail(m, "claim.malformed"),
        lambda m: fail(m, "assertion.dataHash.mismatch"),
        lambda m: m["claim.v2"]["created_assertions"].clear(),
        lambda m: put(m, "stds.exif", {}),
        lambda m: put(m, "c2pa.training-mining", {}),
        lambda m: act(m, action="c2pa.saved"),
        lambda m: put(m, "note", {}),
        lambda m: act(m, action="aged"),
        lambda m: act(m, action="c2pa.published", parameters={"name": 1}),
        lambda m: act(m, action="c2pa.published", parameters={"description": "x"}),
        lambda m: m.update(label="urn:uuid:1"),
        lambda m: put(m, "org.x", {"reviewRatings": [1], "dataSource": {"type": "humanEntry.anonymous"}}),
        lambda m: put(m, "c2pa.ingredient.v3", {**ingredient, "validationResults": {"a": 1}}),
        lambda m: put(m, "c2pa.ingredient.v3", {**ingredient, "activeManifest": {"a": 1}}),
        lambda m: put(m, "c2pa.ingredient.v3", {"relationship": "friendOf"}),
        lambda m: act(m, action="c2pa.created"),
        lambda m: m["claim.v2"].update(specVersion="2.4"),
        lambda m: put(
            m,
            "c2pa.ingredient.v3",
            {
                **ingredient,
                "activeManifest": {"a": 1},
                "validationResults": {"a": 1},
                "digitalSourceType": "x",
            },
        ),
        lambda m: put(m, "org.x", {"type": "exif.originalPreservationImage", "parameters": {}}),
        lambda m: put(m, "org.x", {"label": "c2pa.hash.data", "url": "u"}),
        lambda m: m["assertions"]["c2pa.hash.data"].update(url="u"),
        only_opened,
        lambda m: act(m, action="c2pa.opened"),
        lambda m: m["assertions"].update(
            {"c2pa.hash.boxes": {}, "c2pa.asset-type.v2": {"dc:format": "image/tiff"}}
        ),
        lambda m: act(m, action="c2pa.invented", digitalSourceType="x"),
    ):
        offended = broken(change)
        assert offended
        found |= offended
    assert found == {check.__name__ for check in CHECKS}


@pytest.mark.vectors
def test_the_checks_are_those_of_the_rubric(test_data: Path) -> None:
    rubric = test_data / "vectors/c2pa/asset-rubrics/asset-rubric-conformance0.2-spec2.4.yml"
    stated = re.findall(r"^- id: validation:(\w+)$", rubric.read_text(), re.MULTILINE)
    assert len(stated) == 31
    assert stated == [check.__name__ for check in CHECKS]

"""Every manifest that veilmark writes passes the conformance rubric 0.2 for C2PA 2.4."""

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

from provenance.home import Home
from provenance.identity.identity import Identity, create_identity
from provenance.manifest.embed import Action, ManifestSpec, Parent, sign_manifest
from provenance.manifest.read import read_manifest
from provenance.media.formats import FORMATS
from tests.support import conformance
from tests.support.conformance import CHECKS, offences
from tests.support.media_files import MAKERS


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


@pytest.mark.parametrize("form", MAKERS)
def test_every_format_conforms(form: str, tmp_path: Path, signer: Identity) -> None:
    source, media = tmp_path / f"in{FORMATS[form].suffix}", FORMATS[form]
    MAKERS[form](source)
    store = sign_manifest(source, tmp_path / "out", ManifestSpec(title=form), signer, media=media)
    sidecar = None if media.embeddable else store
    report = read_manifest(
        tmp_path / "out", media.mime, anchors_pem=[signer.chain_pem], manifest_data=sidecar
    )
    assert report is not None
    assert report.state == "trusted"
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
        lambda m: put(m, "c2pa.ingredient.v3", {**ingredient, "validationResults": {}}),
        lambda m: put(m, "c2pa.ingredient.v3", {**ingredient, "activeManifest": {}}),
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


@pytest.mark.vectors
@pytest.mark.parametrize(
    ("variable", "ours"),
    [
        ("inception_actions", conformance.INCEPTION),
        ("non_editorial_actions", conformance.NON_EDITORIAL),
        ("well_formed_error_codes", conformance.MALFORMED),
        ("valid_error_codes", conformance.MISMATCHES),
        ("allowed_assertions", conformance.ASSERTIONS),
        ("allowed_actions", conformance.ACTIONS),
        ("deprecated_assertion_labels", conformance.DEPRECATED_ASSERTIONS),
        ("deprecated_action_labels", conformance.DEPRECATED_ACTIONS),
        ("standard_parameters", conformance.PARAMETERS),
    ],
)
def test_the_lists_are_those_of_the_rubric(variable: str, ours: set[str], test_data: Path) -> None:
    rubric = test_data / "vectors/c2pa/asset-rubrics/asset-rubric-conformance0.2-spec2.4.yml"
    listed = re.search(rf"^  \${variable}:\n((?:  - .+\n)+)", rubric.read_text(), re.MULTILINE)
    assert listed
    assert {line.removeprefix("  - ") for line in listed[1].splitlines()} == ours

"""c2patool's manifest definitions, merged into what veilmark writes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from provenance.errors import MissingPathError, UsageError
from provenance.home import Home
from provenance.identity.identity import Identity, create_identity
from provenance.manifest.definition import load_definition
from provenance.manifest.embed import ManifestSpec, Parent, sign_manifest
from provenance.manifest.read import ManifestReport, read_manifest


@pytest.fixture(scope="module")
def signer(tmp_path_factory: pytest.TempPathFactory) -> Identity:
    root = tmp_path_factory.mktemp("identity")
    return create_identity(Home(root, root / "config"), subject="Jane Doe")


@pytest.fixture
def photo(tmp_path: Path) -> Path:
    Image.radial_gradient("L").convert("RGB").save(tmp_path / "photo.jpg")
    return tmp_path / "photo.jpg"


def _signed(photo: Path, signer: Identity, definition: dict[str, Any], **spec: Any) -> ManifestReport:
    output = photo.with_name("out.jpg")
    full = ManifestSpec(definition=definition, definition_folder=photo.parent, **spec)
    sign_manifest(photo, output, full, signer)
    report = read_manifest(output, "image/jpeg", anchors_pem=[signer.chain_pem])
    assert report is not None
    assert report.state == "trusted"
    return report


def test_title_author_actions_and_own_assertions_are_taken_over(photo: Path, signer: Identity) -> None:
    definition = {
        "alg": "ps256",
        "private_key": "/etc/shadow",
        "claim_generator_info": [{"name": "Example Editor", "version": "3.1"}],
        "title": "From a definition",
        "assertions": [
            {
                "label": "stds.schema-org.CreativeWork",
                "data": {"author": [{"name": "Jane"}, {"name": "Joe"}]},
            },
            {
                "label": "c2pa.actions",
                "data": {
                    "actions": [
                        {"action": "c2pa.created", "digitalSourceType": _type("computationalCapture")},
                        {"action": "c2pa.color_adjustments", "parameters": {"name": "brighter"}},
                    ],
                    "allActionsIncluded": False,
                },
            },
            {"label": "org.example.note", "data": {"text": "hello"}},
            {"label": "cawg.training-mining", "data": {"entries": {"cawg.ai_inference": {"use": "allowed"}}}},
        ],
    }
    report = _signed(photo, signer, definition, title="ours")
    assert report.title == "From a definition"
    assert report.claim_generator == "Example Editor 3.1"
    assert report.metadata["dc:creator"] == ["Jane", "Joe"]
    assert [action["action"] for action in report.actions] == ["c2pa.created", "c2pa.adjustedColor"]
    assert report.digital_source_type == "computationalCapture"
    assert report.training == {"ai_inference": "allowed"}
    assertions = json.loads(report.crjson())["manifests"][0]["assertions"]
    assert assertions["org.example.note"] == {"text": "hello"}
    assert assertions["c2pa.actions.v2"]["allActionsIncluded"] is False


def _type(name: str) -> str:
    return f"http://cv.iptc.org/newscodes/digitalsourcetype/{name}"


def test_an_opened_action_of_the_definition_is_the_one_we_write(photo: Path, signer: Identity) -> None:
    actions = {
        "actions": [{"action": "c2pa.opened", "description": "from the wire"}, {"action": "c2pa.cropped"}]
    }
    definition = {"assertions": [{"label": "c2pa.actions.v2", "data": actions}]}
    report = _signed(photo, signer, definition, relation="edited", parents=[Parent(photo)])
    assert [action["action"] for action in report.actions] == ["c2pa.opened", "c2pa.cropped"]
    assert report.actions[0]["description"] == "from the wire"
    assert len(report.ingredients) == 1


def test_files_that_the_definition_names_are_read(photo: Path, signer: Identity) -> None:
    folder = photo.parent / "parts"
    folder.mkdir()
    Image.new("RGB", (16, 16), "red").save(folder / "logo.png")
    Image.new("RGB", (32, 32), "blue").save(folder / "thumb.jpg")
    definition = {
        "base_path": "parts",
        "ingredient_paths": ["logo.png"],
        "ingredients": [{"title": "told only", "format": "image/png", "relationship": "componentOf"}],
        "thumbnail": {"format": "image/jpeg", "identifier": "thumb.jpg"},
    }
    report = _signed(photo, signer, definition)
    assert {one["title"] for one in report.ingredients} == {"logo.png", "told only"}
    assert report.thumbnail
    with pytest.raises(MissingPathError, match=r"absent\.png"):
        _signed(photo, signer, {"ingredient_paths": ["absent.png"]})


@pytest.mark.parametrize(
    "definition",
    [
        {"assertions": "many"},
        {"assertions": [{"data": {}}]},
        {"assertions": [{"label": "org.x", "data": 5}]},
        {"assertions": [{"label": "c2pa.actions", "data": {"actions": "all"}}]},
        {"assertions": [{"label": "c2pa.actions", "data": {"actions": [{"no": "name"}]}}]},
        {"title": 5},
        {"title": "x" * 5000},
        {"claim_generator_info": ["me"]},
        {"ingredient_paths": "photo.jpg"},
        {"ingredient_paths": [5]},
    ],
)
def test_malformed_definitions_are_refused(photo: Path, signer: Identity, definition: dict[str, Any]) -> None:
    with pytest.raises(UsageError):
        sign_manifest(photo, photo.with_name("out.jpg"), ManifestSpec(definition=definition), signer)


def test_definition_files_are_checked(tmp_path: Path) -> None:
    good = tmp_path / "good.json"
    good.write_text('{"title": "t"}')
    assert load_definition(good) == {"title": "t"}
    for text in ("{", "[]", "[" * 100_000):
        good.write_text(text)
        with pytest.raises(UsageError):
            load_definition(good)
    with pytest.raises(MissingPathError):
        load_definition(tmp_path / "absent.json")

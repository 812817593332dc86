"""From an original to what is published of it, by one call from Python."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import skimage.data
from PIL import Image

from cloak import CloakOptions, PublishRequest, publish_file
from cloak.assertion import CLOAK_LABEL, already_cloaked
from provenance.errors import NoFaceError, OutputExistsError, UsageError
from provenance.home import Home
from provenance.manifest.read import read_manifest
from provenance.manifest.spec import ManifestSpec, Parent
from provenance.media.files import sha256_file
from provenance.session import Session, open_session
from provenance.setup import initialize
from provenance.sign import SignRequest, sign_file
from provenance.trust.store import TrustStore
from provenance.verify import verify_file

QUICK = PublishRequest(CloakOptions(detectors=("blazeface-short",), judges=(), steps=1, rounds=1))


@pytest.fixture
def session() -> Iterator[Session]:
    home = Home.locate()
    initialize(home, subject="Photographer", algorithm="es256", passphrase=None)
    with open_session(home) as opened:
        yield opened


@pytest.fixture
def portrait(tmp_path: Path) -> Path:
    path = tmp_path / "portrait.png"
    Image.fromarray(skimage.data.astronaut()[:256, 100:356]).save(path)
    return path


def test_the_manifest_says_how_it_was_cloaked_and_names_the_original(
    session: Session, portrait: Path, tmp_path: Path
) -> None:
    original, output = sha256_file(portrait), tmp_path / "out.png"
    told: list[float] = []
    done = publish_file(portrait, output, QUICK, session, progress=told.append)
    assert done.report is not None and done.signed is not None and told[-1] == 1
    assert sha256_file(portrait) == original
    assert done.to_json()["schema"] == "veilmark.cloaked/1" and json.dumps(done.to_json())

    verdict = verify_file(output, TrustStore.load(session.home))
    assert (verdict.state, verdict.relation) == ("trusted", "cloaked")
    assert [one["sha256"] for one in verdict.ingredients] == [original]
    report = read_manifest(output, "image/png", anchors_pem=())
    assert report is not None and CLOAK_LABEL in report.assertion_labels
    manifest = json.loads(report.crjson())["manifests"][0]
    said = manifest["assertions"][CLOAK_LABEL]
    assert said == {
        "version": 1,
        "veil": "film",
        "strength": "mid",
        "attack": "ensemble",
        "attacked": ["blazeface-short"],
    }
    with pytest.raises(UsageError, match="cloaked already"):
        publish_file(output, tmp_path / "twice.png", QUICK, session)
    with pytest.raises(OutputExistsError):
        publish_file(portrait, output, QUICK, session)
    assert not (tmp_path / "twice.png").exists()


def test_files_from_before_there_was_the_assertion_are_known(
    session: Session, portrait: Path, tmp_path: Path
) -> None:
    old, edited = tmp_path / "old.png", tmp_path / "edited.png"
    sign_file(
        portrait, old, SignRequest(ManifestSpec(relation="cloaked", parents=(Parent(portrait),))), session
    )
    sign_file(
        portrait, edited, SignRequest(ManifestSpec(relation="edited", parents=(Parent(portrait),))), session
    )
    assert already_cloaked(old) and not already_cloaked(edited) and not already_cloaked(portrait)


def test_without_a_face_nothing_is_written_unless_asked_for(tmp_path: Path) -> None:
    source, output = tmp_path / "grey.png", tmp_path / "out.png"
    Image.fromarray(np.full((96, 96, 3), 120, np.uint8)).save(source)
    with pytest.raises(NoFaceError):
        publish_file(source, output, QUICK)
    assert not output.exists()
    done = publish_file(source, output, PublishRequest(QUICK.options, faceless=True))
    assert done.report is None and done.signed is None and not done.success and output.exists()

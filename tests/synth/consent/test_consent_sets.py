"""Footage that nobody signed, sets of files, and what extracted faces carry on about consent."""

from __future__ import annotations

from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from provenance.errors import ConsentError, MediaError, TamperedError
from provenance.home import Home
from provenance.identity.identity import Identity
from provenance.manifest.embed import ManifestSpec
from provenance.session import open_session
from provenance.sign import SignRequest, sign_file
from synth.consent.permission import carried_permission, permission_for
from synth.consent.statement import parse_statement
from tests.synth.consent.test_consent import statement_for


def test_unsigned_footage_needs_a_declaration_which_is_said(
    home: Home, portrait_files: dict[str, Path]
) -> None:
    with pytest.raises(ConsentError, match="not signed") as caught:
        permission_for([portrait_files["hopper"]], home)
    assert "--i-have-consent" in str(caught.value.hint)
    found = permission_for([portrait_files["hopper"]], home, declared=True)
    assert found.basis == "declared" and "declared to have consent" in found.sentence


def test_without_any_home_unsigned_footage_can_be_declared(portrait_files: dict[str, Path]) -> None:
    assert permission_for([portrait_files["hopper"]], Home.locate(), declared=True).basis == "declared"


def test_a_manifest_that_allows_training_is_enough(
    home: Home, owner_home: Home, portrait_files: dict[str, Path], tmp_path: Path
) -> None:
    with open_session(owner_home) as session:
        spec = ManifestSpec(allow_training=True)
        sign_file(portrait_files["hopper"], tmp_path / "free.jpg", SignRequest(spec), session)
    found = permission_for([tmp_path / "free.jpg"], home)
    assert found.basis == "allowed" and "allows training" in found.sentence


def test_a_set_stands_on_its_weakest_file(
    home: Home, owner: Identity, signed: Path, portrait_files: dict[str, Path]
) -> None:
    statement = parse_statement(statement_for([signed], owner))
    found = permission_for([signed, portrait_files["hopper"]], home, statements=[statement], declared=True)
    assert found.basis == "declared" and [basis for _, basis, _ in found.files] == ["statement", "declared"]
    assert found.sentence.startswith("the person who used the footage declared")


@pytest.mark.parametrize("carried", [{}, {"basis": "because"}, {"basis": "own-key", "evidence": "x"}])
def test_faces_that_say_nothing_about_consent_are_refused(home: Home, carried: dict[str, Any]) -> None:
    with pytest.raises(ConsentError):
        carried_permission(carried, home)


def test_a_carried_statement_cannot_be_dropped_or_altered(home: Home, owner: Identity, signed: Path) -> None:
    statement = parse_statement(statement_for([signed], owner))
    carried = permission_for([signed], home, statements=[statement]).to_json()
    with pytest.raises(ConsentError, match="missing"):
        carried_permission({**carried, "evidence": []}, home)
    carried["evidence"][0]["purpose"] = "anything"
    with pytest.raises(TamperedError):
        carried_permission(carried, home)


def test_broken_footage_is_an_error_of_its_own(home: Home, tmp_path: Path) -> None:
    noise = np.random.default_rng(1).integers(0, 255, 3000, np.uint8).tobytes()
    (tmp_path / "x.jpg").write_bytes(b"\xff\xd8\xff\xe0" + noise)
    with pytest.raises(MediaError):
        permission_for([tmp_path / "x.jpg"], home, declared=True)


def test_dates_are_read_strictly() -> None:
    assert date.fromisoformat("2026-01-31")
    from synth.consent.statement import _day

    assert (
        _day("2026-02-30") is None
        and _day("20260101") is None
        and _day("2026-1-1") is None
        and _day(5) is None
    )

"""Revocation: who may take a key back, and what stays valid."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from provenance.errors import CheckError, IdentityError, TamperedError
from provenance.home import Home
from provenance.identity.admin import rotate_identity
from provenance.identity.identity import Identity, create_identity, root_folder
from provenance.trust.revocation import check_revocations, parse_revocation, revoke_key


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return Home(tmp_path / "data", tmp_path / "config")


@pytest.fixture
def identity(home: Home) -> Identity:
    return create_identity(home, subject="Jane Doe")


def test_a_revocation_names_key_moment_and_reason(home: Home, identity: Identity) -> None:
    text = revoke_key(home, "default", reason="keyCompromise", revoked_at="2026-01-02T03:04:05+01:00")
    revocation = parse_revocation(text)
    assert revocation.key_id == identity.key_id
    assert revocation.name == "Jane Doe"
    assert revocation.revoked_at == "2026-01-02T02:04:05Z"
    assert revocation.reason == "keyCompromise"
    assert revocation.by_root


@pytest.mark.parametrize(
    ("times", "valid"),
    [
        ([("anchored", "2025-12-31T00:00:00Z")], True),
        ([("witnessed", "2025-12-31T00:00:00Z")], True),
        ([("time-stamped", "2026-01-01T00:00:00Z")], True),
        ([("anchored", "2026-01-01T00:00:01Z")], False),
        ([("self-asserted", "2020-01-01T00:00:00Z")], False),
        ([("logged", "2020-01-01T00:00:00Z")], False),
        ([("logged", "2020-01-01T00:00:00Z"), ("anchored", "2027-01-01T00:00:00Z")], False),
        ([("anchored", "nonsense")], False),
        ([], False),
    ],
)
def test_only_independent_evidence_from_before_keeps_a_signature_valid(
    home: Home, identity: Identity, times: list[tuple[str, str]], valid: bool
) -> None:
    text = revoke_key(home, "default", revoked_at="2026-01-01T00:00:00Z")
    found = check_revocations([text], identity.key_id, times)
    assert found.valid is valid
    assert "Jane Doe" in found.explanation
    assert check_revocations([text], "00" * 32, times).valid, "another key is not concerned"
    assert check_revocations([], identity.key_id, times).explanation == ""


def test_the_earliest_of_several_counts_and_scraps_do_not(home: Home, identity: Identity) -> None:
    late = revoke_key(home, "default", revoked_at="2026-06-01T00:00:00Z")
    early = revoke_key(home, "default", revoked_at="2026-01-01T00:00:00Z")
    found = check_revocations(
        ["scrap", late, "{}", early], identity.key_id, [("anchored", "2026-03-01T00:00:00Z")]
    )
    assert not found.valid
    assert found.revocation is not None
    assert found.revocation.revoked_at == "2026-01-01T00:00:00Z"


def test_a_key_that_was_rotated_away_can_be_revoked(home: Home, identity: Identity) -> None:
    new = rotate_identity(home, "default").identity
    revocation = parse_revocation(revoke_key(home, "default", key_id=identity.key_id))
    assert revocation.key_id == identity.key_id != new.key_id
    with pytest.raises(IdentityError, match="never had a key"):
        revoke_key(home, "default", key_id="00" * 32)


def test_without_the_root_a_key_takes_itself_back_from_now_on_only(home: Home, identity: Identity) -> None:
    shutil.rmtree(root_folder(home, "default"))
    revocation = parse_revocation(revoke_key(home, "default"))
    assert not revocation.by_root
    assert revocation.revoked_at == revocation.issued_at
    with pytest.raises(IdentityError, match="root key"):
        revoke_key(home, "default", revoked_at="2026-01-01T00:00:00Z")


def test_nobody_else_can_revoke(home: Home, identity: Identity, tmp_path: Path) -> None:
    stranger_home = Home(tmp_path / "x", tmp_path / "x")
    stranger = create_identity(stranger_home, subject="Jane Doe")
    mine = json.loads(revoke_key(home, "default"))
    theirs = json.loads(revoke_key(stranger_home, "default"))
    for forged in (
        {**mine, "revoked_at": "2020-01-01T00:00:00Z"},
        {**mine, "key_id": stranger.key_id},
        {**theirs, "certificate": mine["certificate"], "key_id": mine["key_id"]},
    ):
        with pytest.raises(TamperedError):
            parse_revocation(json.dumps(forged))
        assert check_revocations([json.dumps(forged)], identity.key_id, []).valid


def test_a_stolen_key_cannot_take_back_the_past(home: Home, identity: Identity) -> None:
    """The leaf signs a statement that claims an earlier moment, as its thief could."""
    import base64

    from provenance.record import canonical_json
    from provenance.trust.revocation import _CONTEXT

    shutil.rmtree(root_folder(home, "default"))
    body = json.loads(revoke_key(home, "default"))
    del body["signature"]
    body["revoked_at"] = "2020-01-01T00:00:00Z"
    signature = identity.sign(_CONTEXT + canonical_json(body))
    forged = json.dumps({**body, "signature": base64.b64encode(signature).decode()})
    with pytest.raises(TamperedError, match="for the past"):
        parse_revocation(forged)


@pytest.mark.parametrize("text", ["", "{}", "[]", "null", '{"signature": 1}', "x" * 70_000])
def test_nonsense_is_not_a_statement(text: str) -> None:
    with pytest.raises(CheckError):
        parse_revocation(text)


def test_wishes_are_checked(home: Home, identity: Identity) -> None:
    with pytest.raises(IdentityError, match="future"):
        revoke_key(home, "default", revoked_at="2999-01-01T00:00:00Z")
    with pytest.raises(IdentityError, match="no time"):
        revoke_key(home, "default", revoked_at="yesterday")
    with pytest.raises(IdentityError, match="unknown reason"):
        revoke_key(home, "default", reason="bored")

"""Whose footage may be used: claims, statements of consent, and every way around them that we could think of."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from provenance.errors import CheckError, ConsentError, ExitCode, TamperedError, UsageError
from provenance.home import Home
from provenance.identity.admin import rotate_identity
from provenance.identity.certificates import generate_key, make_leaf, make_root, parse_chain, to_der
from provenance.identity.identity import (
    Identity,
    Kind,
    create_identity,
    identity_folder,
    load_identity,
    store_identity,
)
from provenance.identity.keyfiles import key_signer
from provenance.manifest.embed import ManifestSpec
from provenance.record import canonical_json
from provenance.session import open_session
from provenance.setup import initialize
from provenance.sign import SignRequest, record_file, sign_file
from provenance.trust.revocation import revoke_key
from provenance.trust.store import TrustStore
from synth.consent.permission import carried_permission, permission_for
from synth.consent.statement import _CONTEXT, make_statement, parse_statement, read_statement
from synth.label import Generated, label_generated


def recorded_here(home: Home, owner: Identity, source: Path, tmp_path: Path) -> Path:
    """The owner's signed picture, whose record lies in the researcher's ledger too (a shared one)."""
    with open_session(home) as session:
        session.identity = owner
        output = tmp_path / "recorded.jpg"
        # that it is a capture is said: the ledger may know media that was generated from it
        spec = ManifestSpec(digital_source_type="digitalCapture")
        sign_file(source, output, SignRequest(spec), session)
    return output


def stripped(path: Path, target: Path, quality: int = 80) -> Path:
    """Decoded and encoded anew: other bytes, no manifest."""
    Image.open(path).convert("RGB").save(target, quality=quality)
    return target


def statement_for(files: list[Path], by: Identity, **changes: Any) -> bytes:
    return make_statement(files, by, **{"to": "Researcher", "purpose": "measuring cloaks", **changes})


def test_signed_footage_of_somebody_else_is_refused(home: Home, signed: Path) -> None:
    with pytest.raises(ConsentError, match=r"'Owner'.*forbids") as caught:
        permission_for([signed], home, declared=True)
    assert caught.value.exit_code == ExitCode.NO_CONSENT == 8
    assert "veilmark consent" in str(caught.value.hint)


def test_the_owners_own_key_passes(owner_home: Home, signed: Path) -> None:
    found = permission_for([signed], owner_home)
    assert found.basis == "own-key" and found.files[0][2] == load_identity(owner_home).key_id


def test_a_protected_own_key_needs_its_passphrase(tmp_path: Path, portrait_files: dict[str, Path]) -> None:
    home = Home(data=tmp_path / "locked", config=tmp_path / "locked" / "config")
    initialize(home, subject="Careful", algorithm="ed25519", passphrase="correct horse")
    with open_session(home, passphrase="correct horse") as session:
        sign_file(portrait_files["hopper"], tmp_path / "h.jpg", SignRequest(ManifestSpec()), session)
    assert permission_for([tmp_path / "h.jpg"], home, passphrase=lambda _: "correct horse").basis == "own-key"
    for wrong in (None, "incorrect horse"):
        with pytest.raises(ConsentError, match="forbids"):
            permission_for([tmp_path / "h.jpg"], home, passphrase=lambda _, said=wrong: said)


def test_a_rotated_key_is_still_the_owners(owner_home: Home, signed: Path) -> None:
    rotate_identity(owner_home, "default")
    assert permission_for([signed], owner_home).basis == "own-key"


def test_a_certificate_without_its_key_is_not_an_own_key(home: Home, owner_home: Home, signed: Path) -> None:
    """The owner's public chain, put beside the researcher's key, proves nothing; nor does it as a retired one."""
    create_identity(home, "fake", subject="Owner")
    chain = (identity_folder(owner_home, "default") / "chain.pem").read_bytes()
    retired = identity_folder(home, "fake") / "retired"
    retired.mkdir(mode=0o700)
    (retired / "owner.pem").write_bytes(chain)
    (retired / "owner.pem").chmod(0o600)
    with pytest.raises(ConsentError, match="forbids"):
        permission_for([signed], home)
    (identity_folder(home, "fake") / "chain.pem").write_bytes(chain)
    with pytest.raises(ConsentError, match="forbids"):
        permission_for([signed], home)


def test_a_signer_elsewhere_that_cannot_sign_for_the_key_proves_nothing(
    home: Home, owner_home: Home, signed: Path
) -> None:
    """The owner's chain with a program that signs nothing, imported as a key that is elsewhere."""
    chain = (identity_folder(owner_home, "default") / "chain.pem").read_bytes()
    store_identity(
        home,
        "pretended",
        kind=Kind.EXTERNAL,
        algorithm="es256",
        chain=parse_chain(chain),
        files={},
        where={"command": ["/bin/cat"]},
    )
    with pytest.raises(ConsentError, match="forbids"):
        permission_for([signed], home)


def test_a_statement_by_the_owners_key_passes_and_travels(home: Home, owner: Identity, signed: Path) -> None:
    statement = parse_statement(statement_for([signed], owner, until="2999-12-31"))
    found = permission_for([signed], home, statements=[statement])
    assert found.basis == "statement"
    assert "consent of Owner" in found.sentence and "measuring cloaks" in found.sentence
    carried = json.loads(json.dumps(found.to_json()))
    assert carried_permission(carried, home) == found.sentence


def test_a_statement_covers_the_stripped_copy_that_the_ledger_recognises(
    home: Home, owner: Identity, portrait_files: dict[str, Path], tmp_path: Path
) -> None:
    published = recorded_here(home, owner, portrait_files["astronaut"], tmp_path)
    copy = stripped(published, tmp_path / "copy.jpg")
    with pytest.raises(ConsentError, match=r"ledger entry 0, found by its looks.*'Owner'"):
        permission_for([copy], home, declared=True)
    statement = parse_statement(statement_for([published], owner))
    assert permission_for([copy], home, statements=[statement]).basis == "statement"


# what somebody may try


def test_signing_it_again_does_not_make_it_ones_own(
    home: Home, owner: Identity, portrait_files: dict[str, Path], tmp_path: Path
) -> None:
    published = recorded_here(home, owner, portrait_files["astronaut"], tmp_path)
    copy = stripped(published, tmp_path / "copy.jpg")
    with open_session(home) as session:
        spec = ManifestSpec(allow_training=True)
        sign_file(copy, tmp_path / "mine.jpg", SignRequest(spec), session)
    with pytest.raises(ConsentError, match="ledger entry 0"):
        permission_for([tmp_path / "mine.jpg"], home, declared=True)


def test_signing_over_the_manifest_keeps_the_owners_word(home: Home, signed: Path, tmp_path: Path) -> None:
    """The owner's manifest stays inside as that of an ingredient, whatever the new one allows."""
    with open_session(home) as session:
        sign_file(signed, tmp_path / "over.jpg", SignRequest(ManifestSpec(allow_training=True)), session)
    with pytest.raises(ConsentError, match="what it was made from"):
        permission_for([tmp_path / "over.jpg"], home, declared=True)


def test_who_recorded_it_first_in_the_same_ledger_is_not_stopped_by_a_later_signer(
    home: Home, owner: Identity, portrait_files: dict[str, Path], tmp_path: Path
) -> None:
    with open_session(home) as session:
        sign_file(portrait_files["astronaut"], tmp_path / "first.jpg", SignRequest(ManifestSpec()), session)
    recorded_here(home, owner, stripped(portrait_files["astronaut"], tmp_path / "c.jpg"), tmp_path)
    assert permission_for([tmp_path / "first.jpg"], home).basis == "own-key"


def test_recording_what_nobody_signed_does_not_make_it_ones_own(
    home: Home, portrait_files: dict[str, Path]
) -> None:
    """A record says that somebody has seen the file, not that it is theirs: a declaration is still needed."""
    with open_session(home) as session:
        record_file(portrait_files["hopper"], session)
    with pytest.raises(ConsentError, match="not signed"):
        permission_for([portrait_files["hopper"]], home)
    assert permission_for([portrait_files["hopper"]], home, declared=True).basis == "declared"


def generated_from(home: Home, source: Path, output: Path) -> Path:
    """What a generator made of a picture, labelled by the researcher: here a brighter copy."""
    with Image.open(source) as picture:
        made = Image.eval(picture.convert("RGB"), lambda value: min(255, value + 3))
    unlabelled = output.with_name("unlabelled.png")
    made.save(unlabelled)
    about = Generated(
        "veilmark synth swap", [source], True, "declared", learned_from=[("other.mp4", "training")]
    )
    with open_session(home) as session:
        label_generated(unlabelled, output, about, session)
    return output


def test_what_was_generated_from_footage_does_not_make_the_footage_ones_own(
    home: Home, owner: Identity, portrait_files: dict[str, Path], tmp_path: Path
) -> None:
    """The label of a swap is signed by whoever swapped; it says nothing about whose the footage is."""
    footage = portrait_files["astronaut"]
    made = generated_from(home, footage, tmp_path / "made.png")
    for path in (footage, made, stripped(made, tmp_path / "copy.jpg")):
        with pytest.raises(ConsentError, match="not signed"):
            permission_for([path], home)
        assert permission_for([path], home, declared=True).basis == "declared"
    # an owner who comes into the same ledger later is not silenced by it either
    recorded_here(home, owner, footage, tmp_path)
    with pytest.raises(ConsentError, match=r"'Owner'.*forbids"):
        permission_for([footage], home, declared=True)


def test_footage_of_ones_own_stays_so_after_something_was_generated_from_it(
    home: Home, portrait_files: dict[str, Path], tmp_path: Path
) -> None:
    own = tmp_path / "own.jpg"
    with open_session(home) as session:
        sign_file(portrait_files["astronaut"], own, SignRequest(ManifestSpec()), session)
    made = generated_from(home, own, tmp_path / "made.png")
    assert permission_for([own], home).basis == "own-key"
    assert permission_for([made], home).basis == "own-key", "found by its looks: it shows one's own picture"


def test_recording_a_signed_file_first_does_not_silence_its_manifest(home: Home, signed: Path) -> None:
    with open_session(home) as session:
        record_file(signed, session)
    with pytest.raises(ConsentError, match="its manifest"):
        permission_for([signed], home)


def test_a_manifest_that_the_store_has_lost_forbids(
    home: Home, owner: Identity, portrait_files: dict[str, Path], tmp_path: Path
) -> None:
    published = recorded_here(home, owner, portrait_files["astronaut"], tmp_path)
    copy = stripped(published, tmp_path / "copy.jpg")
    for block in home.store.rglob("*"):
        if block.is_file():
            block.unlink()
    with pytest.raises(ConsentError, match="ledger entry 0"):
        permission_for([copy], home, declared=True)


def changed(data: bytes, change: Callable[[dict[str, Any]], None]) -> bytes:
    body = json.loads(data)
    change(body)
    return json.dumps(body).encode()


@pytest.mark.parametrize(
    "change",
    [
        lambda body: body.update(to="Somebody else"),
        lambda body: body.update(to_key=None, purpose="anything"),
        lambda body: body.update(until=None),
        lambda body: body.update(issued="2020-01-01T00:00:00Z"),
        lambda body: body["files"][0].update(sha256="0" * 64),
        lambda body: body["files"].append(dict(body["files"][0], sha256="1" * 64)),
        lambda body: body["signer"].update(name="Other"),
        lambda body: body["signer"].update(key_id="2" * 64),
        lambda body: body.update(chain=body["chain"][::-1]),
    ],
)
def test_an_altered_statement_is_refused(
    owner: Identity, signed: Path, change: Callable[[dict[str, Any]], None]
) -> None:
    good = statement_for([signed], owner, until="2999-01-01", to_key="3" * 64)
    parse_statement(good)
    with pytest.raises(TamperedError) as caught:
        parse_statement(changed(good, change))
    assert caught.value.exit_code == ExitCode.TAMPERED


def test_a_statement_by_another_key_does_not_count(home: Home, signed: Path, tmp_path: Path) -> None:
    """Not one by the researcher's own, nor one by a stranger who calls himself by the owner's name."""
    namesake = Home(data=tmp_path / "x", config=tmp_path / "x" / "config")
    initialize(namesake, subject="Owner", algorithm="es256", passphrase=None)
    for other in (load_identity(home), load_identity(namesake)):
        statement = parse_statement(statement_for([signed], other))
        with pytest.raises(ConsentError, match="by another key"):
            permission_for([signed], home, statements=[statement])


def test_a_statement_signed_by_one_key_in_the_name_of_another_is_refused(
    home: Home, owner: Identity, signed: Path
) -> None:
    """The owner's certificate and key id, and the researcher's signature."""
    body = json.loads(statement_for([signed], owner))
    del body["signature"]
    forged = load_identity(home).sign(_CONTEXT + canonical_json(body))
    with pytest.raises(TamperedError, match="not made by 'Owner'"):
        parse_statement(json.dumps({**body, "signature": base64.b64encode(forged).decode()}).encode())


def test_a_statement_whose_leaf_is_of_the_owners_name_but_another_root_is_refused(
    owner: Identity, home: Home, signed: Path
) -> None:
    key, root_key = generate_key("es256"), generate_key("es256")
    root = make_root(root_key, "Owner")
    leaf = make_leaf(root, root_key, key.public_key(), "Owner")
    body = json.loads(statement_for([signed], owner))
    del body["signature"]
    body["chain"] = [base64.b64encode(to_der(one)).decode() for one in (leaf, root)]
    forged = key_signer(key)(_CONTEXT + canonical_json(body))
    with pytest.raises(TamperedError, match="another key"):
        parse_statement(json.dumps({**body, "signature": base64.b64encode(forged).decode()}).encode())


def test_a_statement_about_another_file_does_not_count(
    home: Home, owner: Identity, signed: Path, portrait_files: dict[str, Path]
) -> None:
    statement = parse_statement(statement_for([portrait_files["hopper"]], owner))
    with pytest.raises(ConsentError, match="about other files"):
        permission_for([signed], home, statements=[statement])


def test_a_statement_for_a_manifest_does_not_cover_content_under_it_that_was_changed(
    home: Home, owner: Identity, signed: Path, tmp_path: Path
) -> None:
    data = bytearray(signed.read_bytes())
    data[-200] ^= 0x55  # in the picture's coded pixels
    (tmp_path / "changed.jpg").write_bytes(bytes(data))
    statement = parse_statement(statement_for([signed], owner))
    with pytest.raises(ConsentError, match="about other files"):
        permission_for([tmp_path / "changed.jpg"], home, statements=[statement])


def test_a_statement_ends(home: Home, owner: Identity, signed: Path) -> None:
    today = datetime.now(UTC).date()
    statement = parse_statement(statement_for([signed], owner, until=today.isoformat()))
    trust = TrustStore.load(home)
    statement.require_current(trust, today=today)  # to the end of the day
    with pytest.raises(ConsentError, match="ended on"):
        statement.require_current(trust, today=today + timedelta(days=1))
    carried = permission_for([signed], home, statements=[statement]).to_json()
    body = carried["evidence"][0]
    del body["signature"]
    past = {**body, "until": "2020-01-01"}
    signature = base64.b64encode(owner.sign(_CONTEXT + canonical_json(past))).decode()
    old = parse_statement(json.dumps({**past, "signature": signature}).encode())
    with pytest.raises(ConsentError, match="ended on 2020-01-01"):
        permission_for([signed], home, statements=[old])
    carried["evidence"] = [old.body]
    with pytest.raises(ConsentError, match="ended on 2020-01-01"):
        carried_permission(carried, home)


def test_a_statement_by_a_revoked_key_does_not_count(
    home: Home, owner_home: Home, owner: Identity, signed: Path
) -> None:
    statement = parse_statement(statement_for([signed], owner))
    TrustStore.load(home).add_revocation(revoke_key(owner_home, "default", reason="keyCompromise"))
    with pytest.raises(ConsentError, match="revoked"):
        permission_for([signed], home, statements=[statement])


def test_a_statement_for_one_researchers_key_does_not_serve_another(
    home: Home, owner: Identity, signed: Path
) -> None:
    for key, passes in ((load_identity(home).key_id, True), ("4" * 64, False)):
        statement = parse_statement(statement_for([signed], owner, to_key=key))
        if passes:
            assert permission_for([signed], home, statements=[statement]).basis == "statement"
        else:
            with pytest.raises(ConsentError, match="not on this machine"):
                permission_for([signed], home, statements=[statement])


@pytest.mark.parametrize("data", [b"", b"[]", b"{}", b"\xff\xfe", b'{"signature": "AA=="}', b"[" * 100_000])
def test_what_is_no_statement_is_refused(data: bytes, tmp_path: Path) -> None:
    (tmp_path / "s.json").write_bytes(data)
    with pytest.raises(CheckError, match="not a statement"):
        read_statement(tmp_path / "s.json")


def test_a_huge_or_missing_statement_is_refused(tmp_path: Path) -> None:
    (tmp_path / "s.json").write_bytes(b" " * 1_100_000)
    with pytest.raises(CheckError, match="limit"):
        read_statement(tmp_path / "s.json")
    with pytest.raises(CheckError, match="cannot read"):
        read_statement(tmp_path / "absent.json")


@pytest.mark.parametrize(
    "wrong", [{"to": " "}, {"purpose": "a\nb"}, {"until": "2020-01-01"}, {"until": "soon"}, {"to_key": "xyz"}]
)
def test_statements_that_say_nothing_are_not_made(
    owner: Identity, signed: Path, wrong: dict[str, str]
) -> None:
    with pytest.raises(UsageError):
        statement_for([signed], owner, **wrong)
    with pytest.raises(UsageError):
        statement_for([], owner)

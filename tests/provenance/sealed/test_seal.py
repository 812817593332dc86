"""From a signed original to its cloak and back, for those who may, and for nobody else."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from PIL import Image

from provenance.errors import (
    CheckError,
    MediaError,
    NoCredentialError,
    OutputExistsError,
    StoreError,
    TamperedError,
    UsageError,
    VeilmarkError,
)
from provenance.manifest.read import read_manifest
from provenance.manifest.spec import ManifestSpec, Parent
from provenance.sealed import grant_access, open_sealed
from provenance.sealed.envelope import encrypt, new_key, padded_size, sealed_size
from provenance.sealed.grants import Grant, make_grant
from provenance.sealed.reference import LABEL, SealedReference, read_cloaked
from provenance.session import Session, open_session
from provenance.sign import SignRequest, sign_file
from provenance.store.car import export_car, import_car
from provenance.store.cid import Cid
from provenance.verdict import State
from provenance.verify import verify_file
from tests.provenance.sealed.conftest import Person, flipped, restore, sign_cloak

Publish = Callable[..., Path]


def grant_to(granter: Person, cloaked: Path, *readers: Person) -> list[Grant]:
    with open_session(granter.home) as session:
        return grant_access(
            cloaked,
            [reader.key for reader in readers],
            granter=session.identity,
            keys=granter.keys,
            source=granter.shelf.store,
            shelf=granter.shelf,
            trust=granter.trust,
        )


def give_sealed(giver: Person, taker: Person, cloaked: Path, folder: Path) -> None:
    """Carry the sealed object from one store to another."""
    cid = read_cloaked(cloaked, giver.trust).reference.cid
    export_car(giver.shelf.store, [cid], folder / f"{taker.key.key_id}.car", force=True)
    import_car(taker.shelf.store, folder / f"{taker.key.key_id}.car")


def test_the_original_comes_back_bit_for_bit(
    owner: Person, cloaked: Path, signed: Path, tmp_path: Path
) -> None:
    done = restore(owner, cloaked, tmp_path / "back.jpg")
    assert (tmp_path / "back.jpg").read_bytes() == signed.read_bytes() != cloaked.read_bytes()
    assert done.sha256 == hashlib.sha256(signed.read_bytes()).hexdigest()
    assert (done.signer, done.trusted, done.warning) == ("Olive Owner", True, "")
    assert verify_file(tmp_path / "back.jpg", owner.trust).state is State.TRUSTED
    assert verify_file(cloaked, owner.trust).state is State.TRUSTED


def test_without_a_key_only_the_link_and_the_padded_size_show(
    owner: Person, cloaked: Path, signed: Path, publish: Publish, session: Session, tmp_path: Path
) -> None:
    original = signed.read_bytes()
    reference = read_cloaked(cloaked, owner.trust).reference
    sealed = owner.shelf.store.get(reference.cid)
    assert len(sealed) == sealed_size(padded_size(len(original))) == sealed_size(reference.padded_size)
    picture_data = original[original.index(b"\xff\xda") :]
    pieces = [picture_data[start : start + 12] for start in range(20, len(picture_data) - 12, 97)]
    published = cloaked.read_bytes() + sealed
    assert not any(piece in published for piece in pieces)
    # the manifest has the one assertion more than that of a cloak which cannot be taken back
    with Image.open(signed) as picture:
        picture.convert("RGB").save(tmp_path / "plain.jpg", quality=50)
    sign_cloak(signed, tmp_path / "plain.jpg", tmp_path / "p.jpg", session, None)
    labels = []
    for file in (cloaked, tmp_path / "p.jpg"):
        report = read_manifest(file, "image/jpeg", anchors_pem=())
        assert report is not None
        labels.append(
            sorted(
                part
                for part in report.crjson().split('"')
                if part.startswith(("org.veilmark", "c2pa.", "cawg."))
            )
        )
        assert report.thumbnail == "" and [one["thumbnail"] for one in report.ingredients] == [""]
    assert set(labels[0]) - set(labels[1]) == {LABEL}
    # two seals of one original have nothing in common
    again = read_cloaked(publish(signed, owner.key, name="again.jpg"), owner.trust).reference
    assert again.cid != reference.cid
    assert owner.shelf.store.get(again.cid)[18:100] != sealed[18:100]


def test_who_has_no_grant_gets_nothing(owner: Person, anna: Person, cloaked: Path, tmp_path: Path) -> None:
    output = tmp_path / "anna.jpg"
    with pytest.raises(NoCredentialError, match="no grant opens") as caught:
        restore(anna, cloaked, output)
    assert "veilmark grant" in caught.value.hint
    (foreign,) = owner.shelf.known(read_cloaked(cloaked, owner.trust).reference.cid)
    with pytest.raises(NoCredentialError, match="there are grants for 1 other"):
        restore(anna, cloaked, output, foreign)
    assert not output.exists()


def test_readers_named_when_it_is_cloaked(
    owner: Person, anna: Person, publish: Publish, signed: Path, tmp_path: Path
) -> None:
    cloaked = publish(signed, owner.key, anna.key, anna.key)
    reference = read_cloaked(cloaked, owner.trust).reference
    grants = owner.shelf.known(reference.cid)
    assert {one.recipient for one in grants} == {owner.key.key_id, anna.key.key_id} and len(grants) == 2
    give_sealed(owner, anna, cloaked, tmp_path)
    done = restore(anna, cloaked, tmp_path / "anna.jpg", *grants)
    assert (tmp_path / "anna.jpg").read_bytes() == signed.read_bytes()
    assert done.trusted is False, "Anna does not know Olive's root"


def test_a_later_grant_changes_no_file_and_can_be_passed_on(
    owner: Person, anna: Person, ben: Person, cloaked: Path, signed: Path, tmp_path: Path
) -> None:
    before = cloaked.read_bytes()
    (grant,) = grant_to(owner, cloaked, anna)
    assert cloaked.read_bytes() == before
    output = tmp_path / "out.jpg"
    with pytest.raises(StoreError, match="not in the store") as lost:
        restore(anna, cloaked, output, grant)
    assert "store import" in lost.value.hint
    anna.shelf.put(grant)
    # Anna passes it on though she has no copy of the sealed object herself
    (further,) = grant_to(anna, cloaked, ben)
    assert further.granter == "Anna" and further.recipient == ben.key.key_id
    for person, own in ((anna, grant), (ben, further)):
        give_sealed(owner, person, cloaked, tmp_path)
        restore(person, cloaked, tmp_path / f"{own.recipient[:8]}.jpg", own)
        assert (tmp_path / f"{own.recipient[:8]}.jpg").read_bytes() == signed.read_bytes()
    with pytest.raises(NoCredentialError):
        restore(ben, cloaked, output)
    assert not output.exists()


def test_a_car_with_grant_and_sealed_object_is_enough(
    owner: Person, anna: Person, cloaked: Path, signed: Path, tmp_path: Path
) -> None:
    (grant,) = grant_to(owner, cloaked, anna)
    export_car(owner.shelf.store, [grant.sealed, owner.shelf.put(grant)], tmp_path / "anna.car")
    import_car(anna.shelf.store, tmp_path / "anna.car")
    restore(anna, cloaked, tmp_path / "anna.jpg")
    assert (tmp_path / "anna.jpg").read_bytes() == signed.read_bytes()


def test_an_edited_cloaked_file_is_refused(owner: Person, cloaked: Path, tmp_path: Path) -> None:
    data = cloaked.read_bytes()
    edited = tmp_path / "edited.jpg"
    edited.write_bytes(flipped(data, len(data) - 200))
    with pytest.raises(TamperedError, match="altered after it was cloaked") as caught:
        restore(owner, edited, tmp_path / "out.jpg")
    assert caught.value.hint
    place = data.index(b"padded_size") + 14
    edited.write_bytes(flipped(data, place))
    with pytest.raises(TamperedError):
        restore(owner, edited, tmp_path / "out.jpg")
    with pytest.raises(TamperedError):
        grant_to(owner, edited, owner)
    with Image.open(cloaked) as picture:
        picture.save(tmp_path / "stripped.jpg")
    with pytest.raises(NoCredentialError, match="no manifest"):
        restore(owner, tmp_path / "stripped.jpg", tmp_path / "out.jpg")
    assert not (tmp_path / "out.jpg").exists()


def test_a_file_that_was_not_sealed_is_refused(owner: Person, signed: Path, tmp_path: Path) -> None:
    with pytest.raises(NoCredentialError, match="no sealed original") as caught:
        restore(owner, signed, tmp_path / "out.jpg")
    assert "--reversible" in caught.value.hint
    (tmp_path / "note.txt").write_text("hello")
    with pytest.raises(MediaError):
        restore(owner, tmp_path / "note.txt", tmp_path / "out.jpg")
    with pytest.raises(UsageError):
        restore(owner, tmp_path / "missing.jpg", tmp_path / "out.jpg")


def test_an_edited_sealed_object_is_refused(owner: Person, cloaked: Path, tmp_path: Path) -> None:
    cid = Cid.parse(read_cloaked(cloaked, owner.trust).reference.cid)
    file = owner.shelf.store._file(cid)
    whole = file.read_bytes()
    for changed in (flipped(whole, 5000), whole[:-1], whole + b"x", b""):
        file.write_bytes(changed)
        with pytest.raises(StoreError, match="not what the content id says"):
            restore(owner, cloaked, tmp_path / "out.jpg")
    file.unlink()
    with pytest.raises(StoreError, match="not in the store"):
        restore(owner, cloaked, tmp_path / "out.jpg")
    assert [path.name for path in tmp_path.glob("*out*")] == []
    file.write_bytes(whole)
    restore(owner, cloaked, tmp_path / "out.jpg")


def test_a_grant_for_another_picture_is_refused(
    owner: Person, cloaked: Path, publish: Publish, signed: Path, tmp_path: Path
) -> None:
    other = publish(signed, owner.key, name="other.jpg")
    (grant,) = owner.shelf.known(read_cloaked(other, owner.trust).reference.cid)
    with pytest.raises(UsageError, match="the grant is for the sealed original"):
        restore(owner, cloaked, tmp_path / "out.jpg", grant)
    assert not (tmp_path / "out.jpg").exists()


def test_a_wrong_key_in_a_strangers_grant_is_not_in_the_way(
    owner: Person, ben: Person, cloaked: Path, signed: Path, tmp_path: Path
) -> None:
    about = read_cloaked(cloaked, owner.trust)
    with open_session(ben.home) as theirs:
        bogus = [
            make_grant(
                about.reference.cid, new_key(), owner.key, theirs.identity, cloaked_by=about.cloaked_by
            )
            for _ in range(4)
        ]
    with pytest.raises(TamperedError, match="does not open the sealed original"):
        restore(owner, cloaked, tmp_path / "out.jpg", *bogus)
    for one in bogus:
        owner.shelf.put(one)
    restore(owner, cloaked, tmp_path / "out.jpg")
    assert (tmp_path / "out.jpg").read_bytes() == signed.read_bytes()


def test_a_file_that_names_a_strangers_original_is_granted_to_nobody(
    owner: Person, anna: Person, cloaked: Path, signed: Path, tmp_path: Path
) -> None:
    """Ben signs a dull picture, names Olive's sealed portrait in it, and asks her for access to "that file"."""
    about = read_cloaked(cloaked, owner.trust)
    Image.new("RGB", (80, 60), "grey").save(tmp_path / "dull.jpg")
    lure = tmp_path / "lure.jpg"
    spec = ManifestSpec(
        relation="cloaked",
        parents=(Parent(signed, embed=False),),
        extra_assertions=((LABEL, about.reference.to_json()),),
    )
    with open_session(anna.home) as theirs:
        sign_file(tmp_path / "dull.jpg", lure, SignRequest(spec), theirs)
    with pytest.raises(UsageError, match="not the file that this original belongs to"):
        grant_to(owner, lure, anna)
    with pytest.raises(UsageError, match="not the file that this original belongs to"):
        restore(owner, lure, tmp_path / "out.jpg")


def test_an_owner_who_seals_something_else_is_found_out(
    owner: Person, signed: Path, cloaked: Path, session: Session, tmp_path: Path
) -> None:
    """The manifest names one original, the seal holds another; or one whose own manifest was altered."""
    content = signed.read_bytes()
    for what, sealed_bytes in (
        ("another", cloaked.read_bytes()),
        ("altered", flipped(content, len(content) - 99)),
    ):
        named = tmp_path / f"named-{what}.jpg"
        named.write_bytes(content if what == "another" else sealed_bytes)
        key = new_key()
        cid = session.store.put_pieces(encrypt(key, io.BytesIO(sealed_bytes), len(sealed_bytes)))
        owner.shelf.put(make_grant(cid, key, owner.key, session.identity, cloaked_by=session.identity.key_id))
        with Image.open(signed) as picture:
            picture.resize((64, 64)).save(tmp_path / f"{what}.png")
        spec = ManifestSpec(
            relation="cloaked",
            parents=(Parent(named, embed=False),),
            extra_assertions=((LABEL, SealedReference(cid, padded_size(len(sealed_bytes))).to_json()),),
        )
        sign_file(tmp_path / f"{what}.png", tmp_path / f"{what}-signed.png", SignRequest(spec), session)
        with pytest.raises(TamperedError) as caught:
            restore(owner, tmp_path / f"{what}-signed.png", tmp_path / "out.jpg")
        assert ("names" if what == "another" else "no manifest that verifies") in str(caught.value)
        assert not (tmp_path / "out.jpg").exists()


@pytest.mark.parametrize(
    "statement",
    [
        {},
        {"algorithm": "rot13"},
        {"cid": "nonsense"},
        {"cid": 5},
        {"padded_size": -1},
        {"padded_size": True},
        {"padded_size": "12"},
        {"padded_size": 2**62},
        {"padded_size": None},
    ],
)
def test_odd_statements_about_the_seal_are_refused(statement: dict[str, object]) -> None:
    good = {"cid": str(Cid.of_block(b"x")), "padded_size": 1024, "algorithm": "aes-256-gcm-stream-64k"}
    assert SealedReference.from_json(good).to_json() == good
    with pytest.raises(CheckError):
        SealedReference.from_json({**good, **statement} if statement else {})


def test_an_existing_output_is_kept(owner: Person, cloaked: Path, tmp_path: Path) -> None:
    (tmp_path / "there.jpg").write_bytes(b"mine")
    with pytest.raises(OutputExistsError):
        restore(owner, cloaked, tmp_path / "there.jpg")
    assert (tmp_path / "there.jpg").read_bytes() == b"mine"
    before = cloaked.read_bytes()
    with pytest.raises(UsageError, match="the cloaked file itself"):
        open_sealed(
            cloaked,
            cloaked,
            keys=owner.keys,
            source=owner.shelf.store,
            shelf=owner.shelf,
            trust=owner.trust,
            force=True,
        )
    assert cloaked.read_bytes() == before


def test_who_revoked_a_key_still_gets_the_original(
    owner: Person, cloaked: Path, signed: Path, tmp_path: Path
) -> None:
    from provenance.trust.revocation import revoke_key

    statement = revoke_key(owner.home, "default", reason="keyCompromise")
    owner.trust.add_revocation(statement)
    done = restore(owner, cloaked, tmp_path / "out.jpg")
    assert (tmp_path / "out.jpg").read_bytes() == signed.read_bytes()
    assert done.warning != ""


def test_every_refusal_says_what_to_do(owner: Person, anna: Person, cloaked: Path, tmp_path: Path) -> None:
    for person, file in ((anna, cloaked), (owner, tmp_path / "missing.jpg")):
        with pytest.raises(VeilmarkError) as caught:
            restore(person, file, tmp_path / "out.jpg")
        assert caught.value.hint
    assert replace(read_cloaked(cloaked, owner.trust), warning="x").warning == "x"

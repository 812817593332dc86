"""A grant opens one sealed object for one reader, and no change to it goes unseen."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from cryptography.hazmat.primitives.hpke import AEAD, KDF, KEM, Suite

from provenance.errors import IdentityError, MissingPathError, ReceiptError, TamperedError, VeilmarkError
from provenance.record import canonical_json, key_id_of
from provenance.sealed.grants import MAX_GRANT_BYTES, Grant, grants_text, make_grant, read_grants
from provenance.sealed.keys import EncryptionKey
from provenance.sealed.shelf import GrantShelf
from provenance.session import Session
from provenance.store.local import LocalStore
from provenance.store.unixfs import cid_of
from tests.provenance.sealed.conftest import Person

SEALED, OTHER = cid_of(b"sealed"), cid_of(b"another one")
KEY = bytes(range(32))
READER = X25519PrivateKey.generate()


@pytest.fixture
def grant(session: Session) -> Grant:
    return make_grant(
        SEALED, KEY, EncryptionKey.of(READER), session.identity, cloaked_by=session.identity.key_id
    )


def changed(grant: Grant, **fields: object) -> bytes:
    return canonical_json({**json.loads(grant.data), **fields})


def test_it_reads_back_and_unwraps(grant: Grant, session: Session, tmp_path: Path) -> None:
    (tmp_path / "two.grant").write_bytes(grants_text([grant, grant]))
    assert read_grants(tmp_path / "two.grant") == [grant, grant]
    assert grant.unwrap(READER) == KEY
    assert (grant.granter, grant.granter_key_id) == ("Olive Owner", session.identity.key_id)
    assert KEY not in grant.data and base64.b64encode(KEY) not in grant.data


def test_it_is_hpke_as_rfc_9180_has_it(grant: Grant) -> None:
    """Opened without our code, by the suite and the info that the module documents."""
    body = json.loads(grant.data)
    info = b"veilmark grant v1\x00" + canonical_json(
        {name: body[name] for name in ("cloaked_by", "recipient", "sealed")}
    )
    suite = Suite(KEM.X25519, KDF.HKDF_SHA256, AEAD.AES_256_GCM)
    wrapped = base64.b64decode(body["enc"]) + base64.b64decode(body["ciphertext"])
    assert suite.decrypt(wrapped, READER, info) == KEY


def test_another_key_unwraps_nothing(grant: Grant) -> None:
    with pytest.raises(IdentityError, match="is for the key"):
        grant.unwrap(X25519PrivateKey.generate())


@pytest.mark.parametrize(
    "fields",
    [
        {"sealed": OTHER},
        {"cloaked_by": "0" * 64},
        {"granter": "Somebody"},
        {"time": "2020-01-01T00:00:00Z"},
        {"ciphertext": base64.b64encode(bytes(48)).decode()},
        {"signature": base64.b64encode(bytes(64)).decode()},
    ],
)
def test_an_altered_grant_is_refused(grant: Grant, fields: dict[str, object]) -> None:
    with pytest.raises(TamperedError, match="altered"):
        Grant.parse(changed(grant, **fields))


def test_a_grant_signed_anew_for_something_else_does_not_unwrap(grant: Grant, session: Session) -> None:
    """Whoever moves a wrapped key into a grant of their own gains nothing: HPKE's info is another one."""
    for name, value in (("sealed", OTHER), ("cloaked_by", "0" * 64)):
        body = {**json.loads(grant.data), name: value}
        del body["signature"]
        signature = session.identity.sign(b"veilmark grant signature v1\x00" + canonical_json(body))
        moved = Grant.parse(canonical_json({**body, "signature": base64.b64encode(signature).decode()}))
        with pytest.raises(TamperedError, match="made for something else"):
            moved.unwrap(READER)


@pytest.mark.parametrize(
    "fields",
    [
        {"type": "veilmark.grant/2"},
        {"suite": "ROT13"},
        {"more": 1},
        {"sealed": "not a cid"},
        {"sealed": 5},
        {"enc": "AAAA"},
        {"ciphertext": "%%%"},
        {"chain": []},
        {"chain": ["AAAA"]},
        {"chain": 7},
        {"granter": "x" * 500},
        {"granter": "\ud800"},
        {"signature": None},
    ],
)
def test_what_is_no_grant_is_refused(grant: Grant, fields: dict[str, object]) -> None:
    data = json.dumps({**json.loads(grant.data), **fields}).encode()
    with pytest.raises(ReceiptError):
        Grant.parse(data)


@pytest.mark.parametrize(
    "data", [b"", b"{}", b"[]", b"[" * 100_000, b"\xff", b"null", b'"x"', b"x" * (MAX_GRANT_BYTES + 1)]
)
def test_litter_is_refused(data: bytes, tmp_path: Path) -> None:
    with pytest.raises(ReceiptError):
        Grant.parse(data)
    (tmp_path / "x.grant").write_bytes(data)
    with pytest.raises(VeilmarkError):
        read_grants(tmp_path / "x.grant")
    with pytest.raises(MissingPathError):
        read_grants(tmp_path / "missing.grant")


def test_a_key_of_low_order_is_no_reader(session: Session) -> None:
    """X25519 with this key gives every sender the same secret (RFC 7748, section 6.1)."""
    with pytest.raises(IdentityError, match="cannot be encrypted for"):
        make_grant(
            SEALED, KEY, EncryptionKey(bytes(32)), session.identity, cloaked_by=session.identity.key_id
        )


def test_the_shelf_finds_grants_by_what_they_open(grant: Grant, owner: Person, tmp_path: Path) -> None:
    shelf = GrantShelf(LocalStore(tmp_path / "store"), tmp_path / "grants")
    readers = {grant.recipient}
    assert shelf.find(SEALED, readers) == []
    cid = shelf.put(grant)
    assert shelf.find(SEALED, readers) == [grant] and shelf.find(OTHER, readers) == []
    assert shelf.find(SEALED, {owner.key.key_id}) == []
    assert shelf.store.get(cid) == grant.data
    shelf.remove(grant, cid)
    assert shelf.find(SEALED, readers) == [] and not shelf.store.has(cid)


def test_grants_that_only_the_store_has_are_found(grant: Grant, tmp_path: Path) -> None:
    store = LocalStore(tmp_path / "store")
    for litter in (b"veilmark.grant/1 " + SEALED.encode(), changed(grant, granter="Eve"), b"x" * 3_000_000):
        store.put(litter)
    store.put(grant.data)
    shelf = GrantShelf(store, tmp_path / "grants")
    assert shelf.find(SEALED, {grant.recipient}) == [grant]
    assert shelf.known(SEALED) == [grant], "and the index knows it from now on"


def test_a_damaged_index_is_passed_over(grant: Grant, tmp_path: Path) -> None:
    shelf = GrantShelf(LocalStore(tmp_path / "store"), tmp_path / "grants")
    shelf.put(grant)
    for name in ("rubbish", cid_of(b"not here"), shelf.store.put(b"no grant")):
        (tmp_path / "grants" / SEALED / name).write_bytes(b"")
    assert shelf.find(SEALED, {grant.recipient}) == [grant]


def test_the_certificate_in_a_grant_is_the_granters(grant: Grant) -> None:
    chain: Callable[[int], bytes] = lambda index: base64.b64decode(json.loads(grant.data)["chain"][index])  # noqa: E731
    assert key_id_of(chain(0)) == grant.granter_key_id

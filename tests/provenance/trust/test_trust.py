"""The verifier's own trust store."""

from __future__ import annotations

from pathlib import Path

import pytest

from provenance.errors import UsageError
from provenance.home import Home
from provenance.identity import certificates
from provenance.identity.identity import Identity, create_identity
from provenance.ledger.note import SigningKey
from provenance.trust.store import TrustStore

CONTRACT = "0x" + "Ab" * 20
OWNER = "0x" + "cd" * 20


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return Home(tmp_path / "data", tmp_path / "config")


@pytest.fixture
def identity(home: Home) -> Identity:
    return create_identity(home, subject="Jane Doe")


def test_an_absent_store_is_empty(home: Home) -> None:
    store = TrustStore.load(home)
    assert store.entries() == []
    assert not home.trust.exists()


def test_what_is_added_is_there_after_loading_again(home: Home, identity: Identity) -> None:
    store = TrustStore.load(home)
    root = certificates.to_pem([identity.root])
    log, witness = (str(SigningKey.generate(name).verifier) for name in ("example.org/log", "w.example"))
    for _ in range(2):
        store.add_anchor(root)
        store.add_log_key(log)
        store.add_witness(witness)
        store.add_contract(1, CONTRACT, OWNER)
        store.add_revocation('{"type": "veilmark.revocation/1"}')
    again = TrustStore.load(home)
    assert again.anchors_pem == [root]
    assert list(again.log_keys.values()) == [log]
    assert list(again.witnesses.values()) == [witness]
    assert [(one.chain_id, one.address) for one in again.contracts] == [(1, CONTRACT)]
    assert [entry.kind for entry in again.entries()] == ["anchor", "log", "witness", "contract", "revocation"]
    assert store.entries() == again.entries()


def test_entries_can_be_removed(home: Home, identity: Identity) -> None:
    store = TrustStore.load(home)
    name = store.add_anchor(certificates.to_pem([identity.root]), name="jane")
    assert store.remove(name).kind == "anchor"
    assert store.anchors_pem == []
    assert TrustStore.load(home).entries() == []
    with pytest.raises(UsageError, match="no entry named"):
        store.remove("jane")


def test_two_roots_of_the_same_name_are_two_entries(home: Home, tmp_path: Path, identity: Identity) -> None:
    other = create_identity(Home(tmp_path / "x", tmp_path / "x"), subject="Jane Doe")
    store = TrustStore.load(home)
    names = {store.add_anchor(certificates.to_pem([one.root])) for one in (identity, other)}
    assert len(names) == 2
    assert len(TrustStore.load(home).anchors_pem) == 2


def test_a_leaf_is_no_anchor(home: Home, identity: Identity) -> None:
    with pytest.raises(UsageError, match="no certificate authority"):
        TrustStore.load(home).add_anchor(certificates.to_pem([identity.leaf]))


def test_hostile_names_stay_inside(home: Home, identity: Identity) -> None:
    store = TrustStore.load(home)
    name = store.add_anchor(certificates.to_pem([identity.root]), name="../../../etc/passwd\x00")
    assert "/" not in name
    assert [path.parent for path in home.trust.rglob("*.pem")] == [home.trust / "anchors"]


@pytest.mark.parametrize("vkey", ["", "nonsense", "a+b+c", "example.org/log+00000000+AQ=="])
def test_nonsense_keys_are_refused(home: Home, vkey: str) -> None:
    with pytest.raises(UsageError):
        TrustStore.load(home).add_log_key(vkey)


@pytest.mark.parametrize(("chain", "address"), [(0, CONTRACT), (1, "0x12"), (1, CONTRACT + "00")])
def test_nonsense_contracts_are_refused(home: Home, chain: int, address: str) -> None:
    with pytest.raises(UsageError):
        TrustStore.load(home).add_contract(chain, address, OWNER)


def test_entries_that_others_may_change_are_refused(home: Home, identity: Identity) -> None:
    TrustStore.load(home).add_anchor(certificates.to_pem([identity.root]))
    next(home.trust.rglob("*.pem")).chmod(0o666)
    with pytest.raises(UsageError, match="changed by others"):
        TrustStore.load(home)

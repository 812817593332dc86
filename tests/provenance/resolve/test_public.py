"""Only what its owner made discoverable is ever found, and it proves itself."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from provenance.errors import LedgerError, NoCredentialError, UsageError
from provenance.ledger.embedded.log import LocalLedger
from provenance.manifest import jumbf
from provenance.media.media_file import MediaFile
from provenance.resolve import bands
from provenance.resolve.bindings import PDQ, value_of
from provenance.resolve.listing import listings, make_discoverable, make_private, pdq_in
from provenance.resolve.matches import Match, to_api
from provenance.resolve.public import PublicRecords
from provenance.store.local import LocalStore
from provenance.verdict import MatchKind
from tests.support.discoverable import PUBLIC_ENTRIES, Filled, copied, fill
from tests.support.schemas import checked

EVERYTHING = bands.Question(0, 0)


@pytest.fixture(scope="module")
def once(tmp_path_factory: pytest.TempPathFactory, portraits: dict[str, np.ndarray]) -> Filled:
    return fill(tmp_path_factory.mktemp("filled"), portraits)


@pytest.fixture
def filled(once: Filled, tmp_path: Path) -> Filled:
    return copied(once, tmp_path)


@pytest.fixture
def ledger(filled: Filled) -> Iterator[LocalLedger]:
    with LocalLedger.open(filled.home.ledger) as one:
        yield one


@pytest.fixture
def public(filled: Filled, ledger: LocalLedger) -> Iterator[PublicRecords]:
    one = PublicRecords(filled.home, ledger)
    yield one
    one.close()


def every_answer(public: PublicRecords, filled: Filled, ledger: LocalLedger) -> list[Match]:
    """All that can be asked, about each record that there is."""
    found = [*public.page()[0], *public.bucket(EVERYTHING)[0]]
    for entry in ledger.entries():
        code = pdq_in(entry.record)
        if code is not None:
            found += public.by_binding(PDQ, value_of(code), limit=100)
            found += public.bucket(bands.Question(16, bands.band_of(code)))[0]
        for digest in (entry.record.file_sha256, entry.record.source_sha256, entry.record.manifest_sha256):
            found += public.by_sha256(str(digest), limit=100)
    for path in [*filled.stripped.values(), *(one.output for one in filled.results)]:
        found += public.by_content(MediaFile.open(path), limit=100)
    return found


def test_what_is_not_discoverable_never_appears(
    public: PublicRecords, filled: Filled, ledger: LocalLedger
) -> None:
    found = every_answer(public, filled, ledger)
    assert {match.receipt.index for match in found} == set(PUBLIC_ENTRIES)
    text = json.dumps([to_api(found), public.band_counts()])
    assert not [secret for secret in filled.secrets if secret in text]
    assert "Secret" not in text and public.band_counts()[0] == public.count() == 2
    for index in (0, 2, 4, -1):
        with pytest.raises(NoCredentialError):
            public.by_index(index)
    for result in filled.results:
        label = _label(filled, result.index)
        if result.index == 1:
            assert public.manifest(label)
        elif label:
            with pytest.raises(NoCredentialError):
                public.manifest(label)


def test_a_copy_is_found_by_its_looks_and_each_match_proves_itself(
    public: PublicRecords, filled: Filled, ledger: LocalLedger
) -> None:
    copy = filled.stripped["hopper"]
    found = public.by_content(MediaFile.open(copy))
    assert [match.receipt.index for match in found] == list(PUBLIC_ENTRIES)
    for match in found:
        again = Match.from_json(checked(match.to_json()))
        again.receipt.opening.signed.verify()
        assert again.receipt.verify([ledger.log_key])
        assert match.confirmed and match.kind is MatchKind.PDQ and match.score and match.score > 80
    answer = to_api(found)
    (named,), (bare,) = answer["matches"], answer["org.veilmark.records"]
    assert named["manifestId"].startswith("urn:c2pa:") and bare["manifest_id"] == ""
    assert public.by_content(MediaFile.open(filled.stripped["astronaut"])) == []
    assert public.by_content(MediaFile.open(copy), algorithms=["io.iscc.v0"]) == []


def test_by_hash_of_the_file(public: PublicRecords, filled: Filled) -> None:
    record = filled.results[1].record
    kinds = [public.by_sha256(str(value))[0].kind for value in (record.file_sha256, record.manifest_sha256)]
    assert kinds == [MatchKind.FILE, MatchKind.MANIFEST]
    assert [one.kind for one in public.by_sha256(record.source_sha256)] == [MatchKind.SOURCE, MatchKind.FILE]
    exact = public.by_content(MediaFile.open(filled.results[1].output))
    assert [one.receipt.index for one in exact] == list(PUBLIC_ENTRIES) and exact[0].score == 100


def test_manifests_whole_and_active_alone(public: PublicRecords, filled: Filled) -> None:
    label = _label(filled, 1)
    store = public.manifest(label)
    active = public.manifest(label, active_only=True)
    assert jumbf.active_label(store) == jumbf.active_label(active) == label
    assert jumbf.signature_certificates(active, label) == jumbf.signature_certificates(store, label)
    for odd in ("", "urn:c2pa:nothing", "' OR 1=1 --"):
        with pytest.raises(NoCredentialError):
            public.manifest(odd)


def test_taken_back_and_given_again_while_a_service_runs(
    public: PublicRecords, filled: Filled, ledger: LocalLedger
) -> None:
    copy, store = MediaFile.open(filled.stripped["hopper"]), LocalStore(filled.home.store)
    assert len(public.by_content(copy)) == 2
    with LocalLedger.open(filled.home.ledger) as other:  # as another process does it
        assert make_private(other, 3) and not make_private(other, 3)
        assert [one.receipt.index for one in public.by_content(copy)] == [1]
        assert {match.receipt.index for match in every_answer(public, filled, ledger)} == {1}
        assert make_discoverable(other, store, 0) and not make_discoverable(other, store, 0)
    assert {match.receipt.index for match in every_answer(public, filled, ledger)} == {0, 1}
    assert [one.entry for one in listings(ledger)] == [1, 0]
    with pytest.raises(LedgerError):
        make_private(ledger, 99)
    with pytest.raises(LedgerError):
        make_discoverable(ledger, store, 99)


def test_pages(public: PublicRecords, filled: Filled, ledger: LocalLedger) -> None:
    store = LocalStore(filled.home.store)
    for index in (0, 2):
        make_discoverable(ledger, store, index)
    seen, after = [], 0
    while True:
        matches, following = public.page(after, limit=1)
        seen += [match.receipt.index for match in matches]
        if following is None:
            break
        after = following
    assert seen == [1, 3, 0, 2]
    first, following = public.bucket(EVERYTHING, limit=3)
    assert len(first) == 3 and following is not None
    rest, last = public.bucket(EVERYTHING, following, limit=3)
    assert [one.receipt.index for one in rest] == [2] and last is None


def test_receipts_carry_cosignatures(public: PublicRecords, ledger: LocalLedger) -> None:
    from provenance.ledger.note import TYPE_COSIGNATURE, SigningKey

    witness = SigningKey.generate("w.example/witness", TYPE_COSIGNATURE)
    ledger.add_cosignatures([witness.cosign(ledger.note().text, 1_800_000_000)], [witness.verifier])
    receipt = public.by_index(1).receipt
    assert receipt.verify([ledger.log_key, witness.verifier])[witness.verifier] == 1_800_000_000


def test_an_older_ledger_gets_the_table(filled: Filled) -> None:
    with sqlite3.connect(filled.home.ledger) as connection:
        connection.execute("DROP TABLE discoverable")
        connection.execute("PRAGMA user_version = 2")
    with LocalLedger.open(filled.home.ledger) as ledger:
        assert listings(ledger) == []
        assert make_discoverable(ledger, LocalStore(filled.home.store), 0)


def test_questions_that_make_no_sense(public: PublicRecords) -> None:
    with pytest.raises(UsageError):
        public.by_binding(PDQ, "nonsense")
    assert public.by_sha256("nonsense") == []


def _label(filled: Filled, index: int) -> str:
    cid = filled.results[index].record.manifest_cid
    return jumbf.active_label(LocalStore(filled.home.store).get(cid)) if cid else ""

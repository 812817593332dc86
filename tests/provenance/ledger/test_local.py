"""The embedded log: append, prove, find, refuse."""

from __future__ import annotations

import shutil
import sqlite3
from dataclasses import replace
from pathlib import Path

import pytest

from provenance.errors import (
    ForkError,
    IdentityError,
    LedgerError,
    MissingPathError,
    UntrustedSignerError,
    UsageError,
)
from provenance.ledger import merkle
from provenance.ledger.embedded import lookup, schema
from provenance.ledger.embedded.entries import CHUNK_BYTES, EntryStore
from provenance.ledger.embedded.log import LocalLedger
from provenance.ledger.embedded.nodes import NodeStore
from provenance.record import canonical_json, sign_record
from tests.support.records import make_openings, make_record, signer

ORIGIN = "example.org/test-log"


@pytest.fixture
def ledger(tmp_path: Path):
    with LocalLedger.create(tmp_path / "ledger.sqlite3", origin=ORIGIN) as log:
        yield log


def test_appended_records_are_proved_and_survive_reopening(ledger: LocalLedger) -> None:
    openings = make_openings(21)
    receipts = ledger.append(openings[:1]) + ledger.append(openings[1:])
    assert [receipt.index for receipt in receipts] == list(range(21))
    for receipt in receipts:
        receipt.verify([ledger.log_key])
    ledger.close()
    with LocalLedger.open(ledger.path) as again:
        assert again.size == 21
        assert [entry.opening for entry in again.entries()] == openings
        again.receipt(7).verify([ledger.log_key])
        assert again.append(make_openings(1, seed="later"))[0].index == 21


def test_stored_tree_equals_the_definition_at_every_size(ledger: LocalLedger) -> None:
    openings = make_openings(70)
    leaves = [merkle.leaf_hash(opening.commitment) for opening in openings]
    position = 0
    for batch in (1, 1, 1, 12, 1, 1, 15, 2, 33, 3):
        ledger.extend(openings[position : position + batch])
        position += batch
        assert ledger.checkpoint().root == merkle.root_of(leaves[:position])
    with ledger.reading() as connection:
        nodes = NodeStore(connection)
        for size in range(1, 71):
            assert nodes.root(size) == merkle.root_of(leaves[:size])
            merkle.verify_consistency(
                size,
                70,
                merkle.root_of(leaves[:size]),
                merkle.root_of(leaves),
                nodes.consistency_proof(size, 70),
            )


def test_the_tree_is_right_across_the_stored_tiers() -> None:
    leaves = [merkle.leaf_hash(index.to_bytes(4, "big")) for index in range(5000)]
    connection = sqlite3.connect(":memory:")
    connection.execute("CREATE TABLE nodes (id INTEGER PRIMARY KEY, hashes BLOB NOT NULL)")
    nodes = NodeStore(connection)
    size = 0
    for batch in (255, 1, 1, 3839, 1, 903):
        old_root, root = nodes.append(size, leaves[size : size + batch])
        assert old_root == merkle.root_of(leaves[:size])
        size += batch
        assert root == nodes.root(size) == merkle.root_of(leaves[:size])
    for index in (0, 15, 16, 255, 256, 4095, 4096, 4999):
        merkle.verify_inclusion(index, 5000, leaves[index], nodes.inclusion_proof(index, 5000), root)
    rows = connection.execute("SELECT count(*) FROM nodes").fetchone()[0]
    assert rows == 313 + 20 + 2 + 1  # 5000 leaves, 312, 19 and 1 hashes above them, sixteen to a row


def test_the_same_record_twice_makes_one_leaf(ledger: LocalLedger) -> None:
    first, second = make_openings(2)
    ledger.append([first])
    receipts = ledger.append([first, second, second, first])
    assert [receipt.index for receipt in receipts] == [0, 1, 1, 0]
    assert ledger.size == 2
    # the same statement signed anew has another salt: another record
    assert ledger.append([sign_record(make_record(0), signer())])[0].index == 2


def test_look_up_by_file_source_and_manifest_hash(ledger: LocalLedger) -> None:
    openings = make_openings(40)
    shared = replace(make_record(99), source_sha256=openings[3].signed.record.file_sha256)
    ledger.append([*openings, sign_record(shared, signer())])
    record = openings[3].signed.record
    assert [entry.index for entry in ledger.find_sha256(record.file_sha256)] == [3, 40]
    assert [entry.index for entry in ledger.find_sha256(record.source_sha256.upper())] == [3]
    assert [entry.index for entry in ledger.find_sha256(str(record.manifest_sha256))] == [3]
    near_miss = record.file_sha256[:8] + "0" * 56  # the same look-up key, another hash
    assert ledger.find_sha256(near_miss) == []
    with pytest.raises(UsageError):
        ledger.find_sha256("xyz")


def test_private_features_stay_with_their_entry(ledger: LocalLedger) -> None:
    ledger.append(make_openings(3), [b"one", None, b"three"])
    assert [entry.features for entry in ledger.entries()] == [b"one", None, b"three"]
    assert [ledger.entry(index).features for index in range(3)] == [b"one", None, b"three"]
    with pytest.raises(UsageError):
        ledger.append(make_openings(2), [b"only one"])


def test_a_receipt_from_another_log_is_not_trusted(ledger: LocalLedger, tmp_path: Path) -> None:
    receipt = ledger.append(make_openings(1))[0]
    with (
        LocalLedger.create(tmp_path / "other.sqlite3", origin=ORIGIN) as other,
        pytest.raises(UntrustedSignerError),
    ):
        receipt.verify([other.log_key])


def test_an_old_copy_put_back_opens_for_reading_but_signs_nothing(tmp_path: Path) -> None:
    path, old = tmp_path / "ledger.sqlite3", tmp_path / "old"
    with LocalLedger.create(path, origin=ORIGIN) as log:
        log.append(make_openings(5))
    shutil.copy(path, old)
    with LocalLedger.open(path) as log:
        log.append(make_openings(3, start=5))
    for suffix in ("-wal", "-shm"):
        path.with_name(path.name + suffix).unlink(missing_ok=True)
    shutil.copy(old, path)
    with LocalLedger.open(path) as log:
        assert log.size == 5
        assert log.entry(2).record.file_sha256 == make_record(2).file_sha256
        with pytest.raises(ForkError, match="already signed 8 entries"):
            log.append(make_openings(1, seed="other history"))
        assert log.size == 5


def test_a_rewritten_history_of_the_same_length_is_noticed(tmp_path: Path) -> None:
    path = tmp_path / "ledger.sqlite3"
    with LocalLedger.create(path, origin=ORIGIN) as log:
        log.append(make_openings(5))
        with log.reading() as connection:
            genuine = connection.execute("SELECT id, hashes FROM nodes").fetchall()
    forged = sqlite3.connect(path)
    forged.execute("UPDATE nodes SET hashes = ? WHERE id = ?", (bytes(160), genuine[0][0]))
    forged.commit()
    forged.close()
    with LocalLedger.open(path) as log, pytest.raises(ForkError, match="another history"):
        log.append(make_openings(1, seed="more"))


def test_a_damaged_guard_is_not_ignored(tmp_path: Path) -> None:
    path = tmp_path / "ledger.sqlite3"
    with LocalLedger.create(path, origin=ORIGIN) as log:
        log.append(make_openings(1))
    (tmp_path / "ledger.sqlite3.guard").write_bytes(b"garbage" * 2000)
    with pytest.raises(LedgerError, match="guard"):
        LocalLedger.open(path)


def test_an_altered_entry_is_named(ledger: LocalLedger) -> None:
    ledger.append(make_openings(4))
    ledger.close()
    connection = sqlite3.connect(ledger.path)
    begin = EntryStore(connection).end(2) % CHUNK_BYTES
    chunk = EntryStore(connection).end(2) // CHUNK_BYTES
    body = connection.execute("SELECT data FROM chunks WHERE id = ?", (chunk,)).fetchone()[0]
    altered = body[:begin] + body[begin:].replace(b"captured", b"recorded", 1)
    assert altered != body
    connection.execute("UPDATE chunks SET data = ? WHERE id = ?", (altered, chunk))
    connection.commit()
    connection.close()
    with LocalLedger.open(ledger.path) as again:
        again.entry(1)
        with pytest.raises(LedgerError, match="entry 2 is not what the tree commits to"):
            again.entry(2)


def test_the_key_is_private_and_may_be_encrypted(tmp_path: Path) -> None:
    path = tmp_path / "ledger.sqlite3"
    LocalLedger.create(path, origin=ORIGIN, passphrase="correct horse").close()
    key = tmp_path / "ledger.sqlite3.key"
    assert key.stat().st_mode & 0o777 == 0o600
    assert b"ENCRYPTED" in key.read_bytes()
    for wrong in (None, "battery staple"):
        with LocalLedger.open(path, passphrase=wrong) as log, pytest.raises(IdentityError):
            log.append(make_openings(1))
    with LocalLedger.open(path, passphrase="correct horse") as log:
        log.append(make_openings(1))
        key.chmod(0o644)
    with (
        LocalLedger.open(path, passphrase="correct horse") as log,
        pytest.raises(IdentityError, match="read by others"),
    ):
        log.append(make_openings(1, seed="x"))


def test_what_is_no_ledger_is_said_plainly(tmp_path: Path) -> None:
    with pytest.raises(MissingPathError):
        LocalLedger.open(tmp_path / "absent")
    text = tmp_path / "text"
    text.write_text("hello " * 500)
    with pytest.raises(LedgerError, match="not a database") as caught:
        LocalLedger.open(text)
    assert "no veilmark ledger" in str(caught.value.hint)
    other = tmp_path / "other.db"
    connection = sqlite3.connect(other)
    connection.execute("CREATE TABLE t (x)")
    connection.commit()
    connection.close()
    with pytest.raises(LedgerError, match="not a veilmark ledger"):
        LocalLedger.open(other)


def test_a_newer_schema_is_refused(ledger: LocalLedger) -> None:
    ledger.close()
    connection = sqlite3.connect(ledger.path)
    connection.execute("PRAGMA user_version = 999")
    connection.close()
    with pytest.raises(LedgerError, match="schema version 999") as caught:
        LocalLedger.open(ledger.path)
    assert caught.value.hint == "upgrade veilmark"


def test_a_truncated_file_is_refused(ledger: LocalLedger) -> None:
    ledger.append(make_openings(300))
    ledger.close()
    data = ledger.path.read_bytes()
    ledger.path.write_bytes(data[: len(data) // 3])
    with pytest.raises(LedgerError), LocalLedger.open(ledger.path) as again:
        for entry in again.entries():
            assert entry.opening
        again.append(make_openings(1, seed="after"))


def test_creating_over_an_existing_file_is_refused(ledger: LocalLedger) -> None:
    with pytest.raises(LedgerError, match="already exists"):
        LocalLedger.create(ledger.path, origin=ORIGIN)
    with pytest.raises(UsageError):
        LocalLedger.create(ledger.path.with_name("new"), origin="no spaces please")


def test_canonical_bytes_are_the_canonical_json() -> None:
    signed = make_openings(1)[0].signed
    assert signed.canonical == canonical_json(signed.to_json())


def test_a_log_does_not_sign_upon_a_tree_that_was_changed_under_it(ledger: LocalLedger) -> None:
    ledger.append(make_openings(5))
    connection = sqlite3.connect(ledger.path)
    connection.execute("UPDATE nodes SET hashes = zeroblob(160)")
    connection.commit()
    connection.close()
    with pytest.raises(ForkError, match="not the one of the checkpoint of size 5"):
        ledger.append(make_openings(1, seed="more"))
    assert ledger.size == 5


def test_a_locked_ledger_says_so(ledger: LocalLedger, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(schema, "BUSY_SECONDS", 0.2)
    other = sqlite3.connect(ledger.path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(LedgerError, match="locked") as caught:
        ledger.append(make_openings(1))
    assert "another program" in str(caught.value.hint)
    other.execute("ROLLBACK")
    assert ledger.append(make_openings(1))[0].index == 0


def test_a_full_disk_loses_nothing_and_heals(ledger: LocalLedger) -> None:
    ledger.append(make_openings(20))
    connection = ledger._writer._open()
    pages = connection.execute("PRAGMA page_count").fetchone()[0]
    connection.execute(f"PRAGMA max_page_count = {pages + 2}")
    with pytest.raises(LedgerError, match="full") as caught:
        ledger.append(make_openings(300, seed="too many"))
    assert "free some disk space" in str(caught.value.hint)
    assert ledger.size == 20
    connection.execute("PRAGMA max_page_count = 1073741823")
    receipts = ledger.append(make_openings(300, seed="too many"))
    assert receipts[-1].index == 319
    receipts[-1].verify([ledger.log_key])


def test_a_hash_recorded_very_often_is_found_earliest_first(ledger: LocalLedger) -> None:
    records = [replace(make_record(number), source_sha256="ab" * 32) for number in range(30)]
    ledger.append([sign_record(record, signer()) for record in records])
    assert [entry.index for entry in ledger.find_sha256("ab" * 32)] == list(range(30))
    assert [entry.index for entry in ledger.find_sha256("ab" * 32, limit=4)] == [0, 1, 2, 3]


def test_a_ledger_whose_making_was_interrupted_is_refused(tmp_path: Path) -> None:
    schema.connect(tmp_path / "half", create=True).close()
    with pytest.raises(LedgerError, match="never finished"):
        LocalLedger.open(tmp_path / "half")


def test_look_ups_survive_the_passing_of_generations() -> None:
    connection = sqlite3.connect(":memory:")
    connection.execute("CREATE TABLE lookup (key INTEGER PRIMARY KEY)")
    hashes = [merkle.leaf_hash(index.to_bytes(4, "big")).hex() for index in range(70_000)]
    size = 0
    for batch in (1, 4094, 1, 1, 3000, 58_000, 500, 4403):
        lookup.insert(connection, (lookup.base_key(hashes[size + i]) + size + i for i in range(batch)))
        lookup.settle(connection, size, size + batch)
        size += batch
    rows = connection.execute("SELECT key >> 60, count(*) FROM lookup GROUP BY 1").fetchall()
    assert sum(count for _, count in rows) == 70_000 and len(rows) > 1
    for index in (0, 4095, 4096, 65_535, 65_536, 69_999):
        assert index in lookup.candidates(connection, [lookup.base_key(hashes[index])], size, 100)
    keys = [lookup.base_key(value) + index for index, value in enumerate(hashes)]
    assert lookup.missing(connection, keys) == []
    assert lookup.missing(connection, [lookup.base_key("f" * 64) + 3]) == [lookup.base_key("f" * 64) + 3]

"""Backup, restore, export, migration, and the short answers of the ledger commands."""

from __future__ import annotations

import contextlib
import shutil
import sqlite3
from dataclasses import replace
from pathlib import Path

import pytest

from provenance.errors import (
    ForkError,
    LedgerError,
    MissingPathError,
    NoCredentialError,
    OutputExistsError,
    ReceiptError,
    TamperedError,
)
from provenance.ledger import service
from provenance.ledger.audit import audit
from provenance.ledger.embedded import schema
from provenance.ledger.embedded.backup import backup, catch_up, export, peek, restore
from provenance.ledger.embedded.log import LocalLedger
from provenance.ledger.policy import Policy
from provenance.ledger.publish import publish
from provenance.ledger.receipt import Receipt
from tests.support.records import make_openings, make_record

ORIGIN = "example.org/log"


@pytest.fixture
def ledger(tmp_path: Path):
    with LocalLedger.create(tmp_path / "ledger.sqlite3", origin=ORIGIN) as log:
        log.extend(make_openings(10), [b"private"] * 10)
        yield log


def test_a_backup_is_one_private_file_and_restores(ledger: LocalLedger, tmp_path: Path) -> None:
    copy = tmp_path / "backups" / "log.backup"
    report = backup(ledger, copy, include_key=True)
    assert (report.size, copy.stat().st_mode & 0o777) == (10, 0o600)
    assert sorted(file.name for file in copy.parent.iterdir()) == ["log.backup", "log.backup.key"]
    with pytest.raises(OutputExistsError):
        backup(ledger, copy)
    elsewhere = tmp_path / "new machine" / "ledger.sqlite3"
    restored = restore(copy, elsewhere)
    assert (restored.size, restored.previous_size, restored.fork) == (10, None, None)
    with LocalLedger.open(elsewhere) as again:
        assert audit(again).ok
        assert again.append(make_openings(1, seed="more"))[0].index == 10
    assert copy.read_bytes() and peek(copy).size == 10


def test_a_damaged_ledger_is_replaced_and_kept(ledger: LocalLedger, tmp_path: Path) -> None:
    backup(ledger, tmp_path / "b")
    ledger.close()
    ledger.path.write_bytes(b"scrambled" * 1000)
    assert restore(tmp_path / "b", ledger.path).size == 10
    assert (tmp_path / "ledger.sqlite3.replaced").read_bytes().startswith(b"scrambled")
    with LocalLedger.open(ledger.path) as again:
        assert again.append(make_openings(1, seed="more"))[0].index == 10


def test_an_old_backup_loses_nothing_silently_and_catches_up(ledger: LocalLedger, tmp_path: Path) -> None:
    backup(ledger, tmp_path / "old")
    ledger.extend(make_openings(5, start=10), [b"x", None, None, b"y", None])
    export(ledger, tmp_path / "export", features=True)
    root = ledger.checkpoint().root
    ledger.close()
    with pytest.raises(LedgerError, match="15 entries, the backup only 10"):
        restore(tmp_path / "old", ledger.path)
    report = restore(tmp_path / "old", ledger.path, force=True)
    assert report.fork is not None
    with LocalLedger.open(ledger.path) as log:
        with pytest.raises(ForkError):
            log.append(make_openings(1, seed="fork"))
        assert catch_up(log, tmp_path / "export") == 5
        assert (log.size, log.checkpoint().root) == (15, root)
        assert {e.index: e.features for e in log.entries(10) if e.features} == {10: b"x", 13: b"y"}
        assert log.append(make_openings(1, seed="goes on"))[0].index == 15
        assert audit(log).ok


def test_entries_of_another_history_do_not_catch_up(ledger: LocalLedger, tmp_path: Path) -> None:
    backup(ledger, tmp_path / "old")
    ledger.extend(make_openings(5, start=10))
    ledger.close()
    with LocalLedger.create(tmp_path / "other", origin=ORIGIN) as other:
        other.extend(make_openings(15, seed="other"))
        export(other, tmp_path / "export")
    restore(tmp_path / "old", ledger.path, force=True)
    with LocalLedger.open(ledger.path) as log:
        with pytest.raises(ForkError, match="do not lead"):
            catch_up(log, tmp_path / "export")
        assert log.size == 10


def test_what_is_no_backup_or_export_is_refused(ledger: LocalLedger, tmp_path: Path) -> None:
    with pytest.raises(MissingPathError):
        restore(tmp_path / "absent", ledger.path)
    (tmp_path / "junk").write_bytes(b"junk" * 500)
    with pytest.raises(LedgerError):
        restore(tmp_path / "junk", ledger.path)
    assert ledger.size == 10
    with pytest.raises(MissingPathError):
        catch_up(ledger, tmp_path)
    export(ledger, tmp_path / "e")
    with pytest.raises(OutputExistsError):
        export(ledger, tmp_path / "e")
    file = tmp_path / "e" / "entries.jsonl"
    lines = file.read_text().splitlines(keepends=True)
    for broken in (lines[:3] + lines[4:], [*lines[:2], "{]\n"], [*lines[:2], '{"index": 1}\n'], ["[]\n"]):
        file.write_text("".join(broken))
        with pytest.raises(ReceiptError):
            catch_up(ledger, tmp_path / "e")


def test_the_first_schema_migrates_with_its_entries(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "ledger.sqlite3"
    with monkeypatch.context() as first_version:
        first_version.setattr(schema, "VERSION", 1)
        first_version.setattr(schema, "MIGRATIONS", schema.MIGRATIONS[:1])
        connection = schema.connect(path, create=True)
        tables = {row[0] for row in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
        assert "checkpoints" not in tables and schema.schema_version(connection) == 1
        connection.close()
    # fill it as a log of that version would have been: its tables are unchanged since
    with LocalLedger.create(tmp_path / "donor", origin=ORIGIN) as donor:
        donor.extend(make_openings(20))
    shutil.copy(tmp_path / "donor.key", tmp_path / "ledger.sqlite3.key")
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("ATTACH ? AS donor", (str(tmp_path / "donor"),))
        for table in ("meta", "signers", "entries", "chunks", "features", "nodes", "lookup"):
            connection.execute(f"INSERT INTO {table} SELECT * FROM donor.{table}")  # noqa: S608
        connection.execute("UPDATE meta SET value = 'ledger.sqlite3.guard' WHERE key = 'guard'")
    with LocalLedger.open(path) as log:
        assert service.status(log).database_version == schema.VERSION > 1
        assert log.append(make_openings(1, seed="new"))[0].index == 20
        publish(log, tmp_path / "site")
        assert audit(log).ok


def test_status_and_log(ledger: LocalLedger, tmp_path: Path) -> None:
    before = service.status(ledger)
    assert (before.size, before.published, before.fork, before.pending) == (10, None, None, 10)
    publish(ledger, tmp_path / "site")
    ledger.extend(make_openings(2, start=10))
    after = service.status(ledger)
    assert (after.size, after.published) == (12, 10)
    assert after.root == ledger.checkpoint().root.hex() and after.bytes > 10_000
    lines = service.log(ledger, last=3)
    assert [line.index for line in lines] == [11, 10, 9]
    assert lines[0].file_sha256 == make_record(11).file_sha256
    assert lines[0].claimed_name == "A. Photographer"


def test_proof_and_info(ledger: LocalLedger) -> None:
    receipts = service.proof(ledger, make_record(4).source_sha256)
    assert [receipt.index for receipt in receipts] == [4]
    info = service.info(receipts[0], Policy.of_logs([ledger.log_key]))
    assert info.included and info.record_signed and info.trusted_log and not info.problems
    forged_record = replace(make_record(4), relation="synthetic")
    forged = replace(
        receipts[0],
        opening=replace(
            receipts[0].opening, signed=replace(receipts[0].opening.signed, record=forged_record)
        ),
    )
    bad = service.info(Receipt.from_bytes(forged.to_bytes()))
    assert (bad.included, bad.record_signed, bad.trusted_log, len(bad.problems)) == (False, False, None, 2)
    with pytest.raises(NoCredentialError):
        service.proof(ledger, "0" * 64)


def test_upgrade_moves_a_receipt_to_the_anchored_checkpoint(ledger: LocalLedger, tmp_path: Path) -> None:
    receipt = ledger.receipt(3)
    ledger.extend(make_openings(2, start=10))
    assert service.upgrade(ledger, receipt).checkpoint.size == 12
    ledger.keep_checkpoint(ledger.note(), "anchored", "1:0x" + "ab" * 20)
    ledger.extend(make_openings(3, start=12))
    anchored = service.upgrade(ledger, receipt)
    assert anchored.checkpoint.size == 12
    anchored.verify([ledger.log_key])
    claimed = anchored.with_anchor({"chain_id": 1})
    assert service.upgrade(ledger, claimed).anchors == ({"chain_id": 1},)
    with LocalLedger.create(tmp_path / "other", origin=ORIGIN) as other:
        other.extend(make_openings(20, seed="other"))
        with pytest.raises((ForkError, TamperedError)):
            service.upgrade(other, receipt)


def test_consistency_between_two_checkpoints(ledger: LocalLedger) -> None:
    old = ledger.note()
    ledger.extend(make_openings(90, start=10))
    new = ledger.note()
    proof = service.consistency(ledger, 10)
    assert (proof.old_size, proof.size) == (10, 100)
    hashes = [bytes.fromhex(value) for value in proof.proof]
    service.check_extends(old, new, hashes, [ledger.verifier])
    with pytest.raises(TamperedError):
        service.check_extends(old, new, [bytes(32), *hashes[1:]], [ledger.verifier])
    with pytest.raises(ReceiptError):
        service.check_extends(old, new, hashes, [])
    with pytest.raises(ReceiptError):
        service.consistency(ledger, 10, 101)

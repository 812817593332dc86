"""The log on a PostgreSQL server: what can go wrong there, and what must not."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import psycopg
import pytest

from provenance.errors import ForkError, IdentityError, LedgerError, UsageError
from provenance.ledger import merkle
from provenance.ledger.audit import audit
from provenance.ledger.log import Log
from provenance.ledger.postgres import schema, writer
from provenance.ledger.postgres.tables import PostgresTables
from provenance.postgres import checked_address, connect, shown
from provenance.record import Opening, sign_record
from tests.support.logs import OnServer
from tests.support.postgres import Server
from tests.support.records import make_openings, make_record, signer

pytestmark = pytest.mark.postgres


@pytest.fixture
def place(postgres: Server, tmp_path: Path) -> OnServer:
    return OnServer(postgres.new_database(), tmp_path / "l")


@pytest.fixture
def ledger(place: OnServer) -> Iterator[Log]:
    with place.create() as log:
        yield log


def _sql(place: OnServer, statement: str) -> list[tuple[object, ...]]:
    with psycopg.connect(place.address, autocommit=True) as connection:
        connection.execute("SET search_path TO veilmark")
        cursor = connection.execute(statement.encode())
        return cursor.fetchall() if cursor.description else []


def test_records_are_proved_found_and_survive_reopening(ledger: Log, place: OnServer) -> None:
    openings = make_openings(70)
    leaves = [merkle.leaf_hash(opening.commitment) for opening in openings]
    position = 0
    for batch in (1, 1, 15, 20, 33):
        receipts = ledger.append(openings[position : position + batch], [b"features"] * batch)
        position += batch
        assert ledger.checkpoint().root == merkle.root_of(leaves[:position])
    receipts[-1].verify([ledger.log_key])
    shared = replace(make_record(99), source_sha256=openings[3].signed.record.file_sha256)
    assert ledger.append([sign_record(shared, signer()), openings[5]])[1].index == 5
    ledger.close()
    with place.open() as again:
        assert again.size == 71 and again.database_version == schema.VERSION and again.stored_bytes > 50_000
        assert [entry.opening for entry in again.entries(0, 70)] == openings
        assert {entry.features for entry in again.entries(0, 70)} == {b"features"}
        record = openings[3].signed.record
        assert [entry.index for entry in again.find_sha256(record.file_sha256)] == [3, 70]
        assert [entry.index for entry in again.find_sha256(str(record.manifest_sha256))] == [3]
        assert again.find_sha256(record.file_sha256[:8] + "0" * 56) == []
        again.receipt(7).verify([ledger.log_key])
        assert merkle.root_of(leaves[:9]) == again.root_at(9)
        again.keep_checkpoint(again.note(), "published", "/nowhere")
        assert [kept.size for kept in again.kept_checkpoints("published")] == [71]
        assert audit(again, signatures=True).ok


def test_many_hashes_are_looked_up_one_by_one_in_a_large_table(ledger: Log, place: OnServer) -> None:
    """A plan for any number of hashes read all of the table for each: 16,384 of them took minutes."""
    _sql(place, "INSERT INTO lookup SELECT number::bigint << 32 FROM generate_series(1, 500000) AS number")
    with connect(place.address) as connection:
        connection.execute("SET plan_cache_mode TO force_generic_plan")
        connection.execute("SET statement_timeout TO 20000")
        connection.prepare_threshold = 0
        wanted = [number << 32 for number in range(400_000, 416_384)]
        assert PostgresTables(connection, "here").candidates(wanted, 1, 10) == [0]


@pytest.mark.parametrize(
    ("damage", "found"),
    [
        (
            "UPDATE entries SET opening = overlay(opening placing 'x'::bytea from 100) WHERE id = 2",
            "not what its leaf",
        ),
        ("DELETE FROM entries WHERE id = 2", "the entry is missing"),
        ("UPDATE nodes SET hashes = overlay(hashes placing 'x'::bytea from 70)", "not what its leaf"),
        ("DELETE FROM lookup WHERE key & 4294967295 = 2", "cannot be looked up"),
        ("DELETE FROM features WHERE entry = 2", "1 of 4 entries lost"),
        ("UPDATE features SET data = 'other' WHERE entry = 2", "was altered"),
        ("UPDATE meta SET value = 'x' WHERE key = 'features'", "count of what files are found by"),
        ("INSERT INTO entries SELECT 4, logged_at, signer, opening FROM entries WHERE id = 3", "lies beyond"),
    ],
)
def test_the_audit_names_what_was_changed_on_the_server(
    ledger: Log, place: OnServer, damage: str, found: str
) -> None:
    ledger.append(make_openings(4), [b"features"] * 4)
    assert audit(ledger).ok
    _sql(place, damage)
    report = audit(ledger)
    assert any(found in problem.what for problem in report.problems), report.problems
    assert report.first_bad in (2, 4, None)
    with pytest.raises(LedgerError, match="the last audit of this log found"):
        ledger.append(make_openings(1, seed="on top of damage"))


def test_an_older_copy_of_the_database_signs_nothing(postgres: Server, ledger: Log, place: OnServer) -> None:
    ledger.append(make_openings(3))
    ledger.close()
    old = place.address.replace("/t", "/old", 1)
    name, copy = place.address.split("/")[3].split("?")[0], old.split("/")[3].split("?")[0]
    postgres.sql(f"CREATE DATABASE {copy} TEMPLATE {name}")
    with place.open() as log:
        log.append(make_openings(2, start=3))
    with OnServer(old, place.path).open() as restored:
        assert restored.size == 3
        with pytest.raises(ForkError, match="already signed 5 entries"):
            restored.append(make_openings(1, seed="other history"))


def test_a_second_writer_waits_and_is_told(
    ledger: Log, place: OnServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    with place.open() as other:
        with other.frozen():
            monkeypatch.setattr(writer, "WAIT_SECONDS", 0.2)
            with pytest.raises(LedgerError, match="lock timeout") as caught:
                ledger.append(make_openings(1))
            assert "kept the log locked" in str(caught.value.hint)
            monkeypatch.setattr(writer, "WAIT_SECONDS", 30.0)
            done: list[int] = []
            thread = threading.Thread(target=lambda: done.append(ledger.append(make_openings(1))[0].index))
            thread.start()
            time.sleep(0.2)
            assert not done
        thread.join()
        assert done == [0]


def test_a_connection_that_died_while_idle_is_replaced(
    ledger: Log, postgres: Server, place: OnServer
) -> None:
    ledger.append(make_openings(2))
    name = place.address.split("/")[3].split("?")[0]
    kill = f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{name}'"  # noqa: S608
    assert len(postgres.sql(kill)) >= 2
    assert ledger.append(make_openings(1, start=2))[0].index == 2
    postgres.sql(kill)
    assert ledger.size == 3 and audit(ledger).ok


@pytest.fixture(scope="module")
def frail() -> Iterator[Server]:
    """A server of this module's own, to be stopped and started."""
    with Server() as server:
        yield server


def test_the_database_gone_in_mid_append_loses_nothing(
    postgres: Server, frail: Server, tmp_path: Path
) -> None:
    """The server stops as at a power failure while threads append; what was acknowledged is there afterwards."""
    place = OnServer(frail.new_database(), tmp_path / "l")
    known: dict[int, Opening] = {}
    failures: list[LedgerError] = []
    with place.create() as log:

        def work(number: int) -> None:
            try:
                for opening in make_openings(2000, seed=f"thread {number}"):
                    known[log.append([opening])[0].index] = opening
            except LedgerError as error:
                failures.append(error)

        threads = [threading.Thread(target=work, args=(number,)) for number in range(2)]
        for thread in threads:
            thread.start()
        while len(known) < 6:
            time.sleep(0.01)
        frail.stop("immediate")
        for thread in threads:
            thread.join()
        assert len(failures) == 2
        assert all("nothing that was acknowledged is lost" in str(error.hint) for error in failures)
        with pytest.raises(LedgerError) as caught:
            log.size  # noqa: B018 the question is asked for its error
        assert "check that the server runs" in str(caught.value.hint)
        frail.start()
        for index, opening in known.items():
            assert log.entry(index).opening == opening
        report = audit(log)
        assert report.ok and len(known) <= report.entries <= len(known) + 2, report.problems
        again = log.append([opening for _, opening in sorted(known.items())])
        assert [receipt.index for receipt in again] == sorted(known)


def test_a_full_disk_loses_nothing_and_heals(postgres: Server, frail: Server, tmp_path: Path) -> None:
    frail.stop("fast")
    frail.start(largest_file=18 << 20)  # the write-ahead log's files are of 16 MiB
    place = OnServer(frail.new_database(), tmp_path / "l")
    with place.create() as log:
        log.append(make_openings(2))
        heavy = [os.urandom(8_000_000) for _ in range(3)]
        more = make_openings(3, seed="too much")
        with pytest.raises(LedgerError, match="could not extend") as caught:
            log.append(more, heavy)
        assert "free some disk space on the server" in str(caught.value.hint)
        assert log.size == 2
        frail.stop("immediate")
        frail.start()
        assert log.append(more, heavy)[-1].index == 4
        assert audit(log).ok


def test_a_server_that_does_not_wait_for_its_disk_is_refused(
    postgres: Server, frail: Server, tmp_path: Path
) -> None:
    frail.stop("fast")
    frail.start(settings={"fsync": "off"})
    place = OnServer(frail.new_database(), tmp_path / "l")
    with place.create() as log, pytest.raises(LedgerError, match="fsync off"):
        log.append(make_openings(1))


def test_a_machine_without_the_key_reads_and_cannot_sign(
    ledger: Log, place: OnServer, tmp_path: Path
) -> None:
    ledger.append(make_openings(2))
    with OnServer(place.address, tmp_path / "reader" / "l").open() as reader:
        assert reader.size == 2
        reader.receipt(1).verify([ledger.log_key])
        with pytest.raises(IdentityError, match="log's key"):
            reader.append(make_openings(1, seed="x"))


def test_what_is_no_ledger_is_said_plainly(
    postgres: Server, ledger: Log, place: OnServer, tmp_path: Path
) -> None:
    for address in ("mysql://x/y", "postgresql://x/y?nonsense=1", "file.sqlite3"):
        with pytest.raises(UsageError, match="not the address"):
            checked_address(address)
    assert shown("postgresql://me:secret@db.example:5433/news") == "postgresql://me@db.example:5433/news"
    empty = OnServer(postgres.new_database(), tmp_path / "other")
    with pytest.raises(LedgerError, match="no veilmark ledger"):
        empty.open()
    with pytest.raises(LedgerError, match="does not exist") as caught:
        OnServer(place.address.replace("/t", "/no", 1), tmp_path / "other").open()
    assert "create the database" in str(caught.value.hint)
    with pytest.raises(LedgerError, match="already holds the log"):
        OnServer(place.address, tmp_path / "other").create()
    _sql(empty, "CREATE SCHEMA veilmark")
    with pytest.raises(LedgerError, match="it is no veilmark ledger"):
        empty.open()
    with pytest.raises(LedgerError) as caught:
        OnServer("postgresql://veilmark@127.0.0.1:1/x", tmp_path / "other").open()
    assert "check that the server runs" in str(caught.value.hint)


def test_another_schema_version_is_refused_or_brought_up_to_date(
    ledger: Log, place: OnServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    ledger.append(make_openings(2))
    ledger.close()
    newer = (*schema.MIGRATIONS, ("CREATE TABLE more (x integer)",))
    with monkeypatch.context() as patch:
        patch.setattr(schema, "MIGRATIONS", newer)
        patch.setattr(schema, "VERSION", len(newer))
        with place.open() as log:
            assert log.database_version == len(newer) and log.size == 2
    with pytest.raises(LedgerError, match=f"schema version {len(newer)}") as caught:
        place.open()
    assert caught.value.hint == "upgrade veilmark"

"""A log moves to a server and back, and is whole wherever the move is interrupted."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from provenance.errors import ForkError, LedgerError, UsageError
from provenance.home import Home
from provenance.ledger import migrate
from provenance.ledger.audit import audit
from provenance.ledger.embedded import discoverable
from provenance.ledger.embedded.log import LocalLedger
from provenance.ledger.embedded.tables import SqliteTables
from provenance.ledger.opening import database_address, open_ledger
from provenance.ledger.postgres.log import PostgresLedger
from provenance.ledger.postgres.tables import PostgresTables
from tests.support.postgres import Server
from tests.support.records import make_openings

pytestmark = pytest.mark.postgres


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Home:
    """With a log of 25 entries that is copied in pages of 10."""
    monkeypatch.setattr(migrate, "_PAGE", 10)
    home = Home.at(tmp_path / "home")
    home.config.mkdir(parents=True)
    with LocalLedger.create(home.ledger, origin="example.org/moving", guard=home.guard) as log:
        log.append(
            make_openings(25), [b"features %d" % number if number % 2 else None for number in range(25)]
        )
        log.keep_checkpoint(log.note(), "published", "/somewhere")
        with log.writing() as rows:
            for entry in (3, 5, 9):
                discoverable.insert(rows, entry, f"urn:c2pa:{entry}", bytes(32))
            assert discoverable.delete(rows, 9)
    return home


def _content(home: Home) -> list[object]:
    with open_ledger(home) as log:
        assert audit(log, signatures=True).ok
        with log.reading() as rows:
            listed = discoverable.state(rows), discoverable.after(rows, 0)
        return [log.log_key, log.note(), log.kept_checkpoints(), listed, *log.entries()]


def test_there_and_back_nothing_changes(home: Home, postgres: Server) -> None:
    before = _content(home)
    address = postgres.new_database()
    seen: list[float] = []
    done = migrate.to_server(home, address, progress=seen.append)
    assert (done.size, done.copied, seen[-1]) == (25, 25, 1.0)
    assert done.kept is not None and not home.ledger.exists() and database_address(home) == address
    assert home.database.stat().st_mode & 0o777 == 0o600
    assert _content(home) == before
    with LocalLedger.open(done.kept) as left:
        assert left.size == 25
        shutil.copy(home.ledger.with_name("ledger.sqlite3.key"), done.kept.with_name(done.kept.name + ".key"))
        with pytest.raises(LedgerError, match="was moved to postgresql"):
            left.append(make_openings(1, seed="fork"))
    with open_ledger(home) as log:
        log.append(make_openings(5, start=25))
        with log.writing() as rows:
            assert discoverable.insert(rows, 20, "", None) and not discoverable.insert(rows, 20, "", None)
        with log.reading() as rows:
            assert [one.seq for one in discoverable.after(rows, 0)] in ([1, 2, 4], [1, 2, 5])
            assert discoverable.state(rows)[0] == 1 and discoverable.of_manifest(rows, "urn:c2pa:5")
    after = _content(home)
    assert migrate.to_server(home, address).copied == 0  # run again: nothing is left to do
    assert migrate.to_file(home).copied == 30
    assert database_address(home) is None and _content(home) == after
    with (
        PostgresLedger.open(address, home.ledger, guard=home.guard) as left_there,
        pytest.raises(LedgerError, match="was moved to"),
    ):
        left_there.append(make_openings(1, seed="fork"))
    with open_ledger(home) as log:
        log.append(make_openings(3, start=30))
    done = migrate.to_server(home, address)
    assert (done.size, done.copied) == (33, 3)
    with open_ledger(home) as log:
        assert log.append(make_openings(1, start=33))[0].index == 33


class _Interrupted(Exception):
    pass


@pytest.mark.parametrize("back", [False, True])
@pytest.mark.parametrize("step", range(9))
def test_interrupted_anywhere_it_is_finished_by_running_it_again(
    home: Home, postgres: Server, monkeypatch: pytest.MonkeyPatch, step: int, back: bool
) -> None:
    address = postgres.new_database()
    if back:
        migrate.to_server(home, address)
    before = _content(home)

    def move() -> None:
        migrate.to_file(home) if back else migrate.to_server(home, address)

    points = 0

    def interrupting(function):  # type: ignore[no-untyped-def]
        def wrapped(*taken, **named):  # type: ignore[no-untyped-def]
            nonlocal points
            points += 1
            if points == step + 1:
                raise _Interrupted
            return function(*taken, **named)

        return wrapped

    with monkeypatch.context() as patch:
        for kind in (SqliteTables, PostgresTables):
            for name in ("insert", "set_moved", "set_state", "keep"):
                patch.setattr(kind, name, interrupting(getattr(kind, name)))
        for name in ("keep_address", "_put_aside"):
            patch.setattr(migrate, name, interrupting(getattr(migrate, name)))
        try:
            move()
        except _Interrupted:
            pass
        else:
            assert step >= 8 and points <= step
    with open_ledger(home) as log:  # whole wherever it lies now, whether or not it may grow
        assert log.size == 25 and audit(log).ok
    if points > step:
        move()
    assert _content(home) == before
    assert (database_address(home) is None) is back
    with open_ledger(home) as log:
        assert log.append(make_openings(1, start=25))[0].index == 25


def test_a_log_that_grew_after_an_interruption_is_copied_whole(
    home: Home, postgres: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    address = postgres.new_database()
    with monkeypatch.context() as patch:
        patch.setattr(migrate, "Guard", None)  # the step after everything was copied
        patch.setattr(SqliteTables, "set_moved", lambda *_: (_ for _ in ()).throw(_Interrupted))
        with pytest.raises(_Interrupted):
            migrate.to_server(home, address)
    with open_ledger(home) as log:
        log.append(make_openings(4, start=25))
    assert migrate.to_server(home, address).copied == 4


def test_another_log_or_another_history_in_the_database_is_refused(
    home: Home, postgres: Server, tmp_path: Path
) -> None:
    address = postgres.new_database()
    PostgresLedger.create(address, tmp_path / "o", origin="example.org/other", guard=tmp_path / "g").close()
    with pytest.raises(LedgerError, match=r"holds the log example\.org/other"):
        migrate.to_server(home, address)
    fresh = postgres.new_database()
    before = _content(home)
    migrate.to_server(home, fresh)
    migrate.to_file(home)
    with PostgresLedger.open(fresh, home.ledger, guard=tmp_path / "another machine's") as left:
        with left.frozen() as tables:
            tables.set_moved(None)
        left.append(make_openings(1, seed="a second history"))
    with pytest.raises(ForkError, match="26 entries of another history"):
        migrate.to_server(home, fresh)
    assert _content(home) == before


def test_calls_that_make_no_sense_are_refused(home: Home, postgres: Server) -> None:
    with pytest.raises(UsageError, match="embedded already"):
        migrate.to_file(home)
    with pytest.raises(UsageError, match="not the address"):
        migrate.to_server(home, "elsewhere")
    migrate.to_server(home, postgres.new_database())
    with pytest.raises(UsageError, match="already"):
        migrate.to_server(home, postgres.new_database())

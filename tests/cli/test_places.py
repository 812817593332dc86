"""The log on a server, and what goes into buckets, by the command."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.cli.conftest import Run
from tests.support.postgres import Server


@pytest.mark.s3
def test_what_is_queued_is_pushed_and_got_back(
    ready: Callable[..., Run], s3: str, portrait_files: dict[str, Path], tmp_path: Path
) -> None:
    recorded = ready("record", portrait_files["hopper"], "--json").json[0]
    cid = recorded["store"]["receipt"]
    assert ready("store", "queue", cid).code == 0
    done = ready("store", "push", "--to", s3)
    assert done.code == 0 and f"uploaded {cid}" in done.out
    assert ready("store", "get", cid, "--from", s3, "-o", tmp_path / "receipt").code == 0
    assert (tmp_path / "receipt").read_bytes() == Path(recorded["receipt"]).read_bytes()
    assert ready("store", "queue", cid).code == 0
    assert ready("store", "push", "--to", "s3://no-such-bucket/x").code == 7
    assert ready("ledger", "publish", s3, "--json").json[0]["size"] == 1
    assert ready("ledger", "audit", s3).code == 0


@pytest.mark.postgres
def test_the_log_moves_to_a_server_and_back(
    ready: Callable[..., Run], portrait_files: dict[str, Path], postgres: Server
) -> None:
    address = postgres.new_database()
    assert ready("record", portrait_files["hopper"]).code == 0
    assert ready("init", "--database", address).code == 2  # there is a log here already
    moved = ready("ledger", "migrate", "--to", address, "--json").json[0]
    assert moved["size"] == moved["copied"] == 1 and moved["kept"].endswith(".migrated")
    assert ready("record", portrait_files["astronaut"]).code == 0
    found = ready("find", portrait_files["hopper"], "--json").json[0]
    assert [record["index"] for record in found["records"]] == [0]
    status = ready("ledger", "status", "--json").json[0]
    assert status["path"].startswith("postgresql://") and status["size"] == 2
    assert ready("ledger", "audit").code == 0
    refused = ready("ledger", "backup", "copy.sqlite3")
    assert refused.code == 2 and "pg_dump" in refused.err
    assert ready("init", "--json").json[0]["database"] == status["path"]
    back = ready("ledger", "migrate", "--to", "embedded")
    assert back.code == 0 and "2 records" in back.out
    assert ready("verify", portrait_files["astronaut"], "--json").json[0]["ledger"]["status"] == "logged"
    assert ready("ledger", "migrate", "--to", "nowhere").code == 2


@pytest.mark.postgres
def test_two_machines_share_a_log(
    veilmark: Callable[..., Run],
    portrait_files: dict[str, Path],
    postgres: Server,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    address = postgres.new_database()
    made = veilmark("init", "--name", "One", "--database", address, "--json").json[0]
    assert veilmark("record", portrait_files["hopper"]).code == 0
    monkeypatch.setenv("VEILMARK_HOME", str(tmp_path / "second"))
    joined = veilmark("init", "--name", "Two", "--database", address, "--json").json[0]
    assert joined["log_key"] == made["log_key"] and joined["log_size"] == 1
    found = veilmark("find", portrait_files["hopper"], "--json").json[0]
    assert [record["index"] for record in found["records"]] == [0]
    refused = veilmark(
        "record", portrait_files["astronaut"]
    )  # the key of the log was not given to this machine
    assert refused.code == 2 and "log's key" in refused.err
    other = veilmark("init", "--database", postgres.new_database())
    assert other.code == 2 and "another PostgreSQL database" in other.err

"""Faults as people meet them: read-only homes, endless devices, killed runs, damaged ledgers, names that deceive."""

from __future__ import annotations

import os
import shutil
import sqlite3
import subprocess
import threading
import unicodedata
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from benchmarks.provenance.faults import run
from provenance.errors import ReceiptError, VeilmarkError
from provenance.home import Home
from provenance.identity.certificates import read_der
from provenance.ledger.embedded.log import LocalLedger
from provenance.media.files import replacing
from provenance.record import Opening
from tests.cli.conftest import Run

Command = Callable[..., Run]
posix = pytest.mark.skipif(os.name != "posix", reason="needs POSIX")


@posix
def test_kills_flips_mutants_and_full_disks(tmp_path: Path) -> None:
    """A small run of benchmarks/provenance/faults.py; docs/research/faults.md has the large one."""
    wanted = {"kills": 2, "flips": 3, "mutants": 40, "disks": 1}
    said: list[str] = []
    results = run(tmp_path / "faults", wanted, tell=said.append)
    assert [one for one in results if one["outcome"] == "FINDING"] == []
    assert len(results) == sum(wanted.values())
    said.clear()
    assert run(tmp_path / "faults", wanted, tell=said.append) == results and said == [], (
        "nothing is done twice"
    )


@pytest.fixture
def read_only(signed: dict[str, Path]) -> Iterator[Path]:
    """The home, where nothing can be written."""
    home = Home.locate().data
    if os.geteuid() == 0:
        mount = ["mount", "--bind", home, home], ["mount", "-o", "remount,bind,ro", home, home]
        if any(subprocess.run(one, capture_output=True, check=False).returncode for one in mount):
            pytest.skip("nothing can be mounted here")
        yield home
        subprocess.run(["umount", "-l", home], check=True)
    else:
        for folder in (home, *(path for path in home.rglob("*") if path.is_dir())):
            folder.chmod(0o500)
        yield home
        for folder in (home, *(path for path in home.rglob("*") if path.is_dir())):
            folder.chmod(0o700)


@posix
@pytest.mark.parametrize("pending", [False, True], ids=["closed", "with a log that is pending"])
def test_a_read_only_home_is_read(
    pending: bool,
    signed: dict[str, Path],
    portrait_files: dict[str, Path],
    ready: Command,
    request: pytest.FixtureRequest,
) -> None:
    home = Home.locate()
    with LocalLedger.open(home.ledger) as ledger:  # as long as it is open, the write-ahead log stays
        log = home.ledger.with_name(home.ledger.name + "-wal")
        if pending:
            assert ready("record", portrait_files["hopper"]).code == 0
            kept = log.read_bytes()
            main = home.ledger.read_bytes()
        assert ledger.size
    if pending:
        home.ledger.write_bytes(main)
        log.write_bytes(kept)
        assert kept
    before = {path: path.read_bytes() for path in home.data.rglob("*") if path.is_file()}
    request.getfixturevalue("read_only")
    verdict = ready("verify", signed["hopper"], "--json")
    assert verdict.code == 0 and verdict.json[0]["ledger"]["status"] == "logged", verdict.err
    assert ready("find", portrait_files["hopper"]).code == 0
    audited = ready("ledger", "audit", "--json")
    assert audited.code == 0 and audited.json[0]["size"] == (3 if pending else 2), audited.err
    refused = ready("sign", portrait_files["hopper"], "-o", signed["hopper"].with_name("new.jpg"))
    assert refused.code in (2, 3) and "hint: " in refused.err, refused.err
    assert {path: path.read_bytes() for path in home.data.rglob("*") if path.is_file()} == before


@posix
@pytest.mark.parametrize("option", ["--receipt", "--sidecar"])
@pytest.mark.parametrize("kind", ["device", "pipe"])
def test_endless_companions_are_read_within_their_limit(
    option: str, kind: str, signed: dict[str, Path], ready: Command, tmp_path: Path
) -> None:
    path = Path("/dev/zero")
    if kind == "pipe":
        path = tmp_path / "pipe"
        os.mkfifo(path)

        def pour() -> None:
            with path.open("wb", buffering=0) as stream:
                try:
                    while True:
                        stream.write(bytes(1 << 20))
                except BrokenPipeError:
                    pass

        threading.Thread(target=pour, daemon=True).start()
    done = ready("verify", signed["hopper"], option, path)
    assert done.code == 3 and "over the limit of" in done.err, done.err


@posix
def test_resume_writes_missing_receipts_and_removes_what_a_killed_run_left(
    ready: Command, portrait_files: dict[str, Path], tmp_path: Path
) -> None:
    source, out = tmp_path / "in", tmp_path / "out"
    source.mkdir()
    shutil.move(portrait_files["hopper"], source / "a.jpg")
    (source / "b.bin").write_bytes(b"not a picture")
    assert ready("sign", source / "a.jpg", source / "b.bin", "-o", out, "--any-file").code == 0
    for name in ("a.jpg.receipt", "b.bin.receipt", "b.bin.c2pa"):
        (out / name).unlink()
    child = os.fork()
    if child == 0:
        with replacing(out / "c.jpg"):
            os._exit(0)  # as if killed: nothing is cleaned up
    os.waitpid(child, 0)
    with replacing(out / "mine.jpg") as mine:
        assert len(list(out.glob(".veilmark-*"))) == 2
        done = ready("sign", source / "a.jpg", source / "b.bin", "-o", out, "--any-file", "--resume")
        assert done.code == 0, done.err
        assert "wrote the missing a.jpg.receipt" in done.out
        assert "wrote the missing b.bin.c2pa; wrote the missing b.bin.receipt" in done.out
        assert list(out.glob(".veilmark-*")) == [mine], "what another process is writing stays"
    assert ready("verify", out / "a.jpg", "--receipt", out / "a.jpg.receipt").code == 0
    assert ready("verify", out / "b.bin", "--sidecar", out / "b.bin.c2pa").code == 0
    assert '"size": 2' in ready("ledger", "status", "--json").out


def test_lost_descriptors_are_found_and_stop_signing(
    signed: dict[str, Path], portrait_files: dict[str, Path], ready: Command, tmp_path: Path
) -> None:
    ledger = Home.locate().ledger
    assert ready("ledger", "audit").code == 0
    copy = tmp_path / "copy"
    shutil.copy(ledger, copy)
    with closing(sqlite3.connect(ledger, isolation_level=None)) as database:
        database.execute("DELETE FROM features WHERE entry = 1")
    found = ready("ledger", "audit")
    assert found.code == 1 and "1 of 2 entries lost what they are found by" in found.out, found.out
    assert ledger.with_name(ledger.name + ".audit").stat().st_mode & 0o077 == 0
    refused = ready("sign", portrait_files["hopper"], "-o", tmp_path / "new.jpg")
    assert refused.code == 3 and "the last audit of this log found: 1 of 2 entries" in refused.err
    assert "hint: " in refused.err and not (tmp_path / "new.jpg").exists()
    assert ready("verify", signed["hopper"]).code == 0, "reading goes on"
    shutil.copy(copy, ledger)
    assert ready("ledger", "audit").code == 0
    assert ready("sign", portrait_files["hopper"], "-o", tmp_path / "new.jpg").code == 0


def test_a_damaged_checkpoint_names_its_file(signed: dict[str, Path], ready: Command, tmp_path: Path) -> None:
    ledger = Home.locate().ledger
    assert ready("ledger", "publish", tmp_path / "site").code == 0
    published = tmp_path / "site" / "checkpoint"
    published.write_bytes(published.read_bytes().replace(b"\n\n", b"\n", 1))
    done = ready("ledger", "audit", tmp_path / "site")
    assert done.code == 3 and str(published) in done.err, done.err
    with closing(sqlite3.connect(ledger, isolation_level=None)) as database:
        database.execute("UPDATE meta SET value = substr(value, 2) WHERE key = 'checkpoint'")
        database.execute(
            "UPDATE meta SET value = replace(value, char(10) || char(10), char(10)) WHERE key = 'checkpoint'"
        )
    done = ready("ledger", "audit")
    assert done.code == 3 and f"{ledger}: its signed checkpoint is damaged" in done.err, done.err


@pytest.mark.parametrize("value", ["NaN", "Infinity", "-Infinity", "1e999", "1.5", "[" * 100_000])
def test_stored_json_holds_numbers_that_are_numbers(value: str, signed: dict[str, Path]) -> None:
    with LocalLedger.open(Home.locate().ledger) as ledger:
        good = ledger.entry(0).opening.to_bytes()
    assert Opening.from_bytes(good)
    with pytest.raises(ReceiptError, match="cannot be parsed"):
        Opening.from_bytes(good.replace(b'"extra":{}', f'"extra":{{"x":{value}}}'.encode()))


@posix
@pytest.mark.parametrize("options", [(), ("--json",)], ids=["words", "json"])
def test_names_are_harmless_in_every_command(
    options: tuple[str, ...],
    ready: Command,
    portrait_files: dict[str, Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A name that sets the terminal's title, changes colours, turns the line around and begins a new one."""
    name = "a\x1b]0;owned\x07\x9b31m\u202egpj.exe\n\u2028TRUSTED.jpg"
    monkeypatch.chdir(tmp_path)
    shutil.copy(portrait_files["hopper"], name)
    missing = f"missing{name}"
    for command in (
        ("sign", name, "-o", f"out{name}"),
        ("sign", name, "-o", f"out{name}"),
        ("sign", name, "-o", f"out{name}", "--resume"),
        ("verify", f"out{name}", missing),
        ("verify", "--brief", f"out{name}"),
        ("verify", "-v", name),
        ("find", name, missing),
        ("find", "-v", f"out{name}"),
        ("record", name, missing),
        ("cloak", missing),
        ("extract", f"out{name}", "-o", f"parts{name}"),
        ("ledger", "proof", name, "--force"),
        ("ledger", "info", f"{name}.receipt"),
        ("measure", "detectors", missing, "-o", "report"),
        ("detect", missing),
        ("trust", "add", "--anchor", missing),
    ):
        asked = (
            ()
            if "--brief" in command or command[1] in ("add", "proof") or command[0] == "measure"
            else options
        )
        done = ready(*command, *asked)
        odd = {unicodedata.name(c, repr(c)) for c in done.out + done.err if not c.isprintable() and c != "\n"}
        assert not odd, (command, odd)
        assert not [line for line in (done.out + done.err).splitlines() if line.startswith("TRUSTED")], (
            command
        )


@pytest.mark.parametrize(
    "what",
    [b"\x2a\x86\x48\xce\x3d\x03\x01\x07", b"\x2a\x86\x48\xce\x3d\x02\x01"],
    ids=["curve", "kind of key"],
)
def test_a_record_by_an_unknown_kind_of_key_is_an_expected_error(
    what: bytes, signed: dict[str, Path]
) -> None:
    """As a flipped bit in its certificate makes one; found by the mutants of benchmarks/provenance/faults.py."""
    with LocalLedger.open(Home.locate().ledger) as ledger:
        record = ledger.entry(0).opening.signed
    leaf = record.chain_der[0]
    assert what in leaf
    for bit in (1, 2, 4, 64):
        damaged = leaf.replace(what, what[:-1] + bytes([what[-1] ^ bit]), 1)
        with pytest.raises(VeilmarkError):
            replace(record, chain_der=[damaged, *record.chain_der[1:]]).verify()


@pytest.mark.parametrize("version", [3, 66, 122])
def test_a_certificate_of_an_unknown_version_is_an_expected_error(
    version: int, signed: dict[str, Path]
) -> None:
    with LocalLedger.open(Home.locate().ledger) as ledger:
        record = ledger.entry(0).opening.signed
    v3 = b"\xa0\x03\x02\x01\x02"
    damaged = record.chain_der[0].replace(v3, v3[:-1] + bytes([version]), 1)
    assert damaged != record.chain_der[0]
    with pytest.raises(VeilmarkError):
        replace(record, chain_der=[damaged, *record.chain_der[1:]]).verify()
    with pytest.raises(ValueError, match="version"):
        read_der(damaged)

"""Published logs: tiles as c2sp.org/tlog-tiles wants them, and audits that name what is wrong."""

from __future__ import annotations

import functools
import http.server
import shutil
import sqlite3
import threading
from pathlib import Path

import pytest

from provenance.errors import ForkError, LedgerError, MissingPathError
from provenance.ledger import merkle
from provenance.ledger.audit import audit, audit_published
from provenance.ledger.embedded.entries import CHUNK_BYTES, EntryStore
from provenance.ledger.embedded.log import LocalLedger
from provenance.ledger.note import Note
from provenance.ledger.policy import Policy
from provenance.ledger.publish import publish
from provenance.ledger.tiles import Folder, PublishedLog, tile_path, tiles_of
from tests.support.records import make_openings

ORIGIN = "example.org/log"


@pytest.fixture(scope="module")
def big_log(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A log of 700 entries, published when it had 300 and again at 700."""
    folder = tmp_path_factory.mktemp("big")
    openings = make_openings(700)
    with LocalLedger.create(folder / "ledger.sqlite3", origin=ORIGIN) as log:
        log.extend(openings[:300])
        publish(log, folder / "site")
        shutil.copytree(folder / "site", folder / "site-300")
        log.extend(openings[300:])
        publish(log, folder / "site")
    return folder


@pytest.fixture
def site(big_log: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(big_log / "site", tmp_path / "site"))


@pytest.fixture
def ledger_copy(big_log: Path, tmp_path: Path) -> Path:
    for name in ("ledger.sqlite3", "ledger.sqlite3.key", "ledger.sqlite3.guard"):
        shutil.copy2(big_log / name, tmp_path / name)
    return tmp_path / "ledger.sqlite3"


def test_tile_paths_and_the_specification_example() -> None:
    assert tile_path(0, 1234067) == "tile/0/x001/x234/067"
    assert tile_path("entries", 5, 12) == "tile/entries/005.p/12"
    # c2sp.org/tlog-tiles: a tree of 70,000
    tiles = list(tiles_of(70_000))
    by_level = {level: [width for lev, _, width in tiles if lev == level] for level in (0, 1, 2)}
    assert by_level == {0: [256] * 273 + [112], 1: [256, 17], 2: [1]}
    assert list(tiles_of(256)) == [(0, 0, 256), (1, 0, 1)]


def test_published_files_are_what_the_tree_says(big_log: Path) -> None:
    site = big_log / "site"
    names = {str(file.relative_to(site)) for file in site.rglob("*") if file.is_file()}
    assert names == {
        "checkpoint",
        *(f"tile/{kind}/{name}" for kind in ("0", "entries") for name in ("000", "001", "002.p/188")),
        "tile/1/000.p/1",  # clients that hold the first checkpoint still need it
        "tile/1/000.p/2",
    }
    assert (site / "tile/0/000").stat().st_size == 8192
    with LocalLedger.open(big_log / "ledger.sqlite3") as log:
        size = log.size
        node = PublishedLog(Folder(site)).reader(size)
        root = merkle.root_hash(size, node)
        assert root == log.checkpoint().root
        proof = merkle.inclusion_proof(555, size, node)
        assert proof == list(log.receipt(555).proof)


def test_a_published_log_is_audited_by_a_stranger(big_log: Path) -> None:
    with LocalLedger.open(big_log / "ledger.sqlite3") as log:
        policy = Policy.of_logs([log.log_key])
    earlier = Note.parse((big_log / "site-300" / "checkpoint").read_bytes())
    seen: list[float] = []
    report = audit_published(big_log / "site", policy=policy, earlier=earlier, progress=seen.append)
    assert report.ok and report.entries == 700 and report.log_trusted
    assert seen[-1] == 1.0
    assert not audit_published(big_log / "site-300", policy=policy, earlier=earlier).problems
    newer = Note.parse((big_log / "site" / "checkpoint").read_bytes())
    assert not audit_published(big_log / "site-300", earlier=newer).ok


def test_a_published_log_is_audited_over_http(site: Path) -> None:
    handler = functools.partial(http.server.SimpleHTTPRequestHandler, directory=str(site))
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    handler.func.log_message = lambda *_: None  # type: ignore[attr-defined]
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        address = f"http://127.0.0.1:{server.server_address[1]}"
        assert audit_published(address).entries == 700
        (site / "tile/entries/001").unlink()
        report = audit_published(address)
        assert report.first_bad == 256
    finally:
        server.shutdown()
        server.server_close()
    with pytest.raises(LedgerError):
        audit_published(address)


@pytest.mark.parametrize(
    ("file", "place", "first_bad"),
    [
        ("tile/entries/001", 34 * 44 + 10, 300),
        ("tile/0/000", 32 * 77, 77),
        ("tile/0/002.p/188", 32 * 180 + 31, 692),
        ("tile/1/000.p/2", 32, 256),
    ],
)
def test_a_changed_tile_is_named(site: Path, file: str, place: int, first_bad: int) -> None:
    data = bytearray((site / file).read_bytes())
    data[place] ^= 1
    (site / file).write_bytes(data)
    assert audit_published(site).first_bad == first_bad


@pytest.mark.parametrize("change", ["cut", "long", "missing"])
def test_a_malformed_bundle_is_named(site: Path, change: str) -> None:
    file = site / "tile/entries/002.p/188"
    data = file.read_bytes()
    if change == "missing":
        file.unlink()
    else:
        file.write_bytes(data[:-1] if change == "cut" else data + data[:34])
    assert audit_published(site).first_bad == 512


def test_someone_elses_checkpoint_is_not_trusted(big_log: Path, tmp_path: Path) -> None:
    with LocalLedger.create(tmp_path / "other", origin=ORIGIN) as other:
        report = audit_published(big_log / "site", policy=Policy.of_logs([other.log_key]))
    assert report.log_trusted is False and not report.ok
    with pytest.raises(MissingPathError):
        audit_published(tmp_path / "nowhere")
    with pytest.raises(LedgerError, match="no checkpoint"):
        audit_published(tmp_path)


def test_own_audit_passes_and_progresses(ledger_copy: Path) -> None:
    seen: list[float] = []
    with LocalLedger.open(ledger_copy) as log:
        report = audit(log, signatures=True, progress=seen.append)
    assert report.problems == [] and report.entries == 700 and seen[-1] == 1.0


@pytest.mark.parametrize(
    ("statement", "first_bad", "word"),
    [
        ("UPDATE chunks SET data = zeroblob(4056) WHERE id IN (90, 30)", None, "commits to"),
        ("DELETE FROM chunks WHERE id = 30", None, "missing"),
        ("DELETE FROM entries WHERE id = 15", 240, "missing"),
        ("UPDATE entries SET data = zeroblob(200) WHERE id = 15", 240, "missing"),
        ("DELETE FROM lookup WHERE (key & 4294967295) = 99", 99, "looked up"),
        ("UPDATE nodes SET hashes = zeroblob(512) WHERE id = 32 * 16 + 0", 32, "commits to"),
        ("UPDATE nodes SET hashes = zeroblob(512) WHERE id % 16 = 1 AND id < 16 * 200", 0, "tree hash"),
        ("DELETE FROM signers", 0, "signer"),
        ("UPDATE entries SET id = 5000 WHERE id = 43", 688, "missing"),
    ],
)
def test_own_audit_names_the_first_bad_entry(
    ledger_copy: Path, statement: str, first_bad: int | None, word: str
) -> None:
    connection = sqlite3.connect(ledger_copy)
    if first_bad is None:  # the first entry with a byte in chunk 30
        ends = (EntryStore(connection).end(size) for size in range(1, 700))
        first_bad = next(index for index, end in enumerate(ends) if end > 30 * CHUNK_BYTES)
    assert connection.execute(statement).rowcount > 0
    connection.commit()
    connection.close()
    with LocalLedger.open(ledger_copy) as log:
        report = audit(log)
    assert report.first_bad == first_bad
    assert any(word in problem.what for problem in report.problems if problem.index == first_bad)


def test_a_forged_checkpoint_in_the_database_is_found(ledger_copy: Path) -> None:
    connection = sqlite3.connect(ledger_copy)
    note = connection.execute("SELECT value FROM meta WHERE key = 'checkpoint'").fetchone()[0]
    connection.execute(
        "UPDATE meta SET value = ? WHERE key = 'checkpoint'", (note.replace("\n700\n", "\n699\n"),)
    )
    connection.commit()
    connection.close()
    with LocalLedger.open(ledger_copy) as log:
        report = audit(log)
    assert any("not genuine" in problem.what for problem in report.problems)


def test_an_older_database_does_not_publish_over_its_future(big_log: Path, tmp_path: Path) -> None:
    with LocalLedger.create(tmp_path / "a", origin=ORIGIN) as log:
        log.extend(make_openings(5))
        with pytest.raises(ForkError):
            publish(log, big_log / "site")


def test_the_published_folder_alone_reveals_a_restored_copy(tmp_path: Path) -> None:
    """Even when the guard file was restored together with the database."""
    path, site = tmp_path / "ledger.sqlite3", tmp_path / "site"
    with LocalLedger.create(path, origin=ORIGIN) as log:
        log.extend(make_openings(4))
        publish(log, site)
    saved = {name: (tmp_path / name).read_bytes() for name in (path.name, f"{path.name}.guard")}
    with LocalLedger.open(path) as log:
        log.extend(make_openings(3, start=4))
        publish(log, site)
    for suffix in ("-wal", "-shm"):
        path.with_name(path.name + suffix).unlink(missing_ok=True)
    for name, data in saved.items():
        (tmp_path / name).write_bytes(data)
    with LocalLedger.open(path) as log:
        assert log.size == 4
        with pytest.raises(ForkError, match="site"):
            log.append(make_openings(1, seed="another history"))
        with pytest.raises(ForkError):
            publish(log, tmp_path / "elsewhere")

"""Content ids, the store on disk, CAR files, and uploads that wait."""

from __future__ import annotations

import random
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from provenance.errors import MissingPathError, OutputExistsError, StoreError
from provenance.store.car import export_car, import_car
from provenance.store.cid import CODEC_DAG_PB, Cid
from provenance.store.local import LocalStore
from provenance.store.queue import UploadQueue, push
from provenance.store.unixfs import cid_of, layout, read_file


def _bytes(count: int, seed: int = 0) -> bytes:
    return random.Random(seed).randbytes(count)


@pytest.fixture
def store(tmp_path: Path) -> LocalStore:
    return LocalStore(tmp_path / "store")


def test_known_content_ids() -> None:
    # well-known: `echo hello world | ipfs add --cid-version=1 --raw-leaves`, and the empty file
    assert cid_of(b"hello world\n") == "bafkreifjjcie6lypi6ny7amxnfftagclbuxndqonfipmb64f2km2devei4"
    assert cid_of(b"") == "bafkreihdwdcefgh4dqkjv67uzcmw7ojee6xedzdetojuzjevtenxquvyku"


def test_put_get_has(store: LocalStore) -> None:
    cid = store.put(b"a manifest")
    assert cid == cid_of(b"a manifest") == store.put(b"a manifest")
    assert store.get(cid) == b"a manifest"
    assert store.has(cid) and not store.has(cid_of(b"another"))
    with pytest.raises(StoreError, match="not in the store"):
        store.get(cid_of(b"another"))
    assert [str(known) for known in store.cids()] == [cid]


@pytest.mark.parametrize("extra", [-1, 0, 1, 3 * 2**20 + 5])
def test_large_blobs_are_chunked_and_come_back(store: LocalStore, extra: int) -> None:
    data = _bytes(2**20 + extra)
    cid = store.put(data)
    assert cid.startswith("bafkrei" if extra <= 0 else "bafybei")
    assert cid == cid_of(data)
    assert store.get(cid) == data


@given(st.integers(0, 700), st.integers(1, 9), st.integers(2, 5))
@settings(max_examples=60, deadline=None)
def test_any_layout_reads_back(length: int, chunk: int, links: int) -> None:
    if -(-length // chunk) > links**4:
        return
    data = _bytes(length)
    blocks = dict(layout(data, chunk_bytes=chunk, max_links=links))
    root = list(layout(data, chunk_bytes=chunk, max_links=links))[-1][0]
    assert b"".join(read_file(root, blocks.__getitem__)) == data


def test_damage_on_disk_is_noticed(store: LocalStore) -> None:
    cid = store.put(b"a receipt, say")
    file = next(store.path.rglob(cid))
    file.write_bytes(b"b receipt, say")
    with pytest.raises(StoreError, match="not what the content id says"):
        store.get(cid)
    assert store.put(b"a receipt, say") == cid
    assert store.get(cid) == b"a receipt, say"
    large = store.put(_bytes(2**20 + 1))
    leaf = next(known for known in store.cids() if known.codec != CODEC_DAG_PB and str(known) != cid)
    store.delete_block(leaf)
    with pytest.raises(StoreError):
        store.get(large)


@pytest.mark.parametrize(
    "bad",
    [
        "",
        "x",
        "bafy",
        "QmZfF6C9j4VtoCsTp4KSrhYH47QMd3DNXVZBKaxJdhaPab",
        "../../etc/passwd",
        "b" + "a" * 58,
        "b" * 500,
    ],
)
def test_bad_content_ids_are_refused(store: LocalStore, bad: str) -> None:
    with pytest.raises(StoreError):
        store.get(bad)


def test_malformed_nodes_are_refused() -> None:
    for block in (b"", b"\x12\xff", b"\x0a\x02\x08\x01", b"\x12\x03\x0a\x01x", b"\xff" * 12):
        cid = Cid.of_block(block, CODEC_DAG_PB)
        with pytest.raises(StoreError):
            list(read_file(cid, {cid: block}.__getitem__))


def test_a_file_nested_too_deep_or_too_long_is_refused() -> None:
    blocks = dict(layout(_bytes(64), chunk_bytes=1, max_links=2))
    root = list(layout(_bytes(64), chunk_bytes=1, max_links=2))[-1][0]
    with pytest.raises(StoreError, match="nested"):
        list(read_file(root, blocks.__getitem__))
    blocks = dict(layout(_bytes(64), chunk_bytes=8))
    root = list(layout(_bytes(64), chunk_bytes=8))[-1][0]
    with pytest.raises(StoreError, match="limit"):
        list(read_file(root, blocks.__getitem__, max_bytes=63))


def test_car_carries_blobs_between_stores(store: LocalStore, tmp_path: Path) -> None:
    blobs = [b"one", b"two", _bytes(2**20 + 77)]
    cids = [store.put(blob) for blob in blobs]
    report = export_car(store, cids, tmp_path / "out.car")
    assert (report.roots, report.blocks) == (tuple(cids), 5)
    other = LocalStore(tmp_path / "other")
    assert import_car(other, tmp_path / "out.car") == report
    assert [other.get(cid) for cid in cids] == blobs
    with pytest.raises(OutputExistsError):
        export_car(store, cids, tmp_path / "out.car")
    with pytest.raises(MissingPathError):
        import_car(other, tmp_path / "absent.car")
    many = [store.put(bytes([number // 256, number % 256])) for number in range(257)]
    export_car(store, many, tmp_path / "many.car")
    assert import_car(other, tmp_path / "many.car").roots == tuple(many)


def test_car_header_is_the_one_of_the_specification(store: LocalStore, tmp_path: Path) -> None:
    export_car(store, [store.put(b"x")], tmp_path / "x.car")
    data = (tmp_path / "x.car").read_bytes()
    # ipld.io/specs/transport/car/carv1: varint, then {"roots": [42(0x00 CID)], "version": 1}
    assert data[:10].hex() == "3aa265726f6f747381d8"
    assert data[10:15].hex() == "2a58250001"
    assert data[50:59] == b"\x67version\x01"


@pytest.mark.parametrize("place", [0, 1, 20, 58, 59, 60, 70, 99, 110])
def test_a_damaged_car_is_refused(store: LocalStore, tmp_path: Path, place: int) -> None:
    export_car(store, [store.put(b"some content to carry away")], tmp_path / "a.car")
    data = bytearray((tmp_path / "a.car").read_bytes())
    data[place] ^= 0x40
    (tmp_path / "a.car").write_bytes(data)
    with pytest.raises(StoreError):
        import_car(LocalStore(tmp_path / "b"), tmp_path / "a.car")


@given(data=st.binary(max_size=200))
@settings(max_examples=100, deadline=None)
def test_garbage_is_no_car(data: bytes, tmp_path_factory: pytest.TempPathFactory) -> None:
    folder = tmp_path_factory.mktemp("car")
    (folder / "g.car").write_bytes(data)
    with pytest.raises(StoreError):
        import_car(LocalStore(folder / "s"), folder / "g.car")


def test_uploads_wait_until_the_remote_store_is_back(tmp_path: Path) -> None:
    local, queue = LocalStore(tmp_path / "local"), UploadQueue(tmp_path / "queue")
    blocked = tmp_path / "remote"
    blocked.write_text("a file where the remote's folder should be")
    remote = LocalStore(blocked / "store")
    cids = [local.put(bytes([number])) for number in range(5)]
    for cid in cids:
        queue.add(cid)
    assert [item.cid for item in queue] == sorted(cids)
    missing = cid_of(b"was deleted meanwhile")
    queue.add(missing)
    blocked.unlink()
    seen: list[float] = []
    report = push(local, queue, remote, progress=seen.append)
    assert sorted(report.uploaded) == sorted(cids) and seen[-1] == 1.0
    assert [cid for cid, _ in report.failed] == [missing] and report.waiting == 1
    assert all(remote.has(cid) for cid in cids)
    (waiting,) = queue
    assert (waiting.attempts, "not in the store" in waiting.error) == (1, True)


def test_a_damaged_queue_note_still_waits(tmp_path: Path) -> None:
    queue = UploadQueue(tmp_path / "queue")
    queue.add(cid_of(b"x"), "daemon down")
    queue.add(cid_of(b"x"), "daemon down")
    assert [item.attempts for item in queue] == [2]
    (tmp_path / "queue" / cid_of(b"x")).write_bytes(b"{")
    assert [item.cid for item in queue] == [cid_of(b"x")]
    queue.remove(cid_of(b"x"))
    assert len(queue) == 0

"""Fingerprints on the server: nothing within 31 bits is missed, and every machine finds what any recorded."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from provenance.fingerprint.pdq import MATCH_DISTANCE
from provenance.home import Home
from provenance.ledger.opening import open_ledger
from provenance.ledger.postgres.log import PostgresLedger
from provenance.media.media_file import MediaFile
from provenance.search.hash_index import ExactIndex
from provenance.search.lookup import open_lookup, similar_records
from provenance.search.postgres_store import PostgresFingerprints
from provenance.session import open_session
from provenance.setup import initialize
from provenance.sign import record_file
from provenance.trust.store import TrustStore
from provenance.verdict import MatchKind
from tests.support.postgres import Server

pytestmark = pytest.mark.postgres


@pytest.fixture
def store(postgres: Server, tmp_path: Path):
    address = postgres.new_database()
    PostgresLedger.create(address, tmp_path / "l", origin="example.org/found", guard=tmp_path / "g").close()
    found = PostgresFingerprints(address, tmp_path / "folder", "source")
    yield found
    found.close()


def _flipped(code: np.ndarray, bits: np.ndarray) -> np.ndarray:
    unpacked = np.unpackbits(code)
    unpacked[bits] ^= 1
    return np.packbits(unpacked)


def test_nothing_within_the_radius_is_missed(store: PostgresFingerprints) -> None:
    draw = np.random.default_rng(3)
    codes = draw.integers(0, 256, (3000, 32), dtype=np.uint8)
    queries = codes[:40].copy()
    # around each query, codes 0 to 39 bits away, some spread as widely as can be
    for number, query in enumerate(queries):
        distance = number
        spread = np.arange(distance) * 256 // max(distance, 1)
        codes[1000 + number] = _flipped(query, spread)
        codes[2000 + number] = _flipped(query, draw.permutation(256)[:distance])
    rows = [(index, "picture", None, None, [(index % 7, code.tobytes())]) for index, code in enumerate(codes)]
    assert store.add(rows[:2500]) == 2500
    assert store.add(rows) == 500 and store.add(rows) == 0
    assert (store.code_count(), store.next_entry, store.is_empty) == (3000, 3000, False)
    assert list(store.codes())[2999] == (2999, 2999 % 7, codes[2999].tobytes())
    truth = ExactIndex()
    truth.add(codes)
    index, owners = store.served_codes()
    assert len(index) == 3000
    for radius in (0, 15, MATCH_DISTANCE, 40):
        wanted = truth.search(queries, radius)
        got = index.search(queries, radius)
        assert list(got.queries) == list(wanted.queries)
        assert [owners[item] for item in got.items] == [(int(item), int(item) % 7) for item in wanted.items]
        assert list(got.distances) == list(wanted.distances)


def test_what_one_machine_records_another_finds(
    postgres: Server, portrait_files: dict[str, Path], portraits: dict[str, np.ndarray], tmp_path: Path
) -> None:
    address = postgres.new_database()
    first, second = Home.at(tmp_path / "first"), Home.at(tmp_path / "second")
    made = initialize(first, subject="One", algorithm="ed25519", passphrase=None, database=address)
    joined = initialize(second, subject="Two", algorithm="ed25519", passphrase=None, database=address)
    assert made.log_key == joined.log_key and joined.database is not None and "@" in joined.database
    with open_session(first) as session:
        for path in portrait_files.values():
            record_file(path, session)
    smaller, crop = tmp_path / "smaller.jpg", tmp_path / "crop.jpg"
    picture = Image.fromarray(portraits["astronaut"])
    picture.resize((300, 300)).save(smaller, quality=80)
    picture.crop((60, 20, 420, 380)).save(crop, quality=90)
    trust = TrustStore.load(second)
    with open_lookup(second) as lookup:
        assert lookup is not None
        for path, kind in ((portrait_files["astronaut"], MatchKind.FILE), (smaller, MatchKind.PDQ)):
            records = similar_records(MediaFile.open(path), lookup, trust)
            assert [(record.index, record.match) for record in records] == [(0, kind)]
        assert [record.index for record in similar_records(MediaFile.open(crop), lookup, trust)] == [0]
    with open_ledger(second) as ledger:
        assert ledger.size == 2

"""Every index gives the answers of a plain comparison with everything."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from provenance.search import multi_index as index_multi
from provenance.search.hash_index import ExactIndex, Index
from provenance.search.index_store import FingerprintStore
from provenance.search.multi_index import MultiIndex

INDEXES: dict[str, Callable[[], Index]] = {
    "exact": ExactIndex,
    "multi": MultiIndex,
}


def flipped(code: np.ndarray, bits: int, random: np.random.Generator) -> np.ndarray:
    unpacked = np.unpackbits(code)
    unpacked[random.choice(256, bits, replace=False)] ^= 1
    return np.packbits(unpacked)


def brute_force(codes: np.ndarray, queries: np.ndarray, radius: int) -> list[tuple[int, int, int]]:
    rows = []
    for number, query in enumerate(queries):
        for item, code in enumerate(codes):
            distance = int(np.unpackbits(code ^ query).sum())
            if distance <= radius:
                rows.append((number, distance, item))
    return sorted(rows)


@pytest.mark.parametrize("name", INDEXES)
@settings(max_examples=8, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), radius=st.sampled_from([0, 1, 15, 16, 31]))
def test_same_answers_as_brute_force(name: str, seed: int, radius: int) -> None:
    random = np.random.default_rng(seed)
    codes = random.integers(0, 256, (400, 32), dtype=np.uint8)
    codes[7] = codes[300]
    near = [flipped(codes[random.integers(400)], bits, random) for bits in (0, 1, radius, radius + 1, 31, 32)]
    queries = np.stack([*near, random.integers(0, 256, 32, dtype=np.uint8)])
    index = INDEXES[name]()
    for start, stop in ((0, 1), (1, 250), (250, 250), (250, 400)):
        index.add(codes[start:stop])
    assert len(index) == 400
    hits = index.search(queries, radius)
    found = list(zip(hits.queries.tolist(), hits.distances.tolist(), hits.items.tolist(), strict=True))
    assert found == brute_force(codes, queries, radius)


def test_tables_and_tail_of_the_multi_index(monkeypatch: pytest.MonkeyPatch) -> None:
    """Codes filed in tables, and codes added since, are found alike; also beyond the radius of the tables."""
    monkeypatch.setattr(index_multi, "_TAIL", 100)
    random = np.random.default_rng(2)
    codes = random.integers(0, 256, (900, 32), dtype=np.uint8)
    index = MultiIndex()
    index.add(codes[:800])
    index.search(codes[:1], 31)
    index.add(codes[800:])
    for item in (5, 799, 801, 899):
        for bits in (0, 9, 31):
            hits = index.search(flipped(codes[item], bits, random)[None], 31)
            assert (item, bits) in zip(hits.items.tolist(), hits.distances.tolist(), strict=True)
        assert index.search(flipped(codes[item], 60, random)[None], 60).items.tolist() == [item]
        assert len(index.search(flipped(codes[item], 32, random)[None], 31).items) == 0


@pytest.mark.parametrize("name", INDEXES)
def test_an_empty_index_finds_nothing_and_odd_shapes_are_refused(name: str) -> None:
    index = INDEXES[name]()
    assert len(index.search(np.zeros((2, 32), dtype=np.uint8), 31).items) == 0
    with pytest.raises(ValueError, match="uint8 codes"):
        index.add(np.zeros((2, 31), dtype=np.uint8))
    with pytest.raises(ValueError, match="uint8 codes"):
        index.search(np.zeros((2, 32), dtype=np.float32), 31)


def test_filing_does_not_look_at_every_entry_without_features() -> None:
    """Counted in steps of SQLite's machine, which do not depend on who else is at work."""
    store = FingerprintStore(None, "a ledger")
    store.add((number, "none", None, None, []) for number in range(20_000))
    steps: list[int] = []
    store._database.set_progress_handler(lambda: steps.append(1) or 0, 100)  # each 100 of them
    store.add([(20_000, "none", None, None, [])])
    store.feature_segments()
    assert len(steps) < 50
    store.close()

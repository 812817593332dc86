"""Asking without showing: what is asked hides among k, and a copy is found all the same."""

from __future__ import annotations

import secrets

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from provenance.errors import UsageError
from provenance.resolve import bands


def codes(count: int, seed: int = 7) -> list[bytes]:
    draw = np.random.default_rng(seed)
    return [draw.bytes(32) for _ in range(count)]


def as_bands(many: list[bytes]) -> np.ndarray:
    return np.array([bands.band_of(one) for one in many], dtype=np.uint16)


@pytest.mark.parametrize("count", [0, 1, 31, 32, 500, 20_000])
@pytest.mark.parametrize("k", [1, 32])
def test_the_question_hides_among_k_of_the_records(count: int, k: int) -> None:
    stored = as_bands(codes(count))
    counts = bands.counts_of(stored)
    assert sum(counts) == count
    for wanted in codes(20, seed=8):
        question, promised = bands.choose(wanted, counts, k)
        answered = bands.answering(stored, question)
        assert len(answered) == promised >= min(k, count)
        if count < k:
            assert question == bands.Question(0, 0), "with too few records nothing is told"


def test_more_records_allow_longer_questions_and_fewer_answers() -> None:
    stored = as_bands(codes(50_000))
    question, answered = bands.choose(secrets.token_bytes(32), bands.counts_of(stored), 32)
    assert question.bits >= 10 and answered < 1000


OTHERS = as_bands(codes(2000))


@settings(deadline=None, max_examples=50)
@given(st.binary(min_size=32, max_size=32), st.integers(0, 15))
def test_a_copy_that_differs_in_one_bit_of_the_band_is_answered(code: bytes, bit: int) -> None:
    copy = bytearray(code)
    copy[2 * bands.BAND + bit // 8] ^= 0x80 >> bit % 8
    stored = np.append(OTHERS, bands.band_of(bytes(copy))).astype(np.uint16)
    question, _ = bands.choose(code, bands.counts_of(stored), 4)
    assert question.bits > 0 and 2000 in bands.answering(stored, question)


def test_one_that_differs_in_two_is_not() -> None:
    code = bytes(32)
    other = bytes(30) + b"\xc0\x00"
    stored = as_bands([other, *codes(2000)])
    question, _ = bands.choose(code, bands.counts_of(stored), 4)
    assert question.bits >= 2 and 0 not in bands.answering(stored, question)


@pytest.mark.parametrize(("bits", "prefix"), [(-1, 0), (17, 0), (4, 16), (4, -1), (0, 1)])
def test_impossible_questions(bits: int, prefix: int) -> None:
    with pytest.raises(UsageError):
        bands.Question(bits, prefix)


@pytest.mark.parametrize("counts", [[], [1, 2, 3], [0] * (1 << 17), [-1, 2], [1 << 60, 1 << 60]])
def test_counts_that_make_no_sense(counts: list[int]) -> None:
    with pytest.raises(UsageError):
        bands.choose(bytes(32), counts, 32)

"""An altered copy leads back to its record; another picture does not."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from provenance.fingerprint import fingerprint_file, fingerprint_picture
from provenance.media import detect_format
from provenance.similar import SimilarIndex


def encoded(pixels: np.ndarray, quality: int) -> np.ndarray:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "JPEG", quality=quality)
    return np.asarray(Image.open(buffer))


@pytest.fixture
def index(portraits: dict[str, np.ndarray]) -> SimilarIndex:
    filled = SimilarIndex()
    for number, pixels in enumerate(portraits.values()):
        fingerprint = fingerprint_picture(pixels)
        filled.add(number, fingerprint.to_record(), fingerprint.to_blob())
    return filled


def test_reencoded_file_is_found(
    index: SimilarIndex, portraits: dict[str, np.ndarray], tmp_path: Path
) -> None:
    for number, pixels in enumerate(portraits.values()):
        path = tmp_path / "stripped.jpg"
        Image.fromarray(pixels).save(path, quality=40)
        matches = index.search(fingerprint_file(path, detect_format(path)))
        assert [match.entry_index for match in matches] == [number]


def test_equal_pixels_are_told_apart_from_similar_ones(
    index: SimilarIndex, portraits: dict[str, np.ndarray]
) -> None:
    assert index.search(fingerprint_picture(portraits["hopper"]))[0].kind == "pixels"
    assert index.search(fingerprint_picture(encoded(portraits["hopper"], 90)))[0].kind == "pdq"


def test_flat_picture_matches_nothing(index: SimilarIndex) -> None:
    flat = fingerprint_picture(np.full((200, 300, 3), 90, dtype=np.uint8))
    index.add(7, {key: value for key, value in flat.to_record().items() if key != "pixels_sha256"}, b"")
    assert index.search(flat) == []


def test_records_of_strangers_cannot_break_the_index(index: SimilarIndex) -> None:
    before = index.next_entry
    strange = [{"pdq": 5}, {"pdq": "zz" * 32, "pdq_quality": 100}, {"pdq": "00", "pdq_quality": 100}]
    for number, fingerprints in enumerate([*strange, {"pixels_sha256": ["a"]}, {"pdq_quality": {}}]):
        index.add(before + number, fingerprints, b"not a blob")
    assert index.next_entry == before + 5

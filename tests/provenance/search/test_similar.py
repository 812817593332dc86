"""An altered copy leads back to its record; another picture, and a made hash collision, do not."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from PIL import Image

from benchmarks.provenance.find_edits import EDITS, cropped, jpeg, mirrored, pictures, screenshot, turned
from provenance.errors import LedgerError
from provenance.fingerprint.features import LocalFeatures
from provenance.fingerprint.geometry import place
from provenance.fingerprint.pdq import MATCH_DISTANCE, MIN_QUALITY, hamming, pdq_hash
from provenance.fingerprint.picture import fingerprint_file, fingerprint_picture
from provenance.media.media_file import MediaFile
from provenance.search import index_store
from provenance.search.similar import SimilarIndex


def fill(index: SimilarIndex, originals: list[np.ndarray]) -> SimilarIndex:
    for number, pixels in enumerate(originals):
        fingerprint = fingerprint_picture(pixels)
        index.add(number, fingerprint.to_record(), fingerprint.to_blob())
    return index


@pytest.fixture
def index(portraits: dict[str, np.ndarray]) -> SimilarIndex:
    return fill(SimilarIndex(), list(portraits.values()))


@pytest.fixture(scope="module")
def samples() -> list[np.ndarray]:
    """A dozen different real pictures that two packages ship."""
    return [pixels for name, pixels in pictures() if not name.endswith(".mp4")][:12]


def area(outline: tuple[tuple[float, float], ...]) -> float:
    return float(cv2.contourArea(np.array(outline, dtype=np.float32)))


def test_reencoded_file_is_found(
    index: SimilarIndex, portraits: dict[str, np.ndarray], tmp_path: Path
) -> None:
    for number, pixels in enumerate(portraits.values()):
        path = tmp_path / "stripped.jpg"
        Image.fromarray(pixels).save(path, quality=40)
        (match,) = index.search(fingerprint_file(MediaFile.open(path)))
        assert (match.entry_index, match.kind, match.confirmed) == (number, "pdq", True)


def test_equal_pixels_are_told_apart_from_similar_ones(
    index: SimilarIndex, portraits: dict[str, np.ndarray]
) -> None:
    assert index.search(fingerprint_picture(portraits["hopper"]))[0].kind == "pixels"
    assert index.search(fingerprint_picture(jpeg(portraits["hopper"], 90)))[0].kind == "pdq"


@pytest.mark.parametrize(
    "edit", [pytest.param(name, marks=[pytest.mark.slow] * ("cloak" in name)) for name in EDITS]
)
def test_every_edit_leads_back_to_its_picture_alone(edit: str, samples: list[np.ndarray]) -> None:
    if not hasattr(test_every_edit_leads_back_to_its_picture_alone, "index"):
        test_every_edit_leads_back_to_its_picture_alone.index = fill(SimilarIndex(), samples)  # type: ignore[attr-defined]
    index = test_every_edit_leads_back_to_its_picture_alone.index  # type: ignore[attr-defined]
    random = np.random.default_rng(5)
    for number in (0, 1, 3):
        edited = EDITS[edit](samples[number], random)
        if edited is None:  # nothing to cloak in a picture without faces
            assert number == 3
            continue
        matches = index.search(fingerprint_picture(edited))
        assert [match.entry_index for match in matches] == [number]
        assert matches[0].confirmed


def test_outline_says_which_part_was_taken(index: SimilarIndex, portraits: dict[str, np.ndarray]) -> None:
    hopper = portraits["hopper"]
    height, width = hopper.shape[:2]
    part = hopper[height // 5 : height * 4 // 5, width // 10 : width * 7 // 10]
    (match,) = index.search(fingerprint_picture(np.ascontiguousarray(part)))
    corners = np.array(match.outline)
    assert np.allclose(corners.min(axis=0), [0.1, 0.2], atol=0.02)
    assert np.allclose(corners.max(axis=0), [0.7, 0.8], atol=0.02)
    assert match.placement is not None
    assert match.placement.coverage == pytest.approx(0.36, abs=0.02)
    (whole,) = index.search(fingerprint_picture(screenshot(hopper)))
    assert area(whole.outline) > 0.97


@pytest.mark.parametrize(
    ("variant", "change"),
    [
        ("upright", lambda p: cropped(p, 0.2, np.random.default_rng(1))),
        ("mirrored", mirrored),
        ("turned 270", lambda p: turned(p, 1)),
        ("turned 90", lambda p: turned(p, 3)),
        ("flipped", lambda p: mirrored(turned(p, 2))),
        ("transposed", lambda p: np.ascontiguousarray(np.swapaxes(p, 0, 1))),
    ],
)
def test_variant_says_how_to_turn_the_file(
    index: SimilarIndex, portraits: dict[str, np.ndarray], variant: str, change: object
) -> None:
    matches = index.search(fingerprint_picture(change(portraits["hopper"])))  # type: ignore[operator]
    assert [match.variant for match in matches] == [variant]


def made_collision(target: np.ndarray, cover: np.ndarray) -> np.ndarray:
    """``cover`` with the coarse brightness of ``target``, so that the two have nearly one PDQ hash."""
    height, width = cover.shape[:2]
    wanted = cv2.resize(target, (width, height), interpolation=cv2.INTER_AREA).astype(np.float32) * 0.6 + 50
    forged = cover.astype(np.float32)
    for _ in range(6):
        forged = np.clip(forged + cv2.GaussianBlur(wanted - forged, (0, 0), width / 90), 0, 255)
    return forged.astype(np.uint8)


def test_made_pdq_collision_is_refused(index: SimilarIndex, portraits: dict[str, np.ndarray]) -> None:
    import skimage.data

    forged = made_collision(portraits["hopper"], np.asarray(skimage.data.coffee()))
    code, quality = pdq_hash(forged)
    own = fingerprint_picture(portraits["hopper"])
    assert quality >= MIN_QUALITY
    assert hamming(code, own.pdq) <= MATCH_DISTANCE
    assert index.search(fingerprint_picture(forged)) == []
    # where the ledger's keeper has the hash alone, the match is passed on for what it is
    bare = SimilarIndex()
    bare.add(0, own.to_record(), None)
    (match,) = bare.search(fingerprint_picture(forged))
    assert not match.confirmed


def test_shared_logo_is_no_copy(samples: list[np.ndarray]) -> None:
    logo = np.asarray(Image.fromarray(samples[1]).resize((150, 150)))
    first, second = samples[0].copy(), samples[3].copy()
    first[:150, :150] = logo
    second[-150:, -150:] = logo
    index = fill(SimilarIndex(), [first])
    assert index.search(fingerprint_picture(second)) == []


def test_flat_picture_matches_nothing(index: SimilarIndex) -> None:
    flat = fingerprint_picture(np.full((200, 300, 3), 90, dtype=np.uint8))
    index.add(
        7, {key: value for key, value in flat.to_record().items() if key != "pixels_sha256"}, flat.to_blob()
    )
    assert index.search(flat) == []


def test_records_of_strangers_cannot_break_the_index(
    index: SimilarIndex, portraits: dict[str, np.ndarray]
) -> None:
    before = index.next_entry
    strange = [{"pdq": 5}, {"pdq": "zz" * 32, "pdq_quality": 100}, {"pdq": "00", "pdq_quality": 100}]
    blobs = [b"not a blob", b"VMLF\x01" + b"\xff" * 10, b"VMVF\x01", b"VMSF\x01\xff\xff\xff\xff"]
    for number, fingerprints in enumerate([*strange, {"pixels_sha256": ["a"]}, {"pdq_quality": {}}]):
        for kind in ("picture", "video", "sound", 5):
            entry = index.next_entry
            index.add(entry, {**fingerprints, "kind": kind}, blobs[number % len(blobs)])
    assert index.next_entry == before + 20
    assert [match.entry_index for match in index.search(fingerprint_picture(portraits["astronaut"]))] == [0]


def test_cache_is_kept_extended_and_emptied_for_another_ledger(
    samples: list[np.ndarray], tmp_path: Path
) -> None:
    copy = fingerprint_picture(jpeg(cropped(samples[2], 0.2, np.random.default_rng(0)), 50))
    with SimilarIndex(tmp_path / "similar", source="log A") as index:
        fill(index, samples[:3])
    with SimilarIndex(tmp_path / "similar", source="log A") as index:
        assert index.next_entry == 3
        assert [match.entry_index for match in index.search(copy)] == [2]
        index.add(2, {}, None)
        assert [match.entry_index for match in index.search(copy)] == [2]
    with SimilarIndex(tmp_path / "similar", source="log B") as index:
        assert index.next_entry == 0
        assert index.search(copy) == []


def test_damaged_cache_is_made_anew(samples: list[np.ndarray], tmp_path: Path) -> None:
    folder = tmp_path / "similar"
    folder.mkdir()
    (folder / "similar.sqlite3").write_bytes(b"this is no database" * 100)
    with SimilarIndex(folder) as index:
        assert index.next_entry == 0
        fill(index, samples[:2])
        assert [match.entry_index for match in index.search(fingerprint_picture(jpeg(samples[1], 30)))] == [1]


def test_a_folder_that_cannot_be_written_is_done_without(samples: list[np.ndarray], tmp_path: Path) -> None:
    """As on a read-only disk (a file in the folder's place stops the superuser, too)."""
    occupied = tmp_path / "similar"
    occupied.write_text("not a folder")
    with SimilarIndex(occupied) as index:
        fill(index, samples[:2])
        assert [match.entry_index for match in index.search(fingerprint_picture(jpeg(samples[1], 30)))] == [1]
    assert occupied.read_text() == "not a folder"


def test_a_cache_damaged_in_use_gives_one_clear_error(samples: list[np.ndarray], tmp_path: Path) -> None:
    with SimilarIndex(tmp_path / "similar") as index:
        fill(index, samples[:1])
    database = sqlite3.connect(tmp_path / "similar" / "similar.sqlite3")
    with SimilarIndex(tmp_path / "similar") as index:
        database.execute("DROP TABLE codes")
        database.commit()
        database.close()
        with pytest.raises(LedgerError, match="look-up cache"):
            index.search(fingerprint_picture(samples[0]))


def test_segments_are_filed_merged_and_survive_damage(
    samples: list[np.ndarray], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With tiny segments every path of the files is walked; the answers stay the same."""
    monkeypatch.setattr(index_store, "_TAIL", 2)
    monkeypatch.setattr(index_store, "_FAN", 3)
    folder = tmp_path / "similar"
    copies = [fingerprint_picture(jpeg(mirrored(pixels), 40)) for pixels in samples[:11]]
    with SimilarIndex(folder) as index, SimilarIndex(folder) as reader:
        for number, pixels in enumerate(samples[:11]):
            fingerprint = fingerprint_picture(pixels)
            # without the hash, so that only features find it
            index.add(number, {"kind": "picture"}, fingerprint.to_blob())
            assert [match.entry_index for match in reader.search(copies[number])] == [number]
        database = sqlite3.connect(folder / "similar.sqlite3")
        sizes = [size for (size,) in database.execute("SELECT pictures FROM segments ORDER BY first")]
        database.close()
        assert sum(sizes) == 10 and max(sizes) == 6
    damaged = next(folder.glob("segment-*/postings0.npy"))
    damaged.write_bytes(damaged.read_bytes()[:200])
    with SimilarIndex(folder) as index:
        for number, copy in enumerate(copies):
            assert [match.entry_index for match in index.search(copy)] == [number]


def test_feature_blob_is_small_and_checked(portraits: dict[str, np.ndarray]) -> None:
    fingerprint = fingerprint_picture(portraits["hopper"])
    blob = fingerprint.to_blob()
    assert 4000 < len(blob) <= 16 * 1024
    assert place(fingerprint.features, LocalFeatures.from_bytes(blob)) is not None
    for broken in (b"", blob[:-1], blob + b"\0", b"XXXX" + blob[4:], blob[:5] + b"\0" * 8 + blob[13:]):
        with pytest.raises(Exception, match="feature blob"):
            LocalFeatures.from_bytes(broken)


@settings(max_examples=15, deadline=None)
@given(st.integers(1, 700), st.integers(1, 700), st.integers(0, 2**32 - 1), st.sampled_from([1, 5, 60]))
@example(height=61, width=1, seed=1, grain=60)  # two plain bands, one above the other
@example(height=1, width=61, seed=1, grain=60)
@example(height=100, width=110, seed=3, grain=60)  # two by two
def test_any_shape_of_picture_is_fingerprinted_and_found(
    height: int, width: int, seed: int, grain: int
) -> None:
    random = np.random.default_rng(seed)
    pixels = random.integers(0, 256, (-(-height // grain), -(-width // grain), 3), dtype=np.uint8)
    pixels = np.ascontiguousarray(np.repeat(np.repeat(pixels, grain, axis=0), grain, axis=1)[:height, :width])
    fingerprint = fingerprint_picture(pixels)
    index = SimilarIndex()
    index.add(0, fingerprint.to_record(), fingerprint.to_blob())
    (match,) = index.search(fingerprint)
    assert match.kind == "pixels"


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(0, 400), st.integers(1, 4096), st.integers(1, 4096))
def test_features_from_a_stranger_cannot_break_the_geometry(
    seed: int, count: int, width: int, height: int
) -> None:
    """Any bytes that parse can be compared, with themselves and with half of themselves moved about."""
    random = np.random.default_rng(seed)
    head = b"VMLF\x01" + width.to_bytes(4, "big") + height.to_bytes(4, "big") + count.to_bytes(2, "big")
    body = np.frombuffer(random.bytes(38 * count), dtype=np.uint8).reshape(count, 38).copy()
    first = LocalFeatures.from_bytes(head + body.tobytes())
    body[: count // 2, :6] = 0
    second = LocalFeatures.from_bytes(head + body.tobytes())
    with np.errstate(all="raise"):
        for query, original in ((first, first), (first, second), (second, first)):
            placement = place(query, original)
            assert placement is None or 0 <= placement.coverage <= 1


@pytest.mark.vectors
@pytest.mark.slow
def test_no_false_match_between_the_test_media(test_data: Path) -> None:
    named = list(pictures())
    index = fill(SimilarIndex(), [pixels for _, pixels in named])
    random = np.random.default_rng(4)
    for number, (name, pixels) in enumerate(named):
        for altered in (pixels, jpeg(cropped(pixels, 0.3, random), 30), screenshot(pixels)):
            wrong = [m for m in index.search(fingerprint_picture(altered)) if m.entry_index != number]
            assert wrong == [], name


def test_in_a_burst_the_original_is_found(portraits: dict[str, np.ndarray], tmp_path: Path) -> None:
    """Among many look-alikes few are compared point by point: the file's own original is one of them."""
    wide = cv2.resize(portraits["astronaut"], (640, 640))
    burst = [wide[y : y + 600, x : x + 600] for y in range(0, 40, 8) for x in range(0, 40, 5)]
    index = fill(SimilarIndex(), burst)
    for number in (3, 21, 38):
        path = tmp_path / "stripped.jpg"
        Image.fromarray(burst[number]).save(path, quality=75)
        matches = index.search(fingerprint_file(MediaFile.open(path)))
        assert number in [match.entry_index for match in matches] and 1 < len(matches) <= 16

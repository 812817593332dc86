"""What is learnt about a file is learnt once."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from provenance.errors import CorruptMediaError, MissingPathError, UnknownFormatError
from provenance.fingerprint.picture import fingerprint_file
from provenance.media.files import sha256_file
from provenance.media.media_file import MediaFile
from provenance.media.picture import open_picture


def test_hash_and_picture_outlive_the_bytes(portrait_files: dict[str, Path]) -> None:
    path = portrait_files["hopper"]
    file, digest, pixels = MediaFile.open(path), sha256_file(path), open_picture(path).pixels
    assert (file.format.name, file.size, file.sha256) == ("JPEG", path.stat().st_size, digest)
    assert (file.picture().pixels == pixels).all()
    path.write_bytes(b"something else")
    assert file.sha256 == digest
    assert file.picture() is file.picture(reduce_to=64), "the larger picture serves"
    assert fingerprint_file(file, exact_pixels=True).to_record()["kind"] == "picture"


def test_a_reduced_picture_does_not_stand_for_the_whole(portrait_files: dict[str, Path]) -> None:
    file = MediaFile.open(portrait_files["hopper"])
    small = file.picture(reduce_to=100).pixels
    assert file.picture(reduce_to=50).pixels is small
    whole = file.picture().pixels
    assert whole.shape[0] > small.shape[0] and file.picture(reduce_to=100).pixels is whole


def test_threads_share_one_decoding(portrait_files: dict[str, Path]) -> None:
    file = MediaFile.open(portrait_files["astronaut"])
    with ThreadPoolExecutor(4) as pool:
        assert len({id(picture) for picture in pool.map(lambda _: file.picture(), range(8))}) == 1


def test_what_is_no_media_file(tmp_path: Path) -> None:
    with pytest.raises(MissingPathError):
        MediaFile.open(tmp_path)
    (tmp_path / "empty").touch()
    with pytest.raises(CorruptMediaError):
        MediaFile.open(tmp_path / "empty")
    (tmp_path / "text").write_text("only words")
    with pytest.raises(UnknownFormatError):
        MediaFile.open(tmp_path / "text")
    file, error = MediaFile.open_any(tmp_path / "text")
    assert file.format.name == "file" and isinstance(error, UnknownFormatError)
    assert MediaFile.open(tmp_path / "text", any_file=True).format.name == "file"

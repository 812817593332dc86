"""Capture through OpenCV from what every machine has: a film. A camera is the same call with a number."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from provenance.capture.capture import Capture, capture_photo, capture_video
from provenance.errors import CorruptMediaError, MissingPathError, TamperedError, UsageError
from provenance.home import Home
from provenance.identity.identity import create_identity
from provenance.manifest.embed import ManifestSpec, sign_manifest
from provenance.manifest.read import read_manifest


@pytest.fixture
def film(tmp_path: Path) -> Path:
    path = tmp_path / "film.avi"
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"MJPG"), 10, (64, 48))
    for index in range(20):
        writer.write(np.full((48, 64, 3), (0, 0, 10 * index), np.uint8))
    writer.release()
    return path


def test_a_photo_is_signed_before_it_has_its_name(film: Path, tmp_path: Path) -> None:
    identity = create_identity(Home(tmp_path / "home", tmp_path / "home/config"), subject="Camera 7")
    output, seen = tmp_path / "photo.jpg", []

    def sign(capture: Capture, target: Path) -> str:
        assert not target.exists()
        seen.append(capture)
        spec = ManifestSpec(device="Example Cam", captured_at=capture.captured_at)
        sign_manifest(capture.path, target, spec, identity)
        return "signed"

    assert capture_photo(str(film), output, sign, warm_up=10) == "signed"
    assert seen[0].size == (64, 48)
    assert not seen[0].path.exists(), "the unsigned frame must not stay behind"
    report = read_manifest(output, "image/jpeg", anchors_pem=[identity.chain_pem])
    assert report is not None
    assert report.state == "trusted"
    assert report.metadata["tiff:Make"] == "Example"
    assert report.digital_source_type == "digitalCapture"
    red, green, blue = np.asarray(Image.open(output)).reshape(-1, 3).mean(axis=0)
    assert abs(red - 100) < 8, "frame 10, and its colours in the right order"
    assert green < 8
    assert blue < 8


@pytest.mark.parametrize("suffix", [".png", ".webp", ".tif", ".avif"])
def test_the_suffix_chooses_the_format(film: Path, tmp_path: Path, suffix: str) -> None:
    found = capture_photo(str(film), tmp_path / f"x{suffix}", lambda capture, _: capture.media.suffix)
    assert found == suffix


def test_a_failed_signature_leaves_nothing(film: Path, tmp_path: Path) -> None:
    paths = []

    def refuse(capture: Capture, target: Path) -> None:
        paths.append(capture.path)
        raise TamperedError("no")

    with pytest.raises(TamperedError):
        capture_photo(str(film), tmp_path / "x.jpg", refuse)
    assert not (tmp_path / "x.jpg").exists()
    assert not paths[0].parent.exists()


def test_a_film_is_recorded_for_the_seconds_asked(film: Path, tmp_path: Path) -> None:
    told: list[float] = []

    def keep(capture: Capture, target: Path) -> Capture:
        capture.path.rename(target)
        return capture

    capture = capture_video(str(film), tmp_path / "x.mp4", keep, seconds=1.2, progress=told.append)
    assert capture.frames == 12
    assert told[-1] == pytest.approx(1.2)
    reader = cv2.VideoCapture(str(tmp_path / "x.mp4"))
    assert int(reader.get(cv2.CAP_PROP_FRAME_COUNT)) == 12

    capture = capture_video(str(film), tmp_path / "y.mp4", keep, seconds=60)
    assert capture.frames == 20, "a film that ends earlier gives what it has"


def test_wrong_sources_are_named(tmp_path: Path) -> None:
    def never(capture: Capture, target: Path) -> None:
        raise AssertionError

    (tmp_path / "text.avi").write_text("no film")
    for source, kind in (
        (str(tmp_path / "absent.avi"), MissingPathError),
        (str(tmp_path / "text.avi"), CorruptMediaError),
        (63, UsageError),
        ("63", UsageError),
    ):
        with pytest.raises(kind):
            capture_photo(source, tmp_path / "x.jpg", never)
    with pytest.raises(UsageError, match="no picture format"):
        capture_photo(0, tmp_path / "x.txt", never)
    with pytest.raises(UsageError, match="MP4"):
        capture_video(0, tmp_path / "x.avi", never, seconds=1)
    with pytest.raises(UsageError, match="seconds"):
        capture_video(0, tmp_path / "x.mp4", never, seconds=-1)

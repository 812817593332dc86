"""Frames of footage: times, turns, limits, damage."""

from __future__ import annotations

from pathlib import Path

import av
import numpy as np
import pytest
from PIL import Image

from provenance.errors import (
    CorruptMediaError,
    MediaTooLargeError,
    MissingPathError,
    UnknownFormatError,
)
from synth.extraction import footage
from synth.extraction.footage import open_footage
from tests.support.clips import film, wandering


@pytest.fixture(scope="module")
def frames(portraits: dict[str, np.ndarray]) -> list[np.ndarray]:
    return wandering(portraits["astronaut"], 12, (160, 120))


def test_frames_of_an_even_clip(frames: list[np.ndarray], tmp_path: Path) -> None:
    source = open_footage(film(tmp_path / "even.mp4", frames))[0]
    read = list(source.frames())
    assert [one.index for one in read] == list(range(12))
    assert np.allclose([one.time for one in read], np.arange(12) / 25, atol=1e-3)
    assert not source.variable_frame_rate and source.damage == ""
    assert all(
        np.abs(one.pixels.astype(int) - frame).mean() < 6 for one, frame in zip(read, frames, strict=True)
    )


def test_times_of_a_variable_frame_rate_are_kept(frames: list[np.ndarray], tmp_path: Path) -> None:
    times = [0.0, 0.1, 0.12, 0.42, 0.46, 0.56, 0.58, 0.88, 0.92, 1.02, 1.04, 1.34]
    source = open_footage(film(tmp_path / "uneven.mp4", frames, times=times))[0]
    assert np.allclose([one.time for one in source.frames()], times, atol=1e-3)
    assert source.variable_frame_rate


@pytest.mark.parametrize("degrees, quarters", [(90, -1), (180, 2), (270, 1)])
def test_frames_of_a_turned_phone_come_upright(
    frames: list[np.ndarray], tmp_path: Path, degrees: int, quarters: int
) -> None:
    """A player turns clockwise by what the file says."""
    source = open_footage(film(tmp_path / "turned.mp4", frames, rotation=degrees))[0]
    first = next(iter(source.frames()))
    expected = np.rot90(frames[0], quarters)
    assert first.pixels.shape == expected.shape == (source.height, source.width, 3)
    assert np.abs(first.pixels.astype(int) - expected).mean() < 6


@pytest.mark.parametrize(
    "name, options", [("a.avi", {"codec": "mpeg4"}), ("a.mkv", {}), ("a.mp4", {"tone": True})]
)
def test_containers_with_and_without_sound(
    frames: list[np.ndarray], tmp_path: Path, name: str, options: dict[str, object]
) -> None:
    source = open_footage(film(tmp_path / name, frames, **options))[0]
    assert len(list(source.frames())) == 12 and source.damage == ""


def test_frames_that_are_not_wanted_are_counted_all_the_same(
    frames: list[np.ndarray], tmp_path: Path
) -> None:
    source = open_footage(film(tmp_path / "a.mp4", frames))[0]
    assert [one.index for one in source.frames(lambda index: index % 5 == 0)] == [0, 5, 10]


def test_pictures_and_folders_are_walked_in_order(
    frames: list[np.ndarray], portrait_files: dict[str, Path], tmp_path: Path
) -> None:
    folder = tmp_path / "all"
    folder.mkdir()
    for name in ("b.jpg", "a.png"):
        Image.fromarray(frames[0]).save(folder / name)
    film(folder / "c.mp4", frames[:3])
    (folder / "notes.txt").write_text("no footage")
    (folder / ".hidden.jpg").write_bytes((folder / "b.jpg").read_bytes())
    sources = open_footage(folder)
    assert [one.path.name for one in sources] == ["a.png", "b.jpg", "c.mp4"]
    assert [sum(1 for _ in one.frames()) for one in sources] == [1, 1, 3]


def test_what_is_missing_or_no_footage_is_said(tmp_path: Path, portrait_files: dict[str, Path]) -> None:
    with pytest.raises(MissingPathError, match="does not exist"):
        open_footage(tmp_path / "absent.mp4")
    (tmp_path / "empty").mkdir()
    with pytest.raises(MissingPathError, match="no picture and no video"):
        open_footage(tmp_path / "empty")
    (tmp_path / "notes.txt").write_text("hello")
    with pytest.raises(UnknownFormatError):
        open_footage(tmp_path / "notes.txt")


def test_sound_alone_is_no_footage(tmp_path: Path) -> None:
    import wave

    with wave.open(str(tmp_path / "a.wav"), "wb") as sound:
        sound.setparams((1, 2, 8000, 0, "NONE", ""))
        sound.writeframes(bytes(8000))
    with pytest.raises(UnknownFormatError, match="WAV, expected a video or a picture"):
        open_footage(tmp_path / "a.wav")


def test_a_video_without_a_picture_track_is_refused(tmp_path: Path) -> None:
    with av.open(str(tmp_path / "deaf.mp4"), "w") as container:
        stream = container.add_stream("aac", rate=16_000)
        chunk = av.AudioFrame.from_ndarray(np.zeros((1, 16_000), np.int16), format="s16", layout="mono")
        chunk.sample_rate = 16_000
        container.mux(stream.encode(chunk))
        container.mux(stream.encode())
    with pytest.raises(CorruptMediaError, match="no video track"):
        open_footage(tmp_path / "deaf.mp4")


@pytest.mark.parametrize("keep", [40, 200, 0.3])
def test_a_cut_off_video_is_refused_or_says_what_is_missing(
    frames: list[np.ndarray], tmp_path: Path, keep: float
) -> None:
    """Its index stands at the end, so that what was cut off cannot be opened at all."""
    data = film(tmp_path / "whole.mp4", frames).read_bytes()
    (tmp_path / "cut.mp4").write_bytes(data[: int(keep if keep > 1 else keep * len(data))])
    with pytest.raises(CorruptMediaError, match=r"cut\.mp4"):
        [list(one.frames()) for one in open_footage(tmp_path / "cut.mp4")]


def test_a_video_that_lost_its_end_gives_what_is_there(frames: list[np.ndarray], tmp_path: Path) -> None:
    film(tmp_path / "whole.mkv", frames * 4)
    data = (tmp_path / "whole.mkv").read_bytes()
    (tmp_path / "cut.mkv").write_bytes(data[: len(data) // 2])
    read = list(open_footage(tmp_path / "cut.mkv")[0].frames())
    assert 0 < len(read) < 48


def test_an_index_that_promises_more_than_there_is(frames: list[np.ndarray], tmp_path: Path) -> None:
    data = bytearray(film(tmp_path / "whole.mp4", frames * 4).read_bytes())
    half, end = data.index(b"moov") // 2, data.index(b"moov") - 4
    data[half:end] = bytes(end - half)
    (tmp_path / "holes.mp4").write_bytes(bytes(data))
    source = open_footage(tmp_path / "holes.mp4")[0]
    count = len(list(source.frames()))
    assert 0 < count < 48 and f"{count} of 48 frames" in source.damage


def test_limits_on_frames_and_their_number(
    frames: list[np.ndarray], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = film(tmp_path / "a.mp4", frames)
    monkeypatch.setattr(footage, "MAX_FRAMES", 5)
    with pytest.raises(MediaTooLargeError, match="more than 5 frames"):
        list(open_footage(path)[0].frames())
    monkeypatch.setattr(footage, "MAX_FRAME_PIXELS", 1000)
    with pytest.raises(MediaTooLargeError, match="1000 pixels"):
        open_footage(path)


def test_a_songs_cover_is_no_film(portraits: dict[str, np.ndarray], tmp_path: Path) -> None:
    """Neither to extraction nor to the fingerprint, which is that of the sound."""
    from provenance.fingerprint.picture import fingerprint_file
    from provenance.media.media_file import MediaFile

    def song(name: str, covered: bool) -> Path:
        rng, path = np.random.default_rng(0), tmp_path / name
        with av.open(str(path), "w") as out:
            voice = out.add_stream("aac", rate=44_100)
            if covered:
                cover = out.add_stream("png", rate=1)
                cover.width = cover.height = 160
                cover.pix_fmt, cover.disposition = "rgb24", av.stream.Disposition.attached_pic
                face = portraits["astronaut"][:160, 140:300].copy()
                out.mux(cover.encode(av.VideoFrame.from_ndarray(face, format="rgb24")))
            samples = (0.2 * rng.standard_normal((1, 441_000))).astype(np.float32)
            part = av.AudioFrame.from_ndarray(samples, format="fltp", layout="mono")
            part.sample_rate, part.pts = 44_100, 0
            for piece in (part, None):
                out.mux(voice.encode(piece))
        return path

    with_cover, without = song("covered.mp4", True), song("plain.mp4", False)
    with pytest.raises(CorruptMediaError, match="no video track"):
        list(open_footage(with_cover)[0].frames())
    kinds = [fingerprint_file(MediaFile.open(one)).to_record().keys() for one in (with_cover, without)]
    assert kinds[0] == kinds[1] and kinds[0]

"""What is kept of a video, what is dropped, and what cannot be read."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from cloak.video import io as video_io
from cloak.video.io import VideoInfo, damaged_frames, expected_frames, frames, picture_bytes, probe
from cloak.video.write import Writer, check_container, container_for, dropped_subtitles
from provenance.errors import (
    CorruptMediaError,
    MediaTooLargeError,
    MissingPathError,
    NotWritableError,
    UnknownFormatError,
    UsageError,
)
from tests.support.video_clips import packets, panned, write_clip

TIMES = (0, 20, 53, 70, 90, 123, 140, 160)
PLACE = {"title": "A walk", "location": "+48.1000+011.5000/", "comment": "none", "secret": "unknown key"}


def copy(info: VideoInfo, target: Path, noise: np.ndarray | None = None, **options: object) -> Path:
    with Writer(target, info, **{"crf": 18, "preset": "fast", **options}) as out:  # type: ignore[arg-type]
        for frame in frames(info):
            out.write(frame, noise)
    return target


@pytest.fixture(scope="module")
def phone(portraits: dict[str, np.ndarray], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What phones make: turned, uneven times, sound, a place, pixels that are no squares."""
    pictures = [picture[:120] for picture in panned(portraits["astronaut"], 8)]
    return write_clip(
        tmp_path_factory.mktemp("phone") / "phone.mp4",
        pictures,
        times=TIMES,
        sound=True,
        turned=-90,
        metadata=PLACE,
        aspect=Fraction(4, 3),
    )


def test_sound_times_turning_and_colour_are_kept(phone: Path, tmp_path: Path) -> None:
    info = probe(phone)
    assert (info.size, info.upright, info.turns) == ((160, 120), (120, 160), 3)
    result = copy(info, tmp_path / "out.mp4")
    again = probe(result)
    assert (again.size, again.turns, again.matrix) == (info.size, info.turns, info.matrix)
    assert again.matrix is not None and len(again.matrix) == 9
    assert again.colour == info.colour == (1, 1, 1, 1)
    assert again.aspect == info.aspect == Fraction(4, 3)
    assert packets(result, "audio") == packets(phone, "audio") != []
    shown = [[frame.pts * one.time_base for frame in frames(one)] for one in (info, again)]
    assert shown[0] == shown[1] == [Fraction(time, 600) for time in TIMES]
    with av.open(str(phone)) as before, av.open(str(result)) as after:
        assert before.duration == after.duration
        assert before.streams.video[0].duration == after.streams.video[0].duration


@pytest.mark.parametrize("suffix", [".mp4", ".mov", ".mkv"])
def test_the_place_is_dropped_unless_asked_for(phone: Path, tmp_path: Path, suffix: str) -> None:
    info = probe(phone)
    assert any("48.1" in value for value in info.metadata.values())
    dropped, kept = copy(info, tmp_path / f"a{suffix}"), copy(info, tmp_path / f"b{suffix}", keep_gps=True)
    assert probe(dropped).metadata["title"] == "A walk"
    assert b"48.1000" not in dropped.read_bytes() and b"unknown key" not in dropped.read_bytes()
    assert any("48.1" in value for value in probe(kept).metadata.values())
    assert packets(dropped, "audio")[5][2] == packets(phone, "audio")[5][2]


@pytest.mark.parametrize("colour", [(1, 1, 1, 1), (1, 5, 5, 6), (2, 1, 1, 1)], ids=["709", "601", "full"])
def test_noise_arrives_and_nothing_else_changes(
    portraits: dict[str, np.ndarray], tmp_path: Path, colour: tuple[int, int, int, int]
) -> None:
    """CRF 0 loses nothing, so what is decoded is what was handed to the encoder."""
    pictures = panned(portraits["astronaut"], 2)
    info = probe(write_clip(tmp_path / "in.mp4", pictures, colour=colour, turned=90))
    noise = np.zeros((160, 160, 3), np.int8)
    blocks = np.random.default_rng(0).integers(-12, 13, (5, 4, 3), np.int8)
    noise[20:60, 40:72] = np.repeat(np.repeat(blocks, 8, 0), 8, 1)
    again = probe(copy(info, tmp_path / "out.mp4", noise, crf=0))
    for before, after in zip(frames(info), frames(again), strict=True):
        old, new = before.rgb(), after.rgb()
        change = new.astype(int) - old
        outside = np.ones(old.shape[:2], bool)
        outside[18:62, 38:74] = False
        assert not change[outside].any()
        bright = (old > 40) & (old < 215)
        inside = np.zeros_like(bright)
        inside[22:58, 42:70] = True
        # chroma is halved, so only what is alike in each block of 2 x 2 arrives whole; rounding costs up to 2 levels
        assert np.abs(change - noise)[inside & bright.all(2, keepdims=True)].mean() < 1.6
        assert np.corrcoef(change[22:58, 42:70].ravel(), noise[22:58, 42:70].ravel())[0, 1] > 0.95


@pytest.mark.parametrize(
    ("layout", "size", "written"),
    [
        ("yuv444p", (121, 81), "yuv444p"),
        ("yuv420p10le", (120, 80), "yuv420p"),
        ("yuvj420p", (120, 80), "yuvj420p"),
    ],
)
def test_other_layouts(
    portraits: dict[str, np.ndarray], tmp_path: Path, layout: str, size: tuple[int, int], written: str
) -> None:
    pictures = [one[: size[1], : size[0]] for one in panned(portraits["astronaut"], 3)]
    info = probe(
        write_clip(tmp_path / "in.mkv", pictures, layout=layout, colour=(2 if "j" in layout else 1, 1, 1, 1))
    )
    noise = np.full((size[1], size[0], 3), 8, np.int8)
    again = probe(copy(info, tmp_path / "out.mp4", noise))
    assert again.size == size and again.pix_fmt == written == info.layout
    shift = [
        float(b.rgb().astype(int).mean() - a.rgb().mean())
        for a, b in zip(frames(info), frames(again), strict=True)
    ]
    assert all(abs(one - 8) < 1.5 for one in shift), shift


def test_a_single_frame(portraits: dict[str, np.ndarray], tmp_path: Path) -> None:
    info = probe(write_clip(tmp_path / "one.mp4", panned(portraits["astronaut"], 1)))
    result = copy(info, tmp_path / "out.mp4")
    assert len(list(frames(probe(result)))) == expected_frames(probe(result)) == 1
    assert 0 < picture_bytes(result) < result.stat().st_size


def test_covers_are_no_moving_pictures(portraits: dict[str, np.ndarray], tmp_path: Path) -> None:
    """Sound with a cover has no video; nothing of the cover may end in the result."""
    path = tmp_path / "song.mp4"
    with av.open(str(path), "w") as out:
        voice = out.add_stream("aac", rate=44_100)
        cover = out.add_stream("png", rate=1)
        cover.width = cover.height = 160
        cover.pix_fmt, cover.disposition = "rgb24", av.stream.Disposition.attached_pic
        out.mux(
            cover.encode(av.VideoFrame.from_ndarray(panned(portraits["astronaut"], 1)[0], format="rgb24"))
        )
        part = av.AudioFrame.from_ndarray(np.zeros((1, 44_100), np.float32), format="fltp", layout="mono")
        part.sample_rate, part.pts = 44_100, 0
        for piece in (part, None):
            out.mux(voice.encode(piece))
    with pytest.raises(CorruptMediaError, match=r"no (video track|moving picture)"):
        probe(path)


def test_what_cannot_be_read(phone: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = phone.read_bytes()
    broken = tmp_path / "broken.mp4"
    for data, error in (
        (b"", CorruptMediaError),
        (b"some text that is no film", UnknownFormatError),
        (whole[: len(whole) // 3], CorruptMediaError),
        (whole[:64] + bytes(len(whole) - 64), CorruptMediaError),
    ):
        broken.write_bytes(data)
        with pytest.raises(error) as told:
            probe(broken)
        assert "Errno" not in str(told.value)
    with pytest.raises(MissingPathError):
        probe(tmp_path / "absent.mp4")
    monkeypatch.setattr(video_io, "MAX_PIXELS", 160 * 120 - 1)
    with pytest.raises(MediaTooLargeError, match="160 x 120"):
        probe(phone)
    monkeypatch.undo()
    monkeypatch.setattr(video_io, "MAX_FRAMES", 5)
    with pytest.raises(MediaTooLargeError, match="5 frames"):
        list(frames(probe(phone)))


def test_sound_that_a_container_cannot_hold(portraits: dict[str, np.ndarray], tmp_path: Path) -> None:
    """Said before the work begins, with a container that can."""
    info = probe(write_clip(tmp_path / "in.mkv", panned(portraits["astronaut"], 4), sound="tta"))
    with pytest.raises(UsageError, match="sound") as caught:
        check_container(info, ".mp4", tmp_path)
    assert ".mkv" in caught.value.hint
    check_container(info, ".mkv", tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["in.mkv"]
    result = copy(info, tmp_path / "out.mkv")
    assert [one[2] for one in packets(result, "audio")] == [one[2] for one in packets(info.path, "audio")]


def test_sound_of_old_cameras_that_names_no_channels(
    portraits: dict[str, np.ndarray], tmp_path: Path
) -> None:
    """AVI says how many channels there are and no more; MP4 wants to know which they are."""
    source = tmp_path / "camera.avi"
    with av.open(str(source), "w") as out:
        film = out.add_stream("mjpeg", rate=25)
        film.width, film.height, film.pix_fmt = 160, 160, "yuvj420p"
        voice = out.add_stream("pcm_s16le", rate=8000, layout="stereo")
        for picture in panned(portraits["astronaut"], 3):
            out.mux(film.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        waves = np.arange(1920, dtype=np.int16)[None]
        part = av.AudioFrame.from_ndarray(waves, format="s16", layout="stereo")
        part.sample_rate, part.pts = 8000, 0
        for stream, piece in ((voice, part), (voice, None), (film, None)):
            out.mux(stream.encode(piece))
    with av.open(str(source)) as opened:
        assert opened.streams.audio[0].codec_context.layout.name == "2 channels"
    for suffix in (".mp4", ".mov", ".mkv"):
        result = copy(probe(source), tmp_path / f"out{suffix}")
        sounds = [b"".join(one[2] for one in packets(path, "audio")) for path in (source, result)]
        assert sounds[0] == sounds[1] == waves.tobytes()


def test_subtitles_stay_where_the_container_holds_them(phone: Path, tmp_path: Path) -> None:
    words, source = tmp_path / "words.srt", tmp_path / "words.mkv"
    words.write_text("1\n00:00:00,050 --> 00:00:00,200\nGood evening\n\n")
    with (
        av.open(str(phone)) as film,
        av.open(str(words)) as text,
        av.open(str(source), "w") as out,
    ):
        targets = [out.add_stream_from_template(one.streams[0], opaque=True) for one in (film, text)]
        for one, target in zip((film, text), targets, strict=True):
            for packet in one.demux(one.streams[0]):
                if packet.dts is not None:
                    packet.stream = target
                    out.mux(packet)
    info = probe(source)
    assert len(info.subtitles) == 1 and dropped_subtitles(info, tmp_path / "a.mkv") == ()
    kept = copy(info, tmp_path / "a.mkv")
    assert [one[2] for one in packets(kept, "subtitle")] == [b"Good evening"]
    assert dropped_subtitles(info, tmp_path / "a.mp4") in (("srt",), ("subrip",))
    assert probe(copy(info, tmp_path / "a.mp4")).subtitles == ()


def test_a_full_disk_at_the_very_end_is_told(phone: Path, tmp_path: Path) -> None:
    """An MP4's index is written when it is closed; that this fails is an error like any other."""
    full = tmp_path / "out.mp4"
    full.symlink_to("/dev/full")
    with pytest.raises(NotWritableError, match="video"):
        copy(probe(phone), full)


def test_containers_that_cannot_be_written() -> None:
    assert container_for(Path("a.MKV")) == "matroska"
    for name in ("a.avi", "a.webm", "a.jpg", "a"):
        with pytest.raises(UsageError, match=r"H\.264"):
            container_for(Path(name))


def test_damage_in_the_middle_is_counted(phone: Path, tmp_path: Path) -> None:
    whole = phone.read_bytes()
    info = probe(phone)
    assert damaged_frames(info) == 0
    coded = [data for _, _, data in packets(phone, "video")][3]
    place, length = whole.index(coded) + len(coded) // 2, len(coded) // 3
    broken = tmp_path / "broken.mp4"
    broken.write_bytes(
        whole[:place] + bytes(255 - one for one in whole[place:][:length]) + whole[place + length :]
    )
    assert 1 <= damaged_frames(probe(broken)) <= len(TIMES)

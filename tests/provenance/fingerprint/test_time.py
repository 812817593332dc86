"""Videos and sounds: an excerpt leads to its source and its moment; broken files end quickly and clearly."""

from __future__ import annotations

import random
import time
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from PIL import Image

from provenance.errors import CorruptMediaError, ReceiptError
from provenance.fingerprint import sound as sound_module
from provenance.fingerprint import video as video_module
from provenance.fingerprint.picture import fingerprint_file, fingerprint_picture
from provenance.fingerprint.sound import SoundFingerprint, fingerprint_sound, sound_of, subfingerprints
from provenance.fingerprint.video import VideoFingerprint, fingerprint_video
from provenance.media.media_file import MediaFile
from provenance.search.similar import SimilarIndex

FPS, SOUND_RATE = 25, 16_000
START, SECONDS = 2.32, 3.0


def melody(seed: int, seconds: float) -> np.ndarray:
    """Mono float32 at 16 kHz: notes of a tenth of a second with overtones, over noise."""
    chance = np.random.default_rng(seed)
    place = np.arange(round(seconds * SOUND_RATE)) / SOUND_RATE
    notes = chance.uniform(90, 700, round(seconds * 10) + 1)
    pitch = notes[(place * 10).astype(int)]
    phase = 2 * np.pi * np.cumsum(pitch) / SOUND_RATE
    tone = sum(np.sin(phase * overtone) / overtone for overtone in range(1, 6))
    return np.asarray(0.15 * tone + 0.02 * chance.standard_normal(len(place)), dtype=np.float32)


def walk(pixels: np.ndarray, seed: int, seconds: float) -> list[np.ndarray]:
    """Frames of 320 x 240 from a camera that wanders over a still picture."""
    chance = np.random.default_rng(seed)
    image = Image.fromarray(pixels)
    marks = chance.uniform(0, 1, (round(seconds) + 2, 3))
    frames = []
    for number in range(round(seconds * FPS)):
        moment = number / FPS
        low, part = int(moment), moment - int(moment)
        x, y, zoom = marks[low] * (1 - part) + marks[low + 1] * part
        width = 200 + 120 * zoom
        left, top = x * (image.width - width), y * (image.height - width * 0.75)
        frames.append(np.asarray(image.resize((320, 240), box=(left, top, left + width, top + width * 0.75))))
    return frames


def write_movie(
    path: Path,
    frames: list[np.ndarray],
    samples: np.ndarray | None,
    *,
    crf: int = 23,
    scale: float = 1.0,
    shape: tuple[int, int] = (320, 240),
) -> Path:
    with av.open(str(path), "w") as container:
        video = container.add_stream("libx264", rate=FPS, options={"crf": str(crf), "preset": "veryfast"})
        video.width, video.height = int(shape[0] * scale), int(shape[1] * scale)
        video.pix_fmt = "yuv420p"
        audio = None
        if samples is not None:
            audio = container.add_stream("aac", rate=SOUND_RATE, layout="mono")
            audio.bit_rate = 48_000
        for pixels in frames:
            frame = av.VideoFrame.from_ndarray(pixels, format="rgb24")
            container.mux(video.encode(frame.reformat(video.width, video.height, "yuv420p")))
        container.mux(video.encode(None))
        if audio is not None:
            put_sound(container, audio, samples)
    return path


def write_sound(path: Path, samples: np.ndarray, codec: str) -> Path:
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=SOUND_RATE, layout="mono")
        put_sound(container, stream, samples)
    return path


def put_sound(container: object, stream: object, samples: np.ndarray | None) -> None:
    assert samples is not None
    for start in range(0, len(samples), 1024):
        block = (samples[start : start + 1024] * 32767).astype(np.int16)[None]
        frame = av.AudioFrame.from_ndarray(block, format="s16", layout="mono")
        frame.rate, frame.pts, frame.time_base = SOUND_RATE, start, Fraction(1, SOUND_RATE)
        container.mux(stream.encode(frame))  # type: ignore[attr-defined]
    container.mux(stream.encode(None))  # type: ignore[attr-defined]


@pytest.fixture(scope="module")
def films(portraits: dict[str, np.ndarray]) -> list[tuple[list[np.ndarray], np.ndarray]]:
    chosen = [("astronaut", 1), ("hopper", 2), ("astronaut", 3)]
    return [(walk(portraits[name], seed, 6), melody(seed, 6)) for name, seed in chosen]


@pytest.fixture(scope="module")
def film_files(
    films: list[tuple[list[np.ndarray], np.ndarray]], tmp_path_factory: pytest.TempPathFactory
) -> list[Path]:
    folder = tmp_path_factory.mktemp("films")
    return [write_movie(folder / f"film{n}.mp4", *film) for n, film in enumerate(films)]


@pytest.fixture(scope="module")
def index(film_files: list[Path]) -> SimilarIndex:
    filled = SimilarIndex()
    for number, path in enumerate(film_files):
        fingerprint = fingerprint_file(MediaFile.open(path))
        filled.add(number, fingerprint.to_record(), fingerprint.to_blob())
    return filled


def excerpt(film: tuple[list[np.ndarray], np.ndarray]) -> tuple[list[np.ndarray], np.ndarray]:
    frames, samples = film
    first = round(START * FPS)
    begin = round(START * SOUND_RATE)
    return frames[first : first + round(SECONDS * FPS)], samples[begin : begin + round(SECONDS * SOUND_RATE)]


def test_three_seconds_scaled_and_reencoded_lead_to_source_and_moment(
    index: SimilarIndex, films: list[tuple[list[np.ndarray], np.ndarray]], tmp_path: Path
) -> None:
    for number, film in enumerate(films):
        path = write_movie(tmp_path / "excerpt.mp4", excerpt(film)[0], None, crf=34, scale=0.5)
        match, *others = index.search(fingerprint_file(MediaFile.open(path)))
        assert (match.entry_index, match.kind, match.confirmed) == (number, "video", True)
        assert match.offset == pytest.approx(START, abs=0.15)
        # the other take of the same portrait
        assert [(one.entry_index, one.kind) for one in others] in ([], [(2 - number, "features")])


@pytest.mark.parametrize(("codec", "suffix"), [("libmp3lame", ".mp3"), ("aac", ".m4a"), ("flac", ".flac")])
def test_sound_of_a_film_leads_to_it(
    index: SimilarIndex,
    films: list[tuple[list[np.ndarray], np.ndarray]],
    tmp_path: Path,
    codec: str,
    suffix: str,
) -> None:
    path = write_sound(tmp_path / f"excerpt{suffix}", excerpt(films[1])[1], codec)
    (match,) = index.search(fingerprint_file(MediaFile.open(path)))
    assert (match.entry_index, match.kind) == (1, "sound")
    assert match.offset == pytest.approx(START, abs=0.15)


def test_foreign_pictures_with_the_film_s_sound(
    index: SimilarIndex, films: list[tuple[list[np.ndarray], np.ndarray]], tmp_path: Path
) -> None:
    """A dubbed or re-shot clip is found by what it took."""
    path = write_movie(tmp_path / "mixed.mp4", excerpt(films[0])[0], excerpt(films[2])[1])
    matches = index.search(fingerprint_file(MediaFile.open(path)))
    assert [(match.entry_index, match.kind) for match in matches] == [(0, "video"), (2, "sound")]


def test_a_still_names_its_film_and_moment(
    index: SimilarIndex, films: list[tuple[list[np.ndarray], np.ndarray]]
) -> None:
    (match,) = index.search(fingerprint_picture(films[1][0][100]))
    assert (match.entry_index, match.kind, match.confirmed) == (1, "video", True)
    assert match.offset == pytest.approx(4.0, abs=0.6)


def test_other_films_and_sounds_match_nothing(
    index: SimilarIndex, portraits: dict[str, np.ndarray], tmp_path: Path
) -> None:
    import skimage.data

    path = write_movie(tmp_path / "other.mp4", walk(np.asarray(skimage.data.coffee()), 9, 4), melody(9, 4))
    assert index.search(fingerprint_file(MediaFile.open(path))) == []


@pytest.mark.parametrize("loudness", [0.0, 0.5])
def test_silence_and_a_steady_tone_match_nothing(loudness: float, tmp_path: Path) -> None:
    """Two recordings of one hum are no copies of each other."""
    hum = (loudness * np.sin(np.arange(90_000) * 0.2)).astype(np.float32)
    first = fingerprint_sound(write_sound(tmp_path / "first.wav", hum[:60_000], "pcm_s16le"))
    second = fingerprint_sound(write_sound(tmp_path / "second.mp3", hum[1357:61_357], "libmp3lame"))
    index = SimilarIndex()
    index.add(0, first.to_record(), first.to_blob())
    assert index.search(second) == []


def test_blobs_are_read_back_and_broken_ones_refused(film_files: list[Path]) -> None:
    film = fingerprint_video(film_files[0])
    again = VideoFingerprint.from_blob(film.to_blob())
    assert np.array_equal(again.codes, film.codes) and np.array_equal(again.times, film.times)
    assert film.sound is not None and again.sound is not None
    assert np.array_equal(again.sound.codes, film.sound.codes)
    blob = film.to_blob()
    for broken in (b"", blob[:-1], blob + b"\0", blob[:9] + b"\xff\xff" + blob[11:], b"VMVF\x03" + blob[5:]):
        with pytest.raises(ReceiptError):
            VideoFingerprint.from_blob(broken)
    sound = film.sound.to_blob()
    for broken in (b"", sound[:-1], sound + b"\0", b"VMSF\x01\xff\xff\xff\xff"):
        with pytest.raises(ReceiptError):
            SoundFingerprint.from_blob(broken)


def test_long_recordings_are_sampled_more_sparsely(
    film_files: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(video_module, "MAX_SAMPLES", 32)
    film = fingerprint_video(film_files[0])
    assert 16 <= len(film) < 32
    assert np.ptp(np.diff(film.times)) <= 40
    assert film.times[-1] > 5000
    monkeypatch.setattr(sound_module, "MAX_SECONDS", 3)
    sound = sound_of(film_files[0])
    assert sound is not None
    assert 2300 < sound.duration_ms < 3000


def test_no_more_frames_than_the_limit_are_decoded(film_files: list[Path]) -> None:
    film = fingerprint_video(film_files[0], max_frames=50)
    assert film.duration_ms == pytest.approx(49 / FPS * 1000, abs=2)


def test_sound_bits_do_not_depend_on_loudness() -> None:
    samples = melody(4, 3)
    quiet = subfingerprints((samples * 0.1)[::3])
    assert quiet.shape == subfingerprints(samples[::3]).shape
    errors = np.bitwise_count(quiet ^ subfingerprints(samples[::3])).mean() / 32
    assert errors < 0.01


def test_broken_recordings_end_quickly_with_one_clear_error(film_files: list[Path], tmp_path: Path) -> None:
    good = film_files[0].read_bytes()
    chance = random.Random(6)
    path = tmp_path / "broken.mp4"
    for round_number in range(12):
        data = bytearray(good)
        if round_number % 3 == 0:
            del data[chance.randrange(100, len(data)) :]
        elif round_number % 3 == 1:
            for _ in range(200):
                data[chance.randrange(len(data))] = chance.randrange(256)
        else:
            start = chance.randrange(len(data))
            data[start:start] = chance.randbytes(4000)
        path.write_bytes(bytes(data))
        begin = time.monotonic()
        try:
            assert len(fingerprint_video(path)) > 0
        except CorruptMediaError as error:
            assert "broken.mp4" in str(error)
        assert time.monotonic() - begin < 10
    path.write_bytes(b"")
    with pytest.raises(CorruptMediaError):
        fingerprint_video(path)


@pytest.mark.vectors
@pytest.mark.slow
def test_real_clips_are_told_apart_and_placed(test_data: Path, tmp_path: Path) -> None:
    clips = sorted((test_data / "media").glob("*/*.mp4"))
    prints = [fingerprint_video(path) for path in clips]
    index = SimilarIndex()
    for number, fingerprint in enumerate(prints):
        index.add(number, fingerprint.to_record(), fingerprint.to_blob())
    for number, path in enumerate(clips):
        start = max(0.0, min(2.37, prints[number].duration_ms / 1000 - 3.05))
        copy = reencoded(path, tmp_path / "excerpt.mp4", start, 3.0)
        (match,) = index.search(fingerprint_video(copy))
        assert (match.entry_index, match.kind) == (number, "video")
        assert match.offset == pytest.approx(start, abs=0.2)


def reencoded(source: Path, target: Path, start: float, seconds: float) -> Path:
    """The pictures of a stretch at half size, strongly compressed."""
    with av.open(str(source)) as original, av.open(str(target), "w") as copy:
        track = original.streams.video[0]
        stream = copy.add_stream(
            "libx264", rate=track.average_rate, options={"crf": "34", "preset": "veryfast"}
        )
        stream.width, stream.height = track.width // 4 * 2, track.height // 4 * 2
        stream.pix_fmt = "yuv420p"
        written = 0
        for frame in original.decode(track):
            if start <= frame.time < start + seconds:
                small = frame.reformat(stream.width, stream.height, "yuv420p")
                small.pts, small.time_base, written = written, 1 / track.average_rate, written + 1
                copy.mux(stream.encode(small))
        copy.mux(stream.encode(None))
    return target


def letterboxed(frames: list[np.ndarray], size: tuple[int, int]) -> list[np.ndarray]:
    """Every frame whole in the middle of a black one of ``(width, height)``."""
    boxed = []
    for pixels in frames:
        height = round(size[0] * pixels.shape[0] / pixels.shape[1])
        top = (size[1] - height) // 2
        frame = np.zeros((size[1], size[0], 3), dtype=np.uint8)
        frame[top : top + height] = np.asarray(Image.fromarray(pixels).resize((size[0], height)))
        boxed.append(frame)
    return boxed


def test_a_film_between_bars_and_a_stretched_one_are_found(
    portraits: dict[str, np.ndarray], tmp_path: Path
) -> None:
    films = [walk(pixels, seed, 4) for seed, pixels in enumerate(portraits.values())]
    with SimilarIndex() as index:
        for entry, frames in enumerate(films):
            fingerprint = fingerprint_video(write_movie(tmp_path / f"{entry}.mp4", frames, None))
            assert fingerprint.inside is None
            index.add(entry, fingerprint.to_record(), fingerprint.to_blob())
        for entry, frames in enumerate(films):
            dark = [np.zeros_like(frames[0])] * 5  # a fade says nothing about bars
            high = write_movie(
                tmp_path / "high.mp4", letterboxed(dark + frames, (180, 320)), None, shape=(180, 320)
            )
            wide = write_movie(tmp_path / "wide.mp4", frames, None, shape=(480, 240))
            still = fingerprint_picture(letterboxed(frames[20:21], (360, 640))[0])
            for found in (fingerprint_video(high), fingerprint_video(wide)):
                matches = index.search(found)
                assert [match.entry_index for match in matches] == [entry]
                assert matches[0].confirmed
            assert [match.entry_index for match in index.search(still)] == [entry]

"""Frames in any order, frames and sound to a film, and what is kept between runs."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from types import SimpleNamespace

import av
import numpy as np
import pytest

from cloak.video.io import probe
from provenance.errors import NotWritableError, UsageError
from synth.lipsync.film.film import Film
from synth.lipsync.film.frame_reader import FrameReader
from synth.lipsync.film.render import _resumed
from synth.lipsync.mouth.audio import RATE, load_sound
from synth.lipsync.stage_pictures import mouth_view, sound_view, timing_view
from synth.lipsync.workspace import Changes, Workspace
from synth.quarantine import quarantine
from tests.support.video_clips import write_clip


def numbered(count: int, side: int = 64) -> list[np.ndarray]:
    """Frames whose grey tells their number."""
    return [np.full((side, side, 3), 20 + 4 * index, np.uint8) for index in range(count)]


def number_of(pixels: np.ndarray) -> int:
    return round((float(pixels.mean()) - 20) / 4)


@pytest.mark.parametrize("turned", [0, 90])
def test_frames_in_any_order(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, turned: int) -> None:
    monkeypatch.setattr("synth.lipsync.film.frame_reader._BYTES_AT_ONCE", 64 * 64 * 3 * 5)
    count = 40
    info = probe(write_clip(tmp_path / "clip.mp4", numbered(count), turned=turned))
    reader = FrameReader(info, np.arange(count) / 25)
    assert len(reader) == count
    order = [*range(count), *range(count - 1, -1, -1), 3, 39, 0, 17, 18, 4, 30]
    assert [number_of(reader[index]) for index in order] == order
    with pytest.raises(IndexError):
        reader[count]
    wrong = FrameReader(
        info, np.arange(count) / 25 + 0.003
    )  # times that the file does not have: decoded from the start
    assert [number_of(wrong[index]) for index in (35, 2, 20)] == [35, 2, 20]


def clicks(path: Path, rate: int, channels: int, at: tuple[float, ...], seconds: float) -> Path:
    samples = np.zeros((round(seconds * rate), channels), np.float32)
    for moment in at:
        start = round(moment * rate)
        samples[start : start + rate // 100] = 0.8
    import wave

    with wave.open(str(path), "wb") as file:
        file.setnchannels(channels)
        file.setsampwidth(2)
        file.setframerate(rate)
        file.writeframes((samples * 32767).astype("<i2").tobytes())
    return path


@pytest.mark.parametrize(
    ("suffix", "rate", "channels", "side"),
    [(".mp4", 44_100, 2, 64), (".mkv", 8000, 1, 64), (".mov", 96_000, 1, 65)],
)
def test_sound_and_frames_are_in_step(
    tmp_path: Path, suffix: str, rate: int, channels: int, side: int
) -> None:
    sound = clicks(tmp_path / "clicks.wav", rate, channels, (0.4, 1.2), 2.0)
    path = tmp_path / f"film{suffix}"
    with quarantine() as private:
        made = private.place(path.name)
        with Film(made, (side, side), Fraction(25), sound, 1.6) as film:
            for pixels in numbered(40, side):
                film.write(pixels)
        path.write_bytes(made.path.read_bytes())
    heard = load_sound(path)
    loud = np.flatnonzero(np.abs(heard.samples) > 0.3) / RATE
    assert heard.seconds == pytest.approx(1.6, abs=0.08)
    assert loud[0] == pytest.approx(0.4, abs=0.005) and loud[loud > 0.8][0] == pytest.approx(1.2, abs=0.005)
    with av.open(str(path)) as container:
        shown = [
            (float(one.time), number_of(one.to_ndarray(format="rgb24"))) for one in container.decode(video=0)
        ]
    assert [number for _, number in shown] == list(range(40))
    assert [time for time, _ in shown] == pytest.approx(np.arange(40) / 25, abs=1e-3)


def test_a_film_that_cannot_be() -> None:
    with quarantine() as private:
        with pytest.raises(UsageError):
            Film(private.place("film.avi"), (64, 64), Fraction(25), None, 0)
        made = private.place("film.mp4")
        made.path.mkdir()
        with pytest.raises(NotWritableError):
            Film(made, (64, 64), Fraction(25), None, 0)


def test_changes_show_nothing_without_their_base(tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    base = random.integers(0, 256, (40, 50, 3), dtype=np.uint8)
    made = base.copy()
    made[10:30, 5:25] = random.integers(0, 256, (20, 20, 3), dtype=np.uint8)
    changes = Changes(tmp_path / "kept")
    changes.put(0, base, made)
    changes.put(1, base, base)
    assert (changes.get(0, base) == made).all() and (changes.get(1, base) == base).all()
    assert changes.get(2, base) is None and changes.has(0) and not changes.has(2)
    assert changes.get(0, base[:20]) is None, "of another picture's size"
    file = next((tmp_path / "kept").glob("frame0000000*"))
    data = file.read_bytes()
    assert made[10:30, 5:25].tobytes() not in data and file.stat().st_mode & 0o077 == 0
    for broken in (data[:-5], b"", data[:30], b"XXXX" + data[4:]):
        file.write_bytes(broken)
        assert changes.get(0, base) is None
    changes.clear()
    assert not changes.has(1)


def test_a_damaged_state_of_an_interrupted_run_begins_anew(tmp_path: Path) -> None:
    changes = Changes(tmp_path / "kept")
    changes.folder.mkdir()
    state = changes.folder / "state.npz"
    np.savez(state, done=np.array(0), gain=np.arange(1000.0))
    whole = state.read_bytes()
    for broken in (whole[: len(whole) // 2], whole[:200] + b"X" * 40 + whole[240:], b"", b"no archive"):
        state.write_bytes(broken)
        compositor = SimpleNamespace(restore=lambda _: None)
        assert _resumed(changes, compositor) == 0  # type: ignore[arg-type]


def test_each_pair_of_a_person_and_a_sound_has_a_private_folder(tmp_path: Path) -> None:
    folder = Workspace(tmp_path / "work").saying("ab" * 32, "cd" * 32, {"x": 1})
    assert folder.is_dir() and folder.stat().st_mode & 0o077 == 0
    assert folder != Workspace(tmp_path / "work").saying("ab" * 32, "cd" * 32, {"x": 2})
    (tmp_path / "file").write_text("")
    with pytest.raises(NotWritableError):
        Workspace(tmp_path / "file").person("ab" * 32)


def test_drawings_of_the_stages() -> None:
    from synth.lipsync.film.retime import retime

    random = np.random.default_rng(0)
    heard, quiet = random.standard_normal((200, 28)), np.arange(200) < 60
    view = sound_view(heard, quiet)
    red = (view[-5] == (200, 40, 40)).all(-1)
    assert red[:300].all() and not red[400:].any()
    none = np.zeros(30, bool)
    timing = retime(np.ones(60), np.zeros(60, bool), none, none)
    assert timing_view(timing, np.ones(60), none).shape == (600, 1200, 3)
    shut, open_ = np.zeros((18, 2)), np.zeros((18, 2))
    angles = np.linspace(0, 2 * np.pi, 12, endpoint=False)
    shut[:12] = open_[:12] = np.stack([0.4 * np.cos(angles), 0.2 * np.sin(angles)], 1)
    open_[12:15, 1], open_[15:, 1] = -0.15, 0.15
    assert (mouth_view(shut.ravel(), shut.ravel()) != mouth_view(open_.ravel(), shut.ravel())).any()

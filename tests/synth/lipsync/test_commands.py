"""``veilmark synth lipsync`` from a target and a sound to a signed file. Likenesses are made only of the contracted
model of the test media; a portrait serves for what must be refused.
"""

from __future__ import annotations

import json
from pathlib import Path

import av
import numpy as np
import pytest
import typer
from typer.testing import CliRunner

import synth.commands.lipsync as commands
from provenance.errors import (
    ConsentError,
    CorruptMediaError,
    MediaTooLargeError,
    NoFaceError,
    NotWritableError,
    OutputExistsError,
    UsageError,
    VeilmarkError,
)
from provenance.home import Home
from provenance.setup import initialize
from provenance.trust.store import TrustStore
from provenance.verify import verify_file
from synth.lipsync.texture.compositor import Compositor
from tests.support.schemas import checked
from tests.support.video_clips import panned, write_clip

app = typer.Typer()
for _name in ("lipsync", "mouth"):
    app.command(_name)(getattr(commands, _name))
QUICK = ("--epochs", "2", "--units", "8")


@pytest.fixture
def home() -> Home:
    found = Home.locate()
    initialize(found, subject="Researcher", algorithm="es256", passphrase=None)
    return found


def call(*words: object, code: int = 0) -> str:
    done = CliRunner().invoke(app, [str(word) for word in words])
    if isinstance(done.exception, VeilmarkError):
        raise done.exception
    assert done.exit_code == code, done.output
    return done.stdout


def shortened(source: Path, output: Path, seconds: float, height: int) -> Path:
    """The beginning of a video, smaller, with its sound."""
    with av.open(str(source)) as film, av.open(str(output), "w") as out:
        picture, voice = film.streams.video[0], film.streams.audio[0]
        frames = out.add_stream(
            "libx264", rate=picture.average_rate, options={"crf": "16", "preset": "veryfast"}
        )
        frames.width, frames.height = height * picture.width // picture.height // 2 * 2, height
        frames.pix_fmt = "yuv420p"
        sound = out.add_stream("aac", rate=voice.rate, layout="stereo")
        for frame in film.decode(picture, voice):
            if frame.time >= seconds:
                continue
            if isinstance(frame, av.VideoFrame):
                small = frame.reformat(frames.width, height, "yuv420p", interpolation="AREA")
                out.mux(frames.encode(small))
            else:
                out.mux(sound.encode(frame))
        out.mux(frames.encode(None))
        out.mux(sound.encode(None))
    return output


def write_wav(path: Path, samples: np.ndarray, rate: int = 16_000) -> Path:
    import wave

    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(rate)
        file.writeframes((samples * 32767).astype("<i2").tobytes())
    return path


@pytest.mark.vectors
def test_a_person_says_a_sound(
    tmp_path: Path, home: Home, test_data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = shortened(test_data / "media" / "talking" / "model1.mp4", tmp_path / "target.mp4", 1.6, 640)
    random = np.random.default_rng(0)
    sound = write_wav(tmp_path / "sound.wav", 0.2 * random.standard_normal(12_000))
    output, kept, work = tmp_path / "out.mp4", tmp_path / "kept", tmp_path / "work"
    words = ("lipsync", "--target", target, "--audio", sound, "-o", output, "--work", work, *QUICK)
    with pytest.raises(ConsentError):
        call(*words)
    assert not output.exists()

    # interrupted in the middle of the frames, then gone on with
    made: list[int] = []
    compose = Compositor.compose

    def counted(self: Compositor, *rest: object) -> np.ndarray:
        made.append(1)
        if len(made) == 18:
            raise KeyboardInterrupt
        return compose(self, *rest)  # type: ignore[arg-type]

    monkeypatch.setattr(Compositor, "compose", counted)
    call(*words, "--i-have-consent", code=130)
    assert not output.exists() and not list(tmp_path.glob(".veilmark-*")), "nothing unlabelled is left"
    done = checked(json.loads(call(*words, "--i-have-consent", "--json")))
    assert done["frames"] == done["composited"] == 19 and len(made) == 18 + 3, "16 frames were not made again"

    verdict = verify_file(output, TrustStore.load(home))
    assert (verdict.state, verdict.relation) == ("trusted", "synthetic")
    assert "compositeWithTrainedAlgorithmicMedia" in [one["digital_source_type"] for one in verdict.actions]
    assert {one["title"] for one in verdict.ingredients} == {"target.mp4", "sound.wav"}
    with av.open(str(output)) as film:
        assert len(film.streams.audio) == 1
        frames = [frame.to_ndarray(format="rgb24") for frame in film.decode(video=0)]
    assert len(frames) == 19 and frames[0].shape == (640, 360, 3)
    assert not list(work.rglob("*.change")), "no frame stays"
    with pytest.raises(OutputExistsError):
        call(*words, "--i-have-consent")

    # silence rests the mouth, is said so, and each stage can be looked at
    quiet = write_wav(tmp_path / "quiet.wav", np.zeros(8000))

    # with the mouth that comes with the package, fitted to the person
    def again(*_: object, **__: object) -> None:
        raise AssertionError("the face was followed before")

    monkeypatch.setattr("synth.lipsync.person.track_face", again)
    silent = ("--target", target, "--audio", quiet, "-o", tmp_path / "rest.mkv", "--work", work)
    taught = sorted(work.rglob("mouth-*"))
    with monkeypatch.context() as patch, pytest.raises(MediaTooLargeError, match="over the limit"):
        patch.setattr("synth.lipsync.film.retime.MAX_CELLS", 300)
        call("lipsync", *silent, "--i-have-consent")
    assert sorted(work.rglob("mouth-*")) == taught, "too long a sound is refused before a mouth is taught"
    told = checked(
        json.loads(call("lipsync", *silent, "--keep", kept, "--hush", "1", "--i-have-consent", "--json"))
    )
    assert any("too short to do better" in one for one in told["notes"])
    assert "silent" in " ".join(told["notes"]) and told["mouth"]["epochs"] == 0
    names = {one.name for one in kept.iterdir() if one.suffix != ".receipt"}
    assert names == {
        "1-sound.png",
        "2-mouth.mp4",
        "3-timing.csv",
        "3-timing.png",
        "4-texture.mp4",
        "5-target.mp4",
        "6-layers.mp4",
    }
    for name in ("2-mouth.mp4", "4-texture.mp4", "5-target.mp4", "6-layers.mp4"):
        assert verify_file(kept / name, TrustStore.load(home)).relation == "synthetic"
    silent = (*silent[:-3], tmp_path / "second.mkv", "--work", work, "--i-have-consent")
    with pytest.raises(OutputExistsError, match=r"1-sound\.png"):
        call("lipsync", *silent, "--keep", kept)
    with pytest.raises(NotWritableError, match="no folder"):
        call("lipsync", *silent, "--keep", quiet)


def test_what_cannot_be_done_is_a_clear_message(
    tmp_path: Path, home: Home, portraits: dict[str, np.ndarray]
) -> None:
    still = write_clip(tmp_path / "still.mp4", panned(portraits["astronaut"], 1) * 40, sound=True)
    mute = write_clip(tmp_path / "mute.mp4", panned(portraits["astronaut"], 6))
    dark = write_clip(tmp_path / "dark.mp4", [np.zeros((64, 64, 3), np.uint8)] * 4)
    tone = write_wav(tmp_path / "tone.wav", 0.2 * np.sin(np.arange(16_000) * 0.06))
    text = tmp_path / "text.wav"
    text.write_text("no sound")
    common = ("--work", tmp_path / "work", "--i-have-consent", *QUICK)
    for error, said, target, sound, name, more in (
        (UsageError, "hardly moves|s of voice", still, tone, "o.mp4", ()),
        (UsageError, "no sound", mute, tone, "o.mp4", ()),
        (NoFaceError, "face", dark, tone, "o.mp4", ()),
        (CorruptMediaError, "no sound track", still, mute, "o.mp4", ()),
        (VeilmarkError, "text.wav", still, text, "o.mp4", ()),
        (UsageError, "cannot write", still, tone, "o.avi", ()),
        (UsageError, "delay", still, tone, "o.mp4", ("--delay", "100")),
        (UsageError, "device", still, tone, "o.mp4", ("--device", "tpu")),
    ):
        with pytest.raises(error, match=said):
            call("lipsync", "--target", target, "--audio", sound, "-o", tmp_path / name, *common, *more)
        assert not (tmp_path / name).exists() and not list(tmp_path.glob(".veilmark-*"))


def test_a_face_seen_from_the_side_is_refused() -> None:
    from synth.extraction.canonical import TEMPLATE
    from synth.lipsync.person import require_usable
    from synth.lipsync.shape import Track, track_of

    face = np.random.default_rng(0).normal(0, 0.3, (468, 3)) * (1, 1, 0.1)
    for index, place in TEMPLATE.items():
        face[index] = place

    def turned(degrees: float, seen: int = 10) -> Track:
        angle = np.radians(degrees)
        turn = np.array([[np.cos(angle), 0, np.sin(angle)], [0, 1, 0], [-np.sin(angle), 0, np.cos(angle)]])
        rows = np.repeat((face @ turn.T * 60 + 200)[None], 10, axis=0)
        rows[seen:] = np.nan
        return track_of(rows, np.arange(10) / 25, (400, 400))

    require_usable(turned(10), "clip.mp4")
    with pytest.raises(UsageError, match="to the side"):
        require_usable(turned(55), "clip.mp4")
    with pytest.raises(NoFaceError, match="40%"):
        require_usable(turned(10, seen=4), "clip.mp4")

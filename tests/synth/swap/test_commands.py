"""``veilmark synth train`` and ``swap`` from footage to a signed file. Nobody's face is put onto anybody here: pairs
are one portrait with itself, and what is swapped in comes from a generator that never learned.
"""

from __future__ import annotations

import json
import os
import signal
import threading
import time
from pathlib import Path

import av
import numpy as np
import pytest
import torch
import typer
from PIL import Image
from typer.testing import CliRunner

import synth.commands.swap as commands
from provenance.errors import (
    ConsentError,
    CorruptMediaError,
    NoFaceError,
    OutputExistsError,
    UnknownFormatError,
    UsageError,
    VeilmarkError,
)
from provenance.home import Home
from provenance.media.picture import open_picture
from provenance.setup import initialize
from provenance.trust.store import TrustStore
from provenance.verify import verify_file
from synth.consent.permission import permission_for
from synth.extraction.finder import FaceFinder
from synth.extraction.options import ExtractOptions
from synth.extraction.rules import Thresholds
from synth.extraction.run import extract_faces
from synth.quarantine import FOLDER
from synth.swap.model import Generator
from synth.swap.training.checkpoint import MODEL_FILE, load_model, save_model
from tests.support.schemas import checked
from tests.support.swap_faces import minute_preset, origin
from tests.support.video_clips import panned, write_clip

app = typer.Typer()
for _name in ("train", "prior", "swap"):
    app.command(_name)(getattr(commands, _name))


@pytest.fixture
def home() -> Home:
    found = Home.locate()
    initialize(found, subject="Researcher", algorithm="es256", passphrase=None)
    return found


@pytest.fixture
def model(tmp_path: Path) -> Path:
    """A generator that never learned: it makes a grey blur of any face."""
    torch.manual_seed(0)
    about = origin(minute_preset())
    about.sources["a"] = ["portrait.mp4 sha256:" + "0" * 64]
    about.sources["b"] = []
    save_model(tmp_path / "model" / MODEL_FILE, Generator(about.preset.architecture), about)
    return tmp_path / "model"


def call(*words: object, code: int = 0) -> str:
    done = CliRunner().invoke(app, [str(word) for word in words])
    if isinstance(done.exception, VeilmarkError):
        raise done.exception
    assert done.exit_code == code, done.output
    return done.stdout


def decoded(path: Path) -> tuple[list[np.ndarray], list[float], bytes]:
    """Upright frames, their times in seconds, and the packets of the sound."""
    with av.open(str(path)) as container:
        shown = [
            (np.rot90(frame.to_ndarray(format="rgb24"), round(frame.rotation / 90) % 4), float(frame.time))
            for frame in container.decode(video=0)
        ]
    with av.open(str(path)) as container:
        sound = (
            b"".join(bytes(packet) for packet in container.demux(container.streams.audio))
            if (container.streams.audio)
            else b""
        )
    return [one[0] for one in shown], [one[1] for one in shown], sound


@pytest.mark.parametrize("turned", [0, 90])
def test_a_video_leaves_signed_with_its_sound_and_times(
    tmp_path: Path, home: Home, model: Path, portraits: dict[str, np.ndarray], turned: int
) -> None:
    pictures = [np.zeros((160, 160, 3), np.uint8) if index < 2 else one
                for index, one in enumerate(panned(portraits["astronaut"], 8))]  # fmt: skip
    times = [0, 20, 60, 70, 100, 140, 150, 200]
    coded = [np.ascontiguousarray(np.rot90(one, -turned // 90)) for one in pictures]
    source = write_clip(tmp_path / "clip.mp4", coded, times=times, sound=True, turned=turned)
    upright, _, _ = decoded(source)
    assert np.abs(upright[5].astype(int) - pictures[5]).mean() < 6, "the fixture itself must be upright"
    output = tmp_path / "made.mp4"
    said = checked(
        checked(
            json.loads(call("swap", source, "--model", model, "-o", output, "--i-have-consent", "--json"))
        )
    )
    assert (said["frames"], said["swapped"], said["without_face"], said["marked"]) == (8, 6, 2, True)

    before, after = decoded(source), decoded(output)
    assert after[1] == pytest.approx(before[1], abs=1e-3) and after[2] == before[2] != b""
    change = [np.abs(new.astype(int) - old).mean(2) for new, old in zip(after[0], before[0], strict=True)]
    for index, one in enumerate(change):
        at_rest = one[144:158, 4:60].mean() > 10
        assert at_rest == (index < 2), (
            "the visible mark is on the face, and in the lower left corner without one"
        )
        assert ((one[:90, 30:130] > 60).sum() > 200) == (index >= 2), "its plate stands out"
        middle = one[20:110, 40:130].mean()
        assert (middle < 4) == (index < 2), f"frame {index}, whose middle changed by {middle:.1f}"
    assert max(one[:100, 150:].mean() for one in change) < 6, "what is no face stays"

    verdict = verify_file(output, TrustStore.load(home))
    assert (verdict.state, verdict.relation) == ("trusted", "synthetic")
    assert "compositeWithTrainedAlgorithmicMedia" in [one["digital_source_type"] for one in verdict.actions]
    named = {(one["title"], one["relationship"]) for one in verdict.ingredients}
    inputs = {("model.safetensors", "inputTo"), ("portrait.mp4", "inputTo")}
    assert named == {("clip.mp4", "parentOf"), *inputs}, "footage, model, and what it learned from"
    assert not list(tmp_path.glob(".veilmark-*")) and not (home.data / FOLDER).exists(), "nothing is left"


def test_a_picture_without_the_visible_mark_still_leaves_signed(
    tmp_path: Path, home: Home, model: Path, portrait_files: dict[str, Path]
) -> None:
    output = tmp_path / "made.png"
    words = ("swap", portrait_files["astronaut"], "--model", model, "-o", output, "--no-visible-mark")
    with pytest.raises(ConsentError):
        call(*words)
    assert not output.exists()
    call(*words, "--i-have-consent", "--mask", "hull", "--blend", "poisson", "--colour", "reinhard")
    before, after = (np.asarray(Image.open(one)) for one in (portrait_files["astronaut"], output))
    change = np.abs(after.astype(int) - before).max(2)
    assert (change[300:] == 0).all() and change[60:200, 170:280].mean() > 5
    assert verify_file(output, TrustStore.load(home)).relation == "synthetic"
    with pytest.raises(OutputExistsError):
        call(*words, "--i-have-consent")


def test_what_cannot_be_swapped_is_a_clear_message(
    tmp_path: Path, home: Home, model: Path, portrait_files: dict[str, Path]
) -> None:
    empty, broken, text = tmp_path / "empty.png", tmp_path / "broken.mp4", tmp_path / "text.mp4"
    Image.new("RGB", (200, 200), (90, 120, 200)).save(empty)
    clip = write_clip(tmp_path / "dark.mp4", [np.zeros((64, 64, 3), np.uint8)] * 3)
    broken.write_bytes(clip.read_bytes()[: clip.stat().st_size // 3])
    text.write_text("no video")
    portrait, common = portrait_files["astronaut"], ("--model", model, "--i-have-consent", "-o")
    for error, source, name, more in (
        (NoFaceError, empty, "o.png", ()),
        (NoFaceError, clip, "o.mp4", ()),
        (CorruptMediaError, broken, "o.mp4", ()),
        (UnknownFormatError, text, "o.mp4", ()),
        (UsageError, portrait, "o.gif", ()),
        (UsageError, clip, "o.avi", ()),
        (UsageError, portrait, "o.png", ("--to", "c")),
        (UsageError, portrait, "o.png", ("--grow", "3")),
    ):
        with pytest.raises(error):
            call("swap", source, *common, tmp_path / name, *more)
        assert not (tmp_path / name).exists() and not list(tmp_path.glob(".veilmark-*"))


def test_footage_with_holes_is_swapped_and_the_holes_are_said(
    tmp_path: Path, home: Home, model: Path, portraits: dict[str, np.ndarray]
) -> None:
    clip = write_clip(tmp_path / "clip.mp4", panned(portraits["astronaut"], 16))
    data = bytearray(clip.read_bytes())
    half, end = data.index(b"moov") // 2, data.index(b"moov") - 4
    data[half:end] = bytes(end - half)
    (tmp_path / "holes.mp4").write_bytes(bytes(data))
    said = {}
    for name in ("clip", "holes"):
        words = (tmp_path / f"{name}.mp4", "--model", model, "-o", tmp_path / f"{name}-made.mp4")
        done = CliRunner().invoke(app, ["swap", *map(str, words), "--i-have-consent", "--json"])
        assert done.exit_code == 0, done.output
        said[name] = (json.loads(done.stdout), done.stderr)
    whole, holes = said["clip"], said["holes"]
    assert whole[0]["damaged"] == 0 and "damaged" not in whole[1]
    assert holes[0]["damaged"] > 0 and holes[0]["frames"] < 16
    assert f"holes.mp4 is damaged: {holes[0]['damaged']} frames" in " ".join(holes[1].split())


@pytest.mark.usefixtures("embedder")
@pytest.mark.parametrize("who", ["astronaut", "hopper"])
def test_of_two_people_the_one_of_the_reference_is_replaced(
    tmp_path: Path,
    home: Home,
    model: Path,
    portraits: dict[str, np.ndarray],
    portrait_files: dict[str, Path],
    who: str,
) -> None:
    """Both, then the other one alone: hers stays, even where it is the only face."""
    both = [portraits["astronaut"][:280, 84:340], portraits["hopper"][20:300, 130:386]]
    pictures = [np.hstack(both)] * 3
    other = 0 if who == "hopper" else 1
    alone = pictures[0].copy()
    alone[:, 256 * (1 - other) : 256 * (2 - other)] = 60
    source = write_clip(tmp_path / "clip.mp4", [*pictures, alone, alone])
    output = tmp_path / "made.mp4"
    said = json.loads(
        call("swap", source, "--model", model, "-o", output, "--reference", portrait_files[who],
             "--no-visible-mark", "--i-have-consent", "--json")
    )  # fmt: skip
    assert (said["frames"], said["swapped"], said["without_face"], said["with_several"]) == (5, 3, 2, 3)
    before, after = decoded(source)[0], decoded(output)[0]
    for index, (old, new) in enumerate(zip(before, after, strict=True)):
        change = np.abs(new.astype(int) - old)[60:220].mean((0, 2))
        sides = change[60:200].mean(), change[316:456].mean()
        assert (sides[1 - other] > 4) == (index < 3) and sides[other] < 3, (index, sides)


@pytest.mark.usefixtures("embedder")
def test_a_reference_that_names_nobody_is_a_clear_message(
    tmp_path: Path, home: Home, model: Path, portraits: dict[str, np.ndarray], portrait_files: dict[str, Path]
) -> None:
    group, empty = tmp_path / "group.png", tmp_path / "empty.png"
    Image.fromarray(
        np.hstack([portraits["astronaut"][:280, 84:340], portraits["hopper"][20:300, 130:386]])
    ).save(group)
    Image.new("RGB", (200, 200)).save(empty)
    clip = write_clip(tmp_path / "clip.mp4", panned(portraits["astronaut"], 3))
    common = ("--model", model, "--i-have-consent", "-o")
    for error, said, source, reference in (
        (UsageError, "2 faces", portrait_files["hopper"], group),
        (NoFaceError, "empty.png shows no face", portrait_files["hopper"], empty),
        (
            NoFaceError,
            "not show the person of the reference",
            portrait_files["hopper"],
            portrait_files["astronaut"],
        ),
        (NoFaceError, "the reference in any of 3 frames", clip, portrait_files["hopper"]),
    ):
        output = tmp_path / f"o{'.mp4' if source == clip else '.png'}"
        with pytest.raises(error, match=said):
            call("swap", source, *common, output, "--reference", reference)
        assert not output.exists()


@pytest.mark.vectors
def test_a_dog_gets_no_face(tmp_path: Path, home: Home, model: Path, test_data: Path) -> None:
    """A detector reports a dog's face; FaceMesh knows better, as it does when faces are extracted."""
    source = test_data / "media/stills/dogs.jpg"
    assert FaceFinder().find(open_picture(source).pixels), "what the test is about"
    with pytest.raises(NoFaceError, match="no face"):
        call("swap", source, "--model", model, "-o", tmp_path / "o.png", "--i-have-consent")


def test_a_models_consent_is_asked_again(tmp_path: Path, home: Home, portrait_files: dict[str, Path]) -> None:
    about = origin(minute_preset())
    about.consent["b"] = {"basis": "hearsay"}
    save_model(tmp_path / "m" / MODEL_FILE, Generator(about.preset.architecture), about)
    with pytest.raises(ConsentError):
        call("swap", portrait_files["hopper"], "--model", tmp_path / "m", "-o", tmp_path / "o.png",
             "--i-have-consent")  # fmt: skip


def test_training_from_folders_of_faces(
    tmp_path: Path, home: Home, portraits: dict[str, np.ndarray], monkeypatch: pytest.MonkeyPatch
) -> None:
    """One portrait, twice; stops, resumes, writes only signed previews; then a prior, and a pair that begins there."""
    clip = write_clip(tmp_path / "clip.mp4", panned(portraits["astronaut"], 20))
    faces = tmp_path / "faces"
    basis = permission_for([clip], home, declared=True)
    extract_faces(clip, faces, basis.to_json(), ExtractOptions(size=64, thresholds=Thresholds(bits=-1)))
    small = minute_preset(20, held_out=0.1)
    monkeypatch.setitem(commands_presets(), "tiny", small)
    common = ("--preset", "tiny", "--features", "none")
    run = ("train", faces, faces, *common, "-o", tmp_path / "pair")
    stopped = checked(json.loads(call(*run, "--until-time", "0m", "--no-previews", "--json")))
    assert (stopped["finished"], stopped["steps"]) == (False, 1)
    done = checked(json.loads(call(*run, "--resume", "--json")))
    assert (done["finished"], done["steps"]) == (True, 20) and done["held_out"]["ssim"] > -1
    previews = sorted((tmp_path / "pair" / "previews").iterdir())
    assert len([one for one in previews if one.suffix == ".png"]) >= 2
    for one in previews:
        if one.suffix == ".png":
            assert verify_file(one, TrustStore.load(home)).relation == "synthetic"
    about = load_model(tmp_path / "pair")[1]
    assert about.consent["a"]["basis"] == "declared" and about.sources["b"][0].startswith("clip.mp4 sha256:")

    call("prior", faces, faces, *common, "--steps", "10", "-o", tmp_path / "prior")
    call("train", faces, faces, *common, "--steps", "10", "-o", tmp_path / "next", "--from", tmp_path / "prior",
         "--no-previews")  # fmt: skip
    assert sorted(load_model(tmp_path / "next")[1].consent) == ["a", "b", "prior.a.0", "prior.a.1"]
    for wrong in (
        ("--until-time", "soon"),
        ("--device", "tpu"),
        ("--features", "eyes"),
        ("--preset", "huge"),
    ):
        with pytest.raises(UsageError):
            call(*run, "--resume", *wrong)


def commands_presets() -> dict[str, object]:
    from synth.swap.config import PRESETS

    return PRESETS  # type: ignore[return-value]


@pytest.mark.slow
def test_a_picture_of_33_megapixels(
    tmp_path: Path, home: Home, model: Path, portraits: dict[str, np.ndarray]
) -> None:
    """8K: the face is large, everything else stays as it is."""
    wide = Image.new("RGB", (7680, 4320), (60, 60, 60))
    wide.paste(Image.fromarray(portraits["astronaut"]).resize((4320, 4320)), (0, 0))
    wide.save(tmp_path / "wide.png", compress_level=1)
    output = tmp_path / "made.png"
    call(
        "swap", tmp_path / "wide.png", "--model", model, "-o", output, "--i-have-consent", "--no-visible-mark"
    )
    with Image.open(output) as made:
        change = np.abs(np.asarray(made).astype(np.int16) - np.asarray(wide)).max(2)
    assert change.shape == (4320, 7680)
    assert (change[:, 4320:] == 0).all() and change[700:1300, 1600:2200].mean() > 5


def test_the_mark_is_visible_where_a_picture_is_transparent(
    tmp_path: Path, home: Home, model: Path, portraits: dict[str, np.ndarray]
) -> None:
    """What is seen of a cut-out on white: the mark too."""
    face = portraits["astronaut"][:256, 90:346]
    alpha = np.full(face.shape[:2], 255, np.uint8)
    alpha[:120] = 0  # the forehead is cut off
    Image.fromarray(np.dstack([face, alpha])).save(tmp_path / "cut.png")
    output = tmp_path / "made.png"
    call("swap", tmp_path / "cut.png", "--model", model, "-o", output, "--i-have-consent")
    with Image.open(output) as made:
        seen = np.asarray(made.convert("RGBA"))[:120]
    assert (seen[:20, :, 3] == 0).all(), "what was transparent stays so"
    mark = seen[seen[..., 3] == 255]
    assert len(mark) > 500 and mark[:, :3].max() > 200


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_nothing_unlabelled_is_left_when_the_machine_ends_the_work(
    tmp_path: Path, home: Home, model: Path, portraits: dict[str, np.ndarray], number: int
) -> None:
    """The signal comes while the film is being written, as it does when a terminal is closed."""
    source = write_clip(tmp_path / "clip.mp4", panned(portraits["astronaut"], 8))
    folder = tmp_path / "out"
    folder.mkdir()

    def end_it() -> None:
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline and not list((home.data / FOLDER).glob("*/*.mp4")):
            time.sleep(0.002)
        os.kill(os.getpid(), number)

    watcher = threading.Thread(target=end_it)
    before = signal.signal(number, signal.SIG_DFL)
    watcher.start()
    try:
        with pytest.raises(KeyboardInterrupt):
            commands.swap(source, model, folder / "made.mp4", i_have_consent=True)
    finally:
        watcher.join()
        signal.signal(number, before)
    assert list(folder.iterdir()) == [] and not (home.data / FOLDER).exists()

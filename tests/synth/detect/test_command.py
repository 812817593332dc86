"""``veilmark detect``: what it prints and saves, and what it says about files that it cannot judge."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import typer
from PIL import Image
from typer.testing import CliRunner

import synth.commands.detect as commands
from provenance.errors import (
    CorruptMediaError,
    MissingPathError,
    NotWritableError,
    OutputExistsError,
    UnknownFormatError,
    UsageError,
)
from synth.detect import DetectOptions, detect_file
from synth.detect.base import DETECTORS, Line, Plot
from synth.detect.learned import MOST_FROZEN, LearnedDetectors
from synth.detect.observe import FaceObserver, ObservedFace
from synth.detect.plots import draw
from synth.detect.saved import KINDS
from synth.extraction.footage import open_footage
from tests.support.clips import film, wandering
from tests.support.schemas import checked

app = typer.Typer()
app.command("detect")(commands.detect)


def run(*arguments: object) -> tuple[int, str]:
    """Exit code and output; an expected error is raised."""
    result = CliRunner().invoke(app, [str(one) for one in arguments])
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result.exit_code, result.output


@pytest.fixture(scope="module")
def clip(portraits: dict[str, np.ndarray], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two seconds at 12 frames a second: too short to judge blinks or a pulse by."""
    frames = wandering(portraits["astronaut"], 24, (480, 480))  # smaller faces are not judged
    return film(tmp_path_factory.mktemp("detect") / "clip.mp4", frames, rate=12)


@pytest.fixture(scope="module")
def observed(clip: Path) -> ObservedFace:
    return FaceObserver().observe(open_footage(clip)[0])


def test_a_picture_is_judged_by_what_needs_no_time(portrait_files: dict[str, Path], tmp_path: Path) -> None:
    code, text = run(portrait_files["astronaut"], "-o", tmp_path / "saw")
    assert code == 0
    assert "blink   cannot judge: a single picture does not blink" in text
    assert "joint" in text and "fake." not in text and "is a fake" not in text
    saved = {path.name for path in (tmp_path / "saw").iterdir()}
    assert saved == {
        f"astronaut-{name}.png" for name in ("warp-saliency", "blend-saliency", "consistency-map")
    }
    with pytest.raises(OutputExistsError):
        run(portrait_files["astronaut"], "-o", tmp_path / "saw")


def test_a_clip_that_is_too_short_says_so_and_json_has_everything(clip: Path, tmp_path: Path) -> None:
    code, text = run(clip, "--json", "-o", tmp_path / "saw")
    data = checked(json.loads(text))
    assert code == 0
    assert data["schema"] == "veilmark.detect/1"
    assert (data["kind"], data["frames"], data["frames_with_face"]) == ("video", 24, 24)
    assert list(data["detectors"]) == list(DETECTORS)
    for name, found in data["detectors"].items():
        assert (found["score"] is None) == bool(found["reason"])
        assert found["score"] is None or 0 <= found["score"] <= 1
        if name in ("blink", "pulse", "lips"):
            assert found["score"] is None
    assert 0 <= data["joint"] <= 1
    assert all(Path(one).is_file() for one in data["saved"])


def test_a_longer_clip_has_its_curves_drawn(observed: ObservedFace, clip: Path) -> None:
    """The same face looked at for longer: frames are repeated in time, not decoded again."""
    import copy

    from synth.detect.run import score_footage

    longer = copy.deepcopy(observed)
    order = np.abs((np.arange(180) + 23) % 46 - 23)  # there and back
    for name in ("landmarks", "openness", "colours", "flicker", "patches"):
        setattr(longer, name, getattr(longer, name)[order])
    longer.times = np.arange(180) / 30
    found = score_footage(clip, longer, LearnedDetectors())
    assert found.reasons == {}
    # every picture that is drawn is foreseen when the folder is checked, or it would be overwritten unasked
    for name, finding in score_footage(
        clip, longer, LearnedDetectors(), DetectOptions(pictures=True)
    ).findings.items():
        drawn = [f"{name}-{number + 1}" for number in range(len(finding.plots))] + list(finding.pictures)
        assert sorted(drawn) == sorted(KINDS[name])
    assert {plot.title for finding in found.findings.values() for plot in finding.plots} >= {
        "Openness of the eyes",
        "Spectra of the pulse signal (POS)",
    }
    longer.frozen = MOST_FROZEN + 0.1
    longer.blur = 0.9
    longer.span = 20.0
    crushed = score_footage(clip, longer, LearnedDetectors())
    assert "compressed" in crushed.reasons["pulse"]
    assert "too small" in crushed.reasons["warp"]


def test_frames_that_all_carry_one_time_are_not_judged_in_time(
    portraits: dict[str, np.ndarray], tmp_path: Path
) -> None:
    import av

    frames = wandering(portraits["astronaut"], 26, (480, 480))
    path = tmp_path / "still.mkv"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mjpeg", rate=12)
        stream.height, stream.width, stream.pix_fmt = 480, 480, "yuvj420p"
        packets = [
            packet
            for pixels in frames
            for packet in stream.encode(av.VideoFrame.from_ndarray(pixels, format="rgb24"))
        ]
        for packet in (*packets, *stream.encode(None)):
            packet.pts = packet.dts = 0
            container.mux(packet)
    code, text = run(path, "--json", "-o", tmp_path / "saw")
    data = json.loads(text[text.index("{") :])
    assert code == 0 and data["frames"] == 26
    for name in ("blink", "pulse", "lips"):
        assert "carry the same time" in data["detectors"][name]["reason"]
    assert data["detectors"]["warp"]["score"] is not None
    assert any("carry the same time" in line for line in data["notes"])
    assert not any(one.endswith("warp-1.png") for one in data["saved"])  # a curve over no time
    # nor do they go on for ever: a tenth of a second has 24 frames at most
    first = FaceObserver().observe(open_footage(path)[0], max_seconds=0.1)
    assert len(first.times) == 24 and first.cut and first.timeless
    found = detect_file(path, DetectOptions(max_seconds=0.1, detectors=("splice",)))
    assert any("first 24 frames" in line for line in found.notes)


@pytest.mark.parametrize("ending", ["gif", "webp"])
def test_of_an_animation_only_the_first_picture_is_judged_and_it_says_so(
    ending: str, portraits: dict[str, np.ndarray], tmp_path: Path
) -> None:
    frames = [Image.fromarray(one) for one in wandering(portraits["astronaut"], 3, (200, 200))]
    path = tmp_path / f"moving.{ending}"
    frames[0].save(path, save_all=True, append_images=frames[1:], duration=80)
    found = detect_file(path, DetectOptions(detectors=("splice",)))
    assert len(found.observed.times) == 1
    assert any("holds 3 pictures" in line and "only the first" in line for line in found.notes)
    frames[0].save(tmp_path / "one.png")
    assert not detect_file(tmp_path / "one.png", DetectOptions(detectors=("splice",))).notes


def test_a_folder_that_will_not_do_is_refused_before_anything_is_looked_at(tmp_path: Path) -> None:
    """The file named is no picture: had it been looked at first, that would be the error."""
    (tmp_path / "a.txt").write_text("no picture")
    (tmp_path / "saw").mkdir()
    (tmp_path / "saw" / "a-pulse-2.png").write_bytes(b"kept")
    with pytest.raises(OutputExistsError):
        run(tmp_path / "a.txt", "-o", tmp_path / "saw")
    with pytest.raises(UnknownFormatError):
        run(tmp_path / "a.txt", "-o", tmp_path / "saw", "--detectors", "warp")
    with pytest.raises(UnknownFormatError):
        run(tmp_path / "a.txt", "-o", tmp_path / "saw", "--force")
    with pytest.raises(NotWritableError):
        run(tmp_path / "a.txt", "-o", tmp_path / "a.txt" / "saw")
    assert (tmp_path / "saw" / "a-pulse-2.png").read_bytes() == b"kept"


def glow(saved: np.ndarray) -> float:
    """How much the brightest place of the map has beyond the grey below it; one map, right of its picture."""
    edge = saved.shape[1] // 2
    shown, laid = saved[70:-80, 20 : edge - 5].astype(float), saved[70:-80, edge + 5 : -20].astype(float)
    return float(np.quantile(laid[..., 0], 0.999) - 0.45 * np.quantile(shown.mean(2), 0.999))


def test_maps_of_clean_and_of_faked_faces_share_one_scale(portraits: dict[str, np.ndarray]) -> None:
    from synth.detect.maps import captioned, coloured

    grey = np.full((120, 100, 3), 90, np.uint8)
    place = np.zeros((120, 100))
    place[40:80, 30:70] = 1
    clean, faked = (captioned("t", one, "s", [grey], [place * one], ["x"]) for one in (0.05, 0.95))
    assert clean.shape == faked.shape and clean.dtype == np.uint8 and clean.shape[1] >= 640
    assert glow(clean) < 30 < 120 < glow(faked)
    bar = coloured(np.linspace(0, 1, 240)[None])[0]
    for saved in (clean, faked):  # the colour bar goes from 0 to 1 in both
        rows = [row for row in saved[-70:, 14:254] if np.abs(row.astype(int) - bar).max() < 2]
        assert len(rows) >= 10
    empty, other = (captioned("t", one, "s", [grey], [place * 0]) for one in (0.2, 0.8))
    assert (empty[:60] != other[:60]).any() and np.array_equal(
        empty[60:], other[60:]
    )  # the caption has the score
    many = captioned("a long title " * 20, 0.5, "words " * 60, [grey[:60]] * 4, [place[:60]] * 4, ["1"] * 4)
    tall = captioned("t", 0.5, "s", [np.full((4000, 900, 3), 90, np.uint8)], [np.ones((4000, 900))])
    assert many.shape[1] <= 1320 and tall.shape[0] < 4200


def test_a_clean_face_is_drawn_darker_than_a_faked_one(
    portraits: dict[str, np.ndarray], tmp_path: Path
) -> None:
    from synth.detect.training.clips import blended_frame
    from synth.detect.training.selfmade import BlendRecipe
    from synth.extraction.finder import FaceFinder

    pixels = portraits["astronaut"]
    points = FaceFinder().find(pixels)[0].landmarks[:, :2].astype(np.float64)
    Image.fromarray(pixels).save(tmp_path / "clean.png")
    Image.fromarray(blended_frame(pixels, points, BlendRecipe(side=40, border=0.02))).save(
        tmp_path / "warped.png"
    )
    glows, scores = [], []
    for name in ("clean", "warped"):
        found = detect_file(tmp_path / f"{name}.png", DetectOptions(detectors=("warp",), pictures=True))
        shown = found.findings["warp"].pictures["warp-saliency"]
        glows.append(glow(shown))
        scores.append(found.scores["warp"])
    assert scores[0] < 0.3 < 0.9 < scores[1]
    assert glows[0] < 40 < 60 < glows[1], glows


def test_without_a_face_only_splices_are_looked_for(tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    pixels = random.integers(0, 255, (200, 240, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(tmp_path / "noise.png")
    code, text = run(tmp_path / "noise.png")
    assert code == 6 and "joint   cannot judge" in text
    assert text.count("no face was found") == 5
    code, text = run(tmp_path / "noise.png", "--detectors", "splice")
    assert code == 0 and "blink" not in text
    Image.fromarray(np.full((200, 240, 3), 80, np.uint8)).save(tmp_path / "flat.png")
    code, text = run(tmp_path / "flat.png", "--detectors", "splice")
    assert code == 7 and "too little texture" in text and "joint   cannot judge" in text


def test_bad_inputs_are_named(tmp_path: Path, clip: Path) -> None:
    (tmp_path / "a.txt").write_text("no picture")
    (tmp_path / "cut.mp4").write_bytes(clip.read_bytes()[:2000])
    with pytest.raises(MissingPathError):
        run(tmp_path / "none.mp4")
    with pytest.raises(UsageError, match="folder"):
        run(tmp_path)
    with pytest.raises(UnknownFormatError):
        run(tmp_path / "a.txt")
    with pytest.raises(CorruptMediaError):
        run(tmp_path / "cut.mp4")
    with pytest.raises(UsageError, match="no fake detector is called"):
        run(clip, "--detectors", "blink,magic")
    with pytest.raises(UsageError, match="between"):
        run(clip, "--seconds", "nan")
    with pytest.raises(UsageError, match="no device is called"):
        run(clip, "--device", "tpu")


def test_of_several_files_the_good_ones_are_judged(tmp_path: Path, portrait_files: dict[str, Path]) -> None:
    (tmp_path / "a.txt").write_text("no picture")
    result = CliRunner().invoke(
        app, [str(tmp_path / "a.txt"), str(portrait_files["hopper"]), "--json", "--detectors", "warp"]
    )
    assert result.exit_code == 3
    bad, good = (checked(json.loads(line)) for line in result.stdout.strip().splitlines())
    assert (bad["schema"], bad["path"], bad["exit_code"]) == (
        "veilmark.error/1",
        str(tmp_path / "a.txt"),
        3,
    )
    assert good["detectors"]["warp"]["score"] is not None


def test_files_of_one_name_do_not_overwrite_what_was_seen_in_them(
    tmp_path: Path, portrait_files: dict[str, Path]
) -> None:
    (tmp_path / "more").mkdir()
    other = tmp_path / "more" / portrait_files["hopper"].name
    other.write_bytes(portrait_files["astronaut"].read_bytes())
    code, text = run(portrait_files["hopper"], other, "-o", tmp_path / "saw", "--json", "--detectors", "warp")
    saved = [checked(json.loads(line))["saved"] for line in text.strip().splitlines() if line.startswith("{")]
    assert code == 0 and saved[0] and saved[1] and not set(saved[0]) & set(saved[1])
    assert len(list((tmp_path / "saw").iterdir())) == len(saved[0]) + len(saved[1])


def test_two_processes_say_what_one_says_after_the_other(
    tmp_path: Path, portrait_files: dict[str, Path]
) -> None:
    (tmp_path / "a.txt").write_text("no picture")
    files = [str(portrait_files["hopper"]), str(tmp_path / "a.txt"), str(portrait_files["astronaut"])]
    said = []
    for name, more in (("one", []), ("two", ["--jobs", "2"])):
        folder = str(tmp_path / name)
        result = CliRunner().invoke(
            app, [*files, "--json", "--detectors", "warp,splice", "-o", folder, "--seconds", "1", *more]
        )
        assert result.exit_code == 3, result.output
        said.append(result.stdout.replace(folder, "FOLDER").splitlines())
    assert len(said[0]) == 3 and said[0] == said[1]
    seen = {path.name: path.read_bytes() for path in (tmp_path / "one").iterdir()}
    assert seen and seen == {path.name: path.read_bytes() for path in (tmp_path / "two").iterdir()}


def test_the_library_gives_scores_and_reasons(clip: Path, observed: ObservedFace) -> None:
    found = detect_file(clip, DetectOptions(max_seconds=0.5, detectors=("blink", "warp")))
    assert set(found.scores) == {"blink", "warp"} and set(found.reasons) == {"blink"}
    assert found.observed.cut and any("only the first" in line for line in found.notes)
    assert observed.rate == pytest.approx(12, abs=0.1)
    assert np.isfinite(observed.colours).all() and np.isfinite(observed.flicker[1:-1]).all()
    assert 1 <= len(observed.faces) <= 12 and observed.faces[0].shape == (192, 192, 3)


def test_plots_show_their_curves() -> None:
    x = np.linspace(0, 10, 50)
    y = np.sin(x)
    y[20:25] = np.nan
    plain = draw(Plot("t", "x", "y", (Line("none", x, np.full(50, np.nan)),)))
    drawn = draw(Plot("t", "x", "y", (Line("some", x, y), Line("dot", [5.0], [0.5])), marks=(3.0,)))
    assert drawn.shape == plain.shape == (340, 720, 3)
    blue = (np.abs(drawn.astype(int) - (0, 114, 178)).sum(2) < 60).sum()
    assert blue > 300
    assert (np.abs(drawn.astype(int) - (213, 94, 0)).sum(2) < 60).sum() > 5

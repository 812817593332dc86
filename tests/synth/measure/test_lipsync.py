"""``measure lipsync``: what it is asked, and whether its measures are honest."""

from __future__ import annotations

import math
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from provenance.errors import ConsentError, MediaError, NoFaceError, UsageError
from provenance.home import Home
from synth.consent.permission import permission_for
from synth.lipsync.mouth.audio import Sound
from synth.lipsync.shape import apply_pose
from synth.measure.cache import Cache
from synth.measure.conditions import CLEAN, NOISE
from synth.measure.experiment import AttackerFaces, Result
from synth.measure.judge import Judge
from synth.measure.lipsync.experiment import estimate_work, measure_lipsync, video_frames
from synth.measure.lipsync.footage import AttackerFootage, left_out
from synth.measure.lipsync.judge import LipsyncJudge, best_lag, mouth_box, mouth_measures
from synth.measure.lipsync.options import LipsyncExperimentOptions
from synth.measure.measures import MEASURES, ExperimentKind
from synth.measure.summary.effects import effects, fake_quality, mean_of
from synth.measure.summary.report import experiment_report
from synth.report.page import page_html
from tests.support.clips import film, wandering
from tests.synth.lipsync.lipsync_face import base_face, camera

TOY = LipsyncExperimentOptions(
    attackers=("naive",), side=320, cloak_steps=2, cloak_rounds=1, against=("blazeface-back",),
    veils=("noise",), cloak_seeds=(0,),
)  # fmt: skip
CLOAKED, CONTROL = "noise mid", NOISE + "noise mid"


def mouth_words(count: int = 120, seed: int = 0) -> NDArray[np.float64]:
    """``(N, 36)`` of a mouth that opens and closes."""
    draws = np.random.default_rng(seed)
    speed = np.convolve(draws.normal(0, 1, count + 8), np.ones(9) / 9, "valid")
    return draws.normal(0, 0.1, (1, 36)) + np.outer(speed, draws.normal(0, 0.05, 36))


def test_a_mouth_that_says_the_same_has_no_error() -> None:
    filmed = mouth_words()
    said = mouth_measures(filmed, filmed)
    assert said["lips error"] == 0 and said["lips opening"] == pytest.approx(1) and said["lips lag"] == 0
    off = filmed + np.tile([0.03, 0.04], 18)
    filmed[5] = np.nan  # a frame without a face counts for nothing
    assert mouth_measures(off, filmed)["lips error"] == pytest.approx(0.05)
    still = np.repeat(filmed[:1], len(filmed), axis=0)
    assert mouth_measures(still, filmed)["lips opening"] == 0


@pytest.mark.parametrize("late", [-5, -1, 0, 2, 7])
def test_a_mouth_that_comes_late_is_told(late: int) -> None:
    filmed = mouth_words(200)
    said = np.roll(filmed, late, axis=0)
    assert best_lag(said[10:-10], filmed[10:-10], 7) == late
    assert mouth_measures(said[10:-10], filmed[10:-10], 25.0)["lips lag"] == pytest.approx(40 * abs(late))


def test_every_frame_is_left_out_once() -> None:
    for count, parts in ((200, 5), (203, 7), (64, 3)):
        gone = [index for part in range(1, parts + 1) for index in range(count)[left_out(count, part, parts)]]
        assert gone == list(range(count))


def test_another_part_is_missing_each_time() -> None:
    many = np.repeat(apply_pose(camera(0.0, 120), base_face())[None], 25, axis=0)
    sound = Sound(np.zeros(16_000, np.float32))
    footage = AttackerFootage(Path("none.mp4"), many[:20], many[20:], (400, 400), Fraction(25), sound)
    assert footage.until == 0.8 and footage.track().found.all()
    for part in range(1, 6):
        found = footage.track(part, 5).found
        assert np.flatnonzero(~found).tolist() == list(range(4 * (part - 1), 4 * part))
    hidden = many[:20].copy()
    hidden[::2] = np.nan
    assert replace(footage, published=hidden).refusal() == ""
    hidden[1] = np.nan
    assert "45%" in replace(footage, published=hidden).refusal()
    hidden[:] = np.nan
    assert replace(footage, published=hidden).refusal()


def test_nothing_is_measured_on_the_frames_of_the_gap() -> None:
    """They are made anew with the others, so that sound and frames lie side by side, and count for nothing."""
    many = np.repeat(apply_pose(camera(0.0, 120), base_face())[None], 40, axis=0)
    sound = Sound(np.zeros(16_000, np.float32))
    frames = [np.full((400, 400, 3), index, np.uint8) for index in range(20)]
    footage = AttackerFootage(Path("none.mp4"), many[:20], many[20:], (400, 400), Fraction(25), sound, 6)
    judge = LipsyncJudge.of_footage(footage, iter(frames), Judge("onet"))
    assert judge.rows.tolist() == list(range(6, 20)) and [int(one[0, 0, 0]) for one in judge.frames] == list(
        range(6, 20)
    )
    assert np.isnan(judge.shapes[:6]).all() and np.isfinite(judge.shapes[6:]).all()
    assert footage.until == 0.5 and footage.track().found.all()
    good = np.nan_to_num(judge.shapes)
    wrong = good.copy()
    wrong[:6] += 5
    assert mouth_measures(wrong, judge.shapes) == mouth_measures(good, judge.shapes)
    hidden = many[20:].copy()
    hidden[6:] = np.nan
    with pytest.raises(NoFaceError):
        LipsyncJudge.of_footage(replace(footage, following=hidden), iter(frames), Judge("onet"))


def test_pictures_as_filmed_are_perfect_and_destroyed_ones_are_not() -> None:
    draws = np.random.default_rng(0)
    picture = cv2.GaussianBlur(draws.integers(0, 255, (160, 160, 3), np.uint8), (0, 0), 2)
    spots = draws.uniform(30, 130, (468, 3))
    filmed = [np.roll(picture, shift, axis=1) for shift in range(4)]
    marks = np.repeat(spots[None], 4, axis=0)
    judge = LipsyncJudge(
        features_name="onet", frames=filmed, rows=np.arange(4), landmarks=marks, shapes=np.zeros((4, 36))
    )
    same = judge.picture_measures(filmed)
    assert same["mouth ssim"] == pytest.approx(1) and same["mouth psnr"] == 100 and same["mouth flicker"] == 0
    assert same["face feature"] == pytest.approx(0)
    noisy = [np.asarray(draws.integers(0, 255, one.shape), np.uint8) for one in filmed]
    ruined = judge.picture_measures(noisy)
    assert ruined["mouth ssim"] < 0.3 and ruined["mouth psnr"] < 15 and ruined["face feature"] > 0.1  # type: ignore[operator]
    assert ruined["mouth flicker"] > 10  # type: ignore[operator]
    rows, columns = mouth_box(spots, picture.shape)
    assert 0 <= rows.start < rows.stop <= 160 and 0 <= columns.start < columns.stop <= 160
    assert mouth_box(spots + 1000, picture.shape)[0] == slice(158, 160)


def made_up(parts: int = 5, *, worse_by: float = 0.0, control: bool = True) -> Result:
    """A result whose cells were not measured but drawn."""
    options = replace(TOY, control=control, parts=parts)
    result = Result(options, ExperimentKind.LIPSYNC)
    draws = np.random.default_rng(1)
    common = draws.normal(0, 0.0005, parts)
    for variant in result.variants:
        result.faces[variant, "naive"] = AttackerFaces(100, 90, {"face": 90, "no-face": 10}, "", variant, 1.0)
        result.displacement[variant, "naive"] = 0.0
        result.published[variant] = np.full((48, 64, 3), 90, np.uint8)
        for part in options.repeats:
            shift = worse_by if variant == CLOAKED else 0.0
            error = 0.05 + common[part - 1] + shift
            measures = {"lips error": error, "lips opening": 0.7, "lips lag": 0.0, "mouth ssim": 0.9 - shift}
            measures |= {"fake: blinking": None, "fake: cnn": 0.5}
            result.cells[variant, "naive", part] = {"measures": measures, "seconds": 1.0}
    return result


def test_the_same_footage_shows_nothing_and_worse_footage_shows() -> None:
    same = effects(made_up(), CLOAKED, "naive")
    assert all(one.difference.value == 0 and one.p == 1 for one in same.values() if one.difference.count)
    assert same["fake: blinking"].verdict == "not measured"
    draws = np.random.default_rng(2)
    result = made_up(worse_by=0.02)
    for part in result.options.repeats:
        result.cells[CLOAKED, "naive", part]["measures"]["lips error"] += draws.normal(0, 0.0003)
    shown = effects(result, CLOAKED, "naive")["lips error"]
    assert shown.verdict == "higher" and fake_quality(MEASURES["lips error"], shown) == "worse"
    # exchanged labels turn the sign and leave p
    exchanged = made_up()
    for part in result.options.repeats:
        exchanged.cells[CLEAN, "naive", part] = result.cells[CLOAKED, "naive", part]
        exchanged.cells[CLOAKED, "naive", part] = result.cells[CLEAN, "naive", part]
    turned = effects(exchanged, CLOAKED, "naive")["lips error"]
    assert turned.difference.value == pytest.approx(-shown.difference.value)
    assert turned.p == pytest.approx(shown.p) and turned.verdict == "lower"


def test_an_interval_is_as_wide_as_the_jackknife_says() -> None:
    result = made_up()
    spread = mean_of(result, CLEAN, "naive", "lips error")
    plain = np.array(
        [result.cells[CLEAN, "naive", part]["measures"]["lips error"] for part in result.options.repeats]
    )
    error = math.sqrt(4 / 5 * ((plain - plain.mean()) ** 2).sum())
    assert spread.high is not None and spread.high - spread.value == pytest.approx(2.776445 * error, rel=1e-4)


def test_the_report_says_what_was_repeated_and_what_was_not_shown() -> None:
    result = made_up(worse_by=0.02)
    for part in result.options.repeats:
        result.cells[CONTROL, "naive", part] = {"untrained": "it shows no face", "seconds": 0.0}
    report = experiment_report(result)
    page = page_html(report)
    assert report.kind == "lipsync" and "no difference was shown" in report.headline
    assert any("no generator; it shows no face" in line for line in report.summary)
    assert "jackknife" in page and "seeds cannot show" not in page and "lip-sync" in page
    assert "generator" not in report.configuration and "preset" not in report.configuration
    assert any("fewer than half" in line for line in report.limits)


def test_options_and_footage_are_checked(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="cannot be mixed"):
        LipsyncExperimentOptions(attackers=("mixes:10",))
    for parts in (2, 21):
        with pytest.raises(UsageError, match="expected 3 to 20"):
            LipsyncExperimentOptions(parts=parts)
    assert replace(TOY, parts=4).repeats == (1, 2, 3, 4)
    picture = tmp_path / "one.png"
    cv2.imwrite(str(picture), np.full((64, 64, 3), 90, np.uint8))
    with pytest.raises(UsageError, match="is no video"):
        video_frames(picture)
    moving = wandering(np.full((200, 200, 3), 90, np.uint8), 30)
    silent = film(tmp_path / "silent.mp4", moving)
    plan = estimate_work(silent, replace(TOY, parts=3), Cache(tmp_path / "plan"))
    assert plan.seconds > 0 and "lip-syncs" in plan.lines()[2]
    options, cache = replace(TOY, parts=3), Cache(tmp_path / "work")
    with pytest.raises(ConsentError):
        measure_lipsync(silent, {}, options, cache)
    consent = permission_for([silent], Home.locate(), declared=True).to_json()
    with pytest.raises(MediaError, match="no sound"):
        measure_lipsync(silent, consent, options, cache)


def test_what_fails_at_once_leaves_no_folder(tmp_path: Path) -> None:
    cache = Cache(tmp_path / "result" / ".work")
    with pytest.raises(UsageError), cache.leaving_nothing_empty():
        raise UsageError("no video")
    assert not (tmp_path / "result").exists()
    kept = Cache(tmp_path / "result" / ".work")
    with pytest.raises(KeyboardInterrupt), kept.leaving_nothing_empty():
        kept.put("done", {"value": 1})
        raise KeyboardInterrupt
    assert kept.get("done") == {"value": 1}
    # a folder that holds something else stays
    other = Cache(tmp_path / "mine" / ".work")
    (tmp_path / "mine" / "letter.txt").write_text("dear")
    with pytest.raises(UsageError), other.leaving_nothing_empty():
        raise UsageError("no video")
    assert [one.name for one in (tmp_path / "mine").iterdir()] == ["letter.txt"]


@pytest.mark.slow
@pytest.mark.vectors
def test_the_person_says_again_what_was_held_out(test_data: Path, tmp_path: Path) -> None:
    """A contracted model's speech, stopped once and gone on with; nothing generated is left."""
    from synth.extraction.footage import open_footage
    from synth.lipsync.film.film import Film
    from synth.quarantine import quarantine

    source = test_data / "media" / "talking" / "model1.mp4"
    clip = tmp_path / "a.mp4"
    with quarantine() as private:
        with Film(private.place("a.mp4"), (180, 320), Fraction(25), source, 3.2) as out:
            for raw in open_footage(source)[0].frames(lambda index: index < 80):
                out.write(cv2.resize(raw.pixels, (180, 320), interpolation=cv2.INTER_AREA))
        clip.write_bytes(out.made.path.read_bytes())
    consent = permission_for([clip], Home.locate(), declared=True).to_json()
    options, cache = replace(TOY, parts=3), Cache(tmp_path / "work")
    labelled: list[Any] = []

    def run(stop: Any) -> Result:
        return measure_lipsync(
            clip,
            consent,
            options,
            cache,
            stop=stop,
            label=lambda pixels, path, seed: labelled.append(pixels.shape),
        )

    asked = iter(range(10**6))
    with pytest.raises(KeyboardInterrupt):
        run(lambda: next(asked) >= 12)
    result = run(lambda: False)
    assert result.faces[CLEAN, "naive"].kept == result.faces[CLEAN, "naive"].frames == 56
    assert result.gaps == {"person": 8} and any("0.3 s after" in line for line in result.notes)
    assert result.held_out == 16 and len(result.cells) == 9
    assert result.displacement[CLEAN, "naive"] == 0 < result.displacement[CONTROL, "naive"] < 0.2
    for cell in result.cells.values():
        if "measures" in cell:
            assert 0 < cell["measures"]["lips error"] < 0.5 and 0.2 < cell["measures"]["mouth ssim"] < 1
    assert "measures" in result.cells[CLEAN, "naive", 1] and all(shape == (320, 480, 3) for shape in labelled)
    assert not list(cache.folder.glob("scratch-*")) and "lip-sync" in experiment_report(result).headline
    assert run(lambda: False).cells == result.cells

"""``measure swap``: options, what is published and extracted, and whether its measures are honest."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from provenance.errors import ConsentError, UsageError
from provenance.media.files import sha256_file
from provenance.version import VERSION
from synth.code_version import code_of
from synth.measure.attackers import Attacker
from synth.measure.cache import Cache
from synth.measure.conditions import CLEAN, CLEANING, NOISE, RANDOM
from synth.measure.detectors.experiment import DetectorOptions, cloak_key
from synth.measure.experiment import AttackerFaces, ExperimentEstimate, Result
from synth.measure.measures import MEASURES, OWN_PICTURE, ExperimentKind
from synth.measure.run import Measured
from synth.measure.summary.effects import effects, fake_quality
from synth.measure.summary.report import experiment_report
from synth.measure.summary.verdict import training_ratio
from synth.measure.swap.experiment import measure_swap
from synth.measure.swap.faces import consent_for_frames
from synth.measure.swap.options import PRESETS, SwapExperimentOptions
from synth.report.document import versions
from synth.report.page import page_html
from synth.report.write import write_report

TOY = SwapExperimentOptions(
    steps=10, seeds=(1, 2), attackers=("naive",), frames=24, held_out=6, side=320, cloak_steps=2, cloak_rounds=1,
    against=("blazeface-back",), veils=("noise",), cloak_seeds=(0,),
)  # fmt: skip
CLOAKED, CONTROL = "noise mid", NOISE + "noise mid"


@pytest.mark.parametrize(
    "name",
    [
        "naive",
        "attacked",
        "cleans:learned",
        "cleans:jpeg",
        "cleans:denoise",
        "other:mtcnn",
        "mixes:0",
        "mixes:25",
        "mixes:100",
    ],
)
def test_attackers_have_names_and_sentences(name: str) -> None:
    attacker = Attacker.parse(name)
    assert attacker.name == name and attacker.sentence
    assert attacker.cleaning is None or attacker.cleaning in CLEANING


@pytest.mark.parametrize(
    "name",
    ["", "naive:x", "cleans:magic", "cleans", "attacked:x", "other:nobody", "mixes:101", "mixes:-1", "mixes:²"],
)  # fmt: skip
def test_unknown_attackers_are_refused(name: str) -> None:
    with pytest.raises(UsageError):
        Attacker.parse(name)


@pytest.mark.parametrize(
    "change",
    [
        {"strengths": ("none",)},
        {"strengths": ()},
        {"attackers": ()},
        {"against": ()},
        {"against": ("haar-alt2",)},
        {"seeds": ()},
        {"seeds": (1, 1)},
        {"frames": 3},
        {"steps": 2},
        {"preset": "huge"},
    ],
)
def test_options_are_checked(change: dict[str, Any]) -> None:
    with pytest.raises(UsageError):
        SwapExperimentOptions(**change)


def test_every_training_takes_the_same_steps() -> None:
    recipe = PRESETS["tiny"].generator().recipe
    assert recipe.patience > recipe.steps and recipe.critic_accuracy > 1
    assert len(PRESETS["tiny"].seeds) >= 3 and PRESETS["tiny"].control
    assert PRESETS["tiny"].variants == [
        CLEAN,
        "film mid, cloak seed 0",
        RANDOM + "film mid, cloak seed 0",
        "film mid, cloak seed 1",
        RANDOM + "film mid, cloak seed 1",
    ]


def test_another_detector_is_one_that_was_not_attacked() -> None:
    options = SwapExperimentOptions(attackers=("attacked", "other:mtcnn"))
    assert "mtcnn" not in options.attacked and "centerface" in options.attacked
    assert "cascade" in options.left_out and "centerface" not in options.left_out
    assert "mtcnn" in SwapExperimentOptions(attackers=("attacked",)).attacked
    assert SwapExperimentOptions(against=("mtcnn",), attackers=("naive",)).attacked == ("mtcnn",)
    full = {Attacker.parse(one).name for one in PRESETS["full"].attackers}
    assert {"naive", "attacked", "mixes:50", *(f"cleans:{name}" for name in CLEANING)} <= full


def test_somebody_naive_looks_with_what_was_not_attacked() -> None:
    """With a modern detector where one is installed, else with the one that always is."""
    options = SwapExperimentOptions(attackers=("naive", "attacked"))
    naive, attacked = options.parsed
    assert not set(naive.detectors) & set(options.attacked)
    assert set(attacked.detectors) <= set(options.attacked)
    assert "which the cloak was not made against" in naive.sentence
    assert "which the cloak was made against" in attacked.sentence


def made_up(
    values: dict[str, list[float]], kept: dict[str, int] | None = None, nearer: float = 1.0
) -> Result:
    """A result in which each variant's generators have these SSIMs, and distances from the person that go with them."""
    seeds = tuple(range(len(values[CLEAN])))
    options = replace(TOY, seeds=seeds)
    result = Result(options, ExperimentKind.SWAP, identity="FaceRes", same_person=0.92)
    for variant, numbers in values.items():
        count = (kept or {}).get(variant, 30)
        result.faces[variant, "naive"] = AttackerFaces(40, count, {"keep": count}, variant, variant, 1.0)
        for seed, value in zip(seeds, numbers, strict=True):
            measures = {"rebuilt ssim": value, "swapped identity": 1 - value, "fake: blink": None}
            measures |= {"swapped taken for the person": nearer, "swapped dlib": 1.2 - value}
            cell = {"measures": measures} if math.isfinite(value) else {"untrained": "too few"}
            result.cells[variant, "naive", seed] = {**cell, "seconds": 2.0}
    frame = np.full((40, 30, 3), 100, np.uint8)
    result.published = dict.fromkeys(result.variants, frame)
    result.real = {"blink": 0.25, "pulse": None}
    return result


def test_equal_generators_differ_in_nothing_and_labels_turn_the_sign() -> None:
    numbers = [0.71, 0.74, 0.69, 0.73, 0.7, 0.75]
    lower = [one - 0.1 + 0.01 * place for place, one in enumerate(numbers)]
    equal = made_up({CLEAN: numbers, CLOAKED: numbers, CONTROL: numbers})
    assert effects(equal, CLOAKED, "naive")["rebuilt ssim"].p == 1
    there = made_up({CLEAN: numbers, CLOAKED: lower, CONTROL: numbers})
    back = made_up({CLEAN: lower, CLOAKED: numbers, CONTROL: numbers})
    for name, measure in list(MEASURES.items()):
        if name not in ("rebuilt ssim", "swapped identity"):
            continue
        one, other = effects(there, CLOAKED, "naive")[name], effects(back, CLOAKED, "naive")[name]
        assert one.difference.value == pytest.approx(-other.difference.value) and one.p == other.p
        # six pairs: 2/64; the measure that was chosen beforehand stands alone, the three others are adjusted
        assert one.p == pytest.approx(2 / 64)
        alone = name == "swapped identity"
        assert one.adjusted == pytest.approx(2 / 64 if alone else 6 / 64)
        assert fake_quality(measure, replace(one, adjusted=None)) == "worse"
        assert fake_quality(measure, replace(other, adjusted=None)) == "better"


def test_the_report_of_three_seeds_says_what_they_cannot_show() -> None:
    result = made_up({CLEAN: [0.8, 0.81, 0.79], CLOAKED: [0.7, 0.72, 0.71], CONTROL: [0.8, 0.8, 0.79]})
    report = experiment_report(result)
    assert "3 repetitions cannot tell: distance from the person 0.290 instead of 0.200" in report.headline
    assert "p 0.25" in report.headline and "with random noise of equal energy 0.203" in report.headline
    assert any("3 seeds cannot show a difference" in one for one in report.limits)
    assert any("judge none of the fakes: blink " in one for one in report.summary)
    page = page_html(report)
    assert (
        "too few pairs" in page and "blink 0.25" in page and "nan" not in page.lower().replace("finance", "")
    )
    json.dumps(report.to_json(), allow_nan=False)


def test_a_report_does_not_tell_where_weights_lie(tmp_path: Path) -> None:
    result = made_up({CLEAN: [0.8], CLOAKED: [0.7], CONTROL: [0.8]})
    result = replace(result, options=replace(result.options, weights=tmp_path))
    report = experiment_report(result)
    assert str(tmp_path) not in json.dumps(report.to_json()) and str(tmp_path) not in page_html(report)
    assert report.configuration["weights"] == "a folder with further detectors"


def test_six_seeds_can_show_what_was_chosen_beforehand_and_nothing_else() -> None:
    numbers = [0.71, 0.74, 0.69, 0.73, 0.7, 0.75]
    result = made_up({CLEAN: numbers, CLOAKED: [one - 0.1 for one in numbers], CONTROL: numbers})
    report = experiment_report(result)
    assert "the fake looks less like you than before" in report.headline and "p 0.031" in report.headline
    assert any("for the 3 other measures of a table 0.094" in one for one in report.limits)
    assert effects(result, CLOAKED, "naive")["rebuilt ssim"].verdict == "too few pairs"


@pytest.mark.parametrize("by", [-0.2, -0.1, 0.0, 0.02, 0.2])
@pytest.mark.parametrize("seeds", [3, 6])
def test_the_headline_and_the_tables_say_the_same(by: float, seeds: int) -> None:
    """One verdict and one p, whatever was measured."""
    draws = np.random.default_rng(7)
    clean = [0.71, 0.74, 0.69, 0.73, 0.7, 0.75][:seeds]
    values = [one + by + float(draws.normal(0, 0.004)) for one in clean]
    report = experiment_report(made_up({CLEAN: clean, CLOAKED: values, CONTROL: clean}))
    (verdict,) = report.data["verdicts"]
    first, *others = report.tables
    assert first.title == "Can they still make a fake?" and first.rows[0][2] == verdict["outcome"]
    assert verdict["sentence"] in report.headline
    effect = report.data["effects"][f"{CLOAKED} against {CLEAN}"]["naive"]["swapped identity"]
    assert effect["adjusted_p"] == verdict["effect"]["adjusted_p"]
    table = next(one for one in others if one.title.startswith("Is the generator worse?"))
    row = next(one for one in table.rows if one[0] == "distance from the person")
    assert row[4] == first.rows[0][6] and row[1:3] == first.rows[0][3:5]
    said = {"worse": "less like you", "better": "more like you"}
    for word, text in said.items():
        assert (row[5] == word) == (text in report.headline)


@pytest.mark.parametrize(
    ("values", "nearer", "why"),
    [
        ([0.05, 0.04, 0.06], 1.0, "distance from the person 0.950"),
        ([0.8, 0.81, 0.79], 0.5, "nearer to the person"),
    ],
)
def test_an_instrument_that_fails_on_clean_data_says_nothing_about_a_cloak(
    values: list[float], nearer: float, why: str, tmp_path: Path
) -> None:
    """In words, in the JSON, on the page, and in the exit code."""
    worse = [one - 0.04 for one in values]
    report = experiment_report(made_up({CLEAN: values, CLOAKED: worse, CONTROL: values}, nearer=nearer))
    assert report.headline.startswith("Instrument too weak, nothing measured") and why in report.headline
    assert "confidence" not in report.headline and not report.valid
    assert not any(one.title.startswith("Is the generator worse?") for one in report.tables)
    said = report.to_json()
    assert said["valid"] is False and said["data"]["baseline"]["naive"]["passed"] is False
    assert all(not one for one in said["data"]["effects"].values())
    assert said["data"]["verdicts"][0]["outcome"] == "instrument too weak, nothing measured"
    assert "Instrument too weak" in page_html(report)
    page, data = write_report(report, tmp_path)
    assert Measured(report, page, data).exit_code == 7


def test_a_one_shot_generator_that_follows_no_picture_is_too_weak() -> None:
    """One that draws the person even from the target's own picture."""
    values = [0.8, 0.81, 0.79]
    for kept, passed in ((0.95, True), (0.3, False)):
        result = made_up({CLEAN: values, CLOAKED: values, CONTROL: values})
        for seed in result.options.repeats:
            result.cells[CLEAN, "naive", seed][OWN_PICTURE] = kept
        report = experiment_report(result)
        base = report.data["baseline"]["naive"]
        assert report.valid is passed is base["passed"] and base["values"][OWN_PICTURE]["found"] == kept
    assert "with the target's own picture 0.300, wanted at least 0.90" in report.headline


def test_what_is_not_finished_is_not_measured(tmp_path: Path) -> None:
    numbers = [0.8, 0.81, 0.79]
    result = made_up({CLEAN: numbers, CLOAKED: [0.7, 0.72, 0.71], CONTROL: numbers})
    for seed in result.options.repeats:
        del result.cells[CLOAKED, "naive", seed]
    del result.faces[CONTROL, "naive"]
    result.finished = False
    report = experiment_report(result)
    assert report.headline.startswith("Not finished.") and "nothing was measured yet" in report.headline
    assert any("Not finished: 6 of 9 generators" in one for one in report.summary)
    faces = next(one for one in report.tables if one.title.startswith("How many faces"))
    assert "not measured" in faces.rows[0] and "The cloak leaves out these families" in faces.note
    page, data = write_report(report, tmp_path)
    assert Measured(report, page, data).exit_code == 7 and json.loads(data.read_bytes())["finished"] is False


def test_what_training_costs_is_read_off_the_clean_curve() -> None:
    result = made_up({CLEAN: [0.8] * 3, CLOAKED: [0.7] * 3, CONTROL: [0.8] * 3})
    for seed in result.options.repeats:
        result.cells[CLEAN, "naive", seed]["effort"] = [[100, 0.4], [200, 0.3], [400, 0.2]]
        result.cells[CLOAKED, "naive", seed]["effort"] = [[100, 0.5], [200, 0.4], [400, 0.3]]
        result.cells[CONTROL, "naive", seed]["effort"] = [[100, 0.4], [200, 0.3], [400, 0.19]]
    assert training_ratio(result, CLOAKED, "naive") == pytest.approx(2)
    assert training_ratio(result, CONTROL, "naive") == 1
    assert "2.0 times" in experiment_report(result).tables[0].rows[0]


def test_what_clean_data_are_worth_is_drawn_from_none_to_all_of_it() -> None:
    result = made_up({CLEAN: [0.8] * 3, CLOAKED: [0.7] * 3, CONTROL: [0.8] * 3})
    mixed = replace(result.options, attackers=("attacked", "mixes:50"))
    for variant in result.variants:
        result.faces[variant, "mixes:50"] = result.faces[variant, "naive"]
        for seed in mixed.seeds:
            cell = {"measures": {"swapped identity": 0.24}, "seconds": 1.0}
            result.cells[variant, "mixes:50", seed] = cell
            result.cells[variant, "attacked", seed] = result.cells[variant, "naive", seed]
        result.faces[variant, "attacked"] = result.faces[variant, "naive"]
    result.options = mixed
    curve = next(one for one in experiment_report(result).curves if one.title.startswith("What clean data"))
    assert [(one.x, round(one.y, 2)) for one in curve.lines[CLOAKED]] == [(0, 0.3), (50, 0.24), (100, 0.2)]


def test_results_of_other_code_are_not_taken(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "__init__.py").write_text("ANSWER = 1\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    before = code_of("other")
    code_of.cache_clear()
    assert code_of("other") == before
    (tmp_path / "other" / "__init__.py").write_text("ANSWER = 2\n")
    code_of.cache_clear()
    assert code_of("other") != before
    with pytest.raises(ModuleNotFoundError):
        code_of("nowhere_at_all")
    photo = tmp_path / "a.jpg"
    photo.write_bytes(b"any bytes")
    options = DetectorOptions(attacked=("mtcnn",))
    names = {cloak_key(photo, "mid", options)}
    monkeypatch.setattr("synth.measure.detectors.experiment.code_of", lambda *_: "another")
    assert len(names | {cloak_key(photo, "mid", options)}) == 2
    assert versions()["veilmark"].startswith(f"{VERSION}, code ")


def test_the_report_of_an_attacker_who_gets_nothing_says_so() -> None:
    nothing = [math.nan] * 3
    result = made_up({CLEAN: [0.8, 0.81, 0.79], CLOAKED: nothing, CONTROL: [0.8, 0.8, 0.79]}, {CLOAKED: 0})
    report = experiment_report(result)
    assert "no fake could be made: 0 of 40 frames gave a face to learn from" in report.headline
    assert "with random noise of equal energy 0.203" in report.headline
    assert report.tables[0].rows[0][2] == "no fake could be made" and "100 %" in report.tables[0].rows[0]
    json.dumps(report.to_json(), allow_nan=False)


def test_a_plan_that_was_timed_on_a_busy_machine_says_so() -> None:
    parts = (("one", 3000.0), ("other", 3000.0))
    assert ExperimentEstimate(parts).lines()[-1] == "in all about 1.7 h, less what is finished already"
    busy = ExperimentEstimate(parts, 0.1).lines()
    assert "10 % of a core" in busy[-1] and busy[-1].endswith("about 10 min")
    assert busy[:-1] == ExperimentEstimate(parts).lines()


def test_consent_goes_along_with_frames_made_of_footage(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    cv2.imwrite(str(path), np.zeros((8, 8, 3), np.uint8))
    consent = {
        "basis": "declared",
        "statement": "s",
        "files": [{"sha256": "0", "basis": "declared", "key_id": ""}],
    }
    basis = consent_for_frames(consent, [path])
    assert basis["basis"] == "declared" and basis["statement"] == "s"
    assert basis["files"] == [{"sha256": sha256_file(path), "basis": "declared", "key_id": ""}]
    with pytest.raises(ConsentError):
        measure_swap(path, path, {"a": {}, "b": consent}, TOY, Cache(tmp_path / "w"))

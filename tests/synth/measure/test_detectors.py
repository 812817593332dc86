"""``measure detectors``: equal pictures differ in nothing, destroyed ones in everything, and labels turn the sign."""

from __future__ import annotations

import json
import os
import re
import stat
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch
import typer
from PIL import Image
from typer.testing import CliRunner

from cloak import detectors as detector_list
from cloak.detectors.base import Detections, FaceDetector
from provenance.errors import MissingPathError, UsageError
from provenance.home import Home
from provenance.manifest.embed import ManifestSpec, Parent
from provenance.session import open_session
from provenance.setup import initialize
from provenance.sign import SignRequest, sign_file
from synth.commands.measure import measure_app
from synth.measure.cache import Cache, key_of
from synth.measure.conditions import CLEANING, CONDITIONS, GIVEN, NOISE, RANDOM, equal_energy
from synth.measure.detectors.errors import condition_tables, every_report, published_table, reported
from synth.measure.detectors.experiment import (
    DetectorMeasurements,
    DetectorOptions,
    measure_detectors,
    versions_of,
)
from synth.measure.detectors.observations import detect_under_conditions, faces_agreed_on
from synth.measure.detectors.pairs import Pair, pair_up, pictures_in
from synth.measure.detectors.report import group_effect, recall_effects
from tests.support.schemas import checked

DETECTOR_NAMES = ("blazeface-short", "centerface")


@pytest.fixture(scope="module")
def faces(portraits: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The two portraits, small."""
    return {
        "collins": cv2.resize(
            portraits["astronaut"][0:300, 60:360], (240, 240), interpolation=cv2.INTER_AREA
        ),
        "hopper": cv2.resize(portraits["hopper"][0:420, 60:480], (240, 240), interpolation=cv2.INTER_AREA),
    }


@pytest.fixture(scope="module")
def detectors() -> list[FaceDetector]:
    members = [detector_list.load(name) for name in DETECTOR_NAMES]
    for name, one in zip(DETECTOR_NAMES, members, strict=True):
        one.name = name  # type: ignore[misc]
    return members


@pytest.fixture(scope="module")
def seen(faces: dict[str, np.ndarray], detectors: list[FaceDetector]) -> list[dict[str, Any]]:
    """Each portrait as it is, once more as it is, and destroyed."""
    rows = []
    for name, pixels in faces.items():
        grey = np.full_like(pixels, 128)
        rows.append(
            {"name": name, **detect_under_conditions(pixels, {"same": pixels, "destroyed": grey}, detectors)}
        )
    return rows


def measured(rows: list[dict[str, Any]]) -> DetectorMeasurements:
    families = {one: detector_list.info(one).family for one in rows[0]["boxes"]["clean"]}
    return DetectorMeasurements(
        rows, [Pair(Path(row["name"])) for row in rows], ["same", "destroyed"], families, []
    )


def test_of_equal_pictures_every_measure_shows_nothing(seen: list[dict[str, Any]]) -> None:
    for effect in recall_effects(measured(seen), "same").values():
        assert effect.difference.value == 0 and effect.p == 1
    for row in seen:
        for condition in CONDITIONS:
            assert row["seen"]["same"][condition] == row["seen"]["clean"][condition]
        for one in row["seen"]["same"]["nothing"].values():
            assert one["decoys"] == 0 and all(error == 0 for error in one["landmarks"])


def test_destroyed_pictures_show_in_every_condition(seen: list[dict[str, Any]]) -> None:
    whole = measured(seen)
    for condition in CONDITIONS:
        effect = group_effect(whole, "destroyed", list(whole.detectors), condition)
        assert effect.treated == 0
        assert effect.difference.value == pytest.approx(-effect.baseline) and effect.baseline > 0.5


def cell(reports: int, right: int, decoys: int, landmarks: list[float]) -> dict[str, Any]:
    return {"found": right, "reports": reports, "right": right, "decoys": decoys, "landmarks": landmarks}


def made_up(cells: list[dict[str, Any]], condition: str = "half size") -> DetectorMeasurements:
    """Pictures in which one detector reports this under one condition, and one right face under all others."""
    rows = []
    for place, one in enumerate(cells):
        usual = {name: {"d": cell(1, 1, 0, [0.01])} for name in CONDITIONS}
        seen = {"clean": usual, "mid": {**usual, condition: {"d": one}}}
        rows.append({"name": f"p{place}", "faces": [[0, 0, 1, 1]], "seen": seen})
    return DetectorMeasurements(rows, [Pair(Path(row["name"])) for row in rows], ["mid"], {"d": "family"}, [])


def test_what_else_is_reported_is_counted_for_each_condition() -> None:
    whole = made_up([cell(4, 1, 3, [0.5]), cell(2, 2, 0, [0.1, 0.1]), cell(2, 1, 1, []), cell(0, 0, 0, [])])
    one = reported(whole, "mid", "half size", "d")
    assert one.precision.value == pytest.approx(4 / 8)
    assert one.decoys.value == 1 and one.matched == 3
    assert one.landmarks.value == pytest.approx(
        0.7 / 3
    )  # over faces, as before; the interval is over pictures
    for estimate in (one.precision, one.decoys, one.landmarks):
        assert estimate.low is not None and estimate.high is not None
        assert estimate.low < estimate.value < estimate.high
    usual = reported(whole, "mid", "JPEG 50", "d")
    assert usual.precision.value == 1 and usual.decoys.value == 0 and usual.landmarks.value == 0.01
    assert every_report(whole)["mid"]["half size"]["d"] == one.to_json()
    assert every_report(whole)["clean"]["half size"]["d"] == usual.to_json()
    nothing = reported(made_up([cell(0, 0, 0, [])]), "mid", "half size", "d")
    assert nothing.cells() == ("-", "0.00", "-")


def test_tables_of_each_condition_are_folded_and_say_the_figures() -> None:
    whole = made_up([cell(4, 1, 3, [0.5]), cell(2, 2, 0, [0.1, 0.1])], "social networks")
    clean, cloaked = condition_tables(whole, {"attacked": ["d"], "unseen": []})
    assert clean.folded and cloaked.folded and "(clean)" in clean.title and "cloaked at mid" in cloaked.title
    assert cloaked.columns == ("detector", *CONDITIONS)
    figures = {row[0]: {} for row in cloaked.rows if len(row) == 1}
    for heading, row in zip(cloaked.rows[::2], cloaked.rows[1::2], strict=True):
        figures[heading[0]] = dict(zip(cloaked.columns, row, strict=True))
    assert list(figures) == [
        f"{name}, attacked detectors" for name in ("precision", "decoys a picture", "landmark error (faces)")
    ]
    precision, decoys, errors = figures.values()
    assert re.fullmatch(r"50 % \(\d+ to \d+\)", precision["social networks"])
    assert re.fullmatch(r"1\.50 \(0\.00 to \d+\.\d\d\)", decoys["social networks"])
    assert re.fullmatch(r"0\.233 \(0\.000 to \d+\.\d{3}\) \[3\]", errors["social networks"])
    assert errors["blur"] == "0.010 (0.010 to 0.010) [2]" and decoys["blur"] == "0.00 (0.00 to 0.00)"
    published = published_table(whole, {"attacked": ["d"], "unseen": []})
    assert not published.folded and published.rows[-1][1:] == (
        precision["blur"],
        decoys["blur"],
        errors["blur"],
    )


def test_swapped_labels_turn_the_sign(seen: list[dict[str, Any]]) -> None:
    turned = [
        {**row, "seen": {"clean": row["seen"]["destroyed"], "destroyed": row["seen"]["clean"]}}
        for row in seen
    ]
    names = list(measured(seen).detectors)
    there = group_effect(measured(seen), "destroyed", names)
    back = group_effect(measured(turned), "destroyed", names)
    assert back.difference.value == pytest.approx(-there.difference.value) and back.p == there.p


def test_where_families_agree_is_a_face() -> None:
    boxes = torch.tensor([[0.0, 0, 40, 40], [100, 100, 140, 140]])
    both, one = Detections(boxes, torch.ones(2)), Detections(boxes[:1], torch.ones(1))
    none = Detections(torch.zeros(0, 4), torch.zeros(0))
    agreed = faces_agreed_on({"x": both, "y": one}, boxes, {"x": "p", "y": "q"})
    assert agreed.tolist() == [True, False]
    assert not faces_agreed_on({"x": both, "y": both}, boxes, {"x": "p", "y": "p"}).logical_not().any()
    alone = faces_agreed_on({"x": both, "y": both, "z": none}, boxes, {"x": "p", "y": "p", "z": "q"})
    assert alone.tolist() == [False, False]


@pytest.mark.parametrize("treat", [*CONDITIONS.values(), *CLEANING.values()])
def test_conditions_give_pictures(treat: Any, faces: dict[str, np.ndarray]) -> None:
    pixels = faces["collins"].copy()
    made = treat(pixels)
    assert made.dtype == np.uint8 and made.ndim == 3 and made.shape[0] / made.shape[1] == 1.0
    np.testing.assert_array_equal(pixels, faces["collins"])


def test_the_control_has_the_cloaks_energy_and_not_its_pattern(faces: dict[str, np.ndarray]) -> None:
    clean = np.clip(faces["hopper"], 20, 235)[:224, :224]
    change = np.random.default_rng(0).integers(-12, 13, clean.shape)
    change[:, 64:] = 0
    cloaked = (clean + change).astype(np.uint8)
    control = equal_energy(clean, cloaked, 5)
    left = (control.astype(int) - clean) ** 2
    for top in range(0, 224, 32):
        for start in range(0, 224, 32):
            part = np.s_[top : top + 32, start : start + 32]
            assert left[part].sum() == (change[part] ** 2).sum()
    assert abs(np.corrcoef((control.astype(int) - clean).ravel(), change.ravel())[0, 1]) < 0.1
    np.testing.assert_array_equal(control, equal_energy(clean, cloaked, 5))
    np.testing.assert_array_equal(equal_energy(clean, clean, 5), clean)
    with pytest.raises(UsageError, match="differ in size"):
        equal_energy(clean, cloaked[:-1], 5)


def test_pairs_by_name_and_by_what_the_manifest_says(portrait_files: dict[str, Path], tmp_path: Path) -> None:
    home = Home.locate()
    initialize(home, subject="Researcher", algorithm="es256", passphrase=None)
    renamed, other = tmp_path / "c" / "IMG_1.jpg", tmp_path / "c" / "hopper.png"
    renamed.parent.mkdir()
    spec = ManifestSpec(relation="cloaked", parents=(Parent(portrait_files["astronaut"], embed=False),))
    with open_session(home) as session:
        sign_file(portrait_files["astronaut"], renamed, SignRequest(spec), session)
    Image.open(portrait_files["hopper"]).save(other)
    Image.open(portrait_files["hopper"]).save(tmp_path / "c" / "stranger.jpg")
    originals = pictures_in(sorted(portrait_files.values()))
    pairs, notes = pair_up(originals, pictures_in([tmp_path / "c"]))
    assert pairs == [Pair(portrait_files["astronaut"], renamed), Pair(portrait_files["hopper"], other)]
    assert len(notes) == 1 and "stranger" in notes[0]
    with pytest.raises(UsageError, match="found no pair"):
        pair_up(originals, [tmp_path / "c" / "stranger.jpg"])


def test_two_originals_of_one_name_are_not_guessed_between(
    portrait_files: dict[str, Path], tmp_path: Path
) -> None:
    twins = [tmp_path / side / "a.png" for side in "xy"]
    for path, size in zip(twins, (50, 60), strict=True):
        path.parent.mkdir()
        Image.new("RGB", (size, size)).save(path)
    copy = tmp_path / "a.jpg"
    Image.new("RGB", (50, 50)).save(copy)
    with pytest.raises(UsageError, match="may belong to"):
        pair_up(twins, [copy])


def test_what_is_no_picture_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("no picture")
    with pytest.raises(UsageError, match="is no picture"):
        pictures_in([tmp_path / "a.txt"])
    with pytest.raises(MissingPathError):
        pictures_in([tmp_path / "missing"])
    with pytest.raises(MissingPathError, match="no picture"):
        pictures_in([tmp_path])


def test_the_cache_keeps_what_fits_and_hides_it(tmp_path: Path) -> None:
    cache = Cache(tmp_path / "work")
    key = key_of("look", {"a": [1, 2]})
    assert key != key_of("look", {"a": [2, 1]}) and key != key_of("swap", {"a": [1, 2]})
    assert cache.get(key) is None
    assert cache.put(key, {"x": (1, 2)}) == cache.get(key) == {"x": [1, 2]}
    (cache.folder / "results" / f"{key}.json").write_bytes(b"{broken")
    assert cache.get(key) is None
    assert cache.keep(key, ".bin", b"abc").read_bytes() == cache.read(key, ".bin") == b"abc"
    assert cache.read(key, ".other") is None
    for place in (cache.folder, cache.folder / "results", cache.folder / "files"):
        assert stat.S_IMODE(place.stat().st_mode) == 0o700


def test_nothing_unlabelled_stays_in_the_scratch_folder(tmp_path: Path) -> None:
    cache = Cache(tmp_path / "work")
    with pytest.raises(KeyboardInterrupt), cache.scratch() as place:
        (place / "unlabelled.mp4").write_bytes(b"x")
        assert stat.S_IMODE(place.stat().st_mode) == 0o700
        raise KeyboardInterrupt
    assert not place.exists()
    killed, alive = (tmp_path / "work" / f"scratch-{pid}-x" for pid in (2**22 + 7, os.getpid()))
    for folder in (killed, alive):
        folder.mkdir()
    Cache(tmp_path / "work")
    assert not killed.exists() and alive.exists()


def test_options_are_checked() -> None:
    with pytest.raises(UsageError, match="unknown strength"):
        DetectorOptions(strengths=("extreme",))
    with pytest.raises(UsageError, match="no detector is called"):
        DetectorOptions(attacked=("nobody",))
    with pytest.raises(UsageError, match="unknown veil"):
        DetectorOptions(veil="lace")


@pytest.mark.parametrize(("veil", "control"), [("film", RANDOM), ("noise", NOISE)])
def test_the_control_fits_the_veil(
    veil: str, control: str, faces: dict[str, np.ndarray], tmp_path: Path
) -> None:
    """Cloaked here: the same veil with random parameters; a second run reads what the first cloaked."""
    path = tmp_path / "picture.png"
    Image.fromarray(faces["collins"][:150, 20:170]).save(path)
    options = DetectorOptions(("low",), veil, attacked=("blazeface-short",), steps=1)
    cache = Cache(tmp_path / "work")
    clean, versions = versions_of(Pair(path), ["low"], options, cache)
    assert list(versions) == ["low", control + "low"]
    for pixels in versions.values():
        assert pixels.shape == clean.shape and (pixels != clean).mean() > 0.3
    written = {one: one.stat().st_mtime_ns for one in cache.folder.rglob("*") if one.is_file()}
    again = versions_of(Pair(path), ["low"], options, cache)[1]
    assert {one: one.stat().st_mtime_ns for one in cache.folder.rglob("*") if one.is_file()} == written
    for name, pixels in versions.items():
        np.testing.assert_array_equal(pixels, again[name])
    whole = DetectorMeasurements([], [], list(versions), {}, [])
    assert whole.cloaked == ["low"] and whole.control_of("low") == control + "low"


def test_mixed_pairs_are_refused(portrait_files: dict[str, Path], tmp_path: Path) -> None:
    one, other = portrait_files.values()
    with pytest.raises(UsageError, match="some have none"):
        measure_detectors([Pair(one, other), Pair(other)], DetectorOptions(), Cache(tmp_path / "w"))


@pytest.mark.slow
def test_two_processes_measure_what_one_does(faces: dict[str, np.ndarray], tmp_path: Path) -> None:
    from provenance.bulk.processes import ProcessExecutor

    pairs = []
    for name, shift in (("a", 0), ("b", 10)):
        paths = [tmp_path / f"{name}-{kind}.png" for kind in ("clean", "made")]
        Image.fromarray(faces["collins"][shift : shift + 150, 20:170]).save(paths[0])
        Image.fromarray(faces["collins"][shift : shift + 150, 20:170] // 2 + 40).save(paths[1])
        pairs.append(Pair(*paths))
    options = DetectorOptions(attacked=("blazeface-short",))
    shares: list[float] = []
    one = measure_detectors(pairs, options, Cache(tmp_path / "one"))
    two = measure_detectors(
        pairs,
        options,
        Cache(tmp_path / "two"),
        progress=shares.append,
        executor=ProcessExecutor(2),
        workers=2,
    )
    for rows in (one.rows, two.rows):
        assert len(rows) == 2 and all(row.pop("seconds") for row in rows)
    assert one.rows == two.rows and shares[-1] == 1.0
    written = {path: path.stat().st_mtime_ns for path in (tmp_path / "two" / "results").iterdir()}
    assert measure_detectors(pairs, options, Cache(tmp_path / "two")).rows[0]["faces"] == one.rows[0]["faces"]
    assert {path: path.stat().st_mtime_ns for path in (tmp_path / "two" / "results").iterdir()} == written


def test_the_command_from_files_to_report(faces: dict[str, np.ndarray], tmp_path: Path) -> None:
    """A copy that shows no face any more: found by nobody, said in the report; a second run only reads."""
    for folder, pixels in (
        ("clean", faces["collins"][:150, 20:170]),
        ("made", np.full((150, 150, 3), 90, np.uint8)),
    ):
        (tmp_path / folder).mkdir()
        Image.fromarray(pixels).save(tmp_path / folder / "picture.png")
    app = typer.Typer()
    app.add_typer(measure_app, name="measure")
    out = tmp_path / "out"
    call = [
        "measure",
        "detectors",
        str(tmp_path / "clean"),
        "--cloaked",
        str(tmp_path / "made"),
        "-o",
        str(out),
    ]
    call += ["--detectors", "blazeface-short", "--json"]
    first = CliRunner().invoke(app, call, catch_exceptions=False)
    said = checked(json.loads(first.stdout))
    assert said["schema"] == "veilmark.measured/1" and said["kind"] == "detectors"
    assert (
        "are still found: 0 % by blazeface-short, the one detector that the cloak was made"
        in said["headline"]
    )
    assert "(clean: 100 %; -100 points, " in said["headline"] and "with 95 % confidence" in said["headline"]
    assert str(tmp_path) not in json.dumps(said["configuration"])
    effect = said["data"]["effects"][GIVEN]["nothing"]["blazeface-short"]
    assert effect["difference"]["value"] == -1 and effect["verdict"] == "too few pairs"
    assert NOISE + GIVEN in said["data"]["effects"]
    reports = said["data"]["reports"]
    assert set(reports) == {"clean", GIVEN, NOISE + GIVEN}
    assert all(set(one) == set(CONDITIONS) for one in reports.values())
    assert reports["clean"]["blur"]["blazeface-short"]["precision"]["value"] == 1
    page = (out / "report.html").read_text()
    assert page.count("<details><summary>") == 3 and "<details open" not in page
    assert "picture.png" in page and page.count("data:image/jpeg") >= 7
    written = {path: path.stat().st_mtime_ns for path in (out / ".work" / "results").iterdir()}
    again = CliRunner().invoke(app, [*call, "--no-pictures"], catch_exceptions=False)
    bare = (out / "report.html").read_text()
    assert "data:image" not in bare and "Pictures were left out" in bare
    assert json.loads(again.stdout)["galleries"] == []
    assert {path: path.stat().st_mtime_ns for path in (out / ".work" / "results").iterdir()} == written
    assert json.loads(again.stdout)["data"] == said["data"]

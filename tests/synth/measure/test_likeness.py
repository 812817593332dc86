"""What rebuilt faces are measured by, what cleans and who judges: each does what it says, on real pictures."""

from __future__ import annotations

import csv
import io
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from cloak.evaluate.quality import psnr, ssim
from cloak.recognition import encoders
from cloak.veils import VeilName, veil_of
from cloak.veils.base import Canvas
from synth.commands.progress import PipedProgress
from synth.extraction.finder import FaceFinder
from synth.measure.clips import frames_of, write_lossless
from synth.measure.denoiser import Denoiser
from synth.measure.identity import FaceIdentity
from synth.measure.likeness import moved, registered
from synth.report.document import Table
from synth.report.write import tables_csv
from synth.swap.training.losses import ssim_map
from tests.support.clips import wandering
from tests.synth.measure.test_report import a_report

_SIDE = 64


@pytest.fixture(scope="module")
def face(portraits: dict[str, np.ndarray]) -> torch.Tensor:
    """``(1, 3, 64, 64)`` of a portrait."""
    part = portraits["astronaut"][30:286, 90:346].astype(np.float32) / 255
    whole = torch.from_numpy(part).permute(2, 0, 1)[None]
    return torch.nn.functional.interpolate(whole, size=(_SIDE, _SIDE), mode="area")


@pytest.mark.parametrize("by", [(1.0, 0.0), (0.0, -1.0), (2.0, 1.0), (-1.0, 2.0), (0.0, 0.0)])
def test_a_face_that_lies_a_pixel_aside_is_no_worse(face: torch.Tensor, by: tuple[float, float]) -> None:
    mask = torch.zeros(1, 1, _SIDE, _SIDE)
    mask[..., 12:52, 12:52] = 1
    aside = moved(face, torch.tensor([by]))
    back, moves = registered(aside, face, mask)
    assert moves[0].tolist() == [-by[0], -by[1]]
    before = float(ssim_map(face.lerp(aside, mask), face).mean())
    after = float(ssim_map(face.lerp(back, mask), face).mean())
    assert after > 0.999
    if any(by):
        assert before < 0.97, "what the test is about: a shift costs as much as what was reported"


def test_registration_makes_no_other_face_alike(face: torch.Tensor, portraits: dict[str, np.ndarray]) -> None:
    other = torch.from_numpy(portraits["hopper"][60:316, 130:386].astype(np.float32) / 255)
    other = torch.nn.functional.interpolate(other.permute(2, 0, 1)[None], size=(_SIDE, _SIDE), mode="area")
    mask = torch.ones(1, 1, _SIDE, _SIDE)
    back, _ = registered(other, face, mask)
    blurred = torch.nn.functional.avg_pool2d(face, 5, stride=1, padding=2)
    assert float(ssim_map(back, face).mean()) < 0.5
    assert float(ssim_map(registered(blurred, face, mask)[0], face).mean()) < 0.95


def test_the_learned_denoiser_takes_a_veil_off(portraits: dict[str, np.ndarray]) -> None:
    """A film veil with random parameters; a clean picture hardly changes."""
    clean = np.ascontiguousarray(portraits["astronaut"][0:255, 60:315])
    picture = torch.from_numpy(clean).permute(2, 0, 1)[None].float() / 255
    veil = veil_of(VeilName.FILM)
    assert veil is not None
    canvas = Canvas(picture, torch.ones(1, 1, 255, 255), 1.0)
    shown = veil.render(canvas, veil.settle(canvas, veil.random(canvas, 5)), 0.1)[0].clamp(0, 1)
    veiled = np.ascontiguousarray((shown.permute(1, 2, 0) * 255).round().byte().numpy())
    network = Denoiser.shipped()
    assert network.clean(veiled).shape == clean.shape
    assert psnr(clean, network.clean(veiled)) > psnr(clean, veiled) + 0.3
    assert ssim(clean, network.clean(clean)) > 0.9


def test_a_lossless_clip_is_without_loss(portraits: dict[str, np.ndarray], tmp_path: Path) -> None:
    """Odd sides too, which half-size frames may have."""
    from fractions import Fraction

    frames = wandering(portraits["hopper"], 3, (121, 95))
    path = tmp_path / "clip.mp4"
    assert write_lossless(path, iter(frames), Fraction(25)) == 3
    assert all(np.array_equal(one, other) for one, other in zip(frames, frames_of(path), strict=True))


def test_the_judge_tells_people_apart(portraits: dict[str, np.ndarray]) -> None:
    """FaceRes where it is installed, else dlib's network; one of the two is what the suite runs with."""
    try:
        judge = FaceIdentity()
    except Exception as error:
        pytest.skip(f"no network that tells people apart is installed: {error}")
    finder = FaceFinder()
    people = {name: wandering(portraits[name], 4) for name in ("astronaut", "hopper")}
    means = {name: judge.of_person(lambda frames=frames: frames, finder) for name, frames in people.items()}
    for name, frames in people.items():
        own = judge.embed(frames[1], finder.find(frames[1])[0].landmarks)
        other = means["hopper" if name == "astronaut" else "astronaut"]
        assert means[name] is not None and other is not None
        near, far = np.linalg.norm(own - means[name]), np.linalg.norm(own - other)
        assert near < judge.same_person and near < far
    assert judge.independent == ("faceres" in encoders.available())
    assert judge.of_person(lambda: [np.full((90, 90, 3), 90, np.uint8)], finder) is None


def test_progress_is_said_in_lines_where_nobody_sees_a_bar() -> None:
    said: list[str] = []
    now = [0.0]
    report = PipedProgress("Measuring", said.append, lambda: now[0])
    for step in range(101):
        now[0] = 10.0 * step
        report(step / 100)
    assert said[0] == "Measuring: 6 %, about 16 min left", "at least every minute"
    assert len(said) == 16 and said[-1] == "Measuring: 96 %, about 40 s left"
    said.clear()
    quick = PipedProgress("Measuring", said.append, lambda: now[0])
    for step in range(101):
        now[0] += 0.1
        quick(step / 100)
    assert [one.split(",")[0] for one in said] == [f"Measuring: {10 * tenth} %" for tenth in range(1, 11)]


def test_an_estimate_is_of_what_is_left_and_not_of_what_was_done_before() -> None:
    said: list[str] = []
    now = [0.0]
    report = PipedProgress("Measuring", said.append, lambda: now[0])
    report(0.8)  # done by an earlier run, at once
    now[0] = 120.0
    report(0.9)
    assert said[-1] == "Measuring: 90 %, about 2 min left"


def test_tables_are_written_for_spreadsheets() -> None:
    table = Table(
        "q, and more", ("a", "=b"), (("heading",), ("-0.05 (-0.1 to +0.2)", "=1+1"), ("+3 points", "@x"))
    )
    text = tables_csv(replace(a_report(), tables=(table,)))
    rows = list(csv.reader(io.StringIO(text)))
    assert rows[0] == ["# q, and more"] and rows[1] == ["a", "'=b"]
    assert rows[2:5] == [["heading"], ["-0.05 (-0.1 to +0.2)", "'=1+1"], ["+3 points", "'@x"]]

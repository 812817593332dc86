"""How the work on a picture is cut up: its parts, their scale, their steps, and who looks at them."""

from __future__ import annotations

import io

import numpy as np
import pytest
import torch
from PIL import Image

from cloak import CloakOptions, detectors
from cloak.detectors.base import Detections
from cloak.judge import scaled, to_tensor, view_of
from cloak.outcome import Judged
from cloak.regions import plan_patches
from cloak.wide import WideView
from cloak.worker import FEWEST_STEPS, FULL_AREA, Encoder, Worker
from provenance.media import open_picture


def _as_png(pixels: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG", compress_level=1)
    return buffer.getvalue()


def test_the_wide_view_of_a_halved_picture_is_averaged(portraits: dict[str, np.ndarray]) -> None:
    pixels = portraits["astronaut"]
    wide = WideView(pixels, "cpu").around(
        plan_patches((512, 512), torch.tensor([[181.0, 58, 268, 172]]))[0], []
    )
    shown, side = wide.show(torch.zeros(1, 3, 320, 320), 192, 0.5)
    assert side == 256
    assert torch.allclose(shown, to_tensor(scaled(pixels, 0.5)), atol=1.01 / 255)
    assert not torch.allclose(wide.compose(torch.zeros(1, 3, 320, 320), 256), shown, atol=3 / 255)


def test_large_faces_are_worked_on_as_they_are_shown() -> None:
    face = torch.tensor([[500.0, 500.0, 700.0, 700.0]])
    assert plan_patches((1600, 2000), face)[0].scale == 1.0
    assert plan_patches((1600, 2000), face, shown=0.64)[0].scale == pytest.approx(0.64, abs=0.01)
    small = torch.tensor([[500.0, 500.0, 620.0, 620.0]])
    assert plan_patches((4000, 6000), small, shown=0.2)[0].scale == 1.0  # not far below 96 pixels


def test_many_faces_get_fewer_steps_and_only_the_detectors_that_see_them(
    portraits: dict[str, np.ndarray],
) -> None:
    many = np.tile(portraits["astronaut"], (5, 5, 1))
    picture = open_picture(_as_png(many))
    faces = torch.tensor([[181.0, 58, 268, 172]]).repeat(25, 1)
    faces += 512.0 * torch.tensor([[i % 5, i // 5, i % 5, i // 5] for i in range(25)])
    view = view_of(picture.pixels)
    crew = [detectors.load("mtcnn"), detectors.load("centerface")]
    nothing = torch.zeros(0, 4)
    before = {
        "mtcnn": Detections(faces[:1] * view.scale, torch.ones(1)),
        "centerface": Detections(nothing, torch.ones(0)),
    }
    worker = Worker(picture, crew, Encoder("PNG", None), CloakOptions(steps=60), faces, faces, view, before)
    assert worker.area > FULL_AREA
    assert FEWEST_STEPS <= worker.allowed < 60
    whose = next(i for i, patch in enumerate(worker.patches) if 0 in patch.faces)
    assert [one.name for one in worker._concerned(whose)] == ["mtcnn"]
    hits = [face == 24 for face in range(25)]
    worker.learn(Judged(picture.pixels, (1280, 1280), {("centerface", "half"): hits}, {}, {}))
    assert len(worker.pending) == 1 and 24 in worker.patches[worker.pending[0]].faces
    assert [one.name for one in worker._concerned(worker.pending[0])] == ["centerface"]
    assert worker.allowed == 60 or worker.area > FULL_AREA

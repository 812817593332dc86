"""How the work on a picture is cut up: its parts, their scale, their steps, and who looks at them."""

from __future__ import annotations

import io

import numpy as np
import pytest
import torch
from PIL import Image

from cloak import CloakOptions, detectors
from cloak.attack import transforms
from cloak.attack.frames import FullResolutionFrame
from cloak.attack.input_policy import input_policy_of
from cloak.attack.regions import plan_patches
from cloak.attack.whole_frame import SquareFrame
from cloak.detectors.base import Detections
from cloak.detectors.geometry.matching import centres_inside
from cloak.detectors.geometry.patch import Patch
from cloak.evaluate.evaluation import Evaluation
from cloak.picture.rounds import FULL_AREA, MIN_STEPS, ImageEncoder, PatchOptimiser
from cloak.pixels import display_picture, scaled, to_tensor
from cloak.veils.base import normal
from cloak.veils.grain import grain
from provenance.media.picture import open_picture


def _as_png(pixels: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG", compress_level=1)
    return buffer.getvalue()


def test_the_square_frame_of_a_halved_picture_is_averaged(portraits: dict[str, np.ndarray]) -> None:
    pixels = portraits["astronaut"]
    whole_frame = SquareFrame(pixels, "cpu").with_noise_of(
        plan_patches((512, 512), torch.tensor([[181.0, 58, 268, 172]]))[0], []
    )
    shown = whole_frame.show(torch.zeros(1, 3, 320, 320), 192, 0.5).pixels
    assert shown.shape[-1] == 256
    assert torch.allclose(shown, to_tensor(scaled(pixels, 0.5)), atol=1.01 / 255)
    assert not torch.allclose(
        whole_frame.render(torch.zeros(1, 3, 320, 320), 256).pixels, shown, atol=3 / 255
    )


def test_large_faces_are_worked_on_as_they_are_shown() -> None:
    face = torch.tensor([[500.0, 500.0, 700.0, 700.0]])
    assert plan_patches((1600, 2000), face)[0].scale == 1.0
    assert plan_patches((1600, 2000), face, display_scale=0.64)[0].scale == pytest.approx(0.64, abs=0.01)
    small = torch.tensor([[500.0, 500.0, 620.0, 620.0]])
    assert plan_patches((4000, 6000), small, display_scale=0.2)[0].scale == 1.0  # not far below 96 pixels


@pytest.mark.parametrize("larger", [1.5, 2.0, 5.0])
def test_grain_that_was_searched_small_keeps_its_strength_when_it_is_enlarged(larger: float) -> None:
    """Linear weights leave 70 percent of grain as fine as film's; detectors should see what the search saw."""
    side = round(240 * larger)
    patch = Patch(0, 0, side, side, height=240, width=240, faces=(0,))
    fine = grain(normal((1, 3, 240, 240), 1, torch.zeros(())), 0.45)
    enlarged = patch.to_picture_size(fine)
    assert enlarged.shape == (1, 3, side, side)
    assert float(enlarged.std() / fine.std()) > 0.9


def test_many_faces_get_fewer_steps_and_only_the_detectors_that_see_them(
    portraits: dict[str, np.ndarray],
) -> None:
    many = np.tile(portraits["astronaut"], (5, 5, 1))
    picture = open_picture(_as_png(many))
    faces = torch.tensor([[181.0, 58, 268, 172]]).repeat(25, 1)
    faces += 512.0 * torch.tensor([[i % 5, i // 5, i % 5, i // 5] for i in range(25)])
    displayed = display_picture(picture.pixels)
    loaded = [detectors.load("mtcnn"), detectors.load("centerface")]
    nothing = torch.zeros(0, 4)
    before = {
        "mtcnn": Detections(faces[:1] * displayed.scale, torch.ones(1)),
        "centerface": Detections(nothing, torch.ones(0)),
    }
    optimiser = PatchOptimiser(
        picture, loaded, ImageEncoder("PNG", None), CloakOptions(steps=60), faces, faces, displayed, before
    )
    assert optimiser.pixel_count > FULL_AREA
    assert MIN_STEPS <= optimiser.steps_per_patch < 60
    whose = next(i for i, patch in enumerate(optimiser.patches) if 0 in patch.faces)
    assert [one.name for one in optimiser._relevant_detectors(whose)] == ["mtcnn"]
    detected = [face == 24 for face in range(25)]
    optimiser.update_pending(
        Evaluation(picture.pixels, (1280, 1280), {("centerface", "half"): detected}, {}, {})
    )
    assert len(optimiser.pending) == 1 and 24 in optimiser.patches[optimiser.pending[0]].faces
    assert [one.name for one in optimiser._relevant_detectors(optimiser.pending[0])] == ["centerface"]
    assert optimiser.steps_per_patch == optimiser.options.steps_a_round or optimiser.pixel_count > FULL_AREA


@pytest.mark.parametrize(("name", "apart"), [("mtcnn", 2.0), ("centerface", 0.7)])
@pytest.mark.parametrize("size", [1.0, 0.5])
def test_a_part_looks_as_it_does_inside_its_picture(
    portraits: dict[str, np.ndarray], name: str, apart: float, size: float
) -> None:
    """What the search shows a detector must tell what the detector makes of the whole picture, in logits.

    A cascade rounds its crops to whole pixels, so that a logit or two depend on where the picture ends.
    """
    pixels, detector = portraits["hopper"], detectors.load(name)
    face = torch.tensor([[174.0, 120.0, 356.0, 334.0]])
    smaller = transforms.resize(size, mode="area") if size < 1 else transforms.identity()
    part = transforms.crop(96, 48, 432, 416).then(smaller)
    seen = part.then(input_policy_of(detector).resize_transform((600.0, 512.0), size))

    def best(picture: torch.Tensor, place: torch.Tensor) -> float:
        with torch.no_grad():
            found = detector.candidates(picture, [place])[0]
        decisive = found.select(found.final_stage)
        return float(decisive.logits[centres_inside(decisive.boxes, place)[:, 0]].max())

    inside_it = best(to_tensor(scaled(pixels, size)), face * size)
    alone = best(seen(to_tensor(pixels)), seen.boxes(face))
    assert inside_it > 0 and alone == pytest.approx(inside_it, abs=apart)


def test_the_full_frame_holds_the_change_at_its_place(portraits: dict[str, np.ndarray]) -> None:
    pixels = portraits["astronaut"][:300, :400]
    change = torch.full((1, 3, 64, 96), 8 / 255)
    full_frame = FullResolutionFrame(to_tensor(pixels), left=32, top=64)
    expected = pixels.astype(np.int16)
    expected[64:128, 32:128] += 8
    whole = np.clip(expected, 0, 255).astype(np.uint8)
    assert torch.allclose(full_frame.show(change, 1.0).pixels, to_tensor(whole), atol=1e-6)
    assert torch.allclose(full_frame.show(change, 0.5).pixels, to_tensor(scaled(whole, 0.5)), atol=1.01 / 255)
    box = torch.tensor([[0.0, 0.0, 96.0, 64.0]])
    assert full_frame.show(change, 0.5).boxes(box).tolist() == [[16.0, 32.0, 64.0, 64.0]]


def test_the_full_frame_is_offered_where_it_is_what_detectors_are_shown(
    portraits: dict[str, np.ndarray],
) -> None:
    face = torch.tensor([[181.0, 58, 268, 172]])
    report = Detections(face, torch.ones(1))
    loaded = [detectors.load("centerface")]

    def first(pixels: np.ndarray) -> FullResolutionFrame | None:
        picture, displayed = open_picture(_as_png(pixels)), display_picture(pixels)
        options = CloakOptions(steps=60)
        optimiser = PatchOptimiser(
            picture, loaded, ImageEncoder("PNG", None), options, face, face, displayed, {"centerface": report}
        )
        return optimiser._full_frame(optimiser.patches[0], 0)

    small = first(portraits["astronaut"])
    assert small is not None
    assert torch.allclose(small.picture, to_tensor(portraits["astronaut"]))
    assert (small.left, small.top) == (64, 0)
    assert first(np.tile(portraits["astronaut"], (3, 3, 1))) is None

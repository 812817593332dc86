"""The search and torchattacks' attacks, against real detectors."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import pytest
import torch
from torch import Tensor

from cloak import detectors
from cloak.attack.budget import context_mask
from cloak.attack.conditions import Condition, publication_conditions
from cloak.attack.decoys import place_decoys
from cloak.attack.evaluation import encoded_change, evaluate_noise
from cloak.attack.frames import WholeFrame
from cloak.attack.regions import plan_patches
from cloak.attack.search import optimise
from cloak.attack.task import Goals, Schedule, Task
from cloak.attack.torchattacks import ATTACKS, FaceClassifier, run_torchattack
from cloak.attack.transforms import Transform, identity
from cloak.detectors.base import FaceDetector
from cloak.detectors.geometry.matching import merge_faces
from cloak.detectors.geometry.rendering import Affine, Rendering
from cloak.pixels import to_tensor
from cloak.strength import Strength
from provenance.errors import UsageError

torch.set_num_threads(1)


@dataclass(frozen=True)
class Scene:
    """A small portrait: the face is about 60 pixels high."""

    clean: Tensor
    faces: Tensor
    detectors: list[FaceDetector]

    def task(self, levels: float, **more: object) -> Task:
        size = (self.clean.shape[-2], self.clean.shape[-1])
        limit = levels / 255 * context_mask(size, self.faces, 0.25)
        return Task(self.clean, self.faces, limit, **more)  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def scene(portraits: dict[str, np.ndarray]) -> Scene:
    import cv2

    small = cv2.resize(portraits["astronaut"][:256, 96:352], (144, 144), interpolation=cv2.INTER_AREA)
    loaded = [detectors.load("mtcnn"), detectors.load("centerface")]
    clean = to_tensor(small)
    faces = merge_faces([detector.detect(clean)[0] for detector in loaded])
    assert len(faces) == 1
    return Scene(clean, faces, loaded)


AS_IS = [Condition("published", lambda rng: identity(), (identity(),))]


def test_the_ensemble_falls_as_published_and_within_the_limit(scene: Scene) -> None:
    task = scene.task(Strength.HIGH.levels)
    assert not any(evaluate_noise(task, torch.zeros_like(scene.clean), scene.detectors, AS_IS).values())
    result = optimise(task, scene.detectors, AS_IS, schedule=Schedule(steps=60))
    assert result.unresolved_count == 0 and result.steps <= 60
    assert bool((result.noise.abs() <= task.limit + 1e-6).all())
    assert evaluate_noise(task, result.noise, scene.detectors, AS_IS) == result.evaded


def test_a_search_without_evaluations_ends_where_it_is_told_to(scene: Scene) -> None:
    asked: list[Tensor] = []

    def stop_when(noise: Tensor) -> bool:
        asked.append(noise)
        return len(asked) == 2

    schedule = Schedule(steps=12, check_every=0, look_every=3)
    result = optimise(scene.task(12), scene.detectors[1:], AS_IS, schedule=schedule, stop_when=stop_when)
    assert result.steps == 6 and torch.equal(result.noise, asked[1])
    never = optimise(scene.task(12), scene.detectors[1:], AS_IS, schedule=replace(schedule, look_every=0))
    assert never.steps == 12


def _hopeless(scene: Scene) -> Condition:
    """Whatever is changed, detectors are shown the clean picture."""

    def render(given: Rendering) -> Rendering:
        (left, top), (height, width) = given.affine.offset, given.pixels.shape[-2:]
        clean = scene.clean[..., int(top) : int(top) + height, int(left) : int(left) + width]
        return given.with_pixels(clean + 0 * given.pixels)

    clean = Transform("clean", render)
    return Condition("hopeless", lambda rng: clean, (clean,))


def test_a_search_in_which_nothing_falls_stops_after_two_thirds(scene: Scene) -> None:
    schedule = Schedule(steps=18, check_every=0, min_steps=4)
    hopeless = optimise(scene.task(8), scene.detectors, [_hopeless(scene)], schedule=schedule)
    assert hopeless.steps == 12
    one_falls = [*AS_IS, _hopeless(scene)]
    assert optimise(scene.task(30), scene.detectors, one_falls, schedule=schedule).steps == 18


def test_equal_random_noise_does_not_do_it(scene: Scene) -> None:
    """The control: what hides the face is the search, not the amount of noise."""
    task = scene.task(Strength.HIGH.levels)
    generator = torch.Generator().manual_seed(0)
    noise = torch.where(torch.rand(scene.clean.shape, generator=generator) < 0.5, -1.0, 1.0) * task.limit
    assert not any(evaluate_noise(task, noise, scene.detectors, AS_IS).values())


def test_the_same_seed_gives_the_same_noise(scene: Scene) -> None:
    task, conditions = scene.task(8), publication_conditions(90, max_shift=8)
    first, second, other = (
        optimise(task, scene.detectors, conditions, schedule=Schedule(steps=3, seed=seed)).noise
        for seed in (1, 1, 2)
    )
    assert torch.equal(first, second) and not torch.equal(first, other)


def test_grey_tasks_get_grey_noise_and_the_energy_bound_holds(scene: Scene) -> None:
    grey = scene.clean.mean(1, keepdim=True).expand_as(scene.clean)
    task = replace(scene.task(12, grey=True, energy=0.02), clean=grey)
    noise = optimise(task, scene.detectors, AS_IS, schedule=Schedule(steps=4)).noise
    assert torch.allclose(noise[:, 0], noise[:, 1], atol=1e-6)
    x1, y1, x2, y2 = scene.faces[0].round().int().tolist()
    spent = float(noise[..., y1:y2, x1:x2].square().mean().sqrt())
    assert 0.015 < spent <= 0.02 + 1e-4


def test_less_colour_is_the_noise_of_high(scene: Scene) -> None:
    def coloured(share: float) -> float:
        """Change of colour beside change of brightness."""
        task = scene.task(Strength.HIGH.levels, energy=Strength.HIGH.energy, chroma=share)
        noise = optimise(task, scene.detectors, AS_IS, schedule=Schedule(steps=6)).noise
        luma = (noise * torch.tensor([0.299, 0.587, 0.114]).view(1, 3, 1, 1)).sum(1, keepdim=True)
        return float((noise - luma).square().mean().sqrt() / luma.square().mean().sqrt())

    assert Strength.HIGH.chroma < Strength.MID.chroma == 1
    assert coloured(Strength.HIGH.chroma) < 0.6 * coloured(1.0)


def test_decoys_are_raised_where_asked(scene: Scene, portraits: dict[str, np.ndarray]) -> None:
    zones = torch.tensor([[84.0, 84.0, 134.0, 140.0]])
    centerface = scene.detectors[1:]
    limit = torch.full((1, 1, *scene.clean.shape[-2:]), Strength.HIGH.epsilon)
    task = Task(scene.clean, scene.faces, limit, zones=zones)
    result = optimise(task, centerface, AS_IS, goals=Goals(decoy=0.5), schedule=Schedule(steps=40))
    report = centerface[0].detect(scene.clean + result.noise)[0]
    middle = (report.boxes[:, :2] + report.boxes[:, 2:]) / 2
    assert bool(((middle > zones[0, :2]) & (middle < zones[0, 2:])).all(1).any())


def test_decoys_keep_away_from_faces_and_inside_the_picture(portraits: dict[str, np.ndarray]) -> None:
    faces = torch.tensor([[180.0, 62.0, 268.0, 172.0]])
    zones = place_decoys(portraits["astronaut"], faces, 4, seed=3)
    assert 2 <= len(zones) <= 4
    assert bool((zones[:, :2] >= 0).all()) and bool((zones[:, 2:] <= 512).all())
    apart = (zones[:, 0] >= 268) | (zones[:, 2] <= 180) | (zones[:, 1] >= 172) | (zones[:, 3] <= 62)
    assert bool(apart.all())
    assert torch.equal(zones, place_decoys(portraits["astronaut"], faces, 4, seed=3))
    assert len(place_decoys(portraits["astronaut"], faces, 0, seed=3)) == 0


def test_the_classifier_says_face_before_and_has_gradients(scene: Scene) -> None:
    model = FaceClassifier(scene.detectors, scene.faces, classes=4)
    picture = scene.clean.clone().requires_grad_(True)
    logits = model(picture)
    assert logits.shape == (1, 4) and int(logits.argmax()) == 1
    logits[0, 1].backward()
    assert picture.grad is not None and float(picture.grad.abs().sum()) > 0


@pytest.mark.parametrize("name", sorted(ATTACKS))
def test_every_gradient_attack_of_torchattacks_runs_within_the_budget(name: str, scene: Scene) -> None:
    task = scene.task(Strength.HIGH.levels)
    before = FaceClassifier(scene.detectors[1:], scene.faces)
    # the elastic-net attacks return nothing before their own search has succeeded once
    steps = 80 if name.startswith("EAD") or name == "Jitter" else 12
    # Jitter shakes what it goes by: of ten runs of 12 steps six led nowhere, of 80 steps two, others on each processor
    seeds = range(4) if name == "Jitter" else range(1)
    sure = []
    for seed in seeds:
        result = run_torchattack(name, task, scene.detectors[1:], AS_IS, steps=steps, seed=seed)
        assert bool(torch.isfinite(result.noise).all())
        assert bool((result.noise.abs() <= task.limit + 1e-6).all())
        attacked = scene.clean + result.noise
        assert float(attacked.min()) >= 0 and float(attacked.max()) <= 1
        assert ("centerface", "published") in result.evaded
        sure.append(float(before(attacked)[0, 1]))
    # every one of them makes the detector less sure
    assert min(sure) < float(before(scene.clean)[0, 1])


def test_unknown_attacks_are_refused_with_the_list(scene: Scene) -> None:
    for name in ("Square", "nonsense"):
        with pytest.raises(UsageError) as caught:
            run_torchattack(name, scene.task(8), scene.detectors, AS_IS)
        assert "PGD" in caught.value.hint


def test_whole_picture_detectors_meet_the_encoder_and_the_size_before_theirs(scene: Scene) -> None:
    asked: list[int] = []

    def render(change: Tensor, side: int, area: bool = False) -> Rendering:
        asked.append(side)
        pixels = torch.zeros(1, 3, side, side) + change.mean()
        return Rendering(pixels, affine=Affine((side / 512, side / 512)))

    whole_frame = WholeFrame(render, 512)
    task = scene.task(12, whole_frame=whole_frame)
    noise = torch.full_like(task.clean, 3 / 255)
    published, recoded, half = publication_conditions(40)
    assert published.encode is not None and recoded.encode is not None
    change = encoded_change(task, noise, published)
    assert change.shape == noise.shape
    assert (change - noise).abs().max() > 2 / 255  # quality 40 leaves its mark
    assert (
        encoded_change(
            task, noise, Condition("plain", published.random_transform, published.evaluation_transforms)
        )
        is noise
    )
    for condition in (published, recoded, half):
        shown = whole_frame.show(change, 128, condition.downscale)
        assert torch.allclose(shown.boxes(task.faces), task.faces * (asked[-1] / 512))
    assert asked == [128, 128, 256]
    assert replace(whole_frame, display_side=6000).side_for(128, 0.5) == 128  # far more than it uses


def test_a_face_a_little_over_the_wanted_size_is_not_resampled() -> None:
    little, large = torch.tensor([[150.0, 150, 365, 365]]), torch.tensor([[150.0, 150, 750, 750]])
    assert plan_patches((512, 512), little)[0].scale == 1.0
    assert plan_patches((900, 900), large)[0].scale == pytest.approx(208 / 600, abs=0.02)

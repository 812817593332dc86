"""The one-shot swapper: it draws whom it is told to, goes on exactly where it was stopped, and is a judge alone."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from cloak import models
from provenance.errors import UsageError
from synth.measure.attackers import Attacker
from synth.measure.cache import Cache
from synth.measure.lipsync.options import LipsyncExperimentOptions
from synth.measure.oneshot.network import SIDE, OneShot
from synth.measure.oneshot.training import People, teach
from synth.measure.swap.options import SwapExperimentOptions
from synth.measure.swap.plan import estimate_work, seconds_per_one_shot_step
from synth.swap.features import DlibFeatures
from synth.swap.training.data import Bank
from tests.support.clips import film, wandering
from tests.support.swap_faces import Jittered


@pytest.fixture(scope="module")
def network() -> DlibFeatures:
    name = "dlib-face-recognition"
    if models.locate(models.model(name)) is None:
        pytest.skip(f"the weights {name} are not installed: {models.model(name).command}")
    return DlibFeatures(SIDE, "cpu")


@pytest.fixture(scope="module")
def people(portraits: dict[str, np.ndarray], network: DlibFeatures) -> People:
    banks = [Bank.of(Jittered.of(portraits[name], 6, 1), SIDE, "cpu") for name in ("astronaut", "hopper")]
    return People.of(banks, network)


def test_whose_face_is_drawn_comes_from_the_identity_alone() -> None:
    torch.manual_seed(0)
    swapper, filmed = OneShot().eval(), torch.rand(1, 3, SIDE, SIDE)
    first, mask = swapper(filmed, torch.full((1, 128), 0.1))
    second, _ = swapper(filmed, torch.full((1, 128), -0.1))
    assert first.shape == (1, 3, SIDE, SIDE) and mask.shape == (1, 1, SIDE, SIDE)
    assert float(first.detach().min()) >= 0 and float(first.detach().max()) <= 1
    assert float((first - second).abs().mean()) > 1e-3


def test_training_goes_on_exactly_where_it_was_stopped(
    people: People, network: DlibFeatures, tmp_path: Path
) -> None:
    through = teach(people, network, 6, tmp_path / "through.safetensors")
    asked = iter(range(100))
    state = tmp_path / "sliced.safetensors"
    assert teach(people, network, 6, state, stop=lambda: next(asked) >= 3) is None and state.is_file()
    sliced = teach(people, network, 6, state)
    assert through is not None and sliced is not None
    for name, weight in through.state_dict().items():
        assert torch.equal(weight, sliced.state_dict()[name]), name


@pytest.mark.slow
def test_it_learns_to_draw_whom_it_is_told_to(people: People, network: DlibFeatures, tmp_path: Path) -> None:
    """After some steps a face that is told to become the other person's is nearer to theirs, both ways."""
    swapper = teach(people, network, 260, tmp_path / "state.safetensors")
    assert swapper is not None
    for target in (0, 1):
        plain = people.banks[target].plain(slice(0, 4))
        near = []
        for source in (0, 1):
            who = people.embeddings[source].mean(0, keepdim=True).expand(4, -1)
            with torch.no_grad():
                colours, _ = swapper(plain.wanted, who)
                shown = network.embed(plain.wanted.lerp(colours, plain.mask))
            far = [float((shown - one.mean(0)).norm(dim=1).mean()) for one in people.embeddings]
            near.append(far[source] < far[1 - source])
        assert all(near), f"faces of person {target}"


def test_one_person_teaches_nothing(people: People, network: DlibFeatures) -> None:
    with pytest.raises(UsageError, match="1 people"):
        People.of(people.banks[:1], network)


def test_it_is_an_attacker_on_faces_who_knows_what_was_not_attacked() -> None:
    attacker = Attacker.parse("one-shot")
    assert attacker.one_shot and "one published picture" in attacker.sentence
    options = SwapExperimentOptions(attackers=("one-shot", "attacked"))
    assert not set(attacker.detectors) & set(options.attacked)
    with pytest.raises(UsageError, match="swaps faces"):
        LipsyncExperimentOptions(attackers=("one-shot",))


def test_its_plan_counts_one_training_for_all_pictures(
    portraits: dict[str, np.ndarray], network: DlibFeatures, tmp_path: Path
) -> None:
    clip = film(tmp_path / "walk.mp4", wandering(portraits["astronaut"], 30))
    options = SwapExperimentOptions(
        attackers=("one-shot",), seeds=tuple(range(8)), frames=24, held_out=6, side=320, cloak_steps=2, cloak_rounds=1,
        against=("blazeface-back",), veils=("noise",), cloak_seeds=(0,),
    )  # fmt: skip
    few, many = (
        estimate_work(clip, replace(options, one_shot_steps=steps), Cache(tmp_path / "work"))
        for steps in (100, 1100)
    )
    named = [what for what, _ in few.parts]
    assert any(one.startswith("one training of 100 steps, on faces of 2 people") for one in named)
    assert any(one.startswith("measuring it with 24 pictures") for one in named)
    assert not any("trainings" in one for one in named), "no swapper is trained for it"
    a_step = seconds_per_one_shot_step(options, Cache(tmp_path / "work"))
    assert a_step > 0 and many.seconds - few.seconds == pytest.approx(1000 * a_step)

"""Presets, networks, augmentation and losses of the swap generator."""

from __future__ import annotations

import copy
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from cloak.evaluate.quality import ssim
from provenance.errors import NoFaceError, UsageError
from synth.swap.config import (
    PRESETS,
    SIZES,
    Architecture,
    Augmentation,
    LossWeights,
    preset,
    preset_from_json,
)
from synth.swap.model import Generator
from synth.swap.training.augment import augmented, crappified, face_alone
from synth.swap.training.critic import Critic, accuracy, critic_loss
from synth.swap.training.data import Bank
from synth.swap.training.losses import reconstruction, ssim_map
from tests.support.swap_faces import drawn_bank

#: Million numbers that the generator learns, as the documentation states.
_STATED = {"tiny": 2.2, "small": 42.4, "full": 297.3}


@pytest.mark.parametrize("name", PRESETS)
def test_presets_have_the_stated_size_and_survive_json(name: str) -> None:
    chosen = preset(name)
    assert preset_from_json(chosen.to_json()) == chosen
    with torch.device("meta"):
        generator = Generator(chosen.architecture)
    assert sum(one.numel() for one in generator.parameters()) / 1e6 == pytest.approx(_STATED[name], abs=0.06)


def test_unknown_presets_and_absurd_steps_are_refused() -> None:
    with pytest.raises(UsageError, match="huge") as caught:
        preset("huge")
    assert "tiny, small, full" in str(caught.value.hint)
    with pytest.raises(UsageError):
        preset("tiny").with_steps(3)
    assert preset("full").with_steps(None) == preset("full")


@pytest.mark.parametrize(
    "where, value",
    [
        (("architecture", "size"), 100),
        (("architecture", "width"), 10**6),
        (("architecture", "width"), True),
        (("recipe", "rate"), float("nan")),
        (("recipe", "batch"), "many"),
        (("weights", "dssim"), None),
        (("name",), None),
    ],
)
def test_a_strangers_settings_are_checked(where: tuple[str, ...], value: object) -> None:
    data = preset("tiny").to_json()
    inner = data
    for key in where[:-1]:
        inner = inner[key]
    if where == ("name",):
        del inner["name"]
    else:
        inner[where[-1]] = value
    with pytest.raises((ValueError, KeyError, TypeError)):
        preset_from_json(data)


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("residuals", [0, 1])
def test_shapes(size: int, residuals: int) -> None:
    shape = Architecture(size=size, width=4, code=8, residuals=residuals, critic_width=4)
    with torch.device("meta"):
        generator, critic = Generator(shape), Critic(shape)
        pictures = torch.zeros(2, 4, size, size)
    made = generator({"a": pictures, "b": pictures[:1]})
    assert [tuple(one.shape) for one in made["a"]] == [(2, 3, size, size), (2, 1, size, size)]
    assert [tuple(one.shape) for one in made["b"]] == [(1, 3, size, size), (1, 1, size, size)]
    verdict, features = critic(pictures[:, :3], "b")
    assert verdict.shape[0] == 2 and verdict.shape[-1] in (size // 4, size // 8) and len(features) >= 3


def test_people_share_the_encoder_and_nothing_else() -> None:
    torch.manual_seed(0)
    generator = Generator(Architecture(width=4, code=8))
    pictures = torch.rand(2, 4, 64, 64)
    colours, mask = generator({"a": pictures})["a"]
    (colours.mean() + mask.mean()).backward()
    touched = {name for name, weight in generator.named_parameters() if weight.grad is not None}
    assert any(name.startswith("encoder") for name in touched)
    assert any(name.startswith("decoders.a") for name in touched)
    assert not any(name.startswith("decoders.b") for name in touched)
    assert torch.equal(generator.as_person(pictures, "a")[0], colours)
    assert not torch.allclose(generator.as_person(pictures, "b")[0], colours)


def test_the_critic_cannot_change_faster_than_its_input() -> None:
    """Spectral normalization: once its estimate has settled, no layer stretches anything."""
    torch.manual_seed(0)
    critic = Critic(Architecture(critic_width=8)).train()
    with torch.no_grad():
        for weight in critic.parameters():
            weight.mul_(7)
        for _ in range(60):
            critic(torch.rand(1, 3, 64, 64), "a")
    for layer in (*critic.layers, critic.verdict):
        largest = torch.linalg.matrix_norm(layer.weight.detach().flatten(1), ord=2)
        assert float(largest) == pytest.approx(1, abs=0.03)


def test_critic_loss_and_accuracy() -> None:
    good, bad = torch.full((4, 2, 2), 1.5), torch.full((4, 2, 2), -1.5)
    assert float(critic_loss(good, bad)) == 0 and float(accuracy(good, bad)) == 1
    assert float(critic_loss(bad, good)) == 5 and float(accuracy(bad, good)) == 0


def test_without_strength_nothing_is_changed() -> None:
    bank = drawn_bank(0, 4)
    plain = bank.plain()
    still = Augmentation(rotation=0, zoom=0, shift=0, warp=0, flip=0, colour=0, crappify=0)
    made = augmented(plain.wanted, plain.mask, plain.details, still, torch.Generator().manual_seed(0))
    for got, expected in ((made.wanted, plain.wanted), (made.mask, plain.mask), (made.seen, plain.seen)):
        assert torch.allclose(got, expected, atol=1e-4)


def test_mirroring_takes_the_mask_along() -> None:
    plain = drawn_bank(1, 3).plain()
    mirrored = Augmentation(rotation=0, zoom=0, shift=0, warp=0, flip=1.0, colour=0, crappify=0)
    made = augmented(plain.wanted, plain.mask, plain.details, mirrored, torch.Generator().manual_seed(0))
    assert torch.allclose(made.wanted, plain.wanted.flip(-1), atol=1e-4)
    assert torch.allclose(made.mask, plain.mask.flip(-1), atol=1e-4)
    assert torch.allclose(made.seen, plain.seen.flip(-1), atol=1e-4)


@settings(max_examples=12, deadline=None)
@given(st.integers(0, 10_000), st.floats(0, 1), st.floats(0, 0.05), st.floats(0, 1))
def test_augmentation_stays_in_range_and_repeats(
    seed: int, colour: float, warp: float, crappy: float
) -> None:
    plain = drawn_bank(2, 2).plain()
    how = Augmentation(colour=colour, warp=warp, crappify=crappy)
    first, second = (
        augmented(plain.wanted, plain.mask, plain.details, how, torch.Generator().manual_seed(seed))
        for _ in range(2)
    )
    for name in ("seen", "wanted", "mask", "details"):
        one = getattr(first, name)
        assert torch.equal(one, getattr(second, name))
        assert one.isfinite().all() and float(one.min()) >= 0 and float(one.max()) <= 1


def test_only_what_the_encoder_sees_is_distorted() -> None:
    plain = drawn_bank(3, 4).plain()
    calm = Augmentation(rotation=0, zoom=0, shift=0, warp=0, flip=0, colour=0, crappify=0)
    for change in ({"warp": 0.03}, {"crappify": 1.0}):
        made = augmented(
            plain.wanted, plain.mask, plain.details, replace(calm, **change), torch.Generator().manual_seed(1)
        )
        assert torch.allclose(made.wanted, plain.wanted, atol=1e-4)
        assert float((made.seen - plain.seen).abs().mean()) > 0.005


def test_crappified_pictures_lose_detail_and_keep_their_colours() -> None:
    pictures = torch.rand(8, 3, 64, 64)
    worse = crappified(pictures, 1.0, torch.Generator().manual_seed(0))
    step = (worse[..., 1:] - worse[..., :-1]).abs().mean()
    assert float(step) < 0.8 * float((pictures[..., 1:] - pictures[..., :-1]).abs().mean())
    assert float((worse.mean((2, 3)) - pictures.mean((2, 3))).abs().max()) < 0.05


def test_what_is_no_face_is_not_shown_to_the_encoder() -> None:
    pictures, mask = torch.rand(2, 3, 64, 64), torch.zeros(2, 1, 64, 64)
    mask[..., 20:40, 20:40] = 1
    other = torch.where(mask > 0, pictures, torch.rand_like(pictures))
    assert torch.equal(face_alone(pictures, mask), face_alone(other, mask))


def test_the_encoder_is_shown_undistorted_what_is_open() -> None:
    bank = drawn_bank(3, 6)
    how = Augmentation(rotation=0, zoom=0, shift=0, flip=0, warp=0.1, crappify=1)
    made = bank.draw(6, how, torch.Generator().manual_seed(2))
    assert made.seen.shape[1] == 4
    assert torch.equal(made.seen[:, 3:], made.details)
    assert float(made.details.flatten(1).amax(1).min()) > 0.9


def test_ssim_agrees_with_the_other_implementation() -> None:
    draws = np.random.default_rng(0)
    grey = draws.integers(0, 255, (48, 48, 1), dtype=np.uint8).repeat(3, 2)
    other = np.clip(grey.astype(int) + draws.integers(-30, 30, grey.shape[:2])[..., None], 0, 255).astype(
        np.uint8
    )
    first, second = (torch.from_numpy(one).permute(2, 0, 1)[None].float() / 255 for one in (grey, other))
    assert float(ssim_map(first, second).mean()) == pytest.approx(ssim(grey, other), abs=1e-3)


def test_a_perfect_picture_costs_nothing_and_details_count_more() -> None:
    plain = drawn_bank(4, 2).plain()
    hard = replace(plain, mask=(plain.mask > 0.5).float())
    terms = reconstruction(hard.wanted, hard.mask, hard, LossWeights(), None)
    assert all(float(term) == pytest.approx(0, abs=1e-4) for term in terms.values())

    gradients = []
    for where in (plain.details, plain.mask * (1 - plain.details), 1 - plain.mask):
        made = (plain.wanted + 0.1).clamp(0, 0.9).requires_grad_(True)
        reconstruction(made, plain.mask, plain, LossWeights(dssim=0, mask=0), None)["l1"].backward()
        assert made.grad is not None
        gradients.append(float((made.grad.abs() * where).sum() / where.sum()))
    assert gradients[0] > 2 * gradients[1] > 2 * gradients[2]


def test_too_few_faces_are_a_clear_message() -> None:
    with pytest.raises(NoFaceError, match="found 3 faces of one person, of which 2 are to train on"):
        drawn_bank(0, 3).split(0.1)
    learned, held_out = drawn_bank(0, 40).split(0.2)
    assert (len(learned), len(held_out)) == (32, 8)


def test_everybody_in_a_prior_is_held_out_in_part() -> None:
    people = [drawn_bank(seed, count) for seed, count in ((1, 40), (2, 20), (3, 2), (4, 1))]
    learned, held_out = Bank.joined([Bank.joined(people[:2]), *people[2:]]).split(0.1)
    for name in ("pixels", "masks", "details"):
        shown = [getattr(one, name) for one in people]
        assert torch.equal(getattr(held_out, name), torch.cat([shown[0][36:], shown[1][18:], shown[2][1:]]))
        assert torch.equal(
            getattr(learned, name), torch.cat([shown[0][:36], shown[1][:18], shown[2][:1], shown[3]])
        )


def test_drawing_is_by_the_seed() -> None:
    bank = drawn_bank(0, 20)
    first, again, other = (
        bank.draw(4, Augmentation(), torch.Generator().manual_seed(seed)).seen for seed in (1, 1, 2)
    )
    assert torch.equal(first, again) and not torch.equal(first, other)
    assert copy.deepcopy(bank).pixels.equal(bank.pixels), "drawing must not change the faces"

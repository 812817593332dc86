"""How like a photograph a rebuilt face is; one that lies a pixel aside counts as well as one that does not."""

from __future__ import annotations

import itertools

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import affine_grid, grid_sample

from cloak.evaluate.quality import flip
from synth.swap.model import Generator
from synth.swap.training.data import Bank
from synth.swap.training.losses import on_face, ssim_map

#: A face is moved by up to so many pixels, in whole ones and then by halves, to where it fits best.
_REACH = 3
_HALVES = (-0.5, 0.0, 0.5)
#: What :func:`synth.swap.training.losses.ssim_map` leaves off at each edge.
_RIM = 5


@torch.no_grad()
def rebuilt_likeness(generator: Generator, side: str, bank: Bank) -> dict[str, float | None]:
    """Faces that were never learned from, rebuilt by their own person's decoder.

    Returns:
        ``rebuilt ssim``: mean SSIM on the face after registration, at most 1; ``rebuilt flip``: mean FLIP error on the
        face (0: equal), None where ``flip-evaluator`` is not installed.
    """
    generator.eval()
    plain = bank.plain()
    colours, _ = generator.as_person(plain.seen, side)
    made, _ = registered(colours.float(), plain.wanted, plain.mask)
    shown = plain.wanted.lerp(made, plain.mask)
    errors = [
        flip(_pixels(one), _pixels(other))
        for one, other in zip(plain.wanted, on_face(colours.float(), plain), strict=True)
    ]
    shares = plain.mask.mean((1, 2, 3)).clamp_min(1e-6).tolist()
    # outside the face both are the same picture, so the mean over the picture is the face's times its share
    known = [error / share for error, share in zip(errors, shares, strict=True) if error is not None]
    return {
        "rebuilt ssim": float(_on_mask(ssim_map(shown, plain.wanted), plain.mask).mean()),
        "rebuilt flip": float(np.mean(known)) if len(known) == len(errors) and known else None,
    }


def registered(made: Tensor, wanted: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
    """Pictures moved to where they are most like others, by SSIM on the mask.

    Args:
        made, wanted: ``(N, 3, S, S)`` in [0, 1]. mask: ``(N, 1, S, S)`` in [0, 1].

    Returns:
        the moved pictures, and ``(N, 2)`` by how many pixels they were moved, x and y.
    """
    whole = [(float(x), float(y)) for x, y in itertools.product(range(-_REACH, _REACH + 1), repeat=2)]
    moves = _best(made, wanted, mask, [torch.tensor([move]).expand(len(made), 2) for move in whole])
    finer = [moves + torch.tensor([half]) for half in itertools.product(_HALVES, repeat=2)]
    moves = _best(made, wanted, mask, finer)
    return moved(made, moves), moves


def moved(pictures: Tensor, by: Tensor) -> Tensor:
    """Pictures ``(N, 3, S, S)`` shifted by ``(N, 2)`` pixels, x and y; the edge is repeated."""
    side = pictures.shape[-1]
    theta = torch.zeros(len(pictures), 2, 3)
    theta[:, 0, 0] = theta[:, 1, 1] = 1
    theta[:, :, 2] = -2 * by / side
    grid = affine_grid(theta.to(pictures), list(pictures.shape), align_corners=False)
    return grid_sample(pictures, grid, padding_mode="border", align_corners=False)


def _best(made: Tensor, wanted: Tensor, mask: Tensor, moves: list[Tensor]) -> Tensor:
    """Of each picture the move that makes it most like; of equal ones the first with the least distance."""
    moves = sorted(moves, key=lambda move: float(move.abs().sum()))
    likeness = torch.stack(
        [_on_mask(ssim_map(wanted.lerp(moved(made, move), mask), wanted), mask) for move in moves]
    )
    best = (likeness.cpu() - 1e-6 * torch.arange(len(moves))[:, None]).argmax(0)
    return torch.stack(moves)[best, torch.arange(len(made))]


def _on_mask(values: Tensor, mask: Tensor) -> Tensor:
    inner = mask[..., _RIM:-_RIM, _RIM:-_RIM]
    return (values.mean(1, keepdim=True) * inner).sum((1, 2, 3)) / inner.sum((1, 2, 3)).clamp_min(1e-6)


def _pixels(picture: Tensor) -> np.ndarray:
    return np.ascontiguousarray((picture.permute(1, 2, 0).clamp(0, 1) * 255).round().byte().cpu().numpy())

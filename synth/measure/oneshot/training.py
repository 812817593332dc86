"""Teach the one-shot swapper on some people's faces, in slices."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor
from torch.nn.functional import avg_pool2d

from provenance.errors import CorruptMediaError, UsageError
from synth.measure.oneshot.network import SIDE, OneShot
from synth.swap.features import DlibFeatures
from synth.swap.training.checkpoint import flattened, load, prefixed, restore, save, unprefixed
from synth.swap.training.data import Bank

_SCHEMA = "veilmark.one-shot-state/1"
_RATE, _BATCH, _SAVE_EVERY = 2e-3, 8, 50
#: What each part of the error counts: the same person's picture, whose face it is, the mask, and, with another's face,
#: light and pose as a picture of 8 x 8 shows them.
_SAME, _WHO, _MASK, _LIGHT = 4.0, 1.0, 1.0, 2.0


@dataclass
class People:
    """Faces to learn from: for each person a bank of aligned faces and the embeddings of these."""

    banks: list[Bank]
    embeddings: list[Tensor]

    @classmethod
    def of(cls, banks: Sequence[Bank], network: DlibFeatures) -> People:
        """Embeddings are of the aligned faces as they are.

        Raises:
            UsageError: fewer than two people.
        """
        if len(banks) < 2:
            raise UsageError(f"{len(banks)} people, expected two or more to tell apart")
        with torch.no_grad():
            vectors = [
                torch.cat(
                    [network.embed(bank.pictures(slice(at, at + 16))) for at in range(0, len(bank), 16)]
                )
                for bank in banks
            ]
        return cls(list(banks), vectors)


def teach(
    people: People,
    network: DlibFeatures,
    steps: int,
    file: Path,
    *,
    seed: int = 0,
    device: str = "cpu",
    stop: Callable[[], bool] = lambda: False,
    progress: Callable[[float], None] = lambda _: None,
) -> OneShot | None:
    """Train, or go on where an earlier slice was stopped.

    Args:
        network: tells whose face is drawn; what judges later is another.
        file: state between slices.

    Returns:
        the swapper, or None where ``stop`` ended the slice.
    """
    torch.manual_seed(seed)
    model = OneShot().to(device).train()
    optimizer = torch.optim.Adam(model.parameters(), lr=_RATE, betas=(0.5, 0.99))
    at = _resumed(model, optimizer, file)
    while at < steps:
        draws = torch.Generator().manual_seed(seed * 1_000_003 + at)
        optimizer.param_groups[0]["lr"] = _RATE * min(1.0, (at + 1) / 20) * (1.0 if at < 0.7 * steps else 0.3)
        loss = _error(model, people, network, draws)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(model.parameters(), 5.0)
        optimizer.step()
        at += 1
        progress(at / steps)
        if at % _SAVE_EVERY == 0 or at == steps or stop():
            _save(model, optimizer, at, file)
            if at < steps and stop():
                return None
    return model.eval().requires_grad_(False)


def _error(model: OneShot, people: People, network: DlibFeatures, draws: torch.Generator) -> Tensor:
    def whole(below: int) -> int:
        return int(torch.randint(below, (1,), generator=draws))

    filmed, wanted, masks, who, same = [], [], [], [], []
    for place in range(_BATCH):
        target = whole(len(people.banks))
        source = target if place % 2 else (target + 1 + whole(len(people.banks) - 1)) % len(people.banks)
        bank, face = people.banks[target], whole(len(people.banks[target]))
        plain = bank.plain(slice(face, face + 1))
        wanted.append(plain.wanted)
        masks.append(plain.mask)
        filmed.append(plain.wanted)
        vectors = people.embeddings[source]
        who.append(vectors[whole(len(vectors))])
        same.append(source == target)
    truth, mask, identity = torch.cat(wanted), torch.cat(masks), torch.stack(who)
    colours, shape = model(torch.cat(filmed), identity)
    shown = truth.lerp(colours, mask)
    own = torch.tensor(same, device=truth.device)
    error = (shown - truth).abs().mean((1, 2, 3)) / mask.mean((1, 2, 3)).clamp_min(1e-3)
    loss = _SAME * error[own].mean() + _MASK * (shape - mask).abs().mean()
    light = (avg_pool2d(shown, SIDE // 8) - avg_pool2d(truth, SIDE // 8)).abs().mean((1, 2, 3))
    loss = loss + _LIGHT * light[~own].mean()
    total: Tensor = loss + _WHO * (network.embed(shown) - identity).square().sum(1).mean()
    return total


def _save(model: OneShot, optimizer: torch.optim.Adam, at: int, file: Path) -> None:
    """Everything that the next step depends on."""
    tensors = {**prefixed("model", model.state_dict()), **flattened("optimizer", optimizer)}
    save(file, tensors, _SCHEMA, {"at": at})


def _resumed(model: OneShot, optimizer: torch.optim.Adam, file: Path) -> int:
    """The step at which a slice was stopped; 0 without one, or where it cannot be read."""
    if not file.is_file():
        return 0
    try:
        tensors, about = load(file, _SCHEMA)
        model.load_state_dict(unprefixed("model", tensors))
        restore("optimizer", optimizer, tensors)
        return int(about["at"])
    except (CorruptMediaError, KeyError, ValueError, TypeError, RuntimeError):
        return 0

"""From what others taught to one person, without gradients: some seconds of footage are too few for them.

The network stays as it is. What it answers from its 60 units to the person's own components is solved in closed form:
ridge regression towards the answers that it had, so that much footage says how this person speaks, little footage
changes little, and none leaves the mouth of the others, moved to the person's place.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from provenance.errors import UsageError
from synth.lipsync.mouth_model import MouthModel, MouthOptions
from synth.lipsync.mouth_train import Clip, begun, mean_mouth

#: What the package brings: taught by a machine's voice and a mouth of nobody, see ``benchmarks/mouth_prior.py``.
PRIOR = Path(__file__).with_name("mouth-prior.safetensors")
#: How much the answers resist the footage: as many steps of 10 ms, at units that swing by 1.
SOFTNESS = 270.0


def adapt_mouth(
    clips: Sequence[Clip], start: MouthModel, options: MouthOptions | None = None, softness: float = SOFTNESS
) -> MouthModel:
    """The mouth of a person.

    Args:
        clips: of the person.
        start: what others taught.
        options: of them, the number of components counts; the network is that of ``start``.
        softness: see :data:`SOFTNESS`; 0 or more.

    Raises:
        UsageError: no step shows the mouth.
    """
    if sum(int(one.seen.sum()) for one in clips) < 2:
        raise UsageError(
            "no frame shows the mouth while there is sound", hint="name footage that shows the face"
        )
    model = begun(clips, options or start.options, start)
    heard = np.concatenate([units(model, one.features)[one.seen] for one in clips])
    missed = np.concatenate(
        [
            model.coefficients(one.shapes - mean_mouth(one) + model.mean)[one.seen]
            - model.coefficients(model.predict_steps(one.features))[one.seen]
            for one in clips
        ]
    )
    usual = heard.mean(0)
    centred = heard - usual
    gram = centred.T @ centred + max(softness, 1e-9) * np.eye(centred.shape[1])
    more = np.linalg.solve(gram, centred.T @ (missed - missed.mean(0)))
    with torch.no_grad():
        model.net.out.weight.add_(torch.from_numpy(more.T).float())
        model.net.out.bias.add_(torch.from_numpy(missed.mean(0) - usual @ more).float())
    model.net.eval()
    steps = sum(int(one.seen.sum()) for one in clips)
    model.notes = {"adapted": True, "finished": True, "seconds": round(steps / 100, 2), "epochs": 0}
    if "consent" in start.notes:
        model.notes["consent"] = start.notes["consent"]
    return model


@torch.no_grad()
def units(model: MouthModel, features: NDArray[np.floating]) -> NDArray[np.float64]:
    """``(N, units)``: what the LSTM says where :meth:`MouthModel.predict_steps` gives step N."""
    model.net.eval()
    delay = model.options.delay
    longer = model.standardised(np.concatenate([features, np.repeat(features[-1:], delay, axis=0)]))
    said, _ = model.net.lstm(torch.from_numpy(longer)[None].to(next(model.net.parameters()).device))
    return np.asarray(said[0, delay:].double().cpu().numpy())


def at_rest(
    shapes: NDArray[np.floating], quiet: NDArray[np.bool_], rest: NDArray[np.floating], pause: int = 25
) -> NDArray[np.float64]:
    """Shapes ``(N, 36)`` at 100 Hz that come to rest in pauses.

    A person who smiles in pauses teaches the mouth that silence is a smile, and another sound's pauses would move it.

    Args:
        quiet: ``(N,)`` of :func:`synth.lipsync.audio.silent`.
        rest: ``(36,)`` the mouth at rest.
        pause: of so many steps or more.
    """
    weight = np.zeros(len(shapes))
    edges = np.flatnonzero(np.diff(np.concatenate([[0], quiet[: len(shapes)].astype(np.int8), [0]])))
    for first, end in zip(edges[::2].tolist(), edges[1::2].tolist(), strict=True):
        if end - first >= pause:
            weight[first:end] = 1
    window = np.hanning(19)[1:-1]
    soft = np.convolve(np.pad(weight, 8, mode="edge"), window / window.sum(), "valid")[:, None]
    return np.asarray(shapes * (1 - soft) + rest * soft)

"""From what others taught to one person, without gradients: some seconds of footage are too few for them.

The network stays as it is. The person's own components are read from its 60 units, from the features 120 ms around, and
from the expression of the upper face, all at once and in closed form: ridge regression towards a share of the answers
that the network had. What no sound and no expression tells stays at the person's mean mouth.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from provenance.errors import UsageError
from synth.lipsync.mouth.model import WINDOW, MouthModel, MouthOptions
from synth.lipsync.mouth.train import SpeechClip, begun, mean_mouth

#: What the package brings: taught by a machine's voice and a mouth of nobody, see ``benchmarks/synth/mouth_prior.py``.
PRIOR = Path(__file__).with_name("mouth-prior.safetensors")
#: How much the answers resist the footage: as many steps of 10 ms, at units that swing by 1; and what share of it where
#: they are read from the features around and from the upper face.
SOFTNESS = 270.0
_WINDOW_SHARE, _UPPER_SHARE = 4 / 9, 2 / 27
#: The share that is kept of what others taught. More follows strangers' voices better, less the person's own.
TRUST = 0.6


def adapt_mouth(
    clips: Sequence[SpeechClip],
    start: MouthModel,
    options: MouthOptions | None = None,
    softness: float = SOFTNESS,
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
    seen = all(one.upper is not None for one in clips)
    parts = [_known(model, one, seen)[one.seen] for one in clips]
    known = np.concatenate(parts)
    missed = np.concatenate(
        [
            model.coefficients(one.shapes - mean_mouth(one) + model.mean)[one.seen]
            - TRUST * model.coefficients(model.predict_steps(one.features))[one.seen]
            for one in clips
        ]
    )
    usual = known.mean(0)
    centred = known - usual
    count = model.options.units * (2 if model.options.bidirectional else 1)
    resists = np.full(known.shape[1], max(softness, 1e-9))
    resists[count : count + WINDOW] *= _WINDOW_SHARE
    resists[count + WINDOW :] *= _UPPER_SHARE
    more = np.linalg.solve(centred.T @ centred + np.diag(resists), centred.T @ (missed - missed.mean(0)))
    with torch.no_grad():
        model.net.out.weight.mul_(TRUST).add_(torch.from_numpy(more[:count].T).float())
        model.net.out.bias.mul_(TRUST).add_(torch.from_numpy(missed.mean(0) - usual @ more).float())
    model.window = more[count : count + WINDOW]
    model.upper = more[count + WINDOW :] if seen else None
    model.net.eval()
    steps = sum(int(one.seen.sum()) for one in clips)
    model.notes = {"adapted": True, "finished": True, "seconds": round(steps / 100, 2), "epochs": 0}
    if "consent" in start.notes:
        model.notes["consent"] = start.notes["consent"]
    return model


def _known(model: MouthModel, clip: SpeechClip, seen: bool) -> NDArray[np.float64]:
    """``(N, K)``: all that the answers are read from."""
    parts = [units(model, clip.features), model.around(clip.features)]
    return np.hstack([*parts, clip.upper] if seen and clip.upper is not None else parts)


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
        quiet: ``(N,)`` of :func:`synth.lipsync.mouth.audio.silent`.
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

"""Adapt a mouth model that was trained on other people to one person, in closed form.

Some seconds of footage are too few to train the network by gradients, so its weights stay fixed. One ridge regression
predicts the person's components from the network's 60 units, the features within 120 ms, and the expression of the
upper face. It shrinks towards a share of the network's own answers. What neither sound nor expression predicts stays at
the person's mean mouth.
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

#: The model in the package, trained on synthetic speech and drawn mouths: see ``benchmarks/synth/mouth_prior.py``.
PRIOR = Path(__file__).with_name("mouth-prior.safetensors")
#: Strength of the ridge, in steps of 10 ms for units with a standard deviation of 1; and the share of it for the
#: features around and the upper face.
SOFTNESS = 270.0
_WINDOW_SHARE, _UPPER_SHARE = 4 / 9, 2 / 27
#: The share of the network's answers that is kept. More follows other voices better, less the person's own.
TRUST = 0.6


def adapt_mouth(
    clips: Sequence[SpeechClip],
    start: MouthModel,
    options: MouthOptions | None = None,
    softness: float = SOFTNESS,
) -> MouthModel:
    """The mouth model of a person.

    Args:
        clips: of the person.
        start: the model of other people.
        options: only the number of components is used; the network is that of ``start``.
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
    """``(N, K)``: the regression's inputs."""
    parts = [units(model, clip.features), model.around(clip.features)]
    return np.hstack([*parts, clip.upper] if seen and clip.upper is not None else parts)


@torch.no_grad()
def units(model: MouthModel, features: NDArray[np.floating]) -> NDArray[np.float64]:
    """``(N, units)``: the LSTM's outputs, delayed as in :meth:`~synth.lipsync.mouth.model.MouthModel.predict_steps`."""
    model.net.eval()
    delay = model.options.delay
    longer = model.standardised(np.concatenate([features, np.repeat(features[-1:], delay, axis=0)]))
    said, _ = model.net.lstm(torch.from_numpy(longer)[None].to(next(model.net.parameters()).device))
    return np.asarray(said[0, delay:].double().cpu().numpy())


def at_rest(
    shapes: NDArray[np.floating], quiet: NDArray[np.bool_], rest: NDArray[np.floating], pause: int = 25
) -> NDArray[np.float64]:
    """Shapes ``(N, 36)`` at 100 Hz, with the mouth at rest in pauses.

    The model of a person who smiles in pauses maps silence to a smile, which would show in another sound's pauses.

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

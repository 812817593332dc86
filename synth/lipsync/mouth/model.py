"""Features to the shape of the mouth: the network, its units, and its file.

A mouth is 18 lip points (36 numbers, x and y in turn), as :mod:`synth.lipsync.shape` gives them: seen from the front,
at one scale. It is encoded as 20 principal components about the person's mean. One LSTM reads the features and outputs
the components with a delay of 200 ms (section 4.2 of "Synthesizing Obama"), because mouths move before the sound.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from provenance.errors import CorruptMediaError, UsageError
from synth.lipsync.mouth.audio import FEATURE_RATE, FEATURES, feature_times
from synth.lipsync.mouth.expression import NUMBERS
from synth.swap.training.checkpoint import load, prefixed, save, unprefixed

POINTS = 18
SHAPE = 2 * POINTS
#: Steps between the earlier features that are read with the present one.
CONTEXT_STEP = 4
#: Steps around the present one whose features a person's regression uses, and the number of those features.
MOMENTS = tuple(range(-12, 13, 4))
WINDOW = len(MOMENTS) * FEATURES // 2
SCHEMA = "veilmark.mouth-model/2"
#: Tensors that only a person's model has.
_OWN = ("window", "upper")
_HINT = "delete it, so that it is trained again"
_LIMITS: dict[str, tuple[float, float]] = {
    "delay": (0, 100),
    "units": (4, 1024),
    "layers": (1, 4),
    "coefficients": (1, SHAPE),
    "context": (0, 25),
    "sequence": (20, 1000),
    "batch": (1, 1000),
    "epochs": (1, 10_000),
    "rate": (1e-7, 1.0),
    "clip": (1e-3, 1e6),
    "stride": (1, 1000),
    "noise": (0.0, 2.0),
    "dropout": (0.0, 0.9),
    "held_out": (0.0, 0.5),
    "seed": (0, 2**31 - 1),
}


@dataclass(frozen=True)
class MouthOptions:
    """The network's architecture, which is the paper's, and its training, which suits short footage. The paper trains
    on 17 hours for 300 epochs without context, noise or dropout; some seconds of footage would be overfitted.

    Attributes:
        delay: of the output after the sound, in steps of 10 ms.
        units, layers, bidirectional: of the LSTM.
        coefficients: principal components that are kept.
        context: how many earlier features are input together with the present one, four steps apart. Short footage
            does not teach the network to remember 200 ms, as the paper's 17 hours do.
        sequence, batch: steps of a training sequence, and sequences in a batch.
        rate, clip: Adam's learning rate, and the norm to which gradients are clipped.
        epochs: passes over the sequences.
        stride: steps between the starts of sequences; each pass begins at another offset.
        noise: standard deviation of the noise added to the standardised features in training.
        dropout: of the LSTM's outputs in training.
        held_out: share of each clip, at its end, for choosing the best epoch; 0 takes the last epoch.
        seed: of everything random.
    """

    delay: int = 20
    units: int = 60
    layers: int = 1
    bidirectional: bool = False
    coefficients: int = 20
    context: int = 5
    sequence: int = 100
    batch: int = 100
    rate: float = 1e-3
    clip: float = 10.0
    epochs: int = 100
    stride: int = 5
    noise: float = 1.0
    dropout: float = 0.5
    held_out: float = 0.0
    seed: int = 0

    def check(self) -> None:
        """Raise UsageError for values that make no sense."""
        for name, (low, high) in _LIMITS.items():
            value = getattr(self, name)
            if isinstance(value, bool) or not low <= value <= high:
                raise UsageError(f"{name} is {str(value)[:40]}, expected {low:g} to {high:g}")
        if self.delay >= self.sequence:
            raise UsageError(f"a delay of {self.delay} steps leaves nothing of sequences of {self.sequence}")

    @classmethod
    def from_json(cls, data: Any) -> MouthOptions:
        """Of :func:`asdict`'s; ValueError, TypeError or UsageError where it is something else."""
        options = cls(**data)
        for name, value in asdict(cls()).items():
            if type(getattr(options, name)) is not type(value):
                raise ValueError(f"{name} is no {type(value).__name__}")
        options.check()
        return options


class MouthNet(nn.Module):
    """``(B, T, 28)`` standardised features to ``(B, T, coefficients)``; output step t is for input step t - delay."""

    def __init__(self, options: MouthOptions) -> None:
        super().__init__()
        self.lstm = nn.LSTM(
            FEATURES * (options.context + 1),
            options.units,
            options.layers,
            batch_first=True,
            bidirectional=options.bidirectional,
            dropout=options.dropout if options.layers > 1 else 0.0,
        )
        self.out = nn.Linear(options.units * (2 if options.bidirectional else 1), options.coefficients)
        self.dropout = options.dropout

    def forward(self, features: Tensor) -> Tensor:
        heard, _ = self.lstm(features)
        heard = nn.functional.dropout(heard, self.dropout, self.training)
        return self.out(heard)  # type: ignore[no-any-return]


@dataclass
class MouthModel:
    """A network and the scales of its input and output.

    Attributes:
        options: how it was made.
        net: the network, in eval mode.
        basis: ``(coefficients, 36)`` principal components, rows of length 1, over all people it learned from.
        scale: one number; components are divided by it.
        mean: ``(36,)`` the person's mean mouth.
        heard_mean, heard_scale: ``(28,)`` of the features it learned from.
        notes: epochs, errors, consent, footage: for people, and for the label.
        window: ``(98, coefficients)``, what the features from -120 to +120 ms add to the network's output; of a person.
        upper: ``(12, coefficients)``, what the upper face adds, see :mod:`synth.lipsync.mouth.expression`; of a person.
    """

    options: MouthOptions
    net: MouthNet
    basis: NDArray[np.float64]
    scale: float
    mean: NDArray[np.float64]
    heard_mean: NDArray[np.float64]
    heard_scale: NDArray[np.float64]
    notes: dict[str, Any] = field(default_factory=dict)
    window: NDArray[np.float64] | None = None
    upper: NDArray[np.float64] | None = None

    def coefficients(self, shapes: NDArray[np.floating]) -> NDArray[np.float64]:
        """``(N, 36)`` shapes to ``(N, coefficients)``, scaled."""
        return np.asarray((np.asarray(shapes, np.float64) - self.mean) @ self.basis.T / self.scale)

    def shapes(self, coefficients: NDArray[np.floating]) -> NDArray[np.float64]:
        """The inverse of :meth:`coefficients`."""
        return np.asarray(np.asarray(coefficients, np.float64) @ self.basis * self.scale + self.mean)

    def standardised(self, features: NDArray[np.floating]) -> NDArray[np.float32]:
        """``(N, 28 * (context + 1))``: the network's input, with earlier features, clipped at 8 standard
        deviations.
        """
        now = self._now(features)
        reach = CONTEXT_STEP * self.options.context
        padded = np.concatenate([np.repeat(now[:1], reach, axis=0), now])
        return np.hstack(
            [padded[reach - back : len(padded) - back] for back in range(0, reach + 1, CONTEXT_STEP)]
        )

    def around(self, features: NDArray[np.floating]) -> NDArray[np.float64]:
        """``(N, 98)``: the standardised features (without their differences) at seven moments, 40 ms apart."""
        now = self._now(features)[:, : FEATURES // 2].astype(np.float64) / np.sqrt(len(MOMENTS))
        reach = max(MOMENTS)
        padded = np.pad(now, ((reach, reach), (0, 0)), mode="edge")
        return np.hstack([padded[reach + at : len(padded) - reach + at] for at in MOMENTS])

    def expressed(self, seen: NDArray[np.floating]) -> NDArray[np.float64]:
        """``(T, 36)``: the lips' displacement by expressions ``(T, 12)``; 0 where the model has none."""
        if self.upper is None:
            return np.zeros((len(seen), SHAPE))
        return np.asarray(np.asarray(seen, np.float64) @ self.upper @ self.basis * self.scale)

    def _now(self, features: NDArray[np.floating]) -> NDArray[np.float32]:
        values = (np.asarray(features, np.float64) - self.heard_mean) / self.heard_scale
        return np.clip(values, -8, 8).astype(np.float32)

    @torch.no_grad()
    def predict_steps(self, features: NDArray[np.floating]) -> NDArray[np.float64]:
        """``(N, 28)`` features at 100 Hz to ``(N, 36)`` shapes at 100 Hz.

        Raises:
            UsageError: features of another width.
        """
        if features.ndim != 2 or features.shape[1] != FEATURES or not len(features):
            raise UsageError(f"found features of shape {features.shape}, expected (N, {FEATURES})")
        # the last feature is repeated, so that the delayed outputs of the last steps are computed
        longer = np.concatenate([features, np.repeat(features[-1:], self.options.delay, axis=0)])
        padded = self.standardised(longer)
        self.net.eval()
        device = next(self.net.parameters()).device
        answer = self.net(torch.from_numpy(padded)[None].to(device))[0, self.options.delay :]
        told = answer.double().cpu().numpy()
        return self.shapes(told if self.window is None else told + self.around(features) @ self.window)

    def predict(self, features: NDArray[np.floating], times: NDArray[np.floating]) -> NDArray[np.float64]:
        """``(T, 36)`` shapes at the frames' ``times`` (seconds of the sound)."""
        return resampled(self.predict_steps(features), feature_times(len(features)), times)

    def of_person(self, shapes: NDArray[np.floating]) -> MouthModel:
        """The model about another person's mean mouth; the network is shared."""
        seen = np.asarray(shapes, np.float64)
        seen = seen[~np.isnan(seen).any(1)]
        if not len(seen):
            raise UsageError("no frame shows this person's mouth", hint="name footage that shows the face")
        return replace(self, mean=seen.mean(0), notes=dict(self.notes))


def resampled(
    series: NDArray[np.floating], times: NDArray[np.floating], wanted: NDArray[np.floating]
) -> NDArray[np.float64]:
    """``(N, K)`` at ``times`` to ``(M, K)`` at ``wanted``: linear between, constant beyond."""
    return np.stack([np.interp(wanted, times, column) for column in np.asarray(series, np.float64).T], axis=1)


def save_mouth(path: Path, model: MouthModel) -> None:
    """Write a model as safetensors, with its options as JSON inside."""
    numbers = {
        "basis": model.basis,
        "mean": model.mean,
        "heard_mean": model.heard_mean,
        "heard_scale": model.heard_scale,
    }
    numbers |= {name: one for name in _OWN if (one := getattr(model, name)) is not None}
    tensors = prefixed("net", dict(model.net.state_dict()))
    tensors |= {name: torch.from_numpy(np.ascontiguousarray(one)) for name, one in numbers.items()}
    save(
        path, tensors, SCHEMA, {"options": asdict(model.options), "scale": model.scale, "notes": model.notes}
    )


def load_mouth(path: Path, device: Any = "cpu") -> MouthModel:
    """Read what :func:`save_mouth` wrote.

    Raises:
        MissingPathError: there is none. CorruptMediaError: it is no mouth model, or damaged.
    """
    tensors, about = load(path, SCHEMA)
    try:
        options = MouthOptions.from_json(about["options"])
        net = MouthNet(options)
        net.load_state_dict(unprefixed("net", tensors))
        numbers = {name: tensors[name].numpy() for name in ("basis", "mean", "heard_mean", "heard_scale")}
        wanted = {"basis": (options.coefficients, SHAPE), "mean": (SHAPE,)}
        wanted |= {"heard_mean": (FEATURES,), "heard_scale": (FEATURES,)}
        wanted |= {"window": (WINDOW, options.coefficients), "upper": (NUMBERS, options.coefficients)}
        numbers |= {name: tensors[name].numpy() for name in _OWN if name in tensors}
        for name in numbers:
            shape = wanted[name]
            if numbers[name].shape != shape or numbers[name].dtype != np.float64:
                raise ValueError(f"{name} has shape {numbers[name].shape}, expected {shape}")
        scale = float(about["scale"])
        finite = all(bool(one.isfinite().all()) for one in tensors.values())
        if not finite or not 0 < scale < 1e9 or (numbers["heard_scale"] <= 0).any():
            raise ValueError("numbers that are not finite, or scales that are not positive")
        notes = about["notes"] if isinstance(about["notes"], dict) else {}
        return MouthModel(options, net.to(device).eval(), scale=scale, notes=notes, **numbers)
    except (ValueError, KeyError, TypeError, RuntimeError, UsageError) as error:
        raise CorruptMediaError(f"{path} is no mouth model: {str(error)[:200]}", hint=_HINT) from error


def steps_of(
    shapes: NDArray[np.floating], times: NDArray[np.floating], count: int
) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """Shapes of frames brought to the features' 100 Hz.

    Args:
        shapes: ``(T, 36)``, NaN where there is no face.
        times: ``(T,)`` seconds.
        count: how many features there are.

    Returns:
        ``(count, 36)``, and ``(count,)``: where both neighbouring frames showed the mouth.
    """
    seen = ~np.isnan(np.asarray(shapes)).any(1)
    moments = feature_times(count)
    if seen.sum() < 2:
        return np.zeros((count, SHAPE)), np.zeros(count, bool)
    found, at = np.asarray(shapes)[seen], np.asarray(times)[seen]
    usual = float(np.median(np.diff(np.asarray(times))))
    after = np.clip(np.searchsorted(at, moments), 1, len(at) - 1)
    near = at[after] - at[after - 1] < 1.6 * usual
    inside = (moments >= at[0] - 0.5 / FEATURE_RATE) & (moments <= at[-1] + 0.5 / FEATURE_RATE)
    return resampled(found, at, moments), np.asarray(near & inside)

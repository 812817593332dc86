"""The training loop of the mouth's network.

A stopped run resumes exactly: the checkpoint holds weights, optimiser state, random state and epoch. On the same
    machine
the result equals that of a run that was never stopped.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from provenance.errors import CorruptMediaError, MissingPathError, UsageError
from synth.lipsync.mouth.audio import FEATURES, feature_times
from synth.lipsync.mouth.model import SHAPE, MouthModel, MouthNet, MouthOptions, resampled, steps_of
from synth.swap.training.checkpoint import flattened, load, prefixed, restore, save, unprefixed

RUN_SCHEMA = "veilmark.mouth-run/1"
_LOOK_EVERY = 5
_SAVE_EVERY = 25
Progress = Callable[[float], None]


@dataclass(frozen=True)
class SpeechClip:
    """One person's sound and mouth, side by side at 100 Hz.

    Attributes:
        features: ``(N, 28)``. shapes: ``(N, 36)``. seen: ``(N,)``, where the shape is known.
        also: ``(N, E)``, a further target of the network (which phoneme is said), so that its features become
            phonetic. It takes the place of the last E coefficients, whose components are zero and move no lip. All
            clips have it, or none.
        upper: ``(N, 12)``, the upper face's expression, see :mod:`synth.lipsync.mouth.expression`; for a person's own
        mouth.
    """

    features: NDArray[np.float32]
    shapes: NDArray[np.float64]
    seen: NDArray[np.bool_]
    also: NDArray[np.float32] | None = None
    upper: NDArray[np.float64] | None = None

    @classmethod
    def of(
        cls,
        features: NDArray[np.float32],
        shapes: NDArray[np.floating],
        times: NDArray[np.floating],
        upper: NDArray[np.floating] | None = None,
    ) -> SpeechClip:
        """From features at 100 Hz and the shapes (and expressions) of frames at their times."""
        seen = None if upper is None else resampled(upper, times, feature_times(len(features)))
        return cls(features, *steps_of(shapes, times, len(features)), upper=seen)

    def part(self, start: float, end: float) -> SpeechClip:
        """The part between two shares of its length."""
        use = slice(round(start * len(self.features)), round(end * len(self.features)))
        also = None if self.also is None else self.also[use]
        upper = None if self.upper is None else self.upper[use]
        return SpeechClip(self.features[use], self.shapes[use], self.seen[use], also, upper)


@dataclass
class _Learning:
    """Training data: standardised features, target coefficients, and which steps count."""

    heard: Tensor
    wanted: Tensor
    counts: Tensor


class _Run:
    """The state of a run that a checkpoint holds."""

    def __init__(self, model: MouthModel, device: Any) -> None:
        self.model, self.device = model, torch.device(device)
        model.net.to(self.device)
        self.optimizer = torch.optim.Adam(model.net.parameters(), lr=model.options.rate)
        self.random = torch.Generator().manual_seed(model.options.seed)
        self.epoch, self.best, self.best_epoch = 0, float("inf"), 0
        self.kept = {name: one.clone() for name, one in model.net.state_dict().items()}
        self.history: list[tuple[int, float, float]] = []

    def keep(self) -> None:
        self.kept = {name: one.clone() for name, one in self.model.net.state_dict().items()}

    def save(self, path: Path, identity: dict[str, Any]) -> None:
        tensors = prefixed("net", dict(self.model.net.state_dict())) | prefixed("kept", self.kept)
        tensors |= flattened("adam", self.optimizer)
        tensors["random"] = self.random.get_state()
        # dropout draws from torch's own generator
        tensors["global_random"] = torch.get_rng_state()
        best = self.best if np.isfinite(self.best) else None
        about = {"epoch": self.epoch, "best": best, "best_epoch": self.best_epoch, "history": self.history}
        save(path, tensors, RUN_SCHEMA, about | {"identity": identity})

    def resume(self, path: Path, identity: dict[str, Any]) -> bool:
        """Go on from a checkpoint of the same run; False where there is none, or one of another run."""
        try:
            tensors, about = load(path, RUN_SCHEMA)
            if about.get("identity") != identity:
                return False
            self.model.net.load_state_dict(unprefixed("net", tensors))
            self.kept = {name: one.to(self.device) for name, one in unprefixed("kept", tensors).items()}
            restore("adam", self.optimizer, tensors)
            self.random.set_state(tensors["random"])
            torch.set_rng_state(tensors["global_random"])
            self.epoch, self.best_epoch = int(about["epoch"]), int(about["best_epoch"])
            self.best = float("inf") if about["best"] is None else float(about["best"])
            self.history = [(int(a), float(b), float(c)) for a, b, c in about["history"]]
        except (MissingPathError, CorruptMediaError, KeyError, ValueError, TypeError, RuntimeError):
            return False
        return True


def train_mouth(
    clips: Sequence[SpeechClip],
    options: MouthOptions,
    *,
    start: MouthModel | None = None,
    checkpoint: Path | None = None,
    stop: Callable[[], bool] | None = None,
    progress: Progress | None = None,
    device: Any = "cpu",
) -> MouthModel:
    """Train a mouth model.

    Args:
        clips: of one person or several. Each clip's shapes are about its own mean mouth; the model has the last
            clip's: for another person see :meth:`~synth.lipsync.mouth.model.MouthModel.of_person`.
        options: see :class:`MouthOptions`.
        start: a model to fine-tune; its components, scales and architecture are kept.
        checkpoint: file of the run's state; an existing one of the same run is resumed.
        stop: called after each epoch; if true, the state is saved and the present model is returned with
            ``notes["finished"]`` false.
        progress: called with the share of epochs done.

    Raises:
        UsageError: options out of range, or too little footage.
    """
    options.check()
    usable = [one for one in clips if int(one.seen.sum()) > options.sequence]
    if not usable:
        longest = max((int(one.seen.sum()) for one in clips), default=0)
        raise UsageError(
            f"found {longest / 100:.1f} s of footage with both a face and sound, expected more than "
            f"{options.sequence / 100:g} s",
            hint="name longer footage in which the person speaks",
        )
    before = torch.get_rng_state()
    try:
        torch.manual_seed(options.seed)
        model = begun(usable, options, start) if start else _fresh(usable, options)
        run = _Run(model, device)
        identity = _identity(usable, options, start)
        if checkpoint is not None:
            run.resume(checkpoint, identity)
        _learn(run, usable, checkpoint, identity, stop, progress)
    finally:
        torch.set_rng_state(before)
    return _finished(run)


def _learn(
    run: _Run,
    clips: Sequence[SpeechClip],
    checkpoint: Path | None,
    identity: dict[str, Any],
    stop: Callable[[], bool] | None,
    progress: Progress | None,
) -> None:
    options, net = run.model.options, run.model.net
    taught = [_learning(run, one.part(0, 1 - options.held_out)) for one in clips]
    judged = [_learning(run, one.part(1 - options.held_out, 1)) for one in clips] if options.held_out else []
    judged = [one for one in judged if int(one.counts.sum()) > 10]
    while run.epoch < options.epochs:
        losses = []
        net.train()
        for heard, wanted, counts in _batches(taught, options, run.random):
            loss = _error(net(heard), wanted, counts, options.delay)
            run.optimizer.zero_grad(set_to_none=True)
            loss.backward()  # type: ignore[no-untyped-call]
            nn.utils.clip_grad_norm_(net.parameters(), options.clip)
            run.optimizer.step()
            losses.append(float(loss.detach()))
        run.epoch += 1
        if run.epoch % _LOOK_EVERY == 0 or run.epoch == options.epochs:
            error = _judge(net, judged, options.delay) if judged else float(np.mean(losses))
            run.history.append((run.epoch, float(np.mean(losses)), error))
            if not judged or error < run.best:
                run.best, run.best_epoch = error, run.epoch
                run.keep()
        asked = stop is not None and stop()
        if checkpoint is not None and (asked or run.epoch % _SAVE_EVERY == 0 or run.epoch == options.epochs):
            run.save(checkpoint, identity)
        if progress:
            progress(run.epoch / options.epochs)
        if asked:
            return


def _batches(
    taught: Sequence[_Learning], options: MouthOptions, random: torch.Generator
) -> list[tuple[Tensor, Tensor, Tensor]]:
    """Shuffled sequences of all clips; each epoch has other offsets and other noise on the features."""
    places: list[tuple[int, int]] = []
    for index, one in enumerate(taught):
        last = len(one.heard) - options.sequence
        if last >= 0:
            offset = int(torch.randint(0, min(options.stride, last + 1), (1,), generator=random))
            places += [(index, at) for at in range(offset, last + 1, options.stride)]
    order = torch.randperm(len(places), generator=random).tolist()
    result = []
    for first in range(0, len(order), options.batch):
        chosen = [places[one] for one in order[first : first + options.batch]]
        heard, wanted, counts = (
            torch.stack([getattr(taught[index], name)[at : at + options.sequence] for index, at in chosen])
            for name in ("heard", "wanted", "counts")
        )
        if options.noise:
            heard = heard + options.noise * torch.randn(heard.shape, generator=random).to(heard)
        result.append((heard, wanted, counts))
    return result


def _error(said: Tensor, wanted: Tensor, counts: Tensor, delay: int) -> Tensor:
    """Mean squared error of the coefficients (summed over them) at the steps that count."""
    length = said.shape[1] - delay
    gap = ((said[:, delay:] - wanted[:, :length]) ** 2).sum(-1) * counts[:, :length]
    return gap.sum() / counts[:, :length].sum().clamp(min=1)


@torch.no_grad()
def _judge(net: MouthNet, judged: Sequence[_Learning], delay: int) -> float:
    net.eval()
    errors, weights = [], []
    for one in judged:
        padded = torch.cat([one.heard, one.heard[-1:].expand(delay, -1)])
        errors.append(float(_error(net(padded[None]), one.wanted[None], one.counts[None], delay)))
        weights.append(float(one.counts.sum()))
    return float(np.average(errors, weights=weights))


def _learning(run: _Run, clip: SpeechClip) -> _Learning:
    heard = torch.from_numpy(run.model.standardised(clip.features)).to(run.device)
    centred = clip.shapes - mean_mouth(clip) + run.model.mean
    told = run.model.coefficients(centred).astype(np.float32)
    if clip.also is not None:
        told[:, told.shape[1] - clip.also.shape[1] :] = clip.also
    wanted = torch.from_numpy(told).to(run.device)
    return _Learning(heard, wanted, torch.from_numpy(clip.seen.astype(np.float32)).to(run.device))


def _fresh(clips: Sequence[SpeechClip], options: MouthOptions) -> MouthModel:
    """Principal components of all mouths, each about its person's mean; standard scales; an untrained network."""
    centred = np.concatenate([one.shapes[one.seen] - mean_mouth(one) for one in clips])
    _, values, basis = np.linalg.svd(centred, full_matrices=False)
    kept = np.zeros((options.coefficients, SHAPE))
    used = options.coefficients - (0 if clips[0].also is None else clips[0].also.shape[1])
    kept[: min(len(basis), used)] = basis[:used]
    scale = max(1e-9, float(values[0]) / np.sqrt(len(centred)))
    heard = np.concatenate([one.features for one in clips]).astype(np.float64)
    net = MouthNet(options)
    return MouthModel(
        options, net, kept, scale, mean_mouth(clips[-1]), heard.mean(0), np.maximum(heard.std(0), 1e-3)
    )


def begun(clips: Sequence[SpeechClip], options: MouthOptions, start: MouthModel) -> MouthModel:
    """A model to fine-tune: the network of other people, with its outputs converted to these people's principal
    components and mean mouth.
    """
    fixed = ("delay", "units", "layers", "bidirectional", "context")
    options = replace(options, **{name: getattr(start.options, name) for name in fixed})
    options.check()
    model = _fresh(clips, options)
    model = replace(
        model, heard_mean=start.heard_mean, heard_scale=start.heard_scale, notes={"adapted": True}
    )
    answers = np.concatenate([start.predict_steps(one.features)[one.seen] for one in clips])
    told = torch.from_numpy(model.basis @ start.basis.T * (start.scale / model.scale))
    usual = torch.from_numpy(model.basis @ (answers.mean(0) - start.mean) / model.scale)
    weights = dict(start.net.state_dict())
    weights["out.bias"] = told @ weights["out.bias"].double().cpu() - usual
    weights["out.weight"] = told @ weights["out.weight"].double().cpu()
    model.net.load_state_dict({name: one.float() for name, one in weights.items()})
    return model


def mean_mouth(clip: SpeechClip) -> NDArray[np.float64]:
    """``(36,)``: the mean of the visible shapes; 0 where none is visible."""
    return np.asarray(clip.shapes[clip.seen].mean(0)) if clip.seen.any() else np.zeros(SHAPE)


def _identity(clips: Sequence[SpeechClip], options: MouthOptions, start: MouthModel | None) -> dict[str, Any]:
    """Everything that two runs must share for one to resume the other."""
    import hashlib

    digest = hashlib.sha256()
    for one in clips:
        for part in (one.features, one.shapes, one.seen):
            digest.update(np.ascontiguousarray(part).tobytes())
    if start is not None:
        for tensor in start.net.state_dict().values():
            digest.update(tensor.detach().cpu().numpy().tobytes())
    return {"options": asdict(options), "data": digest.hexdigest(), "features": FEATURES}


def _finished(run: _Run) -> MouthModel:
    model, options = run.model, run.model.options
    model.net.load_state_dict(run.kept if run.history else model.net.state_dict())
    model.net.to("cpu").eval()
    model.notes = {
        **model.notes,
        "finished": run.epoch >= options.epochs,
        "epochs": run.epoch,
        "best_epoch": run.best_epoch,
        "held_out_error": round(run.best, 6) if options.held_out and np.isfinite(run.best) else None,
        "history": [(epoch, round(a, 5), round(b, 5)) for epoch, a, b in run.history],
    }
    return model

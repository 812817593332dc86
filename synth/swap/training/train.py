"""The training loop.

A run is a generator, its critic, two optimisers, a running average, and random numbers; :class:`Run` holds them, and
everything the next step depends on goes into its checkpoint. On several GPUs (torchrun) each process draws its own
batches, and gradients are averaged.
"""

from __future__ import annotations

import copy
import os
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from provenance.errors import CorruptMediaError, MissingPathError, OutputExistsError, UsageError
from synth.swap.config import Preset
from synth.swap.features import FeatureNet, load_features
from synth.swap.model import Generator, on_device
from synth.swap.training import checkpoint, schedule
from synth.swap.training.augment import Batch
from synth.swap.training.checkpoint import CHECKPOINT_FILE, MODEL_FILE, RUN_SCHEMA, Origin
from synth.swap.training.critic import Critic, accuracy, critic_loss
from synth.swap.training.data import Bank
from synth.swap.training.events import RunLog
from synth.swap.training.exact import exact
from synth.swap.training.losses import on_face, reconstruction
from synth.swap.training.parallel import agreed, anyone, average, is_first, rank, told_by_first, world_size
from synth.swap.training.validation import held_out_measures

_LOG_EVERY = 10
#: Seconds to the first checkpoint with something in it, and from one to the next.
FIRST_SAVE, SAVE_EVERY = 40.0, 300.0
Progress = Callable[[float], None]
Preview = Callable[[int, NDArray[np.uint8]], None]


@dataclass(frozen=True)
class TrainingResult:
    """How a run ended.

    Attributes:
        finished: all phases are done; false where the run was stopped and can be resumed.
        steps: done in all.
        measures: of the model that was kept, on the held-out faces.
        model: the file, or None where nothing was measured yet.
    """

    finished: bool
    steps: int
    measures: dict[str, float]
    model: Path | None


class Run:
    """Everything a step changes.

    Args:
        origin: settings, sides, seed.
        device: where to compute.
        compiled: let torch.compile make kernels for the generator.
        faces: for each side the digest of its faces; a checkpoint is resumed with the same faces only.
    """

    def __init__(
        self,
        origin: Origin,
        device: torch.device,
        *,
        compiled: bool = False,
        faces: dict[str, str] | None = None,
    ) -> None:
        self.origin, self.device, self.faces = origin, device, faces or {}
        preset, recipe = origin.preset, origin.preset.recipe
        torch.manual_seed(origin.seed)
        self.generator = on_device(Generator(preset.architecture, origin.sides), device)
        self.critic = on_device(Critic(preset.architecture, origin.sides), device)
        self.average = copy.deepcopy(self.generator).requires_grad_(False).eval()
        fused = device.type in ("cuda", "cpu")
        self.optimizer = torch.optim.Adam(
            self.generator.parameters(), lr=recipe.rate, betas=(0.5, 0.99), fused=fused
        )
        self.critic_optimizer = torch.optim.Adam(
            self.critic.parameters(), lr=recipe.critic_rate, betas=(0.0, 0.99), fused=fused
        )
        self.draws = torch.Generator(device=device).manual_seed(origin.seed * 1000 + rank())
        self.at = schedule.ScheduleState()
        self.accuracy = 0.0
        self.precision = _precision(preset, device)
        self.forward = torch.compile(self.generator) if compiled else self.generator

    def save(self, path: Path) -> None:
        """Write the checkpoint; all processes take part, the first one writes."""
        tensors = {
            **checkpoint.prefixed("generator", self.generator.state_dict()),
            **checkpoint.prefixed("critic", self.critic.state_dict()),
            **checkpoint.prefixed("average", self.average.state_dict()),
            **checkpoint.flattened("optimizer", self.optimizer),
            **checkpoint.flattened("critic_optimizer", self.critic_optimizer),
            f"draws.{rank()}": self.draws.get_state(),
        }
        about = {
            "origin": self.origin.to_json(),
            "at": self.at.to_json(),
            "accuracy": self.accuracy,
            "precision": str(self.precision),
            "processes": world_size(),
            "faces": self.faces,
        }
        if world_size() > 1:
            states: list[Any] = [None] * world_size()
            torch.distributed.all_gather_object(states, self.draws.get_state().cpu())
            tensors.update({f"draws.{index}": state for index, state in enumerate(states)})
        if is_first():
            checkpoint.save(path, tensors, RUN_SCHEMA, about)

    def load(self, path: Path) -> None:
        """Go on exactly where a checkpoint was written.

        Raises:
            CorruptMediaError: it is damaged.
            UsageError: it was made with other settings, or by another number of processes.
        """
        tensors, about = checkpoint.load(path, RUN_SCHEMA)
        try:
            before = Origin.from_json(about["origin"])
            if (before.preset, before.sides, before.seed) != (
                self.origin.preset,
                self.origin.sides,
                self.origin.seed,
            ):
                raise UsageError(
                    f"{path} was made with other settings",
                    hint="resume with the same preset, steps and seed, or begin in another folder",
                )
            if before.sources != self.origin.sources:
                raise UsageError(f"{path} was made from other footage", hint="name the same folders of faces")
            known = about.get("faces", self.faces)  # old checkpoints lack it
            changed = sorted(side for side, one in self.faces.items() if known.get(side) != one)
            if changed:
                raise UsageError(
                    f"{path} was made from other faces of {' and '.join(changed)}",
                    hint="bring back the fates that alignments.json had, or begin in another folder",
                )
            if about["processes"] != world_size():
                raise UsageError(f"{path} was made by {about['processes']} processes, found {world_size()}")
            for name in ("generator", "critic", "average"):
                getattr(self, name).load_state_dict(checkpoint.unprefixed(name, tensors))
            for name in ("optimizer", "critic_optimizer"):
                checkpoint.restore(name, getattr(self, name), tensors)
            self.draws.set_state(tensors[f"draws.{rank()}"])
            self.at = schedule.ScheduleState.from_json(about["at"])
            self.accuracy = float(about["accuracy"])
            self.precision = {"torch.float32": torch.float32, "torch.bfloat16": torch.bfloat16}[
                about["precision"]
            ]
        except (ValueError, KeyError, TypeError, RuntimeError) as error:
            raise CorruptMediaError(f"{path} cannot be resumed: {str(error)[:300]}") from error

    def computing(self) -> Any:
        """The context in which networks compute."""
        return torch.autocast(self.device.type, torch.bfloat16, enabled=self.precision is torch.bfloat16)


@exact
def train(
    banks: dict[str, Bank],
    origin: Origin,
    folder: Path,
    *,
    device: str | torch.device = "cpu",
    resume: bool = False,
    prior: Path | None = None,
    compiled: bool = False,
    stop: Callable[[], bool] = lambda: False,
    progress: Progress | None = None,
    preview: Preview | None = None,
) -> TrainingResult:
    """Train a pair (sides "a" and "b"), or a face prior (side "a" alone).

    Args:
        banks: faces of each side, on the device.
        origin: settings, seed, consent.
        folder: gets ``model.safetensors``, ``checkpoint.safetensors``, ``log.csv`` and TensorBoard's event file.
        device: where to compute.
        resume: go on from the folder's checkpoint.
        prior: a face prior to begin with.
        compiled: use torch.compile.
        stop: called after each step; if true, the checkpoint is written and the run ends.
        progress: called with the share of steps done.
        preview: called at each check with the step and a sheet of held-out faces, ``(H, W, 3)`` uint8. It must label
            what it writes.

    Raises:
        NoFaceError: too few faces.
        OutputExistsError: the folder holds a run and ``resume`` is false, or a model without its run.
        MissingPathError: it holds no run, and ``resume`` is true.
        UsageError, CorruptMediaError: the checkpoint does not fit.
    """
    device, recipe, alone = torch.device(device), origin.preset.recipe, len(origin.sides) == 1
    state = folder / CHECKPOINT_FILE
    if state.exists() and not resume:
        raise OutputExistsError(f"{folder} holds a run", hint="go on with --resume, or name another folder")
    if (folder / MODEL_FILE).exists() and not state.exists():
        raise OutputExistsError(f"{folder} holds a model without its run", hint="name another folder")
    if resume and not state.is_file():
        raise MissingPathError(
            f"{folder} holds no run to go on with", hint="to begin one, leave --resume away"
        )

    # 1. The faces: most to train on, the last of each person to measure with.
    called = {side: "all people together" if alone else f"person {side}" for side in origin.sides}
    parts = {side: banks[side].split(recipe.held_out, called[side]) for side in origin.sides}
    learned, held_out = ({side: part[index] for side, part in parts.items()} for index in (0, 1))

    # 2. The networks, new or as a checkpoint or a prior has them.
    run = Run(origin, device, compiled=compiled, faces={side: bank.digest() for side, bank in banks.items()})
    if prior is not None and not resume:
        checkpoint.use_prior(run.generator, prior)
        run.average.load_state_dict(run.generator.state_dict())
    if resume:
        run.load(state)
    else:
        run.save(state)  # so that the folder is of use whenever the run is killed
    features = load_features(origin.preset.features, origin.preset.architecture.size, device)
    log = RunLog(folder, run.at.step) if is_first() else None
    sums, finished, saved_at, wait = _Sums(), False, time.monotonic(), FIRST_SAVE
    drawn_of = _generated(run, learned) if run.at.phase == "critic" else {}

    while True:
        # 3. At the checks: measure on held-out faces, keep the best, and see whether the phase is over.
        if schedule.check_due(run.at, recipe, alone=alone):
            measures = told_by_first(lambda: held_out_measures(run.average, held_out, features))
            run.at, best = schedule.checked(run.at, measures["measure"])
            if log:
                log.write(run.at.step, {f"held-out/{name}": value for name, value in measures.items()})
                if best:
                    kept = replace(origin, notes={**origin.notes, "step": run.at.step, "held_out": measures})
                    checkpoint.save_model(folder / MODEL_FILE, run.average, kept)
                if preview:
                    preview(run.at.step, sheet(run.average, held_out))
        while run.at.phase != "done" and schedule.is_over(
            run.at, recipe, alone=alone, critic_accuracy=run.accuracy
        ):
            if run.at.phase == "adversarial" or (run.at.phase == "generator" and not alone):
                _back_to_best(run, folder / MODEL_FILE)
            run.at = schedule.next_phase(run.at, recipe, alone=alone)
            if run.at.phase == "critic":
                # the generator does not change in this phase: its pictures of all faces are made once and kept
                drawn_of = _generated(run, learned)
            elif run.at.phase == "adversarial":
                drawn_of = {}
        if run.at.phase == "done":
            finished = True
            break
        if schedule.check_due(run.at, recipe, alone=alone) and run.at.phase_step == 0:
            continue

        # 4. One step of the phase.
        if run.at.phase == "critic":
            sums.add(_critic_step(run, learned, drawn_of))
        else:
            sums.add(generator_step(run, learned, features))
        run.at = schedule.stepped(run.at)

        # 5. Figures, progress, checkpoint.
        if log and run.at.step % _LOG_EVERY == 0:
            log.write(run.at.step, sums.taken())
        if progress:
            progress(min(1.0, run.at.step / recipe.steps))
        if anyone(stop(), device):
            break
        # several processes ask each other, and not after each step
        due = time.monotonic() - saved_at > wait
        if anyone(due, device) if run.at.step % _LOG_EVERY == 0 else due and world_size() == 1:
            run.save(state)
            saved_at, wait = time.monotonic(), SAVE_EVERY

    run.save(state)
    model = folder / MODEL_FILE
    measures = checkpoint.load_model(model)[1].notes.get("held_out", {}) if model.is_file() else {}
    return TrainingResult(finished, run.at.step, measures, model if model.is_file() else None)


def generator_step(run: Run, faces: dict[str, Bank], features: FeatureNet | None) -> dict[str, Tensor]:
    """One step of the generator (reconstruction); once the critic is trained, adversarial too, and one step of the
    critic.
    """
    preset, recipe = run.origin.preset, run.origin.preset.recipe
    against = run.at.phase == "adversarial"
    how = preset.augmentation if not against else replace(preset.augmentation, crappify=0.0)
    batches = {side: bank.draw(recipe.batch, how, run.draws) for side, bank in faces.items()}
    _set_rate(run.optimizer, schedule.rate(run.at, recipe, recipe.rate, alone=len(run.origin.sides) == 1))
    with run.computing():
        made = run.forward({side: batch.seen for side, batch in batches.items()})
    terms: dict[str, Tensor] = {}
    for side, (colours, mask) in made.items():
        for name, term in reconstruction(colours, mask, batches[side], preset.weights, features).items():
            terms[f"{name}/{side}"] = term
        if against:
            shown = on_face(colours.float(), batches[side])
            with run.computing():
                verdict, _ = run.critic(shown, side)
            terms[f"adversarial/{side}"] = -preset.weights.adversarial * verdict.float().mean()
    run.optimizer.zero_grad(set_to_none=True)
    torch.stack(list(terms.values())).sum().backward()  # type: ignore[no-untyped-call]
    average(run.generator.parameters())
    nn.utils.clip_grad_norm_(run.generator.parameters(), recipe.clip)
    run.optimizer.step()
    _follow(run, recipe.ema)
    if against:
        shown_of = {
            side: on_face(colours.detach().float(), batches[side]) for side, (colours, _) in made.items()
        }
        terms |= _teach_critic(run, batches, shown_of)
    return {name: term.detach() for name, term in terms.items()}


def _critic_step(run: Run, faces: dict[str, Bank], drawn_of: dict[str, Bank]) -> dict[str, Tensor]:
    """One step of the critic: photographs against the generator's reconstructions."""
    preset = run.origin.preset
    how = replace(preset.augmentation, warp=0.0, crappify=0.0)
    batches = {side: bank.draw(preset.recipe.batch, how, run.draws) for side, bank in faces.items()}
    others = {side: bank.draw(preset.recipe.batch, how, run.draws) for side, bank in drawn_of.items()}
    return _teach_critic(run, batches, {side: other.wanted for side, other in others.items()})


def _teach_critic(run: Run, batches: dict[str, Batch], made: dict[str, Tensor]) -> dict[str, Tensor]:
    recipe = run.origin.preset.recipe
    _set_rate(run.critic_optimizer, recipe.critic_rate)
    losses, right = [], []
    for side, batch in batches.items():
        with run.computing():
            real, _ = run.critic(batch.wanted, side)
            fake, _ = run.critic(made[side], side)
        losses.append(critic_loss(real.float(), fake.float()))
        right.append(accuracy(real.detach().float(), fake.detach().float()))
    loss = torch.stack(losses).mean()
    run.critic_optimizer.zero_grad(set_to_none=True)
    loss.backward()  # type: ignore[no-untyped-call]
    average(run.critic.parameters())
    run.critic_optimizer.step()
    share = agreed(torch.stack(right).mean())
    if run.at.phase == "critic" and run.at.phase_step % _LOG_EVERY == _LOG_EVERY - 1:
        # read from the device only now and then, because reading waits for it
        run.accuracy = 0.5 * run.accuracy + 0.5 * float(share)
    return {"critic/loss": loss.detach(), "critic/accuracy": share}


@torch.no_grad()
def _generated(run: Run, faces: dict[str, Bank]) -> dict[str, Bank]:
    """The generator's faces on the faces' own background. Never written to disk."""
    made = {}
    for side, bank in faces.items():
        parts = []
        for start in range(0, len(bank), 64):
            plain = bank.plain(slice(start, start + 64))
            colours, _ = run.average.as_person(plain.seen, side)
            parts.append((on_face(colours, plain) * 255).round().to(torch.uint8).permute(0, 2, 3, 1))
        made[side] = Bank(torch.cat(parts).contiguous(), bank.masks, bank.details)
    return made


@torch.no_grad()
def sheet(generator: Generator, held_out: dict[str, Bank], columns: int = 6) -> NDArray[np.uint8]:
    """Rows of held-out faces: of each person the face, its reconstruction, and its swap through each other decoder."""
    rows = []
    generator.eval()
    for side, bank in held_out.items():
        which = (
            torch.linspace(0, len(bank) - 1, min(columns, len(bank))).round().long().to(bank.pixels.device)
        )
        faces = bank.plain(which)
        rows.append(faces.wanted)
        for other in (side, *(name for name in generator.sides if name != side)):
            rows.append(generator.as_person(faces.seen, other)[0])
    width = max(len(row) for row in rows)
    padded = [torch.cat([row, row.new_ones(width - len(row), *row.shape[1:])]) for row in rows]
    whole = torch.cat([torch.cat(list(row), 2) for row in padded], 1)
    return np.ascontiguousarray((whole.clamp(0, 1) * 255).round().byte().permute(1, 2, 0).cpu().numpy())


def _back_to_best(run: Run, model: Path) -> None:
    """Load the best weights by the held-out measure, which are those on disk."""
    if world_size() > 1:
        torch.distributed.barrier()
    best, _ = checkpoint.load_model(model, run.device)
    run.generator.load_state_dict(best.state_dict())
    run.average.load_state_dict(best.state_dict())


@torch.no_grad()
def _follow(run: Run, decay: float) -> None:
    """Update the running average of the weights; its decay grows during the first steps."""
    keep = min(decay, (1 + run.at.step) / (10 + run.at.step))
    torch._foreach_lerp_(list(run.average.parameters()), list(run.generator.parameters()), 1 - keep)


def _set_rate(optimizer: torch.optim.Optimizer, value: float) -> None:
    for group in optimizer.param_groups:
        group["lr"] = value


def _precision(preset: Preset, device: torch.device) -> torch.dtype:
    if preset.precision in ("fp32", "bf16"):
        return torch.float32 if preset.precision == "fp32" else torch.bfloat16
    if device.type == "cuda":
        return torch.bfloat16 if torch.cuda.is_bf16_supported() else torch.float32
    # on a CPU without bf16 instructions it is many times slower than single precision
    capability = torch.backends.cpu.get_cpu_capability()
    has_bf16 = capability == "AVX512" and os.environ.get("ONEDNN_MAX_CPU_ISA") is None and _cpu_knows_bf16()
    return torch.bfloat16 if has_bf16 else torch.float32


def _cpu_knows_bf16() -> bool:
    asked = getattr(torch.cpu, "_is_avx512_bf16_supported", None)
    return bool(asked and asked())


class _Sums:
    """Sums of figures kept on the device, so that no step waits for a transfer."""

    def __init__(self) -> None:
        self._sums: dict[str, Tensor] = {}
        self._counts: dict[str, int] = {}

    def add(self, terms: dict[str, Tensor]) -> None:
        for name, term in terms.items():
            self._sums[name] = self._sums[name] + term if name in self._sums else term.clone()
            self._counts[name] = self._counts.get(name, 0) + 1

    def taken(self) -> dict[str, float]:
        """Means since the last time."""
        means = {f"loss/{name}": float(total) / self._counts[name] for name, total in self._sums.items()}
        self._sums, self._counts = {}, {}
        return means

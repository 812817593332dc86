"""Models and checkpoints on disk: safetensors, written atomically; reading runs no code.

A model (``model.safetensors``) holds the running average of the generator's weights, its settings, the consent, and the
hashes of its footage. A checkpoint (``checkpoint.safetensors``) holds all that the next training step depends on.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from provenance.errors import CorruptMediaError, MissingPathError, UsageError
from provenance.media.files import replacing
from synth.swap.config import Preset, preset_from_json
from synth.swap.model import Generator, on_device

MODEL_SCHEMA = "veilmark.swap-model/1"
RUN_SCHEMA = "veilmark.swap-run/1"
MODEL_FILE, CHECKPOINT_FILE = "model.safetensors", "checkpoint.safetensors"
_MAX_METADATA = 16 * 1024**2
_HINT = "train it again with `veilmark synth train`, or get a fresh copy"


@dataclass(frozen=True)
class Origin:
    """What is stored with a model.

    Attributes:
        preset: its settings.
        sides: names of its decoders.
        consent: for each side, under which consent the faces were used.
        sources: for each side, name and SHA-256 of each piece of footage.
        seed: of its training.
        notes: steps, measures, versions, device: for people.
    """

    preset: Preset
    sides: tuple[str, ...]
    consent: dict[str, Any]
    sources: dict[str, Any]
    seed: int
    notes: dict[str, Any]

    def to_json(self) -> dict[str, Any]:
        return {
            "preset": self.preset.to_json(),
            "sides": list(self.sides),
            "consent": self.consent,
            "sources": self.sources,
            "seed": self.seed,
            "notes": self.notes,
        }

    @classmethod
    def from_json(cls, data: Any) -> Origin:
        """Read :meth:`to_json`'s; ValueError, KeyError or TypeError where it is something else."""
        sides = tuple(data["sides"])
        if sides not in (("a", "b"), ("a",)):
            raise ValueError(f"the sides are {str(sides)[:60]}")
        if not all(isinstance(data[name], dict) for name in ("consent", "sources", "notes")):
            raise ValueError("consent, sources or notes are no objects")
        return cls(
            preset_from_json(data["preset"]),
            sides,
            data["consent"],
            data["sources"],
            int(data["seed"]),
            data["notes"],
        )


def save(path: Path, tensors: dict[str, Tensor], schema: str, about: dict[str, Any]) -> None:
    """Write tensors and a JSON description.

    Raises:
        NotWritableError: the folder cannot be written.
    """
    whole = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    with replacing(path) as temporary:
        save_file(whole, temporary, metadata={"schema": schema, "about": json.dumps(about, allow_nan=False)})


def load(path: Path, schema: str) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Read what :func:`save` wrote.

    Raises:
        MissingPathError: there is no such file.
        CorruptMediaError: it is something else, or damaged.
    """
    if not path.is_file():
        raise MissingPathError(f"{path} does not exist", hint="train a model with `veilmark synth train`")
    try:
        with safe_open(path, framework="pt") as file:
            said = file.metadata() or {}
            if said.get("schema") != schema or len(said.get("about", "")) > _MAX_METADATA:
                raise ValueError(f"its schema is {str(said.get('schema'))[:60]!r}, expected {schema!r}")
            about = json.loads(said["about"])
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - no mapping
    except (SafetensorError, OSError, ValueError, KeyError, RecursionError) as error:
        raise CorruptMediaError(f"{path} is no such file: {str(error)[:200]}", hint=_HINT) from error
    return tensors, about


def save_model(path: Path, generator: nn.Module, origin: Origin) -> None:
    """Write a generator's weights and origin."""
    save(path, dict(generator.state_dict()), MODEL_SCHEMA, origin.to_json())


def model_file(path: Path) -> Path:
    """The model of a training's folder, or the file itself."""
    return path / MODEL_FILE if path.is_dir() else path


def load_model(path: Path, device: Any = "cpu") -> tuple[Generator, Origin]:
    """A generator in eval mode, and where it comes from.

    Args:
        path: the file, or the folder that a training wrote.
        device: where it will compute.

    Raises:
        MissingPathError: there is none.
        CorruptMediaError: it is no model, or damaged.
    """
    file = model_file(path)
    tensors, about = load(file, MODEL_SCHEMA)
    try:
        origin = Origin.from_json(about)
        with torch.device("meta"):
            generator = Generator(origin.preset.architecture, origin.sides)
        generator.load_state_dict(tensors, assign=True)
        if any(weight.dtype != torch.float32 or not weight.isfinite().all() for weight in tensors.values()):
            raise ValueError("weights that are no finite float32")
    except (ValueError, KeyError, TypeError, RuntimeError) as error:
        raise CorruptMediaError(f"{file} is no model: {str(error)[:300]}", hint=_HINT) from error
    return on_device(generator, device).eval(), origin


def use_prior(generator: Generator, path: Path) -> None:
    """Begin with a face prior's encoder, and with its decoder for every person.

    Raises:
        MissingPathError, CorruptMediaError: as :func:`load_model`.
        UsageError: it was made for other sizes.
    """
    prior, origin = load_model(path)
    if origin.preset.architecture != generator.shape:
        raise UsageError(
            f"the prior {path} is of {origin.preset.architecture}, expected {generator.shape}",
            hint="make a prior with the same preset",
        )
    generator.encoder.load_state_dict(prior.encoder.state_dict())
    for side in generator.sides:
        generator.decoders[side].load_state_dict(prior.decoders[origin.sides[0]].state_dict())


def flattened(prefix: str, optimizer: torch.optim.Optimizer) -> dict[str, Tensor]:
    """An optimiser's state as named tensors; its settings are not part of it."""
    state = optimizer.state_dict()["state"]
    return {
        f"{prefix}.{index}.{name}": torch.as_tensor(value)
        for index, values in state.items()
        for name, value in values.items()
    }


def restore(prefix: str, optimizer: torch.optim.Optimizer, tensors: dict[str, Tensor]) -> None:
    """Load what :func:`flattened` returned; KeyError or ValueError where it does not fit."""
    weights = [weight for group in optimizer.param_groups for weight in group["params"]]
    state: dict[int, dict[str, Tensor]] = {}
    for key, tensor in unprefixed(prefix, tensors).items():
        index, name = key.split(".", 1)
        like = weights[int(index)]
        # a fused optimiser needs its state in the same memory format as the weights
        value = torch.empty_like(like).copy_(tensor) if tensor.shape == like.shape else tensor
        state.setdefault(int(index), {})[name] = value
    present = optimizer.state_dict()
    optimizer.load_state_dict({"state": state, "param_groups": present["param_groups"]})


def prefixed(prefix: str, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """Names with ``prefix.`` before them."""
    return {f"{prefix}.{name}": tensor for name, tensor in tensors.items()}


def unprefixed(prefix: str, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """Those whose name begins with ``prefix.``, without it."""
    return {name[len(prefix) + 1 :]: one for name, one in tensors.items() if name.startswith(prefix + ".")}

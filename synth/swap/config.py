"""What a run is made of, as typed, frozen values; the presets."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field, fields, replace
from typing import Any, TypeVar

from provenance.errors import UsageError

T = TypeVar("T")
SIZES = (64, 96, 128, 160, 192, 224, 256)


@dataclass(frozen=True)
class Architecture:
    """Shape of the generator.

    Attributes:
        size: side of the pictures, pixels; a multiple of 32 from 64 to 256.
        width: channels at full size; each halving of the side doubles them, up to ``8 * width``.
        code: numbers in the bottleneck that both people share.
        residuals: residual blocks after each doubling of the decoder's side.
        critic_width: channels of the critic's first layer.
    """

    size: int = 64
    width: int = 16
    code: int = 128
    residuals: int = 0
    critic_width: int = 24


@dataclass(frozen=True)
class Augmentation:
    """Random changes of the training faces; see :mod:`synth.swap.training.augment`.

    Attributes:
        rotation: degrees, largest.
        zoom, shift: shares of the side, largest.
        warp: standard deviation of the grid that distorts what the encoder sees, as a share of the side.
        flip: share of faces mirrored.
        colour: strength of the change of brightness, contrast and saturation, 0 to 1.
        crappify: strength of blur, blocks and noise on what the encoder sees, 0 to 1.
    """

    rotation: float = 8.0
    zoom: float = 0.05
    shift: float = 0.03
    warp: float = 0.018
    flip: float = 0.4
    colour: float = 0.2
    crappify: float = 0.5


@dataclass(frozen=True)
class LossWeights:
    """Of the generator's losses; see :mod:`synth.swap.training.losses`.

    Attributes:
        dssim, l1, mask, feature, adversarial: factors of the terms.
        background: how much a pixel outside of the face counts, against 1 on it.
        details: how much more a pixel counts between the lids and between the lips; on the lips half of that.
    """

    dssim: float = 1.0
    l1: float = 2.0
    mask: float = 0.5
    feature: float = 0.5
    adversarial: float = 0.02
    background: float = 0.05
    details: float = 5.0


@dataclass(frozen=True)
class Recipe:
    """When what is trained, and how long; see :mod:`synth.swap.training.schedule`.

    Attributes:
        steps: of all phases together.
        generator_share, critic_share: the parts of ``steps`` for pretraining each; the rest alternates.
        batch: faces of each person in one step.
        rate, critic_rate: learning rates of Adam.
        warm_up: steps over which a rate rises from 0.
        ema: decay of the running average of the generator's weights, by which it is judged and used.
        check_every: steps between two looks at the held-out faces.
        patience: checks without gain after which a phase ends early.
        critic_accuracy: the critic's pretraining ends when it is right this often.
        held_out: the last share of each person's faces that is never trained on.
        clip: largest norm of the generator's gradient.
    """

    steps: int = 2000
    generator_share: float = 0.7
    critic_share: float = 0.1
    batch: int = 8
    rate: float = 8e-4
    critic_rate: float = 5e-4
    warm_up: int = 50
    ema: float = 0.995
    check_every: int = 100
    patience: int = 8
    critic_accuracy: float = 0.95
    held_out: float = 0.1
    clip: float = 5.0


@dataclass(frozen=True)
class Preset:
    """Everything but the faces, the seed and the machine.

    Attributes:
        features: which frozen network compares pictures: a name of :data:`synth.swap.features.NAMES`, or "none".
        precision: "auto" (bf16 where the machine computes it in hardware), "fp32" or "bf16".
    """

    name: str
    architecture: Architecture = field(default_factory=Architecture)
    augmentation: Augmentation = field(default_factory=Augmentation)
    weights: LossWeights = field(default_factory=LossWeights)
    recipe: Recipe = field(default_factory=Recipe)
    features: str = "onet"
    precision: str = "auto"

    def to_json(self) -> dict[str, Any]:
        """Plain values; :func:`preset_from_json` reads them."""
        return asdict(self)

    def with_steps(self, steps: int | None) -> Preset:
        """The same with another total of steps; checks stay about as many.

        Raises:
            UsageError: fewer than 10.
        """
        if steps is None:
            return self
        if not 10 <= steps <= 10_000_000:
            raise UsageError(f"found {steps} steps, expected 10 to 10000000")
        ratio = steps / self.recipe.steps
        every = max(5, min(1000, round(self.recipe.check_every * max(ratio, 0.02))))
        warm_up = max(1, min(self.recipe.warm_up, steps // 10))
        return replace(self, recipe=replace(self.recipe, steps=steps, check_every=every, warm_up=warm_up))


PRESETS: dict[str, Preset] = {
    "tiny": Preset("tiny"),
    "small": Preset(
        "small",
        Architecture(size=128, width=48, code=512, residuals=1, critic_width=48),
        recipe=Recipe(steps=30_000, batch=16, rate=2e-4, warm_up=500, ema=0.999, check_every=500),
        features="dlib",
    ),
    "full": Preset(
        "full",
        Architecture(size=256, width=96, code=1024, residuals=2, critic_width=64),
        recipe=Recipe(steps=200_000, batch=16, rate=1e-4, warm_up=1000, ema=0.9995, check_every=2000),
        features="dlib",
    ),
}


def preset(name: str) -> Preset:
    """A preset by its name.

    Raises:
        UsageError: there is none of that name.
    """
    if name not in PRESETS:
        raise UsageError(f"no preset is called {name[:40]!r}", hint="one of " + ", ".join(PRESETS))
    return PRESETS[name]


_LIMITS: dict[str, tuple[float, float]] = {
    "size": (64, 256),
    "width": (4, 512),
    "code": (8, 8192),
    "residuals": (0, 8),
    "critic_width": (4, 512),
    "steps": (1, 10_000_000),
    "batch": (1, 4096),
    "check_every": (1, 10_000_000),
    "patience": (1, 1_000_000),
    "held_out": (0.0, 0.9),
    "ema": (0.0, 0.999999),
}


def preset_from_json(data: Any) -> Preset:
    """Parse and check what :meth:`Preset.to_json` gave; a model file may come from a stranger.

    Raises:
        ValueError, KeyError, TypeError: something is missing, unknown or out of bounds.
    """
    if not isinstance(data, dict) or set(data) != {one.name for one in fields(Preset)}:
        raise ValueError("found other settings than expected")
    made = Preset(
        name=str(data["name"])[:60],
        architecture=_numbers(Architecture, data["architecture"]),
        augmentation=_numbers(Augmentation, data["augmentation"]),
        weights=_numbers(LossWeights, data["weights"]),
        recipe=_numbers(Recipe, data["recipe"]),
        features=str(data["features"])[:40],
        precision=str(data["precision"])[:10],
    )
    if made.architecture.size not in SIZES:
        raise ValueError(f"size {made.architecture.size} is none of {SIZES}")
    return made


def _numbers(kind: type[T], data: Any) -> T:
    values = {}
    for one in fields(kind):  # type: ignore[arg-type]
        value = data[one.name]
        if isinstance(value, bool) or not isinstance(value, int | float) or not abs(value) < 1e9:
            raise ValueError(f"{one.name} is {str(value)[:40]!r}, which is no number")
        low, high = _LIMITS.get(one.name, (0.0, 1e8))
        if not low <= value <= high:
            raise ValueError(f"{one.name} is {value}, not between {low} and {high}")
        values[one.name] = int(value) if one.type == "int" else float(value)
    if len(data) != len(values):
        raise ValueError(f"unknown settings in {kind.__name__}")
    return kind(**values)

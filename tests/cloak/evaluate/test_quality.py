"""Quality measures against known values and an independent implementation."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cloak.evaluate import quality
from provenance.errors import UsageError


@pytest.fixture(scope="module")
def noisy(portraits: dict[str, np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    clean = portraits["astronaut"]
    noise = np.random.default_rng(0).integers(-12, 13, clean.shape)
    return clean, np.clip(clean + noise, 0, 255).astype(np.uint8)


def test_ssim_agrees_with_scikit_image(noisy: tuple[np.ndarray, np.ndarray]) -> None:
    from skimage.metrics import structural_similarity

    luma = [picture.astype(float) @ [0.299, 0.587, 0.114] for picture in noisy]
    expected = structural_similarity(
        *luma, gaussian_weights=True, sigma=1.5, use_sample_covariance=False, data_range=255
    )
    assert quality.ssim(*noisy) == pytest.approx(expected, abs=1e-4)


def test_psnr_agrees_with_scikit_image(noisy: tuple[np.ndarray, np.ndarray]) -> None:
    from skimage.metrics import peak_signal_noise_ratio

    assert quality.psnr(*noisy) == pytest.approx(peak_signal_noise_ratio(*noisy), abs=1e-3)


def test_equal_pictures_are_perfect(portraits: dict[str, np.ndarray]) -> None:
    same = quality.compare(portraits["hopper"], portraits["hopper"])
    assert math.isinf(same.psnr) and same.ssim == pytest.approx(1) and same.ms_ssim == pytest.approx(1)
    assert same.largest == 0 and same.p999 == 0
    assert same.to_json()["psnr"] is None


def test_every_measure_falls_with_more_noise(portraits: dict[str, np.ndarray]) -> None:
    clean = portraits["astronaut"]
    random = np.random.default_rng(1).standard_normal(clean.shape)
    seen = [
        quality.compare(clean, np.clip(clean + sigma * random, 0, 255).astype(np.uint8))
        for sigma in (2, 6, 18)
    ]
    for better, worse in itertools.pairwise(seen):
        assert better.psnr > worse.psnr and better.ssim > worse.ssim
        assert better.ms_ssim is not None and worse.ms_ssim is not None and better.ms_ssim > worse.ms_ssim
        if better.flip is not None and worse.flip is not None:
            assert better.flip < worse.flip


@settings(max_examples=25, deadline=None)
@given(st.integers(1, 40), st.integers(1, 40), st.integers(0, 2**32 - 1))
def test_any_size_gives_sane_values(height: int, width: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    first, second = rng.integers(0, 256, (2, height, width, 3), dtype=np.uint8)
    result = quality.compare(first, second, perceptual=False)
    assert result.psnr > 0 and -1 <= result.ssim <= 1 and result.ms_ssim is None
    assert result.largest == np.abs(first.astype(int) - second).max()


def test_a_crop_is_cut_at_the_border() -> None:
    picture = np.zeros((20, 30, 3), np.uint8)
    assert quality.crop(picture, (-5, -5, 10, 8)).shape == (8, 10, 3)
    assert quality.crop(picture, (10, 10, 20, 20), margin=0.5).shape == (15, 20, 3)
    with pytest.raises(UsageError):
        quality.crop(picture, (40, 0, 50, 10))


def test_other_sizes_and_types_are_refused() -> None:
    picture = np.zeros((8, 8, 3), np.uint8)
    with pytest.raises(UsageError, match="differ in size"):
        quality.psnr(picture, np.zeros((8, 9, 3), np.uint8))
    with pytest.raises(UsageError, match="uint8"):
        quality.ssim(picture, picture.astype(float))


def test_flip_is_measured_as_shown(noisy: tuple[np.ndarray, np.ndarray]) -> None:
    """A large picture is shown smaller, so that its grain is as visible as that of the small one."""
    large = [np.kron(one, np.ones((3, 3, 1), np.uint8)) for one in noisy]
    small, shown, pixel_by_pixel = (
        quality.compare(*pair, shown=share).flip
        for pair, share in ((noisy, 1.0), (large, 1 / 3), (large, 1.0))
    )
    assert small is not None and pixel_by_pixel is not None
    assert shown == pytest.approx(small, abs=1e-3)
    assert pixel_by_pixel > 1.2 * small

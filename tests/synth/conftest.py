"""A clip of a public-domain portrait, and what is extracted from it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from cloak import models
from synth.extraction.embedding import DlibEmbedder
from synth.extraction.run import Extraction
from tests.support.clips import film, wandering
from tests.support.extraction import extract


@pytest.fixture(scope="module")
def embedder() -> DlibEmbedder:
    name = "dlib-face-recognition"
    if models.locate(models.model(name)) is None:
        pytest.skip(f"the weights {name} are not installed: {models.model(name).command}")
    return DlibEmbedder()


@pytest.fixture(scope="module")
def clip(portraits: dict[str, np.ndarray], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Ten frames of a face, then two without any."""
    frames = wandering(portraits["astronaut"], 10)
    empty = np.full_like(frames[0], 90)
    return film(tmp_path_factory.mktemp("clip") / "clip.mp4", [*frames, empty, empty])


@pytest.fixture(scope="module")
def extracted(clip: Path, tmp_path_factory: pytest.TempPathFactory) -> Extraction:
    return extract(clip, tmp_path_factory.mktemp("faces") / "set")

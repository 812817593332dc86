"""A clip of a public-domain portrait, and what is extracted from it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from cloak import models
from provenance.home import Home
from provenance.identity.identity import Identity, load_identity
from provenance.manifest.embed import ManifestSpec
from provenance.session import open_session
from provenance.setup import initialize
from provenance.sign import SignRequest, sign_file
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


@pytest.fixture
def home(tmp_path: Path) -> Home:
    """A machine with its researcher's identity and ledger."""
    home = Home.locate()
    initialize(home, subject="Researcher", algorithm="es256", passphrase=None)
    return home


@pytest.fixture
def owner_home(tmp_path: Path) -> Home:
    """The owner's own machine: keys that the researcher does not have."""
    folder = tmp_path / "owner"
    home = Home(data=folder, config=folder / "config")
    initialize(home, subject="Owner", algorithm="es256", passphrase=None)
    return home


@pytest.fixture
def owner(owner_home: Home) -> Identity:
    return load_identity(owner_home)


@pytest.fixture
def signed(owner_home: Home, portrait_files: dict[str, Path], tmp_path: Path) -> Path:
    """The owner's picture, signed; its manifest forbids training, as it does by default."""
    output = tmp_path / "signed.jpg"
    with open_session(owner_home) as session:
        sign_file(portrait_files["astronaut"], output, SignRequest(ManifestSpec()), session)
    return output

"""The only door out: what is generated leaves signed, labelled and recorded."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from provenance.errors import OutputExistsError, UsageError
from provenance.home import Home
from provenance.media.files import sha256_file
from provenance.session import Session, open_session
from provenance.setup import initialize
from provenance.trust.store import TrustStore
from provenance.verify import verify_file
from synth.label import Generated, label_generated, mark_visibly


@pytest.fixture
def session() -> Iterator[Session]:
    home = Home.locate()
    initialize(home, subject="Researcher", algorithm="es256", passphrase=None)
    with open_session(home) as opened:
        yield opened


@pytest.fixture
def unlabelled(tmp_path: Path) -> Path:
    path = tmp_path / "generated.png"
    noise = np.random.default_rng(0).integers(0, 255, (64, 64, 3), dtype=np.uint8)
    Image.fromarray(noise).save(path)
    return path


@pytest.mark.parametrize(
    "composite, source_type, action",
    [
        (True, "compositeWithTrainedAlgorithmicMedia", "c2pa.opened"),
        (False, "trainedAlgorithmicMedia", "c2pa.created"),
    ],
)
def test_generated_file_is_signed_as_synthetic(
    session: Session,
    unlabelled: Path,
    portrait_files: dict[str, Path],
    tmp_path: Path,
    composite: bool,
    source_type: str,
    action: str,
) -> None:
    about = Generated(
        "veilmark test", [portrait_files["hopper"]], composite, "public-domain portrait", seed=7
    )
    output = tmp_path / "labelled.png"
    result = label_generated(unlabelled, output, about, session)
    assert not unlabelled.exists(), "the unlabelled file must be gone"
    assert result.record.relation == "synthetic"
    verdict = verify_file(output, TrustStore.load(session.home))
    assert verdict.state == "trusted"
    assert verdict.relation == "synthetic"
    assert source_type in [entry["digital_source_type"] for entry in verdict.actions]
    assert verdict.actions[0]["action"] == action
    assert [one["title"] for one in verdict.ingredients] == ["hopper.jpg"]


def test_each_input_is_named_with_its_own_hash(
    session: Session, unlabelled: Path, portrait_files: dict[str, Path], tmp_path: Path
) -> None:
    """Several that nobody signed, two of one name, and what was learned from, which is not at hand."""
    other = tmp_path / "elsewhere" / portrait_files["hopper"].name
    other.parent.mkdir()
    other.write_bytes(portrait_files["astronaut"].read_bytes() + b"\0")
    inputs = [portrait_files["hopper"], portrait_files["astronaut"], other]
    learned = [(portrait_files["hopper"].name, "training footage"), ("clip.mp4", "training footage")]
    output = tmp_path / "made.png"
    about = Generated("veilmark test", inputs, True, "declared", learned_from=learned)
    label_generated(unlabelled, output, about, session)
    verdict = verify_file(output, TrustStore.load(Home.locate()))
    named = [(one["title"], one["sha256"]) for one in verdict.ingredients]
    hashed = [(one.name, sha256_file(one)) for one in inputs]
    assert sorted(named) == sorted([*hashed, *((title, "") for title, _ in learned)])


def test_without_consent_nothing_leaves(session: Session, unlabelled: Path, tmp_path: Path) -> None:
    output = tmp_path / "labelled.png"
    with pytest.raises(UsageError, match="consent"):
        label_generated(unlabelled, output, Generated("veilmark test", [], False, " "), session)
    assert not output.exists() and not unlabelled.exists()


def test_existing_output_is_kept_and_the_unlabelled_file_deleted(
    session: Session, unlabelled: Path, tmp_path: Path
) -> None:
    output = tmp_path / "labelled.png"
    output.write_bytes(b"precious")
    with pytest.raises(OutputExistsError):
        label_generated(unlabelled, output, Generated("veilmark test", [], False, "mine"), session)
    assert output.read_bytes() == b"precious" and not unlabelled.exists()


@pytest.mark.parametrize("shape", [(8, 8, 3), (64, 64, 3), (1080, 1920, 3), (1920, 300, 3)])
def test_visible_mark_changes_the_corner_only(shape: tuple[int, int, int]) -> None:
    pixels = np.full(shape, 200, np.uint8)
    marked = mark_visibly(pixels)
    assert marked.shape == pixels.shape and (pixels == 200).all()
    changed = np.argwhere((marked != pixels).any(axis=2))
    assert len(changed) > 0
    if shape[0] > 100:
        assert changed[:, 0].min() > 0.85 * shape[0]

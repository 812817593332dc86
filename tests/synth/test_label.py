"""The only door out: what is generated leaves signed, labelled and recorded."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from provenance.commands.support.show import show_verdict
from provenance.errors import OutputExistsError, UsageError
from provenance.home import Home
from provenance.media.files import sha256_file
from provenance.pages.verdict import verdict_page
from provenance.search.lookup import open_lookup
from provenance.session import Session, open_session
from provenance.setup import initialize
from provenance.trust.store import TrustStore
from provenance.verdict import Verdict
from provenance.verify import verify_file
from synth.label import Generated, label_generated, mark_visibly
from tests.support.schemas import checked


@pytest.fixture
def session() -> Iterator[Session]:
    home = Home.locate()
    initialize(home, subject="Researcher", algorithm="es256", passphrase=None)
    with open_session(home) as opened:
        yield opened


def _shown(verdict: Verdict, depth: int, capsys: pytest.CaptureFixture[str]) -> str:
    capsys.readouterr()
    show_verdict(verdict, depth)
    return capsys.readouterr().out


@pytest.mark.parametrize("trusted", [True, False])
@pytest.mark.parametrize("altered", [False, True])
def test_synthetic_is_the_first_word_everywhere(
    session: Session,
    unlabelled: Path,
    portrait_files: dict[str, Path],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    trusted: bool,
    altered: bool,
) -> None:
    """Whoever signed it, and even where it was changed afterwards: in the three depths, the JSON and the page."""
    output = tmp_path / "labelled.png"
    about = Generated("veilmark test", [portrait_files["hopper"]], True, "public-domain portrait")
    label_generated(unlabelled, output, about, session)
    if altered:
        data = bytearray(output.read_bytes())
        data[-200] ^= 1  # in the pixels
        output.write_bytes(data)
    trust = TrustStore.load(session.home) if trusted else TrustStore.load(Home.at(tmp_path / "a stranger's"))
    verdict = verify_file(output, trust)
    assert verdict.state == ("tampered" if altered else "trusted" if trusted else "valid-unknown-signer")
    first = f"SYNTHETIC, signed {'as' if altered else 'by'} Researcher ("
    worth = "name not judged" if altered else "you trust this signer" if trusted else "name not confirmed"
    for depth in (0, 1, 2):
        said = _shown(verdict, depth, capsys)
        assert said[2:].startswith(f"{first}{worth})"), said
        assert "TRUSTED" not in said
        assert said.count("SYNTHETIC") == 1
    data_of = verdict.to_json()
    assert data_of["synthetic"] is True and data_of["headline"].startswith(first)
    checked(data_of)
    page = verdict_page([verdict])
    assert f"<h2><span>{first}{worth})</span>" in page and ">Trusted<" not in page


def test_a_copy_without_credential_of_synthetic_media_is_told(
    session: Session, portrait_files: dict[str, Path], tmp_path: Path
) -> None:
    made = tmp_path / "made.png"
    Image.open(portrait_files["astronaut"]).resize((300, 300)).save(made)
    output, bare = tmp_path / "labelled.png", tmp_path / "bare.jpg"
    label_generated(made, output, Generated("veilmark test", [], False, "public domain"), session)
    Image.open(output).convert("RGB").save(bare, quality=80)
    with open_lookup(session.home) as lookup:
        verdict = verify_file(bare, TrustStore.load(session.home), lookup=lookup)
    assert verdict.state == "no-credential" and not verdict.synthetic
    assert "your own ledger calls what looks like it synthetic" in verdict.headline


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


@pytest.mark.parametrize("shape", [(1920, 1080), (360, 640), (96, 96)])
@pytest.mark.parametrize("centre", [(0.5, 0.35), (0.05, 0.02), (0.98, 0.9)])
def test_mark_stands_on_the_face(shape: tuple[int, int], centre: tuple[float, float]) -> None:
    """Cropping a film to anything that shows the face, without what is below it, keeps the mark whole."""
    height, width = shape
    size = 0.17 * min(shape)
    middle = np.array([centre[0] * width, centre[1] * height])
    face = middle + size * np.array([[-0.5, -0.6], [0.5, -0.6], [0.5, 0.6], [-0.5, 0.6]])
    pixels = np.full((height, width, 3), 200, np.uint8)
    changed = np.argwhere((mark_visibly(pixels, face) != pixels).any(axis=2))
    (top, left), (bottom, right) = changed.min(0), changed.max(0)
    assert right - left > 0.2 * width, "readable where a portrait film is a few centimetres wide"
    inside = np.clip(middle, 0, (width - 1, height - 1))
    assert left - 2 <= inside[0] <= right + 2 or abs(middle[0] - (left + right) / 2) < size
    below = face[:, 1].max()
    assert bottom <= max(below, bottom - top + 1), "nothing of it is below the face"
    assert top >= min(face[:, 1].min() - 0.1 * width, height - 1 - (bottom - top))

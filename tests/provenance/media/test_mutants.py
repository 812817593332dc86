"""Damaged files of every format: one clear error or a verdict, never a traceback, never a wrong "trusted"."""

from __future__ import annotations

import random
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from provenance.errors import MediaError, VeilmarkError
from provenance.home import Home
from provenance.identity.identity import Identity, create_identity
from provenance.manifest.embed import ManifestSpec, sign_manifest
from provenance.manifest.extract import extract_parts
from provenance.manifest.read import read_manifest
from provenance.media.completeness import is_whole
from provenance.media.formats import FORMATS, detect_format
from provenance.media.picture import open_picture
from tests.support.media_files import MAKERS
from tests.support.mutants import mutant


class Samples:
    """Every format, as it is and signed; and a session to work at."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.identity: Identity = create_identity(Home(folder / "home", folder / "config"), subject="Jane")
        self.plain: dict[str, bytes] = {}
        self.signed: dict[str, bytes] = {}
        self.stores: dict[str, bytes] = {}
        for name, make in MAKERS.items():
            source, output = folder / f"{name}{FORMATS[name].suffix}", folder / f"{name}.signed"
            make(source)
            self.stores[name] = sign_manifest(
                source, output, ManifestSpec(title=name), self.identity, media=FORMATS[name]
            )
            self.plain[name], self.signed[name] = source.read_bytes(), output.read_bytes()


@pytest.fixture(scope="module")
def samples(tmp_path_factory: pytest.TempPathFactory) -> Samples:
    return Samples(tmp_path_factory.mktemp("mutants"))


@settings(
    max_examples=300,
    deadline=10_000,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
    derandomize=True,
)
@given(name=st.sampled_from(sorted(MAKERS)), signed=st.booleans(), seed=st.integers(0, 2**32))
def test_damage_is_an_error_or_a_finding(samples: Samples, name: str, signed: bool, seed: int) -> None:
    rng = random.Random(seed)
    original = (samples.signed if signed else samples.plain)[name]
    path = samples.folder / "mutant"
    path.write_bytes(mutant(original, rng)[1])
    sidecar = None if FORMATS[name].embeddable else mutant(samples.stores[name], rng)[1]
    try:
        media = detect_format(path)
    except MediaError:
        return
    is_whole(path, media)
    before = path.read_bytes()
    anchors = [samples.identity.chain_pem]
    for work in (
        lambda: open_picture(path) if media.kind == "image" else None,
        lambda: extract_parts(path, media.mime),
        lambda: sign_manifest(path, samples.folder / "out", ManifestSpec(), samples.identity, media=media),
    ):
        try:
            work()
        except VeilmarkError as error:
            assert str(error)
            assert "\n" not in str(error)
    try:
        report = read_manifest(path, media.mime, anchors_pem=anchors, manifest_data=sidecar)
    except VeilmarkError:
        report = None
    if report is not None and report.state == "trusted" and media.kind == "image":
        original_path = samples.folder / "original"
        original_path.write_bytes(original)
        assert open_picture(path).pixels.tobytes() == open_picture(original_path).pixels.tobytes()
    assert path.read_bytes() == before, "inputs are never modified"

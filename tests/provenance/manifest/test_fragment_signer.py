"""A film in fragments, made by a real encoder, is signed; each fragment verifies, and none can be changed."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import av
import pytest

from provenance.errors import CorruptMediaError, OutputExistsError, UsageError
from provenance.home import Home
from provenance.manifest.embed import ManifestSpec
from provenance.manifest.fragments import read_fragments
from provenance.manifest.report import ManifestReport
from provenance.session import Session, open_session
from provenance.setup import initialize
from provenance.sign import SignRequest
from provenance.stream import sign_stream
from provenance.trust.anchors import Anchors
from tests.support.conformance import offences
from tests.support.media_files import make_fragments
from tests.support.second_verifier import second_opinion


@pytest.fixture(scope="module")
def film(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with ``init-stream0.m4s`` and six fragments."""
    folder = tmp_path_factory.mktemp("dash")
    make_fragments(folder)
    return folder


@pytest.fixture
def session(tmp_path: Path) -> Iterator[Session]:
    home = Home(tmp_path / "desk", tmp_path / "desk/config")
    initialize(home, subject="House", algorithm="es256", passphrase=None)
    with open_session(home) as opened:
        yield opened


def parts(folder: Path) -> tuple[Path, list[Path]]:
    return folder / "init-stream0.m4s", sorted(folder.glob("chunk-*.m4s"))


def signed(film: Path, session: Session, tmp_path: Path) -> tuple[Path, list[Path]]:
    request = SignRequest(ManifestSpec(title="film", author="Jane"))
    result = sign_stream(*parts(film), tmp_path / "out", request, session)
    assert result.record.media_type == "video/mp4" and result.receipt_path
    return parts(tmp_path / "out")


def check(start: Path, fragments: list[Path]) -> ManifestReport:
    report = read_fragments(start, "video/mp4", fragments, anchors_pem=Anchors())
    assert report is not None
    return report


def test_every_fragment_verifies_and_plays(film: Path, session: Session, tmp_path: Path) -> None:
    start, fragments = signed(film, session, tmp_path)
    assert len(fragments) == 6
    report = check(start, fragments)
    assert (report.state, report.title, report.failures) == ("valid", "film", [])
    assert offences(report.crjson()) == {}
    theirs = second_opinion(start, "video/mp4", fragments=fragments)
    # it hashes the boxes of a fragment without their offsets: docs/reference/second-verifier.md
    assert (theirs.word, theirs.codes) == ("invalid", {"assertion.bmffHash.mismatch"})

    def shown(files: tuple[Path, list[Path]]) -> list[bytes]:
        whole = tmp_path / "whole.mp4"
        whole.write_bytes(b"".join(one.read_bytes() for one in (files[0], *files[1])))
        with av.open(str(whole)) as container:
            return [frame.to_ndarray().tobytes() for frame in container.decode(video=0)]

    assert shown((start, fragments)) == shown(parts(film))


def test_a_changed_exchanged_or_foreign_fragment_is_found(
    film: Path, session: Session, tmp_path: Path
) -> None:
    start, fragments = signed(film, session, tmp_path)
    good = [one.read_bytes() for one in fragments]
    for data in (
        good[2][:-5] + bytes([good[2][-5] ^ 1]) + good[2][-4:],
        good[3],
        parts(film)[1][2].read_bytes(),
    ):
        fragments[2].write_bytes(data)
        expected = "valid" if data == good[3] else "invalid"  # another one of the film, whole, is that one
        assert check(start, fragments).state == expected
    fragments[2].write_bytes(good[2])
    head = bytearray(start.read_bytes())
    head[-5] ^= 1
    start.write_bytes(head)
    assert check(start, fragments).state == "invalid"


def test_what_cannot_be_signed(film: Path, session: Session, tmp_path: Path) -> None:
    start, fragments = parts(film)
    request = SignRequest(ManifestSpec())
    out = tmp_path / "out"
    for kind, arguments in (
        (UsageError, (start, [], out)),
        (UsageError, (start, [*fragments, fragments[0]], out)),
        (UsageError, (start, fragments, film)),
        (CorruptMediaError, (start, [start.with_name("film.mpd")], out)),
    ):
        with pytest.raises(kind):
            sign_stream(*arguments, request, session)
    assert not out.exists() or not list(out.iterdir()), "nothing is left half done"
    again = signed(film, session, tmp_path)
    with pytest.raises(OutputExistsError):
        sign_stream(start, fragments, out, request, session)
    with pytest.raises(UsageError, match="signed film already"):
        sign_stream(*again, tmp_path / "twice", request, session)
    with pytest.raises(UsageError, match="signed film already"):
        sign_stream(again[0], fragments, tmp_path / "twice", request, session)
    assert session.ledger.size == 1

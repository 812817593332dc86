"""Signing that is cut off at each of its steps and called again: one record, and everything in its place."""

from __future__ import annotations

from pathlib import Path

import pytest

from provenance.home import Home
from provenance.manifest.spec import ManifestSpec
from provenance.media.files import sha256_file
from provenance.session import open_session
from provenance.setup import initialize
from provenance.sign import SignRequest
from provenance.sign_once import sign_once
from provenance.trust.store import TrustStore
from provenance.verdict import State
from provenance.verify import verify_file


class Killed(BaseException):
    """Stands for the end of the process at this point."""


@pytest.fixture
def home(tmp_path: Path) -> Home:
    place = Home.at(tmp_path / "home")
    initialize(place, subject="Ada Lovelace", algorithm="es256", passphrase=None)
    return place


@pytest.mark.parametrize("at", ["fingerprint", "manifest", "read back", "record", "ledger", "write", "end"])
@pytest.mark.parametrize("beside", [False, True])
def test_cut_off_anywhere_it_leaves_one_record(
    at: str, beside: bool, home: Home, portrait_files: dict[str, Path], tmp_path: Path
) -> None:
    source, output = portrait_files["hopper"], tmp_path / "out" / "hopper.jpg"
    if beside:
        source, output = tmp_path / "notes.txt", tmp_path / "out" / "notes.txt"
        source.write_text("a file whose manifest lies beside it")
    request, journal = SignRequest(ManifestSpec(), any_file=beside), tmp_path / "journal"

    def step(name: str) -> None:
        if name == at:
            raise Killed

    with open_session(home) as session:
        if at == "end":
            sign_once(source, output, request, session, journal=journal)
        else:
            with pytest.raises(Killed):
                sign_once(source, output, request, session, journal=journal, step=step)
        again = sign_once(source, output, request, session, journal=journal)
        third = sign_once(source, output, request, session, journal=journal)
        assert session.ledger.size == 1 and again.index == third.index == 0
        assert again.record == third.record == session.ledger.entry(0).record
    assert sha256_file(output) == again.record.file_sha256
    assert bool(again.sidecar and again.sidecar.is_file()) is beside
    assert verify_file(output, TrustStore.load(home)).state is State.TRUSTED


def test_another_journal_is_another_wish(home: Home, portrait_files: dict[str, Path], tmp_path: Path) -> None:
    with open_session(home) as session:
        for name in ("a", "b"):
            sign_once(
                portrait_files["hopper"],
                tmp_path / f"{name}.jpg",
                SignRequest(ManifestSpec()),
                session,
                journal=tmp_path / name,
            )
        assert session.ledger.size == 2


def test_a_journal_that_does_not_fit_is_begun_anew(
    home: Home, portrait_files: dict[str, Path], tmp_path: Path
) -> None:
    journal, output = tmp_path / "journal", tmp_path / "hopper.jpg"
    journal.mkdir()
    (journal / "unlogged.json").write_text('{"opening": ')
    with open_session(home) as session:
        signed = sign_once(
            portrait_files["hopper"], output, SignRequest(ManifestSpec()), session, journal=journal
        )
        assert session.ledger.size == 1 and sha256_file(output) == signed.record.file_sha256

"""A log has one history: a copy of it that goes on by itself is found out."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from typer.testing import CliRunner

from cli import app
from provenance.home import Home
from provenance.manifest.embed import ManifestSpec
from provenance.search.lookup import open_lookup
from provenance.session import open_session
from provenance.setup import initialize
from provenance.sign import SignRequest, sign_file
from provenance.trust.store import TrustStore
from provenance.verdict import CheckName, State, Verdict
from provenance.verify import verify_file


def signed(home: Home, source: Path, output: Path) -> Path:
    with open_session(home) as session:
        return sign_file(source, output, SignRequest(ManifestSpec()), session).output


def verdict_of(path: Path, home: Home) -> Verdict:
    with open_lookup(home) as lookup:
        return verify_file(path, TrustStore.load(home), lookup=lookup)


def test_two_histories_of_the_own_log_are_found_whichever_is_the_own(
    portrait_files: dict[str, Path], tmp_path: Path
) -> None:
    home = Home.at(tmp_path / "home")
    initialize(home, subject="House", algorithm="es256", passphrase=None)
    first = signed(home, portrait_files["hopper"], tmp_path / "first.jpg")
    shutil.copytree(home.data, tmp_path / "copy")
    home.data.rename(tmp_path / "moved")
    copy, moved = Home.at(tmp_path / "copy"), Home.at(tmp_path / "moved")
    at_copy = signed(copy, portrait_files["astronaut"], tmp_path / "at-copy.jpg")
    ahead = verdict_of(at_copy, moved)
    assert ahead.state is State.TRUSTED and "older copy" in ahead.warnings[0]
    at_moved = signed(moved, portrait_files["hopper"], tmp_path / "at-moved.jpg")  # not locked out
    for path, home in ((at_copy, moved), (at_moved, copy)):
        verdict = verdict_of(path, home)
        assert (verdict.state, verdict.exit_code) == (State.TAMPERED, 1)
        (fork,) = verdict.failed
        assert fork.name is CheckName.LEDGER_PROOF and "two histories" in verdict.headline
        with open_session(home) as session:
            assert session.ledger.checkpoint().root.hex()[:16] in fork.detail
        other = copy if home is moved else moved
        with open_session(other) as session:
            assert session.ledger.checkpoint().root.hex()[:16] in fork.detail
    for path, home in ((at_copy, copy), (at_moved, moved), (first, copy), (first, moved)):
        assert verdict_of(path, home).exit_code == 0


def test_the_guard_moves_with_the_home(portrait_files: dict[str, Path], tmp_path: Path) -> None:
    home = Home.at(tmp_path / "home")
    initialize(home, subject="House", algorithm="es256", passphrase=None)
    signed(home, portrait_files["hopper"], tmp_path / "first.jpg")
    old = (home.ledger.read_bytes(), (home.config / "ledger.guard").read_bytes())
    home.data.rename(tmp_path / "moved")
    moved = Home.at(tmp_path / "moved")
    signed(moved, portrait_files["astronaut"], tmp_path / "second.jpg")
    assert (moved.config / "ledger.guard").read_bytes() != old[1]
    assert not (tmp_path / "home").exists()


def test_the_hint_of_a_fork_names_commands_that_exist(
    portrait_files: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = Home.at(tmp_path / "home")
    monkeypatch.setenv("VEILMARK_HOME", str(home.data))
    initialize(home, subject="House", algorithm="es256", passphrase=None)
    backup = str(tmp_path / "old.backup")
    run = CliRunner()
    assert run.invoke(app, ["ledger", "backup", backup]).exit_code == 0
    signed(home, portrait_files["hopper"], tmp_path / "first.jpg")
    assert run.invoke(app, ["ledger", "restore", backup, "--force"]).exit_code == 0
    refused = run.invoke(app, ["sign", str(portrait_files["astronaut"])])
    assert refused.exit_code == 3
    for command in ("restore", "catch-up"):
        assert f"`veilmark ledger {command}`" in " ".join(refused.output.split())
        assert run.invoke(app, ["ledger", command, "--help"]).exit_code == 0

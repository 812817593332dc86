"""What a signed file was made from is kept, and nothing that was said of it is lost."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from PIL import Image
from typer.testing import CliRunner

from cli import app
from provenance.errors import CheckError, ContradictionError
from provenance.home import Home
from provenance.manifest.embed import Action, ManifestSpec, Parent
from provenance.record import Relation
from provenance.search.lookup import open_lookup
from provenance.session import Session, open_session
from provenance.setup import initialize
from provenance.sign import SignRequest, SignResult, sign_file
from provenance.trust.store import TrustStore
from provenance.verdict import Verdict
from provenance.verify import verify_file
from tests.support import odd_manifests
from tests.support.odd_manifests import Vendor
from tests.support.schemas import checked

GENERATED = ManifestSpec(digital_source_type="trainedAlgorithmicMedia")


@pytest.fixture
def home(tmp_path: Path) -> Home:
    home = Home.at(tmp_path / "desk")
    initialize(home, subject="House", algorithm="es256", passphrase=None)
    return home


@pytest.fixture
def session(home: Home) -> Iterator[Session]:
    with open_session(home) as session:
        yield session


@pytest.fixture
def photo(portrait_files: dict[str, Path]) -> Path:
    return portrait_files["hopper"]


def signed(source: Path, name: str, session: Session, spec: ManifestSpec | None = None) -> SignResult:
    return sign_file(source, source.with_name(name), SignRequest(spec or ManifestSpec()), session)


def verdict_of(path: Path, home: Home) -> Verdict:
    with open_lookup(home) as lookup:
        return verify_file(path, TrustStore.load(home), lookup=lookup)


def encoded_again(path: Path, name: str) -> Path:
    """Without a manifest, smaller, at another quality."""
    with Image.open(path) as picture:
        half = picture.convert("RGB").resize((picture.width // 2, picture.height // 2))
    half.save(path.with_name(name), quality=60)
    return path.with_name(name)


def what(verdict: Verdict) -> tuple[Relation | None, str]:
    return verdict.relation, verdict.source_type


def test_the_synthetic_label_is_recorded_and_inherited(photo: Path, session: Session, home: Home) -> None:
    first = signed(photo, "first.jpg", session, GENERATED)
    assert first.record.relation is Relation.SYNTHETIC
    again = signed(first.output, "again.jpg", session)
    cropped = signed(again.output, "cropped.jpg", session, ManifestSpec(actions=(Action("c2pa.cropped"),)))
    for result in (first, again, cropped):
        verdict = verdict_of(result.output, home)
        assert what(verdict) == (Relation.SYNTHETIC, "trainedAlgorithmicMedia"), result.output.name
        assert not verdict.warnings
    (opened,) = verdict_of(again.output, home).actions
    assert opened["action"] == "c2pa.opened", "nothing was done to it, so nothing more is claimed"
    crop = verdict_of(cropped.output, home).actions[1]
    assert (crop["action"], crop["digital_source_type"]) == ("c2pa.cropped", "humanEdits")


def test_the_label_of_a_parent_without_manifest_is_known_from_the_ledger(
    photo: Path, session: Session, home: Home
) -> None:
    signed(photo, "first.jpg", session, GENERATED)
    smaller = encoded_again(photo, "smaller.jpg")
    spec = ManifestSpec(relation=Relation.EDITED, parents=(Parent(photo),))
    edit = signed(smaller, "edit.jpg", session, spec)
    assert what(verdict_of(edit.output, home)) == (Relation.SYNTHETIC, "trainedAlgorithmicMedia")


def test_a_picture_with_a_synthetic_part_is_synthetic(
    photo: Path, session: Session, home: Home, portrait_files: dict[str, Path]
) -> None:
    part = signed(portrait_files["astronaut"], "part.jpg", session, GENERATED)
    placed = Parent(part.output, relationship="componentOf")
    result = signed(photo, "montage.jpg", session, ManifestSpec(parents=(placed,)))
    assert what(verdict_of(result.output, home)) == (Relation.SYNTHETIC, "compositeSynthetic")


def test_an_action_or_a_definition_can_say_so_too(
    photo: Path, session: Session, home: Home, portrait_files: dict[str, Path]
) -> None:
    kind = "http://cv.iptc.org/newscodes/digitalsourcetype/compositeWithTrainedAlgorithmicMedia"
    actions = {"actions": [{"action": "c2pa.edited", "digitalSourceType": kind}]}
    spec = ManifestSpec(definition={"assertions": [{"label": "c2pa.actions", "data": actions}]})
    result = signed(photo, "out.jpg", session, spec)
    assert what(verdict_of(result.output, home)) == (Relation.SYNTHETIC, kind.rsplit("/", 1)[-1])
    both = (
        Action("c2pa.cropped"),
        Action("c2pa.edited", digital_source_type="compositeWithTrainedAlgorithmicMedia"),
    )
    other = portrait_files["astronaut"]
    edit = ManifestSpec(relation=Relation.EDITED, parents=(Parent(other),), actions=both)
    smaller = encoded_again(other, "smaller.jpg")
    verdict = verdict_of(signed(smaller, "edit.jpg", session, edit).output, home)
    assert what(verdict) == (Relation.SYNTHETIC, "compositeWithTrainedAlgorithmicMedia")
    assert [one["digital_source_type"] for one in verdict.actions[-2:]] == ["humanEdits", verdict.source_type]


def test_other_tools_cannot_wash_the_label_off(
    photo: Path, session: Session, home: Home, tmp_path: Path
) -> None:
    first = signed(photo, "first.jpg", session, GENERATED)
    elsewhere = Vendor("Desk").sign(photo, tmp_path / "elsewhere.jpg", parents=[first.output])
    assert verdict_of(elsewhere, home).source_type == "trainedAlgorithmicMedia"


def test_the_own_ledger_contradicts_a_capture(photo: Path, session: Session, home: Home) -> None:
    first = signed(photo, "first.jpg", session, GENERATED)
    lost = encoded_again(first.output, "lost.jpg")
    mirrored = photo.with_name("mirrored.jpg")
    with Image.open(photo) as picture:
        picture.transpose(Image.Transpose.FLIP_LEFT_RIGHT).save(mirrored, quality=80)
    for source, words in ((photo, "this very file"), (lost, "looks like it"), (mirrored, "looks like it")):
        with pytest.raises(ContradictionError, match=words) as refusal:
            signed(source, "refused.jpg", session)
        assert refusal.value.exit_code == 8 and "--source-type" in refusal.value.hint
        assert not photo.with_name("refused.jpg").exists()
    insisted = signed(lost, "insisted.jpg", session, ManifestSpec(digital_source_type="digitalCapture"))
    assert insisted.record.relation is Relation.CAPTURED
    stranger = Vendor("Camera").sign(lost, photo.with_name("stranger.jpg"))
    for path in (insisted.output, stranger):
        (warning,) = [one for one in verdict_of(path, home).warnings if "synthetic" in one]
        assert "own ledger" in warning and "entry 0" in warning


def test_what_was_made_from_a_recording_takes_nothing_from_it(
    photo: Path, session: Session, home: Home, portrait_files: dict[str, Path]
) -> None:
    original = signed(photo, "original.jpg", session)
    altered = encoded_again(photo, "altered.jpg")
    parent = Parent(original.output)
    made = replace(GENERATED, relation=Relation.SYNTHETIC, parents=(parent,))
    signed(altered, "swap.jpg", session, made)
    assert not verdict_of(original.output, home).warnings
    assert signed(photo, "twice.jpg", session).record.relation is Relation.CAPTURED
    other = signed(portrait_files["astronaut"], "other.jpg", session)
    assert other.record.relation is Relation.CAPTURED


def test_two_statements_about_one_source_contradict_each_other(
    photo: Path, session: Session, home: Home
) -> None:
    captured = signed(photo, "captured.jpg", session)
    signed(photo, "generated.jpg", session, GENERATED)
    assert any("synthetic" in one for one in verdict_of(captured.output, home).warnings)


def test_the_command_refuses_with_code_8(photo: Path, home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VEILMARK_HOME", str(home.data))
    run = CliRunner()
    copy = shutil.copy(photo, photo.with_name("copy.jpg"))
    kind = ["--source-type", "trainedAlgorithmicMedia"]
    done = run.invoke(app, ["sign", "--json", str(photo), *kind])
    assert done.exit_code == 0
    assert json.loads(done.stdout.splitlines()[0])["record"]["relation"] == "synthetic"
    refused = run.invoke(app, ["sign", str(copy)])
    assert refused.exit_code == 8 and "--source-type" in refused.output
    assert run.invoke(app, ["sign", str(copy), *kind]).exit_code == 0


@pytest.mark.vectors
def test_a_file_with_an_address_alone_is_not_signed_as_captured(
    test_data: Path, session: Session, tmp_path: Path
) -> None:
    remote = test_data / "vectors/c2pa-wild/remote-manifest.jpg"
    with pytest.raises(CheckError, match="at an address") as refusal:
        sign_file(remote, tmp_path / "out.jpg", SignRequest(ManifestSpec()), session)
    assert "--online" in refusal.value.hint and not (tmp_path / "out.jpg").exists()


@pytest.mark.vectors
def test_a_side_car_beside_is_kept_as_the_parent(
    test_data: Path, session: Session, home: Home, tmp_path: Path
) -> None:
    for name in ("sidecar-and-url.jpg", "sidecar-and-url.jpg.c2pa"):
        shutil.copyfile(test_data / "vectors/c2pa-wild" / name, tmp_path / name)
    result = signed(tmp_path / "sidecar-and-url.jpg", "out.jpg", session)
    assert result.record.relation is Relation.EDITED
    verdict = verdict_of(result.output, home)
    assert verdict.ingredients[0]["has_manifest"] and not verdict.warnings


@pytest.mark.parametrize("make", [odd_manifests.as_later_version, odd_manifests.as_draft])
def test_an_unread_credential_is_not_left_behind_without_a_word(
    photo: Path, session: Session, tmp_path: Path, make: Callable[[Path], None]
) -> None:
    shot = Vendor("Camera").sign(photo, tmp_path / "shot.jpg")
    make(shot)
    with pytest.raises(CheckError, match="cannot be read") as refusal:
        signed(shot, "refused.jpg", session)
    assert "--parent" in refusal.value.hint and not (tmp_path / "refused.jpg").exists()
    spec = ManifestSpec(relation=Relation.EDITED, parents=(Parent(shot),))
    copy = encoded_again(photo, "copy.jpg")
    assert signed(copy, "named.jpg", session, spec).record.relation is Relation.EDITED


def test_a_picture_that_cannot_hold_a_manifest_keeps_its_side_car_as_parent(
    photo: Path, session: Session, home: Home, tmp_path: Path
) -> None:
    with Image.open(photo) as picture:
        picture.save(tmp_path / "plain.bmp")
    first = signed(tmp_path / "plain.bmp", "first.bmp", session, GENERATED)
    assert first.sidecar is not None and first.record.relation is Relation.SYNTHETIC
    again = signed(first.output, "again.bmp", session)
    verdict = verdict_of(again.output, home)
    assert what(verdict) == (Relation.SYNTHETIC, "trainedAlgorithmicMedia")
    assert verdict.ingredients[0]["has_manifest"] and not verdict.warnings


@pytest.mark.vectors
def test_a_parent_that_does_not_verify_is_said_at_signing_and_in_every_depth(
    test_data: Path, home: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("VEILMARK_HOME", str(home.data))
    run = CliRunner()
    source = tmp_path / "tampered-parent.jpg"
    shutil.copyfile(test_data / "vectors/c2pa-wild/tampered-parent.jpg", source)
    done = run.invoke(app, ["sign", str(source)])
    assert done.exit_code == 0 and "warning: the credential of" in done.stderr.replace("\n", " ")
    output = str(tmp_path / "tampered-parent.signed.jpg")
    for depth in ("--brief", "--json", "-v", None):
        shown = run.invoke(app, ["verify", output, *([depth] if depth else [])])
        assert shown.exit_code == 0
        assert "'tampered-parent.jpg', does not verify" in " ".join(shown.stdout.split()), depth
        if depth == "--json":
            checked(json.loads(shown.stdout))
    again = run.invoke(app, ["sign", "--json", "--force", str(source)])
    (warning,) = json.loads(again.stdout.splitlines()[0])["warnings"]
    assert "does not verify: the content was changed after it was signed" in warning


def test_an_honest_edit_elsewhere_is_not_accused(
    photo: Path, session: Session, home: Home, tmp_path: Path, portrait_files: dict[str, Path]
) -> None:
    mine = signed(photo, "mine.jpg", session)
    other = signed(portrait_files["astronaut"], "other.jpg", session)
    desk, press = Vendor("Desk"), Vendor("Press")
    smaller = encoded_again(photo, "smaller.jpg")
    edit = desk.sign(smaller, tmp_path / "edit.jpg", parents=[mine.output])
    second = press.sign(encoded_again(photo, "third.jpg"), tmp_path / "second.jpg", parents=[edit])
    for path in (edit, second):
        verdict = verdict_of(path, home)
        assert not verdict.warnings
        (parent,) = verdict.parents
        assert (parent["index"], parent["signer_name"]) == (0, "House")
        assert parent["sha256"] == mine.record.file_sha256
    shown = CliRunner().invoke(app, ["verify", str(second)], env={"VEILMARK_HOME": str(home.data)})
    assert "record no. 0 in your log (captured by House" in " ".join(shown.stdout.split())
    stripped = desk.sign(smaller, tmp_path / "stripped.jpg")
    foreign = desk.sign(smaller, tmp_path / "foreign.jpg", parents=[other.output])
    for path in (stripped, foreign):
        assert any("stripped and signed again" in one for one in verdict_of(path, home).warnings)


def test_a_look_alike_is_not_called_recorded_or_unrecorded(
    photo: Path, session: Session, home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("VEILMARK_HOME", str(home.data))
    signed(photo, "first.jpg", session)
    run = CliRunner()
    smaller = encoded_again(photo, "smaller.jpg")
    shown = " ".join(run.invoke(app, ["verify", str(smaller)]).stdout.split())
    assert "not recorded itself; 1 record looks like it" in shown and "no ledger record" not in shown
    signed(photo, "second.jpg", session)
    shown = " ".join(run.invoke(app, ["verify", str(smaller)]).stdout.split())
    assert "not recorded itself; 2 records look like it" in shown

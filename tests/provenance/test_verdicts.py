"""Files on which a verdict was wrong once, each with the right one, and what a person is told."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from typer.testing import CliRunner

from cli import app
from provenance.errors import CheckError
from provenance.home import Home
from provenance.identity import certificates
from provenance.identity.admin import import_identity
from provenance.identity.credential import load_credential
from provenance.identity.identity import create_identity
from provenance.manifest.embed import ManifestSpec, sign_manifest
from provenance.manifest.judge import conclude_expired
from provenance.manifest.read import read_manifest
from provenance.session import open_session
from provenance.setup import initialize
from provenance.sign import SignRequest, sign_file
from provenance.trust.anchors import Purpose
from provenance.trust.store import TrustStore
from provenance.verdict import CheckName, Credential, LedgerStatus, State, Time, TimeKind, Verdict
from provenance.verify import VerifyRequest, verify_file
from tests.support import odd_manifests
from tests.support.certificates import pem_of
from tests.support.odd_manifests import Vendor


@pytest.fixture
def trust(tmp_path: Path) -> TrustStore:
    return TrustStore.load(Home(tmp_path / "data", tmp_path / "config"))


@pytest.fixture
def photo(portrait_files: dict[str, Path]) -> Path:
    return portrait_files["hopper"]


def signer_check(verdict: Verdict) -> str:
    return next(check.detail for check in verdict.checks if check.name is CheckName.SIGNER)


def everything_said(verdict: Verdict) -> str:
    return " ".join([verdict.headline, *verdict.warnings, *(check.detail for check in verdict.checks)])


@pytest.mark.vectors
@pytest.mark.parametrize(
    ("name", "code"), [("cawg-identity.jpg", 5), ("redacted-assertion.jpg", 5), ("tampered-parent.jpg", 1)]
)
def test_files_from_the_wild(trust: TrustStore, test_data: Path, name: str, code: int) -> None:
    assert verify_file(test_data / "vectors/c2pa-wild" / name, trust).exit_code == code


@pytest.mark.vectors
def test_a_side_car_goes_before_the_address_that_a_file_names(
    trust: TrustStore, test_data: Path, tmp_path: Path
) -> None:
    wild = test_data / "vectors/c2pa-wild"
    for online in (False, True):
        verdict = verify_file(wild / "sidecar-and-url.jpg", trust, request=VerifyRequest(online=online))
        assert (verdict.exit_code, verdict.credential) == (5, Credential.SIDECAR)
        assert not verdict.failed
    alone = shutil.copy(wild / "sidecar-and-url.jpg", tmp_path / "alone.jpg")
    with pytest.raises(CheckError, match="at a URL") as refusal:
        verify_file(Path(alone), trust)
    assert refusal.value.exit_code == 3 and "--online" in refusal.value.hint


def test_what_is_inside_goes_before_a_side_car(trust: TrustStore, photo: Path, tmp_path: Path) -> None:
    shot = Vendor("Camera").sign(photo, tmp_path / "shot.jpg")
    (tmp_path / "shot.jpg.c2pa").write_bytes(b"a stray file")
    verdict = verify_file(shot, trust)
    assert (verdict.exit_code, verdict.credential) == (5, Credential.EMBEDDED)


@pytest.mark.vectors
def test_a_stream_is_checked_with_its_fragments(trust: TrustStore, test_data: Path, tmp_path: Path) -> None:
    for name in ("dash-init.mp4", "dash-1.m4s"):
        shutil.copyfile(test_data / "vectors/c2pa-wild" / name, tmp_path / name)
    start, part = tmp_path / "dash-init.mp4", tmp_path / "dash-1.m4s"
    alone = verify_file(start, trust)
    assert (alone.state, alone.exit_code) == (State.NOT_CHECKED, 3)
    assert "needs its fragments" in alone.headline and not alone.failed
    run = CliRunner()
    together = run.invoke(app, ["verify", str(start), "--fragments", str(tmp_path / "dash-*.m4s"), "--brief"])
    assert together.exit_code == 5
    copy = shutil.copy(part, tmp_path / "dash-2.m4s")
    odd_manifests.break_content(Path(copy))
    broken = verify_file(start, trust, request=VerifyRequest(fragments=[part, Path(copy)]))
    assert broken.exit_code == 1 and "the fragment 'dash-2.m4s' does not verify" in broken.headline
    assert all("dash-1.m4s" not in one.detail for one in broken.failed)
    odd_manifests.break_content(start)
    assert verify_file(start, trust, request=VerifyRequest(fragments=[part])).exit_code == 1
    wrong = run.invoke(app, ["verify", str(start), "--fragments", str(tmp_path / "no*.m4s")])
    assert wrong.exit_code == 2


@pytest.mark.vectors
def test_an_identity_that_nobody_vouches_for_is_named_and_not_confirmed(
    trust: TrustStore, test_data: Path
) -> None:
    verdict = verify_file(test_data / "vectors/c2pa-wild/cawg-identity.jpg", trust)
    assert verdict.state is State.VALID_UNKNOWN_SIGNER
    (named,) = verdict.identities
    assert (named.name, named.issuer, named.kind) == ("C2PA Signer", "Intermediate CA", "x509")
    assert not named.confirmed and not named.fault
    assert "not confirmed" in next(one.detail for one in verdict.checks if one.name is CheckName.IDENTITY)
    assert verdict.to_json()["identities"][0]["confirmed"] is False


@pytest.mark.vectors
def test_the_signer_of_altered_content_is_not_judged(trust: TrustStore, test_data: Path) -> None:
    verdict = verify_file(test_data / "vectors/c2pa-wild/tampered-parent.jpg", trust)
    assert verdict.signer is not None and verdict.signer.trusted is None
    assert "not judged" in signer_check(verdict)


class Person:
    """Who has a certificate of an identity authority, in files."""

    def __init__(self, folder: Path) -> None:
        root_key, key = certificates.generate_key("es256"), certificates.generate_key("es256")
        self.root = certificates.make_root(root_key, "Example Identities")
        leaf = certificates.make_leaf(self.root, root_key, key.public_key(), "Jane Q. Public")
        self.certificate, self.key = folder / "jane.pem", folder / "jane.key"
        self.certificate.write_text(certificates.to_pem([leaf, self.root]))
        self.key.write_bytes(pem_of(key))
        self.key.chmod(0o600)


def test_an_identity_is_written_and_confirmed_for_whom_trusts_its_authority(
    trust: TrustStore, photo: Path, tmp_path: Path
) -> None:
    person = Person(tmp_path)
    signer = create_identity(Home(tmp_path / "desk", tmp_path / "desk/config"), subject="House")
    spec = ManifestSpec(author="Jane", credential=load_credential(person.certificate, person.key))
    sign_manifest(photo, tmp_path / "out.jpg", spec, signer)
    root, people = certificates.to_pem([signer.root]), certificates.to_pem([person.root])

    def seen(path: Path) -> tuple[State, bool, str, str]:
        verdict = verify_file(path, trust)
        (named,) = verdict.identities
        return verdict.state, named.confirmed, named.name, named.issuer

    who = ("Jane Q. Public", "Example Identities root")
    assert seen(tmp_path / "out.jpg") == (State.VALID_UNKNOWN_SIGNER, False, *who)
    trust.add_anchor(people)
    assert seen(tmp_path / "out.jpg") == (State.VALID_UNKNOWN_SIGNER, False, *who), (
        "signers are not identities"
    )
    name = trust.add_anchor(people, purpose=Purpose.IDENTITIES)
    assert seen(tmp_path / "out.jpg") == (State.VALID_UNKNOWN_SIGNER, True, *who)
    trust.add_anchor(root)
    assert seen(tmp_path / "out.jpg") == (State.TRUSTED, True, *who)
    trust.remove(name, "identity-anchor")
    assert seen(tmp_path / "out.jpg") == (State.TRUSTED, False, *who)
    odd_manifests.break_content(tmp_path / "out.jpg")
    assert seen(tmp_path / "out.jpg")[:2] == (State.TAMPERED, False)


def test_a_trusted_signer_stays_trusted_whatever_the_file_was_made_from(
    trust: TrustStore, photo: Path, tmp_path: Path
) -> None:
    camera, desk = Vendor("Camera"), Vendor("Desk")
    shot = camera.sign(photo, tmp_path / "shot.jpg")
    edit = desk.sign(photo, tmp_path / "edit.jpg", parents=[shot], trusting=camera.root_pem)
    trust.add_anchor(desk.root_pem)
    verdict = verify_file(edit, trust)
    assert verdict.state is State.TRUSTED
    assert verdict.signer is not None and verdict.signer.trusted is True
    assert verdict.signer.name == "Desk" and not verdict.warnings


def test_a_broken_ingredient_is_named_and_its_signer_alone_is_blamed(
    trust: TrustStore, photo: Path, tmp_path: Path
) -> None:
    camera, desk = Vendor("Camera"), Vendor("Desk")
    edit = desk.sign(photo, tmp_path / "edit.jpg", parents=[camera.sign(photo, tmp_path / "shot.jpg")])
    odd_manifests.break_ingredient(edit)
    for vendor in (camera, desk):
        trust.add_anchor(vendor.root_pem)
    verdict = verify_file(edit, trust)
    assert verdict.state is State.TAMPERED
    assert "the ingredient 'shot.jpg' does not verify" in verdict.headline
    assert any("signature" in one.detail and "'shot.jpg'" in one.detail for one in verdict.failed)
    assert verdict.signer is not None and verdict.signer.trusted is True


def test_altered_content_says_nothing_about_its_signer(
    trust: TrustStore, photo: Path, tmp_path: Path
) -> None:
    camera = Vendor("Camera")
    shot = camera.sign(photo, tmp_path / "shot.jpg")
    trust.add_anchor(camera.root_pem)
    assert verify_file(shot, trust).state is State.TRUSTED
    odd_manifests.break_content(shot)
    verdict = verify_file(shot, trust)
    assert verdict.state is State.TAMPERED and verdict.exit_code == 1
    assert verdict.signer is not None and verdict.signer.trusted is None
    assert signer_check(verdict) == "not judged: the content is not what was signed"


@pytest.mark.parametrize("make", [odd_manifests.as_later_version, odd_manifests.as_draft])
def test_another_version_of_the_format_was_not_checked(
    trust: TrustStore, photo: Path, tmp_path: Path, make: Callable[[Path], None]
) -> None:
    shot = Vendor("Camera").sign(photo, tmp_path / "shot.jpg")
    make(shot)
    verdict = verify_file(shot, trust)
    assert (verdict.state, verdict.exit_code) == (State.NOT_CHECKED, 3)
    assert "version" in verdict.headline or "draft" in verdict.headline
    assert not verdict.failed and verdict.signer is None


def test_an_expired_certificate_is_not_tampering(trust: TrustStore, photo: Path, tmp_path: Path) -> None:
    camera = Vendor("Camera", seconds=3)
    shot = camera.sign(photo, tmp_path / "shot.jpg")
    trust.add_anchor(camera.root_pem)
    assert verify_file(shot, trust).state is State.TRUSTED
    camera.wait_for_the_end()
    verdict = verify_file(shot, trust)
    assert (verdict.state, verdict.exit_code) == (State.EXPIRED, 1)
    assert verdict.headline.startswith("expired, content unchanged: the certificate of 'Camera' ended on ")
    assert f"{camera.ends:%Y-%m-%d}" in verdict.headline and "log" not in verdict.headline
    odd_manifests.break_content(shot)
    assert verify_file(shot, trust).state is State.TAMPERED


def test_a_log_that_recorded_it_before_the_end_counts_as_what_it_is(photo: Path, tmp_path: Path) -> None:
    home = Home(tmp_path / "desk", tmp_path / "desk/config")
    initialize(home, subject="House", algorithm="es256", passphrase=None)
    camera = Vendor("Camera", seconds=6)
    chain = certificates.to_pem([camera.leaf, camera.root]).encode()
    import_identity(home, "camera", chain_pem=chain, key_pem=pem_of(camera.key))
    with open_session(home, identity="camera") as session:
        sign_file(photo, tmp_path / "out.jpg", SignRequest(ManifestSpec()), session)
    camera.wait_for_the_end()
    trust = TrustStore.load(home)
    trust.add_anchor(camera.root_pem)
    verdict = verify_file(tmp_path / "out.jpg", trust)
    assert (verdict.state, verdict.exit_code) == (State.EXPIRED, 1)
    assert verdict.ledger_status is LedgerStatus.LOGGED
    own_clock = "; a log you trust holds its record, dated before by the signer's own clock: "
    assert own_clock in verdict.headline

    report = read_manifest(tmp_path / "out.jpg", "image/jpeg", anchors_pem=trust.anchors)
    assert report is not None
    early, late = (f"{camera.ends + timedelta(seconds=s):%Y-%m-%dT%H:%M:%SZ}" for s in (-3, 3))
    for time, said in (
        (
            Time(early, TimeKind.WITNESSED, "witness.example"),
            f"; witness.example, a witness you trust, saw its record before, on {early}",
        ),
        (Time(early, TimeKind.ANCHORED), f"; its record was anchored on a chain before, on {early}"),
        (Time(late, TimeKind.ANCHORED), own_clock),
        (Time("soon", TimeKind.ANCHORED), own_clock),
    ):
        seen = replace(verdict, times=[*verdict.times, time])
        conclude_expired(seen, report)
        assert said in seen.headline
    stranger = verify_file(tmp_path / "out.jpg", TrustStore(tmp_path / "nothing"))
    assert stranger.state is State.EXPIRED and "log" not in stranger.headline


def test_an_authority_of_signers_under_a_root_of_time_stamps_vouches_for_signers(
    trust: TrustStore, photo: Path, tmp_path: Path
) -> None:
    outer_key = certificates.generate_key("es256")
    outer = certificates.make_root(outer_key, "Outer")
    camera = Vendor("Camera")
    identifier = outer.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value
    builder = (
        x509.CertificateBuilder()
        .subject_name(camera.root.subject)
        .issuer_name(outer.subject)
        .public_key(camera.root.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(outer.not_valid_before_utc)
        .not_valid_after(outer.not_valid_after_utc)
        .add_extension(x509.BasicConstraints(True, 0), critical=True)
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(identifier), critical=False
        )
    )
    for kind in (x509.KeyUsage, x509.SubjectKeyIdentifier):
        one = camera.root.extensions.get_extension_for_class(kind)
        builder = builder.add_extension(one.value, one.critical)
    camera.root = builder.sign(outer_key, hashes.SHA256())
    shot = camera.sign(photo, tmp_path / "shot.jpg")
    trust.add_anchor(certificates.to_pem([outer]), purpose=Purpose.TIME_STAMPS)
    # which of several fitting lists is named is left to chance
    assert {verify_file(shot, trust).state for _ in range(8)} == {State.VALID_UNKNOWN_SIGNER}
    trust.add_anchor(camera.root_pem)
    assert {verify_file(shot, trust).state for _ in range(8)} == {State.TRUSTED}

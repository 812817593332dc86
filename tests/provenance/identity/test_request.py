"""A certificate request, issued by OpenSSL as an authority would, imported, and used."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from cryptography import x509

from provenance.errors import IdentityError
from provenance.home import Home
from provenance.identity import certificates
from provenance.identity.backup import backup_identities, restore_identities
from provenance.identity.identity import Identity, create_identity, load_identity
from provenance.identity.request import USAGES, import_requested, request_certificate, request_folder
from provenance.manifest.embed import ManifestSpec, Parent, sign_manifest
from provenance.manifest.read import read_manifest
from provenance.record import Relation
from tests.support.certificates import pem_of
from tests.support.second_verifier import second_opinion


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return Home(tmp_path / "data", tmp_path / "config")


class Authority:
    """An authority that issues what a request asks for, with OpenSSL."""

    def __init__(self, folder: Path) -> None:
        key = certificates.generate_key("es256")
        self.folder, self.root = folder, certificates.make_root(key, "Example Authority")
        (folder / "ca.pem").write_text(certificates.to_pem([self.root]))
        (folder / "ca.key").write_bytes(pem_of(key))

    def issue(self, request: bytes) -> str:
        (self.folder / "leaf.csr").write_bytes(request)
        (self.folder / "more.cnf").write_text("authorityKeyIdentifier=keyid\n")
        command = ["openssl", "x509", "-req", "-in", "leaf.csr", "-CA", "ca.pem", "-CAkey", "ca.key"]
        command += ["-days", "90", "-CAcreateserial", "-copy_extensions", "copy", "-extfile", "more.cnf"]
        done = subprocess.run(command, cwd=self.folder, capture_output=True, check=True)
        return done.stdout.decode() + (self.folder / "ca.pem").read_text()


def imported(home: Home, name: str, chain: str, secret: str | None = None) -> Identity:
    return import_requested(home, name, chain_pem=chain, passphrase=lambda _: secret)


@pytest.mark.parametrize("usage", ["email", "document"])
def test_other_usages_sign_too(
    usage: str, home: Home, tmp_path: Path, portrait_files: dict[str, Path]
) -> None:
    authority = Authority(tmp_path)
    pem = request_certificate(home, "work", subject="Jane Doe", usage=usage)
    identity = imported(home, "work", authority.issue(pem))
    sign_manifest(portrait_files["hopper"], tmp_path / "out.jpg", ManifestSpec(), identity)
    for anchors, state in (([certificates.to_pem([authority.root])], "trusted"), ((), "valid")):
        report = read_manifest(tmp_path / "out.jpg", "image/jpeg", anchors_pem=anchors)
        assert report is not None and report.state == state
    theirs = second_opinion(tmp_path / "out.jpg", "image/jpeg")
    assert theirs.word == "whole"


@pytest.mark.parametrize("algorithm", certificates.ALGORITHMS)
def test_from_request_to_signed_file(
    algorithm: str, home: Home, tmp_path: Path, portrait_files: dict[str, Path]
) -> None:
    pem = request_certificate(
        home, "work", subject="Jane Doe", organization="Example News", country="de", algorithm=algorithm
    )
    request = x509.load_pem_x509_csr(pem)
    assert request.is_signature_valid
    assert request.subject.rfc4514_string() == "O=Example News,CN=Jane Doe,C=DE"
    assert list(request.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value) == [USAGES["c2pa"]]
    assert (request_folder(home, "work") / "leaf.key").stat().st_mode & 0o777 == 0o600

    authority = Authority(tmp_path)
    identity = imported(home, "work", authority.issue(pem))
    assert (identity.kind, identity.claimed_name, identity.algorithm) == ("imported", "Jane Doe", algorithm)
    assert not request_folder(home, "work").exists()
    assert load_identity(home, "work").key_id == identity.key_id
    sign_manifest(portrait_files["hopper"], tmp_path / "out.jpg", ManifestSpec(), identity)
    anchors = [certificates.to_pem([authority.root])]
    report = read_manifest(tmp_path / "out.jpg", "image/jpeg", anchors_pem=anchors)
    assert report is not None and (report.state, report.organization) == ("trusted", "Example News")
    edit = ManifestSpec(relation=Relation.EDITED, parents=(Parent(tmp_path / "out.jpg"),))
    desk = create_identity(home, "desk", subject="Desk")
    sign_manifest(portrait_files["hopper"], tmp_path / "edit.jpg", edit, desk)
    report = read_manifest(tmp_path / "edit.jpg", "image/jpeg", anchors_pem=())
    assert report is not None and report.state == "valid" and not report.ingredient_failures
    with pytest.raises(IdentityError, match="no certificate request"):
        imported(home, "work", authority.issue(pem))


def test_a_waiting_request_is_kept_backed_up_and_for_its_own_key(home: Home, tmp_path: Path) -> None:
    pem = request_certificate(home, "work", subject="Jane Doe", passphrase="correct horse")
    assert request_certificate(home, "work", subject="Jane Doe", passphrase="correct horse") == pem
    with pytest.raises(IdentityError, match="another subject"):
        request_certificate(home, "work", subject="John Doe")
    backup_identities(home, tmp_path / "backup", passphrase="battery staple")
    elsewhere = Home(tmp_path / "new", tmp_path / "new/config")
    restore_identities(tmp_path / "backup", elsewhere, passphrase="battery staple")

    authority = Authority(tmp_path)
    foreign = request_certificate(home, "other", subject="Jane Doe")
    for secret, chain, match in (
        ("correct horse", authority.issue(foreign), "not the one"),
        ("wrong horse", authority.issue(pem), "passphrase is wrong"),
        (None, authority.issue(pem), "protected by a passphrase"),
    ):
        with pytest.raises(IdentityError, match=match):
            imported(elsewhere, "work", chain, secret)
        assert (request_folder(elsewhere, "work") / "leaf.key").is_file(), "the key still waits"
    assert imported(elsewhere, "work", authority.issue(pem), "correct horse").name == "work"
    assert load_identity(elsewhere, "work", "correct horse").claimed_name == "Jane Doe"


def test_what_cannot_be_requested(home: Home) -> None:
    create_identity(home, "taken", subject="Jane")
    for match, arguments in (
        ("identity 'taken' already", {"name": "taken"}),
        ("no country", {"country": "Germany"}),
        ("unknown usage", {"usage": "any"}),
        ("unknown algorithm", {"algorithm": "rsa"}),
        ("1 to 64 printable", {"subject": "x" * 65}),
        ("cannot name an identity", {"name": "../x"}),
        ("at least 8", {"passphrase": "short"}),
    ):
        with pytest.raises(IdentityError, match=match):
            request_certificate(home, **{"name": "work", "subject": "Jane", **arguments})
    assert not (home.data / "requests").exists()

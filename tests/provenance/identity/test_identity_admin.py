"""Identities over the years: bring, move, rotate, back up; and what a bad certificate is told."""

from __future__ import annotations

import shutil
import stat
import subprocess
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID

from provenance.errors import IdentityError, OutputExistsError
from provenance.home import Home
from provenance.identity import certificates, keyfiles
from provenance.identity.admin import (
    export_identity,
    import_identity,
    retired_certificates,
    rotate_identity,
)
from provenance.identity.backup import backup_identities, restore_identities
from provenance.identity.identity import (
    create_identity,
    identity_folder,
    list_names,
    load_identity,
    root_folder,
)
from provenance.manifest.embed import ManifestSpec, sign_manifest
from provenance.manifest.read import read_manifest
from provenance.record import verify_signature
from tests.support.certificates import Bought, pem_of


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return Home(tmp_path / "data", tmp_path / "config")


def test_a_bought_certificate_signs(home: Home, tmp_path: Path, portrait_files: dict[str, Path]) -> None:
    bought = Bought()
    chain = certificates.parse_chain(bought.chain())
    shuffled = certificates.to_pem(chain[::-1])
    identity = import_identity(home, "work", chain_pem=shuffled, key_pem=pem_of(bought.key))
    assert (identity.kind, identity.claimed_name) == ("imported", "Jane Doe")
    sign_manifest(portrait_files["hopper"], tmp_path / "out.jpg", ManifestSpec(), identity)
    anchors = [certificates.to_pem([bought.issuer])]
    report = read_manifest(tmp_path / "out.jpg", "image/jpeg", anchors_pem=anchors)
    assert report is not None
    assert (report.state, report.organization) == ("trusted", "Example News")
    with pytest.raises(IdentityError, match="no root of its own"):
        rotate_identity(home, "work")


@pytest.mark.parametrize(
    ("change", "requirement", "remedy"),
    [
        ({"usages": []}, "extended key usage", "extendedKeyUsage=emailProtection"),
        ({"usages": [ExtendedKeyUsageOID.SERVER_AUTH]}, "found serverAuth", "emailProtection"),
        ({"usages": [ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE]}, "anyExtendedKeyUsage", "emailProtection"),
        ({"authority_id": False}, "authority key identifier", "authorityKeyIdentifier=keyid"),
        ({"digital_signature": False}, "without digitalSignature", "keyUsage=critical,digitalSignature"),
        ({"is_ca": True}, "CA:TRUE", "CA:FALSE"),
        ({"days": -1}, "expired", "renew"),
        ({"days": 90}, "not valid before", "clock"),
        ({"organization": False}, "no organization", "O="),
        ({"issuer_ok": False}, "no certificate authority", "CA:TRUE"),
        ({"key": rsa.generate_private_key(65537, 2048)}, "RSA-2048", "prime256v1"),
        ({"key": ec.generate_private_key(ec.SECP521R1())}, "secp521r1", "prime256v1"),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else None,
)
def test_a_bad_certificate_is_told_what_is_wrong_and_how_to_make_a_good_one(
    home: Home, change: dict[str, object], requirement: str, remedy: str
) -> None:
    bought = Bought()
    vars(bought).update(change)
    with pytest.raises(IdentityError) as caught:
        import_identity(home, "work", chain_pem=bought.chain(), key_pem=pem_of(bought.key))
    assert requirement in str(caught.value)
    assert remedy in str(caught.value.hint)
    assert list_names(home) == []


def test_a_self_signed_leaf_and_a_foreign_key_are_refused(home: Home) -> None:
    bought = Bought()
    root = certificates.to_pem([bought.issuer])
    with pytest.raises(IdentityError, match="self-signed"):
        import_identity(home, "work", chain_pem=root, key_pem=pem_of(bought.issuer_key))
    with pytest.raises(IdentityError, match="not the one that the certificate is for"):
        import_identity(home, "work", chain_pem=bought.chain(), key_pem=pem_of(bought.issuer_key))
    with pytest.raises(IdentityError, match="do not belong to the chain"):
        stranger = certificates.to_pem([certificates.make_root(certificates.generate_key("es256"), "X")])
        import_identity(home, "work", chain_pem=bought.chain() + stranger, key_pem=pem_of(bought.key))
    with pytest.raises(IdentityError, match="no certificate could be read"):
        import_identity(home, "work", chain_pem="nothing", key_pem=pem_of(bought.key))


def test_an_export_is_encrypted_and_comes_back_elsewhere(home: Home, tmp_path: Path) -> None:
    created = create_identity(home, subject="Jane Doe", passphrase="passphrase one")
    bundle = export_identity(home, "default", passphrase="passphrase one", export_passphrase="passphrase two")
    assert b"ENCRYPTED" in bundle
    elsewhere = Home(tmp_path / "other", tmp_path / "other/config")
    moved = import_identity(
        elsewhere, "moved", chain_pem=bundle, key_pem=bundle, key_passphrase="passphrase two"
    )
    assert moved.key_id == created.key_id
    with pytest.raises(IdentityError, match="wrong"):
        import_identity(elsewhere, "x", chain_pem=bundle, key_pem=bundle, key_passphrase="passphrase one")


def test_rotation_makes_a_new_key_under_the_same_root(home: Home) -> None:
    old = create_identity(home, subject="Jane Doe", passphrase="passphrase one")
    rotation = rotate_identity(home, "default", passphrase="passphrase one")
    new = load_identity(home, passphrase="passphrase one")
    assert rotation.retired_key_id == old.key_id != new.key_id
    assert new.root == old.root
    assert new.claimed_name == "Jane Doe"
    assert retired_certificates(home, "default") == [old.leaf]
    verify_signature(new.chain_der[0], "es256", new.sign(b"x"), b"x")
    with pytest.raises(IdentityError, match="wrong"):
        load_identity(home, passphrase="passphrase two")


def test_a_rotation_that_was_cut_off_is_finished_on_loading(home: Home, tmp_path: Path) -> None:
    create_identity(home, subject="Jane Doe")
    folder = identity_folder(home, "default")
    before = (folder / "chain.pem").read_bytes()
    rotated = rotate_identity(home, "default").identity
    (folder / "chain.pem").rename(folder / "chain.next.pem")
    (folder / "chain.pem").write_bytes(before)
    (folder / "chain.pem").chmod(0o600)
    assert load_identity(home).key_id == rotated.key_id
    assert not (folder / "chain.next.pem").exists()
    assert load_identity(home).key_id == rotated.key_id


def test_rotation_needs_the_root_key(home: Home) -> None:
    create_identity(home, subject="Jane Doe")
    shutil.rmtree(root_folder(home, "default"))
    with pytest.raises(IdentityError, match="root key"):
        rotate_identity(home, "default")


def test_a_backup_brings_everything_back(home: Home, tmp_path: Path) -> None:
    identity = create_identity(home, subject="Jane Doe")
    create_identity(home, "second", subject="Jane", passphrase="passphrase one")
    backup = tmp_path / "identities.backup"
    count = backup_identities(home, backup, passphrase="correct horse")
    assert count >= 10
    assert stat.S_IMODE(backup.stat().st_mode) == 0o600
    assert b"PRIVATE KEY" not in backup.read_bytes()
    with pytest.raises(OutputExistsError):
        backup_identities(home, backup, passphrase="correct horse")

    elsewhere = Home(tmp_path / "other", tmp_path / "other/config")
    with pytest.raises(IdentityError, match="wrong passphrase, or damaged"):
        restore_identities(backup, elsewhere, passphrase="wrong horse")
    assert restore_identities(backup, elsewhere, passphrase="correct horse") == count
    assert load_identity(elsewhere).key_id == identity.key_id
    assert rotate_identity(elsewhere, "default").identity.root == identity.root
    assert restore_identities(backup, home, passphrase="correct horse") == 0
    with pytest.raises(IdentityError, match="differs from the backup"):
        restore_identities(backup, elsewhere, passphrase="correct horse")
    assert restore_identities(backup, elsewhere, passphrase="correct horse", force=True) > 0
    assert load_identity(elsewhere).key_id == identity.key_id

    damaged = bytearray(backup.read_bytes())
    damaged[-1] ^= 1
    backup.write_bytes(damaged)
    with pytest.raises(IdentityError, match="damaged"):
        restore_identities(backup, elsewhere, passphrase="correct horse")


def test_weak_passphrases_protect_nothing() -> None:
    with pytest.raises(IdentityError):
        keyfiles.check_passphrase("")


def test_the_documented_openssl_lines_make_a_certificate_that_signs(home: Home, tmp_path: Path) -> None:
    if not shutil.which("openssl"):
        pytest.skip("needs the openssl program")
    text = (Path(__file__).parents[3] / "docs/reference/identities.md").read_text()
    script = text.split("by hand:\n\n```sh\n")[1].split("\n```")[0]
    config = text.split("with `leaf.cnf`:\n\n```text\n")[1].split("\n```")[0]
    (tmp_path / "leaf.cnf").write_text(config + "\n")
    subprocess.run(["bash", "-euo", "pipefail", "-c", script], cwd=tmp_path, check=True, capture_output=True)
    identity = import_identity(
        home,
        "made-by-hand",
        chain_pem=(tmp_path / "chain.pem").read_bytes(),
        key_pem=(tmp_path / "leaf.key").read_bytes(),
    )
    verify_signature(identity.chain_der[0], "es256", identity.sign(b"x"), b"x")

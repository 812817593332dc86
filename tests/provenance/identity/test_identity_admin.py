"""Identities over the years: bring, move, rotate, back up; and what a bad certificate is told."""

from __future__ import annotations

import os
import shutil
import stat
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from provenance.errors import IdentityError, OutputExistsError
from provenance.home import Home
from provenance.identity import certificates, keyfiles
from provenance.identity.admin import (
    backup_identities,
    certify_external,
    export_identity,
    import_external,
    import_identity,
    restore_identities,
    retired_certificates,
    rotate_identity,
    split_command,
)
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

MODULES = ("/usr/lib/softhsm/libsofthsm2.so", "/usr/lib/x86_64-linux-gnu/softhsm/libsofthsm2.so")
EXAMPLE = Path(__file__).parents[3] / "docs/examples/pkcs11_signer.py"


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return Home(tmp_path / "data", tmp_path / "config")


def _pem(key: object) -> bytes:
    return key.private_bytes(  # type: ignore[attr-defined]
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


class Bought:
    """A leaf under an issuer of its own, good unless told otherwise."""

    def __init__(self) -> None:
        self.issuer_key = certificates.generate_key("es256")
        self.issuer = certificates.make_root(self.issuer_key, "Example CA")
        self.key: object = certificates.generate_key("es256")
        self.usages = [ExtendedKeyUsageOID.EMAIL_PROTECTION]
        self.authority_id = self.organization = self.digital_signature = True
        self.is_ca = self.signs_certificates = False
        self.days = 30
        self.issuer_ok = True

    def chain(self) -> str:
        if not self.issuer_ok:
            name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "No CA")])
            self.issuer = self._builder(name, name, self.issuer_key).sign(self.issuer_key, hashes.SHA256())
        attributes = [x509.NameAttribute(NameOID.COMMON_NAME, "Jane Doe")]
        if self.organization:
            attributes.append(x509.NameAttribute(NameOID.ORGANIZATION_NAME, "Example News"))
        builder = self._builder(x509.Name(attributes), self.issuer.subject, self.key)
        builder = builder.add_extension(x509.BasicConstraints(self.is_ca, None), critical=True)
        builder = builder.add_extension(
            x509.KeyUsage(
                self.digital_signature,
                False,
                True,
                False,
                False,
                self.signs_certificates,
                False,
                False,
                False,
            ),
            critical=True,
        )
        if self.usages:
            builder = builder.add_extension(x509.ExtendedKeyUsage(self.usages), critical=False)
        if self.authority_id:
            public = self.issuer_key.public_key()
            identifier = x509.AuthorityKeyIdentifier.from_issuer_public_key(public)
            builder = builder.add_extension(identifier, critical=False)
        leaf = builder.sign(self.issuer_key, hashes.SHA256())
        return certificates.to_pem([leaf, self.issuer])

    def _builder(self, subject: x509.Name, issuer: x509.Name, key: object) -> x509.CertificateBuilder:
        end = datetime.now(UTC) + timedelta(days=self.days)
        return (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(issuer)
            .public_key(key.public_key())  # type: ignore[attr-defined]
            .serial_number(x509.random_serial_number())
            .not_valid_before(end - timedelta(days=60))
            .not_valid_after(end)
        )


def test_a_bought_certificate_signs(home: Home, tmp_path: Path, portrait_files: dict[str, Path]) -> None:
    bought = Bought()
    chain = certificates.parse_chain(bought.chain())
    shuffled = certificates.to_pem(chain[::-1])
    identity = import_identity(home, "work", chain_pem=shuffled, key_pem=_pem(bought.key))
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
        import_identity(home, "work", chain_pem=bought.chain(), key_pem=_pem(bought.key))
    assert requirement in str(caught.value)
    assert remedy in str(caught.value.hint)
    assert list_names(home) == []


def test_a_self_signed_leaf_and_a_foreign_key_are_refused(home: Home) -> None:
    bought = Bought()
    root = certificates.to_pem([bought.issuer])
    with pytest.raises(IdentityError, match="self-signed"):
        import_identity(home, "work", chain_pem=root, key_pem=_pem(bought.issuer_key))
    with pytest.raises(IdentityError, match="not the one that the certificate is for"):
        import_identity(home, "work", chain_pem=bought.chain(), key_pem=_pem(bought.issuer_key))
    with pytest.raises(IdentityError, match="do not belong to the chain"):
        stranger = certificates.to_pem([certificates.make_root(certificates.generate_key("es256"), "X")])
        import_identity(home, "work", chain_pem=bought.chain() + stranger, key_pem=_pem(bought.key))
    with pytest.raises(IdentityError, match="no certificate could be read"):
        import_identity(home, "work", chain_pem="nothing", key_pem=_pem(bought.key))


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


SIGNER = """
import sys
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
key = serialization.load_pem_private_key(open(sys.argv[1], "rb").read(), None)
signature = key.sign(sys.stdin.buffer.read(), ec.ECDSA(hashes.SHA256()))
sys.stdout.buffer.write(signature[:int(sys.argv[2])] if len(sys.argv) > 2 else signature)
"""


@pytest.fixture
def program(tmp_path: Path) -> list[str]:
    (tmp_path / "signer.py").write_text(SIGNER)
    return [sys.executable, str(tmp_path / "signer.py"), str(tmp_path / "elsewhere.key")]


def test_an_external_signer_signs_manifests(
    home: Home, tmp_path: Path, program: list[str], portrait_files: dict[str, Path]
) -> None:
    bought = Bought()
    (tmp_path / "elsewhere.key").write_bytes(_pem(bought.key))
    identity = import_external(home, "hsm", chain_pem=bought.chain(), command=program)
    assert identity.kind == "external"
    assert not (identity_folder(home, "hsm") / "leaf.key").exists()
    sign_manifest(portrait_files["hopper"], tmp_path / "out.jpg", ManifestSpec(), load_identity(home, "hsm"))
    report = read_manifest(tmp_path / "out.jpg", "image/jpeg", anchors_pem=[identity.chain_pem])
    assert report is not None
    assert report.state == "trusted"
    with pytest.raises(IdentityError, match="cannot be exported"):
        export_identity(home, "hsm", passphrase=None, export_passphrase=None)

    (tmp_path / "elsewhere.key").unlink()
    with pytest.raises(IdentityError, match=r"failed \(exit status 1\): FileNotFoundError"):
        sign_manifest(portrait_files["hopper"], tmp_path / "no.jpg", ManifestSpec(), identity)


def test_a_wrong_external_signer_is_found_at_once(home: Home, tmp_path: Path, program: list[str]) -> None:
    bought = Bought()
    chain = bought.chain()
    (tmp_path / "elsewhere.key").write_bytes(_pem(certificates.generate_key("es256")))
    for command, said in (
        (program, "no es256 signature by the certificate's key"),
        ([*program, "20"], "returned 20 bytes"),
        ([str(tmp_path / "nowhere")], "cannot be started"),
    ):
        with pytest.raises(IdentityError, match=said):
            import_external(home, "hsm", chain_pem=chain, command=command)
    assert list_names(home) == []


def test_commands_are_split_without_a_shell() -> None:
    assert split_command("sign 'a b' $HOME;ls") == ["sign", "a b", "$HOME;ls"]
    with pytest.raises(IdentityError):
        split_command("sign 'a")
    with pytest.raises(IdentityError):
        split_command(" ")


def test_a_key_in_a_pkcs11_token_signs_through_the_example(
    home: Home, tmp_path: Path, portrait_files: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    module = next((path for path in MODULES if Path(path).exists()), None)
    if not (module and shutil.which("pkcs11-tool") and shutil.which("softhsm2-util")):
        pytest.skip("needs Debian's packages softhsm2 and opensc")
    (tmp_path / "tokens").mkdir()
    config = tmp_path / "softhsm2.conf"
    config.write_text(f"directories.tokendir = {tmp_path / 'tokens'}\nobjectstore.backend = file\n")
    monkeypatch.setenv("SOFTHSM2_CONF", str(config))
    monkeypatch.setenv("VEILMARK_PKCS11_PIN", "1234")

    def run(*command: str) -> None:
        subprocess.run(command, check=True, capture_output=True, env=os.environ)

    run(
        "softhsm2-util",
        "--init-token",
        "--free",
        "--label",
        "veilmark",
        "--so-pin",
        "123456",
        "--pin",
        "1234",
    )
    tool = ("pkcs11-tool", "--module", module, "--token-label", "veilmark")
    run(
        *tool, "--login", "--pin", "1234", "--keypairgen", "--key-type", "EC:prime256v1", "--label", "signing"
    )
    public = tmp_path / "public.der"
    run(*tool, "--read-object", "--type", "pubkey", "--label", "signing", "-o", str(public))

    command = [sys.executable, str(EXAMPLE), "--module", module, "--token", "veilmark", "--key", "signing"]
    identity = certify_external(
        home, "hsm", subject="Jane Doe", public_key_pem=public.read_bytes(), command=command
    )
    sign_manifest(portrait_files["hopper"], tmp_path / "out.jpg", ManifestSpec(), identity)
    report = read_manifest(tmp_path / "out.jpg", "image/jpeg", anchors_pem=[identity.chain_pem])
    assert report is not None
    assert report.state == "trusted"
    secrets = [path for path in home.data.rglob("*.key") if path.parent == identity_folder(home, "hsm")]
    assert secrets == []

    monkeypatch.setenv("VEILMARK_PKCS11_PIN", "9999")
    with pytest.raises(IdentityError, match="failed"):
        identity.sign(b"x")


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

"""Keys that stay elsewhere: with a signer program, or in a PKCS#11 token (SoftHSM)."""

from __future__ import annotations

import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization

from provenance.errors import IdentityError
from provenance.home import Home
from provenance.identity import certificates
from provenance.identity.admin import export_identity
from provenance.identity.identity import Kind, identity_folder, list_names, load_identity
from provenance.identity.pkcs11 import TokenKey
from provenance.identity.remote_keys import (
    certify_external,
    certify_token,
    import_external,
    import_token,
    split_command,
)
from provenance.manifest.embed import ManifestSpec, sign_manifest
from provenance.manifest.read import read_manifest
from provenance.record import verify_signature
from tests.support.certificates import Bought, pem_of

PIN = "1234"


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return Home(tmp_path / "data", tmp_path / "config")


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
    (tmp_path / "elsewhere.key").write_bytes(pem_of(bought.key))
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
    (tmp_path / "elsewhere.key").write_bytes(pem_of(certificates.generate_key("es256")))
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


def test_a_program_certified_here_signs(home: Home, tmp_path: Path, program: list[str]) -> None:
    key = certificates.generate_key("es256")
    (tmp_path / "elsewhere.key").write_bytes(pem_of(key))
    public = key.public_key().public_bytes(
        serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    identity = certify_external(home, "hsm", subject="Jane Doe", public_key=public, command=program)
    assert identity.claimed_name == "Jane Doe"
    verify_signature(identity.chain_der[0], "es256", identity.sign(b"x"), b"x")
    with pytest.raises(IdentityError, match="exists"):
        certify_external(home, "hsm", subject="Jane Doe", public_key=public, command=program)


def key_uri(token: str, label: str) -> str:
    return token.replace("?", f";object={label}?")


@pytest.mark.parametrize("algorithm", ["es256", "es384"])
def test_a_key_made_in_a_token_signs(
    home: Home, tmp_path: Path, pkcs11_token: str, portrait_files: dict[str, Path], algorithm: str
) -> None:
    uri = key_uri(pkcs11_token, algorithm)
    made = certify_token(home, "hsm", subject="Jane Doe", uri=uri, pin=PIN, generate=algorithm)
    assert (made.kind, made.algorithm) == (Kind.PKCS11, algorithm)
    identity = load_identity(home, "hsm", PIN)
    sign_manifest(portrait_files["hopper"], tmp_path / "out.jpg", ManifestSpec(), identity)
    report = read_manifest(tmp_path / "out.jpg", "image/jpeg", anchors_pem=[identity.chain_pem])
    assert report is not None and report.state == "trusted"
    folder = identity_folder(home, "hsm")
    assert not (folder / "leaf.key").exists()
    assert PIN not in (folder / "identity.json").read_text()
    with pytest.raises(IdentityError, match="cannot be exported"):
        export_identity(home, "hsm", passphrase=PIN, export_passphrase=None)
    with pytest.raises(IdentityError, match="refused the PIN"):
        load_identity(home, "hsm", "9999").sign(b"x")
    with pytest.raises(IdentityError, match="needs its PIN"):
        load_identity(home, "hsm").sign(b"x")
    with pytest.raises(IdentityError, match="holds such a key already"):
        certify_token(home, "twice", subject="Jane Doe", uri=uri, pin=PIN, generate=algorithm)
    assert list_names(home) == ["hsm"]


def test_a_bought_certificate_for_a_token_s_key(home: Home, pkcs11_token: str) -> None:
    uri = key_uri(pkcs11_token, "bought")
    key = TokenKey.parse(uri)
    key.generate("es256", PIN)
    bought = Bought()
    bought.key = PublicOnly(serialization.load_der_public_key(key.public_key(PIN)))
    identity = import_token(home, "hsm", chain_pem=bought.chain(), uri=uri, pin=PIN)
    verify_signature(identity.chain_der[0], "es256", identity.sign(b"x"), b"x")
    another = Bought().chain()
    with pytest.raises(IdentityError, match="no es256 signature by the certificate's key"):
        import_token(home, "wrong", chain_pem=another, uri=uri, pin=PIN)
    assert list_names(home) == ["hsm"]


class PublicOnly:
    """Stands where :class:`Bought` asks a private key for its public half."""

    def __init__(self, public: object) -> None:
        self._public = public

    def public_key(self) -> object:
        return self._public


def test_several_threads_share_a_token(home: Home, pkcs11_token: str) -> None:
    identity = certify_token(
        home, "hsm", subject="Jane", uri=key_uri(pkcs11_token, "shared"), pin=PIN, generate="es256"
    )
    texts = [str(number).encode() for number in range(16)]
    with ThreadPoolExecutor(4) as pool:
        for text, signature in zip(texts, pool.map(identity.sign, texts), strict=True):
            verify_signature(identity.chain_der[0], "es256", signature, text)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (("object=signing", "object=absent"), "not exactly one key 'absent'"),
        (("token=veil%20mark", "token=absent"), "not exactly one token 'absent'"),
        (("libsofthsm2.so", "absent.so"), "cannot be used"),
    ],
)
def test_what_is_not_there(home: Home, pkcs11_token: str, change: tuple[str, str], said: str) -> None:
    uri = key_uri(pkcs11_token, "signing").replace(*change)
    with pytest.raises(IdentityError, match=said):
        certify_token(home, "hsm", subject="Jane", uri=uri, pin=PIN)
    assert list_names(home) == []


@pytest.mark.parametrize(
    ("uri", "said"),
    [
        ("", "must begin with pkcs11"),
        ("https://example.org", "malformed"),
        ("pkcs11:token=a;object=b", "must name module-path"),
        ("pkcs11:object=b?module-path=/x.so", "must name module-path"),
        ("pkcs11:token=a;token=b;object=c?module-path=/x.so", "named twice"),
        ("pkcs11:token=a;object=b?module-path=/x.so&pin-value=1234", "PIN is not stored"),
        ("pkcs11:token=a;object=b;slot-id=1?module-path=/x.so", "unknown attribute slot-id"),
    ],
)
def test_uris_that_name_no_key(uri: str, said: str) -> None:
    with pytest.raises(IdentityError, match=said) as caught:
        TokenKey.parse(uri)
    assert "1234" not in str(caught.value)


def test_uris_are_percent_encoded() -> None:
    key = TokenKey.parse("pkcs11:serial=12%3B;object=a%20b;id=%01%ff;type=private?module-path=/a%20b.so")
    assert key == TokenKey("/a b.so", serial="12;", label="a b", key_id=b"\x01\xff")

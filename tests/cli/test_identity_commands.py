"""`veilmark identity new --signer`: a key that another program keeps, certified by a root made here."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from provenance.identity import certificates
from tests.cli.conftest import Run

_SIGNER = """
import sys
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
with open(sys.argv[1], "rb") as file:
    key = serialization.load_pem_private_key(file.read(), None)
sys.stdout.buffer.write(key.sign(sys.stdin.buffer.read(), ec.ECDSA(hashes.SHA256())))
"""


def test_a_key_elsewhere_is_certified_and_signs(
    ready: Callable[..., Run], portrait_files: dict[str, Path], tmp_path: Path
) -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    (tmp_path / "signer.py").write_text(_SIGNER)
    (tmp_path / "key.pem").write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
    )
    public = tmp_path / "public.pem"
    public.write_bytes(
        key.public_key().public_bytes(
            serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
        )
    )
    command = f"{sys.executable} {tmp_path / 'signer.py'} {tmp_path / 'key.pem'}"
    alone = ready("identity", "new", "vault", "--subject", "Jane", "--signer", command)
    assert alone.code == 2
    assert "belong together" in alone.err
    made = ready("identity", "new", "vault", "--subject", "Jane", "--signer", command, "--public-key", public)
    assert made.code == 0, made.err
    output = tmp_path / "out.jpg"
    assert ready("sign", portrait_files["hopper"], "-o", output, "--identity", "vault").code == 0
    checked = ready("verify", output, "--json").json[0]
    assert (checked["state"], checked["signer"]["name"]) == ("trusted", "Jane")
    (tmp_path / "key.pem").unlink()
    failed = ready("sign", portrait_files["astronaut"], "-o", tmp_path / "b.jpg", "--identity", "vault")
    assert failed.code != 0
    assert not (tmp_path / "b.jpg").exists()

    wrong = ready(
        "identity", "new", "other", "--subject", "Jane", "--signer", command, "--public-key", "no.pem"
    )
    assert wrong.code == 2


def test_signing_with_a_key_that_was_taken_back_is_warned_of(
    ready: Callable[..., Run], portrait_files: dict[str, Path], tmp_path: Path
) -> None:
    statement = tmp_path / "statement.json"
    assert ready("identity", "revoke", "default", "-o", statement).code == 0
    assert ready("trust", "add", "--revocation", statement).code == 0
    done = ready("sign", portrait_files["hopper"], "-o", tmp_path / "late.jpg")
    assert (done.code, "was revoked" in done.err, "identity rotate default" in done.err) == (0, True, True)
    assert ready("verify", tmp_path / "late.jpg").code == 1
    assert ready("identity", "rotate", "default").code == 0
    done = ready("sign", portrait_files["hopper"], "-o", tmp_path / "fresh.jpg")
    assert (done.code, "was revoked" in done.err) == (0, False)
    assert ready("verify", tmp_path / "fresh.jpg").code == 0


def test_the_commands_use_a_token(
    ready: Callable[..., Run],
    pkcs11_token: str,
    portrait_files: dict[str, Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    uri = pkcs11_token.replace("?", ";object=command?")
    new = ("identity", "new", "hsm", "--subject", "Jane", "--pkcs11", uri, "--make-key")
    without = ready(*new)
    assert without.code == 2 and "VEILMARK_PKCS11_PIN" in without.err
    monkeypatch.setenv("VEILMARK_PKCS11_PIN", "1234")
    made = ready(*new)
    assert made.code == 0, made.err
    output = tmp_path / "out.jpg"
    assert ready("sign", portrait_files["hopper"], "-o", output, "--identity", "hsm").code == 0
    checked = ready("verify", output, "--json").json[0]
    assert (checked["state"], checked["signer"]["name"]) == ("trusted", "Jane")
    assert ready("identity", "new", "x", "--subject", "Jane", "--make-key").code == 2
    monkeypatch.setenv("VEILMARK_PKCS11_PIN", "9999")
    refused = ready("sign", portrait_files["hopper"], "-o", tmp_path / "b.jpg", "--identity", "hsm")
    assert refused.code == 2 and "refused the PIN" in refused.err
    assert not (tmp_path / "b.jpg").exists()


def test_a_request_goes_out_and_its_certificate_comes_in(ready: Callable[..., Run], tmp_path: Path) -> None:
    request = tmp_path / "work.csr"
    asked = ready("identity", "request", "work", "--subject", "Jane Doe", "-o", request)
    assert asked.code == 0 and "identity import work" in asked.err
    assert ready("identity", "request", "work", "--subject", "Jane Doe").out == request.read_text()
    assert ready("identity", "request", "work", "--subject", "Jane Doe", "-o", request).code != 0
    root_key = certificates.generate_key("es256")
    root = certificates.make_root(root_key, "Example Authority")
    public = x509.load_pem_x509_csr(request.read_bytes()).public_key()
    assert isinstance(public, ec.EllipticCurvePublicKey)
    chain = tmp_path / "chain.pem"
    chain.write_text(certificates.to_pem([certificates.make_leaf(root, root_key, public, "Jane Doe"), root]))
    done = ready("identity", "import", "work", "--chain", chain)
    assert done.code == 0 and "Jane Doe" in done.out
    again = ready("identity", "import", "other", "--chain", chain)
    assert again.code != 0 and "no certificate request 'other'" in again.err

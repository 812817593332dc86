"""Time stamps by RFC 3161, against a real authority: `openssl ts` behind a loopback web server."""

from __future__ import annotations

import http.server
import shutil
import subprocess
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.x509.oid import ExtendedKeyUsageOID

from provenance.errors import CheckError, UsageError
from provenance.home import Home
from provenance.identity import certificates
from provenance.identity.identity import Identity, create_identity
from provenance.manifest.embed import ManifestSpec, sign_manifest
from provenance.manifest.read import read_manifest
from provenance.trust.anchors import Anchors

CONFIG = """
[tsa]
default_tsa = here
[here]
serial = {folder}/serial
crypto_device = builtin
signer_cert = {folder}/tsa.pem
certs = {folder}/root.pem
signer_key = {folder}/tsa.key
signer_digest = sha256
default_policy = 1.2.3.4.1
digests = sha256, sha384, sha512
accuracy = secs:1
ess_cert_id_chain = no
ess_cert_id_alg = sha256
"""


class Authority:
    """A time-stamp authority under a root of its own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.asked = 0
        root_key, key = certificates.generate_key("es256"), certificates.generate_key("es256")
        self.root = certificates.make_root(root_key, "Example Time")
        now = datetime.now(UTC)
        identifier = self.root.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value
        certificate = (
            x509.CertificateBuilder()
            .subject_name(certificates.subject_name("Example Time Stamps", "Example Time"))
            .issuer_name(self.root.subject)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - timedelta(days=1))
            .not_valid_after(now + timedelta(days=365))
            .add_extension(x509.BasicConstraints(False, None), critical=True)
            .add_extension(
                x509.KeyUsage(True, False, False, False, False, False, False, False, False), critical=True
            )
            .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.TIME_STAMPING]), critical=True)
            .add_extension(
                x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(identifier), critical=False
            )
            .sign(root_key, hashes.SHA256())
        )
        (folder / "serial").write_text("01\n")
        (folder / "tsa.pem").write_text(certificates.to_pem([certificate]))
        (folder / "root.pem").write_text(certificates.to_pem([self.root]))
        (folder / "tsa.key").write_bytes(
            key.private_bytes(
                serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
            )
        )
        (folder / "tsa.cnf").write_text(CONFIG.format(folder=folder))

    def stamp(self, query: bytes) -> bytes:
        self.asked += 1
        (self.folder / "query.tsq").write_bytes(query)
        command = ["openssl", "ts", "-reply", "-config", str(self.folder / "tsa.cnf")]
        command += ["-queryfile", str(self.folder / "query.tsq"), "-out", str(self.folder / "reply.tsr")]
        subprocess.run(command, check=True, capture_output=True, cwd=self.folder)
        return (self.folder / "reply.tsr").read_bytes()


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    if not shutil.which("openssl"):
        pytest.skip("needs the openssl program")
    return Authority(tmp_path_factory.mktemp("tsa"))


@pytest.fixture(scope="module")
def url(authority: Authority) -> Iterator[str]:
    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            query = self.rfile.read(int(self.headers["Content-Length"]))
            reply = authority.stamp(query) if self.path == "/good" else b"no time today"
            self.send_response(200)
            self.send_header("Content-Type", "application/timestamp-reply")
            self.send_header("Content-Length", str(len(reply)))
            self.end_headers()
            self.wfile.write(reply)

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_address[1]}"
        server.shutdown()


@pytest.fixture(scope="module")
def signer(tmp_path_factory: pytest.TempPathFactory) -> Identity:
    root = tmp_path_factory.mktemp("identity")
    return create_identity(Home(root, root / "config"), subject="Jane Doe")


def test_a_stamp_counts_for_who_trusts_its_authority(
    authority: Authority, url: str, signer: Identity, portrait_files: dict[str, Path], tmp_path: Path
) -> None:
    output = tmp_path / "out.jpg"
    before = datetime.now(UTC) - timedelta(seconds=2)
    sign_manifest(portrait_files["hopper"], output, ManifestSpec(), signer, tsa_url=f"{url}/good")
    assert authority.asked == 1

    own, tsa = certificates.to_pem([signer.root]), certificates.to_pem([authority.root])
    anchors = Anchors(signers=(own,), time_stamps=(tsa,))
    report = read_manifest(output, "image/jpeg", anchors_pem=anchors)
    assert report is not None
    assert report.state == "trusted"
    assert report.time_kind == "time-stamped"
    stamped = datetime.fromisoformat(report.signed_time)
    assert before <= stamped <= datetime.now(UTC) + timedelta(seconds=2)

    both = Anchors(signers=(own, tsa), time_stamps=(own, tsa), identities=(tsa, own))
    report = read_manifest(output, "image/jpeg", anchors_pem=both)
    assert report is not None
    assert (report.state, report.time_kind) == ("trusted", "time-stamped"), (
        "one root may serve for several uses"
    )

    for anchors in (Anchors(signers=(own,)), Anchors(signers=(own, tsa), identities=(tsa,))):
        report = read_manifest(output, "image/jpeg", anchors_pem=anchors)
        assert report is not None
        assert report.state == "trusted"
        assert report.time_kind == "time-stamped-by-an-unknown-authority"

    for anchors in (
        Anchors(time_stamps=(own, tsa)),
        Anchors(identities=(own,)),
        Anchors(identities=(own,), time_stamps=(own,)),
    ):
        report = read_manifest(output, "image/jpeg", anchors_pem=anchors)
        assert report is not None
        assert (report.state, report.signer_trusted) == ("valid", False), (
            "an authority of time vouches for no signer"
        )


def test_without_an_authority_the_time_is_self_asserted(
    signer: Identity, portrait_files: dict[str, Path], tmp_path: Path
) -> None:
    sign_manifest(portrait_files["hopper"], tmp_path / "out.jpg", ManifestSpec(), signer)
    report = read_manifest(tmp_path / "out.jpg", "image/jpeg", anchors_pem=[])
    assert report is not None
    assert report.time_kind == "self-asserted"


def test_an_authority_that_gives_no_stamp_stops_the_signing(
    url: str, signer: Identity, portrait_files: dict[str, Path], tmp_path: Path
) -> None:
    for wrong, kind in (
        (f"{url}/bad", CheckError),
        ("http://127.0.0.1:9", CheckError),
        ("ftp://x", UsageError),
    ):
        with pytest.raises(kind, match=r"time.stamp") as caught:
            sign_manifest(
                portrait_files["hopper"], tmp_path / "out.jpg", ManifestSpec(), signer, tsa_url=wrong
            )
        assert caught.value.hint


@pytest.mark.vectors
def test_the_stamp_of_an_old_claim_counts_as_one_by_an_unknown_authority(
    test_data: Path, signer: Identity
) -> None:
    path = test_data / "vectors/c2pa/image/jpeg/adobe-20220124-C.jpg"
    own = certificates.to_pem([signer.root])
    for anchors in (Anchors(), Anchors(signers=(own,)), Anchors(signers=(own,), time_stamps=(own,))):
        report = read_manifest(path, "image/jpeg", anchors_pem=anchors)
        assert report is not None
        assert (report.state, report.time_kind) == ("valid", "time-stamped-by-an-unknown-authority")

"""Newer issues of a list: over HTTPS from a server on loopback, never backwards, and only when somebody agrees."""

from __future__ import annotations

import http.server
import ipaddress
import ssl
import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes

from provenance.errors import CheckError, UsageError
from provenance.home import Home
from provenance.identity import certificates
from provenance.trust.lists import parse_list
from provenance.trust.store import TrustStore
from provenance.trust.update import fetch
from tests.cli.conftest import Run
from tests.support import trust_lists
from tests.support.certificates import pem_of

GOOD, GONE, NEW = (trust_lists.authority(name) for name in ("Good", "Gone", "New"))
FIRST = trust_lists.entities([(GOOD, "trusted"), (GONE, "trusted")], sequence=4)


class Publisher(http.server.ThreadingHTTPServer):
    """Publishes one text under ``/list``."""

    text = FIRST
    visits = 0

    @property
    def url(self) -> str:
        return f"https://127.0.0.1:{self.server_address[1]}/list"


@pytest.fixture
def publisher(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Publisher]:
    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            assert isinstance(self.server, Publisher)
            self.server.visits += 1
            if self.path != "/list":
                self.send_response(302)
                self.send_header("Location", "/list")
                self.end_headers()
                return
            data = self.server.text.encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    folder = tmp_path / "tls"
    folder.mkdir()
    root_key, key = certificates.generate_key("es256"), certificates.generate_key("es256")
    root = certificates.make_root(root_key, "Loopback")
    now = datetime.now(UTC)
    leaf = (
        x509.CertificateBuilder()
        .subject_name(certificates.subject_name("127.0.0.1", "Loopback"))
        .issuer_name(root.subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(hours=1))
        .add_extension(
            x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), critical=False
        )
        .sign(root_key, hashes.SHA256())
    )
    (folder / "chain.pem").write_text(certificates.to_pem([leaf]))
    (folder / "key.pem").write_bytes(pem_of(key))
    (folder / "root.pem").write_text(certificates.to_pem([root]))
    monkeypatch.setenv("SSL_CERT_FILE", str(folder / "root.pem"))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "chain.pem", folder / "key.pem")
    with Publisher(("127.0.0.1", 0), Handler) as server:
        server.socket = context.wrap_socket(server.socket, server_side=True)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server
        server.shutdown()


@pytest.fixture
def added(publisher: Publisher, veilmark: Callable[..., Run], tmp_path: Path) -> Callable[..., Run]:
    """The command, with the list added; adding asks nobody."""
    (tmp_path / "list.json").write_text(FIRST)
    done = veilmark("trust", "add", "--list", tmp_path / "list.json", "--url", publisher.url)
    assert done.code == 0 and publisher.visits == 0
    return veilmark


def kept() -> str:
    (stored,) = TrustStore.load(Home.locate()).lists
    return stored.published


def test_a_newer_issue_is_shown_and_taken_when_agreed(
    publisher: Publisher, added: Callable[..., Run]
) -> None:
    newer = [(GOOD, "trusted"), (GONE, "revoked"), (NEW, "trusted")]
    publisher.text = trust_lists.entities(newer, sequence=5)
    refused = added("trust", "update")
    assert refused.code == 2 and "--yes" in refused.err
    assert kept() == FIRST, "nobody agreed"
    done = added("trust", "update", "--yes")
    assert done.code == 0
    assert "issue 4 of 2026-08-05 -> issue 5 of 2026-08-05" in done.out
    assert "+ New root, Example Cameras" in done.out
    assert "! Gone root, Example Cameras" in done.out and "revoked since 2026-01-02: not trusted" in done.out
    (stored,) = TrustStore.load(Home.locate()).lists
    assert stored.parsed.authorities() == certificates.to_pem([GOOD, NEW])
    assert stored.url == publisher.url
    assert "unchanged, issue 5" in added("trust", "update").out


def test_removed_certificates_are_shown(publisher: Publisher, added: Callable[..., Run]) -> None:
    publisher.text = trust_lists.entities([(GOOD, "trusted")], sequence=5)
    assert "- Gone root" in added("trust", "update", "--yes").out


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (trust_lists.entities([(GOOD, "trusted")], sequence=3), "issue 3 of 2026-08-05, older"),
        (
            trust_lists.entities([(GOOD, "trusted")], sequence=4, issued="2026-08-04T00:00:00Z"),
            "issue 4 of 2026-08-04, older",
        ),
        (trust_lists.with_remarks([GOOD, GONE]), "has no number"),
        (trust_lists.entities([(GOOD, "trusted")], sequence=9, title="Other"), "another one"),
        ("<html>hello</html>", "is no certificate"),
    ],
    ids=["lower number", "earlier date", "no number", "another list", "a page"],
)
def test_what_goes_back_or_is_something_else_is_refused(
    publisher: Publisher, added: Callable[..., Run], text: str, said: str
) -> None:
    publisher.text = text
    done = added("trust", "update", "--yes")
    assert done.code in (2, 3) and said in done.err
    assert kept() == FIRST


def test_only_https_from_a_server_with_a_good_certificate(
    publisher: Publisher, added: Callable[..., Run], monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = publisher.url.replace("https", "http")
    assert added("trust", "update", "list", "--url", plain).code == 2
    assert publisher.visits == 0
    with pytest.raises(CheckError, match="302"):
        fetch(publisher.url.replace("/list", "/elsewhere"))
    monkeypatch.delenv("SSL_CERT_FILE")
    with pytest.raises(CheckError, match="certificate"):
        fetch(publisher.url)
    for strange in ("file:///etc/passwd", "https://user:word@example.org/", "https://", "list"):
        with pytest.raises(UsageError, match="https"):
            fetch(strange)


def test_too_much_is_not_read(publisher: Publisher, added: Callable[..., Run]) -> None:
    publisher.text = "#" * (3 * 1024 * 1024)
    done = added("trust", "update", "--yes")
    assert done.code == 3 and "limit" in done.err
    assert kept() == FIRST


def test_lists_without_an_address_are_named(veilmark: Callable[..., Run], tmp_path: Path) -> None:
    assert "no list has an address" in veilmark("trust", "update").err
    (tmp_path / "list.pem").write_text(trust_lists.with_remarks([GOOD]))
    assert veilmark("trust", "add", "--list", tmp_path / "list.pem").code == 0
    assert "has no address" in veilmark("trust", "update", "list").err
    assert parse_list(kept()).sequence is None

"""Witnesses and policies: cosignatures, quorums, and a witness that will not be fooled."""

from __future__ import annotations

import http.server
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from provenance.errors import (
    ForkError,
    LedgerError,
    ReceiptError,
    TamperedError,
    UntrustedSignerError,
    UsageError,
)
from provenance.ledger.embedded.log import LocalLedger
from provenance.ledger.note import TYPE_COSIGNATURE, Checkpoint, SigningKey
from provenance.ledger.policy import Policy
from provenance.ledger.receipt import Receipt
from provenance.ledger.witness import Witness, ask, parse_request, parse_signatures, request_for
from tests.support.records import make_openings

ORIGIN = "example.org/log"


@pytest.fixture
def ledger(tmp_path: Path):
    with LocalLedger.create(tmp_path / "ledger.sqlite3", origin=ORIGIN) as log:
        yield log


def _witness_key(name: str) -> SigningKey:
    return SigningKey.generate(f"witness.example/{name}", TYPE_COSIGNATURE)


def _cosign(ledger: LocalLedger, witness: Witness):
    old_size, _ = witness.last(ORIGIN)
    proof = ledger.consistency_proof(old_size) if old_size else []
    size, hashes, note = parse_request(request_for(ledger.note(), old_size, proof))
    return witness.cosign(size, hashes, note)


def test_cosigned_receipts_satisfy_a_quorum(ledger: LocalLedger, tmp_path: Path) -> None:
    keys = [_witness_key(name) for name in ("north", "south", "east")]
    witnesses = [Witness(key, [ledger.verifier], tmp_path / key.name[-5:]) for key in keys]
    plain = ledger.append(make_openings(3))[1]
    lines = "".join(str(_cosign(ledger, witness)) for witness in witnesses[:2])
    ledger.add_cosignatures(parse_signatures(lines), [key.verifier for key in keys])
    receipt = Receipt.from_bytes(ledger.receipt(1).to_bytes())
    policies = {
        count: Policy.of_witnesses([ledger.log_key], [str(key.verifier) for key in keys], count)
        for count in (0, 2, 3)
    }
    assert len(policies[2].verify(receipt).witnesses) == 2
    assert policies[0].verify(plain).witnesses == {}
    with pytest.raises(UntrustedSignerError, match="2 of 3"):
        policies[3].verify(receipt)
    with pytest.raises(UntrustedSignerError, match="0 of 3"):
        policies[2].verify(plain)
    # a receipt made after the log grew can still be had against the cosigned checkpoint
    ledger.append(make_openings(2, start=3))
    kept = ledger.kept_checkpoints("witnessed", covering=1)
    assert policies[2].verify(ledger.receipt(1, note=kept[0].note)).checkpoint.size == 3


def test_a_forged_cosignature_is_refused(ledger: LocalLedger, tmp_path: Path) -> None:
    ledger.append(make_openings(1))
    key = _witness_key("north")
    good = Witness(key, [ledger.verifier], tmp_path / "w")
    signature = _cosign(ledger, good)
    forged = type(signature)(
        signature.name, signature.key_id, signature.value[:-1] + bytes([signature.value[-1] ^ 1])
    )
    with pytest.raises(TamperedError):
        ledger.add_cosignatures([forged], [key.verifier])
    earlier = type(signature)(signature.name, signature.key_id, bytes(8) + signature.value[8:])
    with pytest.raises(TamperedError):  # the time is signed too
        ledger.add_cosignatures([earlier], [key.verifier])
    stranger = _witness_key("stranger")
    note = ledger.add_cosignatures([stranger.cosign(ledger.note().text, 1)], [key.verifier])
    assert len(note.signatures) == 1


def test_a_witness_refuses_a_fork_and_a_stale_proof(tmp_path: Path) -> None:
    key = _witness_key("north")
    with LocalLedger.create(tmp_path / "a", origin=ORIGIN) as log:
        witness = Witness(key, [log.verifier], tmp_path / "memory")
        log.append(make_openings(4))
        _cosign(log, witness)
        log.append(make_openings(3, start=4))
        with pytest.raises(LedgerError, match="last saw size 4"):
            witness.cosign(2, log.consistency_proof(2), log.note())
        assert log._key is not None
        forged = Checkpoint(ORIGIN, 7, bytes(32)).sign(log._key)
        with pytest.raises(ForkError, match="does not extend"):
            witness.cosign(4, log.consistency_proof(4), forged)
        _cosign(log, witness)
        # the memory survives a restart
        assert Witness(key, [log.verifier], tmp_path / "memory").last(ORIGIN)[0] == 7
        other = SigningKey.generate(ORIGIN)
        with pytest.raises(UntrustedSignerError):
            witness.cosign(7, [], Checkpoint(ORIGIN, 7, log.checkpoint().root).sign(other))


def test_policy_file_with_nested_groups() -> None:
    log = SigningKey.generate(ORIGIN)
    keys = {name: _witness_key(name) for name in ("x1", "x2", "x3", "y1", "y2")}
    text = "\n".join(
        [
            "# a policy",
            f"log {log.verifier} https://example.org/log",
            *(f"witness {name} {key.verifier}" for name, key in keys.items()),
            "group X 2 x1 x2 x3",
            "  group\tY any y1 y2",
            "group both all X Y",
            "quorum both",
        ]
    )
    policy = Policy.parse(text)
    checkpoint = Checkpoint(ORIGIN, 5, bytes(32))
    note = checkpoint.sign(log)

    def cosigned(*names: str):
        return note.with_signatures(keys[name].cosign(note.text, 1_700_000_000) for name in names)

    assert set(policy.endorse(cosigned("x1", "x3", "y2")).witnesses) == {"x1", "x3", "y2"}
    for names in ((), ("x1", "x2", "x3"), ("x1", "y1", "y2")):
        with pytest.raises(UntrustedSignerError):
            policy.endorse(cosigned(*names))


@pytest.mark.parametrize(
    "bad",
    [
        "quorum nobody",
        "",
        "group g 1 a\nquorum g",
        "witness a {w}\ngroup g 2 a\nquorum g",
        "witness a {w}\ngroup g 0 a\nquorum g",
        "witness a {w}\ngroup g any a\ngroup h any a\nquorum h",
        "witness a {w}\nwitness b {w}\nquorum a",
        "witness none {w}\nquorum none",
        "witness a {log}\nquorum a",
        "quorum none\nquorum none",
        "log notakey\nquorum none",
        "nonsense line\nquorum none",
    ],
)
def test_bad_policies_are_refused(bad: str) -> None:
    text = bad.format(w=_witness_key("w").verifier, log=SigningKey.generate(ORIGIN).verifier)
    with pytest.raises(UsageError):
        Policy.parse(text)


def test_a_witness_key_cannot_pass_for_the_log() -> None:
    impostor = SigningKey.generate(ORIGIN, TYPE_COSIGNATURE)
    log = SigningKey.generate(ORIGIN)
    checkpoint = Checkpoint(ORIGIN, 1, bytes(32))
    note = checkpoint.sign(log)
    only_cosigned = type(note)(note.text, (impostor.cosign(note.text, 1),))
    policy = Policy.parse(f"log {log.verifier}\nwitness w {impostor.verifier}\nquorum none")
    with pytest.raises(UntrustedSignerError):
        policy.endorse(only_cosigned)


@pytest.mark.parametrize(
    "data", [b"", b"old 1", b"old 01\n\nx", b"\xff", b"old 1\n" + b"AAAA\n" * 70 + b"\n"]
)
def test_malformed_witness_requests_are_refused(data: bytes) -> None:
    with pytest.raises(ReceiptError):
        parse_request(data)


@contextmanager
def _serving(witness: Witness) -> Iterator[str]:
    """The witness behind HTTP on loopback, with the status codes of c2sp.org/tlog-witness."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            data = self.rfile.read(int(self.headers["Content-Length"]))
            size, proof, note = parse_request(data)
            last = witness.last(Checkpoint.parse(note.text).origin)[0]
            status, body = 200, ""
            try:
                if self.path != "/w/add-checkpoint":
                    status = 404
                elif size != last:
                    status, body = 409, f"{last}\n"
                else:
                    body = str(witness.cosign(size, proof, note))
            except UntrustedSignerError:
                status = 403
            except ForkError:
                status = 422
            self.send_response(status)
            self.end_headers()
            self.wfile.write(body.encode())

        def log_message(self, *_: object) -> None:
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}/w"
    finally:
        server.shutdown()
        server.server_close()


def test_a_witness_is_asked_over_http(ledger: LocalLedger, tmp_path: Path) -> None:
    key = _witness_key("north")
    policy = Policy.of_witnesses([ledger.log_key], [str(key.verifier)], 1)
    with _serving(Witness(key, [ledger.verifier], tmp_path / "memory")) as url:
        for number in range(2):  # the second time, the witness must first say what it saw last
            ledger.append(make_openings(3, start=3 * number))
            lines = ask(url, ledger.note(), ledger.consistency_proof)
            ledger.add_cosignatures(lines, [key.verifier])
            assert list(policy.verify(ledger.receipt(0)).witnesses) == ["w0"]
        with LocalLedger.create(tmp_path / "other", origin=ORIGIN) as stranger:
            stranger.append(make_openings(9))
            with pytest.raises(LedgerError, match="refused"):
                ask(url, stranger.note(), stranger.consistency_proof)
        with LocalLedger.create(tmp_path / "behind", origin=ORIGIN) as behind:
            behind.append(make_openings(1))
            with pytest.raises(LedgerError, match="6 entries of this log, more than there are"):
                ask(url, behind.note(), behind.consistency_proof)
    with pytest.raises(LedgerError, match="cannot be asked"):
        ask(url, ledger.note(), ledger.consistency_proof, timeout=2)
    with pytest.raises(UsageError):
        ask("ftp://example.org", ledger.note(), ledger.consistency_proof)

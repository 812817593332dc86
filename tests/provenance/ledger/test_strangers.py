"""c2sp.org/tlog-tiles with strangers: they read what we publish, and we audit what they publish."""

from __future__ import annotations

import ast
import random
from pathlib import Path

import pytest
from cryptography.exceptions import InvalidSignature

import tests.support.strange_log as strange
from provenance.ledger import merkle
from provenance.ledger.audit import audit_published
from provenance.ledger.embedded.log import LocalLedger
from provenance.ledger.note import Checkpoint, Note, SigningKey
from provenance.ledger.policy import Policy
from provenance.ledger.publish import publish
from provenance.ledger.tiles import Folder, PublishedLog
from tests.support.records import make_openings
from tests.support.strange_log import StrangeReader, write_strange_log

ORIGIN = "example.org/log"


def test_the_stranger_has_nothing_of_ours() -> None:
    """Only the standard library and a library for Ed25519."""
    source = ast.parse(Path(strange.__file__).read_text())
    names = {
        (node.module or "") if isinstance(node, ast.ImportFrom) else alias.name
        for node in ast.walk(source)
        if isinstance(node, ast.Import | ast.ImportFrom)
        for alias in node.names
    }
    assert names and not any(name.split(".")[0] in ("provenance", "veilmark", "tests") for name in names)


def test_a_stranger_reads_what_we_publish(tmp_path: Path) -> None:
    """Checkpoint and signature, and inclusion both by the stranger's proofs and by those in our receipts."""
    with LocalLedger.create(tmp_path / "log", origin=ORIGIN) as log:
        log.extend(make_openings(700))
        publish(log, tmp_path / "site")
        reader = StrangeReader(tmp_path / "site", log.log_key)
        assert (reader.origin, reader.size, reader.root) == (ORIGIN, 700, log.checkpoint().root)
        for index in (0, 1, 255, 256, 511, 512, 600, 698, 699):
            receipt = log.receipt(index)
            entry = reader.entry(index)
            proof = reader.proof(index)
            assert entry == receipt.opening.commitment and proof == list(receipt.proof)
            assert reader.includes(index, entry, proof)
            assert not reader.includes(index, b"another", proof)
            assert not reader.includes(index ^ 1, entry, proof)
            assert not reader.includes(index, entry, [*proof[:-1], bytes(32)])
        other = SigningKey.generate(ORIGIN).verifier
        with pytest.raises(AssertionError, match="did not sign"):
            StrangeReader(tmp_path / "site", str(other))
        path = tmp_path / "site" / "checkpoint"
        path.write_text(path.read_text().replace("\n700\n", "\n699\n"))
        with pytest.raises(InvalidSignature):
            StrangeReader(tmp_path / "site", log.log_key)


@pytest.mark.parametrize("size", [1, 2, 255, 256, 257, 1000, 66_000])
def test_we_audit_what_a_stranger_publishes(tmp_path: Path, size: int) -> None:
    draw = random.Random(size)
    entries = [draw.randbytes(draw.choice((0, 32, 100))) for _ in range(size)]
    vkey = write_strange_log(tmp_path, entries, "strange.example/log")
    report = audit_published(tmp_path, policy=Policy.of_logs([vkey]))
    assert report.ok and report.log_trusted and report.entries == size
    checkpoint = Checkpoint.parse(Note.parse((tmp_path / "checkpoint").read_bytes()).text)
    node = PublishedLog(Folder(tmp_path)).reader(size)
    assert merkle.root_hash(size, node) == checkpoint.root
    for index in {0, size // 2, size - 1}:
        proof = merkle.inclusion_proof(index, size, node)
        merkle.verify_inclusion(index, size, merkle.leaf_hash(entries[index]), proof, checkpoint.root)
    # another key did not sign it, and one changed byte is named
    other = str(SigningKey.generate("strange.example/log").verifier)
    assert not audit_published(tmp_path, policy=Policy.of_logs([other])).log_trusted
    tile = next(path for path in sorted(tmp_path.glob("tile/0/**/*"), reverse=True) if path.is_file())
    data = bytearray(tile.read_bytes())
    data[-1] ^= 1
    tile.write_bytes(bytes(data))
    assert audit_published(tmp_path).first_bad == size - 1

"""Notes, checkpoints and receipts: the C2SP text forms, strictly read."""

from __future__ import annotations

import base64
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given, settings
from hypothesis import strategies as st

from provenance.errors import ReceiptError, TamperedError, UsageError, VeilmarkError
from provenance.ledger.embedded.log import LocalLedger
from provenance.ledger.note import Checkpoint, Note, SigningKey, VerifierKey
from provenance.ledger.receipt import Receipt
from tests.support.records import make_openings


@pytest.fixture(scope="module")
def receipt_and_key(tmp_path_factory: pytest.TempPathFactory) -> tuple[Receipt, str]:
    path = tmp_path_factory.mktemp("log") / "ledger.sqlite3"
    with LocalLedger.create(path, origin="example.org/log") as log:
        return log.append(make_openings(9))[5], log.log_key


def test_receipt_text_follows_c2sp_tlog_proof(receipt_and_key: tuple[Receipt, str]) -> None:
    receipt, key = receipt_and_key
    lines = receipt.to_bytes().decode().split("\n")
    assert lines[0] == "c2sp.org/tlog-proof@v1"
    assert lines[1].startswith("extra ")
    assert lines[2] == "index 5"
    assert [len(base64.b64decode(line)) for line in lines[3:7]] == [32] * 4
    assert lines[7] == ""
    assert lines[8:10] == ["example.org/log", "9"]
    assert lines[12].startswith("— example.org/log ")
    again = Receipt.from_bytes(receipt.to_bytes())
    assert again == receipt
    again.verify([key])


@pytest.mark.parametrize(
    ("old", "new"),
    [(b'"anchors"', b'"anchorz"'), (b'{"anchors"', b'{ "anchors"'), (b'"salt":"', b'"salt":" ')],
)
def test_extra_data_has_one_form_only(receipt_and_key: tuple[Receipt, str], old: bytes, new: bytes) -> None:
    receipt, _ = receipt_and_key
    lines = receipt.to_bytes().split(b"\n")
    extra = base64.b64decode(lines[1].removeprefix(b"extra "))
    assert old in extra
    lines[1] = b"extra " + base64.b64encode(extra.replace(old, new))
    with pytest.raises(ReceiptError, match="canonical"):
        Receipt.from_bytes(b"\n".join(lines))


@pytest.mark.parametrize(
    "anchors", [b"[1.5]", b'[{"size":1.5}]', b'[{"a":"\\ud800"}]', b"{}", b"[{}" + b",{}" * 20 + b"]"]
)
def test_malformed_anchors_are_refused(receipt_and_key: tuple[Receipt, str], anchors: bytes) -> None:
    lines = receipt_and_key[0].to_bytes().split(b"\n")
    extra = base64.b64decode(lines[1].removeprefix(b"extra "))
    lines[1] = b"extra " + base64.b64encode(extra.replace(b'"anchors":[]', b'"anchors":' + anchors))
    with pytest.raises(ReceiptError):
        Receipt.from_bytes(b"\n".join(lines))


def test_anchors_travel_in_the_receipt(receipt_and_key: tuple[Receipt, str]) -> None:
    receipt, key = receipt_and_key
    anchor = {"type": "evm", "chain_id": 1, "contract": "0x" + "ab" * 20}
    anchored = receipt.with_anchor(anchor).with_anchor(dict(anchor))
    again = Receipt.from_bytes(anchored.to_bytes())
    assert again.anchors == (anchor,)
    again.verify([key])


def test_any_flipped_byte_is_refused(receipt_and_key: tuple[Receipt, str]) -> None:
    receipt, key = receipt_and_key
    data = receipt.to_bytes()
    accepted = 0
    for place in range(0, len(data), 7):
        changed = data[:place] + bytes([data[place] ^ 1]) + data[place + 1 :]
        try:
            parsed = Receipt.from_bytes(changed)
            parsed.verify([key])
        except VeilmarkError:
            continue
        accepted += 1
    assert accepted == 0


@given(st.binary(max_size=400))
@settings(max_examples=200, deadline=None)
def test_garbage_is_refused_cleanly(data: bytes) -> None:
    for attempt in (data, b"c2sp.org/tlog-proof@v1\nextra " + data, b"c2sp.org/tlog-proof@v1\n" + data):
        with pytest.raises(ReceiptError):
            Receipt.from_bytes(attempt)


def test_limits_hold(receipt_and_key: tuple[Receipt, str]) -> None:
    receipt, _ = receipt_and_key
    text = receipt.to_bytes().decode()
    with pytest.raises(ReceiptError, match="limit"):
        Receipt.from_bytes(b"x" * 3_000_000)
    many = "\n".join([base64.b64encode(bytes(32)).decode()] * 100)
    with pytest.raises(ReceiptError, match="limit"):
        Receipt.from_bytes(text.replace("index 5\n", f"index 5\n{many}\n").encode())
    with pytest.raises(ReceiptError, match="limit"):
        Note.parse(text.partition("\n\n")[2] + text.rstrip("\n").rpartition("\n")[2].join(["", "\n"]) * 100)
    for bad in ("index 05", "index -5", "index 5 ", "index 9", "index 99999999999999999999"):
        with pytest.raises(ReceiptError):
            Receipt.from_bytes(text.replace("index 5", bad).encode())


def test_published_example_of_a_cosigned_checkpoint() -> None:
    # the example in c2sp.org/tlog-cosignature; its keys are not given, so the form is what is tested
    text = (
        "example.com/behind-the-sofa\n20852163\nCsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=\n\n"
        "— example.com/behind-the-sofa Az3grlgtzPICa5OS8npVmf1Myq/5IZniMp+ZJurmRDeOoRDe4URYN7u5/Zhcyv2q1gGz"
        "Gku9nTo+zyWE+xeMcTOAYQ8=\n"
    )
    note = Note.parse(text)
    assert str(note) == text
    assert Checkpoint.parse(note.text).size == 20852163
    assert note.signatures[0].key_id.hex() == "033de0ae"
    assert len(note.signatures[0].value) == 64


def test_published_verifier_key_verifies_a_published_note() -> None:
    # golang.org/x/mod/sumdb/note documents this key and note
    key = VerifierKey.parse("PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW")
    assert key.key_id.hex() == "c74f20a3"
    note = Note.parse(
        "If you think cryptography is the answer to your problem,\n"
        "then you don't know what your problem is.\n\n"
        "— PeterNeumann x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKv"
        "qfqdngotpRZb6KE6RyyBwJnAM=\n"
    )
    assert list(note.verify([key])) == [key]
    with pytest.raises(TamperedError):
        Note(note.text.replace("answer", "amswer"), note.signatures).verify([key])


def test_unknown_signatures_are_ignored_and_known_bad_ones_are_not() -> None:
    mine, other = SigningKey.generate("log.example/a"), SigningKey.generate("log.example/a")
    text = Checkpoint("log.example/a", 1, bytes(32)).text
    note = Note(text, (mine.sign(text), other.sign(text)))
    assert list(Note.parse(str(note)).verify([mine.verifier])) == [mine.verifier]
    forged = Note(text, (type(note.signatures[0])(mine.name, mine.verifier.key_id, bytes(64)),))
    with pytest.raises(TamperedError):
        forged.verify([mine.verifier])


@pytest.mark.parametrize(
    "text",
    [
        "no signature\n",
        "control \x07 character\n\n— a AAAAAAA=\n",
        "text\n\n- a AAAAAAAA\n",
        "text\n\n— a !!!!\n",
        "text\n\n— a AAAA\n",
        "text\n\n— a AAAAAAA=",
    ],
)
def test_malformed_notes_are_refused(text: str) -> None:
    with pytest.raises(ReceiptError):
        Note.parse(text)


@pytest.mark.parametrize(
    "text",
    [
        "a\n1\n",
        "a\n01\n" + base64.b64encode(bytes(32)).decode() + "\n",
        "a\n1\nAAAA\n",
        "a\n\n1\nAAAA\n",
        "a\n-1\nA\n",
    ],
)
def test_malformed_checkpoints_are_refused(text: str) -> None:
    with pytest.raises(ReceiptError):
        Checkpoint.parse(text)


def test_malformed_verifier_keys_are_refused() -> None:
    good = str(SigningKey("example.org/log", Ed25519PrivateKey.generate()).verifier)
    name, key_id, material = good.split("+", 2)
    for bad in (
        "",
        "a+b",
        f"{name}+00000000+{material}",
        f"{name}+{key_id}+AAAA",
        f"a b+{key_id}+{material}",
    ):
        with pytest.raises(UsageError):
            VerifierKey.parse(bad)
    assert str(VerifierKey.parse(good)) == good


def test_the_example_folder_is_not_needed(tmp_path: Path, receipt_and_key: tuple[Receipt, str]) -> None:
    """A receipt verifies from its bytes alone: nothing of the log is read."""
    receipt, key = receipt_and_key
    file = tmp_path / "photo.jpg.receipt"
    file.write_bytes(receipt.to_bytes())
    Receipt.from_bytes(file.read_bytes()).verify([key])

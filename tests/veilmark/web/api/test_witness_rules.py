"""``add-checkpoint``, rule by rule as c2sp.org/tlog-witness has them: what is sent, status, type and text."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from provenance.ledger.embedded.log import LocalLedger
from provenance.ledger.note import Checkpoint, SigningKey, VerifierKey
from provenance.ledger.witness import parse_signatures, request_for
from provenance.trust.store import TrustStore
from tests.support.records import make_openings
from tests.veilmark.web.api.conftest import Service

ORIGIN = "other.example/log"
#: Status, Content-Type as it is written, text.
Said = tuple[int, str, str]
Add = Callable[[bytes], Said]


@pytest.fixture
def log(service: Service, tmp_path: Path) -> LocalLedger:
    """A log of three entries that the service's witness watches."""
    made = LocalLedger.create(tmp_path / "other.sqlite3", origin=ORIGIN)
    TrustStore.load(service.filled.home).add_log_key(made.log_key)
    made.append(make_openings(3))
    return made


@pytest.fixture
def add(service: Service) -> Add:
    def ask(body: bytes) -> Said:
        answer = service.post("/add-checkpoint", content=body)
        return answer.status_code, answer.headers["content-type"], answer.text

    return ask


def signed_by(log: LocalLedger, size: int, root: bytes) -> str:
    return str(Checkpoint(ORIGIN, size, root).sign(log._signing_key()))


def test_a_good_one_is_cosigned(log: LocalLedger, add: Add, service: Service) -> None:
    status, kind, text = add(request_for(log.note(), 0, []))
    assert (status, kind) == (200, "text/plain") and text.startswith("— ") and text.endswith("\n")
    key = VerifierKey.parse(service.get("/v1/witness").json()["vkey"])
    cosigned = log.note().with_signatures(parse_signatures(text))
    assert cosigned.verify([key])[key], "a time-stamped cosignature of the witness's own key"


def test_signatures_of_unknown_keys_are_ignored(log: LocalLedger, add: Add) -> None:
    strangers = [SigningKey.generate(name) for name in ("stranger.example/log", ORIGIN)]
    note = log.note().with_signatures(key.sign(log.note().text) for key in strangers)
    assert len(note.signatures) == 3
    assert add(request_for(note, 0, []))[0] == 200


def test_an_unknown_origin_is_404(log: LocalLedger, add: Add, tmp_path: Path) -> None:
    other = LocalLedger.create(tmp_path / "stranger.sqlite3", origin="stranger.example/log")
    other.append(make_openings(3))
    assert add(request_for(other.note(), 0, []))[0] == 404
    assert add(request_for(other.note(), 5, []))[0] == 404, "even where more is wrong"


def test_no_good_signature_is_403(log: LocalLedger, add: Add) -> None:
    root = log.checkpoint().root
    stranger = Checkpoint(ORIGIN, 3, root).sign(SigningKey.generate(ORIGIN))
    assert add(request_for(stranger, 0, []))[0] == 403
    assert add(request_for(stranger, 9, []))[0] == 403, "before sizes are looked at"
    (good,) = log.note().signatures
    altered = log.note().with_signatures(
        [type(good)(good.name, good.key_id, good.value[:-1] + bytes([good.value[-1] ^ 1]))]
    )
    assert add(request_for(altered, 0, []))[0] == 403
    moved = str(log.note()).replace("\n3\n", "\n4\n")
    assert add(f"old 0\n\n{moved}".encode())[0] == 403, "the signature is over the text"


def test_an_old_size_over_the_checkpoints_is_400(log: LocalLedger, add: Add) -> None:
    assert add(request_for(log.note(), 4, []))[0] == 400
    add(request_for(log.note(), 0, []))
    assert add(request_for(log.note(), 4, []))[0] == 400


def test_an_old_size_that_was_not_the_last_is_409_with_the_last(log: LocalLedger, add: Add) -> None:
    assert add(request_for(log.note(), 3, [])) == (409, "text/x.tlog.size", "0\n"), "never cosigned"
    add(request_for(log.note(), 0, []))
    assert add(request_for(log.note(), 0, [])) == (409, "text/x.tlog.size", "3\n")
    log.append(make_openings(5, start=3))
    assert add(request_for(log.note(), 4, log.consistency_proof(4))) == (409, "text/x.tlog.size", "3\n")
    # the size that it says is the one to go on from
    assert add(request_for(log.note(), 3, log.consistency_proof(3)))[0] == 200


def test_an_older_checkpoint_is_not_cosigned_again(log: LocalLedger, add: Add) -> None:
    old = log.note()
    add(request_for(old, 0, []))
    log.append(make_openings(2, start=3))
    add(request_for(log.note(), 3, log.consistency_proof(3)))
    assert add(request_for(old, 3, [])) == (409, "text/x.tlog.size", "5\n")
    assert add(request_for(old, 0, [])) == (409, "text/x.tlog.size", "5\n")


def test_a_proof_that_does_not_hold_is_422(log: LocalLedger, add: Add) -> None:
    assert add(request_for(log.note(), 0, [bytes(32)]))[0] == 422, "from size 0 it must be empty"
    add(request_for(log.note(), 0, []))
    assert add(request_for(log.note(), 3, [bytes(32)]))[0] == 422, "between equal sizes, too"
    log.append(make_openings(5, start=3))
    good = log.consistency_proof(3)
    wrong = [[], [bytes(32)], good[:-1], [*good, bytes(32)], good[::-1], [*good[:-1], bytes(32)]]
    for proof in wrong:
        assert add(request_for(log.note(), 3, proof))[0] == 422, proof
    fork = signed_by(log, 8, bytes(32))
    lines = "".join(base64.b64encode(one).decode() + "\n" for one in good)
    assert add(f"old 3\n{lines}\n{fork}".encode())[0] == 422, "a signed fork"
    assert add(request_for(log.note(), 3, good))[0] == 200, "nothing of this was remembered"


def test_the_same_size_with_another_root_is_409(log: LocalLedger, add: Add) -> None:
    add(request_for(log.note(), 0, []))
    assert add(request_for(log.note(), 3, []))[0] == 200, "the very same again is fine"
    status, kind, _ = add(f"old 3\n\n{signed_by(log, 3, bytes(32))}".encode())
    assert status == 409
    assert kind == "text/plain", "to ask again with another size would not help"
    status, _, _ = add(f"old 0\n\n{signed_by(log, 0, bytes(32))}".encode())
    assert status == 409


def test_an_empty_log_can_be_cosigned(service: Service, add: Add, tmp_path: Path) -> None:
    empty = LocalLedger.create(tmp_path / "empty.sqlite3", origin="empty.example/log")
    TrustStore.load(service.filled.home).add_log_key(empty.log_key)
    assert add(request_for(empty.note(), 0, []))[0] == 200
    key = empty._signing_key()
    wrong = Checkpoint("empty.example/log", 0, bytes(32)).sign(key)
    assert add(request_for(wrong, 0, []))[0] == 409


@pytest.mark.parametrize(
    "head",
    [
        "",
        "nonsense\n\n",
        "old\n\n",
        "old \n\n",
        "old 00\n\n",
        "old 03\n\n",
        "old +3\n\n",
        "old -1\n\n",
        "old 3 \n\n",
        "old  3\n\n",
        "OLD 3\n\n",
        "old 3\r\n\r\n",
        "old ٣\n\n",
        "old 99999999999999999999\n\n",
        "old 3\nnot base64\n\n",
        "old 3\nAAAA\n\n",
        f"old 3\n{base64.b64encode(bytes(32)).decode().rstrip('=')}\n\n",
        f"old 3\n{base64.b64encode(bytes(32)).decode()}",
        "old 3\n" + (base64.b64encode(bytes(32)).decode() + "\n") * 64 + "\n",
    ],
)
def test_what_is_not_of_the_form_is_400(head: str, log: LocalLedger, add: Add) -> None:
    add(request_for(log.note(), 0, []))
    assert add(f"{head}{log.note()}".encode())[0] == 400


def test_a_checkpoint_that_is_none_is_400(log: LocalLedger, add: Add) -> None:
    note = str(log.note())
    for broken in (
        note[:-1],
        note.replace("\n3\n", "\n03\n"),
        note.partition("\n\n")[0],
        note.split("\n", 1)[1],
    ):
        assert add(f"old 0\n\n{broken}".encode())[0] == 400, broken
    assert add(b"old 0\n\n\xff\xfe")[0] == 400


def test_63_lines_of_proof_are_read_and_more_bytes_are_not(log: LocalLedger, add: Add) -> None:
    assert add(request_for(log.note(), 0, [bytes(32)] * 63))[0] == 422, "read, and wrong"
    assert add(b"x" * 200_000)[0] == 413


def test_it_must_be_a_post(service: Service, log: LocalLedger) -> None:
    assert service.client.get("/add-checkpoint").status_code == 405


def test_it_is_remembered_before_it_is_answered(log: LocalLedger, add: Add, service: Service) -> None:
    add(request_for(log.note(), 0, []))
    kept = json.loads((service.filled.home.data / "witness.json").read_text())
    assert kept[ORIGIN] == [3, base64.b64encode(log.checkpoint().root).decode()]


def test_checking_and_remembering_are_one_step(log: LocalLedger, add: Add) -> None:
    """Many logs' worth of requests at once: the size never goes back, and each 200 extends the last."""
    notes = [log.note()]
    for start in range(3, 13):
        log.append(make_openings(1, start=start))
        notes.append(log.note())
    bodies = [request_for(one, 0, []) for one in notes]
    with ThreadPoolExecutor(8) as pool:
        said = list(pool.map(add, bodies))
    assert sorted(status for status, _, _ in said) == [200] + [409] * 10
    cosigned = Checkpoint.parse(notes[next(n for n, one in enumerate(said) if one[0] == 200)].text).size
    assert add(bodies[0]) == (409, "text/x.tlog.size", f"{cosigned}\n")


def test_a_damaged_memory_is_no_answer_about_the_log(log: LocalLedger, add: Add, service: Service) -> None:
    add(request_for(log.note(), 0, []))
    (service.filled.home.data / "witness.json").write_text("{")
    assert add(request_for(log.note(), 3, []))[0] == 500

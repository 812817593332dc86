"""Buckets: nothing is overwritten unseen, and two publishers do not tear a checkpoint."""

from __future__ import annotations

import http.server
import os
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from provenance.errors import ForkError, StoreError, UsageError
from provenance.ledger import publish as publishing
from provenance.ledger.audit import audit_published
from provenance.ledger.embedded.log import LocalLedger
from provenance.ledger.note import Checkpoint, Note
from provenance.ledger.places import BucketPlace
from provenance.ledger.policy import Policy
from provenance.ledger.publish import publish
from provenance.objects import Bucket
from provenance.store.objects import ObjectStore
from provenance.store.unixfs import cid_of
from tests.support.objects import ObjectServer
from tests.support.records import make_openings

pytestmark = pytest.mark.s3
ORIGIN = "example.org/log"


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[LocalLedger]:
    with LocalLedger.create(tmp_path / "l", origin=ORIGIN) as log:
        yield log


def _at_once(count: int, work: Callable[[int], bool]) -> list[int]:
    """Numbers of the threads whose work came out true."""
    won: list[int] = []
    gate = threading.Barrier(count)

    def run(number: int) -> None:
        gate.wait()
        if work(number):
            won.append(number)

    threads = [threading.Thread(target=run, args=(number,)) for number in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return won


def test_the_server_under_test_honours_both_conditions(s3: str) -> None:
    """Of many writers at once one wins: without that, no other test here would show anything."""
    bucket = Bucket(s3)
    for path in ("one", "two", "three"):
        won = _at_once(8, lambda number, path=path: bucket.create(path, b"%d" % number))
        assert len(won) == 1
        found = bucket.read(path, 100)
        assert found is not None and found[0] == b"%d" % won[0]
        again = _at_once(8, lambda n, path=path, tag=found[1]: bucket.replace(path, b"new %d" % n, tag))
        after = bucket.read(path, 100)
        assert len(again) == 1 and after is not None and after[0] == b"new %d" % again[0]
        assert not bucket.replace(path, b"late", found[1])
    assert not bucket.replace("absent", b"x", '"0"') and bucket.read("absent", 10) is None


def test_blobs_come_back_whole_and_damage_is_noticed(s3: str) -> None:
    store = ObjectStore(s3)
    large = os.urandom(2_500_000)
    for data in (b"", b"small", large):
        assert store.put(data) == store.put(data) == cid_of(data)
        assert store.has(cid_of(data)) and store.get(cid_of(data)) == data
    absent = cid_of(b"never put")
    assert not store.has(absent)
    with pytest.raises(StoreError, match="is not in s3://"):
        store.get(absent)
    assert Bucket(s3).create(f"{absent[-3:-1]}/{absent}", b"something else")
    for ask in (lambda: store.get(absent), lambda: store.put(b"never put")):
        with pytest.raises(StoreError, match="not what the content id says"):
            ask()


def test_a_published_log_grows_and_anyone_can_audit_it(s3: str, ledger: LocalLedger) -> None:
    policy = Policy.of_logs([ledger.log_key])
    position = 0
    for size in (1, 255, 256, 300, 300):
        ledger.extend(make_openings(size - position, start=position)) if size > position else None
        done = publish(ledger, s3)
        assert (done.previous_size, done.checkpoint.size) == (position, size)
        report = audit_published(s3, policy=policy)
        assert report.ok and report.entries == size, report.problems
        position = size
    assert [kept.place for kept in ledger.kept_checkpoints("published")] == [s3] * 4


def test_of_two_publishers_the_later_state_stays(
    s3: str, ledger: LocalLedger, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While one is about to write, the other publishes a larger tree: it is not set back."""
    ledger.extend(make_openings(3))
    publish(ledger, s3)
    ledger.extend(make_openings(2, start=3))
    place = BucketPlace(Bucket(s3))
    original = BucketPlace.show

    def overtaken(self: BucketPlace, note: Note, tag: str | None) -> bool:
        monkeypatch.setattr(BucketPlace, "show", original)
        with LocalLedger.open(ledger.path) as other:
            other.extend(make_openings(4, start=5))
            publish(other, s3)
        return original(self, note, tag)

    monkeypatch.setattr(BucketPlace, "show", overtaken)
    done = publish(ledger, s3)
    assert done.checkpoint.size == 9
    shown = place.checkpoint()[0]
    assert shown is not None and Checkpoint.parse(shown.text).size == 9
    assert audit_published(s3).ok


def test_publishers_at_once_leave_a_log_that_can_be_audited(s3: str, ledger: LocalLedger) -> None:
    def work(number: int) -> bool:
        with LocalLedger.open(ledger.path) as own:
            for _ in range(3):
                own.extend(make_openings(30, seed=f"{number} {own.size}"))
                publish(own, s3)
        return True

    assert len(_at_once(3, work)) == 3
    publish(ledger, s3)
    report = audit_published(s3, policy=Policy.of_logs([ledger.log_key]))
    assert report.ok and report.entries == 270, report.problems


def test_another_log_in_the_bucket_is_refused(s3: str, ledger: LocalLedger, tmp_path: Path) -> None:
    ledger.extend(make_openings(3))
    publish(ledger, s3)
    with LocalLedger.create(tmp_path / "other", origin=ORIGIN) as other:
        other.extend(make_openings(3, seed="other"))
        with pytest.raises(Exception, match=r"key|signature|signed|verif"):
            publish(other, s3)
    assert audit_published(s3).ok
    assert Bucket(s3).create("tile/entries/000.p/5", b"what another log would have there")
    ledger.extend(make_openings(2, start=3))
    with pytest.raises(ForkError, match="holds other hashes"):
        publish(ledger, s3)


def test_others_who_publish_all_the_time_are_named(
    s3: str, ledger: LocalLedger, monkeypatch: pytest.MonkeyPatch
) -> None:
    ledger.extend(make_openings(1))
    monkeypatch.setattr(BucketPlace, "show", lambda *_: False)
    monkeypatch.setattr(publishing, "_ATTEMPTS", 2)
    with pytest.raises(Exception, match="others publish"):
        publish(ledger, s3)


def test_a_bucket_that_denies_and_one_that_is_not_there(
    s3: str, ledger: LocalLedger, monkeypatch: pytest.MonkeyPatch
) -> None:
    ledger.extend(make_openings(1))
    with pytest.raises(StoreError, match="NoSuchBucket") as caught:
        publish(ledger, "s3://no-such-bucket/log")
    assert "make the bucket first" in str(caught.value.hint)
    for address in ("s3://key:secret@bucket/x", "ftp://bucket", "s3://b/x?y"):
        with pytest.raises(UsageError, match="is no bucket"):
            Bucket(address)
    with ObjectServer(open_actions=1) as closed:
        for name, value in closed.environment.items():
            monkeypatch.setenv(name, value)
        address = closed.new_bucket()
        for ask in (lambda: publish(ledger, address), lambda: ObjectStore(address).put(b"x")):
            with pytest.raises(StoreError, match="privileges") as caught:
                ask()
            assert "keys do not allow this" in str(caught.value.hint)
    assert ledger.kept_checkpoints() == []


#: What Amazon S3 answers where a bucket lies in another region.
_ANSWERS = {
    301: b"<Error><Code>PermanentRedirect</Code><Endpoint>b.s3.eu-west-1.amazonaws.com</Endpoint></Error>",
    400: b"<Error><Code>AuthorizationHeaderMalformed</Code><Region>eu-west-1</Region></Error>",
}


@pytest.mark.parametrize("status", _ANSWERS)
def test_a_wrong_region_is_named(s3: str, status: int, monkeypatch: pytest.MonkeyPatch) -> None:
    class Elsewhere(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(status)
            self.send_header("Content-Length", str(len(_ANSWERS[status])))
            self.end_headers()
            self.wfile.write(_ANSWERS[status])

        def do_PUT(self) -> None:
            self.rfile.read(int(self.headers.get("Content-Length", 0)))
            self.do_GET()

        def log_message(self, format: str, *args: object) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Elsewhere) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{server.server_port}")
        for ask in (lambda: Bucket(s3).read("x", 10), lambda: Bucket(s3).create("x", b"")):
            with pytest.raises(StoreError) as caught:
                ask()
            assert "AWS_REGION" in str(caught.value.hint), str(caught.value)
        server.shutdown()

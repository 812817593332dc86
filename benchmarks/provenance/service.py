"""The service on loopback: verdicts a second against the bare pipeline, parallel look-ups, memory; private recall.

    python benchmarks/provenance/service.py [--verdicts 150] [--lookups 200] [--uploads 2000] [--hidden 20000]

The bare pipeline verifies in this process, one file after the other; the service runs in a process of its own, with
those in which it looks at files, and is asked over connections that are kept. Rounds of both alternate, for machines
are never quiet, and processor time is given besides. Look-ups all begin at once, each on a connection of its own, over
2,000 public records. Memory is the resident set of all of them. Private recall asks for edited pictures, which hide
among 32 of many random records, and counts those whose band is answered; "hash alone" is what a service finds that is
shown the whole fingerprint.

Runs without arguments.
"""

from __future__ import annotations

import argparse
import contextlib
import http.client
import os
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import skimage.data
from PIL import Image

from benchmarks.provenance.find_edits import EDITS, pictures
from provenance.fingerprint.pdq import MATCH_DISTANCE, MIN_QUALITY, hamming, pdq_hash
from provenance.home import Home
from provenance.ledger.embedded.log import LocalLedger
from provenance.manifest.spec import ManifestSpec
from provenance.record import Relation
from provenance.resolve import bands
from provenance.resolve.bindings import PDQ, value_of
from provenance.resolve.listing import make_discoverable
from provenance.session import open_session
from provenance.setup import initialize
from provenance.sign import SignRequest, sign_file
from provenance.store.local import LocalStore
from provenance.trust.store import TrustStore
from provenance.verify import verify_file
from tests.support.records import make_openings, make_record

_PRIVATE_EDITS = (
    "JPEG q50",
    "JPEG q10",
    "resize 0.5",
    "resize 0.25",
    "crop 5 %",
    "colour",
    "logo 15 %",
    "border",
)
_NO_LIMIT = 10**9


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--verdicts", type=int, default=150, help="of each round; there are four rounds")
    parser.add_argument("--lookups", type=int, default=200, help="at the same time")
    parser.add_argument("--uploads", type=int, default=2000)
    parser.add_argument("--hidden", type=int, default=20_000, help="records to hide among")
    parser.add_argument("--serve", nargs=2, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.serve:
        serve(Path(options.serve[0]), int(options.serve[1]))
        return
    with tempfile.TemporaryDirectory() as folder:
        home, signed = prepared(Path(folder))
        with service(home) as (port, process):
            for photo in signed:
                verdicts(home, photo, port, process, options.verdicts)
            lookups(port, options.lookups)
            memory(signed[0], port, process, options.uploads)
    recall(options.hidden)


def prepared(folder: Path) -> tuple[Home, list[Path]]:
    """A home with 2,000 public records, and signed photos of one and of twelve megapixels."""
    home = Home.at(folder / "home")
    initialize(home, subject="Benchmark", algorithm="es256", passphrase=None)
    signed = []
    with open_session(home) as session:
        request = SignRequest(ManifestSpec(relation=Relation.CAPTURED, title="Photo"), discoverable=True)
        for size in ((1000, 1000), (4000, 3000)):
            photo = folder / f"photo-{size[0]}.jpg"
            Image.fromarray(skimage.data.astronaut()).resize(size).save(photo, quality=90)
            signed.append(sign_file(photo, folder / f"signed-{size[0]}.jpg", request, session).output)
    with LocalLedger.open(home.ledger) as ledger:
        ledger.extend(make_openings(2000))
        for index in range(2, 2002):
            make_discoverable(ledger, LocalStore(home.store), index)
    return home, signed


def serve(home: Path, port: int) -> None:
    import uvicorn

    from veilmark.web.app import create_app
    from veilmark.web.settings import Limits, Settings

    limits = Limits(requests_per_minute=_NO_LIMIT, uploads_per_minute=_NO_LIMIT)
    settings = Settings(Home.at(home), port=port, discoverable=True, limits=limits)
    uvicorn.run(create_app(settings), port=port, log_level="warning", access_log=False, ws="none")


@contextlib.contextmanager
def service(home: Home) -> Iterator[tuple[int, int]]:
    """The service in a process of its own; its port and process number."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    with subprocess.Popen([sys.executable, __file__, "--serve", str(home.data), str(port)]) as process:
        try:
            for _ in range(600):
                with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
                    break
                time.sleep(0.1)
            yield port, process.pid
        finally:
            process.terminate()


def verdicts(home: Home, signed: Path, port: int, process: int, count: int) -> None:
    trust, body = TrustStore.load(home), signed.read_bytes()
    rates: dict[str, list[float]] = {"bare": [], "one connection": [], "four connections": []}
    seconds: dict[str, list[float]] = {name: [] for name in rates}
    for _ in range(20):
        verify_file(signed, trust)
    asked(port, body, 20, 4)
    for _ in range(4):
        for name, connections in (("bare", 0), ("one connection", 1), ("four connections", 4)):
            began, used = time.perf_counter(), time.process_time() if not connections else processor(process)
            if connections:
                asked(port, body, count, connections)
            else:
                for _ in range(count):
                    verify_file(signed, trust)
            now = processor(process) if connections else time.process_time()
            rates[name].append(count / (time.perf_counter() - began))
            seconds[name].append((now - used) / count)
    bare, cost = statistics.median(rates["bare"]), statistics.median(seconds["bare"])
    print(f"verdicts on a file of {len(body)} bytes")
    for name, found in rates.items():
        rate, used = statistics.median(found), statistics.median(seconds[name])
        print(
            f"  {name:<17} {rate:6.1f} a second ({rate / bare - 1:+.0%}); {used * 1000:.1f} ms of processor time each "
            f"({used / cost - 1:+.0%}); rounds {', '.join(f'{one:.1f}' for one in found)}"
        )


def asked(port: int, body: bytes, count: int, connections: int) -> None:
    """So many verdicts over so many connections at the same time."""

    def ask() -> None:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=120)
        for _ in range(count // connections):
            posted(connection, body)

    with ThreadPoolExecutor(connections) as pool:
        for done in [pool.submit(ask) for _ in range(connections)]:
            done.result()


def processor(process: int) -> float:
    """Seconds of processor time that a process and those that it began have used."""
    found = [Path(f"/proc/{one}/stat").read_text().rpartition(")")[2].split() for one in family(process)]
    return sum(int(fields[11]) + int(fields[12]) for fields in found) / os.sysconf("SC_CLK_TCK")


def family(process: int) -> list[int]:
    """A process, those that it began, and those that they began."""
    parents = {}
    for place in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):  # it ended meanwhile
            parents[int(place.parent.name)] = int(place.read_text().rpartition(")")[2].split()[1])
    found = [process]
    for one in found:
        found += [child for child, parent in parents.items() if parent == one]
    return found


def posted(connection: http.client.HTTPConnection, body: bytes) -> None:
    connection.request("POST", "/v1/verify?name=signed.jpg", body, {"Content-Type": "image/jpeg"})
    answer = connection.getresponse()
    data = answer.read()
    assert answer.status == 200 and b'"state":"trusted"' in data, data[:500]


def lookups(port: int, count: int) -> None:
    """Begin all at the same moment; each asks for another record, and gets it."""
    seconds: list[float] = []
    failed: list[str] = []
    gate = threading.Barrier(count)

    def ask(number: int) -> None:
        code = bytes.fromhex(str(make_record(number).fingerprints["pdq"]))
        value = value_of(code).replace("+", "%2B")
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=120)
        gate.wait()
        began = time.perf_counter()
        try:
            connection.request("GET", f"/v1/matches/byBinding?alg={PDQ}&value={value}")
            answer = connection.getresponse()
            data = answer.read()
            if answer.status != 200 or b"veilmark.match/1" not in data:
                failed.append(f"{answer.status} {data[:80]!r}")
        except OSError as error:
            failed.append(str(error))
        seconds.append(time.perf_counter() - began)

    threads = [threading.Thread(target=ask, args=(number,)) for number in range(count)]
    began = time.perf_counter()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    whole = time.perf_counter() - began
    ordered = sorted(seconds)
    print(
        f"{count} look-ups at once: {len(failed)} failed, all done in {whole:.2f} s; "
        f"median {ordered[count // 2]:.2f} s, slowest {ordered[-1]:.2f} s"
    )
    for one in failed[:3]:
        print(f"  {one}")


def memory(signed: Path, port: int, process: int, count: int) -> None:
    body, kept = signed.read_bytes(), [resident(process)]
    for _ in range(10):
        asked(port, body, count // 10, 4)
        kept.append(resident(process))
    print(f"resident memory over {count} uploads, MiB: {', '.join(f'{one:.0f}' for one in kept)}")


def resident(process: int) -> float:
    """MiB of a process and those that it began; what they share counts once for each."""
    found = [Path(f"/proc/{one}/status").read_text() for one in family(process)]
    return sum(int(status.partition("VmRSS:")[2].split()[0]) for status in found) / 1024


def recall(hidden: int) -> None:
    random = np.random.default_rng(11)
    crowd = np.frombuffer(random.bytes(2 * hidden), dtype=np.uint16)
    counts = bands.counts_of(crowd)
    originals = [(one, *pdq_hash(one)) for _, one in pictures()]
    usable = [(pixels, code) for pixels, code, quality in originals if quality >= MIN_QUALITY]
    print(f"private look-ups of {len(usable)} pictures among {hidden} random records, k = {bands.DEFAULT_K}")
    answers: list[int] = []
    for name in _PRIVATE_EDITS:
        alone = private = 0
        for pixels, code in usable:
            edited = EDITS[name](pixels, random)
            if edited is None:
                continue
            asked = pdq_hash(edited)[0]
            question, answered = bands.choose(asked, counts, bands.DEFAULT_K)
            answers.append(answered)
            near = hamming(asked, code) <= MATCH_DISTANCE
            begins = bands.band_of(code) >> (bands.BAND_BITS - question.bits)
            alone += near
            private += near and (begins ^ question.prefix).bit_count() <= bands.FLIPS
        print(f"  {name:<12} hash alone {alone / len(usable):>4.0%}  private {private / len(usable):>4.0%}")
    print(f"  {question.bits} bits told; {min(answers)} to {max(answers)} records answered")


if __name__ == "__main__":
    main()

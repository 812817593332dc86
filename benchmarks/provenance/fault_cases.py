"""The single cases of :mod:`benchmarks.provenance.faults`: what is done, and what must hold afterwards.

Each class is made once in a folder of its own, and called with a random source; it gives an outcome in a few words and
a detail. The outcome ``FINDING`` says that something was wrong.
"""

from __future__ import annotations

import os
import random
import resource
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
import traceback
from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image

import cli
from provenance.errors import VeilmarkError
from provenance.home import Home
from provenance.ledger.audit import audit
from provenance.ledger.embedded.log import LocalLedger
from provenance.ledger.note import Checkpoint, Note
from provenance.ledger.receipt import Receipt
from provenance.manifest.spec import ManifestSpec
from provenance.record import Opening
from provenance.search.lookup import open_lookup
from provenance.session import open_session
from provenance.setup import initialize
from provenance.sign import SignRequest, sign_file
from provenance.trust.store import TrustStore
from provenance.trust.trust_file import export_trust, parse_trust_file
from provenance.verdict import State
from provenance.verify import VerifyRequest, verify_file
from tests.support.mutants import mutant

Outcome = tuple[str, str]
_PICTURES = 6
_FINDING = "FINDING"
_FAKETIME = "**/faketime/libfaketime.so.1"


def _picture(path: Path, draw: random.Random, side: int = 96) -> Path:
    pixels = np.frombuffer(draw.randbytes(side * side * 3 // 64), np.uint8).reshape(side // 8, side // 8, 3)
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).resize((side, side), Image.Resampling.BICUBIC).save(path, quality=90)
    return path


def _fresh_home(folder: Path) -> Home:
    shutil.rmtree(folder, ignore_errors=True)
    home = Home.at(folder)
    initialize(home, subject="Faults", algorithm="es256", passphrase=None)
    return home


def _in_a_child(arguments: list[str], before: Callable[[], None] = lambda: None) -> int:
    """``veilmark`` in a forked process; returns its id."""
    child = os.fork()
    if child:
        return child
    try:
        null = os.open(os.devnull, os.O_RDWR)
        for stream in (0, 1, 2):
            os.dup2(null, stream)
        before()
        cli.app(arguments, prog_name="veilmark")
    except SystemExit as end:
        os._exit(end.code if isinstance(end.code, int) else 1)
    except BaseException:
        _last_words().write_text(traceback.format_exc(limit=-3)[-500:])
    finally:
        os._exit(99)


def _last_words() -> Path:
    return Path(os.environ["VEILMARK_HOME"]).with_name("last-words.txt")


def _exit_code(child: int) -> int:
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def _problems(home: Home, outputs: Path, *, all_of: int | None = None) -> str:
    """What is wrong with a ledger and the files signed with it, or empty."""
    with LocalLedger.open(home.ledger) as ledger:
        report = audit(ledger, signatures=True)
        if not report.ok:
            return f"audit: {report.problems[0].words}"
    left = [path.name for path in outputs.glob(".veilmark-*")]
    if left:
        return f"left behind: {left}"
    files = sorted(path for path in outputs.glob("*.jpg"))
    if all_of is not None and len(files) != all_of:
        return f"{len(files)} files of {all_of}"
    trust = TrustStore.load(home)
    for path in files:
        if not path.with_name(path.name + ".receipt").is_file():
            return f"{path.name} has no receipt"
        verdict = verify_file(path, trust)
        if verdict.state is not State.TRUSTED or not verdict.ledger:
            return f"{path.name}: {verdict.state}: {verdict.headline}"
    return ""


class Kills:
    """A run that signs a folder is killed (SIGKILL) at any time, then run again with --resume."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.usual = folder, 0.0

    def __call__(self, draw: random.Random) -> Outcome:
        home, out = _fresh_home(self.folder / "home"), self.folder / "out"
        shutil.rmtree(out, ignore_errors=True)
        for number in range(_PICTURES):
            _picture(self.folder / "in" / f"{number}.jpg", draw)
        command = ["sign", str(self.folder / "in"), "-o", str(out), "--jobs", draw.choice("13")]
        if not self.usual:
            began = time.monotonic()
            _exit_code(_in_a_child(command))
            self.usual = time.monotonic() - began
            return self(draw)
        began = time.monotonic()
        child = _in_a_child(command)
        time.sleep(draw.uniform(0, self.usual))
        os.kill(child, signal.SIGKILL)
        killed = _exit_code(child) == -signal.SIGKILL
        if not killed:
            self.usual = time.monotonic() - began
        code = _exit_code(_in_a_child([*command, "--resume"]))
        if code != 0:
            said = _last_words().read_text() if _last_words().is_file() else ""
            return _FINDING, f"--resume ended with {code} {said}"
        wrong = _problems(home, out, all_of=_PICTURES)
        return (
            (_FINDING, wrong) if wrong else ("killed and resumed" if killed else "ended before the kill", "")
        )


class Flips:
    """One bit of a ledger's file is flipped: either it is noticed, or nothing that is kept has changed."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        home = _fresh_home(folder / "home")
        with open_session(home) as session:
            for number in range(24):
                source = _picture(folder / "in" / f"{number}.jpg", random.Random(number))
                sign_file(source, folder / "out" / source.name, SignRequest(ManifestSpec()), session)
        with sqlite3.connect(home.ledger) as connection:
            connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        connection.close()
        self.home, self.good = home, home.ledger.read_bytes()
        self.content = self._content(home.ledger)

    def _content(self, path: Path) -> list[object]:
        with LocalLedger.open(path) as ledger:
            return [str(ledger.note()), ledger.origin, ledger.log_key, *ledger.entries()]

    def __call__(self, draw: random.Random) -> Outcome:
        data = bytearray(self.good)
        at = draw.randrange(len(data))
        data[at] ^= 1 << draw.randrange(8)
        for suffix in ("", "-wal", "-shm", ".audit"):
            self.home.ledger.with_name(self.home.ledger.name + suffix).unlink(missing_ok=True)
        self.home.ledger.write_bytes(data)
        try:
            with LocalLedger.open(self.home.ledger) as ledger:
                report = audit(ledger, signatures=True)
                if not report.ok:
                    try:
                        ledger.require_no_fork()
                    except VeilmarkError:
                        return "audit names it", ""
                    return _FINDING, f"byte {at}: an audit found it, and signing goes on"
            same = self._content(self.home.ledger) == self.content
        except VeilmarkError as error:
            if self.home.ledger.name not in str(error) and "entry" not in str(error):
                return _FINDING, f"byte {at}: an error that names no file: {error}"
            return "refused to open", ""
        return ("nothing kept has changed", "") if same else (_FINDING, f"byte {at}: changed, not noticed")


class Mutants:
    """Damaged files of every kind that is read: an expected error or a verdict, and never a trusted one."""

    def __init__(self, folder: Path) -> None:
        home = _fresh_home(folder / "home")
        self.folder, self.home, self.trust = folder, home, TrustStore.load(home)
        source = _picture(folder / "in" / "picture.jpg", random.Random(0), 64)
        wave = folder / "in" / "text.any"
        wave.write_bytes(b"any bytes at all\n" * 40)
        with open_session(home) as session:
            sign_file(source, folder / "out" / "picture.jpg", SignRequest(ManifestSpec()), session)
            aside = SignRequest(ManifestSpec(), any_file=True)
            sign_file(wave, folder / "out" / "text.any", aside, session)
            checkpoint, opening = (
                str(session.ledger.note()).encode(),
                session.ledger.entry(0).opening.to_bytes(),
            )
        out = folder / "out"
        self.parsers: list[tuple[str, bytes, Callable[[bytes], object]]] = [
            ("receipt", (out / "picture.jpg.receipt").read_bytes(), self._receipt),
            ("checkpoint", checkpoint, lambda data: Checkpoint.parse(Note.parse(data).text)),
            ("opening", opening, lambda data: Opening.from_bytes(data).signed.verify()),
            ("picture", (out / "picture.jpg").read_bytes(), self._picture),
            (
                "trust file",
                export_trust(self.trust).encode(),
                lambda data: parse_trust_file(data.decode(errors="replace")),
            ),
            ("side-car", (out / "text.any.c2pa").read_bytes(), self._sidecar),
        ]

    def __call__(self, draw: random.Random) -> Outcome:
        name, good, check = draw.choices(self.parsers, (8, 6, 6, 3, 3, 1))[0]
        kind, data = mutant(good, draw)
        if data == good:
            return "unchanged by chance", ""
        try:
            trusted = check(data)
        except VeilmarkError:
            return "expected error", ""
        except Exception as error:
            return _FINDING, f"{name}, {kind}: {type(error).__name__}: {str(error)[:200]}"
        if trusted is True:
            return _FINDING, f"{name}, {kind}: trusted as it is"
        return "not trusted, or not what was signed", ""

    def _receipt(self, data: bytes) -> bool:
        """Whether a receipt with another meaning proves the same entry."""
        receipt = Receipt.from_bytes(data)
        receipt.verify(self.trust.log_keys.values())
        receipt.opening.signed.verify()
        good = Receipt.from_bytes(self.parsers[0][1])
        return receipt.opening != good.opening or receipt.index != good.index

    def _picture(self, data: bytes) -> bool:
        path = self.folder / "mutant.jpg"
        path.write_bytes(data)
        with open_lookup(self.home) as lookup:
            return verify_file(path, self.trust, lookup=lookup).state is State.TRUSTED

    def _sidecar(self, data: bytes) -> bool:
        path = self.folder / "mutant.c2pa"
        path.write_bytes(data)
        media = self.folder / "out" / "text.any"
        return verify_file(media, self.trust, request=VerifyRequest(sidecar=path)).state is State.TRUSTED


class Disks:
    """Signing while the disk fills up: a small file system where one can be mounted, else a limit on file sizes."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __call__(self, draw: random.Random) -> Outcome:
        disk = self.folder / "disk"
        disk.mkdir(exist_ok=True)
        mounted = _mount(disk, 4096)
        try:
            return self._case(disk, draw, mounted)
        finally:
            if mounted:
                subprocess.run(["umount", "-l", disk], check=True)

    def _case(self, disk: Path, draw: random.Random, mounted: bool) -> Outcome:
        home, out = _fresh_home(disk / "home"), disk / "out"
        shutil.rmtree(out, ignore_errors=True)
        for number in range(_PICTURES):
            _picture(self.folder / "in" / f"{number}.jpg", draw)
        os.environ["VEILMARK_HOME"] = str(home.data)
        command = ["sign", str(self.folder / "in"), "-o", str(out)]
        limit = 0 if mounted else draw.randrange(20_000, 300_000)

        def before() -> None:
            if limit:
                resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))

        if mounted:
            free = shutil.disk_usage(disk).free
            (disk / "ballast").write_bytes(bytes(max(0, free - draw.randrange(0, 600_000))))
        code = _exit_code(_in_a_child(command, before))
        (disk / "ballast").unlink(missing_ok=True)
        if code not in (0, 2, 3, 7):
            return _FINDING, f"ended with {code}"
        again = _exit_code(_in_a_child([*command, "--resume"]))
        if again != 0:
            return _FINDING, f"with room again, --resume ended with {again}"
        wrong = _problems(home, out, all_of=_PICTURES)
        return (
            (_FINDING, wrong) if wrong else ("there was room" if code == 0 else "refused, then resumed", "")
        )


class Clocks:
    """The clock goes back between two signatures, by minutes to days (libfaketime)."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __call__(self, draw: random.Random) -> Outcome:
        library = os.environ.get("LIBFAKETIME") or next(map(str, Path("/usr/lib").glob(_FAKETIME)), None)
        if library is None:
            return "not tried: no libfaketime", ""
        home, out = _fresh_home(self.folder / "home"), self.folder / "out"
        shutil.rmtree(out, ignore_errors=True)
        back = draw.choice((1, 30, 120, 2880))
        codes = []
        for number, minutes in enumerate((0, back, 0)):
            source = _picture(self.folder / "in" / f"{number}.jpg", draw)
            shifted = {"LD_PRELOAD": library, "FAKETIME": f"-{minutes}m"} if minutes else {}
            command = [sys.executable, "-m", "cli", "sign", str(source), "-o", str(out / source.name)]
            done = subprocess.run(command, env={**os.environ, **shifted}, capture_output=True, check=False)
            codes.append(done.returncode)
        if codes[0] or codes[2] or codes[1] not in (0, 2):
            return _FINDING, f"{back} minutes back: ended with {codes}"
        wrong = _problems(home, out, all_of=3 if codes[1] == 0 else 2)
        said = "signed in log order" if codes[1] == 0 else "refused while it was back"
        return (_FINDING, wrong) if wrong else (said, "")


def _mount(disk: Path, kilobytes: int) -> bool:
    if os.geteuid() != 0:
        return False
    command = ["mount", "-t", "tmpfs", "-o", f"size={kilobytes}k", "tmpfs", str(disk)]
    return subprocess.run(command, capture_output=True, check=False).returncode == 0


CASES: dict[str, Callable[[Path], Callable[[random.Random], tuple[str, str]]]] = {
    "kills": Kills,
    "flips": Flips,
    "mutants": Mutants,
    "disks": Disks,
    "clocks": Clocks,
}

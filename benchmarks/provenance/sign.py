"""What the whole signing pipeline costs over bare c2pa-python signing of the same files.

Prints wall and CPU time as ratios to bare signing (c2pa's defaults, thumbnails off) in the same run, verifying as a
ratio to a bare Reader (as it is, and with ``--no-similar``), and two workers against one, beside two that only sign
bare. The column "floor" is the least that a pipeline with a perceptual fingerprint can take: bare signing and, beside
it on another core, decoding the picture at a reduced DCT scale; the same for verifying. Pictures and films are made in
processes of their own, so that the peak memory is that of signing and verifying. Memory is kept as in a batch::

    python benchmarks/provenance/sign.py --rounds 5

Runs without arguments.
"""

from __future__ import annotations

import os

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # as the command does

import argparse
import multiprocessing
import resource
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from statistics import median

import c2pa
import numpy as np
from PIL import Image

from provenance.commands.support.memory import keep_memory
from provenance.fingerprint.features import WORKING_SIDE
from provenance.home import Home
from provenance.manifest.embed import ManifestSpec
from provenance.media.picture import detect_format, open_picture
from provenance.search.lookup import open_lookup
from provenance.session import Session, open_session
from provenance.setup import initialize
from provenance.sign import SignRequest, sign_file
from provenance.trust.store import TrustStore
from provenance.verify import VerifyRequest, verify_file

_DEFINITION = {
    "claim_version": 2,
    "claim_generator_info": [{"name": "bare", "version": "1"}],
    "assertions": [
        {
            "label": "c2pa.actions.v2",
            "created": True,
            "data": {
                "actions": [
                    {
                        "action": "c2pa.created",
                        "digitalSourceType": "http://cv.iptc.org/newscodes/digitalsourcetype/digitalCapture",
                    }
                ]
            },
        }
    ],
}
_SETTINGS = {"version": 1, "builder": {"thumbnail": {"enabled": False}}}


def picture(path: Path, width: int, height: int, seed: int = 0) -> None:
    """A JPEG with the detail of a photo: an enlarged portrait with sensor noise."""
    import skimage.data

    noise = np.random.default_rng(seed).normal(0, 6, (height, width, 1))
    base = np.asarray(
        Image.fromarray(skimage.data.astronaut()).resize((width, height), Image.Resampling.BICUBIC)
    )
    Image.fromarray(np.clip(base + noise, 0, 255).astype(np.uint8)).save(path, quality=92)


def film(path: Path, megabytes: int) -> None:
    """An MP4 of about ``megabytes``."""
    import cv2

    random = np.random.default_rng(0)
    frames = [random.integers(0, 255, (720, 1280, 3), dtype=np.uint8) for _ in range(8)]
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"mp4v"), 25.0, (1280, 720))
    count = 0
    while count < 20 or path.stat().st_size < megabytes * 1_000_000:
        writer.write(frames[count % 8])
        count += 1
    writer.release()


def sign_bare(source: Path, output: Path, session: Session) -> None:
    """c2pa-python and nothing else, with the same key."""
    media = detect_format(source)
    with c2pa.Context.from_dict(_SETTINGS) as context:
        builder = c2pa.Builder(_DEFINITION, context=context)
        algorithm = getattr(c2pa.C2paSigningAlg, session.identity.algorithm.upper())
        signer = c2pa.Signer.from_callback(session.identity.sign, algorithm, session.identity.chain_pem, None)
        with source.open("rb") as reading, output.open("w+b") as writing:
            builder.sign(signer, media.mime, reading, writing)


def read_bare(path: Path) -> None:
    """A bare Reader, which checks hashes and signature."""
    settings = {"version": 1, "verify": {"remote_manifest_fetch": False, "ocsp_fetch": False}}
    with (
        c2pa.Context.from_dict(settings) as context,
        path.open("rb") as stream,
        c2pa.Reader(detect_format(path).mime, stream, context=context) as reader,
    ):
        reader.json()


def apart(work: Callable[..., object], *arguments: object) -> None:
    """Do something in a process of its own."""
    child = multiprocessing.get_context("spawn").Process(target=work, args=arguments)
    child.start()
    child.join()
    if child.exitcode:
        raise SystemExit(child.exitcode)


def timed(work: Callable[[], object]) -> tuple[float, float]:
    """Wall and CPU seconds."""
    wall, cpu = time.perf_counter(), time.process_time()
    work()
    return time.perf_counter() - wall, time.process_time() - cpu


@contextmanager
def fresh_home() -> Iterator[tuple[Path, Session, Home]]:
    with tempfile.TemporaryDirectory() as name:
        os.environ["VEILMARK_HOME"] = f"{name}/home"
        home = Home.locate()
        initialize(home, subject="Benchmark", algorithm="es256", passphrase=None)
        with open_session(home) as session:
            yield Path(name), session, home


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--megabytes", type=int, default=50, help="size of the film")
    parser.add_argument("--files", type=int, default=24, help="12-megapixel files for the two workers")
    arguments = parser.parse_args()
    request = SignRequest(ManifestSpec(), receipt=True)
    keep_memory()
    print(
        f"{'file':<12}{'MB':>7}{'bare s':>9}{'ours s':>9}{'wall':>7}{'floor':>7}{'CPU':>7}"
        f"{'Reader s':>10}{'verify':>8}{'floor':>8}{'no sim.':>8}"
    )
    for name in ("2 MP JPEG", "12 MP JPEG", "MP4"):
        print(_row(name, request, arguments.rounds, arguments.megabytes), flush=True)
    rates: dict[str, list[float]] = {"ours": [], "bare": []}
    with fresh_home() as (folder, session, _):
        sources = [folder / f"{index}.jpg" for index in range(arguments.files)]
        for index, source in enumerate(sources):
            apart(picture, source, 4000, 3000, index)
        for workers in (1, 2):
            target = folder / f"signed{workers}"
            target.mkdir()
            for name in rates:

                def work(source: Path, name: str = name, target: Path = target) -> None:
                    if name == "ours":
                        sign_file(source, target / source.name, request, session)
                    else:
                        sign_bare(source, target / f"bare-{source.name}", session)

                started = time.perf_counter()
                with ThreadPoolExecutor(workers) as pool:
                    list(pool.map(work, sources))
                rates[name].append(arguments.files / (time.perf_counter() - started))
    for name, (one, two) in rates.items():
        print(f"two workers against one, {name}: {two / one:.2f}x ({one:.1f} and {two:.1f} files/s)")
    print(f"peak memory: {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024:.0f} MiB")


def _row(name: str, request: SignRequest, rounds: int, megabytes: int) -> str:
    """One file's medians; each round works with a fresh ledger, so that no round looks up the one before."""
    bare, ours, read, verified, brief, decoded = [], [], [], [], [], []
    with tempfile.TemporaryDirectory() as kept:
        source = Path(kept) / ("film.mp4" if name == "MP4" else "picture.jpg")
        if name == "MP4":
            apart(film, source, megabytes)
        else:
            apart(picture, source, *((1600, 1200) if name == "2 MP JPEG" else (4000, 3000)))
        size = source.stat().st_size / 1e6
        for _ in range(rounds):
            with fresh_home() as (folder, session, home):
                output = folder / f"signed{source.suffix}"
                bare.append(timed(partial(sign_bare, source, output, session)))
                ours.append(timed(partial(sign_file, source, output, request, session, force=True)))
                read.append(timed(partial(read_bare, output)))
                trust = TrustStore.load(home)
                with open_lookup(home) as lookup:
                    verified.append(timed(partial(verify_file, output, trust, lookup=lookup)))
                    unlike = VerifyRequest(likeness=False)
                    brief.append(timed(partial(verify_file, output, trust, lookup=lookup, request=unlike)))
                if name != "MP4":
                    decoded.append(timed(lambda: open_picture(source, reduce_to=WORKING_SIDE)))

    def middle(runs: list[tuple[float, float]], column: int = 0) -> float:
        return median(run[column] for run in runs)

    signing, reading = middle(bare), middle(read)
    floors = [f"{max(1.0, middle(decoded) / base):.2f}x" if decoded else "-" for base in (signing, reading)]
    return (
        f"{name:<12}{size:>7.1f}{signing:>9.3f}{middle(ours):>9.3f}"
        f"{middle(ours) / signing:>6.2f}x{floors[0]:>7}{middle(ours, 1) / middle(bare, 1):>6.2f}x"
        f"{reading:>10.4f}{middle(verified) / reading:>7.2f}x{floors[1]:>8}{middle(brief) / reading:>7.2f}x"
    )


if __name__ == "__main__":
    main()

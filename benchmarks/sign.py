"""What the whole signing pipeline costs over bare c2pa-python signing of the same files.

Prints wall and CPU time as ratios to bare signing (no thumbnails) in the same run, verifying as a ratio to a bare
Reader, and two workers against one::

    python benchmarks/sign.py --rounds 5
"""

from __future__ import annotations

import argparse
import os
import resource
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from statistics import median

import c2pa
import numpy as np
from PIL import Image

from provenance.desk import Desk, open_desk
from provenance.home import Home
from provenance.lookup import open_lookup
from provenance.manifest import ManifestSpec
from provenance.media import detect_format
from provenance.setup import initialize
from provenance.sign import SignRequest, sign_file
from provenance.trust import TrustStore
from provenance.verify import verify_file

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
_SETTINGS = {
    "version": 1,
    "builder": {"thumbnail": {"enabled": False}},
    "verify": {"verify_after_sign": False},
}


def picture(path: Path, width: int, height: int) -> None:
    """A JPEG with the detail of a photo: an enlarged portrait with sensor noise."""
    import skimage.data

    noise = np.random.default_rng(0).normal(0, 6, (height, width, 1))
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


def sign_bare(source: Path, output: Path, desk: Desk) -> None:
    """c2pa-python and nothing else, with the same key."""
    media = detect_format(source)
    with c2pa.Context.from_dict(_SETTINGS) as context:
        builder = c2pa.Builder(_DEFINITION, context=context)
        algorithm = getattr(c2pa.C2paSigningAlg, desk.identity.algorithm.upper())
        signer = c2pa.Signer.from_callback(desk.identity.sign, algorithm, desk.identity.chain_pem, None)
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


def timed(work: Callable[[], object]) -> tuple[float, float]:
    """Wall and CPU seconds."""
    wall, cpu = time.perf_counter(), time.process_time()
    work()
    return time.perf_counter() - wall, time.process_time() - cpu


@contextmanager
def workplace() -> Iterator[tuple[Path, Desk, Home]]:
    with tempfile.TemporaryDirectory() as name:
        os.environ["VEILMARK_HOME"] = f"{name}/home"
        home = Home.locate()
        initialize(home, subject="Benchmark", algorithm="es256", passphrase=None)
        with open_desk(home) as desk:
            yield Path(name), desk, home


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--megabytes", type=int, default=50, help="size of the film")
    parser.add_argument("--files", type=int, default=24, help="12-megapixel files for the two workers")
    arguments = parser.parse_args()
    request = SignRequest(ManifestSpec(), receipt=True)
    with workplace() as (folder, desk, home):
        sources = {
            "2 MP JPEG": folder / "2mp.jpg",
            "12 MP JPEG": folder / "12mp.jpg",
            "MP4": folder / "film.mp4",
        }
        picture(sources["2 MP JPEG"], 1600, 1200)
        picture(sources["12 MP JPEG"], 4000, 3000)
        film(sources["MP4"], arguments.megabytes)
        trust = TrustStore.load(home)
        print(f"{'file':<12}{'MB':>7}{'bare s':>9}{'ours s':>9}{'wall':>7}{'CPU':>7}{'verify':>9}")
        for name, source in sources.items():
            output = folder / f"signed{source.suffix}"
            bare, ours, read, verified = [], [], [], []
            for _ in range(arguments.rounds):
                bare.append(timed(lambda s=source, o=output: sign_bare(s, o, desk)))
                ours.append(timed(lambda s=source, o=output: sign_file(s, o, request, desk, force=True)))
                read.append(timed(lambda o=output: read_bare(o)))
                with open_lookup(home) as lookup:
                    verified.append(timed(lambda o=output, k=lookup: verify_file(o, trust, lookup=k)))
            wall = median(o[0] for o in ours) / median(b[0] for b in bare)
            cpu = median(o[1] for o in ours) / median(b[1] for b in bare)
            check = median(v[0] for v in verified) / median(r[0] for r in read)
            size = source.stat().st_size / 1e6
            seconds = f"{median(b[0] for b in bare):>9.3f}{median(o[0] for o in ours):>9.3f}"
            print(f"{name:<12}{size:>7.1f}{seconds}{wall:>6.2f}x{cpu:>6.2f}x{check:>8.2f}x")
        rates = {}
        for workers in (1, 2):
            targets = [folder / f"out-{workers}-{index}.jpg" for index in range(arguments.files)]
            started = time.perf_counter()
            with ThreadPoolExecutor(workers) as pool:
                list(pool.map(lambda t: sign_file(sources["12 MP JPEG"], t, request, desk), targets))
            rates[workers] = arguments.files / (time.perf_counter() - started)
        print(
            f"two workers against one: {rates[2] / rates[1]:.2f}x ({rates[1]:.1f} and {rates[2]:.1f} files/s)"
        )
        print(f"peak memory: {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024:.0f} MiB")


if __name__ == "__main__":
    main()

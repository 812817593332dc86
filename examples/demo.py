"""The whole path on two public-domain portraits: sign, record, cloak, verify, find again, refuse.

Runs the real ``veilmark`` command step by step, checks each exit code, and writes the pictures and a
self-contained ``report.html``. Called by ``make demo``.
"""

from __future__ import annotations

import argparse
import json
import os
import shlex
import shutil
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

sys.path.insert(0, str(Path(__file__).parent))
import demo_report

PORTRAITS = {
    "astronaut": "Eileen Collins, NASA (public domain; from scikit-image)",
    "hopper": "Grace Hopper, US Navy (public domain; from matplotlib)",
}


@dataclass(frozen=True)
class Step:
    """One command as it was run, for the report."""

    caption: str
    command: str
    code: int
    output: str
    data: list[dict[str, Any]]
    seconds: float


class Demo:
    """Runs ``veilmark`` with its state inside the output folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.steps: list[Step] = []

    def run(self, caption: str, *args: str, expect: int = 0, home: str = "state") -> Step:
        """Run one command twice where it only reads: as a person sees it, and as ``--json``.

        Raises:
            SystemExit: the exit code is not the expected one.
        """
        reading = args[0] in ("verify", "find")
        started = time.perf_counter()
        shown = self._call([*args] if reading else [*args, "--json"], home)
        seconds = time.perf_counter() - started
        parsed = self._call([*args, "--json"], home) if reading else shown
        text = shown.stdout if reading else shown.stderr
        data = [json.loads(line) for line in parsed.stdout.splitlines() if line.startswith("{")]
        step = Step(caption, "veilmark " + shlex.join(args), shown.returncode, text.rstrip(), data, seconds)
        self.steps.append(step)
        mark = "ok" if shown.returncode == expect else "FAILED"
        print(f"[{mark}] {caption}\n     $ {step.command}   (exit {shown.returncode}, {seconds:.1f} s)")
        if shown.returncode != expect:
            print(shown.stdout, shown.stderr, sep="\n", file=sys.stderr)
            raise SystemExit(f"demo failed: expected exit code {expect}, got {shown.returncode}")
        return step

    def _call(self, args: list[str], home: str) -> subprocess.CompletedProcess[str]:
        environment = {
            **os.environ,
            "VEILMARK_HOME": str(self.folder / home),
            "NO_COLOR": "1",
            "COLUMNS": "150",
            "PYTHONIOENCODING": "utf-8",
        }
        return subprocess.run(
            [sys.executable, "-m", "cli", *args],
            cwd=self.folder,
            env={**environment, "PYTHONPATH": str(Path(__file__).parents[1])},
            capture_output=True,
            text=True,
            check=False,
        )


def write_portraits(folder: Path) -> None:
    """The two portraits as JPEG files."""
    import matplotlib.cbook
    import skimage.data

    folder.mkdir(parents=True)
    Image.fromarray(skimage.data.astronaut()).save(folder / "astronaut.jpg", quality=95)
    with matplotlib.cbook.get_sample_data("grace_hopper.jpg") as stream, Image.open(stream) as picture:
        picture.convert("RGB").save(folder / "hopper.jpg", quality=95)


def make_stripped(source: Path, target: Path) -> None:
    """What a platform does: smaller, recompressed, no metadata."""
    with Image.open(source) as picture:
        small = picture.resize((picture.width * 2 // 3, picture.height * 2 // 3))
        clean = Image.fromarray(np.asarray(small))
        clean.save(target, quality=70)


def make_tampered(source: Path, target: Path) -> None:
    """One bit of the compressed picture changed; the manifest left as it is."""
    data = bytearray(source.read_bytes())
    data[int(len(data) * 0.9)] ^= 0x01
    target.write_bytes(data)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--output", type=Path, default=Path("demo-output"))
    parser.add_argument("--picture", type=Path, help="also write the README's picture here (JPEG)")
    arguments = parser.parse_args()
    folder: Path = arguments.output.absolute()
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    write_portraits(folder / "originals")
    demo = Demo(folder)

    demo.run("Make an identity and a ledger", "init", "--name", "Demo Photographer")
    demo.run("Sign both portraits as captures and record them", "sign", "originals", "-o", "signed")
    cloaked = demo.run(
        "Cloak one of them, linked to its signed original",
        "cloak",
        "signed/astronaut.jpg",
        "-o",
        "cloaked/astronaut.jpg",
        "--detectors",
        "mtcnn,centerface",
    )
    demo.run("Verify all three", "verify", "signed", "cloaked")
    make_stripped(folder / "signed" / "hopper.jpg", folder / "stripped.jpg")
    demo.run("A copy from the web: smaller, recompressed, no metadata", "verify", "stripped.jpg", expect=4)
    demo.run("Find its record again", "find", "stripped.jpg")
    make_tampered(folder / "signed" / "hopper.jpg", folder / "tampered.jpg")
    demo.run("A copy with one changed bit is refused", "verify", "tampered.jpg", expect=1)
    demo.run(
        "Somebody else, who trusts nobody yet, verifies",
        "verify",
        "signed/hopper.jpg",
        expect=5,
        home="stranger",
    )
    report = folder / "report.html"
    report.write_text(demo_report.render(folder, demo.steps, cloaked.data[0], PORTRAITS), encoding="utf-8")
    if arguments.picture:
        with Image.open(folder / "before-after.png") as joined:
            joined.save(arguments.picture, quality=88)
    print(f"\nOpen {report}")
    print("to look around: veilmark studio")


if __name__ == "__main__":
    main()

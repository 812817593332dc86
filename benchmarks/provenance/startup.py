"""What the command costs at the shell: processor time as a ratio to importing numpy and c2pa.

Every command runs in a process of its own, in turn with the import that it is compared with, so that a loaded machine
slows both. The medians over the rounds are compared. The first round, which writes byte code, is not counted::

    python benchmarks/provenance/startup.py --rounds 7

Runs without arguments.
"""

from __future__ import annotations

import argparse
import os
import resource
import subprocess
import sys
import tempfile
from pathlib import Path
from statistics import median

ROOT = Path(__file__).resolve().parents[2]
_TARGETS = {"--help": 0.9, "verify": 1.6, "verify --similar": None, "sign": 1.8}


def cpu_seconds(words: list[str], environment: dict[str, str]) -> float:
    """Processor seconds of one process, user and system."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run(words, env=environment, capture_output=True, check=True, cwd=ROOT)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=7)
    rounds = parser.parse_args().rounds
    import skimage.data
    from PIL import Image

    with tempfile.TemporaryDirectory() as name:
        environment = {**os.environ, "VEILMARK_HOME": f"{name}/home"}
        environment.pop("PYTHONDONTWRITEBYTECODE", None)
        source, signed = f"{name}/photo.jpg", f"{name}/signed.jpg"
        Image.fromarray(skimage.data.astronaut()).resize((1600, 1200)).save(source, quality=92)
        veilmark = [sys.executable, "-m", "cli"]
        cpu_seconds([*veilmark, "init", "--name", "Benchmark"], environment)
        cpu_seconds([*veilmark, "sign", source, "-o", signed], environment)
        commands = {
            "import numpy, c2pa": [sys.executable, "-c", "import numpy, c2pa"],
            "--help": [*veilmark, "--help"],
            "verify": [*veilmark, "verify", signed],
            "verify --similar": [*veilmark, "verify", "--similar", signed],
            "sign": [*veilmark, "sign", source, "-o", f"{name}/again.jpg", "--force"],
        }
        spent: dict[str, list[float]] = {one: [] for one in commands}
        for number in range(rounds + 1):
            for one, words in commands.items():
                seconds = cpu_seconds(words, environment)
                if number:
                    spent[one].append(seconds)
    base = median(spent["import numpy, c2pa"])
    for one, values in spent.items():
        target = _TARGETS.get(one)
        aim = f"  (at most {target})" if target else ""
        print(f"{one:<20}{median(values):>7.3f} s{median(values) / base:>7.2f}x{aim}")


if __name__ == "__main__":
    main()

"""Everything that is claimed for a GPU, in blocks of at most nine minutes, in one JSON file.

::

    make gpu                                             # on the card, into build/gpu.json
    python benchmarks/gpu/run.py --out gpu.json          # the same without make
    python benchmarks/gpu/run.py --out dry.json --dry-run   # every line on a CPU, in small

Each block runs in a process of its own. What is finished is kept: run again, it goes on with the first block that is
missing. It starts with torch, numpy and pillow and without a network; a block that needs more says what it lacks, and
the others run. Footage lies in ``VEILMARK_TEST_DATA``, weights of further detectors in ``--weights``. Times are of
synchronised work after a warm-up; TF32 is off but where a row says so, cudnn chooses algorithms by its heuristics.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib.util
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve()
ROOT = HERE.parents[2]
#: Name, the function in a module beside this file, packages besides torch and numpy, and whether footage is needed.
BLOCKS: dict[str, tuple[str, tuple[str, ...], bool]] = {
    "machine": ("rates", (), False),
    "swap small": ("swap", (), False),
    "swap full": ("swap", (), False),
    "agreement": ("agreement", ("cv2", "platformdirs", "safetensors"), False),
    "cloak": ("cloaks", ("cv2", "platformdirs", "av", "cryptography"), False),
    "veil": ("veils", ("cv2",), False),
    "lip-sync": ("lipsync", ("cv2", "platformdirs", "safetensors", "av", "kaldi_native_fbank"), True),
    "measure swap": ("measure", ("cv2", "platformdirs", "safetensors", "av", "typer", "cryptography"), True),
}
LIMIT = 540
#: Seconds to end in, for a block that took too long.
_GRACE = 10


def lacking(name: str) -> list[str]:
    """What a block needs and is not here."""
    _, packages, footage = BLOCKS[name]
    missing = [one for one in ("torch", "numpy", *packages) if not _is_here(one)]
    data = os.environ.get("VEILMARK_TEST_DATA", "")
    if footage and not (Path(data) / "media" / "talking" / "model1.mp4").is_file():
        missing.append("footage (VEILMARK_TEST_DATA)")
    return missing


def _is_here(package: str) -> bool:
    try:
        return importlib.util.find_spec(package) is not None
    except ImportError:
        return False


def within(limit: float, command: list[str], environment: dict[str, str]) -> tuple[int | None, str]:
    """Exit code and errors of a command; None where it took longer than so many seconds. Then, and when this program is
    interrupted, it and all that it started are ended, so that nothing runs beside the next block.
    """
    block = subprocess.Popen(
        command, env=environment, start_new_session=True, text=True, stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
    )  # fmt: skip
    try:
        _, errors = block.communicate(timeout=limit)
    except BaseException as error:
        _end(block)
        if isinstance(error, subprocess.TimeoutExpired):
            return None, ""
        raise
    return block.returncode, errors


def _end(block: subprocess.Popen[str]) -> None:
    """End a block's whole session: asked first, so that what is finished is kept."""
    for how in (signal.SIGTERM, signal.SIGKILL):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(block.pid, how)
            until = time.monotonic() + _GRACE
            while time.monotonic() < until:
                block.poll()
                os.killpg(block.pid, 0)
                time.sleep(0.1)
    block.communicate()


def run_block(name: str, asked: argparse.Namespace) -> dict[str, Any]:
    """One block in a process of its own; what went wrong is said in its row."""
    began = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        answer = Path(folder) / "answer.json"
        command = [
            sys.executable, str(HERE), "--out", str(answer), "--block", name, "--device", asked.device,
            "--work", str(asked.work),
        ]  # fmt: skip
        command += ["--dry-run"] if asked.dry_run else []
        command += ["--weights", str(asked.weights)] if asked.weights else []
        path = os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])
        code, errors = within(LIMIT, command, {**os.environ, "PYTHONPATH": path})
        if code is None:
            return {"state": "over nine minutes", "seconds": LIMIT}
        seconds = round(time.monotonic() - began, 1)
        if code or not answer.is_file():
            return {"state": "failed", "error": errors.strip()[-1500:], "seconds": seconds}
        return {"state": "done", "seconds": seconds, **json.loads(answer.read_text())}


def one(name: str, asked: argparse.Namespace) -> dict[str, Any]:
    """A block's figures, in this process."""
    import torch

    torch.backends.cuda.matmul.allow_tf32 = False
    torch.backends.cudnn.allow_tf32 = False
    torch.backends.cudnn.benchmark = False
    module = __import__(f"benchmarks.gpu.{BLOCKS[name][0]}", fromlist=["measured"])
    found: dict[str, Any] = module.measured(name, asked)
    return found


def main() -> int:
    """Run what is missing, or one block."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--out", type=Path, required=True, help="the JSON file; run again, it goes on there")
    parser.add_argument("--device", default="", help="default: cuda, and cpu with --dry-run")
    parser.add_argument("--dry-run", action="store_true", help="every line in small, on a CPU")
    parser.add_argument("--weights", type=Path, help="a folder with weights of further detectors")
    parser.add_argument("--work", type=Path, help="what unfinished blocks keep; default beside --out")
    parser.add_argument("--block", choices=list(BLOCKS), help="this one alone, in this process")
    parser.add_argument("--only", default="", help="these alone, comma-separated")
    asked = parser.parse_args()
    asked.device = asked.device or ("cpu" if asked.dry_run else "cuda")
    asked.work = asked.work or asked.out.with_suffix(".work")
    if asked.block:
        asked.out.write_text(json.dumps(one(asked.block, asked)))
        return 0
    before = json.loads(asked.out.read_text()) if asked.out.is_file() else {}
    same = before.get("dry_run") == asked.dry_run and before.get("device") == asked.device
    blocks: dict[str, Any] = before.get("blocks", {}) if same else {}
    wanted = [name for name in BLOCKS if not asked.only or name in asked.only.split(",")]
    for name in wanted:
        if blocks.get(name, {}).get("state") == "done":
            continue
        missing = lacking(name)
        blocks[name] = {"state": "not run", "lacks": missing} if missing else run_block(name, asked)
        print(f"{name}: {blocks[name]['state']} {', '.join(missing)}".rstrip(), flush=True)
        whole = {
            "schema": "veilmark.gpu/1", "dry_run": asked.dry_run, "device": asked.device, "blocks": blocks,
            "settings": {"tf32": "off but where said", "cudnn.benchmark": False},
        }  # fmt: skip
        partial = asked.out.with_suffix(".partial")
        partial.write_text(json.dumps(whole, indent=1) + "\n")
        partial.replace(asked.out)
    return 1 if any(blocks[name]["state"] in ("failed", "over nine minutes") for name in wanted) else 0


if __name__ == "__main__":
    sys.exit(main())

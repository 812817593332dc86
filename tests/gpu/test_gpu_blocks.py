"""``make gpu``: it starts on a bare machine, says what each block lacks, keeps what is done, and runs on a CPU."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.gpu.run import within

ROOT = Path(__file__).resolve().parents[2]
SCRIPT = ROOT / "benchmarks" / "gpu" / "run.py"
#: A machine with torch, numpy and pillow alone: everything else of ours is not there.
_BARE = """
import sys
_GONE = {"cv2", "platformdirs", "safetensors", "av", "typer", "cryptography", "kaldi_native_fbank", "scipy"}
class _Bare:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in _GONE:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
        return None
sys.meta_path.insert(0, _Bare())
"""


def run(out: Path, *more: str, path: str = "") -> subprocess.CompletedProcess[str]:
    env = {**os.environ, "PYTHONPATH": path, "OMP_NUM_THREADS": "1", "VEILMARK_TEST_DATA": ""}
    command = [sys.executable, str(SCRIPT), "--out", str(out), "--dry-run", *more]
    return subprocess.run(command, env=env, capture_output=True, text=True, cwd=out.parent)


@pytest.mark.slow
def test_a_bare_machine_runs_what_it_can_and_says_what_the_rest_lacks(tmp_path: Path) -> None:
    (tmp_path / "sitecustomize.py").write_text(_BARE)
    done = run(tmp_path / "gpu.json", path=str(tmp_path))
    assert done.returncode == 0, done.stdout + done.stderr
    said = json.loads((tmp_path / "gpu.json").read_text())
    blocks = said["blocks"]
    assert said["schema"] == "veilmark.gpu/1" and said["dry_run"] and said["device"] == "cpu"
    for name in ("machine", "swap small", "swap full"):
        assert blocks[name]["state"] == "done", blocks[name]
    assert blocks["machine"]["bf16 flop/s"] > 0 and blocks["swap small"]["ours"]["images/s"] > 0
    assert blocks["cloak"]["state"] == "not run" and "cv2" in blocks["cloak"]["lacks"]
    assert any(one.startswith("footage") for one in blocks["lip-sync"]["lacks"])
    # run again, nothing that is done is done again
    before = blocks["machine"]
    again = run(tmp_path / "gpu.json", path=str(tmp_path))
    assert "machine" not in again.stdout and "cloak: not run" in again.stdout
    assert json.loads((tmp_path / "gpu.json").read_text())["blocks"]["machine"] == before


@pytest.mark.slow
def test_a_device_agrees_with_itself(tmp_path: Path) -> None:
    done = run(tmp_path / "gpu.json", "--only", "agreement")
    assert done.returncode == 0, done.stdout + done.stderr
    block = json.loads((tmp_path / "gpu.json").read_text())["blocks"]["agreement"]
    assert block["state"] == "done" and block["all within"]
    assert block["swapper, loss and gradient"]["difference"] == 0
    assert {"FaceMesh", "film and FLIP", "one-shot swapper"} <= set(block)


def test_what_fails_is_said_and_is_the_exit_code(tmp_path: Path) -> None:
    done = run(tmp_path / "gpu.json", "--only", "machine", "--device", "cuda:9")
    assert done.returncode == 1 and "machine: failed" in done.stdout
    block = json.loads((tmp_path / "gpu.json").read_text())["blocks"]["machine"]
    assert block["state"] == "failed" and block["error"]


def test_a_block_that_takes_too_long_leaves_nothing_running(tmp_path: Path) -> None:
    """Not even what it started itself: `veilmark measure` runs in a process of its own."""
    started = tmp_path / "pid"
    own = f"import os, time; open({str(started)!r}, 'w').write(str(os.getpid())); time.sleep(600)"
    block = (
        f"import subprocess, sys, time; subprocess.Popen([sys.executable, '-c', {own!r}]); time.sleep(600)"
    )
    assert within(15, [sys.executable, "-c", block], dict(os.environ)) == (None, "")
    with pytest.raises(ProcessLookupError):
        os.kill(int(started.read_text()), 0)
    assert within(15, [sys.executable, "-c", "raise SystemExit('why')"], dict(os.environ)) == (1, "why\n")

"""A run that is killed leaves a folder to go on in, however early it was; and the first checkpoint comes soon."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from synth.swap.training import train as training
from synth.swap.training.checkpoint import CHECKPOINT_FILE, MODEL_FILE
from synth.swap.training.train import train
from tests.support.swap_faces import drawn_bank, minute_preset, origin

ROOT = Path(__file__).parents[3]
_SLOW = """
import sys, time
from pathlib import Path
from synth.swap.training.train import train
from tests.support.swap_faces import drawn_bank, minute_preset, origin
def step():
    (Path(sys.argv[1]) / "stepped").touch()
    time.sleep(60)
    return False
train({"a": drawn_bank(1), "b": drawn_bank(2)}, origin(minute_preset(16)), Path(sys.argv[1]), stop=step)
"""


def test_killed_before_the_first_checkpoint(tmp_path: Path) -> None:
    """Killed by force in its first step, it is gone on with, and ends as the run that was not killed."""
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    whole.mkdir()
    killed.mkdir()
    banks = {"a": drawn_bank(1), "b": drawn_bank(2)}
    train(banks, origin(minute_preset(16)), whole)
    child = subprocess.Popen(
        [sys.executable, "-c", _SLOW, killed], cwd=ROOT, env={**os.environ, "PYTHONPATH": str(ROOT)}
    )
    try:
        end = time.monotonic() + 120
        while not (killed / "stepped").exists() and child.poll() is None and time.monotonic() < end:
            time.sleep(0.05)
    finally:
        child.send_signal(signal.SIGKILL)
        child.wait()
    assert (killed / "stepped").exists() and (killed / CHECKPOINT_FILE).exists()
    assert train(banks, origin(minute_preset(16)), killed, resume=True).finished
    first, second = load_file(whole / MODEL_FILE), load_file(killed / MODEL_FILE)
    assert all(torch.equal(first[name], second[name]) for name in first)


def test_the_first_checkpoint_comes_within_a_minute(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """By a clock that goes 25 s at each step: a step of a large preset takes as long on a CPU."""
    clock, saved = [0.0], []
    monkeypatch.setattr(training.time, "monotonic", lambda: clock[0])
    save = training.Run.save
    monkeypatch.setattr(
        training.Run, "save", lambda run, path: (saved.append((clock[0], run.at.step)), save(run, path))[1]
    )

    def step() -> bool:
        clock[0] += 25
        return False

    train({"a": drawn_bank(1), "b": drawn_bank(2)}, origin(minute_preset(16)), tmp_path, stop=step)
    assert saved[0][1] == 0 and 0 < saved[1][0] <= 60
    assert len(saved) == 4, "then every five minutes, and at the end"

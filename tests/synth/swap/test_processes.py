"""Several processes train one generator, as torchrun starts them; on CPUs, with gloo."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from provenance.errors import UsageError
from synth.swap.training.checkpoint import CHECKPOINT_FILE, MODEL_FILE, RUN_SCHEMA, load
from synth.swap.training.train import train
from tests.support.swap_faces import drawn_bank, minute_preset, origin

ROOT = Path(__file__).parents[3]


def together(folder: Path, *words: object, fails: bool = False) -> list[dict[str, object]]:
    """What both processes say."""
    done = subprocess.run(
        [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2",
         ROOT / "tests/support/swap_worker.py", folder, *(str(one) for one in words)],
        cwd=ROOT, env={**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"},
        capture_output=True, text=True, timeout=300, check=False,
    )  # fmt: skip
    assert (done.returncode != 0) == fails, done.stderr[-2000:]
    if fails:
        return []
    return [json.loads((folder / f"rank{rank}.json").read_text()) for rank in (0, 1)]


def about_of(checkpoint: Path) -> dict[str, Any]:
    return dict(load(checkpoint, RUN_SCHEMA)[1])


@pytest.mark.slow
@pytest.mark.skipif(not torch.distributed.is_gloo_available(), reason="this torch has no gloo")
def test_two_processes_stop_resume_and_finish_as_one(tmp_path: Path) -> None:
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    whole.mkdir()
    parts.mkdir()
    assert together(whole) == [{"finished": True, "steps": 16, "processes": 2}] * 2
    assert together(parts, 5) == [{"finished": False, "steps": 5, "processes": 2}] * 2
    assert together(parts) == [{"finished": True, "steps": 16, "processes": 2}] * 2
    for name in (MODEL_FILE, CHECKPOINT_FILE):
        first, second = load_file(whole / name), load_file(parts / name)
        assert first.keys() == second.keys()
        assert all(torch.equal(first[key], second[key]) for key in first), name
    lost = tmp_path / "lost"
    lost.mkdir()
    together(lost, 13, "killed", fails=True)
    assert about_of(lost / CHECKPOINT_FILE)["at"]["step"] == 10, (
        "the work of the others is not lost with one of them"
    )
    assert together(lost) == [{"finished": True, "steps": 16, "processes": 2}] * 2
    first, second = load_file(whole / MODEL_FILE), load_file(lost / MODEL_FILE)
    assert all(torch.equal(first[key], second[key]) for key in first)
    draws = load_file(whole / CHECKPOINT_FILE)
    assert not torch.equal(draws["draws.0"], draws["draws.1"]), "each draws other faces"

    alone = tmp_path / "alone"
    banks = {"a": drawn_bank(1), "b": drawn_bank(2)}
    train(banks, origin(minute_preset(16)), alone)
    other, model = load_file(alone / MODEL_FILE), load_file(whole / MODEL_FILE)
    assert any(not torch.equal(other[key], model[key]) for key in model), "the second one had a say"
    with pytest.raises(UsageError, match="2 processes"):
        train(banks, origin(minute_preset(16)), whole, resume=True)

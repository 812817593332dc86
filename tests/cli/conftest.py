"""The command, run in-process with its streams captured, and as a process of its own."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from tests.support.schemas import checked


@dataclass
class Run:
    """One finished command."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> list[dict[str, Any]]:
        """The objects that were printed, each checked against the schema that it names."""
        return [checked(json.loads(line)) for line in self.out.splitlines()]


@pytest.fixture
def veilmark() -> Callable[..., Run]:
    """Call the command: ``veilmark("sign", path, stdin=b"...")``."""
    import cli

    def call(*args: object, stdin: bytes | None = None) -> Run:
        result = CliRunner().invoke(cli.app, [str(arg) for arg in args], input=stdin)
        if result.exception and not isinstance(result.exception, SystemExit):
            raise result.exception
        return Run(result.exit_code, result.stdout, result.stderr)

    return call


@pytest.fixture
def ready(veilmark: Callable[..., Run]) -> Callable[..., Run]:
    """The command, after ``veilmark init``."""
    done = veilmark("init", "--name", "Test Photographer")
    assert done.code == 0, done.err
    return veilmark


@pytest.fixture
def signed(ready: Callable[..., Run], portrait_files: dict[str, Path], tmp_path: Path) -> dict[str, Path]:
    """Both portraits, signed."""
    outputs = {name: tmp_path / "signed" / path.name for name, path in portrait_files.items()}
    for name, path in portrait_files.items():
        done = ready("sign", path, "-o", outputs[name])
        assert done.code == 0, done.err
    return outputs


def python(*args: str, **options: Any) -> subprocess.CompletedProcess[str]:
    """A fresh interpreter in the repository root."""
    root = Path(__file__).parents[2]
    return subprocess.run(
        [sys.executable, *args], cwd=root, capture_output=True, text=True, timeout=120, check=False, **options
    )

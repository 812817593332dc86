"""Start-up stays light, help works, and the version is one."""

from __future__ import annotations

import importlib.metadata
import json
import os
from pathlib import Path

import pytest

from provenance.version import VERSION
from tests.cli.conftest import python

_PROBE = """
import sys, json
from typer.testing import CliRunner
import cli
result = CliRunner().invoke(cli.app, sys.argv[1:])
print(json.dumps({"code": result.exit_code, "modules": sorted(m for m in sys.modules if "." not in m)}))
"""


def modules_after(*args: str) -> tuple[int, set[str]]:
    done = python("-c", _PROBE, *args)
    assert done.returncode == 0, done.stderr
    answer = json.loads(done.stdout.splitlines()[-1])
    return answer["code"], set(answer["modules"])


@pytest.mark.parametrize("args", [["--help"], ["--version"], ["sign", "--help"], ["cloak", "--help"]])
def test_help_imports_nothing_heavy(args: list[str]) -> None:
    code, modules = modules_after(*args)
    assert code == 0
    assert not modules & {"torch", "web3", "cv2", "c2pa", "numpy", "PIL", "torchattacks"}


def test_verify_and_sign_import_neither_torch_nor_web3(
    portrait_files: dict[str, Path], tmp_path: Path
) -> None:
    assert modules_after("init", "--name", "Probe")[0] == 0
    output = tmp_path / "out.jpg"
    for args in (["sign", str(portrait_files["hopper"]), "-o", str(output)], ["verify", str(output)]):
        code, modules = modules_after(*args)
        assert code == 0, args
        assert not modules & {"torch", "web3", "torchattacks", "requests"}


def test_version_is_the_distribution_s() -> None:
    assert importlib.metadata.version("veilmark") == VERSION
    assert python("-m", "cli", "--version").stdout.strip() == f"veilmark {VERSION}"


def test_unknown_command_is_a_usage_error() -> None:
    done = python("-m", "cli", "frobnicate")
    assert done.returncode == 2
    assert "Traceback" not in done.stderr


def test_shell_completion_completes() -> None:
    words = {"_VEILMARK_COMPLETE": "complete_bash", "COMP_WORDS": "veilmark si", "COMP_CWORD": "1"}
    done = python("-m", "cli", env={**os.environ, **words})
    assert done.stdout.split() == ["sign"], done.stderr

"""The wheel, installed into an empty environment: what it holds, what it brings, and that it works."""

from __future__ import annotations

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def run(*args: object, **options: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(  # type: ignore[call-overload, no-any-return]
        [str(arg) for arg in args], capture_output=True, text=True, check=False, timeout=600, **options
    )


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    done = run(sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "-w", folder, ROOT)
    assert done.returncode == 0, done.stderr
    return next(folder.glob("veilmark-*.whl"))


@pytest.fixture(scope="module")
def empty_environment(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A new virtual environment with the wheel's base install and nothing else; its python."""
    folder = tmp_path_factory.mktemp("venv")
    assert run(sys.executable, "-m", "venv", folder).returncode == 0
    python = folder / "bin" / "python"
    no_compiler = {**os.environ, "CC": "false", "CXX": "false"}
    options = ("--quiet", "--no-compile", "-c", ROOT / "constraints.txt")
    done = run(python, "-m", "pip", "install", *options, wheel, env=no_compiler)
    assert done.returncode == 0, done.stderr
    return python


def test_wheel_holds_the_packages_and_not_the_tests(wheel: Path) -> None:
    names = set(zipfile.ZipFile(wheel).namelist())
    for wanted in (
        "cli.py",
        "provenance/sign.py",
        "cloak/__init__.py",
        "synth/label.py",
        "synth/report/templates/report.html",
        "provenance/py.typed",
    ):
        assert wanted in names
    assert any(name.startswith("contracts/") and name.endswith(".json") for name in names)
    assert not [name for name in names if name.startswith(("tests/", "benchmarks/", "docs/", ".ci/"))]


def test_base_install_brings_neither_torch_nor_old_requests(empty_environment: Path) -> None:
    done = run(empty_environment, "-m", "pip", "list", "--format=freeze")
    packages = dict(line.lower().split("==") for line in done.stdout.splitlines() if "==" in line)
    assert "veilmark" in packages
    assert not {"torch", "torchvision", "torchattacks", "scipy"} & set(packages)
    assert not packages.get("requests", "").startswith("2.25.")


def test_console_script_signs_and_verifies(empty_environment: Path, portrait_files: dict[str, Path]) -> None:
    command = empty_environment.parent / "veilmark"
    folder = portrait_files["hopper"].parent
    environment = {**os.environ, "VEILMARK_HOME": str(folder / "home"), "PYTHONPATH": ""}
    for args, code in (
        (["--version"], 0),
        (["init", "--name", "Wheel"], 0),
        (["sign", portrait_files["hopper"], "-o", folder / "signed.jpg"], 0),
        (["verify", folder / "signed.jpg"], 0),
        (["verify", portrait_files["astronaut"]], 4),
        (["cloak", portrait_files["hopper"], "-o", folder / "cloaked.jpg"], 2),
    ):
        done = run(command, *args, env=environment, cwd=folder)
        assert done.returncode == code, (args, done.stdout, done.stderr)
        assert "Traceback" not in done.stderr
    assert "veilmark[cloak]" in done.stderr, "a missing extra is named with the command that brings it"

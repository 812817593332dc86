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
        "veilmark/__main__.py",
        "veilmark/py.typed",
        "provenance/sign.py",
        "provenance/trust/published/C2PA-TRUST-LIST.json",
        "provenance/trust/published/README.md",
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
    unwanted = {"torch", "torchvision", "torchattacks", "scipy", "web3", "eth-account", "ipfshttpclient"}
    assert not unwanted & set(packages)
    assert not packages.get("requests", "").startswith("2.25.")


def test_only_the_attacks_extra_pins_requests(wheel: Path) -> None:
    """And `all` leaves that extra out."""
    with zipfile.ZipFile(wheel) as archive:
        name = next(name for name in archive.namelist() if name.endswith("METADATA"))
        needs = [
            line.removeprefix("Requires-Dist: ")
            for line in archive.read(name).decode().splitlines()
            if line.startswith("Requires-Dist: ")
        ]
    assert [need for need in needs if "torchattacks" in need] == [
        "torchattacks<4,>=3.5.1; extra == 'attacks'"
    ]
    assert not any("attacks" in need.split(";")[0] for need in needs if "extra == 'all'" in need)


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
        (["find", folder / "signed.jpg"], 0),
        (["ledger", "audit"], 0),
    ):
        done = run(command, *args, env=environment, cwd=folder)
        assert done.returncode == code, (args, done.stdout, done.stderr)
        assert "Traceback" not in done.stderr


def test_the_python_api_signs_and_verifies(empty_environment: Path, portrait_files: dict[str, Path]) -> None:
    """In the base install, with nothing of the sources at hand; what needs an extra says which."""
    folder = portrait_files["hopper"].parent
    program = """
import sys, veilmark
with veilmark.open(sys.argv[2]) as v:
    v.initialize("Wheel")
    print(v.verify(v.sign(sys.argv[1]).output).state.value)
    try:
        v.cloak(sys.argv[1], sign=False)
    except veilmark.MissingExtraError as error:
        print(error.hint.split()[-1])
"""
    done = run(
        empty_environment, "-c", program, portrait_files["hopper"], folder / "state",
        env={**os.environ, "PYTHONPATH": ""}, cwd=folder,
    )  # fmt: skip
    assert done.stdout.split() == ["trusted", '"veilmark[cloak]"`'], done.stderr
    assert run(empty_environment, "-m", "veilmark", "--version", cwd=folder).stdout.startswith("veilmark ")


def test_a_missing_extra_is_named_with_the_line_that_brings_it(
    empty_environment: Path, portrait_files: dict[str, Path]
) -> None:
    command = empty_environment.parent / "veilmark"
    picture = portrait_files["hopper"]
    key = "pkcs11:token=a;object=b?module-path=/nowhere.so"
    environment = {
        **os.environ,
        "VEILMARK_HOME": str(picture.parent / "home"),
        "VEILMARK_ACCOUNT_PASSPHRASE": "correct horse",
        "VEILMARK_PKCS11_PIN": "1234",
        "PYTHONPATH": "",
    }
    assert run(command, "init", "--name", "Wheel", env=environment).returncode == 0
    assert run(command, "sign", picture, "-o", picture.parent / "signed.jpg", env=environment).returncode == 0
    stored = run(command, "store", "list", env=environment).stdout.split()
    assert run(command, "store", "queue", *stored, env=environment).returncode == 0
    for extra, args in (
        ("chain", ["ledger", "account", "new"]),
        ("chain", ["ledger", "anchor"]),
        ("chain", ["ledger", "deploy"]),
        ("ipfs", ["store", "push"]),
        ("pkcs11", ["identity", "new", "token", "--subject", "Jane", "--pkcs11", key]),
        ("cloak", ["cloak", picture, "-o", picture.parent / "cloaked.jpg"]),
    ):
        done = run(command, *args, env=environment, cwd=picture.parent)
        assert done.returncode == 2, (args, done.stdout, done.stderr)
        assert f'pip install "veilmark[{extra}]"' in done.stderr, (args, done.stderr)
        assert "Traceback" not in done.stderr

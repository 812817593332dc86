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
print(json.dumps({"code": result.exit_code, "modules": sorted(sys.modules)}))
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


#: What loads slowly, and which command may load it. A file whose own record settles it needs no decoder; one that does
#: not carry a credential is decoded and looked up.
_SLOW = (
    "PIL",
    "av",
    "concurrent.futures",
    "cryptography.x509",
    "cv2",
    "numpy",
    "provenance.search.similar",
    "pydantic",
    "rich",
    "sqlite3",
    "web3",
)


@pytest.mark.parametrize(
    ("words", "allowed"),
    [
        (["--help"], ()),
        (["--version"], ()),
        (["sign", "--help"], ("rich",)),
        (["verify", "signed.jpg"], ("cryptography.x509", "sqlite3")),
        (
            ["verify", "hopper.jpg"],
            (
                "PIL",
                "concurrent.futures",
                "cryptography.x509",
                "cv2",
                "numpy",
                "provenance.search.similar",
                "sqlite3",
            ),
        ),
        (
            ["sign", "hopper.jpg"],
            ("PIL", "concurrent.futures", "cryptography.x509", "cv2", "numpy", "sqlite3"),
        ),
        (["trust", "list"], ("cryptography.x509", "rich")),
        (["schema"], ()),
    ],
)
def test_each_command_loads_no_more_than_it_needs(
    words: list[str], allowed: tuple[str, ...], portrait_files: dict[str, Path], tmp_path: Path
) -> None:
    assert modules_after("init", "--name", "Probe")[0] == 0
    hopper, signed = portrait_files["hopper"], tmp_path / "signed.jpg"
    if "signed.jpg" in words:
        assert modules_after("sign", str(hopper), "-o", str(signed))[0] == 0
    places = {"signed.jpg": str(signed), "hopper.jpg": str(hopper)}
    code, modules = modules_after(*(places.get(word, word) for word in words))
    assert code == (4 if words == ["verify", "hopper.jpg"] else 0)
    assert sorted(modules & set(_SLOW) - set(allowed)) == []


def test_the_first_page_shows_what_each_command_says_of_itself() -> None:
    import typer

    import cli

    group = typer.main.get_command(cli.app)
    assert isinstance(group, typer.core.TyperGroup)
    shown = {name: summary for name, (_, summary) in cli._COMMANDS.items()}
    own = {}
    for name in shown:
        command = group.get_command(None, name)  # type: ignore[arg-type]
        assert command is not None
        own[name] = (command.help or "").split("\n\n")[0]
    assert shown == own
    assert {module.partition(":")[0].partition(".")[0] for module, _ in cli._COMMANDS.values()} == {
        "provenance",
        "cloak",
        "synth",
        "veilmark",
    }


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

"""Every object that ``--json`` prints has a schema, and every schema an object."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path

import pytest
from jsonschema import Draft202012Validator

from provenance.schemas import schema_names, schema_text
from tests.cli.conftest import Run
from tests.support.schemas import checked

Command = Callable[..., Run]
ROOT = Path(__file__).parents[2]


def printed_schemas() -> set[str]:
    """Names that commands and ``to_json`` methods put into ``schema``."""
    named = re.compile(
        r'"schema": (?:"veilmark\.([a-z-]+)/1"|SCHEMA)|print_values\([^"]*"veilmark\.([a-z-]+)/1"'
    )
    constant = re.compile(r'^SCHEMA = "veilmark\.([a-z-]+)/1"', re.M)
    found: set[str] = set()
    for package in ("provenance", "cloak", "synth"):
        for path in (ROOT / package).rglob("*.py"):
            text = path.read_text()
            for first, second in named.findall(text):
                found |= {first or second} if first or second else set(constant.findall(text))
            found |= set(re.findall(r'"veilmark\.([a-z-]+)/1", as_json', text))
    return found


def test_every_printed_object_has_a_schema() -> None:
    inside_others = {"cloak-report", "cloak-video-report"}
    only_in_files = {"alignments", "detect-joint", "lips", "svm", "trust-file"}
    assert printed_schemas() - inside_others - only_in_files == set(schema_names())


@pytest.mark.parametrize("name", schema_names())
def test_schemas_are_schemas(name: str) -> None:
    schema = json.loads(schema_text(name))
    Draft202012Validator.check_schema(schema)
    assert schema["title"].startswith(f"veilmark.{name}/") and schema["description"]


def test_the_command_lists_and_prints_them(veilmark: Command) -> None:
    assert veilmark("schema").out.split() == schema_names()
    assert json.loads(veilmark("schema", "verdict").out)["title"] == "veilmark.verdict/1"
    assert veilmark("schema", "veilmark.verdict/1").code == 0
    assert veilmark("schema", "nothing").code == 2


def test_what_provenance_prints(
    ready: Command, signed: dict[str, Path], portrait_files: dict[str, Path], tmp_path: Path
) -> None:
    """Each command once; ``Run.json`` checks what it printed."""
    picture, plain = signed["hopper"], portrait_files["astronaut"]
    hot = tmp_path / "hot"
    hot.mkdir()
    (hot / "a.jpg").write_bytes(plain.read_bytes())
    for args in (
        ("init", "--json"),
        ("sign", plain, "-o", tmp_path / "again.jpg", "--json"),
        ("sign", plain, "-o", tmp_path / "again.jpg", "--resume", "--json"),
        ("record", plain, "--json"),
        ("verify", picture, plain, "--json"),
        ("find", picture, plain, "--json"),
        ("extract", picture, "-o", tmp_path / "parts", "--json"),
        ("watch", hot, "-o", tmp_path / "watched", "--once", "--settle", "0", "--json"),
        ("identity", "list", "--json"),
        ("identity", "show", "--json"),
        ("trust", "list", "--json"),
        ("ledger", "status", "--json"),
        ("ledger", "log", "--json"),
        ("ledger", "info", f"{picture}.receipt", "--json"),
        ("ledger", "audit", "--json"),
        ("ledger", "consistency", "1", "--json"),
        ("ledger", "publish", tmp_path / "site", "--json"),
        ("ledger", "check-consistency", f"{picture}.receipt", tmp_path / "site", "--json"),
        ("models", "--json"),
    ):
        done = ready(*args)
        lines = [line for line in done.out.splitlines() if line.startswith("{")]
        assert lines, (args, done.out, done.err)
        for line in lines:
            checked(json.loads(line))


def test_an_input_that_failed(ready: Command, portrait_files: dict[str, Path], tmp_path: Path) -> None:
    broken = tmp_path / "broken.jpg"
    broken.write_bytes(b"\xff\xd8\xff no picture")
    found = ready("verify", broken, portrait_files["hopper"], "--json").json
    assert {one["schema"] for one in found} == {"veilmark.error/1", "veilmark.verdict/1"}

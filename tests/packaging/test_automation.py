"""Container, hooks, workflows and benchmarks: files that nothing else reads until it is too late."""

from __future__ import annotations

import ast
import re
import subprocess
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[2]
PINS = dict(line.split("==") for line in (ROOT / "constraints.txt").read_text().splitlines() if "==" in line)
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


def workflow(name: str) -> dict[Any, Any]:
    loaded = yaml.safe_load((ROOT / ".github/workflows" / name).read_text())
    assert isinstance(loaded, dict)
    return loaded


def test_the_workflow_tests_every_python_that_the_package_names() -> None:
    job = workflow("ci.yml")["jobs"]["test"]
    named = re.findall(r"Python :: (3\.\d+)", "\n".join(PROJECT["classifiers"]))
    assert job["strategy"]["matrix"]["python"] == named
    assert any(step.get("run") == "bash .ci/run" for step in job["steps"])


def test_workflows_may_only_read_and_publishing_needs_no_password() -> None:
    for name in ("ci.yml", "release.yml"):
        assert workflow(name)["permissions"] == {"contents": "read"}
        assert "secrets." not in (ROOT / ".github/workflows" / name).read_text()
    publish = workflow("release.yml")["jobs"]["publish"]
    assert publish["permissions"] == {"id-token": "write"}
    assert publish["needs"] == "build" and publish["environment"] == "pypi"


def test_make_targets_in_workflows_exist() -> None:
    targets = set(re.findall(r"^([a-z0-9-]+):", (ROOT / "Makefile").read_text(), re.M))
    files = (*(ROOT / ".github/workflows").glob("*.yml"), ROOT / ".ci/run", ROOT / ".pre-commit-config.yaml")
    used = {name for path in files for name in re.findall(r"\bmake ([a-z0-9-]+)", path.read_text())}
    assert {"test", "demo", "docs", "lint"} <= used
    assert used <= targets


def test_hooks_use_the_versions_that_everybody_has() -> None:
    hooks = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text())["repos"][0]["hooks"]
    wanted = [pin for hook in hooks for pin in hook.get("additional_dependencies", [])]
    assert wanted
    for pin in wanted:
        name, version = pin.split("==")
        assert PINS[name] == version


def benchmarks() -> list[Path]:
    return sorted(path for path in (ROOT / "benchmarks").glob("*/*.py") if "__main__" in path.read_text())


@pytest.mark.parametrize("script", benchmarks(), ids=lambda path: f"{path.parent.name}/{path.stem}")
def test_a_benchmark_is_in_the_table_and_needs_what_it_says(script: Path) -> None:
    table = (ROOT / "benchmarks/README.md").read_text()
    assert f"{script.parent.name}/{script.name}" in table, "name it in benchmarks/README.md"
    tree = ast.parse(script.read_text())
    if "Runs without arguments." in (ast.get_docstring(tree) or "").splitlines():
        calls = [node for node in ast.walk(tree) if isinstance(node, ast.Call)]
        added = [call for call in calls if getattr(call.func, "attr", "") == "add_argument"]
        for call in added:
            first = call.args[0]
            assert isinstance(first, ast.Constant) and str(first.value).startswith("-"), ast.unparse(call)
            assert not any(word.arg == "required" for word in call.keywords), ast.unparse(call)


def test_make_finds_the_benchmarks_that_run_without_arguments() -> None:
    done = subprocess.run(
        ["make", "-pn", "help"], cwd=ROOT, capture_output=True, text=True, timeout=60, check=False
    )
    listed = re.search(r"^BENCHMARKS := (.*)$", done.stdout, re.M)
    assert listed
    says_so = {
        str(path.relative_to(ROOT))
        for path in benchmarks()
        if "\nRuns without arguments.\n" in path.read_text()
    }
    assert set(listed[1].split()) == says_so and len(says_so) > 10

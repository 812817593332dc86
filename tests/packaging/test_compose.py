"""deploy/compose.yaml: what it says, and its parts, started here by the same commands."""

from __future__ import annotations

import http.client
import os
import re
import shutil
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import yaml
from jsonschema import Draft202012Validator

from tests.packaging.test_container import stages
from tests.support.objects import ObjectServer
from tests.support.postgres import Server

ROOT = Path(__file__).parents[2]
FILE = ROOT / "deploy" / "compose.yaml"

_EVERYWHERE = "0.0.0.0"  # noqa: S104 inside a container
_TEXTS: dict[str, Any] = {"type": "array", "items": {"type": "string"}, "minItems": 1}
#: What of the Compose Specification this file uses, in our words.
_SERVICE: dict[str, Any] = {
    "type": "object",
    "required": ["image"],
    "additionalProperties": False,
    "properties": {
        "image": {"type": "string", "pattern": "^[a-z/]+(:[A-Za-z0-9.-]+)?$"},
        "build": {
            "type": "object",
            "properties": {"context": {"const": ".."}, "target": {"type": "string"}},
            "additionalProperties": False,
        },
        "command": _TEXTS,
        "environment": {"type": "object", "additionalProperties": {"type": "string"}},
        "secrets": _TEXTS,
        "volumes": {"type": "array", "items": {"type": "string", "pattern": "^[./a-z0-9-]+:/[^:]+(:ro)?$"}},
        "ports": {"type": "array", "items": {"type": "string", "pattern": r"^127\.0\.0\.1:\d+:\d+$"}},
        "depends_on": {
            "type": "object",
            "additionalProperties": {
                "type": "object",
                "properties": {
                    "condition": {
                        "enum": ["service_started", "service_healthy", "service_completed_successfully"]
                    }
                },
                "required": ["condition"],
                "additionalProperties": False,
            },
        },
        "healthcheck": {
            "type": "object",
            "required": ["test"],
            "properties": {
                "test": _TEXTS,
                "interval": {"type": "string", "pattern": "^\\d+s$"},
                "timeout": {"type": "string", "pattern": "^\\d+s$"},
                "retries": {"type": "integer"},
            },
            "additionalProperties": False,
        },
        "restart": {"enum": ["no", "always", "on-failure", "unless-stopped"]},
    },
}
_SCHEMA: dict[str, Any] = {
    "type": "object",
    "required": ["services"],
    "additionalProperties": False,
    "properties": {
        "name": {"type": "string"},
        "services": {"type": "object", "additionalProperties": _SERVICE},
        "secrets": {
            "type": "object",
            "additionalProperties": {
                "type": "object",
                "required": ["file"],
                "properties": {"file": {"type": "string"}},
                "additionalProperties": False,
            },
        },
        "volumes": {"type": "object", "additionalProperties": {"type": "object", "maxProperties": 0}},
    },
}


def compose() -> dict[str, Any]:
    """The file, parsed."""
    return dict(yaml.safe_load(FILE.read_text()))


def test_the_file_is_what_compose_reads() -> None:
    said = compose()
    assert [one.message for one in Draft202012Validator(_SCHEMA).iter_errors(said)] == []
    services = said["services"]
    assert {"service", "postgres", "objects", "worker"} <= set(services)
    for name, service in services.items():
        assert set(service.get("depends_on", {})) <= set(services), name
        assert set(service.get("secrets", ())) <= set(said["secrets"]), name
        for volume in service.get("volumes", ()):
            source = volume.split(":")[0]
            if source.startswith("."):
                assert (FILE.parent / source).is_file(), f"{name}: {source} is missing"
            else:
                assert source in said["volumes"], name
        if "build" in service:
            assert service["build"]["target"] in stages()
    assert not re.search("(?i)password: [^$]|secret_access_key: [^$]", FILE.read_text()), (
        "a secret in the file"
    )


def _command(name: str, changes: dict[str, str]) -> list[str]:
    """A service's own command, with what differs on this machine exchanged."""
    command = [str(one) for one in compose()["services"][name]["command"]]
    for old, new in changes.items():
        assert old in command, f"{name} no longer says {old}"
        command[command.index(old)] = new
    return [sys.executable, "-m", "veilmark", *command]


def _run(command: list[str], environment: dict[str, str]) -> str:
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=180)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.postgres
@pytest.mark.s3
def test_its_parts_start_by_hand(postgres: Server, object_store: ObjectServer, tmp_path: Path) -> None:
    address = postgres.new_database()
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "VEILMARK_HOME": str(tmp_path / "home")}
    said = compose()["services"]
    database = next(one for one in said["setup"]["command"] if one.startswith("postgresql://"))
    named = next(one for one in said["setup"]["command"] if one.startswith("${SIGNER_NAME"))
    setup = _command("setup", {database: address, named: "Newsroom"})
    assert "postgresql://" in _run(setup, environment)
    assert "Newsroom" in _run(setup, environment), "running it again must change nothing"
    names = set(said["worker"]["environment"]) - {"VEILMARK_HOME", "PGPASSFILE"}
    assert names == set(object_store.environment), "the worker is told what the bucket needs"
    bucket = object_store.new_bucket()
    worker = _command("worker", {"s3://veilmark/log": bucket})
    assert "folder" in _run(worker, {**environment, **object_store.environment})
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    shutil.copy(FILE.with_name("serve.toml"), tmp_path / "serve.toml")
    serve = _command(
        "service", {_EVERYWHERE: "127.0.0.1", "/etc/veilmark/serve.toml": str(tmp_path / "serve.toml")}
    )
    with subprocess.Popen([*serve, "--port", str(port)], env=environment, stderr=subprocess.PIPE) as service:
        try:
            assert _answer(port, service) in (200, 303, 421)
        finally:
            service.terminate()


def _answer(port: int, service: subprocess.Popen[bytes]) -> int:
    deadline = time.monotonic() + 120
    while True:
        try:
            connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
            connection.request("GET", "/", headers={"Host": "veilmark.example.org"})
            return connection.getresponse().status
        except OSError:
            if service.poll() is not None or time.monotonic() > deadline:
                raise AssertionError(service.stderr.read().decode() if service.stderr else "") from None
            time.sleep(0.2)

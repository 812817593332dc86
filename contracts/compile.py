"""Compile MediaLedger.vy into MediaLedger.json: ``python -m contracts.compile [--check]``.

Needs the Vyper compiler (a development dependency) in the exact version that the source's pragma names.
``--check`` writes nothing and exits 1 when the checked-in JSON is not what the compiler makes now.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import re
import sys
from pathlib import Path
from typing import Any

SOURCE = Path(__file__).with_name("MediaLedger.vy")
OUTPUT = Path(__file__).with_name("MediaLedger.json")

_ERROR_LINE = re.compile(r"^# error (\w+)\(([^)]*)\):", re.MULTILINE)


def compile_contract(source: str) -> dict[str, Any]:
    """What the checked-in JSON holds, made from ``source``."""
    import vyper
    from vyper.compiler.settings import OptimizationLevel, Settings

    settings = Settings(evm_version=_pragma(source, "evm-version"), optimize=OptimizationLevel.GAS)
    compiled = vyper.compile_code(
        source,
        contract_path=SOURCE.name,
        output_formats=["abi", "bytecode", "bytecode_runtime", "layout"],
        settings=settings,
    )
    return {
        "name": SOURCE.stem,
        "compiler": f"vyper {vyper.__version__}",
        "evm_version": settings.evm_version,
        "optimize": "gas",
        "source_sha256": hashlib.sha256(source.encode()).hexdigest(),
        "storage": {name: entry["slot"] for name, entry in compiled["layout"]["storage_layout"].items()},
        "abi": compiled["abi"] + error_abi(source),
        "bytecode": compiled["bytecode"].removeprefix("0x"),
        "runtime_bytecode": compiled["bytecode_runtime"].removeprefix("0x"),
    }


def error_abi(source: str) -> list[dict[str, Any]]:
    """ABI entries for the source's ``# error Name(type name, ...): text`` lines."""
    entries = []
    for name, parameters in _ERROR_LINE.findall(source):
        inputs = []
        for parameter in filter(None, parameters.split(", ")):
            kind, label = parameter.split(" ")
            inputs.append({"name": label, "type": kind})
        entries.append({"type": "error", "name": name, "inputs": inputs})
    return entries


def to_text(artifact: dict[str, Any]) -> str:
    """The JSON file's text; the ABI has one entry a line so that changes can be read."""
    lines = [
        f"    {json.dumps(entry)}{',' if i + 1 < len(artifact['abi']) else ''}"
        for i, entry in enumerate(artifact["abi"])
    ]
    fields = []
    for key, value in artifact.items():
        body = "[\n" + "\n".join(lines) + "\n  ]" if key == "abi" else json.dumps(value)
        fields.append(f'  "{key}": {body}')
    return "{\n" + ",\n".join(fields) + "\n}\n"


def main(arguments: list[str] | None = None) -> int:
    """Write (or with ``--check`` compare) the JSON; the exit status."""
    parser = argparse.ArgumentParser(prog="python -m contracts.compile", description=__doc__)
    parser.add_argument("--check", action="store_true", help="compare only; exit 1 when they differ")
    options = parser.parse_args(arguments)
    text = to_text(compile_contract(SOURCE.read_text("utf-8")))
    if options.check:
        return 0 if OUTPUT.exists() and OUTPUT.read_text("utf-8") == text else 1
    OUTPUT.write_text(text, "utf-8")
    return 0


def _pragma(source: str, name: str) -> str:
    match = re.search(rf"^# pragma {name} (\S+)$", source, re.MULTILINE)
    if match is None:
        raise ValueError(f"{SOURCE.name} has no pragma {name}")
    return match.group(1)


if __name__ == "__main__":
    sys.exit(main())

"""Run slither over the contract: see AUDIT.md for how to set it up and for our answers to its findings.

    SLITHER_ENV/bin/python contracts/analyse.py

Slither (0.11) parses the syntax tree of Vyper 0.3 only, so this writes ``MediaLedger.vy`` in that dialect
into a temporary folder and analyses the copy. The translation changes spelling, not meaning: keyword
arguments of ``log`` become positional, ``abi_encode`` becomes ``_abi_encode``, loop variables lose their
type, augmented assignments and the one conditional expression are written out, byte literals change form,
and a custom error becomes a revert with the error's name as its reason.
"""

from __future__ import annotations

import re
import sys
import tempfile
from pathlib import Path

SOURCE = Path(__file__).with_name("MediaLedger.vy")


def to_vyper_03(source: str) -> str:
    """``MediaLedger.vy`` in the dialect of Vyper 0.3.8."""
    source = re.sub(r"(?m)^# pragma version .*$", "# @version 0.3.8", source)
    source = re.sub(r"(?m)^# pragma (?:evm-version|optimize) .*\n", "", source)
    source = re.sub(r"for (\w+): \w+ in", r"for \1 in", source)
    source = re.sub(r'x"([0-9a-f]+)"', lambda found: f'b"{_escaped(found.group(1))}"', source)
    source = re.sub(r"log (\w+)\(([^)]*)\)", _positional, source)
    source = re.sub(
        r"(?m)^( *)(\w+: uint256) = (.+) if (.+) else (.+)$",
        r"\1\2 = \5\n\1if \4:\n\1    char = \3",
        source,
    )
    source = re.sub(r"(?m)^( *)(\S[^\n=]*?) (>>|\|)= (.*)$", r"\1\2 = \2 \3 \4", source)
    source = _reverts_with_reason(source)
    return re.sub(r"\babi_encode\(", "_abi_encode(", source)


def _escaped(digits: str) -> str:
    return "".join(f"\\x{digits[i : i + 2]}" for i in range(0, len(digits), 2))


def _positional(found: re.Match[str]) -> str:
    return f"log {found.group(1)}({re.sub(r'[a-zA-Z_]+=', '', found.group(2))})"


def _reverts_with_reason(source: str) -> str:
    """Each ``raw_revert(... method_id("Name(...)") ...)`` as ``raise "Name"``."""
    parts = source.split("raw_revert(")
    translated = [parts[0]]
    for part in parts[1:]:
        depth, end = 1, 0
        while depth:
            depth += {"(": 1, ")": -1}.get(part[end], 0)
            end += 1
        name = re.search(r'method_id\("(\w+)\(', part[:end])
        assert name is not None  # noqa: S101 - every raw_revert in the source names its error
        translated.append(f'raise "{name.group(1)}"{part[end:]}')
    return "".join(translated)


def main() -> None:
    """Translate, then hand over to slither's command line."""
    from slither import __main__ as slither
    from slither.vyper_parsing.ast import ast

    # operators of Vyper 0.3.8 that slither's parser, made for 0.3.7, does not list
    ast.binop_ast_type_to_op_symbol.update({"LShift": "<<", "RShift": ">>"})
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder) / SOURCE.name
        copy.write_text(to_vyper_03(SOURCE.read_text("utf-8")), "utf-8")
        sys.argv[1:] = [str(copy), *sys.argv[1:]]
        slither.main()


if __name__ == "__main__":
    main()

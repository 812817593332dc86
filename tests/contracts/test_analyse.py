"""The translation that the static analyser reads says the same as the source."""

from __future__ import annotations

import re

import contracts
from contracts.analyse import to_vyper_03


def test_only_the_spelling_changes() -> None:
    source = contracts.media_ledger_source()
    translated = to_vyper_03(source)
    assert translated.startswith("# @version 0.3.8\n")
    for modern in ("raw_revert", ' x"', '(x"', ">>=", "|=", ": uint256 in range", "log Anchor(owner="):
        assert modern not in translated, modern
    assert translated.count('raise "') == source.count("raw_revert(")
    assert translated.count("\n    log ") == source.count("\n    log ")
    signatures = re.compile(r"^def (\w+)\(", re.MULTILINE)
    assert signatures.findall(translated) == signatures.findall(source)
    for kept in (
        "HashMap[address, HashMap[bytes32, HashMap[uint64, bytes32]]]",
        "ecrecover(digest, v, r, s)",
    ):
        assert kept in source and kept in translated

"""The entries for the public list of soft-binding algorithms have its form, and name what is written."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from provenance.manifest.build import FINGERPRINT_ALGORITHMS

PAGE = Path(__file__).parents[2] / "docs/reference/soft-binding.md"


def entries() -> list[dict[str, object]]:
    block = re.search(r"```json\n(.+?)```", PAGE.read_text(), re.S)
    assert block
    return list(json.loads(block[1]))


def test_the_names_are_those_that_are_written() -> None:
    named = {str(one["alg"]) for one in entries()}
    assert named == set(FINGERPRINT_ALGORITHMS.values())
    table = re.findall(r"^\| `(org\.[\w.]+)` \|", PAGE.read_text(), re.M)
    assert set(table) == named


@pytest.mark.vectors
def test_the_entries_have_the_form_of_the_public_list(test_data: Path) -> None:
    public = json.loads((test_data / "vectors/softbinding/algorithm-list.json").read_text())
    fingerprints = [one for one in public if one["type"] == "fingerprint"]
    assert fingerprints

    def form(entry: dict[str, object]) -> dict[str, object]:
        metadata = entry["entryMetadata"]
        assert isinstance(metadata, dict)
        return {
            **{k: type(v) for k, v in entry.items()},
            "entryMetadata": {k: type(v) for k, v in metadata.items()},
        }

    taken_names, taken_numbers = ({one[key] for one in public} for key in ("alg", "identifier"))
    kinds = {kind for one in public for kind in one.get("decodedMediaTypes", [])}
    for entry in entries():
        assert form(entry) in [form(one) for one in fingerprints]
        assert entry["alg"] not in taken_names and entry["identifier"] not in taken_numbers
        decoded = entry["decodedMediaTypes"]
        assert isinstance(decoded, list) and set(decoded) <= kinds

"""The page of authorities says what the trust lists say that travel with the package."""

from __future__ import annotations

import json
import re
from pathlib import Path

from provenance.identity.request import USAGES
from provenance.trust.shipped import SHIPPED

PAGE = Path(__file__).parents[2] / "docs/reference/certificates.md"


def entities(text: str) -> dict[str, set[str]]:
    """Name of an authority to its web addresses."""
    found = {}
    for entity in json.loads(text)["LoTE"]["TrustedEntitiesList"]:
        about = entity["TrustedEntityInformation"]
        found[about["TEName"][0]["value"]] = {one["uriValue"].strip() for one in about["TEInformationURI"]}
    return found


def test_the_table_is_that_of_the_lists() -> None:
    signers, stamps = (entities(one.text()) for one in SHIPPED["c2pa"])
    rows = re.findall(
        r"^\| ([^|]+?) \| (yes)? ?\| (yes)? ?\| (https://\S+|not given) \|$", PAGE.read_text(), re.M
    )
    assert {name for name, *_ in rows} == set(signers) | set(stamps)
    for name, signs, dates, address in rows:
        assert (bool(signs), bool(dates)) == (name in signers, name in stamps), name
        known = signers[name] | stamps.get(name, set())
        assert address in known or known == {"https://todo.example.com"}, name


def test_the_page_names_every_usage() -> None:
    rows = dict(re.findall(r"^\| `(\w+)` \| ([\d.]+) \|", PAGE.read_text(), re.M))
    assert rows == {name: oid.dotted_string for name, oid in USAGES.items()}

"""A verifier that shares no code with the one veilmark uses: encypher-c2pa, offline and without trust of its own."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from provenance.manifest.report import ManifestReport, ManifestState

_EXPIRED = "claimSignature.outsideValidity"


@dataclass(frozen=True)
class Opinion:
    """``word`` is ``none``, ``whole``, ``expired``, ``invalid`` or ``elsewhere``; ``codes`` are what failed."""

    word: str
    codes: frozenset[str]
    trusted: bool


def second_opinion(
    path: Path,
    mime: str,
    *,
    sidecar: Path | bytes | None = None,
    fragments: Sequence[Path] | None = None,
    anchors_pem: str | None = None,
) -> Opinion:
    """What the other verifier says."""
    # it asks nobody at a terminal, reports nothing, and fetches nothing
    os.environ["ENCYPHER_C2PA_TELEMETRY"] = os.environ["ENCYPHER_C2PA_ONLINE"] = "off"
    encypher = pytest.importorskip("encypher_c2pa", reason="needs the development package encypher-c2pa")
    report: dict[str, Any] = encypher.verify(
        path,
        mime,
        fragments,
        manifest_store=sidecar,
        trust_pem=anchors_pem,
        no_default_trust=True,
        online=False,
    )
    codes = frozenset(one["code"] for one in report["validation_results"]["failure"])
    trusted = report["trust"]["status"] == "valid_for_supplied_material"
    if not report["present"]:
        word = "none"
    elif "manifest.inaccessible" in codes:
        word = "elsewhere"
    elif report["integrity"] != "valid":
        word = "invalid"
    else:
        word = "expired" if _EXPIRED in codes else "whole"
    return Opinion(word, codes, trusted)


def first_opinion(report: ManifestReport | None) -> Opinion:
    """The same of a report of veilmark's."""
    if report is None:
        return Opinion("none", frozenset(), False)
    codes = frozenset(failure.code for failure in report.failures)
    word = "whole" if report.state in (ManifestState.VALID, ManifestState.TRUSTED) else "invalid"
    return Opinion("expired" if report.expired else word, codes, report.state is ManifestState.TRUSTED)

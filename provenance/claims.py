"""What the own ledger says about a file's claims: what it bears out, and what it contradicts."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from provenance.errors import StoreError
from provenance.manifest import jumbf
from provenance.manifest.actions import is_synthetic
from provenance.record import Relation
from provenance.store.local import LocalStore
from provenance.verdict import MatchKind, SimilarRecord, Verdict

if TYPE_CHECKING:
    from provenance.manifest.report import ManifestReport
    from provenance.search.lookup import Lookup

_MAX_ANCESTORS = 256


def compare_with_ledger(verdict: Verdict, lookup: Lookup, report: ManifestReport | None) -> None:
    """Enter into a verdict, whose similar records are known, what they say against it, and what is known of its
    parents.
    """
    named = {parent["sha256"] for parent in verdict.parents}
    verdict.parents += [
        {"sha256": digest} for digest in _recorded_ingredients(verdict, lookup, report) if digest not in named
    ]
    _warn_of_earlier_claims(verdict, lookup)
    _warn_of_lost_label(verdict, lookup)
    verdict.parents = [_known_parent(parent, lookup) for parent in verdict.parents]


def _warn_of_lost_label(verdict: Verdict, lookup: Lookup) -> None:
    """A file that is not called synthetic, but was, or looks like one that was.

    What somebody made from a recording later takes nothing from the recording: a likeness that was recorded after the
    file itself is no such sign.
    """
    if verdict.signer is None:
        _warn_of_lost_credential(verdict)
        return
    if verdict.relation is Relation.SYNTHETIC or is_synthetic(verdict.source_type):
        return
    own = min((record.index for record in verdict.similar if record.exact), default=None)
    same_source: set[int] = set()
    if own is not None:
        source = lookup.ledger.entry(own).record.source_sha256
        same_source = {entry.index for entry in lookup.ledger.find_sha256(source)}
    for record in verdict.similar:
        if record.relation is not Relation.SYNTHETIC or not _shows_the_same(record, verdict):
            continue
        if own is None or record.index <= own or record.index in same_source:
            said = f"as {verdict.relation or verdict.source_type or 'signed'}, not as synthetic"
            which = "this very file" if record.exact else "a file that looks like it"
            verdict.warnings.append(
                f"it is published {said}, but your own ledger calls {which} synthetic"
                f" (entry {record.index}, by {record.signer_name!r}): the label may have been lost"
            )
            verdict.caveats.append("your own ledger calls it synthetic")
            return


def _warn_of_lost_credential(verdict: Verdict) -> None:
    """A file that says nothing, where the first record of what it shows is of synthetic media.

    Where a recording was recorded before what was made of it, the file may be a copy of either: nothing is said.
    """
    first = next((one for one in verdict.similar if one.confirmed and _shows_the_same(one, verdict)), None)
    if first is not None and first.relation is Relation.SYNTHETIC:
        verdict.warnings.append(
            f"your own ledger calls a file that looks like it synthetic (entry {first.index},"
            f" by {first.signer_name!r}): this copy may have lost its credential"
        )
        verdict.caveats.append("your own ledger calls what looks like it synthetic")


def _shows_the_same(record: SimilarRecord, verdict: Verdict) -> bool:
    """The same sound may lie under another picture, and another take before the same background; each be a recording
    all the same.
    """
    if record.match is MatchKind.FEATURES:
        return not verdict.media_type.startswith("video/")
    return record.match is not MatchKind.SOUND or verdict.media_type.startswith("audio/")


def _warn_of_earlier_claims(verdict: Verdict, lookup: Lookup) -> None:
    """Someone may have stripped and re-signed: the first record by another key is worth a look.

    Records that the file openly names as what it was made from are no such sign.
    """
    if not verdict.similar or verdict.signer is None:
        return
    own = verdict.signer.key_id
    mine = min((record.index for record in verdict.similar if record.key_id == own), default=None)
    named = _ancestors(verdict, lookup)
    for record in verdict.similar:
        if record.key_id == own or (mine is not None and record.index > mine):
            return
        if record.file_sha256 not in named:
            verdict.warnings.append(
                f"a {'record of this file' if record.exact else 'similar picture'} by another signer,"
                f" {record.signer_name!r}, is earlier in the ledger (entry {record.index}, {record.logged_at});"
                " this copy may have been stripped and signed again"
            )
            return


def _ancestors(verdict: Verdict, lookup: Lookup) -> set[str]:
    """SHA-256 of the parents that record and manifest both name, and of theirs, as the own ledger knows them."""
    if not any(one["relationship"] == "parentOf" for one in verdict.ingredients):
        return set()
    waiting = [parent["sha256"] for parent in verdict.parents]
    found: set[str] = set()
    while waiting and len(found) < _MAX_ANCESTORS:
        digest = waiting.pop()
        if digest in found:
            continue
        found.add(digest)
        for entry in lookup.ledger.find_sha256(digest):
            if entry.opening.signed.record.file_sha256 == digest:
                waiting += entry.opening.signed.record.parents
    return found


def _recorded_ingredients(verdict: Verdict, lookup: Lookup, report: ManifestReport | None) -> list[str]:
    """SHA-256 of the similar records whose very manifest the file keeps as that of what it is an edit of.

    A name or a key would not do, since anybody can attach some manifest of another's: the signatures must be the same
    bytes.
    """
    if report is None or report.failures:
        return []
    kept = {}
    for label in _opened_manifests(verdict.ingredients):
        with contextlib.suppress(ValueError):
            kept[label] = jumbf.signature_box(report.manifest_bytes, label)
    found = []
    for record in verdict.similar if kept else []:
        cid = lookup.ledger.entry(record.index).record.manifest_cid
        with contextlib.suppress(ValueError, StoreError):
            store = LocalStore(lookup.home.store).get(cid) if cid else b""
            label = jumbf.active_label(store)
            if label in kept and kept[label] == jumbf.signature_box(store, label):
                found.append(record.file_sha256)
    return found


def _opened_manifests(ingredients: list[dict[str, Any]]) -> Iterator[str]:
    """Labels of the manifests of what a file is an edit of, and of what that was, as long as they verify."""
    for one in ingredients:
        if one["relationship"] == "parentOf" and one["manifest"] and not one["failures"]:
            yield one["manifest_label"]
            yield from _opened_manifests(one["manifest"]["ingredients"])


def _known_parent(parent: dict[str, Any], lookup: Lookup) -> dict[str, Any]:
    """What the own ledger says about a parent named by its SHA-256."""
    for entry in lookup.ledger.find_sha256(parent["sha256"]):
        record = entry.opening.signed.record
        if record.file_sha256 == parent["sha256"]:
            return {
                **parent,
                "index": entry.index,
                "relation": record.relation,
                "signer_name": record.signer.get("name", ""),
                "time": record.time,
            }
    return parent

"""Taking an assertion out of the manifest of what a file was made from (C2PA 2.4, "Redaction of assertions")."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from provenance.errors import UsageError
from provenance.identity.certificates import printable
from provenance.manifest import jumbf
from provenance.manifest.read import read_manifest
from provenance.manifest.spec import Parent
from provenance.media.formats import detect_format

#: Reasons that C2PA names for a redaction.
REASONS = (
    "c2pa.PII.present",
    "c2pa.invalid.data",
    "c2pa.trade-secret.present",
    "c2pa.government.confidential",
)
#: What may never be redacted: without it nobody could tell what was done, or to what.
_KEPT = ("c2pa.hash.", "c2pa.actions")


def add_redactions(
    definition: dict[str, Any], labels: Sequence[str], parent: Parent, *, reason: str = REASONS[0]
) -> None:
    """Enter redactions of the parent's own manifest into a definition, with the action that tells of them.

    Args:
        definition: as :func:`provenance.manifest.build.build_definition` makes it; changed in place.
        labels: of assertions in the parent's active manifest, such as ``c2pa.metadata``.
        reason: one of :data:`REASONS`, or an entity-specific one with a dot.

    Raises:
        UsageError: the parent has no manifest, no such assertion, or one that may not be redacted.
    """
    if "." not in reason:
        raise UsageError(
            f"{reason[:80]!r} is no reason for a redaction", hint=f"one of: {', '.join(REASONS)}"
        )
    media = detect_format(parent.path, any_file=True)
    report = read_manifest(parent.path, media.mime, anchors_pem=(), manifest_data=parent.manifest_data)
    if report is None or not report.active_label:
        raise UsageError(f"{parent.path} has no manifest from which something could be taken out")
    present = jumbf.assertion_labels(report.manifest_bytes, report.active_label)
    actions = next(one for one in definition["assertions"] if one["label"] == "c2pa.actions.v2")["data"][
        "actions"
    ]
    for label in dict.fromkeys(labels):
        if label.startswith(_KEPT):
            raise UsageError(f"{label[:80]} may not be redacted", hint="C2PA keeps actions and hashes")
        if label not in present:
            free = [printable(one, 80) for one in present if not one.startswith(_KEPT)]
            raise UsageError(
                f"the manifest of {parent.path} has no assertion {label[:80]!r}",
                hint=f"it has {', '.join(free[:20])}" if free else "nothing in it may be redacted",
            )
        address = f"self#jumbf=/c2pa/{report.active_label}/c2pa.assertions/{label}"
        definition.setdefault("redactions", []).append(address)
        actions.append({"action": "c2pa.redacted", "reason": reason, "parameters": {"redacted": address}})

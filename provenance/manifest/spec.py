"""What a signer says about a file, before it becomes a manifest."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

from provenance.errors import UsageError
from provenance.identity.credential import IdentityCredential
from provenance.manifest.actions import ACTIONS, Action, check_action, is_synthetic
from provenance.record import Relation

_MAX_TEXT = 4000
_RFC_3339 = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,9})?(Z|[+-]\d\d:\d\d)")
_WEB_ADDRESS = re.compile(r"https?://[!-~]{1,2000}")
RELATIONSHIPS = ("parentOf", "componentOf", "inputTo")


@dataclass(frozen=True)
class Parent:
    """A file that went into this one.

    Attributes:
        path: the file, signed or not.
        relationship: ``parentOf`` (this file is an edit of it; at most one), ``componentOf`` or ``inputTo``.
        title: how it is called in the manifest; default its file name.
        embed: take over the parent's whole manifest store, so that anyone can check it. Where false the
            ingredient names the parent (title, instance id, SHA-256) and nothing of it is taken over: no
            thumbnail, no fingerprint, no location. None: true, but false for cloaked files.
        manifest_data: the parent's side-car, where its manifest is not inside.
        source_type: the synthetic source type that the parent has, by its manifest or the own ledger; the action
            that takes the parent in repeats it, so that the label stays. Filled in by the signing pipeline.
    """

    path: Path
    relationship: str = "parentOf"
    title: str = ""
    embed: bool | None = None
    manifest_data: bytes | None = field(default=None, repr=False)
    source_type: str = ""


@dataclass(frozen=True)
class ManifestSpec:
    """What the signer says about a file. Everything that is optional is absent from the manifest by default.

    Attributes:
        relation: how the file came about; not ``RECORDED``, which goes without a manifest.
        title, author, description: free text.
        actions: what was done, in order, after the file was created or opened.
        digital_source_type: IPTC name or URL; default ``digitalCapture`` for captures, and
            ``trainedAlgorithmicMedia`` for synthetic media.
        parents: files this one was made from.
        fingerprints: values of ``Fingerprint.to_record()``; a ``pdq`` entry becomes the soft binding.
        allow_training: allow AI training, generation, inference and data mining (default: not allowed).
        device: maker and model, or one of them, of the capture device.
        captured_at: RFC 3339 time of capture by the device's clock.
        location: latitude and longitude in degrees (WGS 84).
        thumbnail: embed a thumbnail of the picture that is signed (never one of what it was made from).
        thumbnail_data: this JPEG or PNG instead.
        definition: a manifest definition as c2patool takes it; what it says comes on top.
        definition_folder: where relative paths in ``definition`` start.
        claim_generator: further fields of the claim generator info.
        credential: names a person or an organization in a CAWG identity assertion, beside the signer.
        extra_assertions: ``(label, data)`` pairs; labels need a dot.
        redactions: labels of assertions to take out of the parent's manifest.
        redaction_reason: why, as C2PA names it.
        update: say something more about a file that stays as it is: an update manifest (C2PA 2.4, "Update
            manifests"). Its only ingredient is the file's own manifest.
        remote_url: where the manifest will lie; only its address is put into the file.
        fragments: of the stream whose initialization segment is signed, marked and in order (see
            :func:`provenance.stream.sign_stream`).
    """

    relation: Relation = Relation.CAPTURED
    title: str = ""
    author: str = ""
    description: str = ""
    actions: Sequence[Action] = ()
    digital_source_type: str = ""
    parents: Sequence[Parent] = ()
    fingerprints: Mapping[str, int | str] = field(default_factory=dict)
    allow_training: bool = False
    device: str = ""
    captured_at: str = ""
    location: tuple[float, float] | None = None
    thumbnail: bool = False
    thumbnail_data: bytes | None = field(default=None, repr=False)
    definition: Mapping[str, Any] | None = None
    definition_folder: Path | None = None
    claim_generator: Mapping[str, str] = field(default_factory=dict)
    credential: IdentityCredential | None = None
    extra_assertions: Sequence[tuple[str, Mapping[str, Any]]] = ()
    redactions: Sequence[str] = ()
    redaction_reason: str = "c2pa.PII.present"
    update: bool = False
    remote_url: str = ""
    fragments: Sequence[Path] = ()


def says_synthetic(spec: ManifestSpec) -> bool:
    """Whether the signer says that a machine made the file or a part of it: as its source type, in an action, or in
    the definition.
    """
    named = [spec.digital_source_type, *(action.digital_source_type for action in spec.actions)]
    for assertion in _objects((spec.definition or {}).get("assertions")):
        data = assertion.get("data")
        if str(assertion.get("label")).startswith("c2pa.actions") and isinstance(data, Mapping):
            named += [str(action.get("digitalSourceType", "")) for action in _objects(data.get("actions"))]
    return any(is_synthetic(kind) for kind in named)


def _objects(value: Any) -> list[Mapping[str, Any]]:
    return [one for one in value if isinstance(one, Mapping)] if isinstance(value, list) else []


def check_spec(spec: ManifestSpec) -> None:
    """UsageError where a spec contradicts itself, or says what C2PA cannot say."""
    if spec.relation not in set(Relation) or spec.relation == Relation.RECORDED:
        raise UsageError(f"unknown relation {spec.relation[:40]!r}")
    for name in ("title", "author", "description", "device", "captured_at"):
        if len(getattr(spec, name)) > _MAX_TEXT:
            raise UsageError(f"{name} is over {_MAX_TEXT} characters")
    if spec.location and not (abs(spec.location[0]) <= 90 and abs(spec.location[1]) <= 180):
        raise UsageError(
            "the location is not a latitude and a longitude in degrees", hint="for example 48.137,11.575"
        )
    if spec.captured_at:
        _check_time(spec.captured_at)
    if sum(parent.relationship == "parentOf" for parent in spec.parents) > 1:
        raise UsageError(
            "a file can be an edit of one parent only", hint="name the others as components (componentOf)"
        )
    for parent in spec.parents:
        if parent.relationship not in RELATIONSHIPS:
            raise UsageError(f"unknown relationship {parent.relationship[:40]!r}")
    if spec.relation in (Relation.EDITED, Relation.CLOAKED) and not any(
        p.relationship == "parentOf" for p in spec.parents
    ):
        raise UsageError(f"a file that is {spec.relation} needs a parent", hint="name it with --parent")
    for action in spec.actions:
        check_action(action)
    if spec.redactions and not any(p.relationship == "parentOf" for p in spec.parents):
        raise UsageError("there is no manifest to redact", hint="name what the file was made from: --parent")
    if spec.update:
        _check_update(spec)
    if spec.fragments and (
        spec.update or spec.remote_url or spec.credential or spec.thumbnail or spec.thumbnail_data
    ):
        raise UsageError(
            "a film in fragments is signed without update, address, identity or thumbnail",
            hint="leave them out",
        )
    if spec.remote_url and not _WEB_ADDRESS.fullmatch(spec.remote_url):
        raise UsageError(
            f"{spec.remote_url[:200]!r} is no address of a manifest",
            hint="give an http(s) URL without spaces",
        )
    for label, _ in spec.extra_assertions:
        if "." not in label or label.startswith("c2pa."):
            raise UsageError(
                f"{label[:80]!r} cannot label an assertion of your own", hint="use org.example.name"
            )


def _check_update(spec: ManifestSpec) -> None:
    """UsageError for what an update manifest may not say: it changes nothing of what is seen or heard."""
    if [parent.relationship for parent in spec.parents] != ["parentOf"]:
        raise UsageError(
            "an update is about a file that has a manifest, and names no other file",
            hint="leave out --update, --parent and --ingredient, or sign the file first",
        )
    if spec.thumbnail or spec.thumbnail_data or spec.remote_url:
        raise UsageError("an update has no thumbnail, and lies where the first manifest lies")
    for action in spec.actions:
        if ACTIONS.get(action.name, True):
            raise UsageError(
                f"{action.name[:80]} changes what is seen or heard; an update does not",
                hint="leave out --update",
            )


def _check_time(text: str) -> None:
    """UsageError unless ``text`` is an RFC 3339 date and time with its offset from UTC."""
    try:
        if _RFC_3339.fullmatch(text) and datetime.fromisoformat(text).tzinfo is not None:
            return
    except ValueError:
        pass
    raise UsageError(
        f"{text[:60]!r} is no time of capture",
        hint="RFC 3339 with an offset: 2026-11-22T10:00:00+01:00, or ...Z",
    )

"""The C2PA manifest: what it says, and signing it into (or beside) a file, through c2pa-python.

What is written follows C2PA 2.4: claim v2, actions v2 with ``allActionsIncluded``, ingredients v3,
``specVersion`` in the claim generator info, a soft binding that carries the perceptual fingerprint, and CAWG
assertions for the training policy, author and description. Every assertion that this module writes is marked
as *created* (asserted by the signer), not gathered.
"""

from __future__ import annotations

import io
import json
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from provenance import certificates
from provenance.errors import CorruptMediaError, IdentityError, NotWritableError, UsageError, VeilmarkError
from provenance.formats import Format, detect_format
from provenance.identity import Identity
from provenance.manifest_actions import Action, check_action, source_type
from provenance.manifest_definition import merge_definition
from provenance.record import RELATIONS, now_utc
from provenance.version import VERSION

__all__ = ["Action", "ManifestSpec", "Parent", "sign_manifest"]

SPEC_VERSION = "2.4.0"
FINGERPRINT_ALGORITHM = "org.veilmark.pdq"
PARENTS_LABEL = "org.veilmark.parents"
TRAINING_USES = ("cawg.data_mining", "cawg.ai_inference", "cawg.ai_training", "cawg.ai_generative_training")
#: Longer side of a thumbnail that c2pa makes.
THUMBNAIL_SIDE = 512
_MAX_TEXT = 4000
_SIDECAR_FORMAT = "application/c2pa"


@dataclass(frozen=True)
class Parent:
    """A file that went into this one.

    Attributes:
        path: the file, signed or not.
        relationship: ``parentOf`` (this file is an edit of it; at most one), ``componentOf`` or ``inputTo``.
        title: how it is called in the manifest; default its file name.
        embed: take over the parent's whole manifest store, so that anyone can check it. Where false the
            ingredient names the parent (title, instance id, SHA-256) and nothing of it is taken over: no
            thumbnail, no fingerprint, no location.
        manifest_data: the parent's side-car, where its manifest is not inside.
    """

    path: Path
    relationship: str = "parentOf"
    title: str = ""
    embed: bool = True
    manifest_data: bytes | None = field(default=None, repr=False)


@dataclass(frozen=True)
class ManifestSpec:
    """What the signer says about a file. Everything that is optional is absent from the manifest by default.

    Attributes:
        relation: ``captured``, ``edited``, ``cloaked`` or ``synthetic``.
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
        thumbnail: embed a thumbnail (slower, and shows the picture at the time of signing).
        thumbnail_data: this JPEG or PNG instead of one made by c2pa.
        definition: a manifest definition as c2patool takes it; what it says comes on top.
        definition_folder: where relative paths in ``definition`` start.
        claim_generator: further fields of the claim generator info.
        extra_assertions: ``(label, data)`` pairs; labels need a dot.
    """

    relation: str = "captured"
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
    extra_assertions: Sequence[tuple[str, Mapping[str, Any]]] = ()


def sign_manifest(
    source: Path,
    output: Path,
    spec: ManifestSpec,
    identity: Identity,
    *,
    media: Format | None = None,
    mime: str | None = None,
    tsa_url: str | None = None,
) -> bytes:
    """Sign ``source`` into ``output``.

    Where the format cannot hold a manifest, ``output`` becomes a plain copy of ``source``, and the returned
    bytes are the side-car that belongs beside it.

    A source that already carries a manifest becomes its own parent (unless the spec names one), because a
    manifest must not be dropped silently.

    Args:
        output: written by this call; give a temporary path and rename it afterwards.
        media: the format of ``source``; detected where None. ``mime`` alone overrides its media type.
        tsa_url: RFC 3161 time-stamp authority to ask, or None for no network at all.

    Returns:
        The manifest store's bytes.

    Raises:
        UsageError: the spec contradicts itself or names an impossible action.
        CorruptMediaError: the container cannot be parsed.
        IdentityError: signing failed in the identity, or its certificate is unfit.
        NotWritableError: ``output`` cannot be written.
    """
    import c2pa

    media = media or detect_format(source)
    embeds = media.embeddable
    media_type = mime or media.mime
    spec = _with_own_parent(source, spec, media_type if embeds else None)
    _check_spec(spec)
    definition, inputs = build_definition(spec)
    failure: list[BaseException] = []

    def sign(data: bytes) -> bytes:
        # c2pa swallows what a callback raises, so the reason is kept here
        try:
            return identity.sign(data)
        except BaseException as error:
            failure.append(error)
            raise

    try:
        with c2pa.Context.from_dict(_settings(identity, spec)) as context:
            builder = c2pa.Builder(definition, context=context)
            for ingredient, parent in inputs:
                _add_ingredient(builder, ingredient, parent)
            if spec.thumbnail_data:
                builder.add_resource("thumbnail", io.BytesIO(spec.thumbnail_data))
            algorithm = getattr(c2pa.C2paSigningAlg, identity.algorithm.upper())
            signer = c2pa.Signer.from_callback(sign, algorithm, identity.chain_pem, tsa_url)
            if not embeds:
                builder.set_no_embed()
            with source.open("rb") as reading, output.open("w+b") as writing:
                manifest = builder.sign(signer, media_type if embeds else _SIDECAR_FORMAT, reading, writing)
            if not embeds:
                shutil.copyfile(source, output)
    except VeilmarkError:
        raise
    except OSError as error:
        raise NotWritableError(f"cannot write {output}: {error.strerror or error}") from error
    except c2pa.C2paError as error:
        raise _explained(error, failure, source, identity, tsa_url) from error
    if not manifest:
        raise CorruptMediaError(f"signing {source} produced no manifest")
    return bytes(manifest)


def build_definition(spec: ManifestSpec) -> tuple[dict[str, Any], list[tuple[dict[str, Any], Parent]]]:
    """The c2pa manifest definition, and the ingredients that have to be read from files."""
    ingredients, inputs, references = [], [], []
    for index, parent in enumerate(spec.parents):
        about: dict[str, Any] = {
            "title": parent.title or parent.path.name,
            "relationship": parent.relationship,
            "label": f"ingredient-{index}",
        }
        if parent.embed:
            inputs.append((about, parent))
        else:
            reference = _reference(parent)
            about.update({key: reference[key] for key in ("format", "instance_id") if key in reference})
            ingredients.append(about)
            references.append(reference)
    assertions: list[dict[str, Any]] = [_created("c2pa.actions.v2", _actions(spec))]
    if "pdq" in spec.fingerprints:
        block = {"scope": {}, "value": str(spec.fingerprints["pdq"])}
        binding = {"alg": FINGERPRINT_ALGORITHM, "blocks": [block], "pad": []}
        assertions.append(_created("c2pa.soft-binding", binding))
    use = {"use": "allowed" if spec.allow_training else "notAllowed"}
    entries = {name: dict(use) for name in TRAINING_USES}
    assertions.append(_created("cawg.training-mining", {"entries": entries}))
    assertions += _metadata(spec)
    if references:
        assertions.append(_created(PARENTS_LABEL, {"parents": references}))
    assertions += [_created(label, dict(data)) for label, data in spec.extra_assertions]
    definition: dict[str, Any] = {
        "claim_version": 2,
        "claim_generator_info": [
            {"name": "veilmark", "version": VERSION, "specVersion": SPEC_VERSION, **spec.claim_generator}
        ],
        "title": spec.title,
        "ingredients": ingredients,
        "assertions": assertions,
    }
    if not spec.title:
        del definition["title"]
    if spec.thumbnail_data:
        kind = detect_format(spec.thumbnail_data).mime
        definition["thumbnail"] = {"format": kind, "identifier": "thumbnail"}
    if spec.definition is not None:
        merge_definition(definition, spec.definition)
    return definition, inputs


def _actions(spec: ManifestSpec) -> dict[str, Any]:
    """The actions assertion: inception first, then what the signer names."""
    opened = [index for index, parent in enumerate(spec.parents) if parent.relationship == "parentOf"]
    placed = [index for index, parent in enumerate(spec.parents) if parent.relationship != "parentOf"]
    agent = {"name": "veilmark", "version": VERSION}
    first: dict[str, Any] = {"when": now_utc(), "softwareAgent": agent}
    if opened:
        first |= {"action": "c2pa.opened", "parameters": {"ingredientIds": [f"ingredient-{opened[0]}"]}}
    else:
        kind = spec.digital_source_type or {
            "captured": "digitalCapture",
            "synthetic": "trainedAlgorithmicMedia",
        }.get(spec.relation, "digitalCreation")
        first |= {"action": "c2pa.created", "digitalSourceType": source_type(kind)}
        if spec.captured_at:
            first["when"] = spec.captured_at
        if spec.relation == "captured":
            # the device that made the picture acted, not this program
            del first["softwareAgent"]
    actions = [first]
    for index in placed:
        actions.append(
            {
                "action": "c2pa.placed",
                "softwareAgent": agent,
                "parameters": {"ingredientIds": [f"ingredient-{index}"]},
            }
        )
    default_type = {
        "cloaked": "algorithmicallyEnhanced",
        "synthetic": spec.digital_source_type or "compositeWithTrainedAlgorithmicMedia",
    }.get(spec.relation, "humanEdits")
    named = list(spec.actions)
    if spec.relation == "cloaked" and not named:
        named = [Action("c2pa.filtered", description="adversarial noise against face detectors")]
    for action in named:
        actions.append({"softwareAgent": agent, **action.to_definition(default_type)})
    # a person's list of their own edits may be incomplete; what this program did itself is not
    complete = not spec.actions or spec.relation in ("cloaked", "synthetic")
    return {"actions": actions, "allActionsIncluded": complete}


def _metadata(spec: ManifestSpec) -> list[dict[str, Any]]:
    """Capture device, time and place in ``c2pa.metadata``; author and description in ``cawg.metadata``."""
    capture: dict[str, Any] = {}
    if spec.device:
        maker, _, model = spec.device.partition(" ")
        capture |= {"tiff:Make": maker, "tiff:Model": model or maker}
    if spec.captured_at:
        capture["exif:DateTimeOriginal"] = spec.captured_at
    if spec.location:
        latitude, longitude = spec.location
        capture |= {
            "exif:GPSLatitude": _degrees(latitude, "NS"),
            "exif:GPSLongitude": _degrees(longitude, "EW"),
        }
    assertions = []
    if capture:
        context = {"exif": "http://ns.adobe.com/exif/1.0/", "tiff": "http://ns.adobe.com/tiff/1.0/"}
        assertions.append(_created("c2pa.metadata", {"@context": context, **capture}, kind="Json"))
    about: dict[str, Any] = {}
    if spec.author:
        about["dc:creator"] = [spec.author]
    if spec.description:
        about["dc:description"] = spec.description
    if about:
        context = {"dc": "http://purl.org/dc/elements/1.1/"}
        assertions.append(_created("cawg.metadata", {"@context": context, **about}, kind="Json"))
    return assertions


def _degrees(value: float, sides: str) -> str:
    """XMP's ``DDD,MM.mmmmmmk`` (XMP specification part 2, GPSCoordinate)."""
    whole, fraction = divmod(abs(value), 1.0)
    return f"{int(whole)},{fraction * 60:.6f}{sides[0] if value >= 0 else sides[1]}"


def _created(label: str, data: dict[str, Any], *, kind: str | None = None) -> dict[str, Any]:
    assertion: dict[str, Any] = {"label": label, "data": data, "created": True}
    if kind:
        assertion["kind"] = kind
    return assertion


def _reference(parent: Parent) -> dict[str, Any]:
    """What names a parent without taking anything over from it."""
    from provenance.manifest_read import read_manifest
    from provenance.media import sha256_file

    media = detect_format(parent.path)
    reference: dict[str, Any] = {
        "title": parent.title or parent.path.name,
        "format": media.mime,
        "sha256": sha256_file(parent.path),
    }
    report = read_manifest(parent.path, media.mime, anchors_pem=(), manifest_data=parent.manifest_data)
    if report is not None:
        reference |= {
            "instance_id": report.instance_id,
            "manifest": report.active_label,
            "manifest_sha256": report.manifest_sha256,
        }
    return {key: value for key, value in reference.items() if value}


def _with_own_parent(source: Path, spec: ManifestSpec, media_type: str | None) -> ManifestSpec:
    """A source that carries a manifest already becomes its own parent."""
    if media_type is None or any(parent.relationship == "parentOf" for parent in spec.parents):
        return spec
    if not carries_manifest(source, media_type):
        return spec
    relation = "edited" if spec.relation == "captured" else spec.relation
    return replace(spec, relation=relation, parents=(Parent(source), *spec.parents))


def carries_manifest(path: Path, media_type: str) -> bool:
    """Whether a manifest is embedded, valid or not; nothing is verified."""
    import c2pa

    settings = {"version": 1, "verify": {"verify_after_reading": False, "remote_manifest_fetch": False}}
    try:
        with c2pa.Context.from_dict(settings) as context, path.open("rb") as stream:
            reader = c2pa.Reader.try_create(media_type, stream, context=context)
            if reader is None:
                return False
            with reader:
                return True
    except c2pa.C2paError:
        # something is there that cannot be read; signing over it would fail or drop it, so say so there
        return False


def _check_spec(spec: ManifestSpec) -> None:
    if spec.relation not in RELATIONS or spec.relation == "recorded":
        raise UsageError(f"unknown relation {spec.relation[:40]!r}")
    for name in ("title", "author", "description", "device", "captured_at"):
        if len(getattr(spec, name)) > _MAX_TEXT:
            raise UsageError(f"{name} is over {_MAX_TEXT} characters")
    if spec.location and not (abs(spec.location[0]) <= 90 and abs(spec.location[1]) <= 180):
        raise UsageError("the location is not a latitude and a longitude in degrees")
    if sum(parent.relationship == "parentOf" for parent in spec.parents) > 1:
        raise UsageError(
            "a file can be an edit of one parent only", hint="name the others as components (componentOf)"
        )
    for parent in spec.parents:
        if parent.relationship not in ("parentOf", "componentOf", "inputTo"):
            raise UsageError(f"unknown relationship {parent.relationship[:40]!r}")
    if spec.relation in ("edited", "cloaked") and not any(p.relationship == "parentOf" for p in spec.parents):
        raise UsageError(f"a file that is {spec.relation} needs a parent", hint="name it with --parent")
    for action in spec.actions:
        check_action(action)
    for label, _ in spec.extra_assertions:
        if "." not in label or label.startswith("c2pa."):
            raise UsageError(
                f"{label[:80]!r} cannot label an assertion of your own", hint="use org.example.name"
            )


def _add_ingredient(builder: Any, about: dict[str, Any], parent: Parent) -> None:
    media = detect_format(parent.path)
    about = {**about, "format": media.mime}
    if parent.manifest_data is not None:
        about["manifest_data"] = {"format": _SIDECAR_FORMAT, "identifier": about["label"]}
        builder.add_resource(about["label"], io.BytesIO(parent.manifest_data))
    with parent.path.open("rb") as stream:
        builder.add_ingredient(json.dumps(about), media.mime, stream)


def _settings(identity: Identity, spec: ManifestSpec) -> dict[str, Any]:
    """c2pa settings for signing: no thumbnails unless asked, no network, our own root for own ingredients."""
    own_thumbnail = spec.thumbnail and spec.thumbnail_data is None
    return {
        "version": 1,
        "builder": {
            "thumbnail": {"enabled": own_thumbnail, "ignore_errors": True, "long_edge": THUMBNAIL_SIDE}
        },
        "verify": {"verify_after_sign": False, "remote_manifest_fetch": False, "ocsp_fetch": False},
        "trust": {"user_anchors": certificates.to_pem([identity.root])},
    }


def _explained(
    error: Exception, failure: list[BaseException], source: Path, identity: Identity, tsa_url: str | None
) -> VeilmarkError:
    """Say what c2pa's error means."""
    if failure:
        reason = failure[0]
        if isinstance(reason, VeilmarkError):
            return reason
        return IdentityError(f"signing with identity {identity.name!r} failed: {reason}")
    text = certificates.printable(str(error), 300)
    if any(word in text for word in ("CoseInvalidCert", "certificate", "Certificate", "SigningCredential")):
        faults = certificates.find_faults(list(identity.chain))
        if faults:
            return IdentityError(f"the certificate cannot sign: {faults[0]}", hint=faults[0].remedy)
        return IdentityError(f"c2pa refuses the certificate of {identity.name!r}: {text}")
    if tsa_url and "timestamp" in text.lower().replace(" ", ""):
        return UsageError(f"no time stamp from {tsa_url}: {text}", hint="check the URL and the network")
    return CorruptMediaError(f"{source} cannot be signed: {text}")

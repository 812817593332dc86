"""From what the signer says to the manifest definition that c2pa's builder takes."""

from __future__ import annotations

from typing import Any

from provenance.manifest.actions import Action, is_synthetic, source_type
from provenance.manifest.definition import merge_definition
from provenance.manifest.spec import ManifestSpec, Parent, says_synthetic
from provenance.media.formats import detect_format, printable_name
from provenance.record import Relation, now_utc
from provenance.version import VERSION

SPEC_VERSION = "2.4.0"
#: Fingerprints that become soft bindings, and what they are called there.
FINGERPRINT_ALGORITHMS = {"pdq": "org.veilmark.pdq", "chromaprint": "org.veilmark.chromaprint"}
#: What a cloak is, in words.
AGAINST_DETECTORS = "adversarial changes against face detectors"
PARENTS_LABEL = "org.veilmark.parents"
TRAINING_USES = ("cawg.data_mining", "cawg.ai_inference", "cawg.ai_training", "cawg.ai_generative_training")


def build_definition(spec: ManifestSpec) -> tuple[dict[str, Any], list[tuple[dict[str, Any], Parent]]]:
    """The c2pa manifest definition, and the ingredients that have to be read from files."""
    ingredients, inputs, references = [], [], []
    for index, parent in enumerate(spec.parents):
        about: dict[str, Any] = {
            "title": parent.title or printable_name(parent.path),
            "relationship": parent.relationship,
            "label": f"ingredient-{index}",
        }
        if parent.embed or (parent.embed is None and spec.relation != Relation.CLOAKED):
            inputs.append((about, parent))
        else:
            reference = _reference(parent)
            about.update({key: reference[key] for key in ("format", "instance_id") if key in reference})
            ingredients.append(about)
            references.append(reference)
    assertions: list[dict[str, Any]] = [_created("c2pa.actions.v2", _actions(spec))]
    if not spec.update:
        assertions += _soft_bindings(spec)
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


def _soft_bindings(spec: ManifestSpec) -> list[dict[str, Any]]:
    """One assertion per perceptual fingerprint; a film's picture says which moment it is of."""
    bindings = []
    for name, algorithm in FINGERPRINT_ALGORITHMS.items():
        if name not in spec.fingerprints:
            continue
        scope: dict[str, Any] = {}
        moment = spec.fingerprints.get(f"{name}_time_ms")
        if isinstance(moment, int):
            scope["timespan"] = {"start": moment, "end": moment}
        block = {"scope": scope, "value": str(spec.fingerprints[name])}
        bindings.append(_created("c2pa.soft-binding", {"alg": algorithm, "blocks": [block], "pad": []}))
    return bindings


def _actions(spec: ManifestSpec) -> dict[str, Any]:
    """The actions assertion: inception first, then what the signer names."""
    opened = [index for index, parent in enumerate(spec.parents) if parent.relationship == "parentOf"]
    placed = [index for index, parent in enumerate(spec.parents) if parent.relationship == "componentOf"]
    inputs = [index for index, parent in enumerate(spec.parents) if parent.relationship == "inputTo"]
    agent = {"name": "veilmark", "version": VERSION}
    # the label of something synthetic that was taken in, or of one action; the file as such has another type
    inherited = any(one.source_type for one in spec.parents) and not says_synthetic(spec)
    by_action = says_synthetic(spec) and not is_synthetic(spec.digital_source_type)
    first: dict[str, Any] = {"when": now_utc(), "softwareAgent": agent}
    if opened:
        first |= {"action": "c2pa.opened", "parameters": {"ingredientIds": [f"ingredient-{opened[0]}"]}}
        first |= _kept_label(spec.parents[opened[0]])
    else:
        kind = spec.digital_source_type or {
            Relation.CAPTURED: "composite" if spec.parents else "digitalCapture",
            Relation.SYNTHETIC: "compositeSynthetic"
            if inherited
            else "compositeWithTrainedAlgorithmicMedia"
            if by_action
            else "trainedAlgorithmicMedia",
        }.get(spec.relation, "digitalCreation")
        first |= {"action": "c2pa.created", "digitalSourceType": source_type(kind)}
        if spec.captured_at:
            first["when"] = spec.captured_at
        if spec.relation == Relation.CAPTURED:
            # the device that made the picture acted, not this program
            del first["softwareAgent"]
    actions = [first]
    for index in placed:
        actions.append(
            {
                "action": "c2pa.placed",
                "softwareAgent": agent,
                "parameters": {"ingredientIds": [f"ingredient-{index}"]},
                **_kept_label(spec.parents[index]),
            }
        )
    default_type = {
        Relation.CLOAKED: "algorithmicallyEnhanced",
        Relation.SYNTHETIC: "humanEdits"
        if inherited or by_action
        else spec.digital_source_type or "compositeWithTrainedAlgorithmicMedia",
    }.get(spec.relation, "humanEdits")
    named = list(spec.actions)
    if spec.relation == Relation.CLOAKED and not named:
        named = [Action("c2pa.filtered", description=AGAINST_DETECTORS)]
    generated = spec.relation == Relation.SYNTHETIC and not inherited and not by_action
    if opened and not named and (inputs or generated):
        named = [Action("c2pa.edited")]
    for action in named:
        actions.append({"softwareAgent": agent, **action.to_definition(default_type)})
    if inputs:
        # what went into the computation belongs to the action that computed
        user = actions[-len(named)] if opened else first
        user.setdefault("parameters", {})["ingredientIds"] = [f"ingredient-{index}" for index in inputs]
    # a person's list of their own edits may be incomplete; what this program did itself is not
    complete = not spec.actions or spec.relation == Relation.CLOAKED or generated
    return {"actions": actions, "allActionsIncluded": complete}


def _kept_label(parent: Parent) -> dict[str, Any]:
    return {"digitalSourceType": source_type(parent.source_type)} if parent.source_type else {}


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
    from provenance.manifest.read import read_manifest
    from provenance.media.files import sha256_file

    media = detect_format(parent.path, any_file=True)
    reference: dict[str, Any] = {
        "title": parent.title or printable_name(parent.path),
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

"""What was found in a manifest: the report, and how it is read from c2pa's JSON."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Any

from provenance.identity.certificates import printable
from provenance.manifest.actions import lasting_source_type
from provenance.manifest.identities import identities_of, is_about_identity
from provenance.manifest.stated import stated_facts
from provenance.trust.anchors import Purpose, found_for, names_a_list
from provenance.verdict import NamedIdentity, TimeKind

_MAX_LIST = 200
_MAX_DEPTH = 24
_UNTRUSTED = "signingCredential.untrusted"
_TRUSTED = "signingCredential.trusted"
_STAMP_TRUSTED = "timeStamp.trusted"
_EXPIRED = ("signingCredential.expired", "claimSignature.outsideValidity")
_PARENTS_LABEL = "org.veilmark.parents"
_SEALED_LABEL = "org.veilmark.sealed"


class ManifestState(StrEnum):
    """What the check of a manifest found."""

    TRUSTED = "trusted"  #: valid, and the signer's certificate chains to an anchor
    VALID = "valid"  #: valid; the signer is not known
    INVALID = "invalid"
    UNSUPPORTED = (
        "unsupported"  #: of a form that cannot be read, a draft or a later version; nothing was checked
    )


class FailureKind(StrEnum):
    """What a failure is about."""

    CONTENT = "content"
    SIGNATURE = "signature"
    ASSERTION = "assertion"
    CLAIM = "claim"
    CERTIFICATE = "certificate"
    TIME_STAMP = "time-stamp"
    OTHER = "other"


#: What a validation status code (C2PA 2.4, "Validation", status codes) says went wrong, first match wins.
_KINDS = (
    (
        FailureKind.CONTENT,
        ("assertion.dataHash", "assertion.bmffHash", "assertion.boxesHash", "assertion.collectionHash"),
    ),
    (FailureKind.CONTENT, ("assertion.hardBinding", "claim.hardBindings", "assertion.multiAssetHash")),
    (
        FailureKind.CLAIM,
        ("claim.", "ingredient.manifest", "ingredient.claimSignature", "manifest.", "hashedURI.missing"),
    ),
    (FailureKind.CLAIM, ("assertion.missing", "veilmark.manifest")),
    (FailureKind.ASSERTION, ("assertion.", "hashedURI.")),
    (
        FailureKind.CERTIFICATE,
        ("signingCredential.", "claimSignature.outsideValidity", "veilmark.certificates"),
    ),
    (FailureKind.SIGNATURE, ("claimSignature.", "algorithm.")),
    (FailureKind.TIME_STAMP, ("timeStamp.", "timestamp.")),
)


@dataclass(frozen=True)
class Failure:
    """Something that did not check out.

    Attributes:
        code: C2PA validation status code, or one of ours starting with ``veilmark.``.
        explanation: one line.
        url: which part of the manifest store.
        kind: what it is about.
        ingredient: title of the ingredient that it is about; empty for the file's own manifest.
        fragment: name of the fragment of a stream that it is about, or empty.
    """

    code: str
    explanation: str
    url: str = ""
    kind: FailureKind = FailureKind.OTHER
    ingredient: str = ""
    fragment: str = ""

    def to_json(self) -> dict[str, str]:
        """As a verdict shows it, inside the ingredient it is about."""
        keys = ("code", "explanation", "url", "kind", "ingredient")
        return {key: str(getattr(self, key)) for key in keys}


@dataclass
class ManifestReport:
    """A checked manifest.

    Attributes:
        state: trusted, valid, invalid or unsupported.
        signer_trusted: whether the signer's certificate leads to a trusted anchor, whatever else was found.
        failures: of the active manifest, or of an ingredient that spoils the whole; an unknown signer is not among
            them, nor is what is wrong with an identity.
        ingredient_failures: of the manifests it was made from, as recorded and as found now.
        signer_name: common name in the signing certificate; a claim unless ``state`` is ``trusted``.
        organization: organization in the signing certificate.
        chain_der: the signer's certificates, leaf first.
        key_id: hex SHA-256 of the leaf's SubjectPublicKeyInfo.
        signed_time: RFC 3339, or empty where the manifest says none.
        time_kind: who says so; None where the manifest says none.
        digital_source_type: short name; what it is an edit of is synthetic: so is this.
        actions: name, description, when, digital source type, software agent; in order.
        ingredients: title, relationship, format, instance id, whether it has a manifest, its thumbnail's
            identifier, the parent's SHA-256 where it was only named, its standing (see
            :func:`provenance.manifest.tree.add_standing`), its failures, and its own ``manifest`` (same shape, nested).
        training: use to ``allowed``, ``notAllowed`` or ``constrained``.
        assertion_labels: of all assertions, without the numbers that tell several of one label apart.
        metadata: merged metadata assertions (author, description, device, time, place).
        stated: what the signer states about the file, by the names of :data:`provenance.manifest.stated.FACTS`.
        identities: whom its CAWG identity assertions name, confirmed or not.
        sealed: what the manifest says of a sealed original, as it stands there; empty where there is none.
        found_for: for which purposes c2pa found the signer, or the time stamp, in an anchor of that purpose.
        found_elsewhere: for which it found them among anchors of another purpose; there may be a right one too.
        unsupported: why nothing could be checked, where the state is ``unsupported``.
        manifest_bytes: the whole manifest store.
    """

    state: ManifestState
    signer_trusted: bool = False
    failures: list[Failure] = field(default_factory=list)
    ingredient_failures: list[Failure] = field(default_factory=list)
    signer_name: str = ""
    organization: str = ""
    issuer: str = ""
    chain_der: list[bytes] = field(default_factory=list, repr=False)
    key_id: str = ""
    algorithm: str = ""
    signed_time: str = ""
    time_kind: TimeKind | None = None
    title: str = ""
    instance_id: str = ""
    active_label: str = ""
    claim_generator: str = ""
    actions: list[dict[str, Any]] = field(default_factory=list)
    digital_source_type: str = ""
    ingredients: list[dict[str, Any]] = field(default_factory=list)
    soft_bindings: list[dict[str, str]] = field(default_factory=list)
    training: dict[str, str] = field(default_factory=dict)
    assertion_labels: list[str] = field(default_factory=list)
    metadata: dict[str, Any] = field(default_factory=dict)
    stated: dict[str, str] = field(default_factory=dict)
    identities: list[NamedIdentity] = field(default_factory=list)
    sealed: dict[str, Any] = field(default_factory=dict)
    found_for: set[Purpose] = field(default_factory=set)
    found_elsewhere: set[Purpose] = field(default_factory=set)
    thumbnail: str = ""
    embedded: bool = True
    unsupported: str = ""
    remote_url: str = ""
    manifest_bytes: bytes = field(default=b"", repr=False)
    _crjson: str = field(default="{}", repr=False)

    @property
    def manifest_sha256(self) -> str:
        """Hex SHA-256 of the manifest store, or empty where it could not be read."""
        return hashlib.sha256(self.manifest_bytes).hexdigest() if self.manifest_bytes else ""

    @property
    def expired(self) -> bool:
        """Whether nothing is wrong but the certificate's end, and no time stamp shows that it was signed before."""
        return bool(self.failures) and all(one.code in _EXPIRED for one in self.failures)

    def crjson(self) -> str:
        """The whole store as crJSON, c2pa's standard JSON form."""
        return self._crjson

    def add_failure(self, code: str, explanation: str, url: str = "") -> None:
        """Note a failure of the active manifest; the state becomes ``invalid``."""
        self.failures.append(Failure(code, explanation, url, failure_kind(code)))
        self.state = ManifestState.INVALID


def failure_kind(code: str) -> FailureKind:
    """The group a validation status code belongs to."""
    return next((kind for kind, starts in _KINDS if code.startswith(starts)), FailureKind.OTHER)


def report_from_json(parsed: dict[str, Any], *, crjson: Callable[[], str], store: bytes) -> ManifestReport:
    """Build a report from c2pa's JSON; what the file says is cut and made printable."""
    label = _text(parsed.get("active_manifest"))
    manifests = _dict(parsed.get("manifests"))
    active = _dict(manifests.get(label))
    results = _dict(parsed.get("validation_results"))
    own = _dict(results.get("activeManifest"))
    report = ManifestReport(state=ManifestState.VALID, active_label=label, manifest_bytes=store)
    report._crjson = crjson()
    report.failures = [one for one in _failures(own.get("failure")) if not _of_trust(one.code)]
    found_now, recorded = _ingredient_failures(results, manifests)
    report.ingredient_failures = _unique([*found_now, *recorded])
    for code, purpose in ((_TRUSTED, Purpose.SIGNERS), (_STAMP_TRUSTED, Purpose.TIME_STAMPS)):
        said = [str(one.get("explanation")) for one in _statuses(own) if one.get("code") == code]
        if any(found_for(text, purpose) for text in said):
            report.found_for.add(purpose)
        elif any(names_a_list(text) for text in said):
            report.found_elsewhere.add(purpose)
    report.signer_trusted = Purpose.SIGNERS in report.found_for
    rejected = str(parsed.get("validation_state")).lower() not in ("trusted", "valid")
    if rejected and not report.failures:
        # c2pa rejects the whole because of what it was made from; say so instead of leaving it unexplained
        report.failures = _unique(found_now) or list(report.ingredient_failures)
    if report.failures:
        report.state = ManifestState.INVALID
    elif report.signer_trusted and not rejected:
        report.state = ManifestState.TRUSTED
    if not report.failures and rejected:
        report.add_failure("veilmark.manifest.invalid", "c2pa calls the manifest invalid without a reason")
    _fill(report, active, manifests, own)
    return report


def _fill(
    report: ManifestReport, active: dict[str, Any], manifests: dict[str, Any], own: dict[str, Any]
) -> None:
    signature = _dict(active.get("signature_info"))
    report.signer_name = _text(signature.get("common_name")) or _text(signature.get("issuer"))
    report.organization = _text(signature.get("issuer"))
    report.algorithm = _text(signature.get("alg")).lower()
    report.title = _text(active.get("title"))
    report.instance_id = _text(active.get("instance_id"))
    report.claim_generator = _generator(active)
    report.thumbnail = _text(_dict(active.get("thumbnail")).get("identifier"))
    about = describe(active, manifests, depth=0)
    report.actions, report.ingredients = about["actions"], about["ingredients"]
    report.digital_source_type = lasting_source_type(about)
    report.stated = stated_facts(report.claim_generator, _assertions(active))
    report.assertion_labels = [name.split("__")[0] for name, _ in _assertions(active)]
    for name, data in _assertions(active):
        if name.startswith("c2pa.soft-binding"):
            for block in _list(data.get("blocks")):
                value = _text(_dict(block).get("value"), 4000)
                report.soft_bindings.append({"alg": _text(data.get("alg")), "value": value})
        elif name.split("__")[0] in ("cawg.training-mining", "c2pa.training-mining"):
            for use, entry in list(_dict(data.get("entries")).items())[:_MAX_LIST]:
                report.training[_text(use).split(".")[-1]] = _text(_dict(entry).get("use"))
        elif name == _SEALED_LABEL:
            report.sealed = data
        elif name.split("__")[0] in ("c2pa.metadata", "cawg.metadata"):
            report.metadata |= {_text(k): v for k, v in data.items() if k != "@context"}
    stamp_trusted = Purpose.TIME_STAMPS in report.found_for
    report.signed_time, report.time_kind = _time(signature, report.actions, own, stamp_trusted)
    report.identities = identities_of(report.active_label, _assertions(active), own, report.manifest_bytes)


def _taken(references: list[dict[str, Any]], ingredient: dict[str, Any], *, by_title: bool) -> dict[str, Any]:
    """The reference that is about an ingredient, by its instance id or else its title; it is taken out of the list,
    since each is about one, in the same order.
    """
    for key in ("instance_id", "title") if by_title else ("instance_id",):
        wanted = _text(ingredient.get(key))
        for place, one in enumerate(references):
            if wanted and _text(one.get(key)) == wanted:
                return references.pop(place)
    return {}


def describe(manifest: dict[str, Any], manifests: dict[str, Any], *, depth: int) -> dict[str, Any]:
    """Title, signer, time, actions and ingredients of one manifest, its ingredients' manifests nested."""
    signature = _dict(manifest.get("signature_info"))
    references = [
        _dict(one)
        for name, data in _assertions(manifest)
        if name.startswith(_PARENTS_LABEL)
        for one in _list(data.get("parents"))
    ]
    ingredients = []
    for one in _list(manifest.get("ingredients")):
        one = _dict(one)
        label = _text(one.get("active_manifest"))
        reference = _taken(references, one, by_title=not label)
        entry: dict[str, Any] = {
            "title": _text(one.get("title")),
            "relationship": _text(one.get("relationship")),
            "format": _text(one.get("format")),
            "instance_id": _text(one.get("instance_id")),
            "has_manifest": bool(label),
            "manifest_label": label or _text(reference.get("manifest")),
            "sha256": _text(reference.get("sha256")),
            "manifest_sha256": _text(reference.get("manifest_sha256")),
            "thumbnail": _text(_dict(one.get("thumbnail")).get("identifier")),
            "standing": "",
            "failures": [failure.to_json() for failure in _recorded_failures(one)],
            "manifest": None,
        }
        if label in manifests and depth < _MAX_DEPTH:
            entry["manifest"] = describe(_dict(manifests[label]), manifests, depth=depth + 1)
        ingredients.append(entry)
    return {
        "label": _text(manifest.get("label")),
        "title": _text(manifest.get("title")),
        "signer": _text(signature.get("common_name")) or _text(signature.get("issuer")),
        "time": _text(signature.get("time")),
        "claim_generator": _generator(manifest),
        "thumbnail": _text(_dict(manifest.get("thumbnail")).get("identifier")),
        "actions": _actions(manifest),
        "ingredients": ingredients,
    }


def _actions(manifest: dict[str, Any]) -> list[dict[str, Any]]:
    actions = []
    for name, data in _assertions(manifest):
        if not name.startswith("c2pa.actions"):
            continue
        for action in _list(data.get("actions")):
            action = _dict(action)
            agent = action.get("softwareAgent")
            agent = _dict(agent).get("name") if isinstance(agent, dict) else agent
            actions.append(
                {
                    "action": _text(action.get("action")),
                    "description": _text(action.get("description"), 4000) or _redacted(action),
                    "when": _text(action.get("when")),
                    "digital_source_type": _text(action.get("digitalSourceType")).rsplit("/", 1)[-1],
                    "software_agent": _text(agent),
                }
            )
    return actions[:_MAX_LIST]


def _redacted(action: dict[str, Any]) -> str:
    """What was taken out of an earlier manifest, and why."""
    address = _text(_dict(action.get("parameters")).get("redacted"))
    if not address:
        return ""
    return f"{address.rsplit('/', 1)[-1]} was taken out ({_text(action.get('reason')) or 'no reason given'})"


def _time(
    signature: dict[str, Any], actions: list[dict[str, Any]], own: dict[str, Any], stamp_trusted: bool
) -> tuple[str, TimeKind | None]:
    stamped = _text(signature.get("time"))
    codes = {_text(one.get("code")) for one in _statuses(own)}
    if stamped and stamp_trusted:
        return stamped, TimeKind.STAMPED
    if stamped and "timeStamp.validated" in codes:
        return stamped, TimeKind.STAMPED_BY_UNKNOWN
    when = next((action["when"] for action in actions if action["when"]), "")
    return (when, TimeKind.SELF_ASSERTED) if when else ("", None)


def _statuses(results: dict[str, Any]) -> list[dict[str, Any]]:
    """Every status of a manifest's validation, whatever its group."""
    return [_dict(one) for group in results.values() for one in _list(group)]


def _ingredient_failures(
    results: dict[str, Any], manifests: dict[str, Any]
) -> tuple[list[Failure], list[Failure]]:
    """What is wrong with ingredients: found now (deltas), and recorded by those who signed over them."""
    ingredients = [
        _dict(one)
        for manifest in list(manifests.values())[:_MAX_LIST]
        for one in _list(_dict(manifest).get("ingredients"))
    ]
    titles = {_text(one.get("active_manifest")): _text(one.get("title")) for one in ingredients}
    found_now, recorded = [], []
    for delta in _list(results.get("ingredientDeltas")):
        for failure in _failures(_dict(_dict(delta).get("validationDeltas")).get("failure")):
            found_now.append(replace(failure, ingredient=_title_in(failure.url, titles)))
    for one in ingredients:
        title = _text(one.get("title")) or "unnamed"
        recorded += [replace(failure, ingredient=title) for failure in _recorded_failures(one)]
    return found_now, recorded


def _title_in(url: str, titles: dict[str, str]) -> str:
    """The title of the ingredient whose manifest an address lies in."""
    return next((title for label, title in titles.items() if label and label in url and title), "unnamed")


def _unique(failures: list[Failure]) -> list[Failure]:
    return list({(one.code, one.url): one for one in failures if not _of_trust(one.code)}.values())[
        :_MAX_LIST
    ]


def _of_trust(code: str) -> bool:
    """Codes that say whom the verifier trusts, nothing about the file."""
    return code == _UNTRUSTED or is_about_identity(code)


def _recorded_failures(ingredient: dict[str, Any]) -> list[Failure]:
    recorded = _failures(
        _dict(_dict(ingredient.get("validation_results")).get("activeManifest")).get("failure")
    )
    recorded += _failures(ingredient.get("validation_status"))
    return [one for one in recorded if not _of_trust(one.code)]


def _failures(raw: Any) -> list[Failure]:
    failures = []
    for one in _list(raw):
        one = _dict(one)
        code = _text(one.get("code"))
        failures.append(
            Failure(code, _text(one.get("explanation"), 400), _text(one.get("url"), 400), failure_kind(code))
        )
    return failures


def _assertions(manifest: dict[str, Any]) -> list[tuple[str, dict[str, Any]]]:
    return [
        (_text(_dict(one).get("label")), _dict(_dict(one).get("data")))
        for one in _list(manifest.get("assertions"))
    ]


def _generator(manifest: dict[str, Any]) -> str:
    info = _list(manifest.get("claim_generator_info"))
    if not info:
        return _text(manifest.get("claim_generator"))
    first = _dict(info[0])
    return f"{_text(first.get('name'))} {_text(first.get('version'))}".strip()


def _dict(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _list(value: Any) -> list[Any]:
    return value[:_MAX_LIST] if isinstance(value, list) else []


def _text(value: Any, limit: int = 400) -> str:
    return printable(value, limit) if isinstance(value, str) else ""

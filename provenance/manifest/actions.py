"""C2PA actions and digital source types: which there are, and which the signer may name."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from provenance.errors import UsageError

IPTC = "http://cv.iptc.org/newscodes/digitalsourcetype/"
C2PA = "http://c2pa.org/digitalsourcetype/"
#: IPTC digital source types, https://cv.iptc.org/newscodes/digitalsourcetype/ , and C2PA's two additions.
SOURCE_TYPES: dict[str, str] = {
    name: IPTC + name
    for name in (
        "digitalCapture",
        "computationalCapture",
        "negativeFilm",
        "positiveFilm",
        "print",
        "humanEdits",
        "compositeWithTrainedAlgorithmicMedia",
        "algorithmicallyEnhanced",
        "digitalCreation",
        "dataDrivenMedia",
        "trainedAlgorithmicMedia",
        "algorithmicMedia",
        "screenCapture",
        "virtualRecording",
        "composite",
        "compositeCapture",
        "compositeSynthetic",
    )
} | {name: C2PA + name for name in ("empty", "trainedAlgorithmicData")}

#: Source types that say: a machine made this, or a part of it. What is said once is kept through every edit.
SYNTHETIC_TYPES = frozenset(
    {
        "trainedAlgorithmicMedia",
        "trainedAlgorithmicData",
        "compositeWithTrainedAlgorithmicMedia",
        "compositeSynthetic",
        "algorithmicMedia",
        "virtualRecording",
    }
)

#: Actions of C2PA 2.4 that a signer may name, and whether they change what is seen or heard; those that do
#: must say by what kind of source (conformance programme 0.2).
ACTIONS: dict[str, bool] = {
    "c2pa.addedText": True,
    "c2pa.adjustedColor": True,
    "c2pa.changedSpeed": True,
    "c2pa.converted": False,
    "c2pa.cropped": True,
    "c2pa.deleted": True,
    "c2pa.drawing": True,
    "c2pa.dubbed": True,
    "c2pa.edited": True,
    "c2pa.edited.metadata": False,
    "c2pa.enhanced": False,
    "c2pa.filtered": True,
    "c2pa.mastered": True,
    "c2pa.mixed": True,
    "c2pa.orientation": True,
    "c2pa.published": False,
    "c2pa.removed": True,
    "c2pa.remixed": True,
    "c2pa.repackaged": False,
    "c2pa.resized": True,
    "c2pa.resized.proportional": False,
    "c2pa.transcoded": False,
    "c2pa.translated": True,
    "c2pa.trimmed": True,
    "c2pa.unknown": True,
    "c2pa.watermarked.bound": False,
    "c2pa.watermarked.unbound": False,
}
#: Actions that C2PA dropped, and what says nearly the same now.
REPLACED = {
    "c2pa.color_adjustments": "c2pa.adjustedColor",
    "c2pa.watermarked": "c2pa.watermarked.unbound",
    "c2pa.saved": "c2pa.edited",
    "c2pa.formatted": "c2pa.converted",
    "c2pa.version_updated": "c2pa.converted",
    "c2pa.produced": "c2pa.published",
    "c2pa.printed": "c2pa.published",
    "c2pa.managed": "c2pa.repackaged",
    "c2pa.copied": "c2pa.repackaged",
}
STANDARD_PARAMETERS = frozenset(
    {
        "redacted",
        "ingredients",
        "ingredientIds",
        "relatedAssertions",
        "sourceLanguage",
        "targetLanguage",
        "multipleInstances",
        "ranges",
        "weight",
        "width",
        "italic",
        "slant",
        "optical-size",
    }
)
_PIPELINE = ("c2pa.created", "c2pa.opened", "c2pa.placed", "c2pa.redacted")
_MAX_TEXT = 4000


@dataclass(frozen=True)
class Action:
    """Something that was done to the file.

    Attributes:
        name: a C2PA action such as ``c2pa.cropped``, or one of your own with a dot (``org.example.aged``).
        description: free text.
        when: RFC 3339 time, or empty.
        digital_source_type: IPTC name or URL; filled in where C2PA demands one.
        parameters: further facts; keys of your own need a dot.
    """

    name: str
    description: str = ""
    when: str = ""
    digital_source_type: str = ""
    parameters: tuple[tuple[str, Any], ...] = ()

    def to_definition(self, default_type: str) -> dict[str, Any]:
        """The action as c2pa's builder takes it; ``default_type`` is used where a source type is demanded."""
        action: dict[str, Any] = {"action": self.name}
        kind = self.digital_source_type or (default_type if ACTIONS.get(self.name) else "")
        if kind:
            action["digitalSourceType"] = source_type(kind)
        if self.description:
            action["description"] = self.description
        if self.when:
            action["when"] = self.when
        if self.parameters:
            action["parameters"] = dict(self.parameters)
        return action


def check_action(action: Action) -> None:
    """UsageError for an action that C2PA does not know, has replaced, or that the pipeline writes itself."""
    name = action.name
    if name in _PIPELINE:
        raise UsageError(f"{name} is written by veilmark itself", hint="leave it out, or name a --parent")
    if name in REPLACED:
        raise UsageError(f"{name} is no longer a C2PA action", hint=f"use {REPLACED[name]}")
    if name.startswith("c2pa.") and name not in ACTIONS:
        raise UsageError(f"{name[:80]!r} is no C2PA action", hint=f"one of: {', '.join(ACTIONS)}")
    if "." not in name.strip(".") or not name.isprintable() or len(name) > 200:
        raise UsageError(
            f"{name[:80]!r} cannot name an action", hint="for example c2pa.cropped or org.example.aged"
        )
    if len(action.description) > _MAX_TEXT:
        raise UsageError(f"the description of {name} is over {_MAX_TEXT} characters")


def is_synthetic(kind: str) -> bool:
    """Whether a digital source type, by its short name or URL, is one of :data:`SYNTHETIC_TYPES`."""
    return kind.rsplit("/", 1)[-1] in SYNTHETIC_TYPES


def lasting_source_type(manifest: dict[str, Any]) -> str:
    """The source type that a described manifest stands for: a synthetic one of its own actions, else a synthetic one
    of what it is an edit of, else the first that it names; empty where it names none.
    """
    own = [action["digital_source_type"] for action in manifest["actions"] if action["digital_source_type"]]
    opened = [one["manifest"] for one in manifest["ingredients"] if one["relationship"] == "parentOf"]
    inherited = [lasting_source_type(one) for one in opened if one]
    return next((kind for kind in [*own, *inherited] if is_synthetic(kind)), next(iter(own), ""))


def source_type(name: str) -> str:
    """The URL of a digital source type given by its short name or URL; UsageError when it is unknown."""
    if name in SOURCE_TYPES:
        return SOURCE_TYPES[name]
    if name in SOURCE_TYPES.values():
        return name
    raise UsageError(f"{name[:120]!r} is no digital source type", hint=f"one of: {', '.join(SOURCE_TYPES)}")

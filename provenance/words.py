"""What a verdict says, in plain words. Codes and figures are for whoever asks for everything."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from provenance.manifest.tree import Standing
from provenance.record import Relation
from provenance.verdict import (
    LedgerStatus,
    MatchKind,
    NamedIdentity,
    Signer,
    SimilarRecord,
    Time,
    TimeKind,
    Verdict,
)

#: A PDQ distance of at most so many of 256 bits is a recompressed or resized copy more often than anything else.
_ALMOST_IDENTICAL = 10

_SOURCES = {
    "computationalCapture": "camera photo, put together by software",
    "negativeFilm": "scan of a negative",
    "positiveFilm": "scan of a slide",
    "print": "scan of a print",
    "humanEdits": "edited by a person",
    "compositeWithTrainedAlgorithmicMedia": "partly made by AI",
    "algorithmicallyEnhanced": "altered by software",
    "digitalCreation": "made by a person with software",
    "dataDrivenMedia": "made by software from data",
    "trainedAlgorithmicMedia": "made by AI",
    "trainedAlgorithmicData": "data made by AI",
    "algorithmicMedia": "made by software",
    "screenCapture": "screenshot",
    "virtualRecording": "recording of a virtual scene",
    "composite": "put together from several files",
    "compositeCapture": "put together from camera photos",
    "compositeSynthetic": "put together, with parts that software made",
    "empty": "blank",
}
_CAMERA = {"image": "camera photo", "video": "camera film", "audio": "sound recording"}
_RELATIONS = {
    Relation.CAPTURED: "captured",
    Relation.EDITED: "edited",
    Relation.CLOAKED: "cloaked",
    Relation.SYNTHETIC: "synthetic",
    Relation.RECORDED: "recorded as it was found",
}
_TIMES = {
    TimeKind.SELF_ASSERTED: "by the signer's own clock",
    TimeKind.RECORD: "in the record, by the signer's own clock",
    TimeKind.STAMPED_BY_UNKNOWN: "time-stamped by an authority you do not trust",
    TimeKind.STAMPED: "time-stamped by an authority you trust",
    TimeKind.WITNESSED: "seen by the witness",
    TimeKind.ANCHORED: "the chain's own time",
}
_ON_CHAIN = {
    LedgerStatus.PENDING: "not yet on the chain",
    LedgerStatus.ANCHOR_NOT_CHECKED: "on the chain as it says; not checked",
    LedgerStatus.ANCHORED_BY_RPC: "on the chain, says the node that was asked",
    LedgerStatus.ANCHORED: "on the chain",
}
#: C2PA's actions whose name, without its dots, is not what a person would say.
_ACTIONS = {
    "c2pa.addedText": "text added",
    "c2pa.adjustedColor": "colours changed",
    "c2pa.color_adjustments": "colours changed",
    "c2pa.changedSpeed": "speed changed",
    "c2pa.converted": "converted to another format",
    "c2pa.created": "made",
    "c2pa.drawing": "drawn on",
    "c2pa.edited.metadata": "metadata edited",
    "c2pa.filtered": "a filter applied",
    "c2pa.opened": "opened",
    "c2pa.orientation": "turned",
    "c2pa.placed": "something placed into it",
    "c2pa.redacted": "something taken out of an earlier manifest",
    "c2pa.removed": "something removed",
    "c2pa.repackaged": "packed anew",
    "c2pa.resized.proportional": "resized",
    "c2pa.transcoded": "encoded anew",
    "c2pa.unknown": "changed in an unknown way",
    "c2pa.watermarked.bound": "watermarked",
    "c2pa.watermarked.unbound": "watermarked",
}
_INGREDIENTS = {"parentOf": "", "componentOf": "a part of it", "inputTo": "used to make it"}


def signer_words(signer: Signer) -> str:
    """What the name is worth to the verifier."""
    if signer.trusted is None:
        return "name not judged"
    return "you trust this signer" if signer.trusted else "name not confirmed"


def synthetic_words(verdict: Verdict) -> str:
    """``SYNTHETIC, signed by ...``: what has to be read first of a file that a generator made; empty of any other."""
    if not verdict.synthetic:
        return ""
    signer = verdict.signer
    if signer is None:
        return "SYNTHETIC, signer not known"
    by = "as" if signer.trusted is None else "by"
    return f"SYNTHETIC, signed {by} {signer.name} ({signer_words(signer)})"


def headline_words(verdict: Verdict) -> str:
    """The headline without what :func:`synthetic_words` says already."""
    return verdict.headline.removeprefix(synthetic_words(verdict) + ": ")


def identity_words(one: NamedIdentity) -> str:
    issuer = f"issued by {one.issuer}, " if one.issuer else ""
    return f"{issuer}{'confirmed' if one.confirmed else 'name not confirmed'}"


def time_words(time: Time) -> str:
    """Whose clock it was."""
    plain = _TIMES.get(time.kind, time.kind.value)
    return f"{plain} {time.by}" if time.by else plain


def what_words(relation: Relation | None, source_type: str, media_type: str = "") -> str:
    """How the file came about, as its signer states it."""
    name = source_type.rsplit("/", 1)[-1]
    source = (
        _CAMERA.get(media_type.partition("/")[0], "taken with a camera") if name == "digitalCapture" else ""
    )
    source = source or _SOURCES.get(name, name)
    if relation is None or (source and relation in (Relation.CAPTURED, Relation.SYNTHETIC)):
        return source
    plain = _RELATIONS[relation]
    if not source or plain in source:
        return source or plain
    return f"{source} ({plain})"


def ledger_words(verdict: Verdict, own_log: str = "") -> str:
    """Whether and where it is recorded.

    Args:
        own_log: the origin of the verifier's own log, which is called theirs.
    """
    status, place = verdict.ledger_status, verdict.ledger
    if status is LedgerStatus.MISMATCH:
        return "the receipt does not belong to this file"
    if status is LedgerStatus.NONE or not place:
        count = len(verdict.similar)
        if not count:
            return "not recorded"
        return f"not recorded itself; {count} record{'s look' if count > 1 else ' looks'} like it"
    if status is LedgerStatus.UNKNOWN_LOG:
        return f"record no. {place['index']} in a log you do not trust, {place['origin']}"
    log = "your log" if place["origin"] == own_log else f"a log you trust, {place['origin']}"
    chain = f"; {_ON_CHAIN[status]}" if status in _ON_CHAIN else ""
    return f"record no. {place['index']} in {log}{chain}"


def action_words(action: Mapping[str, Any]) -> str:
    """What was done, how, and what the signer says about it."""
    name = str(action.get("action") or "")
    plain = _ACTIONS.get(name) or name.removeprefix("c2pa.").replace("_", " ")
    source = what_words(None, str(action.get("digital_source_type") or ""))
    said = str(action.get("description") or "")
    return f"{plain}{f' ({source})' if source else ''}{f': {said}' if said else ''}"


def ingredient_words(ingredient: Mapping[str, Any]) -> str:
    """Title, part, standing with signer, and date of an ingredient, for people."""
    part = _INGREDIENTS.get(str(ingredient.get("relationship") or ""), "")
    said = (part, standing_words(ingredient), date_of(ingredient))
    title = ingredient.get("title") or "a file without a name"
    return f"{title}  ({', '.join(one for one in said if one)})"


def standing_words(ingredient: Mapping[str, Any]) -> str:
    """What the standing of an ingredient means, and by whom it is signed."""
    signer = (ingredient.get("manifest") or {}).get("signer") or "an unnamed signer"
    return {
        Standing.TRUSTED: f"signed by {signer}, whom you trust",
        Standing.VALID: f"signed by {signer}, name not confirmed",
        Standing.FAILED: f"does not verify; signed as {signer}",
        Standing.NAMED: "a signed original, not inside",
    }.get(Standing(ingredient.get("standing") or Standing.NONE), "not signed")


def date_of(ingredient: Mapping[str, Any]) -> str:
    """The day on which its manifest says that it was signed or made (``2026-11-29``), or empty."""
    manifest = ingredient.get("manifest") or {}
    when = manifest.get("time") or next(
        (one["when"] for one in manifest.get("actions") or () if one.get("when")), ""
    )
    return str(when)[:10]


def parent_words(parent: Mapping[str, Any]) -> str:
    """A record of the own log that the file was made from."""
    how = what_words(Relation(parent["relation"]), "")
    return f"record no. {parent['index']} in your log  ({how} by {parent['signer_name']}, {parent['time']})"


def match_words(record: SimilarRecord) -> str:
    """How the file is like the recorded one."""
    plain = likeness_words(record.match, record.distance, record.transform, record.offset_seconds)
    return plain if record.confirmed else f"{plain} (not confirmed)"


def likeness_words(
    kind: MatchKind, distance: int | None, transform: str = "", offset_seconds: float | None = None
) -> str:
    """What a kind of match means, its measure in PDQ bits, what was done to the picture, where it begins."""
    plain = {
        MatchKind.FILE: "this very file",
        MatchKind.SOURCE: "was signed from this file",
        MatchKind.MANIFEST: "has this file's manifest",
        MatchKind.PIXELS: "the same pixels",
        MatchKind.FEATURES: "shows the same, or a part of it",
        MatchKind.VIDEO: "the same film",
        MatchKind.SOUND: "the same sound",
    }.get(kind)
    if plain is None:
        near = distance is not None and distance <= _ALMOST_IDENTICAL
        plain = "looks almost identical" if near else "looks alike"
    if offset_seconds is not None:
        plain += f", from {round(offset_seconds, 1) + 0.0:.1f} s on"  # never -0.0
    return plain if transform in ("", "upright") else f"{plain}, {transform}"


def match_figures(record: SimilarRecord) -> str:
    """The same for experts: the kind of match and its measure."""
    parts = [record.match.value]
    if record.distance is not None:
        parts.append(f"{record.distance}/256 bits differ")
    return ", ".join(parts)

"""Which faces are kept: one rule for each thing that spoils a training set.

Rules about one face alone come first. The others compare a face with its set, and the set is what the first rules left.
Every rule has a threshold in :class:`Thresholds`, and a name that ``alignments.json`` gives as a face's outcome.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

from provenance.errors import UsageError
from synth.extraction.alignments import KEEP, RULES, Alignments, Face, Frame
from synth.extraction.canonical import EYE_DISTANCE
from synth.extraction.measures import UsualColours, colour_of

#: Fewer faces than this are no set to compare a face with.
SMALLEST_SET = 5
#: Faces nearer than this to a set's average are surely of the person whom it shows; how far they are, in the middle, is
#: what is usual for the set.
_SURELY = 0.46
#: A set whose faces are all alike (one still scene) may meet a pose that is not.
_LEAST_DISTANCE = 0.36
#: A set's usual looks are taken from at most so many of its faces, evenly spread.
_SAMPLE = 1500


@dataclass(frozen=True)
class Thresholds:
    """Limits of the rules; a face that goes beyond one is refused. Measured figures are in
    ``benchmarks/synth/extraction.py``.

    Attributes:
        people: faces a frame may show; with more, all of them are refused (several-people).
        face_score: FaceMesh's logit below which something is no face (not-a-face).
        outside: share of the face that lies outside of the frame (cut-off).
        side: least side of the aligned square in the frame, pixels (too-small).
        yaw, pitch, roll: degrees (off-pose).
        bright: least 95th percentile of luma, 0 to 255: nothing in the face is brighter (too-dark).
        dark: highest 5th percentile of luma: nothing in the face is darker (too-bright).
        burnt: share of the face that is white (too-bright).
        cast: how far the skin's colour may be from any that skin has, CIELAB (tinted).
        cast_from_set: how far the skin's a and b may be from the set's median (tinted).
        blur: 0 to 1 (blurred).
        blur_over_set: how much more blurred than the set's median (blurred).
        uneven: share of the skin in another colour than the rest (occluded).
        departure: share of the face in another colour than the set has there (occluded).
        face_share: least FaceMesh logit, as a share of the set's median (occluded).
        distance: from the set's average embedding, or from the reference's: the most that is ever allowed
            (wrong-person).
        distance_over_set: how much further than the set's median (wrong-person).
        bits: PDQ bits, of 256, by which two faces must differ; less are one (duplicate). -1 turns the rule off.
    """

    people: int = 1
    face_score: float = 0.0
    outside: float = 0.05
    side: float = 64.0
    yaw: float = 50.0
    pitch: float = 40.0
    roll: float = 60.0
    bright: float = 70.0
    dark: float = 170.0
    burnt: float = 0.25
    cast: float = 8.0
    cast_from_set: float = 15.0
    blur: float = 0.65
    blur_over_set: float = 0.12
    uneven: float = 0.30
    departure: float = 0.10
    face_share: float = 0.60
    distance: float = 0.60
    distance_over_set: float = 0.23
    bits: int = 2

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def parse(cls, texts: Sequence[str]) -> Thresholds:
        """From ``NAME=NUMBER`` texts, as the command line gives them; what is not named keeps its default.

        Raises:
            UsageError: an unknown name, or no number.
        """
        known = {one.name: one.type for one in fields(cls)}
        values: dict[str, Any] = {}
        for text in texts:
            name, _, number = text.partition("=")
            name = name.strip().replace("-", "_")
            try:
                value = float(number)
            except ValueError:
                value = math.nan
            if name not in known or not math.isfinite(value):
                raise UsageError(
                    f"{text[:60]!r} is no threshold",
                    hint="give NAME=NUMBER; the names are: " + ", ".join(known),
                )
            values[name] = int(value) if known[name] == "int" else value
        return cls(**values)


def apply_rules(
    alignments: Alignments,
    thresholds: Thresholds,
    *,
    colours: Callable[[Face], NDArray[np.float32]],
    reference: NDArray[np.float32] | None = None,
) -> None:
    """Give every face its outcome; what a person decided stays.

    Args:
        alignments: changed in place: ``judged``, ``outcome`` and the measures that depend on the set.
        colours: gives a face's :func:`~synth.extraction.measures.point_colours`.
        reference: embedding of the wanted person; without it the set's own average is taken.
    """
    pairs = alignments.faces(kept=False)
    decided = {id(face): face.outcome for _, face in pairs if face.edited}
    alone = [(frame, face, _alone(frame, face, thresholds)) for frame, face in pairs]
    members = [face for _, face, rule in alone if rule is None]
    wanted = _by_set(members, thresholds, colours, reference)
    for _, face, rule in alone:
        face.judged = rule or wanted[id(face)]
        face.outcome = decided.get(id(face), face.judged)


def _alone(frame: Frame, face: Face, limits: Thresholds) -> str | None:
    """The first rule that refuses a face for itself, in the order of :data:`RULES`."""
    measures = face.measures
    people = sum(one.mesh_score >= limits.face_score for one in frame.faces)
    turned = abs(face.yaw) > limits.yaw or abs(face.pitch) > limits.pitch or abs(face.roll) > limits.roll
    refused = {
        "not-a-face": face.mesh_score < limits.face_score,
        "several-people": people > limits.people,
        "cut-off": measures["outside"] > limits.outside,
        "too-small": face.span / EYE_DISTANCE < limits.side,
        "off-pose": turned,
        "too-dark": measures["brightest"] < limits.bright,
        "too-bright": measures["darkest"] > limits.dark or measures["burnt"] > limits.burnt,
        "tinted": measures["cast"] > limits.cast,
        "blurred": measures["blur"] > limits.blur,
        "occluded": measures["uneven"] > limits.uneven,
    }
    return next((rule for rule in RULES if refused.get(rule)), None)


def _by_set(
    members: Sequence[Face],
    limits: Thresholds,
    colours: Callable[[Face], NDArray[np.float32]],
    reference: NDArray[np.float32] | None,
) -> dict[int, str]:
    """Outcomes of faces that are good by themselves, by identity of the object."""
    outcomes = {id(face): KEEP for face in members}
    embedded = [face for face in members if face.embedding is not None]
    if reference is None and len(embedded) >= SMALLEST_SET:
        reference = centre(np.stack([face.embedding for face in embedded if face.embedding is not None]))
    if reference is not None:
        for face in embedded:
            face.measures["distance"] = float(np.linalg.norm(np.asarray(face.embedding) - reference))
        limit = person_limit([face.measures["distance"] for face in embedded], limits)
        for face in embedded:
            if face.measures["distance"] > limit:
                outcomes[id(face)] = "wrong-person"
    own = [face for face in members if outcomes[id(face)] == KEEP]
    if len(own) >= SMALLEST_SET:
        _compare(own, limits, colours, outcomes)
    seen: list[bytes] = []
    for face in own:
        if outcomes[id(face)] == KEEP and _is_duplicate(face, seen, limits.bits):
            outcomes[id(face)] = "duplicate"
    return outcomes


def _compare(
    own: Sequence[Face],
    limits: Thresholds,
    colours: Callable[[Face], NDArray[np.float32]],
    outcomes: dict[int, str],
) -> None:
    """Faces of one person against what is usual for them."""
    looks = {id(face): colours(face) for face in own[:: max(1, -(-len(own) // _SAMPLE))]}
    usual = UsualColours(np.stack(list(looks.values())))
    blur = float(np.median([face.measures["blur"] for face in own]))
    score = float(np.median([face.mesh_score for face in own]))
    skin = np.median([colour_of(one) for one in looks.values()], axis=0)
    for face in own:
        look = looks[id(face)] if id(face) in looks else colours(face)
        face.measures["departure"] = usual.departure(look)
        face.measures["cast_from_set"] = float(np.linalg.norm(colour_of(look) - skin))
        face.measures["face_share"] = face.mesh_score / score if score > 0 else 1.0
        departs = face.measures["departure"] > limits.departure
        if departs or face.measures["face_share"] < limits.face_share:
            outcomes[id(face)] = "occluded"
        elif face.measures["cast_from_set"] > limits.cast_from_set:
            outcomes[id(face)] = "tinted"
        elif face.measures["blur"] > blur + limits.blur_over_set:
            outcomes[id(face)] = "blurred"


def person_limit(distances: Sequence[float], limits: Thresholds) -> float:
    """How far from the set's average embedding, or from a reference, a face of the wanted person may be.

    How much one person's faces vary differs between people and footage by more than what separates one person from
    another like them; therefore the limit goes with the set's own median, up to ``limits.distance``.

    Args:
        distances: of all faces; those of other people among them hardly shift the limit.
        limits: ``distance`` and ``distance_over_set`` are used.
    """
    surely = [one for one in distances if one <= _SURELY]
    if len(surely) < SMALLEST_SET:
        return limits.distance
    usual = float(np.median(surely)) + limits.distance_over_set
    return min(limits.distance, max(_LEAST_DISTANCE, usual))


def centre(embeddings: NDArray[np.float32]) -> NDArray[np.float32]:
    """The average embedding ``(128,)`` of the person whom most faces of a set show.

    That is the mean over the face with most others nearby, and those others; faces of further people do not shift it.

    Args:
        embeddings: ``(N, 128)``, N at least 1.
    """
    sample = embeddings[:: max(1, -(-len(embeddings) // _SAMPLE))]
    products = sample @ sample.T
    squares = np.diag(products)
    apart = np.sqrt(np.maximum(0, squares[:, None] + squares[None] - 2 * products))
    best = int(np.argmax((apart < _SURELY).sum(1)))
    return np.asarray(sample[apart[best] < _SURELY].mean(0), np.float32)


def _is_duplicate(face: Face, seen: list[bytes], bits: int) -> bool:
    """Whether a face is like one before; else it is remembered."""
    code = bytes.fromhex(face.fingerprint)
    if seen:
        known = np.frombuffer(b"".join(seen), np.uint64).reshape(-1, 4)
        apart = np.bitwise_count(known ^ np.frombuffer(code, np.uint64)).sum(1)
        if int(apart.min()) <= bits:
            return True
    seen.append(code)
    return False

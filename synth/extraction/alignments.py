"""``alignments.json``: what became of every frame, written to be read and edited by hand.

The schema, ``veilmark.alignments/1``::

    schema      "veilmark.alignments/1"
    size        side of the aligned pictures, pixels
    sources     [{path, sha256, kind, width, height, rotation, variable_frame_rate, seconds}, ...]
    consent     under which consent the footage is used: {basis, statement, ...}
    settings    detector, step between frames, and the threshold of every rule
    counts      fate to number of faces, for a glance
    frames      one line each: {number, source, index, time, width, height, fate, faces}

A frame's ``fate`` is ``faces``, ``no-face`` or ``unreadable``. ``number`` counts frames over all sources, ``index``
within one, ``time`` is in seconds from its first frame. Of each face::

    file        the aligned picture, relative to the folder: faces/NUMBER_FACE.png, or refused/...
    fate        "keep", or the rule that refused it. This is what to edit: "keep" brings a face back, "by-hand" (or any
                rule's name) drops it. The next run honours it.
    judged      what the rules said; where ``fate`` differs from it, a person has decided
    box         x1 y1 x2 y2 in pixels of the frame, as the detector drew it, and its ``score`` (0 to 1)
    mesh_score  FaceMesh's own opinion whether this is a face (a logit; above 0 is yes)
    matrix      six numbers a b c d e f: x' = a x + b y + c, y' = d x + e y + f, from the frame to the aligned picture
    yaw, pitch, roll    degrees; positive: nose to the right of the picture, nose up, head leaning clockwise
    span        distance between the middles of the eyes, pixels of the frame
    measures    what the rules looked at, by name
    fingerprint PDQ hash of the aligned picture, 64 hex digits
    landmarks   468 points of FaceMesh, x and y in pixels of the frame in turn, 936 numbers
    landmarks68 dlib's 68 points where they were asked for, 136 numbers, or null
    embedding   128 numbers by which people are told apart, or null. It is biometric data, as the pictures are.

What a stranger's file says is checked when it is loaded: counts, types, ranges, and that no file name leads elsewhere.
"""

from __future__ import annotations

import json
import math
import re
from collections import Counter
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from provenance.errors import CorruptMediaError, MediaTooLargeError, MissingPathError
from provenance.media.files import write_bytes
from synth.extraction.canonical import LARGEST_SIZE, POINTS, SMALLEST_SIZE

SCHEMA = "veilmark.alignments/1"
FILE_NAME = "alignments.json"
KEPT_FOLDER, REFUSED_FOLDER = "faces", "refused"
KEEP, BY_HAND = "keep", "by-hand"
#: In the order in which they are asked; the first that applies is the face's outcome.
RULES = (
    "not-a-face",
    "several-people",
    "cut-off",
    "too-small",
    "off-pose",
    "too-dark",
    "too-bright",
    "occluded",
    "tinted",
    "blurred",
    "wrong-person",
    "duplicate",
)
OUTCOMES = (KEEP, *RULES, BY_HAND)
FRAME_OUTCOMES = ("faces", "no-face", "unreadable")
MAX_BYTES = 2 * 1024**3
MAX_FRAMES = 1_000_000
MAX_FACES_PER_FRAME = 50
_FILE = re.compile(rf"(?:{KEPT_FOLDER}|{REFUSED_FOLDER})/[0-9]{{6,9}}_[0-9]{{1,2}}\.png")
_FINGERPRINT = re.compile("[0-9a-f]{64}")
_NUMBERS = ("score", "mesh_score", "yaw", "pitch", "roll", "span")


@dataclass
class Face:
    """One face of one frame; the attributes are described in the module."""

    file: str
    outcome: str
    judged: str
    box: tuple[float, ...]
    score: float
    mesh_score: float
    matrix: NDArray[np.float64]
    yaw: float
    pitch: float
    roll: float
    span: float
    measures: dict[str, float]
    fingerprint: str
    landmarks: NDArray[np.float32] = field(repr=False)
    embedding: NDArray[np.float32] | None = field(default=None, repr=False)
    landmarks68: NDArray[np.float32] | None = field(default=None, repr=False)

    @property
    def edited(self) -> bool:
        """Whether a person decided otherwise than the rules."""
        return self.outcome != self.judged

    def to_json(self) -> dict[str, Any]:
        embedding, classic = self.embedding, self.landmarks68
        return {
            "file": self.file,
            "fate": self.outcome,
            "judged": self.judged,
            "box": [round(float(side), 1) for side in self.box],
            **{name: round(float(getattr(self, name)), 3) for name in _NUMBERS},
            "matrix": [round(float(value), 6) for value in self.matrix.ravel()],
            "measures": {name: round(float(value), 4) for name, value in self.measures.items()},
            "fingerprint": self.fingerprint,
            "landmarks": [round(float(value), 2) for value in self.landmarks.ravel()],
            "landmarks68": None if classic is None else [round(float(value), 2) for value in classic.ravel()],
            "embedding": None if embedding is None else [round(float(value), 4) for value in embedding],
        }

    @classmethod
    def from_json(cls, data: Any) -> Face:
        """Parse and check. ValueError, KeyError or TypeError where something is wrong."""
        if not isinstance(data["file"], str) or not _FILE.fullmatch(data["file"]):
            raise ValueError(f"file {str(data['file'])[:60]!r} is not like faces/000123_0.png")
        for name in ("fate", "judged"):
            if data[name] not in OUTCOMES:
                raise ValueError(f"{name} {str(data[name])[:40]!r} is none of {', '.join(OUTCOMES)}")
        if not isinstance(data["fingerprint"], str) or not _FINGERPRINT.fullmatch(data["fingerprint"]):
            raise ValueError("fingerprint is not 64 hex digits")
        classic = _optional(data.get("landmarks68"), 136)
        measures = data["measures"]
        if not isinstance(measures, dict) or len(measures) > 50:
            raise ValueError("measures are no short list of names and numbers")
        return cls(
            file=data["file"],
            outcome=data["fate"],
            judged=data["judged"],
            box=tuple(_numbers(data["box"], 4).tolist()),
            matrix=_numbers(data["matrix"], 6).reshape(2, 3),
            measures={str(name)[:60]: _number(value) for name, value in measures.items()},
            fingerprint=data["fingerprint"],
            landmarks=_numbers(data["landmarks"], 2 * POINTS).reshape(POINTS, 2).astype(np.float32),
            embedding=_optional(data.get("embedding"), 128),
            landmarks68=None if classic is None else classic.reshape(68, 2),
            **{name: _number(data[name]) for name in _NUMBERS},
        )


@dataclass
class Frame:
    """One frame, or one picture of a folder; the attributes are described in the module."""

    number: int
    source: int
    index: int
    time: float
    width: int
    height: int
    outcome: str
    faces: list[Face] = field(default_factory=list)

    def to_json(self) -> dict[str, Any]:
        # in the file an outcome is called fate
        data = {
            "fate" if one.name == "outcome" else one.name: getattr(self, one.name) for one in fields(self)
        }
        return {**data, "time": round(self.time, 6), "faces": [face.to_json() for face in self.faces]}

    @classmethod
    def from_json(cls, data: Any) -> Frame:
        """Parse and check. ValueError, KeyError or TypeError where something is wrong."""
        if data["fate"] not in FRAME_OUTCOMES:
            raise ValueError(f"frame fate {str(data['fate'])[:40]!r} is none of {', '.join(FRAME_OUTCOMES)}")
        if len(data["faces"]) > MAX_FACES_PER_FRAME:
            raise ValueError(f"{len(data['faces'])} faces in one frame")
        whole = {name: _whole(data[name]) for name in ("number", "source", "index", "width", "height")}
        faces = [Face.from_json(one) for one in data["faces"]]
        return cls(**whole, time=_number(data["time"]), outcome=data["fate"], faces=faces)


@dataclass
class Alignments:
    """Everything that is known about an extraction."""

    size: int
    sources: list[dict[str, Any]]
    consent: dict[str, Any]
    settings: dict[str, Any]
    frames: list[Frame] = field(default_factory=list)

    def faces(self, *, kept: bool = True) -> list[tuple[Frame, Face]]:
        """Faces with their frames in order of time; only those that are kept, or all."""
        return [
            (frame, face) for frame in self.frames for face in frame.faces if face.outcome == KEEP or not kept
        ]

    def counts(self) -> dict[str, int]:
        """Outcome to number: of faces, and of frames without any."""
        outcomes = Counter(face.outcome for _, face in self.faces(kept=False))
        outcomes.update(frame.outcome for frame in self.frames if frame.outcome != "faces")
        order = (*OUTCOMES, *FRAME_OUTCOMES)
        return {outcome: outcomes[outcome] for outcome in order if outcomes[outcome]}

    def to_bytes(self) -> bytes:
        """JSON with one line for each frame, so that a text editor shows and changes it well."""
        head = {
            "schema": SCHEMA,
            "size": self.size,
            "sources": self.sources,
            "consent": self.consent,
            "settings": self.settings,
            "counts": self.counts(),
        }
        lines = [json.dumps(head, ensure_ascii=False, indent=1)[:-2], ",\n ", '"frames": [\n']
        rows = [json.dumps(frame.to_json(), ensure_ascii=False, allow_nan=False) for frame in self.frames]
        return "".join([*lines, ",\n".join(rows), "\n]}\n"]).encode()

    def save(self, folder: Path) -> None:
        """Write ``alignments.json`` into ``folder``, whole or not at all."""
        write_bytes(folder / FILE_NAME, self.to_bytes())

    @classmethod
    def load(cls, path: Path) -> Alignments:
        """Read a folder's ``alignments.json``, or a file of that form.

        Raises:
            MissingPathError: there is none.
            MediaTooLargeError: over the limit on bytes.
            CorruptMediaError: it is not of the documented form; the message says where.
        """
        file = path / FILE_NAME if path.is_dir() else path
        try:
            size = file.stat().st_size
            if size > MAX_BYTES:
                raise MediaTooLargeError(f"{file} has {size} bytes, over the limit of {MAX_BYTES}")
            data = json.loads(file.read_bytes())
        except FileNotFoundError:
            raise MissingPathError(
                f"{file} does not exist", hint="make a set of faces with `veilmark synth extract`"
            ) from None
        except (OSError, ValueError, RecursionError) as error:
            raise _malformed(file, error) from error
        return cls.from_json(data, shown=str(file))

    @classmethod
    def from_json(cls, data: Any, *, shown: str = "the alignments") -> Alignments:
        """Parse and check; CorruptMediaError says what is wrong and in which frame."""
        number: object = "the head"
        try:
            if data["schema"] != SCHEMA:
                raise ValueError(f"the schema is {str(data['schema'])[:60]!r}, expected {SCHEMA!r}")
            size = _whole(data["size"])
            if not SMALLEST_SIZE <= size <= LARGEST_SIZE:
                raise ValueError(f"size {size} is not between {SMALLEST_SIZE} and {LARGEST_SIZE}")
            rows, sources = data["frames"], data["sources"]
            if not isinstance(rows, list) or len(rows) > MAX_FRAMES or not isinstance(sources, list):
                raise ValueError("frames or sources are no list of bearable length")
            if not all(isinstance(one, dict) for one in (*sources, data["consent"], data["settings"])):
                raise ValueError("sources, consent or settings are no objects")
            frames = []
            for place, row in enumerate(rows):
                number = f"frame {place}"
                frames.append(Frame.from_json(row))
            number = "the list of frames"
            names = [face.file for frame in frames for face in frame.faces]
            if len(set(names)) != len(names) or any(frame.source >= len(sources) for frame in frames):
                raise ValueError("two faces share a file, or a frame is of no source")
        except (ValueError, KeyError, TypeError, OverflowError) as error:
            raise _malformed(f"{shown}, {number}", error) from error
        return cls(size, sources, data["consent"], data["settings"], frames)


def _malformed(where: object, error: Exception) -> CorruptMediaError:
    said = f"{error} is missing" if isinstance(error, KeyError) else str(error)
    return CorruptMediaError(f"{where}: {said[:300]}", hint="undo the edit, or extract again with --force")


def _number(value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise ValueError(f"{str(value)[:40]!r} is no number")
    return float(value)


def _whole(value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value < 1 << 40:
        raise ValueError(f"{str(value)[:40]!r} is no whole number")
    return value


def _optional(values: Any, count: int) -> NDArray[np.float32] | None:
    return None if values is None else _numbers(values, count).astype(np.float32)


def _numbers(values: Any, count: int) -> NDArray[np.float64]:
    if not isinstance(values, list) or len(values) != count:
        raise ValueError(f"found no list of {count} numbers")
    array = np.array(values, dtype=np.float64)
    if array.ndim != 1 or not np.isfinite(array).all() or np.abs(array).max(initial=0) > 1e7:
        raise ValueError("a list of numbers holds something else")
    return array

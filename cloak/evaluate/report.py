"""What a cloak achieved, measured on the decoded file."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from cloak.evaluate.cleaning import cleaning_line
from cloak.evaluate.quality import Quality

SCHEMA = "veilmark.cloak-report/2"
#: How conditions are called in words.
CONDITION_NAMES = {
    "published": "as published",
    "jpeg75": "after JPEG quality 75",
    "half": "at half size",
}


@dataclass(frozen=True)
class FaceReport:
    """One face of the picture.

    Attributes:
        box: ``x1 y1 x2 y2`` in pixels of the picture.
        number: by which ``--faces`` chooses it; None for a report that is not believed to be a face.
        chosen: it was among those to hide.
        found_before: names of the detectors that report it in the uncloaked picture.
        found_by: by condition (``published``, ``jpeg75``, ``half``), names of the detectors that still report it in
            the cloaked file; empty for a face that was not chosen.
        quality: the crop around the face, cloaked against uncloaked in the same encoding.
        dislike: how much of the change looks like a fault, see :mod:`cloak.veils.visibility`; 1 is what an attentive
            person begins to see. None for a face that was left as it is.
    """

    box: tuple[float, float, float, float]
    number: int | None
    chosen: bool
    found_before: tuple[str, ...]
    found_by: dict[str, tuple[str, ...]]
    quality: Quality
    dislike: float | None = None

    @property
    def hidden(self) -> bool:
        """It was chosen, and no detector that was asked reports it in the file as published."""
        return self.chosen and not self.found_by["published"]

    def to_json(self) -> dict[str, Any]:
        return {
            "box": [round(side, 1) for side in self.box],
            "number": self.number,
            "chosen": self.chosen,
            "hidden": self.hidden,
            "found_before": list(self.found_before),
            "found_by": {condition: list(names) for condition, names in self.found_by.items()},
            "quality": self.quality.to_json(),
            "dislike": None if self.dislike is None else round(self.dislike, 3),
        }


@dataclass(frozen=True)
class DetectorReport:
    """What one detector sees.

    Attributes:
        name, family: of the detector.
        attacked: the cloak was made against it; otherwise it only judges.
        before: how many of the faces to hide it finds in the uncloaked picture.
        after: by condition (``published``, ``jpeg75``, ``half``), how many of those it still finds.
        elsewhere: how many reports it makes in the published file where it saw no face before.
        decoys: how many of the decoys that were placed it reports there.
        cleaned: by filter (``blur1``, ``blur2``, ``median3``), how many it finds in the published picture once somebody
            cleans it; empty where that was not asked.
        landmark_error: how far its landmarks of the faces that it still reports there lie from where it saw them
            before, in face sizes, on average; None where it reports none of them, or gives no landmarks.
    """

    name: str
    family: str
    attacked: bool
    before: int
    after: dict[str, int]
    elsewhere: int
    decoys: int = 0
    landmark_error: float | None = None
    cleaned: dict[str, int] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        return {
            "name": self.name,
            "family": self.family,
            "attacked": self.attacked,
            "before": self.before,
            "after": dict(self.after),
            "cleaned": dict(self.cleaned),
            "elsewhere": self.elsewhere,
            "decoys": self.decoys,
            "landmark_error": None if self.landmark_error is None else round(self.landmark_error, 4),
        }


@dataclass(frozen=True)
class RecognitionReport:
    """Whether an encoder of faces still takes each hidden face for itself.

    Attributes:
        encoder: "face-recognition" is dlib's; the others are those of :mod:`cloak.recognition.encoders`.
        attacked: the cloak was made against it; otherwise it only judges.
        distances: by condition, for each face to hide, how far its embedding lies from that of the uncloaked face;
            below ``threshold`` it is recognised.
        threshold: the distance below which the encoder takes two faces for one person's.
    """

    encoder: str
    attacked: bool
    distances: dict[str, tuple[float, ...]]
    threshold: float

    def recognised(self, condition: str) -> int:
        """How many of the hidden faces are recognised."""
        return sum(distance < self.threshold for distance in self.distances[condition])

    def to_json(self) -> dict[str, Any]:
        return {
            "encoder": self.encoder,
            "attacked": self.attacked,
            "threshold": self.threshold,
            "distances": {name: [round(one, 4) for one in values] for name, values in self.distances.items()},
        }

    def line(self) -> str:
        """For a person."""
        role = "attacked" if self.attacked else "not attacked, only judging"
        total = len(self.distances["published"])
        after = ", ".join(
            f"{self.recognised(name)} {CONDITION_NAMES.get(name, name)}" for name in self.distances
        )
        least = min(self.distances["published"], default=0.0)
        return (
            f"{self.encoder} ({role}): given the place of the face, recognises of {total} {after}; smallest "
            f"distance {least:.3g} of {self.threshold}"
        )


@dataclass(frozen=True)
class CloakReport:
    """The result of cloaking one picture.

    Attributes:
        strength, levels: chosen strength and its L-infinity budget in levels of 255.
        attack: what searched the noise.
        veil: what the cloak looks like.
        seed, device, versions: what makes it repeatable.
        steps, seconds: how much work it was.
        size: width and height of the picture.
        judged_at: width and height of the picture that detectors were shown.
        format, encoder_quality, lossless: how the file is encoded.
        largest_noise: largest change of a channel before encoding, in levels of 255.
        quality: the whole picture, cloaked against uncloaked in the same encoding.
        faces: every face that a detector found, largest first.
        detectors: every detector that was asked.
        advice: by whom faces are still found as published, and what would help; empty where none is.
        notes: what else a person should know.
        recognition: what encoders of faces make of the hidden faces, one entry an encoder whose weights are installed.
        decoys_asked, decoys_placed: how many decoys were asked for, and for how many there was room.
        shrunk_from: width and height of the picture before it was made smaller; None where it was not. A note says it.
    """

    strength: str
    levels: int
    attack: str
    veil: str
    seed: int
    device: str
    versions: dict[str, str]
    steps: int
    seconds: float
    size: tuple[int, int]
    judged_at: tuple[int, int]
    format: str
    encoder_quality: int | None
    lossless: bool
    largest_noise: int
    quality: Quality
    faces: tuple[FaceReport, ...]
    detectors: tuple[DetectorReport, ...]
    notes: tuple[str, ...] = field(default=())
    recognition: tuple[RecognitionReport, ...] = ()
    decoys_asked: int = 0
    decoys_placed: int = 0
    advice: str = ""
    shrunk_from: tuple[int, int] | None = None

    @property
    def success(self) -> bool:
        """No attacked detector finds a face to hide in the file as published, and no attacked encoder recognises it."""
        return not (
            any(one.after["published"] for one in self.detectors if one.attacked)
            or any(one.recognised("published") for one in self.recognition if one.attacked)
        )

    @property
    def face_quality(self) -> Quality:
        """Of the chosen face whose crop suffered most."""
        return min((face.quality for face in self.faces if face.chosen), key=lambda quality: quality.psnr)

    def to_json(self) -> dict[str, Any]:
        """Plain values, as documented by the attributes."""
        return {
            "schema": SCHEMA,
            "success": self.success,
            "strength": self.strength,
            "levels": self.levels,
            "attack": self.attack,
            "veil": self.veil,
            "seed": self.seed,
            "device": self.device,
            "versions": dict(self.versions),
            "steps": self.steps,
            "seconds": round(self.seconds, 2),
            "size": list(self.size),
            "judged_at": list(self.judged_at),
            "format": self.format,
            "encoder_quality": self.encoder_quality,
            "lossless": self.lossless,
            "largest_noise": self.largest_noise,
            "quality": self.quality.to_json(),
            "faces": [face.to_json() for face in self.faces],
            "detectors": [one.to_json() for one in self.detectors],
            "advice": self.advice,
            "notes": list(self.notes),
            "recognition": [encoder.to_json() for encoder in self.recognition],
            "decoys_asked": self.decoys_asked,
            "decoys_placed": self.decoys_placed,
        }

    def lines(self) -> list[str]:
        """The result for a person, one fact a line, limits included."""
        face, chosen = self.face_quality, sum(one.chosen for one in self.faces)
        spared = len(self.faces) - chosen
        more = f" ({spared} more reported and left alone)" if spared else ""
        lines = [f"{chosen} face{'s' * (chosen != 1)} to hide{more}"]
        for one in self.detectors:
            role = "attacked" if one.attacked else "not attacked, only judging"
            after = ", ".join(
                f"{count} {CONDITION_NAMES.get(name, name)}" for name, count in one.after.items()
            )
            lines.append(f"{one.name} ({role}): found {one.before} before; finds {after}")
        if cleaned := {one.name: one.cleaned for one in self.detectors if one.cleaned}:
            lines.append(cleaning_line(cleaned, {one.name: one.before for one in self.detectors}))
        lines.extend(encoder.line() for encoder in self.recognition)
        if self.decoys_asked:
            lines.append(self._decoy_line())
        if moved := [one for one in self.detectors if one.landmark_error is not None]:
            errors = ", ".join(f"{one.name} {one.landmark_error:.3f}" for one in moved)
            lines.append(f"landmarks of faces that are still found have moved, in face sizes: {errors}")
        lines.append(
            f"face crop: PSNR {face.psnr:.1f} dB, SSIM {face.ssim:.3f}; picture: PSNR {self.quality.psnr:.1f} "
            f"dB; 99.9 % of all values changed by at most {self.quality.p999:.0f} of 255"
        )
        lines.append(f"visible on the worst face (veil {self.veil}): " + self._visible())
        if self.advice:
            lines.append(self.advice)
        lines.extend(self.notes)
        lines.append(
            "Detectors that were not asked may still find the face, and so may these once the noise is filtered or "
            "they are trained on it; and a person can still mark the face by hand."
        )
        return lines

    def _visible(self) -> str:
        chosen = [face for face in self.faces if face.chosen]
        seen = [face.quality.flip for face in chosen if face.quality.flip is not None]
        disliked = [face.dislike for face in chosen if face.dislike is not None]
        flip = f"FLIP {max(seen):.3f}" if seen else "FLIP unknown, flip-evaluator is not installed"
        return flip + (f", dislike {max(disliked):.1f}" if disliked else "")

    def _decoy_line(self) -> str:
        seen = ", ".join(f"{one.name} {one.decoys}" for one in self.detectors)
        return f"decoys: room for {self.decoys_placed} of {self.decoys_asked}; reported by {seen}"

"""What the cloak of a video achieved, measured on the decoded file."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from cloak.evaluate.report import CONDITION_NAMES
from cloak.strength import Strength
from cloak.veils.names import VeilName
from cloak.veils.visibility import CEILINGS

#: A CRF that leaves most of a cloak.
_GOOD_CRF = 18
#: A veil that shows this share of what its strength allows has used it up.
_NEARLY = 0.9
SCHEMA = "veilmark.cloak-video-report/2"


@dataclass(frozen=True)
class VideoDetectorReport:
    """What one detector sees in the judged frames.

    Attributes:
        name, family: of the detector.
        attacked: the cloak was made against it; otherwise it only judges.
        before: how many faces it finds in the uncloaked video in the same encoding, all judged frames together.
        after: by condition, how many of those it still finds in the cloaked video.
        control: how many of those it finds when noise of equal energy, moving alike, was not searched for; None where
            that was not asked for.
        elsewhere: how many reports it makes in the cloaked video, all judged frames together, where it made none
            without a cloak; a decoy that is seen is one of them.
        decoys: how many decoys it sees in the cloaked video, all judged frames together.
        landmark_shift: of faces that it still finds, how far their landmarks moved on average, in face sizes; None
            where there are none.
        landmark_control: the same with the other noise.
    """

    name: str
    family: str
    attacked: bool
    before: int
    after: dict[str, int]
    control: int | None
    elsewhere: int = 0
    decoys: int = 0
    landmark_shift: float | None = None
    landmark_control: float | None = None

    def to_json(self) -> dict[str, Any]:
        return {
            "name": self.name,
            "family": self.family,
            "attacked": self.attacked,
            "before": self.before,
            "after": dict(self.after),
            "control": self.control,
            "elsewhere": self.elsewhere,
            "decoys": self.decoys,
            "landmarks": {
                "cloaked": _rounded(self.landmark_shift),
                "control": _rounded(self.landmark_control),
            },
        }


@dataclass(frozen=True)
class VideoRecognitionReport:
    """Whether an encoder of faces takes each face for the same as in the same frame without a cloak.

    Attributes:
        encoder: "face-recognition" is dlib's; the others are those of :mod:`cloak.recognition.encoders`.
        attacked: the cloak was made against it; otherwise it only judges.
        shown: how many faces it was shown, all judged frames together.
        recognised: by condition, how many of them it recognises.
        control: how many with other noise of equal energy; None where that was not asked for.
        distance: mean distance of the embeddings as published.
        threshold: the distance below which it takes two faces for one person's.
    """

    encoder: str
    attacked: bool
    shown: int
    recognised: dict[str, int]
    control: int | None
    distance: float
    threshold: float

    def to_json(self) -> dict[str, Any]:
        return {
            "encoder": self.encoder,
            "attacked": self.attacked,
            "shown": self.shown,
            "recognised": dict(self.recognised),
            "control": self.control,
            "distance": round(self.distance, 4),
            "threshold": self.threshold,
        }

    def line(self) -> str:
        """For a person."""
        role = "attacked" if self.attacked else "not attacked, only judging"
        after = ", ".join(
            f"{count} {CONDITION_NAMES.get(name, name)}" for name, count in self.recognised.items()
        )
        control = "" if self.control is None else f"; {self.control} with other noise of equal energy"
        return (
            f"{self.encoder} ({role}): given the place of the face, recognises of {self.shown} {after}{control}; "
            f"mean distance {self.distance:.3g} of {self.threshold}"
        )


@dataclass(frozen=True)
class VideoReport:
    """The result of cloaking one video.

    Attributes:
        strength, levels: chosen strength and, for plain noise, its L-infinity budget in levels of 255.
        veil: what the cloak looks like.
        seed, device, versions: what makes it repeatable.
        size: width and height as shown.
        frames, duration, shots: of the video; the duration in seconds.
        faces: faces that were hidden, each counted once in every shot.
        decoys: places where a face was raised, each counted once for as long as it lasts.
        decoys_shown: decoys in the judged frames, all together.
        windows: stretches of frames that share one noise.
        carried: windows whose noise is that of the window before, because it still hid the face.
        steps: of all searches.
        rounds: how often the encoded video was judged.
        resumed: an interrupted run was continued.
        seconds: how long this run took.
        crf, preset, layout: of the H.264 encoder.
        largest_noise: largest change of a channel before encoding, in levels of 255.
        judged: how many frames were shown to the detectors.
        judged_at: width and height at which they were shown.
        face_psnr, face_ssim: mean over the judged frames, the crops around the faces, cloaked against uncloaked in the
            same encoding.
        face_flip, worst_flip: FLIP of the same crops, on average and where it is largest.
        flip_before: the largest FLIP of a face before encoding.
        dislike: of the crop where it is largest, see :mod:`cloak.veils.visibility`.
        noise, flicker: before encoding, how large the noise on faces is on average, and how much of it changes from
            frame to frame besides moving along, in levels of 255.
        flicker_after: the same change in the decoded video, the encoder's own included.
        flicker_original: what changes on the same faces in the decoded video without a cloak.
        bytes_plain, bytes_cloaked: size of the encoded picture track's file, without and with noise.
        detectors: every detector that was asked.
        notes: what else a person should know.
        recognition: what encoders of faces make of the hidden faces, one entry an encoder whose weights are installed.
        landmarks_displaced: that was asked for.
    """

    strength: str
    veil: str
    levels: int
    seed: int
    device: str
    versions: dict[str, str]
    size: tuple[int, int]
    frames: int
    duration: float
    shots: int
    faces: int
    windows: int
    carried: int
    steps: int
    rounds: int
    resumed: bool
    seconds: float
    crf: int
    preset: str
    layout: str
    largest_noise: int
    judged: int
    judged_at: tuple[int, int]
    face_psnr: float
    face_ssim: float
    face_flip: float
    worst_flip: float
    flip_before: float
    dislike: float
    noise: float
    flicker: float
    flicker_after: float
    flicker_original: float
    bytes_plain: int
    bytes_cloaked: int
    detectors: tuple[VideoDetectorReport, ...]
    notes: tuple[str, ...] = field(default=())
    decoys: int = 0
    decoys_shown: int = 0
    recognition: tuple[VideoRecognitionReport, ...] = ()
    landmarks_displaced: bool = False

    @property
    def success(self) -> bool:
        """No attacked detector finds a face in any judged frame of the file as published, nor does face recognition
        recognise one where that was attacked.
        """
        recognised = any(one.attacked and one.recognised.get("published", 0) for one in self.recognition)
        return not recognised and not any(one.after["published"] for one in self.detectors if one.attacked)

    @property
    def advice(self) -> str:
        """By whom faces are still found as published, and what may help; empty where nobody attacked finds one."""
        if self.success:
            return ""
        finding = [
            f"{one.name} {one.after['published']} times"
            for one in self.detectors
            if one.attacked and one.after["published"]
        ]
        finding.extend(
            f"{one.encoder} (which recognises it) {one.recognised['published']} times"
            for one in self.recognition
            if one.attacked and one.recognised.get("published", 0)
        )
        return f"still found in the judged frames by {', '.join(finding)}. What may help: {'; '.join(self._help())}."

    def _help(self) -> list[str]:
        """What may help, as far as it was measured."""
        result = ["more --steps"]
        if self.strength != "high" and self.is_used_up:
            result.append("a larger --strength, for what this one allows is used up")
        if self.crf > _GOOD_CRF:
            result.append(f"--crf {_GOOD_CRF}, for stronger compression takes part of the cloak away")
        published = [one for one in self.detectors if one.attacked and one.after["published"]]
        if published and not any(one.after["half"] for one in published):
            result.append("to publish it at half size, where none of these finds a face")
        return result

    @property
    def is_used_up(self) -> bool:
        """The search used what the strength allows; of plain noise that is not known."""
        look = VeilName(self.veil)
        return look is VeilName.NOISE or self.flip_before >= _NEARLY * CEILINGS[Strength(self.strength)].face

    def to_json(self) -> dict[str, Any]:
        """Plain values, as documented by the attributes."""
        return {
            "schema": SCHEMA,
            "success": self.success,
            "strength": self.strength,
            "veil": self.veil,
            "levels": self.levels,
            "seed": self.seed,
            "device": self.device,
            "versions": dict(self.versions),
            "size": list(self.size),
            "frames": self.frames,
            "duration": round(self.duration, 3),
            "shots": self.shots,
            "faces": self.faces,
            "decoys": {"placed": self.decoys, "shown": self.decoys_shown},
            "windows": self.windows,
            "carried": self.carried,
            "steps": self.steps,
            "rounds": self.rounds,
            "resumed": self.resumed,
            "seconds": round(self.seconds, 2),
            "encoder": {"codec": "h264", "crf": self.crf, "preset": self.preset, "layout": self.layout},
            "largest_noise": self.largest_noise,
            "judged": self.judged,
            "judged_at": list(self.judged_at),
            "quality": {
                "face_psnr": round(self.face_psnr, 2),
                "face_ssim": round(self.face_ssim, 4),
                "face_flip": round(self.face_flip, 4),
                "worst_flip": round(self.worst_flip, 4),
                "flip_before_encoding": round(self.flip_before, 4),
                "dislike": round(self.dislike, 3),
            },
            "flicker": {
                "noise": round(self.noise, 3),
                "before_encoding": round(self.flicker, 3),
                "decoded": round(self.flicker_after, 3),
                "original": round(self.flicker_original, 3),
            },
            "bytes": {"plain": self.bytes_plain, "cloaked": self.bytes_cloaked},
            "detectors": [one.to_json() for one in self.detectors],
            "landmarks_displaced": self.landmarks_displaced,
            "recognition": [one.to_json() for one in self.recognition],
            "notes": list(self.notes),
        }

    def lines(self) -> list[str]:
        """The result for a person, one fact a line, limits included."""
        lines = [
            f"{self.faces} face{'s' * (self.faces != 1)} to hide in {self.frames} frames, {self.shots} "
            f"shot{'s' * (self.shots != 1)}; noise searched {self.windows - self.carried} times, carried on "
            f"{self.carried} times; {self.judged} frames judged"
        ]
        for one in self.detectors:
            role = "attacked" if one.attacked else "not attacked, only judging"
            after = ", ".join(
                f"{count} {CONDITION_NAMES.get(name, name)}" for name, count in one.after.items()
            )
            control = "" if one.control is None else f"; {one.control} with other noise of equal energy"
            raised = f"; sees {one.decoys} of {self.decoys_shown} decoys" if self.decoys_shown else ""
            lines.append(f"{one.name} ({role}): finds {one.before} uncloaked; {after}{control}{raised}")
        if self.landmarks_displaced:
            lines.extend(_landmark_lines(self.detectors))
        lines.extend(one.line() for one in self.recognition)
        lines.append(
            f"faces: PSNR {self.face_psnr:.1f} dB, SSIM {self.face_ssim:.3f}; noise of {self.noise:.1f} levels on "
            f"average, of which {self.flicker:.1f} flickers (the film itself: {self.flicker_original:.1f}); "
            f"H.264 at CRF {self.crf}, {self.bytes_cloaked / max(1, self.bytes_plain):.2f} times the size without noise"
        )
        lines.append(
            f"visible (veil {self.veil}): FLIP {self.face_flip:.3f} on average, {self.worst_flip:.3f} on the worst "
            f"face; dislike at most {self.dislike:.1f}"
        )
        lines.extend(self.notes)
        lines.append(
            "Detectors that were not asked may still find a face, and so may these in other frames, once the noise is "
            "filtered, or once they are trained on it; and a person can still mark the face by hand."
        )
        return lines


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 4)


def _landmark_lines(detectors: Sequence[VideoDetectorReport]) -> list[str]:
    lines = []
    for one in detectors:
        if one.landmark_shift is not None:
            control = one.landmark_control
            beside = "" if control is None else f", {100 * control:.1f} % with other noise of equal energy"
            lines.append(
                f"{one.name}: landmarks of faces that it still finds are off by {100 * one.landmark_shift:.1f} % of "
                f"the face{beside}"
            )
    return lines or ["landmarks: no detector that has any still finds a face in the judged frames"]

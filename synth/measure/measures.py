"""What is measured of a generator, how the two kinds of experiment are designed, and what they do not show."""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import StrEnum


@dataclass(frozen=True)
class Measure:
    """What is measured of a generator.

    Attributes:
        name: for a person.
        better: +1 where more is good for the attacker, -1 where less is.
        digits: after the point.
        about: how to read it.
        bounds: of its values, and so of an interval.
    """

    name: str
    better: int
    digits: int
    about: str
    bounds: tuple[float, float] = (-math.inf, math.inf)


MEASURES: dict[str, Measure] = {
    "rebuilt ssim": Measure(
        "SSIM of rebuilt faces", 1, 3, "clean held-out faces of the person, by their own decoder", (-1, 1)
    ),
    "rebuilt psnr": Measure("PSNR of rebuilt faces, dB", 1, 2, "the same"),
    "rebuilt feature": Measure(
        "feature distance of rebuilt faces", -1, 3, "relative, a face network's; 0: equal"
    ),
    "rebuilt sharpness": Measure("fine detail of rebuilt faces", 1, 3, "share of the photographs' own"),
    "swapped identity": Measure(
        "distance from the person", -1, 3, "of faces in the fake; dlib: one person below 0.6"
    ),
    "swapped taken for the person": Measure(
        "nearer to the person than to the target", 1, 2, "share of faces", (0, 1)
    ),
    "swapped landmarks": Measure(
        "landmark distance from the filmed face", -1, 4, "in distances between the eyes"
    ),
    "swapped found": Measure("faces found in the fake", 1, 2, "share of frames", (0, 1)),
    "flicker": Measure("flicker added by the fake", -1, 2, "levels of 255"),
    "lips error": Measure(
        "error of the mouth", -1, 4, "mean distance of its points, in distances between the eyes"
    ),
    "lips opening": Measure(
        "how the mouth's opening follows", 1, 3, "correlation with the filmed one", (-1, 1)
    ),
    "lips lag": Measure(
        "how late or early the mouth is, ms",
        -1,
        0,
        "where its points agree best with the filmed",
        (0, math.inf),
    ),
    "mouth ssim": Measure("SSIM of the mouth's region", 1, 3, "against the filmed frame", (-1, 1)),
    "mouth psnr": Measure("PSNR of the mouth's region, dB", 1, 2, "the same"),
    "mouth flicker": Measure("flicker added in the mouth's region", -1, 2, "levels of 255"),
    "face feature": Measure(
        "feature distance of the face", -1, 3, "relative, a face network's; 0: as filmed"
    ),
    "face identity": Measure(
        "distance from the person", -1, 3, "of faces in the fake; dlib: one person below 0.6"
    ),
}


class ExperimentKind(StrEnum):
    """Which generator an experiment is about."""

    SWAP = "swap"
    LIPSYNC = "lipsync"

    @property
    def design(self) -> Design:
        return DESIGNS[self]


@dataclass(frozen=True)
class Design:
    """How a kind of experiment is repeated, tested and described.

    Attributes:
        title: of the report.
        primary: the measure that was chosen beforehand to sum up with.
        achieves: what the generator does, before the measure's value.
        shown: the title above generated pictures.
        repeat: a repetition in words, with a place for its number.
        over: what means are over.
        test: what is repeated, and how a difference is tested.
        jackknife: a repetition leaves out a part of the data, instead of drawing another seed.
        real: which real footage fake detectors are asked about.
        counts_decoys: tables of faces say in how many frames detectors report only what is no face.
        limits: what was not shown.
    """

    title: str
    primary: str
    achieves: str
    shown: str
    repeat: str
    over: str
    test: str
    jackknife: bool
    real: str
    counts_decoys: bool
    limits: tuple[str, ...]


#: Of every kind.
LIMITS = (
    "The cloak was made by somebody who knew which detectors it would meet; only attackers called other use another.",
    "No learned denoiser was tried; assume that it does at least as well as the cleaning shown.",
    "The fake detectors' own weights were learned from real footage of 13 people, among them model1 and model2 "
    "of this project's own measurements: where these are measured, the scores are of people they have seen.",
)
DESIGNS = {
    ExperimentKind.SWAP: Design(
        title="What a cloak does to a face swapper",
        primary="rebuilt ssim",
        achieves="rebuilds clean held-out faces with an SSIM of",
        shown="The target with the person's face",
        repeat="seed {}",
        over="seeds",
        test="Pairs of equal seeds ({count}); sign-flip test",
        jackknife=False,
        real="The target's real clip",
        counts_decoys=False,
        limits=(
            "One person, one target, one generator: nothing here says how other people's footage or other generators "
            "fare.",
            "A generator that trains longer, or starts from a face prior, may learn past what is shown.",
            "Frames of one clip are alike, so nothing is tested over frames; tests are over seeds of the generator "
            "alone, and say nothing about other footage.",
        ),
    ),
    ExperimentKind.LIPSYNC: Design(
        title="What a cloak does to a lip-sync",
        primary="lips error",
        achieves="follows held-out speech with an error of the mouth, in distances between the eyes, of",
        shown="The held-out speech, said again",
        repeat="without part {}",
        over="parts left out",
        test="Pairs without the same part of the footage ({count}); jackknife, Student's t",
        jackknife=True,
        real="The held-out frames as filmed",
        counts_decoys=True,
        limits=(
            "One person, one clip, one generator: nothing here says how other people's footage or other generators "
            "fare. The intervals are about other seconds of the same clip, nothing else.",
            "The generator refuses footage that shows a face in fewer than half of its frames; the report then says "
            "that there is none. Somebody who cuts out the frames in which a face is found gets further.",
            "The mouth begins with what a machine's voice taught and needs little footage; a larger generator that "
            "other people's footage taught may need none.",
            "The held-out frames show the person clean, as footage that was published before it was cloaked does.",
        ),
    ),
}

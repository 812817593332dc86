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
    "swapped identity": Measure(
        "distance from the person",
        -1,
        3,
        "of faces in the fake, by the network that only judges",
        (0, math.inf),
    ),
    "swapped taken for the person": Measure(
        "nearer to the person than to the target",
        1,
        2,
        "share of faces, by the network that only judges",
        (0, 1),
    ),
    "swapped found": Measure("usable faces in the fake", 1, 2, "share of frames with a face", (0, 1)),
    "swapped dlib": Measure(
        "distance from the person, dlib", -1, 3, "of faces in the fake; one person below 0.6", (0, math.inf)
    ),
    "rebuilt flip": Measure(
        "perceptual distance of rebuilt faces",
        -1,
        3,
        "FLIP of clean held-out faces of the person; 0: equal",
        (0, 1),
    ),
    "rebuilt feature": Measure(
        "feature distance of rebuilt faces", -1, 3, "relative, a face network's; 0: equal"
    ),
    "rebuilt ssim": Measure(
        "SSIM of rebuilt faces",
        1,
        3,
        "after registration: a face that lies a pixel aside is no worse",
        (-1, 1),
    ),
    "rebuilt psnr": Measure("PSNR of rebuilt faces, dB", 1, 2, "the same faces, as they lie"),
    "rebuilt sharpness": Measure("fine detail of rebuilt faces", 1, 3, "share of the photographs' own"),
    "swapped landmarks": Measure(
        "landmark distance from the filmed face", -1, 4, "in distances between the eyes"
    ),
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

#: In a cell of the one-shot attacker's clean data, beside its measures: share of faces nearer to the target where the
#: picture is the target's own.
OWN_PICTURE = "own picture kept"


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
        margin: of the primary measure; an effect whose whole interval lies within it counts as none.
        fake: what the generator makes, in a word.
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
    margin: float
    fake: str
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
    "Whoever makes a fake is free to choose a detector; each table of faces names what the cloak left out.",
    "The fake detectors' own weights were learned from real footage of 13 people, among them model1 and model2 "
    "of this project's own measurements: where these are measured, the scores are of people they have seen.",
)
DESIGNS = {
    ExperimentKind.SWAP: Design(
        title="What a cloak does to a face swapper",
        primary="swapped identity",
        margin=0.05,
        fake="fake",
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
            "An attacker with a one-shot generator needs a single picture that shows the face clean, taken before or "
            "by others; nothing that is done to later footage reaches them.",
            "A generator that trains longer, or starts from a face prior, may learn past what is shown.",
            "Frames of one clip are alike, so nothing is tested over frames; tests are over seeds of the generator "
            "alone, and say nothing about other footage.",
        ),
    ),
    ExperimentKind.LIPSYNC: Design(
        title="What a cloak does to a lip-sync",
        primary="lips error",
        margin=0.01,
        fake="lip-sync",
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

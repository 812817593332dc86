"""What is measured of a generator, and what a measurement of its kind does not show."""

from __future__ import annotations

import math
from dataclasses import dataclass


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
}


@dataclass(frozen=True)
class Words:
    """What a kind of measurement is called; ``primary`` is the measure that was chosen to sum up with."""

    title: str
    primary: str
    achieves: str
    limits: tuple[str, ...]


#: Of every kind.
LIMITS = (
    "The cloak was made by somebody who knew which detectors it would meet; only attackers called other use another.",
    "No learned denoiser was tried; assume that it does at least as well as the cleaning shown.",
    "Frames of one clip are alike, so nothing is tested over frames; tests are over seeds of the generator alone, and "
    "say nothing about other footage.",
)
#: Names of fake detectors' scores begin with it.
PREFIX = "fake: "
KINDS = {
    "swap": Words(
        "What a cloak does to a face swapper",
        "rebuilt ssim",
        "rebuilds clean held-out faces with an SSIM of",
        (
            "One person, one target, one generator: nothing here says how other people's footage or other generators "
            "fare.",
            "A generator that trains longer, or starts from a face prior, may learn past what is shown.",
            "The fake detectors' own weights were learned from real footage of 13 people, among them model1 and model2 "
            "of this project's own measurements: where these are measured, the scores are of people they have seen.",
        ),
    ),
    "lipsync": Words(
        "What a cloak does to a lip-sync",
        "lips error",
        "follows held-out speech with an error of the mouth, in distances between the eyes, of",
        (
            "One person and one network: nothing here says how other people's footage or other generators fare.",
            "Only the shape of the mouth was measured, not the picture that is made of it, nor how easy it is to "
            "detect.",
            "A network that has learned from other speakers before needs little of the person's own footage.",
        ),
    ),
}

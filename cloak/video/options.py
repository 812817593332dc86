"""What a person can choose about the cloak of a video, besides :class:`cloak.options.CloakOptions`."""

from __future__ import annotations

from dataclasses import dataclass

from cloak.options import CloakOptions
from provenance.errors import UsageError

PRESETS = ("ultrafast", "superfast", "veryfast", "faster", "fast", "medium", "slow", "slower", "veryslow")


@dataclass(frozen=True)
class VideoOptions:
    """Choices for one video.

    Attributes:
        crf: constant rate factor of the H.264 encoder; 18 is close to the source, 28 is small and coarse.
        preset: of the encoder, how long it looks for a smaller file.
        window: noise is carried for at most so many frames before it is searched anew.
        detection_rate: how many frames a second are shown to the detectors, to find faces and to judge the result.
        control: also encode and judge noise of equal energy that was not searched for, as a control.
    """

    crf: int = 20
    preset: str = "medium"
    window: int = 25
    detection_rate: float = 5.0
    control: bool = True

    def __post_init__(self) -> None:
        if not 0 <= self.crf <= 40:
            raise UsageError(f"a CRF lies between 0 and 40, not {self.crf}", hint="18 to 28 is usual")
        if self.preset not in PRESETS:
            raise UsageError(f"unknown preset {self.preset!r}", hint=f"choose one of {', '.join(PRESETS)}")
        if not 1 <= self.window <= 250:
            raise UsageError(f"a window has 1 to 250 frames, not {self.window}")
        if not 0.2 <= self.detection_rate <= 60:
            raise UsageError(f"between 0.2 and 60 looks a second, not {self.detection_rate}")


def check_picture_options(options: CloakOptions) -> None:
    """Refuse what cloaks of pictures can do and cloaks of videos cannot.

    Raises:
        UsageError: chosen faces, another attack, a bound on the written file, a picture's format or quality.
    """
    for asked, what, hint in (
        (
            options.faces is not None,
            "a choice of faces",
            "leave out --faces: a face is counted anew in every shot, so all are hidden",
        ),
        (
            options.torchattack is not None,
            "torchattacks",
            "leave out --attack: its attacks search one picture, not noise that moves along",
        ),
        (
            options.strict,
            "a bound on the written file",
            "leave out --strict: a video's bound is of the noise",
        ),
        (options.smooth > 0, "smoothed noise", "leave out --smooth"),
        (options.restarts > 0, "restarts", "leave out --restarts"),
        (options.format is not None, "a picture's format", "the output's suffix names a video's container"),
        (options.longest is not None, "a smaller size", "leave out --longest"),
        (options.quality is not None, "a picture's quality", "a video's quality is its --crf"),
    ):
        if asked:
            raise UsageError(f"{what} cannot be had for videos", hint=hint)

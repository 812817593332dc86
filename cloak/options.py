"""What a person can choose about a cloak."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from cloak.strength import Strength
from cloak.veils.names import VeilName
from provenance.errors import UsageError

_MOST_DECOYS = 12
#: Steps of a search that has to be fast.
_FAST_STEPS = 12
_MOST_BROUGHT = 8
#: What a picture may be made smaller to, in pixels of its longer side.
LEAST_SIDE, MOST_SIDE = 128, 30_000
#: Kinds of detectors that a person may bring: ``s3fd`` from a ``.pth``, the others from an ONNX file.
HEADS = ("scrfd", "yolov8-face", "yunet", "retinaface", "ultra-light", "centerface", "s3fd")


@dataclass(frozen=True)
class BroughtDetector:
    """A detector in a file: its path, and its head, one of :data:`HEADS`."""

    path: Path
    head: str

    def __post_init__(self) -> None:
        if self.head not in HEADS:
            raise UsageError(
                f"no head is called {self.head[:60]!r}", hint=f"choose one of {', '.join(HEADS)}"
            )


def brought(files: Sequence[Path], heads: Sequence[str]) -> tuple[BroughtDetector, ...]:
    """Files and heads, paired in order.

    Raises:
        UsageError: there are not as many of one as of the other, or a head is unknown.
    """
    if len(files) != len(heads):
        raise UsageError(
            f"{len(files)} --detector and {len(heads)} --head: each file needs its head",
            hint="for example --detector det_10g.onnx --head scrfd",
        )
    return tuple(BroughtDetector(path, head) for path, head in zip(files, heads, strict=True))


@dataclass(frozen=True)
class CloakOptions:
    """Choices for one cloak.

    Attributes:
        strength: how much visible change is accepted; its name will do.
        veil: what the cloak looks like: ``film``, ``film-bw``, ``light`` or ``noise``; None for film, and for noise
            where something is asked for that only noise can do (torchattacks, ``smooth``, ``strict``).
        detectors: names of the detectors to evade; None for every one that is installed.
        brought: detectors in files, which are attacked besides those.
        judges: names of further detectors that only judge the result; None for every one that is installed.
        weights: a folder with further detectors' weights.
        attack: ``ensemble`` (ours), or ``torchattacks:NAME``.
        steps: of the search, at most, for each start of each round; a veil takes two thirds of them.
        fast: one round of few steps against the quick detectors only, which ends once they miss the faces; it hides
            less, and from other detectors hardly at all.
        restarts: how often the first round starts again from other noise while a detector still finds a face.
        rounds: how many times the picture is searched, encoded and evaluated at most, while a face is found.
        decoys: number of decoy faces to raise.
        displace_landmarks: also move the landmarks that alignment uses, for detectors that still see a face.
        landmark_share: how far, in face sizes (mean side of the box).
        recognition: also attack face recognition, so that it does not match the face (needs its weights).
        faces: which faces to hide, counted from 0 by falling size; None for all.
        longest: make a picture smaller first, so that its longer side has at most so many pixels: what is published
            small is hidden best. None leaves it as it is.
        format: JPEG, PNG, WebP ...; None keeps the input's where it can be written.
        quality: of the encoder, 1 to 100; None keeps a file's, or is 95.
        keep_gps: leave the location in the EXIF block.
        again: cloak a file that is cloaked already.
        smooth: Gaussian sigma in pixels of the searched picture, below which noise has no detail; 0 for none.
        strict: keep the strength's largest change in the written file, too, for 99.9 % of its values, where the
            encoder loses something; faces survive more often.
        bf16: detectors compute with bfloat16 while noise is searched; they are judged with float32.
        seed: of every random choice.
        device: where torch computes, ``cpu`` or ``cuda``.
    """

    strength: Strength | str = Strength.MID
    veil: VeilName | str | None = None
    detectors: tuple[str, ...] | None = None
    brought: tuple[BroughtDetector, ...] = ()
    judges: tuple[str, ...] | None = None
    weights: Path | None = None
    attack: str = "ensemble"
    steps: int = 60
    fast: bool = False
    rounds: int = 3
    restarts: int = 0
    decoys: int = 0
    displace_landmarks: bool = False
    landmark_share: float = 0.15
    recognition: bool = False
    faces: tuple[int, ...] | None = None
    longest: int | None = None
    format: str | None = None
    quality: int | None = None
    keep_gps: bool = False
    again: bool = False
    smooth: float = 0.0
    strict: bool = False
    bf16: bool = False
    seed: int = 0
    device: str = "cpu"

    def __post_init__(self) -> None:
        try:
            object.__setattr__(self, "strength", Strength(self.strength))
        except ValueError:
            raise UsageError(
                f"unknown strength {str(self.strength)!r}", hint="choose low, mid or high"
            ) from None
        if self.veil is not None:
            try:
                object.__setattr__(self, "veil", VeilName(self.veil))
            except ValueError:
                raise UsageError(
                    f"unknown veil {str(self.veil)!r}",
                    hint="choose " + ", ".join(name.value for name in VeilName),
                ) from None
        if self.veil not in (None, VeilName.NOISE) and (noise_only := self._needs_noise):
            raise UsageError(f"{noise_only} works with plain noise only", hint="add --veil noise")
        if not 1 <= self.steps <= 10_000:
            raise UsageError(f"steps lie between 1 and 10000, not {self.steps}")
        if not 1 <= self.rounds <= 20:
            raise UsageError(f"rounds lie between 1 and 20, not {self.rounds}")
        if len(self.brought) > _MOST_BROUGHT:
            raise UsageError(f"at most {_MOST_BROUGHT} detectors can be brought, not {len(self.brought)}")
        if not 0 <= self.decoys <= _MOST_DECOYS:
            raise UsageError(f"between 0 and {_MOST_DECOYS} decoys, not {self.decoys}")
        if not 0 <= self.restarts <= 20:
            raise UsageError(f"restarts lie between 0 and 20, not {self.restarts}")
        if not 0.02 <= self.landmark_share <= 1:
            raise UsageError(f"landmarks move by .02 to 1 face size, not {self.landmark_share}")
        if not 0 <= self.smooth <= 8:
            raise UsageError(f"noise is smoothed by 0 to 8 pixels, not {self.smooth}")
        if self.faces is not None and (not self.faces or min(self.faces) < 0):
            raise UsageError("faces are counted from 0; name at least one")
        if self.longest is not None and not LEAST_SIDE <= self.longest <= MOST_SIDE:
            raise UsageError(f"the longer side has {LEAST_SIDE} to {MOST_SIDE} pixels, not {self.longest}")
        if self.quality is not None and not 1 <= self.quality <= 100:
            raise UsageError(f"quality {self.quality} is not between 1 and 100")
        library, _, name = self.attack.partition(":")
        if self.torchattack and (self.smooth or self.restarts or self.bf16):
            raise UsageError(
                "torchattacks' attacks know neither smooth noise nor restarts nor bfloat16",
                hint="leave out one of them",
            )
        if self.attack != "ensemble" and not (library == "torchattacks" and name):
            raise UsageError(
                f"unknown attack {self.attack!r}",
                hint="use `ensemble`, or `torchattacks:NAME`, for example torchattacks:PGD",
            )

    @property
    def level(self) -> Strength:
        """The strength as :class:`Strength`, whichever way it was given."""
        return Strength(self.strength)

    @property
    def torchattack(self) -> str | None:
        """The name of torchattacks' attack, or None for ours."""
        return self.attack.partition(":")[2] or None

    @property
    def chosen_veil(self) -> VeilName:
        """The veil, chosen or by default."""
        if self.veil is not None:
            return VeilName(self.veil)
        return VeilName.NOISE if self._needs_noise else VeilName.FILM

    @property
    def steps_a_round(self) -> int:
        """The most steps of a round on one patch."""
        if self.fast:
            return min(self.steps, _FAST_STEPS)
        return self.steps if self.chosen_veil is VeilName.NOISE else max(1, round(self.steps * 2 / 3))

    @property
    def most_rounds(self) -> int:
        """The most rounds."""
        return 1 if self.fast else self.rounds

    @property
    def _needs_noise(self) -> str | None:
        """What was asked for that a veil cannot do."""
        if self.torchattack:
            return "torchattacks"
        if self.strict:
            return "--strict"
        return "--smooth" if self.smooth else None

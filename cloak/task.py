"""What a search works on, and the ways by which a published picture may reach a detector."""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor
from torch.nn import functional

from cloak import transforms
from cloak.detectors.base import FaceDetector
from cloak.objective import found, of_faces
from cloak.parallel import each
from cloak.transforms import Transform
from provenance.errors import UsageError


@dataclass(frozen=True)
class Condition:
    """A way the published picture may reach a detector.

    Attributes:
        name: what reports call it.
        draw: a transform of this kind, for a step of the optimisation.
        exams: transforms of this kind; the condition is beaten when a detector misses the faces in all.
        code: the encoder's part of it, which keeps the patch's size, for detectors that are shown the whole
            picture; None where there is none.
        shrink: the size at which such a detector gets the picture before it shrinks it itself.
    """

    name: str
    draw: Callable[[random.Random], Transform]
    exams: tuple[Transform, ...]
    code: Transform | None = None
    shrink: float = 1.0


def conditions(quality: int | None, *, subsample: bool = True, slide: int = 24) -> list[Condition]:
    """As published, after JPEG 75, and at half size.

    Args:
        quality: the JPEG (or similar) quality the picture is published at; None for lossless.
        subsample: whether that encoder halves the chroma.
        slide: detectors sample the picture on grids; the patch slides by up to so many pixels against them, as
            it does when it is looked at inside its picture.
    """
    published = transforms.identity() if quality is None else transforms.jpeg(quality, subsample=subsample)
    recoded = transforms.jpeg(75)
    half, box = transforms.resize(0.5), transforms.resize(0.5, mode="area")

    def moved(rng: random.Random) -> Transform:
        return transforms.shift(rng.randrange(0, slide), rng.randrange(0, slide))

    def seen(rng: random.Random) -> Transform:
        return published.then(moved(rng))

    def recompressed(rng: random.Random) -> Transform:
        return transforms.jpeg(rng.randrange(60, 86)).then(moved(rng))

    def halved(rng: random.Random) -> Transform:
        factor = rng.choice((0.44, 0.5, 0.5, 0.5, 0.5, 0.58))
        smaller = moved(rng).then(transforms.resize(factor, mode=rng.choice(("bilinear", "area", "area"))))
        return published.then(smaller) if rng.random() < 0.5 else smaller

    slides = [transforms.shift(*(round(slide * part) for part in parts)) for parts in _SLIDES]
    return [
        Condition("published", seen, (published, *(published.then(move) for move in slides)), published),
        Condition("jpeg75", recompressed, (recoded, recoded.then(slides[0])), published.then(recoded)),
        Condition(
            "half", halved, (published.then(box), published.then(slides[1]).then(half)), published, 0.5
        ),
    ]


#: A detector that uses so many times fewer pixels a side than it is shown sees no difference.
_MUCH = 3
#: Shares of the slide, across and down, that exams look at.
_SLIDES = ((0.29, 0.63), (0.71, 0.21), (0.5, 0.92))


@dataclass(frozen=True)
class Wide:
    """The whole picture around a patch, padded to a square and shrunk.

    Attributes:
        compose: from noise of the patch and the side of the square to ``(1, 3, side, side)``; a third argument, true,
            asks for averaging over areas, by which pictures are shrunk before they are published.
        boxes: from ``(N, 4)`` boxes in pixels of the patch, and the side, to pixels of the square.
        longest: side of the square that detectors are shown, in pixels; 0 where only the final side matters.
        corner: the same with the picture in the square's upper left corner instead of its middle; None where only
            the middle is at hand.
        turn: the next of several pictures that are shown in turns; None where there is only this one.
    """

    compose: Callable[..., Tensor]
    boxes: Callable[[Tensor, int], Tensor]
    longest: int = 0
    corner: Wide | None = None
    turn: Callable[[], Wide] | None = None

    def settled(self) -> Wide:
        """What is shown at this look: the next picture where they are shown in turns."""
        return self.turn() if self.turn else self

    def side_for(self, wanted: int, shrink: float) -> int:
        """The side at which a detector that shrinks to ``wanted`` is shown the picture.

        Where it is shown much more than it uses, how the picture was shrunk before makes no difference.
        """
        shown = round(self.longest * shrink)
        return shown if shrink < 1 and 0 < shown < _MUCH * wanted else wanted

    def show(self, change: Tensor, wanted: int, shrink: float) -> tuple[Tensor, int]:
        """What a detector that shrinks to ``wanted`` is shown, and its side."""
        shown = self.side_for(wanted, shrink)
        if shrink < 1 and shown == round(self.longest * shrink):
            return self.compose(change, shown, True), shown
        return self.compose(change, shown), shown


@dataclass(frozen=True)
class Entire:
    """The whole picture at the patch's scale, for detectors whose view of a face depends on where the picture ends: a
    cascade rounds the sizes of its pyramid and its crops to whole pixels.

    Attributes:
        picture: ``(1, 3, H, W)`` in [0, 1], with the noise of the other patches.
        left, top: where the patch lies in it.
    """

    picture: Tensor
    left: int
    top: int

    def show(self, change: Tensor, shrink: float) -> Tensor:
        """The picture with the patch's pixels changed, averaged down."""
        height, width = self.picture.shape[-2:]
        borders = (
            self.left,
            width - self.left - change.shape[-1],
            self.top,
            height - self.top - change.shape[-2],
        )
        shown = (self.picture + functional.pad(change, borders)).clamp(0, 1)
        if shrink == 1:
            return shown
        size = (max(1, round(height * shrink)), max(1, round(width * shrink)))
        return functional.interpolate(shown, size=size, mode="area")

    def boxes(self, inside: Tensor, shrink: float) -> Tensor:
        """Boxes of the patch in what is shown."""
        return (inside + inside.new_tensor([self.left, self.top] * 2)) * shrink


@dataclass(frozen=True)
class Task:
    """One patch to work on.

    Attributes:
        clean: ``(1, 3, H, W)`` in [0, 1].
        faces: ``(N, 4)`` faces to hide, in pixels of ``clean``.
        limit: ``(1, 1, H, W)`` or ``(1, 3, H, W)``, the largest change of each pixel.
        grey: all channels must change alike.
        zones: ``(N, 4)`` where decoys shall be seen.
        landmarks: by detector name, for each face ``(K, 2)`` landmarks in the clean picture.
        chroma: share of each step's changes of colour that is kept, but in zones; of brightness all is kept.
            Large blotches of colour on skin are what the eye minds most.
        energy: the largest root mean square of the noise over the faces, in [0, 1]; None for no such bound.
        wide: the whole picture, for detectors that judge it as a whole; None where ``clean`` is all of it.
        entire: the whole picture at this scale; None where that is too large.
        extent: height and width of the whole picture at the scale of ``clean``; None where that is all of it.
    """

    clean: Tensor
    faces: Tensor
    limit: Tensor
    grey: bool = False
    chroma: float = 1.0
    energy: float | None = None
    zones: Tensor = field(default_factory=lambda: torch.zeros(0, 4))
    landmarks: Mapping[str, list[Tensor]] = field(default_factory=dict)
    wide: Wide | None = None
    entire: Entire | None = None
    extent: tuple[float, float] | None = None


@dataclass(frozen=True)
class Goals:
    """How much each objective counts; hiding always wins over decoys.

    ``features`` is how much it counts, beside hiding, that networks see something else half-way to their verdict (see
    :mod:`cloak.features`): that carries over to detectors that are not attacked.
    """

    hide: float = 1.0
    features: float = 0.0
    decoy: float = 0.0
    landmark: float = 0.0
    displacement: float = 0.15


@dataclass(frozen=True)
class Schedule:
    """How long and how boldly to search.

    Attributes:
        steps: at most so many steps for each start.
        least: steps before the search may stop.
        restarts: further starts, from other noise, while something is not beaten.
        check_every: steps between looks at what is beaten; the search stops once everything is.
        first_step, last_step: step sizes as shares of the limit; between them half a cosine.
        momentum: of the gradient.
        smooth: Gaussian sigma in pixels of the patch, by which each step is blurred so that noise has no finer detail;
            0: not at all.
        bend: how far faces are turned and bent in each step, see :func:`cloak.transforms.bend`; 0: not at all.
        bf16: detectors' layers compute with bfloat16; what they are asked afterwards, with float32.
        seed: of every random choice.
    """

    steps: int = 60
    least: int = 0
    restarts: int = 0
    check_every: int = 10
    first_step: float = 0.25
    last_step: float = 0.03
    momentum: float = 0.9
    smooth: float = 0.0
    bend: float = 0.0
    bf16: bool = False
    seed: int = 0


@dataclass(frozen=True)
class Outcome:
    """What the search ended with.

    Attributes:
        noise: ``(1, 3, H, W)`` within the task's limit.
        beaten: by detector name and condition name: are all faces missed?
        steps: how many steps were made, all starts together.
    """

    noise: Tensor
    beaten: dict[tuple[str, str], bool]
    steps: int

    @property
    def open(self) -> int:
        """How many pairs of detector and condition still see a face."""
        return sum(not beaten for beaten in self.beaten.values())


@dataclass(frozen=True)
class Habit:
    """How a family of detectors is best asked.

    Attributes:
        whole: it shrinks the whole picture to one small square, so it must be shown the whole picture.
        corner: it puts the picture into the corner of that square, not into its middle.
        rounds: what it makes of a face depends on where the picture ends.
        multiple: it stretches the whole picture to a multiple of so many pixels a side; 0: it does not.
        convolves: its convolutions cover the whole of what it is shown, so that a face's place in their maps is known.
        rigid: it knows where in the picture the parts of a face are, so these must stay there.
    """

    whole: bool = False
    corner: bool = False
    rounds: bool = False
    multiple: int = 0
    convolves: bool = False
    rigid: bool = False

    def stretched(self, extent: tuple[float, float] | None, scale: float) -> Transform:
        """What happens to a part of a picture that was ``extent`` large before a transform of that ``scale``."""
        if not self.multiple or extent is None:
            return transforms.identity()
        down, across = (
            math.ceil(side / self.multiple) * self.multiple / side
            for side in (max(1, round(whole * scale)) for whole in extent)
        )
        return transforms.stretch(down, across, self.multiple)


HABITS = {
    "cascade": Habit(rounds=True),
    "centerface": Habit(multiple=32, convolves=True),
    "blazeface": Habit(whole=True, convolves=True),
    "retinaface": Habit(convolves=True),
    "tiny-yolo": Habit(whole=True, corner=True, convolves=True),
    "ssd": Habit(whole=True, corner=True, convolves=True),
    "yunet": Habit(convolves=True),
    "faceboxes": Habit(convolves=True),
    "s3fd": Habit(convolves=True),
    "recognition": Habit(rigid=True),
}


def habit_of(detector: FaceDetector) -> Habit:
    """How this detector is best asked."""
    if box := getattr(detector, "letterbox", ""):
        return Habit(whole=True, corner=box == "corner", convolves=True)
    return HABITS.get(detector.family, Habit())


def wide_side(task: Task, detector: FaceDetector) -> int:
    """The side of the small square on which this detector judges the whole picture; 0 where it is shown a patch."""
    return int(getattr(detector, "side", 0)) if task.wide is not None and habit_of(detector).whole else 0


def wide_for(task: Task, detector: FaceDetector) -> Wide:
    """The whole picture in the square as this detector pads it.

    Raises:
        UsageError: the task is a patch without its picture.
    """
    if task.wide is None:
        raise UsageError("this task is a patch without its picture")
    return task.wide.corner if habit_of(detector).corner and task.wide.corner is not None else task.wide


@dataclass(frozen=True)
class _Look:
    """One exam of a patch: what it shows, and by name the detectors that are asked about it."""

    exam: Transform
    shown: Tensor
    settled: dict[str, FaceDetector]

    @classmethod
    def at(cls, picture: Tensor, exam: Transform, detectors: Sequence[FaceDetector]) -> _Look:
        shown = exam(picture)
        return cls(exam, shown, {detector.name: detector.settled() for detector in detectors})


@torch.no_grad()
def examine(
    task: Task,
    noise: Tensor,
    detectors: Sequence[FaceDetector],
    met: Sequence[Condition],
    hopeless: Collection[tuple[str, str]] = (),
) -> dict[tuple[str, str], bool]:
    """By detector and condition: does the detector, as it is used in earnest, miss every face?

    Args:
        hopeless: pairs that need not be asked, because they are known to be far from beaten.
    """
    sides = {detector.name: wide_side(task, detector) for detector in detectors}
    asked = any(sides.values()) or task.entire is not None
    changes = {c.name: coded(task, noise, c) for c in met} if asked else {}
    picture = transforms.quantise(task.clean + noise)
    crowd = [detector for detector in detectors if not sides[detector.name]]
    looks = {c.name: [_Look.at(picture, exam, crowd) for exam in c.exams if crowd] for c in met}
    wides = {(d.name, c.name): wide_for(task, d).settled() for d in detectors for c in met if sides[d.name]}
    entire = {
        c.name: transforms.quantise(task.entire.show(changes[c.name], c.shrink)) for c in met if task.entire
    }

    def missed_in(detector: FaceDetector, condition: Condition) -> bool:
        name = condition.name
        if side := sides[detector.name]:
            wide = wides[detector.name, name]
            shown, faces = whole(wide, task.faces, changes[name], condition, side)
            return not bool(found(detector.detect(shown.clamp(0, 1))[0], faces).any())
        if (detector.name, name) in hopeless:
            return False
        if task.entire is not None:
            faces = task.entire.boxes(task.faces, condition.shrink)
            if bool(found(detector.detect(entire[name])[0], faces).any()):
                return False
        for look in looks[name]:
            seen = habit_of(detector).stretched(task.extent, look.exam.scale)
            faces = look.exam.then(seen).boxes(task.faces)
            if bool(found(look.settled[detector.name].detect(seen(look.shown))[0], faces).any()):
                return False
        return True

    def verdicts(detector: FaceDetector) -> dict[tuple[str, str], bool]:
        return {(detector.name, c.name): missed_in(detector, c) for c in met}

    beaten: dict[tuple[str, str], bool] = {}
    for one in each(verdicts, detectors, device=task.clean.device):
        beaten.update(one)
    return beaten


def unraised(
    task: Task, noise: Tensor, detectors: Sequence[FaceDetector], condition: Condition
) -> dict[str, float]:
    """By detector: the share of the zones in which it, as it is used in earnest, reports no face."""
    change = coded(task, noise, condition)
    wides = {d.name: wide_for(task, d).settled() for d in detectors if wide_side(task, d)}

    def share(detector: FaceDetector) -> float:
        if side := wide_side(task, detector):
            picture, zones = whole(wides[detector.name], task.zones, change, condition, side)
        elif task.entire is not None:
            picture = task.entire.show(change, condition.shrink)
            zones = task.entire.boxes(task.zones, condition.shrink)
        else:
            picture, zones = task.clean + change, task.zones
        reported = detector.detect(transforms.quantise(picture))[0].boxes
        return float((~of_faces(reported, zones).any(0)).float().mean())

    missing = each(share, detectors, device=task.clean.device)
    return {detector.name: one for detector, one in zip(detectors, missing, strict=True)}


def coded(task: Task, noise: Tensor, condition: Condition) -> Tensor:
    """What the condition's encoder makes of the noise: the change of the patch's pixels after it."""
    if condition.code is None:
        return noise
    return condition.code(transforms.quantise(task.clean + noise)) - task.clean


def whole(
    wide: Wide, faces: Tensor, change: Tensor, condition: Condition, side: int
) -> tuple[Tensor, Tensor]:
    """What a detector that shrinks the picture to ``side`` is shown, and where the faces are there.

    Args:
        wide: the whole picture.
        faces: ``(N, 4)`` in pixels of the patch.
        change: of the patch's pixels; see :func:`coded`.
        condition: the way the picture reaches the detector.
        side: of the detector's own input.
    """
    picture, shown = wide.show(change, side, condition.shrink)
    return picture, wide.boxes(faces, shown)

"""What a search works on, and the ways by which a published picture may reach a detector."""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor
from torch.nn import functional

from cloak.attack import transforms
from cloak.attack.objective import faces_found, matches_faces
from cloak.attack.parallel import map_parallel
from cloak.attack.transforms import Transform
from cloak.detectors.base import FaceDetector
from provenance.errors import UsageError


@dataclass(frozen=True)
class Condition:
    """A way the published picture may reach a detector.

    Attributes:
        name: what reports call it.
        random_transform: a transform of this kind, for a step of the optimisation.
        evaluation_transforms: transforms of this kind; the condition is beaten when a detector misses the faces in all.
        encode: the encoder's part of it, which keeps the patch's size, for detectors that are shown the whole
            picture; None where there is none.
        downscale: the size at which such a detector gets the picture before it shrinks it itself.
    """

    name: str
    random_transform: Callable[[random.Random], Transform]
    evaluation_transforms: tuple[Transform, ...]
    encode: Transform | None = None
    downscale: float = 1.0


def publication_conditions(
    quality: int | None, *, subsample: bool = True, max_shift: int = 24
) -> list[Condition]:
    """As published, after JPEG 75, and at half size.

    Args:
        quality: the JPEG (or similar) quality the picture is published at; None for lossless.
        subsample: whether that encoder halves the chroma.
        max_shift: detectors sample the picture on grids; the patch slides by up to so many pixels against them, as
            it does when it is looked at inside its picture.
    """
    published = transforms.identity() if quality is None else transforms.jpeg(quality, subsample=subsample)
    recoded = transforms.jpeg(75)
    half, half_by_area = transforms.resize(0.5), transforms.resize(0.5, mode="area")

    def random_shift(rng: random.Random) -> Transform:
        return transforms.crop_shift(rng.randrange(0, max_shift), rng.randrange(0, max_shift))

    def as_published(rng: random.Random) -> Transform:
        return published.then(random_shift(rng))

    def recompressed(rng: random.Random) -> Transform:
        return transforms.jpeg(rng.randrange(60, 86)).then(random_shift(rng))

    def halved(rng: random.Random) -> Transform:
        factor = rng.choice((0.44, 0.5, 0.5, 0.5, 0.5, 0.58))
        smaller = random_shift(rng).then(
            transforms.resize(factor, mode=rng.choice(("bilinear", "area", "area")))
        )
        return published.then(smaller) if rng.random() < 0.5 else smaller

    shifts = [transforms.crop_shift(*(round(max_shift * part) for part in parts)) for parts in _SHIFT_SHARES]
    return [
        Condition(
            "published", as_published, (published, *(published.then(move) for move in shifts)), published
        ),
        Condition("jpeg75", recompressed, (recoded, recoded.then(shifts[0])), published.then(recoded)),
        Condition(
            "half",
            halved,
            (published.then(half_by_area), published.then(shifts[1]).then(half)),
            published,
            0.5,
        ),
    ]


#: A detector that uses so many times fewer pixels a side than it is shown sees no difference.
_MAX_REDUCTION = 3
#: Shares of the slide, across and down, that exams look at.
_SHIFT_SHARES = ((0.29, 0.63), (0.71, 0.21), (0.5, 0.92))


@dataclass(frozen=True)
class WholeFrame:
    """The whole picture around a patch, padded to a square and shrunk.

    Attributes:
        render: from noise of the patch and the side of the square to ``(1, 3, side, side)``; a third argument, true,
            asks for averaging over areas, by which pictures are shrunk before they are published.
        boxes: from ``(N, 4)`` boxes in pixels of the patch, and the side, to pixels of the square.
        display_side: side of the square that detectors are shown, in pixels; 0 where only the final side matters.
        corner: the same with the picture in the square's upper left corner instead of its middle; None where only
            the middle is at hand.
        turn: the next of several pictures that are shown in turns; None where there is only this one.
    """

    render: Callable[..., Tensor]
    boxes: Callable[[Tensor, int], Tensor]
    display_side: int = 0
    top_left: WholeFrame | None = None
    next_frame: Callable[[], WholeFrame] | None = None

    def snapshot(self) -> WholeFrame:
        """What is shown at this look: the next picture where they are shown in turns."""
        return self.next_frame() if self.next_frame else self

    def side_for(self, wanted: int, downscale: float) -> int:
        """The side at which a detector that shrinks to ``wanted`` is shown the picture.

        Where it is shown much more than it uses, how the picture was shrunk before makes no difference.
        """
        shown = round(self.display_side * downscale)
        return shown if downscale < 1 and 0 < shown < _MAX_REDUCTION * wanted else wanted

    def show(self, change: Tensor, wanted: int, downscale: float) -> tuple[Tensor, int]:
        """What a detector that shrinks to ``wanted`` is shown, and its side."""
        shown = self.side_for(wanted, downscale)
        if downscale < 1 and shown == round(self.display_side * downscale):
            return self.render(change, shown, True), shown
        return self.render(change, shown), shown


@dataclass(frozen=True)
class FullResolutionFrame:
    """The whole picture at the patch's scale, for detectors whose view of a face depends on where the picture ends: a
    cascade rounds the sizes of its pyramid and its crops to whole pixels.

    Attributes:
        picture: ``(1, 3, H, W)`` in [0, 1], with the noise of the other patches.
        left, top: where the patch lies in it.
    """

    picture: Tensor
    left: int
    top: int

    def show(self, change: Tensor, downscale: float) -> Tensor:
        """The picture with the patch's pixels changed, averaged down."""
        height, width = self.picture.shape[-2:]
        borders = (
            self.left,
            width - self.left - change.shape[-1],
            self.top,
            height - self.top - change.shape[-2],
        )
        shown = (self.picture + functional.pad(change, borders)).clamp(0, 1)
        if downscale == 1:
            return shown
        size = (max(1, round(height * downscale)), max(1, round(width * downscale)))
        return functional.interpolate(shown, size=size, mode="area")

    def boxes(self, inside: Tensor, downscale: float) -> Tensor:
        """Boxes of the patch in what is shown."""
        return (inside + inside.new_tensor([self.left, self.top] * 2)) * downscale


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
        whole_frame: the whole picture, for detectors that judge it as a whole; None where ``clean`` is all of it.
        full_frame: the whole picture at this scale; None where that is too large.
        picture_size: height and width of the whole picture at the scale of ``clean``; None where that is all of it.
    """

    clean: Tensor
    faces: Tensor
    limit: Tensor
    grey: bool = False
    chroma: float = 1.0
    energy: float | None = None
    zones: Tensor = field(default_factory=lambda: torch.zeros(0, 4))
    landmarks: Mapping[str, list[Tensor]] = field(default_factory=dict)
    whole_frame: WholeFrame | None = None
    full_frame: FullResolutionFrame | None = None
    picture_size: tuple[float, float] | None = None


@dataclass(frozen=True)
class Goals:
    """How much each objective counts; hiding always wins over decoys.

    ``features`` is how much it counts, beside hiding, that networks see something else half-way to their verdict (see
    :mod:`cloak.attack.features`): that carries over to detectors that are not attacked.
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
        min_steps: steps before the search may stop.
        restarts: further starts, from other noise, while something is not beaten.
        check_every: steps between looks at what is beaten; the search stops once everything is.
        first_step, last_step: step sizes as shares of the limit; between them half a cosine.
        momentum: of the gradient.
        smooth: Gaussian sigma in pixels of the patch, by which each step is blurred so that noise has no finer detail;
            0: not at all.
        warp: how far faces are turned and bent in each step, see :func:`cloak.attack.transforms.warp`; 0: not at all.
        bf16: detectors' layers compute with bfloat16; what they are asked afterwards, with float32.
        seed: of every random choice.
    """

    steps: int = 60
    min_steps: int = 0
    restarts: int = 0
    check_every: int = 10
    first_step: float = 0.25
    last_step: float = 0.03
    momentum: float = 0.9
    smooth: float = 0.0
    warp: float = 0.0
    bf16: bool = False
    seed: int = 0


@dataclass(frozen=True)
class SearchResult:
    """What the search ended with.

    Attributes:
        noise: ``(1, 3, H, W)`` within the task's limit.
        evaded: by detector name and condition name: are all faces missed?
        steps: how many steps were made, all starts together.
    """

    noise: Tensor
    evaded: dict[tuple[str, str], bool]
    steps: int

    @property
    def unresolved_count(self) -> int:
        """How many pairs of detector and condition still see a face."""
        return sum(not evaded for evaded in self.evaded.values())


@dataclass(frozen=True)
class InputPolicy:
    """How a family of detectors is best asked.

    Attributes:
        whole: it shrinks the whole picture to one small square, so it must be shown the whole picture.
        corner: it puts the picture into the corner of that square, not into its middle.
        rounds: what it makes of a face depends on where the picture ends.
        size_multiple: it stretches the whole picture to a multiple of so many pixels a side; 0: it does not.
        fully_convolutional: its convolutions cover the whole of what it is shown, so that a face's place in their maps
            is known.
        fixed_geometry: it knows where in the picture the parts of a face are, so these must stay there.
    """

    whole_frame: bool = False
    top_left: bool = False
    border_sensitive: bool = False
    size_multiple: int = 0
    fully_convolutional: bool = False
    fixed_geometry: bool = False

    def resize_transform(self, picture_size: tuple[float, float] | None, scale: float) -> Transform:
        """What happens to a part of a picture that was ``picture_size`` large before a transform of that ``scale``."""
        if not self.size_multiple or picture_size is None:
            return transforms.identity()
        down, across = (
            math.ceil(side / self.size_multiple) * self.size_multiple / side
            for side in (max(1, round(full * scale)) for full in picture_size)
        )
        return transforms.stretch(down, across, self.size_multiple)


INPUT_POLICIES = {
    "cascade": InputPolicy(border_sensitive=True),
    "centerface": InputPolicy(size_multiple=32, fully_convolutional=True),
    "blazeface": InputPolicy(whole_frame=True, fully_convolutional=True),
    "retinaface": InputPolicy(fully_convolutional=True),
    "tiny-yolo": InputPolicy(whole_frame=True, top_left=True, fully_convolutional=True),
    "ssd": InputPolicy(whole_frame=True, top_left=True, fully_convolutional=True),
    "recognition": InputPolicy(fixed_geometry=True),
}


def input_policy_of(detector: FaceDetector) -> InputPolicy:
    """How this detector is best asked."""
    return INPUT_POLICIES.get(detector.family, InputPolicy())


def whole_frame_side(task: Task, detector: FaceDetector) -> int:
    """The side of the small square on which this detector judges the whole picture; 0 where it is shown a patch."""
    return (
        int(getattr(detector, "side", 0))
        if task.whole_frame is not None and input_policy_of(detector).whole_frame
        else 0
    )


def whole_frame_for(task: Task, detector: FaceDetector) -> WholeFrame:
    """The whole picture in the square as this detector pads it.

    Raises:
        UsageError: the task is a patch without its picture.
    """
    if task.whole_frame is None:
        raise UsageError("this task is a patch without its picture")
    square = task.whole_frame.top_left if input_policy_of(detector).top_left else None
    return square or task.whole_frame


@dataclass(frozen=True)
class _RenderedPatch:
    """One exam of a patch: what it shows, and by name the detectors that are asked about it."""

    transform: Transform
    shown: Tensor
    snapshot: dict[str, FaceDetector]

    @classmethod
    def at(cls, picture: Tensor, transform: Transform, detectors: Sequence[FaceDetector]) -> _RenderedPatch:
        shown = transform(picture)
        return cls(transform, shown, {detector.name: detector.snapshot() for detector in detectors})


@torch.no_grad()
def evaluate_noise(
    task: Task,
    noise: Tensor,
    detectors: Sequence[FaceDetector],
    conditions: Sequence[Condition],
    known_unresolved: Collection[tuple[str, str]] = (),
) -> dict[tuple[str, str], bool]:
    """By detector and condition: does the detector, as it is used in earnest, miss every face?

    Args:
        known_unresolved: pairs that need not be asked, because they are known to be far from beaten.
    """
    sides = {detector.name: whole_frame_side(task, detector) for detector in detectors}
    needs_change = any(sides.values()) or task.full_frame is not None
    changes = {c.name: encoded_change(task, noise, c) for c in conditions} if needs_change else {}
    picture = transforms.quantise(task.clean + noise)
    patch_detectors = [detector for detector in detectors if not sides[detector.name]]
    renderings = {
        c.name: [
            _RenderedPatch.at(picture, transform, patch_detectors)
            for transform in c.evaluation_transforms
            if patch_detectors
        ]
        for c in conditions
    }
    whole_frames = {
        (d.name, c.name): whole_frame_for(task, d).snapshot()
        for d in detectors
        for c in conditions
        if sides[d.name]
    }
    full_frame = {
        c.name: transforms.quantise(task.full_frame.show(changes[c.name], c.downscale))
        for c in conditions
        if task.full_frame
    }

    def evades(detector: FaceDetector, condition: Condition) -> bool:
        name = condition.name
        if side := sides[detector.name]:
            whole_frame = whole_frames[detector.name, name]
            shown, faces = render_whole_frame(whole_frame, task.faces, changes[name], condition, side)
            return not bool(faces_found(detector.detect(shown.clamp(0, 1))[0], faces).any())
        if (detector.name, name) in known_unresolved:
            return False
        if task.full_frame is not None:
            faces = task.full_frame.boxes(task.faces, condition.downscale)
            if bool(faces_found(detector.detect(full_frame[name])[0], faces).any()):
                return False
        for rendering in renderings[name]:
            resize = input_policy_of(detector).resize_transform(task.picture_size, rendering.transform.scale)
            faces = rendering.transform.then(resize).boxes(task.faces)
            if bool(
                faces_found(rendering.snapshot[detector.name].detect(resize(rendering.shown))[0], faces).any()
            ):
                return False
        return True

    def outcomes(detector: FaceDetector) -> dict[tuple[str, str], bool]:
        return {(detector.name, c.name): evades(detector, c) for c in conditions}

    evaded: dict[tuple[str, str], bool] = {}
    for one in map_parallel(outcomes, detectors, device=task.clean.device):
        evaded.update(one)
    return evaded


def missed_decoys(
    task: Task, noise: Tensor, detectors: Sequence[FaceDetector], condition: Condition
) -> dict[str, float]:
    """By detector: the share of the zones in which it, as it is used in earnest, reports no face."""
    change = encoded_change(task, noise, condition)
    whole_frames = {
        d.name: whole_frame_for(task, d).snapshot() for d in detectors if whole_frame_side(task, d)
    }

    def share(detector: FaceDetector) -> float:
        if side := whole_frame_side(task, detector):
            picture, zones = render_whole_frame(
                whole_frames[detector.name], task.zones, change, condition, side
            )
        elif task.full_frame is not None:
            picture = task.full_frame.show(change, condition.downscale)
            zones = task.full_frame.boxes(task.zones, condition.downscale)
        else:
            picture, zones = task.clean + change, task.zones
        reported = detector.detect(transforms.quantise(picture))[0].boxes
        return float((~matches_faces(reported, zones).any(0)).float().mean())

    missing = map_parallel(share, detectors, device=task.clean.device)
    return {detector.name: one for detector, one in zip(detectors, missing, strict=True)}


def encoded_change(task: Task, noise: Tensor, condition: Condition) -> Tensor:
    """What the condition's encoder makes of the noise: the change of the patch's pixels after it."""
    if condition.encode is None:
        return noise
    return condition.encode(transforms.quantise(task.clean + noise)) - task.clean


def render_whole_frame(
    whole_frame: WholeFrame, faces: Tensor, change: Tensor, condition: Condition, side: int
) -> tuple[Tensor, Tensor]:
    """What a detector that shrinks the picture to ``side`` is shown, and where the faces are there.

    Args:
        whole_frame: the whole picture.
        faces: ``(N, 4)`` in pixels of the patch.
        change: of the patch's pixels; see :func:`encoded_change`.
        condition: the way the picture reaches the detector.
        side: of the detector's own input.
    """
    picture, shown = whole_frame.show(change, side, condition.downscale)
    return picture, whole_frame.boxes(faces, shown)

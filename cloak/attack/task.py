"""The input of a search, its goals and schedule, and its result."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import torch
from torch import Tensor

from cloak.attack.frames import FullResolutionFrame, WholeFrame


@dataclass(frozen=True)
class Task:
    """One patch to work on.

    Attributes:
        clean: ``(1, 3, H, W)`` in [0, 1].
        faces: ``(N, 4)`` faces to hide, in pixels of ``clean``.
        limit: ``(1, 1, H, W)`` or ``(1, 3, H, W)``, the largest change of each pixel.
        grey: all channels must change alike.
        zones: ``(N, 4)`` where decoys are raised.
        landmarks: by detector name, for each face ``(K, 2)`` landmarks in the clean picture.
        chroma: share of the noise's chroma that is kept outside of zones, in [0, 1]; luma is kept whole. Large areas of
            changed colour on skin are what is most visible.
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
    """Weights of the objectives.

    Attributes:
        hide: of hiding the faces.
        features: of changing the features of middle layers (see :mod:`cloak.attack.features`), which transfers to
            detectors that are not attacked.
        decoy: of raising decoys.
        landmark: of displacing landmarks.
        displacement: how far landmarks are displaced, in face sizes.
    """

    hide: float = 1.0
    features: float = 0.0
    decoy: float = 0.0
    landmark: float = 0.0
    displacement: float = 0.15


@dataclass(frozen=True)
class Schedule:
    """Number and size of the steps.

    Attributes:
        steps: at most so many steps for each start.
        min_steps: steps before the search may stop.
        restarts: further starts, from other noise, while a face is found.
        check_every: steps between evaluations; the search stops once everything is evaded. 0: no evaluation, and no
            early stop.
        look_every: steps between two times that ``stop_when`` is asked without such an evaluation; 0: not at all.
        first_step, last_step: step sizes as shares of the limit; between them half a cosine.
        momentum: of the gradient.
        smooth: Gaussian sigma in pixels of the patch, by which each step is blurred so that noise has no finer detail;
            0: not at all.
        warp: how far faces are turned and bent in each step, see :func:`cloak.attack.transforms.warp`; 0: not at all.
        bf16: detectors compute with bfloat16 in the search; evaluations use float32.
        seed: of every random choice.
        least_weight: how much a detector counts that misses every face already: what is pushed further carries over to
            detectors that are not attacked; 0: it rests.
        face_side: faces that are larger than so many pixels in what detectors are shown are shrunk to about that, or to
            less, in every second view, which costs a fraction; 0: never.
    """

    steps: int = 60
    min_steps: int = 0
    restarts: int = 0
    check_every: int = 10
    look_every: int = 0
    first_step: float = 0.25
    last_step: float = 0.03
    momentum: float = 0.9
    smooth: float = 0.0
    warp: float = 0.0
    bf16: bool = False
    seed: int = 0
    least_weight: float = 0.0
    face_side: float = 0.0


@dataclass(frozen=True)
class SearchResult:
    """What the search ended with.

    Attributes:
        noise: ``(1, 3, H, W)`` within the task's limit.
        evaded: by detector name and condition name: are all faces missed?
        steps: number of steps made, all starts together.
    """

    noise: Tensor
    evaded: dict[tuple[str, str], bool]
    steps: int

    @property
    def unresolved_count(self) -> int:
        """The number of pairs of detector and condition in which a face is still found."""
        return sum(not evaded for evaded in self.evaded.values())

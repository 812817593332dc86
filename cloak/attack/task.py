"""What a search works on, what it is after, and what it ends with."""

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
        least_weight: how much a detector counts that misses every face already: what is pushed further carries over to
            detectors that are not attacked; 0: it rests.
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
    least_weight: float = 0.0


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

"""An experiment with a generator: publish, attack, and measure the fakes, repeated for a spread.

:func:`run_experiment` is the protocol, the same for the face swapper and for the lip-sync: each published variant
(clean data, cloaked data, data with as much random noise), each attacker, each repetition is one cell. What differs is
an :class:`Experiment`. Everything that is finished is kept in the cache, so that an interrupted experiment goes on.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

from provenance.errors import ConsentError
from synth.measure.attackers import Attacker
from synth.measure.cache import Cache
from synth.measure.conditions import Pixels
from synth.measure.judge import Scores
from synth.measure.material import Material, publish_cloaked
from synth.measure.measures import ExperimentKind
from synth.measure.options import ExperimentOptions

Progress = Callable[[float], None]
Tell = Callable[[str], None]
Stop = Callable[[], bool]
#: Writes generated pictures signed and marked: pixels, where to, and the random choice's seed.
Label = Callable[[Pixels, Path, int], None]
_PUBLISH, _ATTACK = 0.25, 0.2
#: A plan says that other work takes the machine where it got less than this share of a core.
_BUSY = 0.6


@dataclass(frozen=True)
class AttackerFaces:
    """What an attacker got out of what was published.

    Attributes:
        frames: that were published.
        kept: faces to train on.
        counts: of frames and faces by outcome.
        folder: of the faces; empty where none was kept.
        digest: a hash of what was kept.
        seconds: it took.
    """

    frames: int
    kept: int
    counts: dict[str, int]
    folder: str
    digest: str
    seconds: float


@dataclass
class Result:
    """What was measured.

    Attributes:
        variants: clean, then each cloak and its control.
        faces: by (variant, attacker's name).
        cells: by (variant, attacker's name, repetition): ``measures``, or ``untrained`` with the reason; ``seconds``.
        real: fake detectors' scores of real footage.
        people_distance: between the two people's mean embeddings, or None.
        identity: which network judges whose face a fake shows, and ``same_person`` the distance below which it takes
            two faces for one person's.
        finished: all cells were measured.
        notes: what a person should know.
        files: SHA-256 of the footage.
        gaps: frames or pictures left out between the published and the held-out ones, by whose footage.
        sheets: generated pictures, signed, by (variant, attacker's name).
        published: a frame of each variant.
        seconds: of all work, earlier runs' included.
        displacement: of landmarks, by (variant, attacker's name), in distances between the eyes; of a lip-sync.
    """

    options: ExperimentOptions
    kind: ExperimentKind
    variants: list[str] = field(default_factory=list)
    faces: dict[tuple[str, str], AttackerFaces] = field(default_factory=dict)
    cells: dict[tuple[str, str, int], dict[str, Any]] = field(default_factory=dict)
    real: Scores = field(default_factory=dict)
    people_distance: float | None = None
    identity: str = ""
    same_person: float = 0.6
    finished: bool = True
    features: str = ""
    held_out: int = 0
    notes: list[str] = field(default_factory=list)
    files: dict[str, list[str]] = field(default_factory=dict)
    gaps: dict[str, int] = field(default_factory=dict)
    sheets: dict[tuple[str, str], Path] = field(default_factory=dict)
    published: dict[str, Pixels] = field(default_factory=dict)
    seconds: float = 0.0
    displacement: dict[tuple[str, str], float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.variants = self.variants or self.options.variants

    @property
    def cloaked(self) -> list[str]:
        """The cloaked variants."""
        return [name for name in self.variants if name in self.options.cloaks]


class Experiment(ABC):
    """What one kind of generator adds to the protocol; :func:`run_experiment` calls the methods in this order.

    Args:
        options: of the kind. cache: where everything that is finished lies.
        stop: asked between steps; long work ends with KeyboardInterrupt where it says yes.
    """

    kind: ClassVar[ExperimentKind]

    def __init__(self, options: ExperimentOptions, cache: Cache, stop: Stop) -> None:
        self.cache, self.stop = cache, stop
        self.result = Result(options, self.kind)

    @abstractmethod
    def prepare(self) -> Material:
        """Split the footage; returns the person's, whose clean variant is published."""

    @abstractmethod
    def attack(self, variant: str, attacker: Attacker, progress: Progress) -> AttackerFaces:
        """What an attacker gets out of one variant."""

    @abstractmethod
    def set_judge(self) -> None:
        """Prepare what every cell is measured with."""

    @abstractmethod
    def cell_key(self, variant: str, attacker: Attacker, repeat: int) -> str:
        """The cache's name of a cell: cells that learn from the same are computed once."""

    @abstractmethod
    def measure(
        self, variant: str, attacker: Attacker, repeat: int, progress: Progress
    ) -> tuple[dict[str, Any], Pixels | None]:
        """One cell: ``measures`` (see :mod:`synth.measure.measures`) or ``untrained`` with the reason, ``seconds``;
        and some generated faces in rows.
        """

    def finish(self) -> None:  # noqa: B027 - most have nothing to do
        """Remove what only the running experiment needs."""


def run_experiment(
    experiment: Experiment,
    *,
    tell: Tell = lambda _: None,
    progress: Progress | None = None,
    label: Label | None = None,
    partial: Stop = lambda: False,
) -> Result:
    """The whole protocol.

    Args:
        tell: called with one line of text when a stage begins.
        progress: called with the share done, 0 to 1.
        label: writes generated pictures signed and marked; without it none is kept.
        partial: asked when the experiment was stopped: if true, what is finished is returned, with ``finished`` false.

    Raises:
        KeyboardInterrupt: the experiment was stopped; the same call goes on there.
        ConsentError, NoFaceError, UsageError, MediaError: see the experiment's parts.
    """
    result = experiment.result
    try:
        _work(experiment, tell, _Shares(progress, experiment.stop), label)
    except KeyboardInterrupt:
        if not partial():
            raise
        result.finished = False
    else:
        experiment.finish()
    result.seconds = _seconds(result)
    return result


def _work(experiment: Experiment, tell: Tell, share: _Shares, label: Label | None) -> None:
    result, cache = experiment.result, experiment.cache
    options = result.options
    pairs = [(variant, attacker) for attacker in options.parsed for variant in result.variants]
    # 1. Publish the person's footage clean and cloaked; its last fifth is kept apart, after a gap.
    material = experiment.prepare()
    result.notes += [material.note] if material.note else []
    for name in result.cloaked:
        tell(f"cloaking: {name}")
        publish_cloaked(material, name, share.next(_PUBLISH / len(result.cloaked)))
    result.published = {variant: next(material.frames(variant)) for variant in result.variants}
    # 2. Attack: what each attacker gets, before anything is trained.
    for variant, attacker in pairs:
        tell(f"extracting faces: {variant}, attacker {attacker.name}")
        found = experiment.attack(variant, attacker, share.next(_ATTACK / len(pairs)))
        result.faces[variant, attacker.name] = found
    experiment.set_judge()
    # 3. Measure: the same generator on each, repeated. Repetition by repetition, so that one that is stopped has
    #    everything of the first ones.
    runs = [(variant, attacker, repeat) for repeat in options.repeats for variant, attacker in pairs]
    for place, (variant, attacker, repeat) in enumerate(runs):
        of = experiment.kind.design.repeat.format(repeat)
        tell(f"generator {place + 1} of {len(runs)}: {variant}, attacker {attacker.name}, {of}")
        report = share.next((1 - _PUBLISH - _ATTACK) / len(runs), stoppable=False)
        key = experiment.cell_key(variant, attacker, repeat)
        sheet, first = cache.file(key, ".jpg"), repeat == options.repeats[0]
        cell = cache.get(key)
        if cell is None:
            cell, faces = experiment.measure(variant, attacker, repeat, report)
            if label is not None and faces is not None and first:
                label(faces, sheet, repeat)
            cell = cache.put(key, cell)
        result.cells[variant, attacker.name, repeat] = cell
        if first and sheet.is_file():
            result.sheets[variant, attacker.name] = sheet
        report(1.0)
        if experiment.stop() and place + 1 < len(runs):
            raise KeyboardInterrupt


def require_basis(consent: dict[str, Any]) -> None:
    """Raise ConsentError where nothing says on which basis footage may be used."""
    if not consent.get("basis"):
        raise ConsentError("nothing says on which basis the footage may be used")


@dataclass(frozen=True)
class ExperimentEstimate:
    """What will be done, and about how long each part takes in seconds.

    Attributes:
        share: of a core that the timed steps got; the machine was busy with other work where it is less than 1.
    """

    parts: tuple[tuple[str, float], ...]
    share: float = 1.0

    @property
    def seconds(self) -> float:
        return sum(seconds for _, seconds in self.parts)

    def lines(self) -> list[str]:
        """For a person."""
        rows = [f"{what}: about {duration(seconds)}" for what, seconds in self.parts]
        rows.append(f"in all about {duration(self.seconds)}, less what is finished already")
        if self.share < _BUSY:
            rows.append(
                f"other work takes this machine: the timed steps got {100 * self.share:.0f} % of a core; with the "
                f"machine to itself about {duration(self.share * self.seconds)}"
            )
        return rows


def _seconds(result: Result) -> float:
    """Of all work; what several cells share is counted once."""
    spent = {one.digest + one.folder: one.seconds for one in result.faces.values()}
    cells = {str(sorted(one.items(), key=str)): one["seconds"] for one in result.cells.values()}
    return float(sum(spent.values()) + sum(cells.values()))


class _Shares:
    """Shares of the whole work, one after the other."""

    def __init__(self, progress: Progress | None, stop: Stop) -> None:
        self._progress, self._stop, self._begun = progress, stop, 0.0

    def next(self, share: float, *, stoppable: bool = True) -> Progress:
        """A function to report a part's progress to, 0 to 1. With ``stoppable`` it ends work that keeps its own state;
        without, the work itself asks whether to stop.
        """
        first = self._begun
        self._begun += share

        def report(done: float) -> None:
            if stoppable and self._stop():
                raise KeyboardInterrupt
            if self._progress:
                self._progress(min(1.0, first + share * min(1.0, done)))

        return report


def duration(seconds: float) -> str:
    """``40 s``, ``12 min``, ``2.5 h``."""
    if seconds < 90:
        return f"{max(1, round(seconds))} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"

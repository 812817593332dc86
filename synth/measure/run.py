"""The three measurements from files to a report: consent, plan, measure, write.

:func:`run_detectors`, :func:`run_swap` and :func:`run_lipsync` are what ``veilmark measure`` and the Python API call.
An interrupted one goes on where it stopped when it is called again with the same folder.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from provenance.bulk.executor import Executor
from provenance.errors import ExitCode, UsageError
from provenance.home import Home
from provenance.identity.certificates import printable
from provenance.session import Session
from synth.consent.permission import Permission, permission_for
from synth.consent.statement import read_statement
from synth.extraction.footage import open_footage
from synth.label import Generated, label_picture
from synth.measure.cache import Cache
from synth.measure.detectors.experiment import DetectorOptions, measure_detectors
from synth.measure.detectors.pairs import Pair, pair_up, pictures_in
from synth.measure.detectors.report import detectors_report
from synth.measure.lipsync import experiment as lipsync_experiment
from synth.measure.lipsync.options import LipsyncExperimentOptions
from synth.measure.summary.report import experiment_report
from synth.measure.swap import experiment as swap_experiment
from synth.measure.swap.options import FEWEST_SEEDS, SwapExperimentOptions
from synth.measure.swap.plan import estimate_work as estimate_swap
from synth.report.document import Report, without_pictures
from synth.report.write import write_report

#: Beside the report: what is finished, for the next run.
WORK_FOLDER = ".work"
_UNSIGNED = "the report will show no generated pictures, which must be signed; `veilmark init` makes a key"
SessionOpener = Callable[[], AbstractContextManager[Session]]


@dataclass(frozen=True)
class Measured:
    """A report, the page and the JSON file that hold it."""

    report: Report
    page: Path
    data: Path

    def to_json(self) -> dict[str, Any]:
        return {**self.report.to_json(), "page": str(self.page), "file": str(self.data)}

    @property
    def exit_code(self) -> ExitCode:
        """7 where the instrument was too weak to measure anything, or time ran out; else 0."""
        return ExitCode.OK if self.report.valid and self.report.finished else ExitCode.PARTIAL


@dataclass(frozen=True)
class ConsentBasis:
    """On which basis footage may be used.

    Attributes:
        consent: files with statements of consent by the footage's owner.
        declared: the person who calls declares that the people shown agreed; opens only footage that nobody signed,
            and is said in the report.
        passphrase: for the identity of the given name, where its key is encrypted and has to prove that footage is
            this machine's own.
    """

    consent: tuple[Path, ...] = ()
    declared: bool = False
    passphrase: Callable[[str], str | None] = lambda _: None

    def permission(self, footage: Path, home: Home) -> Permission:
        """ConsentError where there is none."""
        return permission_for(
            [source.path for source in open_footage(footage)],
            home,
            statements=[read_statement(path) for path in self.consent],
            declared=self.declared,
            passphrase=self.passphrase,
        )


@dataclass(frozen=True)
class Listener:
    """Who is told what a measurement does, and may end it.

    Attributes:
        tell: called with one line of text when a stage begins.
        progress: called with the share of the work done, in [0, 1].
        stop: asked between steps; the same call goes on there.
        minutes: after so many the work ends, and the report has what is finished; None for no limit.
    """

    tell: Callable[[str], None] = lambda _: None
    progress: Callable[[float], None] | None = None
    stop: Callable[[], bool] = lambda: False
    minutes: float | None = None

    def limited(self) -> tuple[Callable[[], bool], Callable[[], bool]]:
        """Whether to stop, and whether that is because the time is over; the time begins now."""
        end = math.inf if self.minutes is None else time.monotonic() + 60 * self.minutes

        def over() -> bool:
            return time.monotonic() >= end

        return (lambda: self.stop() or over()), over


def run_detectors(
    originals: Sequence[Path],
    output: Path,
    options: DetectorOptions,
    *,
    cloaked: Sequence[Path] = (),
    shown: tuple[str, ...] | None = None,
    pictures: bool = True,
    executor: Executor | None = None,
    workers: int = 0,
    listener: Listener = Listener(),
) -> Measured:
    """Ask every installed face detector about clean and cloaked pictures, and about a control, after what published
    pictures go through.

    Args:
        originals: pictures, or folders of them.
        output: a folder for the report. It holds the pictures.
        cloaked: their cloaked copies, told by the manifest's parent or the name; without them they are cloaked here.
        shown: names of the pictures that the report shows; None for four.
        pictures: false leaves all of them out.
        executor, workers: see :func:`synth.measure.detectors.experiment.measure_detectors`.

    Raises:
        NoFaceError: no picture shows a face. UsageError, MissingPathError, MediaError: wrong or unreadable inputs.
        NotWritableError: the folder cannot be written.
    """
    found = pictures_in(list(originals))
    pairs = [Pair(path) for path in found]
    if cloaked:
        pairs, notes = pair_up(found, pictures_in(list(cloaked)))
        for line in notes:
            listener.tell(f"note: {line}")
    cache = Cache(output / WORK_FOLDER)
    with cache.leaving_nothing_empty():
        measured = measure_detectors(
            pairs, options, cache, progress=listener.progress, executor=executor, workers=workers
        )
    return _written(detectors_report(measured, options, cache, shown if pictures else ()), output, pictures)


def run_swap(
    person: Path,
    target: Path,
    output: Path,
    options: SwapExperimentOptions,
    basis: ConsentBasis,
    *,
    home: Home,
    session: SessionOpener | None = None,
    plan_only: bool = False,
    pictures: bool = True,
    listener: Listener = Listener(),
) -> Measured | None:
    """Train the same face swapper on a person's footage clean, cloaked and with a control, and compare the fakes.
    No generated clip is kept.

    Args:
        person: whose face is stolen: a video, or a folder of pictures.
        target: the video into which the face is put.
        output: a folder for the report.
        home: knows which footage is this machine's own.
        session: opens what signs the generated pictures in the report; without it there are none.
        plan_only: tell how long it will take, and return None.
        pictures: false leaves all pictures out of the report.

    Raises:
        ConsentError, NoFaceError, UsageError, MissingPathError, MediaError, NotWritableError.
        KeyboardInterrupt: ``listener.stop`` said so.
    """
    stop, over = listener.limited()
    # 1. What is asked, and on which basis.
    if len(options.seeds) < FEWEST_SEEDS:
        raise UsageError(
            f"{len(options.seeds)} seeds, expected at least {FEWEST_SEEDS}",
            hint="give, say, --seeds 1,2,3; only with six or more can a test show anything",
        )
    open_footage(person)
    swap_experiment.require_video(target)  # before anything is decoded
    footage = {
        "a": person,
        "b": target,
        **{f"further {place}": one for place, one in enumerate(options.people)},
    }
    permissions = {side: basis.permission(path, home) for side, path in footage.items()}
    # 2. The plan.
    cache = Cache(output / WORK_FOLDER)
    with cache.leaving_nothing_empty():
        swap_experiment.require_video(target)
        for line in estimate_swap(person, options, cache).lines():
            listener.tell(line)
    if plan_only:
        return None
    # 3. The work.
    sentence = "; ".join(dict.fromkeys(one.sentence for one in permissions.values()))
    with cache.leaving_nothing_empty():
        result = swap_experiment.measure_swap(
            person,
            target,
            {side: one.to_json() for side, one in permissions.items()},
            options,
            cache,
            tell=listener.tell,
            progress=listener.progress,
            stop=stop,
            partial=lambda: over() and not listener.stop(),
            label=_labeller(session, sentence, "swap", listener),
        )
    return _written(experiment_report(result), output, pictures)


def run_lipsync(
    person: Path,
    output: Path,
    options: LipsyncExperimentOptions,
    basis: ConsentBasis,
    *,
    home: Home,
    session: SessionOpener | None = None,
    plan_only: bool = False,
    pictures: bool = True,
    listener: Listener = Listener(),
) -> Measured | None:
    """Lip-sync a person from footage that is clean, cloaked, or has random noise, and compare how they then say what
    they really said in footage that was held out. No generated clip is kept.

    Args:
        person: a video in which one person speaks.
        output, home, session, plan_only, pictures: see :func:`run_swap`.

    Raises:
        ConsentError, NoFaceError, UsageError, MissingPathError, MediaError, NotWritableError.
        KeyboardInterrupt: ``listener.stop`` said so.
    """
    stop, over = listener.limited()
    permission = basis.permission(person, home)
    cache = Cache(output / WORK_FOLDER)
    with cache.leaving_nothing_empty():
        for line in lipsync_experiment.estimate_work(person, options, cache).lines():
            listener.tell(line)
    if plan_only:
        return None
    with cache.leaving_nothing_empty():
        result = lipsync_experiment.measure_lipsync(
            person,
            permission.to_json(),
            options,
            cache,
            tell=listener.tell,
            progress=listener.progress,
            stop=stop,
            partial=lambda: over() and not listener.stop(),
            label=_labeller(session, permission.sentence, "lipsync", listener),
        )
    return _written(experiment_report(result), output, pictures)


def _labeller(
    session: SessionOpener | None, consent: str, kind: str, listener: Listener
) -> Callable[[NDArray[np.uint8], Path, int], None] | None:
    """Writes generated pictures marked and signed as synthetic."""
    if session is None:
        listener.tell(f"note: {_UNSIGNED}")
        return None

    def label(pixels: NDArray[np.uint8], path: Path, seed: int) -> None:
        about = Generated(f"veilmark measure {kind}", [], False, printable(consent, 4000), seed)
        with session() as opened:
            label_picture(pixels, path, about, opened, force=True)

    return label


def _written(report: Report, output: Path, pictures: bool) -> Measured:
    report = report if pictures else without_pictures(report)
    page, data = write_report(report, output)
    return Measured(report, page, data)

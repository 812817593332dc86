"""What a worker does when many files are judged: look, score, and save what was seen.

A worker loads its detectors once; see :mod:`provenance.bulk.executor`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from cloak.device import share_cores
from provenance.errors import VeilmarkError
from synth.detect.run import Detection, DetectOptions, detect_file
from synth.detect.saved import save_seen

#: A detection, and the pictures of it that were written.
Judged = tuple[Detection, list[Path]]
Progress = Callable[[float], None]


@dataclass(frozen=True)
class ToJudge:
    """A file to judge, and what its pictures are called."""

    path: Path
    name: str

    def __str__(self) -> str:
        return str(self.path)


@dataclass(frozen=True)
class DetectJob:
    """Judge files. A task is :class:`ToJudge`, its result :data:`Judged`, without what was looked at.

    Attributes:
        output: the folder for pictures of what was seen; None saves none.
        workers: so many share this machine's cores; 0 on a cluster, which says how many cores each may use.
    """

    options: DetectOptions
    output: Path | None
    workers: int = 0

    @property
    def gpus(self) -> int:
        """GPUs that a worker needs to itself."""
        return int(self.options.device != "cpu")

    @contextmanager
    def open(self) -> Iterator[Callable[[ToJudge], Judged]]:
        share_cores(self.workers)

        def work(task: ToJudge) -> Judged:
            found, written = judge(task, self.options, self.output)
            return _light(found), written

        yield work


def judge(
    task: ToJudge, options: DetectOptions, output: Path | None, progress: Progress | None = None
) -> Judged:
    """Judge one file.

    Raises:
        VeilmarkError: see :func:`synth.detect.run.detect_file`.
    """
    found = detect_file(task.path, options, progress=progress)
    return found, save_seen(found, output, task.name) if output is not None else []


def one_by_one(
    options: DetectOptions,
    output: Path | None,
    tasks: Iterable[ToJudge],
    reporting: Callable[[ToJudge], AbstractContextManager[Progress]],
) -> Iterator[Judged | VeilmarkError]:
    """The same in this process, with progress inside each file."""
    for task in tasks:
        try:
            with reporting(task) as progress:
                judged = judge(task, options, output, progress)
        except VeilmarkError as error:
            yield error
        else:
            yield judged


def _light(found: Detection) -> Detection:
    """Without pictures and curves, which are megabytes and saved already."""
    observed = replace(found.observed, faces=[], face_points=[], frames=[], outlines=[])
    findings = {name: replace(one, plots=[], pictures={}) for name, one in found.findings.items()}
    return replace(found, observed=observed, findings=findings)

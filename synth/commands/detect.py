"""``veilmark detect``: what six small fake detectors say about a file, and what they saw."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cloak.device import usable_device
from provenance.commands.support.batch import print_error_json
from provenance.commands.support.console import (
    clean,
    complain,
    fraction,
    note,
    print_json,
    progress,
    say,
)
from provenance.commands.support.workers import Cluster, Processes, workers_for
from provenance.errors import ExitCode, VeilmarkError, combine
from synth.commands.options import Device, WeightsFolder, names_of

if TYPE_CHECKING:
    from synth.detect.bulk import Judged
    from synth.detect.run import Detection

_BAR = 20


def detect(
    files: Annotated[list[Path], typer.Argument(help="Videos or pictures.")],
    output: Annotated[
        Path | None,
        typer.Option("-o", "--output", help="A folder for what each detector saw: curves, spectra, maps."),
    ] = None,
    detectors: Annotated[
        str | None,
        typer.Option("--detectors", help="Which, comma-separated: blink, pulse, lips, warp, blend, splice."),
    ] = None,
    seconds: Annotated[
        float, typer.Option("--seconds", help="How much of a video is looked at, 0.1 to 600.")
    ] = 30.0,
    weights: WeightsFolder = None,
    device: Device = "cpu",
    jobs: Processes = 1,
    cluster: Cluster = None,
    force: Annotated[bool, typer.Option("--force", help="Overwrite pictures that exist.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object per file.")] = False,
) -> None:
    """Score how much a video or a picture looks like a deepfake, and show why.

    A score is no verdict: these detectors are small, learned from few people, and miss fakes of kinds they never met.
    For what can be proven, ask `veilmark verify`. Exit codes: 0 judged; 6 no face (only the splice detector needs
    none); 7 a face, but nothing could be judged (too short, too small, too heavily compressed).
    """
    from synth.detect.base import DETECTORS
    from synth.detect.bulk import DetectJob, ToJudge, one_by_one
    from synth.detect.run import DetectOptions
    from synth.detect.saved import names_for, require_room

    chosen = tuple(DETECTORS)
    if detectors is not None:
        chosen = names_of(detectors)
    options = DetectOptions(
        detectors=chosen,
        max_seconds=seconds,
        device=usable_device(device),
        weights_dir=weights,
        pictures=output is not None,
    )
    options.check()
    names = names_for(files)
    if output is not None:
        require_room(output, names, chosen, force)
    tasks = [ToJudge(path, name) for path, name in zip(files, names, strict=True)]
    codes: list[int] = []
    with workers_for(cluster, min(jobs, len(files))) as executor:
        if executor is None:
            judged = one_by_one(
                options, output, tasks, lambda task: fraction(f"Looking at {task.path.name[:40]}")
            )
        else:
            workers = 0 if cluster else min(jobs, len(files))
            judged = _advancing(executor.results(DetectJob(options, output, workers), tasks), len(files))
        for path, found in zip(files, judged, strict=True):
            if isinstance(found, VeilmarkError):
                if as_json:
                    print_error_json(str(path), found)
                if len(files) == 1:
                    raise found
                complain(str(found), found.hint, subject=None if str(path) in str(found) else str(path))
                codes.append(int(found.exit_code))
                continue
            detection, written = found
            if as_json:
                print_json({**detection.to_json(), "saved": [str(one) for one in written]})
            else:
                _print(detection, written)
            codes.append(int(_code(detection)))
    code = combine(codes)
    if code:
        raise typer.Exit(int(code))


def _advancing(parts: Iterable[list[Judged | VeilmarkError]], count: int) -> Iterator[Judged | VeilmarkError]:
    with progress("Looking at files", count) as advance:
        for part in parts:
            for one in part:
                yield one
                advance(1, "Looking at files")


def _code(found: Detection) -> ExitCode:
    if any(score is not None for name, score in found.scores.items() if name != "splice"):
        return ExitCode.OK
    if not found.face:
        return ExitCode.NO_FACE if set(found.scores) != {"splice"} else _judged(found)
    return _judged(found)


def _judged(found: Detection) -> ExitCode:
    return ExitCode.OK if any(one is not None for one in found.scores.values()) else ExitCode.PARTIAL


def _print(found: Detection, written: list[Path]) -> None:
    say(clean(str(found.path)))
    for name, finding in found.findings.items():
        if finding.score is None:
            say(f"  {name:<7} cannot judge: {clean(finding.reason)}")
            continue
        bar = "#" * round(finding.score * _BAR)
        say(f"  {name:<7} {finding.score:4.2f} |{bar:<{_BAR}}| {clean(finding.sentence)}")
    if found.joint is None:
        say("  joint   cannot judge")
    else:
        bar = "#" * round(found.joint * _BAR)
        say(f"  joint   {found.joint:4.2f} |{bar:<{_BAR}}| {_words(found.joint)}")
    for line in found.notes:
        note(f"note: {line}")
    if written:
        say(f"  {written[0].parent}: {len(written)} pictures of what they saw")


def _words(joint: float) -> str:
    """What the number means, without saying what the file is."""
    if joint < 0.35:
        return "more like the real clips it was calibrated on"
    if joint <= 0.65:
        return "undecided"
    return "more like the fakes it was calibrated on"

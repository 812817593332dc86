"""``veilmark cloak``."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from cloak.commands.options import FacesGroup, OutputGroup, SearchGroup, SigningGroup, cloak_options
from provenance.commands.support.batch import Outcome, run_batch, run_bulk
from provenance.commands.support.console import fraction, note, print_json, say, whole
from provenance.commands.support.grouped import grouped
from provenance.commands.support.options import Paths
from provenance.commands.support.paths import Input, gathered, plan_outputs
from provenance.commands.support.work import session_for
from provenance.commands.support.workers import workers_for
from provenance.commands.uncloak import readers_of
from provenance.errors import (
    ExitCode,
    MediaError,
    NoFaceError,
    PartialSuccessError,
    VeilmarkError,
)
from provenance.home import Home

if TYPE_CHECKING:
    from cloak.bulk import CloakJob
    from cloak.options import CloakOptions
    from cloak.picture.estimate import WorkEstimate
    from cloak.publish import PublishResult
    from provenance.bulk.executor import Executor
    from provenance.session import Session

#: More patches than this take so long that the estimate is printed first.
_FEW_PATCHES = 4
#: So does what may take more seconds than this.
_LONG = 180.0


@grouped
def cloak(
    paths: Paths, written: OutputGroup, search: SearchGroup, choice: FacesGroup, signing: SigningGroup
) -> None:
    """Hide faces from face detectors before publishing, and link the result to its signed original.

    By default a picture gets film grain that is searched against the detectors (--veil, --strength). The file that was
    written is decoded again and judged.

    Exit codes: 0 no attacked detector finds a face in the file as published (the report says what they find after
    recompression and at half size); 7 some still do (the file is written); 6 no face found (nothing is written).

    Videos get the same veils, which follow the faces, and become H.264 with their sound unchanged; an interrupted run
    goes on where it stopped.
    """
    from contextlib import ExitStack

    from cloak.bulk import CloakJob
    from cloak.commands.batch import jobs_that_fit, who_looks_note
    from cloak.evaluate.detect import DetectorLoader
    from cloak.publish import PublishRequest, publish_file
    from cloak.video.options import VideoOptions

    home = Home.locate()
    if signing.sign and not choice.list_faces:
        home.require_initialized()
    options = cloak_options(search, choice, written)
    sealed_for = readers_of(
        home, signing.identity, signing.readers or [], reversible=signing.reversible, sign=signing.sign
    )
    if choice.list_faces:
        raise typer.Exit(int(_list_faces(paths, options, as_json=written.as_json)))
    with ExitStack() as stack:
        inputs = stack.enter_context(gathered(paths, skip_named=(".cloaked",)))
        outputs = plan_outputs(
            _named(inputs, options.format),
            written.output,
            "cloaked",
            force=written.force,
            skip_existing=written.resume,
        )
        session: Session | None = None
        if signing.sign:
            session = stack.enter_context(session_for(home, signing.identity))
        request = PublishRequest(
            options, VideoOptions(crf=written.crf), faceless=choice.faceless, readers=sealed_for
        )
        if any(outputs):
            note(who_looks_note(options))
        at_once = min(written.jobs, len(inputs))
        if written.cluster is None:
            at_once = jobs_that_fit(at_once, tell=note)
        executor = stack.enter_context(workers_for(written.cluster, at_once))

        def show(item: Input, done: PublishResult | None) -> None:
            _show(item, done, written.as_json)

        if executor is not None:
            code = _by_workers(
                executor,
                inputs,
                outputs,
                CloakJob(request, signing.sign, home, written.force, 0 if written.cluster else at_once),
                session,
                show,
                as_json=written.as_json,
            )
            raise typer.Exit(int(code))
        loader = DetectorLoader(options)

        def work(index: int, item: Input) -> Outcome:
            target = outputs[index]
            if target is None:
                return ExitCode.OK, None
            with fraction(f"Cloaking {item.path.name}") as report:
                done = publish_file(
                    item.path,
                    target,
                    request,
                    session,
                    home=home,
                    force=written.force,
                    progress=report,
                    on_estimate=partial(_tell, item.shown if len(inputs) > 1 else ""),
                    loader=loader,
                )
            return _code(done), done

        code = run_batch("Cloaking", inputs, work, show, as_json=written.as_json)
    raise typer.Exit(int(code))


def _code(done: PublishResult) -> ExitCode:
    if done.report is None:
        return ExitCode.NO_FACE
    return ExitCode.OK if done.success else ExitCode.PARTIAL


def _by_workers(
    executor: Executor,
    inputs: Sequence[Input],
    outputs: Sequence[Path | None],
    job: CloakJob,
    session: Session | None,
    show: Callable[[Input, PublishResult | None], None],
    *,
    as_json: bool,
) -> ExitCode:
    """Files are cloaked by workers, and signed and logged here."""
    from cloak.bulk import ToCloak, sign_cloaked

    def task(index: int, item: Input) -> ToCloak | None:
        target = outputs[index]
        return None if target is None else ToCloak(item.path, target)

    def finish(found: Sequence[tuple[int, Any]]) -> list[Outcome | VeilmarkError]:
        done = sign_cloaked([one for _, one in found], job.request, session, force=job.force)
        return [one if isinstance(one, VeilmarkError) else (_code(one), one) for one in done]

    return run_bulk("Cloaking", inputs, executor, job, task, finish, show, as_json=as_json)


def _named(inputs: Sequence[Input], wanted: str | None) -> list[Input]:
    """The inputs, named as what will be written of them: other formats have other suffixes."""
    from cloak.picture.output_format import choose_format
    from cloak.publish import published_as

    if wanted is not None:
        choose_format("", wanted)
    taken = {item.path for item in inputs}
    result = []
    for item in inputs:
        try:
            path = published_as(item.path, wanted)
        except MediaError:
            path = item.path  # why it cannot be read is told when its turn comes
        if path != item.path and path in taken:
            path = item.path.with_name(item.path.name + path.suffix)
        result.append(replace(item, path=path))
    return result


def _list_faces(paths: list[Path], options: CloakOptions, *, as_json: bool) -> ExitCode:
    """Print the faces of each picture that ``--faces`` can choose; writes nothing."""
    from cloak.evaluate.detect import list_faces
    from cloak.picture.shrink import shrunk
    from provenance.media.picture import open_picture

    def work(index: int, item: Input) -> Outcome:
        found = list_faces(shrunk(open_picture(item.path), options.longest), options)
        if not found:
            raise NoFaceError("the detectors find no face in the picture that they agree on")
        return ExitCode.OK, found

    def show(item: Input, found: Any) -> None:
        for face in found:
            box = [round(side) for side in face.box]
            if as_json:
                print_json(
                    {
                        "schema": "veilmark.face-seen/1",
                        "source": item.shown,
                        "number": face.number,
                        "box": box,
                        "found": list(face.detected_by),
                    }
                )
            else:
                corners = f"{box[0]},{box[1]} to {box[2]},{box[3]}"
                say(f"{item.shown}: face {face.number} at {corners}, seen by {', '.join(face.detected_by)}")

    with gathered(paths, skip_named=(".cloaked",)) as inputs:
        return run_batch("Looking for faces", inputs, work, show, as_json=as_json)


def _tell(name: str, estimate: WorkEstimate) -> None:
    """Say beforehand what will take long; ``name`` says which picture, where there are several."""
    if estimate.patches > _FEW_PATCHES or estimate.expected > _LONG:
        where = f"{name}: " if name else ""
        note(f"note: {where}{estimate}; --faces chooses some, --steps and --detectors make it shorter")


def _show(item: Input, done: PublishResult | None, as_json: bool) -> None:
    if done is None:
        if as_json:
            print_json({"schema": "veilmark.cloaked/1", "source": item.shown, "skipped": "exists"})
        else:
            say(f"skipped {item.shown}: its output exists")
        return
    for line in done.notes:
        note(f"note: {line}")
    target, report, signed = done.output, done.report, done.signed
    if as_json:
        print_json({**done.to_json(), "source": item.shown})
        return
    if report is None:
        say(f"no face found in {item.shown}; {target} is not cloaked and not signed")
        return
    say(
        "cloaked ",
        whole(target),
        f"  (record no. {signed.index} in your log)" if signed else "  (not signed)",
    )
    if signed and (sealed := signed.record.extra.get("sealed")):
        say(f"  the original is sealed as {sealed['cid']} ({sealed['padded_size']} bytes, padded)")
    for line in report.lines():
        say(f"  {line}", indent=4)
    if not report.success:
        error = PartialSuccessError("some detectors still find a face", hint=report.advice)
        note(f"note: {target}: {error}; {error.hint}")

"""``veilmark cloak``."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from cloak.commands import options as opt
from cloak.strength import Strength
from provenance.commands.sign import Paths
from provenance.commands.support.batch import Outcome, run_batch
from provenance.commands.support.console import fraction, note, print_json, say, whole
from provenance.commands.support.paths import Input, gathered, plan_outputs
from provenance.commands.support.work import session_for
from provenance.commands.uncloak import readers_of
from provenance.errors import (
    ExitCode,
    MediaError,
    MissingPathError,
    NoFaceError,
    PartialSuccessError,
    UsageError,
)
from provenance.home import Home

if TYPE_CHECKING:
    from cloak.picture.estimate import WorkEstimate
    from cloak.publish import PublishResult
    from provenance.session import Session

#: More patches than this take so long that the estimate is printed first.
_FEW_PATCHES = 4
#: So does what may take more seconds than this.
_LONG = 180.0


def cloak(
    paths: Paths,
    output: opt.Output = None,
    strength: opt.StrengthName = Strength.MID,
    veil: opt.Veil = None,
    attack: opt.Attack = "ensemble",
    detectors: opt.Detectors = None,
    detector: opt.Detector = None,
    head: opt.Head = None,
    judges: opt.Judges = None,
    weights: opt.Weights = None,
    decoys: opt.Decoys = 0,
    displace_landmarks: opt.DisplaceLandmarks = False,
    landmark_share: opt.LandmarkShare = 0.15,
    recognition: opt.Recognition = False,
    faces: opt.Faces = None,
    list_faces: opt.ListFaces = False,
    steps: opt.Steps = 60,
    fast: opt.Fast = False,
    restarts: opt.Restarts = 0,
    smooth: opt.Smooth = 0.0,
    strict: opt.Strict = False,
    format_: opt.Format = None,
    quality: opt.Quality = None,
    crf: opt.Crf = 20,
    seed: opt.Seed = 0,
    device: opt.Device = "cpu",
    bf16: opt.Bf16 = False,
    faceless: opt.Faceless = False,
    again: opt.Again = False,
    keep_gps: opt.KeepGps = False,
    sign: opt.Sign = True,
    identity: opt.Identity = None,
    reversible: opt.Reversible = False,
    readers: opt.Readers = None,
    force: opt.Force = False,
    resume: opt.Resume = False,
    jobs: opt.Jobs = 1,
    as_json: opt.AsJson = False,
) -> None:
    """Hide faces from face detectors before publishing, and link the result to its signed original.

    By default a picture gets film grain that is searched against the detectors (--veil, --strength). The file that was
    written is decoded again and judged.

    Exit codes: 0 no attacked detector finds a face in the file as published (the report says what they find after
    recompression and at half size); 7 some still do (the file is written); 6 no face found (nothing is written).

    Videos get plain noise and become H.264 with their sound unchanged; an interrupted run goes on where it stopped.
    """
    from contextlib import ExitStack, nullcontext

    from cloak.commands.batch import jobs_that_fit, who_looks_note
    from cloak.device import usable_device
    from cloak.evaluate.detect import DetectorLoader
    from cloak.options import CloakOptions, brought
    from cloak.publish import PublishRequest, publish_file
    from cloak.video.options import VideoOptions

    home = Home.locate()
    if sign and not list_faces:
        home.require_initialized()
    if weights is not None and not weights.is_dir():
        raise MissingPathError(f"{weights} is no folder with weights")
    options = CloakOptions(
        strength=strength,
        veil=veil,
        attack=attack,
        detectors=_names(detectors) if detectors else None,
        brought=brought(detector or (), head or ()),
        judges=None if judges is None else () if judges == "none" else _names(judges),
        weights=weights,
        decoys=decoys,
        displace_landmarks=displace_landmarks,
        landmark_share=landmark_share,
        recognition=recognition,
        faces=_numbers(faces) if faces else None,
        steps=steps,
        fast=fast,
        restarts=restarts,
        smooth=smooth,
        strict=strict,
        bf16=bf16,
        format=format_,
        quality=quality,
        seed=seed,
        device=usable_device(device),
        keep_gps=keep_gps,
        again=again,
    )
    sealed_for = readers_of(home, identity, readers or [], reversible=reversible, sign=sign)
    if list_faces:
        raise typer.Exit(int(_list_faces(paths, options, as_json=as_json)))
    with ExitStack() as stack:
        inputs = stack.enter_context(gathered(paths, skip_named=(".cloaked",)))
        outputs = plan_outputs(
            _named(inputs, options.format), output, "cloaked", force=force, skip_existing=resume
        )
        session: Session | None = None
        if sign:
            session = stack.enter_context(session_for(home, identity))

        request = PublishRequest(options, VideoOptions(crf=crf), faceless=faceless, readers=sealed_for)

        if any(outputs):
            note(who_looks_note(options))
        at_once = jobs_that_fit(min(jobs, len(inputs)), options, tell=note)
        loader = DetectorLoader(options)

        def work(index: int, item: Input) -> Outcome:
            target = outputs[index]
            if target is None:
                return ExitCode.OK, None
            # one bar on a terminal: of the picture, or of the batch where several are made at once
            with fraction(f"Cloaking {item.path.name}") if at_once == 1 else nullcontext() as report:
                done = publish_file(
                    item.path,
                    target,
                    request,
                    session,
                    home=home,
                    force=force,
                    progress=report,
                    on_estimate=partial(_tell, item.shown if len(inputs) > 1 else ""),
                    loader=loader,
                )
            if done.report is None:
                return ExitCode.NO_FACE, done
            return ExitCode.OK if done.success else ExitCode.PARTIAL, done

        def show(item: Input, done: PublishResult | None) -> None:
            _show(item, done, as_json)

        code = run_batch("Cloaking", inputs, work, show, as_json=as_json, jobs=at_once)
    raise typer.Exit(int(code))


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


def _names(text: str) -> tuple[str, ...]:
    names = tuple(name.strip() for name in text.split(","))
    if not all(names):
        raise UsageError(
            f"there is an empty name in {text[:60]!r}", hint="separate names by one comma: mtcnn,centerface"
        )
    return names


def _numbers(text: str) -> tuple[int, ...]:
    try:
        return tuple(int(part) for part in text.split(","))
    except ValueError:
        raise UsageError(f"{text[:60]!r} is no list of numbers", hint="give, say, --faces 0,2") from None


def _list_faces(paths: list[Path], options: Any, *, as_json: bool) -> ExitCode:
    """Print the faces of each picture that ``--faces`` can choose; writes nothing."""
    from cloak.evaluate.detect import list_faces
    from provenance.media.picture import open_picture

    def work(index: int, item: Input) -> Outcome:
        found = list_faces(open_picture(item.path), options)
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

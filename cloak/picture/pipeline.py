"""The picture pipeline: detect, attack, encode, decode, judge what was decoded, and go on where a face is left.

:func:`cloak_bytes` is the whole of it on a decoded picture; :func:`cloak_picture` is the same from file to
file. :func:`cloak.publish.publish_file` signs the result.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from importlib import metadata
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from cloak.assertion import refuse_cloaked
from cloak.attack.objective import widen
from cloak.detectors.base import Detections
from cloak.evaluate.detect import chosen, look
from cloak.evaluate.judge import View, to_tensor
from cloak.evaluate.outcome import WEIGHTS, Judged, describe, judge
from cloak.evaluate.report import CloakReport
from cloak.models import locate, model
from cloak.options import CloakOptions
from cloak.picture.bound import room_within, within_bound
from cloak.picture.output_format import depth_of, format_for, like_source
from cloak.picture.rounds import CONTEXT, LOSSY, Encoder, Progress, Worker
from cloak.recognition.objective import Recogniser, recogniser_for
from provenance.errors import UsageError
from provenance.media.files import refuse_existing, write_bytes
from provenance.media.picture import Picture, open_picture

_DEFAULT_QUALITY = 95
_BITS = 8
#: A step of the search costs so many times what it takes to look at as many pixels (measured: 2 to 4).
_SEARCHED = 3.0
#: Where that makes more seconds than these, a step is tried: some detectors look at far less than the whole in it.
_ROUGHLY = 120.0


@dataclass(frozen=True)
class CloakResult:
    """A cloaked picture.

    Attributes:
        encoded: the file's bytes, not signed yet.
        format: its format's name.
        report: what detectors see in these bytes, decoded.
    """

    encoded: bytes
    format: str
    report: CloakReport


@dataclass(frozen=True)
class Plan:
    """How much work a picture is: each of its parts (faces and decoys that lie together) takes up to ``steps`` steps in
    each of up to ``rounds`` rounds, which takes about ``seconds`` on this machine if nothing is beaten before.
    """

    faces: int
    parts: int
    steps: int
    rounds: int
    seconds: float

    def __str__(self) -> str:
        minutes = max(1, round(self.seconds / 60))
        return (
            f"{self.faces} faces to hide, in {self.parts} parts of the picture; up to {self.rounds} rounds of "
            f"{self.steps} steps for each part, at most about {minutes} minute{'s' * (minutes > 1)}"
        )


@dataclass(frozen=True)
class _Published:
    """What was written in one round."""

    judged: Judged
    encoded: bytes
    largest: int


def cloak_picture(
    source: Path,
    output: Path,
    options: CloakOptions,
    *,
    force: bool = False,
    progress: Progress | None = None,
) -> CloakReport:
    """Cloak a picture file into another.

    Raises:
        NoFaceError: no detector finds a face; nothing is written.
        UsageError: it is cloaked already, and ``options.again`` is false.
        MissingPathError, MediaError: the source cannot be read.
        OutputExistsError, NotWritableError: the output cannot be written.
    """
    refuse_existing(output, force)
    result = cloak_file(source, options, progress=progress)
    write_bytes(output, result.encoded, force=force)
    return result.report


def cloak_file(
    source: Path,
    options: CloakOptions,
    *,
    progress: Progress | None = None,
    plan: Callable[[Plan], None] | None = None,
) -> CloakResult:
    """Cloak a picture file, and hand back the cloaked file's bytes, in the source's format and quality unless others
    are chosen.

    Raises:
        NoFaceError, UsageError, MissingPathError, MediaError: see :func:`cloak_picture`.
    """
    refuse_cloaked(source, options)
    picture = open_picture(source)
    result = cloak_bytes(picture, like_source(options, source), progress=progress, plan=plan)
    if (bits := depth_of(source)) > _BITS:
        note = f"the picture had {bits} bits a channel; it is written with 8"
        result = replace(result, report=replace(result.report, notes=(*result.report.notes, note)))
    return result


def plain_file(source: Path, options: CloakOptions) -> bytes:
    """A picture file without a cloak, encoded as :func:`cloak_file` would: for pictures without a face, so that a
    folder of results is complete and has no locations in it either.
    """
    picture = open_picture(source)
    _refuse_moving(picture)
    return _encoder_for(picture, like_source(options, source)).encode(picture, options.keep_gps)


def cloak_bytes(
    picture: Picture,
    options: CloakOptions,
    *,
    progress: Progress | None = None,
    plan: Callable[[Plan], None] | None = None,
) -> CloakResult:
    """Cloak a decoded picture.

    Args:
        picture: from :func:`provenance.media.picture.open_picture`; is not changed.
        options: see there.
        progress: is told the share of the work done, in [0, 1].
        plan: is told how much work there is, before it begins.

    Returns:
        The encoded picture and its report; ``report.success`` is false where an attacked detector still finds a
        face, which is a partial success and no error.

    Raises:
        NoFaceError: no detector finds a face.
        UsageError: an animated picture, a format that cannot be written, a detector that cannot be attacked.
        MissingModelError: a detector's weights are not on this machine.
    """
    started = time.perf_counter()
    _refuse_moving(picture)
    # 1. Who is looking, and what they see.
    encoder = _encoder_for(picture, options)
    sight = look(picture.pixels, options)
    crew, view, before = sight.crew, sight.view, sight.before
    faces = chosen(sight.seen, options)

    def encoded(pixels: np.ndarray) -> tuple[bytes, np.ndarray]:
        data = encoder.encode(picture.with_pixels(pixels), options.keep_gps)
        return data, open_picture(data).pixels

    def round_trip(pixels: np.ndarray) -> np.ndarray:
        return encoded(pixels)[1]

    # 2. How the picture looks in this encoding without a cloak: what everything is compared with.
    plain = round_trip(picture.pixels)
    strict, levels = options.strict and not encoder.lossless, options.level.levels
    # 3. Search, encode, decode, judge; go on where a face is left.
    recogniser = _recogniser(options, view, faces, before)
    hunter = recogniser if options.recognition else None
    attacked = [*crew.attacked, hunter] if hunter else crew.attacked

    def published(cloaked: np.ndarray) -> _Published:
        if strict:
            cloaked = within_bound(cloaked, picture.pixels, plain, round_trip, levels)
        data, decoded = encoded(cloaked)
        judged = judge(crew.attacked, decoded, faces, before, options.device, hunter, zones=worker.zones)
        return _Published(judged, data, int(np.abs(cloaked.astype(np.int16) - picture.pixels).max()))

    worker = Worker(
        picture,
        attacked,
        encoder,
        options,
        faces,
        sight.everyone,
        view,
        before,
        look=lambda cloaked: published(cloaked).judged,
    )
    if strict:
        places = widen(torch.cat([faces, worker.zones]), CONTEXT).tolist()
        worker.room = room_within(picture.pixels, plain, round_trip, levels, boxes=places, seed=options.seed)
    if plan:
        steps = worker.allowed * (options.rounds + options.restarts)
        seconds = sight.seconds * worker.area * steps * _SEARCHED
        if seconds > _ROUGHLY:
            seconds = worker.seconds_a_step() * len(worker.patches) * steps
        plan(Plan(len(faces), len(worker.patches), worker.allowed, options.rounds, seconds))
    best: _Published | None = None
    for turn in range(options.rounds):
        made = published(worker.turn(turn, progress))
        if best is None or made.judged.trouble(attacked) <= best.judged.trouble(attacked):
            best = made
        worker.learn(made.judged)
        left = best.judged.trouble(attacked)
        # one more round for JPEG 75 and half size; further ones only while a face shows as published
        if left == 0 or options.torchattack or (turn >= 1 and left < WEIGHTS["published"]):
            break
    if best is None:
        raise UsageError("no round was made")
    # 4. What those say whom nothing was made against.
    watcher = None if hunter else recogniser
    verdict = best.judged.plus(
        judge(crew.judging, best.judged.pixels, faces, before, options.device, watcher, zones=worker.zones)
    )
    if progress:
        progress(1.0)
    report = describe(
        verdict,
        options,
        crew.attacked,
        crew.judging,
        sight.everyone,
        faces,
        sight.seen,
        before,
        plain,
        decoys_placed=len(worker.zones),
        largest_noise=best.largest,
        steps=worker.steps,
        seconds=time.perf_counter() - started,
        format_name=encoder.format,
        encoder_quality=encoder.quality,
        lossless=encoder.lossless,
        versions={name: metadata.version(name) for name in ("torch", "numpy", "pillow")},
    )
    return CloakResult(best.encoded, encoder.format, report)


def _recogniser(
    options: CloakOptions, view: View, chosen: Tensor, before: dict[str, Detections]
) -> Recogniser | None:
    """Face recognition for the faces to hide; None where it was not asked for and is not installed."""
    if not options.recognition and locate(model("dlib-face-recognition"), options.weights) is None:
        return None
    return recogniser_for(options.weights, to_tensor(view.pixels, options.device), view.scale, chosen, before)


def _refuse_moving(picture: Picture) -> None:
    if picture.frames > 1:
        raise UsageError(
            f"the picture holds {picture.frames} frames; only still pictures can be cloaked as pictures",
            hint="save one frame as a picture, or turn it into an MP4 file and cloak that",
        )


def _encoder_for(picture: Picture, options: CloakOptions) -> Encoder:
    wanted = format_for(picture.format.name, options.format)
    quality = (options.quality or _DEFAULT_QUALITY) if wanted in LOSSY else None
    return Encoder(wanted, quality)

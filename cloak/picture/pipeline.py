"""The picture pipeline: detect, attack, encode, decode, judge what was decoded, and go on where a face is left.

:func:`cloak_bytes` is the whole of it on a decoded picture; :func:`cloak_picture` is the same from file to
file. :func:`cloak.publish.publish_file` signs the result.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from cloak.assertion import refuse_cloaked
from cloak.detectors.base import Detections
from cloak.detectors.geometry.matching import expand_boxes
from cloak.evaluate.cleaning import found_after_cleaning
from cloak.evaluate.detect import DetectorLoader, detect_all, load_encoders, select_faces
from cloak.evaluate.evaluation import CONDITION_WEIGHTS, Evaluation, evaluate_picture
from cloak.evaluate.report import CloakReport
from cloak.evaluate.reporting import CloakScene, CloakWork, build_report
from cloak.models import model
from cloak.options import CloakOptions
from cloak.picture.bound import enforce_bound, epsilon_scale_within
from cloak.picture.conversion import conversion_notes
from cloak.picture.estimate import WorkEstimate, estimate_work
from cloak.picture.output_format import choose_format, with_source_quality
from cloak.picture.rounds import CONTEXT, LOSSY, ImageEncoder, PatchOptimiser, Progress
from cloak.picture.shrink import shrunk
from cloak.pixels import DisplayedPicture, to_tensor
from cloak.recognition.objective import Recogniser, recogniser_for
from cloak.veils import VeilName
from cloak.veils.grey import without_colour
from provenance.errors import MissingModelError, UsageError
from provenance.media.files import refuse_existing, write_bytes
from provenance.media.picture import Picture, open_picture

_DEFAULT_QUALITY = 95
#: A fast search on so few patches is over before its time could be told.
_FEW_PATCHES = 3


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
class _EncodedRound:
    """The result of one round, encoded."""

    evaluation: Evaluation
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
    on_estimate: Callable[[WorkEstimate], None] | None = None,
    loader: DetectorLoader | None = None,
) -> CloakResult:
    """Cloak a picture file and return the bytes of the cloaked file, by default in the source's format and quality.

    Raises:
        NoFaceError, UsageError, MissingPathError, MediaError: see :func:`cloak_picture`.
    """
    refuse_cloaked(source, options)
    picture = open_picture(source)
    result = cloak_bytes(
        picture,
        with_source_quality(options, source),
        progress=progress,
        on_estimate=on_estimate,
        loader=loader,
    )
    notes, shrunk_from = conversion_notes(source, result.format, len(result.encoded)), None
    if result.report.size != picture.size:
        shrunk_from, now = picture.size, "{} x {}".format(*result.report.size)
        notes = (*notes, f"made smaller first, from {shrunk_from[0]} x {shrunk_from[1]} to {now} pixels")
    notes = (*result.report.notes, *notes)
    return replace(result, report=replace(result.report, notes=notes, shrunk_from=shrunk_from))


def encode_uncloaked(source: Path, options: CloakOptions) -> bytes:
    """A picture file without a cloak, encoded as :func:`cloak_file` would: for pictures without a face, so that a
    folder of results is complete and has no locations in it either.
    """
    picture = open_picture(source)
    refuse_animated(picture)
    picture = shrunk(picture, options.longest)
    return _encoder_for(picture, with_source_quality(options, source)).encode(picture, options.keep_gps)


def cloak_bytes(
    picture: Picture,
    options: CloakOptions,
    *,
    progress: Progress | None = None,
    on_estimate: Callable[[WorkEstimate], None] | None = None,
    loader: DetectorLoader | None = None,
) -> CloakResult:
    """Cloak a decoded picture.

    Args:
        picture: from :func:`provenance.media.picture.open_picture`; is not changed.
        options: see :class:`~cloak.options.CloakOptions`.
        progress: called with the share of the work done, in [0, 1].
        on_estimate: called with the estimated work before it begins.
        loader: loaded detectors, shared by several pictures; None loads them here.

    Returns:
        The encoded picture and its report; ``report.success`` is false where an attacked detector still finds a
        face, which is a partial success and no error.

    Raises:
        NoFaceError: no detector finds a face.
        UsageError: an animated picture, a format that cannot be written, a detector that cannot be attacked.
        MissingModelError: a detector's weights are not on this machine.
    """
    started = time.perf_counter()
    refuse_animated(picture)
    picture = shrunk(picture, options.longest)
    # 1. The detectors, and what they find before.
    encoder = _encoder_for(picture, options)
    initial = detect_all(picture.pixels, options, loader)
    detectors, displayed, before = initial.detectors, initial.displayed, initial.before
    faces = select_faces(initial.confirmed_faces, options)

    if options.chosen_veil is VeilName.FILM_BW:  # what it is compared with is the picture without colours
        picture = picture.with_pixels(without_colour(picture.pixels))

    def encoded(pixels: np.ndarray) -> tuple[bytes, np.ndarray]:
        data = encoder.encode(picture.with_pixels(pixels), options.keep_gps)
        return data, open_picture(data).pixels

    def round_trip(pixels: np.ndarray) -> np.ndarray:
        return encoded(pixels)[1]

    # 2. The uncloaked picture in the same encoding, the reference of all comparisons.
    uncloaked = round_trip(picture.pixels)
    strict, levels = options.strict and not encoder.lossless, options.level.levels
    # 3. Search, encode, decode, evaluate; go on with patches whose faces are still found.
    attacked_recognisers = (
        _recognisers(options, displayed, faces, before, True) if options.recognition else []
    )
    attacked = [*detectors.attacked, *attacked_recognisers]

    def encode_and_evaluate(cloaked: np.ndarray) -> _EncodedRound:
        if strict:
            cloaked = enforce_bound(cloaked, picture.pixels, uncloaked, round_trip, levels)
        data, decoded = encoded(cloaked)
        evaluation = evaluate_picture(
            detectors.attacked,
            decoded,
            faces,
            before,
            options.device,
            attacked_recognisers,
            zones=optimiser.zones,
        )
        return _EncodedRound(evaluation, data, int(np.abs(cloaked.astype(np.int16) - picture.pixels).max()))

    optimiser = PatchOptimiser(
        picture,
        attacked,
        encoder,
        options,
        faces,
        initial.all_faces,
        displayed,
        before,
        evaluate=lambda cloaked: encode_and_evaluate(cloaked).evaluation,
    )
    if strict:
        noise_boxes = expand_boxes(torch.cat([faces, optimiser.zones]), CONTEXT).tolist()
        optimiser.epsilon_scale = epsilon_scale_within(
            picture.pixels, uncloaked, round_trip, levels, boxes=noise_boxes, seed=options.seed
        )
    if on_estimate and not (options.fast and len(optimiser.patches) <= _FEW_PATCHES):
        on_estimate(estimate_work(optimiser, initial, options, len(faces)))
    best: _EncodedRound | None = None
    before_round = float("inf")
    for number in range(options.most_rounds):
        encoded_round = encode_and_evaluate(optimiser.run_round(number, progress))
        if best is None or encoded_round.evaluation.residual(attacked) <= best.evaluation.residual(attacked):
            best = encoded_round
        optimiser.update_pending(encoded_round.evaluation)
        remaining = best.evaluation.residual(attacked)
        # one more round for JPEG 75 and half size; further ones only while a face shows as published and they help
        gained, before_round = remaining < before_round, remaining
        if (
            remaining == 0
            or not gained
            or options.torchattack
            or (number >= 1 and remaining < CONDITION_WEIGHTS["published"])
        ):
            break
    if best is None:
        raise UsageError("no round was made")
    # 4. Detectors and encoders that were not attacked.
    judging_recognisers = _recognisers(
        options, displayed, faces, before, False if options.recognition else None
    )
    full_evaluation = best.evaluation.merged_with(
        evaluate_picture(
            detectors.judging,
            best.evaluation.pixels,
            faces,
            before,
            options.device,
            judging_recognisers,
            zones=optimiser.zones,
        )
    )
    cleaned = (
        {}
        if options.fast
        else found_after_cleaning(detectors.all, best.evaluation.pixels, faces, before, options.device)
    )
    if progress:
        progress(1.0)
    work = CloakWork(
        encoders=tuple(one.name for one in attacked_recognisers),
        decoys_placed=len(optimiser.zones),
        largest_noise=best.largest,
        steps=optimiser.steps,
        seconds=time.perf_counter() - started,
        format=encoder.format,
        encoder_quality=encoder.quality,
        lossless=encoder.lossless,
        cleaned=cleaned,
    )
    report = build_report(full_evaluation, CloakScene(options, initial, faces, uncloaked), work)
    return CloakResult(best.encoded, encoder.format, report)


def _recognisers(
    options: CloakOptions,
    displayed: DisplayedPicture,
    selected: Tensor,
    before: dict[str, Detections],
    attackable: bool | None,
) -> list[Recogniser]:
    """Encoders of faces for the faces to hide: those that cloaks may be made against, those that only judge, or all."""
    shown = to_tensor(displayed.pixels, options.device)
    networks = load_encoders(options, attackable=attackable)
    if attackable and not networks:
        raise MissingModelError(
            "no encoder of faces is on this machine", hint="run " + model("dlib-face-recognition").command
        )
    return [recogniser_for(network, shown, displayed.scale, selected, before) for network in networks]


def refuse_animated(picture: Picture) -> None:
    """Refuse what holds several frames.

    Raises:
        UsageError: it does.
    """
    if picture.frames > 1:
        raise UsageError(
            f"the picture holds {picture.frames} frames; only still pictures can be cloaked as pictures",
            hint="save one frame as a picture, or turn it into an MP4 file and cloak that",
        )


def _encoder_for(picture: Picture, options: CloakOptions) -> ImageEncoder:
    wanted = choose_format(picture.format.name, options.format)
    quality = (options.quality or _DEFAULT_QUALITY) if wanted in LOSSY else None
    return ImageEncoder(wanted, quality)

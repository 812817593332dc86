"""Evaluation of decoded videos by detectors and face recognition."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from cloak.detectors.base import FaceDetector
from cloak.detectors.geometry.matching import faces_found
from cloak.evaluate.quality import compare, crop
from cloak.pixels import display_picture, render_conditions, to_tensor
from cloak.recognition.objective import Encoder, recogniser_for
from cloak.veils.visibility import dislike
from cloak.video.count import DetectorCounter, RecognitionCounter
from cloak.video.detectors import detect_near, recognition_distances
from cloak.video.io import Frame, VideoInfo, frames, probe
from cloak.video.render import face_flicker, face_flip
from cloak.video.report import VideoDetectorReport, VideoRecognitionReport
from cloak.video.state import VideoAnalysis
from provenance.errors import TamperedError

#: Number of frames in the final evaluation, evenly spread.
MAX_EVALUATED = 60
#: Position of the finally evaluated frames within each detection interval; the rounds evaluate other frames.
EVALUATED_PART = 0.8
Progress = Callable[[float], None]


@dataclass
class VideoEvaluation:
    """What every detector finds in a video, and how visible the noise is.

    Attributes:
        frames: how many were judged.
        display_size: width and height of what detectors were shown.
        detectors: see there.
        psnrs, ssims, flips, dislikes: of the faces in the judged frames.
        flickers, originals: what of the noise, and of the uncloaked film, is new on them since the frame before.
        zones: how many decoys were to be seen, all judged frames together.
        recognition: what encoders of faces make of them, one entry an encoder.
    """

    frames: int = 0
    display_size: tuple[int, int] = (0, 0)
    detectors: list[VideoDetectorReport] = field(default_factory=list)
    psnrs: list[float] = field(default_factory=list)
    ssims: list[float] = field(default_factory=list)
    flips: list[float] = field(default_factory=list)
    dislikes: list[float] = field(default_factory=list)
    flickers: list[float] = field(default_factory=list)
    originals: list[float] = field(default_factory=list)
    zones: int = 0
    recognition: tuple[VideoRecognitionReport, ...] = ()


def evaluation_frames(analysis: VideoAnalysis, offset: float) -> list[int]:
    """Frames with faces to hide: one in each detection interval.

    Args:
        offset: how far into each step from one to the next, in [0, 1): other parts are other frames.
    """
    starts = sorted(analysis.shots)
    chosen: list[int] = []
    for first, end in zip(starts, [*starts[1:], analysis.frames], strict=True):
        begin = first + int(offset * analysis.interval)
        chosen.extend(range(begin, end, analysis.interval) if begin < end else [first])
    return [frame for frame in chosen if any(track.covers(frame) for track in analysis.faces)]


def faces_at(analysis: VideoAnalysis, frame: int) -> tuple[list[int], Tensor]:
    """Which faces are in a frame, by their tracks' numbers, and their boxes ``(N, 4)``."""
    present = [index for index, track in enumerate(analysis.faces) if track.covers(frame)]
    boxes = np.array([analysis.tracks[index].box(frame) for index in present], np.float32).reshape(-1, 4)
    return present, torch.from_numpy(boxes)


def check_written(path: Path, source: VideoInfo, frame_count: int) -> None:
    """Raise :class:`TamperedError` unless the written file has the source's size, turning and number of frames."""
    found = probe(path)
    count = sum(1 for _ in frames(found))
    if (found.size, found.turns, count) != (source.size, source.turns, frame_count):
        raise TamperedError(
            f"the written video has {count} frames of {found.size}, turned by {found.turns}; expected "
            f"{frame_count} of {source.size}, turned by {source.turns}"
        )


def find_unresolved(
    cloaked: Path,
    analysis: VideoAnalysis,
    attacked: Sequence[FaceDetector],
    device: str,
    offset: float,
    progress: Progress = lambda _: None,
    *,
    plain: Path | None = None,
    networks: Sequence[Encoder] = (),
) -> dict[tuple[int, int], set[tuple[str, str]]]:
    """Where attacked detectors find faces in the encoded video: by track and frame, the pairs that do.

    Args:
        offset: of :func:`evaluation_frames`.
        plain: the same encoding without noise, for the networks.
        networks: encoders of faces, which are asked, too, whether they know the faces.
    """
    wanted = set(evaluation_frames(analysis, offset))
    unresolved: dict[tuple[int, int], set[tuple[str, str]]] = {}
    versions = [cloaked, *([plain] if plain is not None and networks else [])]
    for shown in _read_together(versions):
        frame = shown[0]
        if frame.index in wanted:
            present, faces = faces_at(analysis, frame.index)
            displayed = display_picture(frame.rgb())
            places = faces * displayed.scale
            detected = {
                one.name: faces_found(detect_near(one, displayed.pixels, places, device), places).tolist()
                for one in attacked
            }
            if networks and len(shown) > 1:
                before = display_picture(shown[1].rgb())
                reports = {one.name: detect_near(one, before.pixels, places, device) for one in attacked}
                clean = to_tensor(before.pixels, device)
                for network in networks:
                    recogniser = recogniser_for(network, clean, before.scale, faces, reports)
                    gaps = recognition_distances(recogniser, displayed.pixels, device)
                    detected[network.name] = [gap < network.same_person for gap in gaps]
            for name, found in detected.items():
                for index, is_detected in zip(present, found, strict=True):
                    if is_detected:
                        unresolved.setdefault((index, frame.index), set()).add((name, "published"))
        progress((frame.index + 1) / analysis.frames)
    return unresolved


def evaluate_video(
    cloaked: Path,
    plain: Path,
    control: Path | None,
    analysis: VideoAnalysis,
    attacked: Sequence[FaceDetector],
    judging: Sequence[FaceDetector],
    device: str,
    progress: Progress = lambda _: None,
    *,
    attacked_encoders: Sequence[Encoder] = (),
    judging_encoders: Sequence[Encoder] = (),
) -> VideoEvaluation:
    """Show frames of the encoded versions to every detector: others than those that led the search.

    Args:
        plain: the same encoding without noise; what a detector finds there is what counts.
        control: with other noise of equal energy, or None.
        network: of face recognition, to be asked, too.
        recognition_attacked: the cloak was made against it.
    """
    candidates = evaluation_frames(analysis, EVALUATED_PART)
    step = max(1, -(-len(candidates) // MAX_EVALUATED))
    wanted = set(candidates[::step])
    result = VideoEvaluation()
    all_detectors = [*attacked, *judging]
    counts = {one.name: DetectorCounter(one, one in attacked, control is not None) for one in all_detectors}
    encoders = [
        RecognitionCounter(network, is_attacked, control is not None)
        for networks, is_attacked in ((attacked_encoders, True), (judging_encoders, False))
        for network in networks
    ]
    earlier: tuple[np.ndarray, np.ndarray] | None = None
    for versions in _read_together([cloaked, plain, *([control] if control else [])]):
        index = versions[0].index
        pixels = [one.rgb() for one in versions] if index in wanted else []
        if pixels:
            _, faces = faces_at(analysis, index)
            views = [display_picture(one) for one in pixels]
            renderings = render_conditions(views[0].pixels)
            zones = torch.from_numpy(analysis.zones(index))
            reports = {
                name: one.add_frame(views, renderings, faces, zones, device) for name, one in counts.items()
            }
            for encoder in encoders:
                encoder.add_frame(views, renderings, faces, reports, device)
            result.frames += 1
            result.zones += len(zones)
            result.display_size = (views[0].pixels.shape[1], views[0].pixels.shape[0])
            _measure_quality(result, pixels, faces, earlier)
        earlier = _clean_and_noise(versions) if index + 1 in wanted else None
        progress((index + 1) / analysis.frames)
    result.detectors = [one.report() for one in counts.values()]
    result.recognition = tuple(one.report() for one in encoders)
    return result


def _read_together(paths: Sequence[Path]) -> Iterator[tuple[Frame, ...]]:
    return zip(*(frames(probe(path)) for path in paths), strict=True)


def _clean_and_noise(versions: Sequence[Frame]) -> tuple[np.ndarray, np.ndarray]:
    cloaked, plain = versions[0].rgb(), versions[1].rgb()
    return plain, cloaked.astype(np.int16) - plain


def _measure_quality(
    result: VideoEvaluation,
    pixels: Sequence[np.ndarray],
    faces: Tensor,
    earlier: tuple[np.ndarray, np.ndarray] | None,
) -> None:
    later = (pixels[1], pixels[0].astype(np.int16) - pixels[1])
    for x1, y1, x2, y2 in faces.tolist():
        clean, shown = (crop(one, (x1, y1, x2, y2)) for one in (pixels[1], pixels[0]))
        quality = compare(clean, shown, perceptual=False)
        result.psnrs.append(min(quality.psnr, 99.0))
        result.ssims.append(quality.ssim)
        result.flips.append(face_flip(clean, shown))
        result.dislikes.append(dislike(clean, shown).total)
        if earlier is not None and (values := face_flicker(np.array([x1, y1, x2, y2]), earlier, later)):
            result.flickers.append(values.flicker)
            result.originals.append(values.original)

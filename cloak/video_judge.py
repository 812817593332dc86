"""Asking detectors about frames of decoded videos."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from cloak.detectors.base import FaceDetector
from cloak.judge import ask, under_conditions, view_of, which_found
from cloak.quality import compare, crop
from cloak.video_io import Frame, VideoInfo, frames, probe
from cloak.video_render import face_flicker
from cloak.video_report import VideoDetectorReport
from cloak.video_state import Plan
from provenance.errors import TamperedError

#: So many frames are shown to every detector in the end, evenly chosen from those that faces were looked for in.
MAX_JUDGED = 60
#: Which part of each step between looks the final judgement is about; the rounds look at others.
JUDGED_PART = 0.8
Progress = Callable[[float], None]


@dataclass
class VideoJudged:
    """What every detector sees, and what the difference looks like.

    Attributes:
        frames: how many were judged.
        shown: width and height of what detectors were shown.
        detectors: see there.
        psnrs, ssims, flickers: of the faces in the judged frames.
    """

    frames: int = 0
    shown: tuple[int, int] = (0, 0)
    detectors: list[VideoDetectorReport] = field(default_factory=list)
    psnrs: list[float] = field(default_factory=list)
    ssims: list[float] = field(default_factory=list)
    flickers: list[float] = field(default_factory=list)


def looked_at(plan: Plan, part: float) -> list[int]:
    """Frames with faces to hide, as many as faces were looked for in.

    Args:
        part: how far into each step from one to the next, in [0, 1): other parts are other frames.
    """
    starts = sorted(plan.shots)
    chosen: list[int] = []
    for first, end in zip(starts, [*starts[1:], plan.frames], strict=True):
        begin = first + int(part * plan.every)
        chosen.extend(range(begin, end, plan.every) if begin < end else [first])
    return [frame for frame in chosen if any(track.first <= frame <= track.last for track in plan.tracks)]


def faces_at(plan: Plan, frame: int) -> tuple[list[int], Tensor]:
    """Which tracks are in a frame, and their boxes ``(N, 4)``."""
    present = [index for index, track in enumerate(plan.tracks) if track.first <= frame <= track.last]
    boxes = np.array([plan.tracks[index].box(frame) for index in present], np.float32).reshape(-1, 4)
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


def still_found(
    cloaked: Path,
    plan: Plan,
    attacked: Sequence[FaceDetector],
    device: str,
    part: float,
    progress: Progress = lambda _: None,
) -> dict[tuple[int, int], set[tuple[str, str]]]:
    """Where attacked detectors find faces in the encoded video: by track and frame, the pairs that do.

    Args:
        part: of :func:`looked_at`.
    """
    wanted = set(looked_at(plan, part))
    left: dict[tuple[int, int], set[tuple[str, str]]] = {}
    for frame in frames(probe(cloaked)):
        if frame.index in wanted:
            present, faces = faces_at(plan, frame.index)
            view = view_of(frame.rgb())
            for detector in attacked:
                hits = which_found(ask(detector, view.pixels, device), faces * view.scale)
                for index, hit in zip(present, hits, strict=True):
                    if hit:
                        left.setdefault((index, frame.index), set()).add((detector.name, "published"))
        progress((frame.index + 1) / plan.frames)
    return left


def judge_video(
    cloaked: Path,
    plain: Path,
    control: Path | None,
    plan: Plan,
    attacked: Sequence[FaceDetector],
    judging: Sequence[FaceDetector],
    device: str,
    progress: Progress = lambda _: None,
) -> VideoJudged:
    """Show frames of the encoded versions to every detector: others than those that led the search.

    Args:
        plain: the same encoding without noise; what a detector finds there is what counts.
        control: with other noise of equal energy, or None.
    """
    candidates = looked_at(plan, JUDGED_PART)
    step = max(1, -(-len(candidates) // MAX_JUDGED))
    wanted = set(candidates[::step])
    result = VideoJudged()
    everyone = [*attacked, *judging]
    empty = {"published": 0, "jpeg75": 0, "half": 0}
    counts = {
        one.name: VideoDetectorReport(
            one.name, one.family, one in attacked, 0, dict(empty), 0 if control else None
        )
        for one in everyone
    }
    earlier: tuple[np.ndarray, np.ndarray] | None = None
    for versions in _side_by_side([cloaked, plain, *([control] if control else [])]):
        index = versions[0].index
        pixels = [one.rgb() for one in versions] if index in wanted else []
        if pixels:
            _, faces = faces_at(plan, index)
            for detector in everyone:
                counts[detector.name] = _count(counts[detector.name], detector, pixels, faces, device)
            result.frames += 1
            view = view_of(pixels[0])
            result.shown = (view.pixels.shape[1], view.pixels.shape[0])
            _look(result, pixels, faces, earlier)
        earlier = _pair(versions) if index + 1 in wanted else None
        progress((index + 1) / plan.frames)
    result.detectors = list(counts.values())
    return result


def _side_by_side(paths: Sequence[Path]) -> Iterator[tuple[Frame, ...]]:
    return zip(*(frames(probe(path)) for path in paths), strict=True)


def _pair(versions: Sequence[Frame]) -> tuple[np.ndarray, np.ndarray]:
    cloaked, plain = versions[0].rgb(), versions[1].rgb()
    return plain, cloaked.astype(np.int16) - plain


def _look(
    result: VideoJudged,
    pixels: Sequence[np.ndarray],
    faces: Tensor,
    earlier: tuple[np.ndarray, np.ndarray] | None,
) -> None:
    later = (pixels[1], pixels[0].astype(np.int16) - pixels[1])
    for x1, y1, x2, y2 in faces.tolist():
        quality = compare(
            crop(pixels[1], (x1, y1, x2, y2)), crop(pixels[0], (x1, y1, x2, y2)), perceptual=False
        )
        result.psnrs.append(min(quality.psnr, 99.0))
        result.ssims.append(quality.ssim)
        if earlier is not None and (values := face_flicker(np.array([x1, y1, x2, y2]), earlier, later)):
            result.flickers.append(values[1])


def _count(
    report: VideoDetectorReport,
    detector: FaceDetector,
    pixels: Sequence[np.ndarray],
    faces: Tensor,
    device: str,
) -> VideoDetectorReport:
    views = [view_of(one) for one in pixels]
    scale = views[0].scale
    was = which_found(ask(detector, views[1].pixels, device), faces * scale)

    def still(shown: np.ndarray, factor: float) -> int:
        hits = which_found(ask(detector, shown, device), faces * scale * factor)
        return sum(hit and before for hit, before in zip(hits, was, strict=True))

    after = {
        name: report.after[name] + still(shown, factor)
        for name, (shown, factor) in under_conditions(views[0].pixels).items()
    }
    control = report.control
    if control is not None:
        control += still(views[2].pixels, 1.0)
    return replace(report, before=report.before + sum(was), after=after, control=control)

"""The picture pipeline: detect, attack, encode, decode, judge what was decoded, and go on where a face is left.

:func:`cloak_bytes` is the whole of it on a decoded picture; :func:`cloak_picture` is the same from file to
file. Signing the result is the caller's business.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from cloak import detectors as detector_list
from cloak.attack import Condition, Goals, Schedule, Task, conditions, optimise
from cloak.budget import context_mask, visibility_mask
from cloak.decoys import place_decoys
from cloak.detectors.base import Detections, FaceDetector
from cloak.judge import View, find_faces, to_tensor, view_of
from cloak.options import CloakOptions
from cloak.outcome import WEIGHTS, Judged, describe, judge
from cloak.regions import Patch, plan_patches
from cloak.report import CloakReport
from provenance.atomic import refuse_existing, write_bytes
from provenance.errors import NoFaceError, UsageError
from provenance.media import Picture, detect_format, encode_picture, open_picture

#: How far noise reaches beyond a face, in face sizes.
CONTEXT = 0.25
_WRITABLE = ("JPEG", "PNG", "WebP", "TIFF", "AVIF", "BMP")
_LOSSY = ("JPEG", "WebP", "AVIF")
_DEFAULT_QUALITY = 95
_SUBSAMPLED_BELOW = 90

Progress = Callable[[float], None]


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
class _Crew:
    """The detectors at hand."""

    attacked: list[FaceDetector]
    judging: list[FaceDetector]

    @property
    def all(self) -> list[FaceDetector]:
        return self.attacked + self.judging


@dataclass(frozen=True)
class _Encoder:
    """How the result is written."""

    format: str
    quality: int | None

    @property
    def lossless(self) -> bool:
        return self.format not in _LOSSY or (self.format == "WebP" and self.quality == 100)

    def conditions(self, patch: Patch) -> list[Condition]:
        slide = max(1, min(24, patch.height // 8, patch.width // 8))
        quality = None if self.lossless else self.quality
        return conditions(quality, subsample=(quality or 100) < _SUBSAMPLED_BELOW, slide=slide)

    def encode(self, picture: Picture, keep_gps: bool) -> bytes:
        return encode_picture(picture, self.format, quality=self.quality, keep_gps=keep_gps)


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
    refuse_cloaked(source, options)
    result = cloak_bytes(open_picture(source), options, progress=progress)
    write_bytes(output, result.encoded, force=force)
    return result.report


def already_cloaked(source: Path) -> bool:
    """Does the file's manifest say that it was cloaked? Nothing is verified, and a stripped file says nothing."""
    from provenance.manifest import carries_manifest
    from provenance.manifest_read import read_manifest

    media_type = detect_format(source).mime
    if not carries_manifest(source, media_type):
        return False
    report = read_manifest(source, media_type, anchors_pem=())
    return report is not None and any(
        action["action"] == "c2pa.filtered" and "against face detectors" in action["description"]
        for action in report.actions
    )


def refuse_cloaked(source: Path, options: CloakOptions) -> None:
    """Raise :class:`UsageError` for a file that is cloaked already, unless ``options.again``."""
    if not options.again and already_cloaked(source):
        raise UsageError(
            f"{source} is cloaked already; a second cloak adds visible noise on top",
            hint="cloak the original, or add --again",
        )


def cloak_bytes(picture: Picture, options: CloakOptions, *, progress: Progress | None = None) -> CloakResult:
    """Cloak a decoded picture.

    Args:
        picture: from :func:`provenance.media.open_picture`; is not changed.
        options: see there.
        progress: is told the share of the work done, in [0, 1].

    Returns:
        The encoded picture and its report; ``report.success`` is false where an attacked detector still finds a
        face, which is a partial success and no error.

    Raises:
        NoFaceError: no detector finds a face.
        UsageError: an animated picture, a format that cannot be written, a detector that cannot be attacked.
        MissingModelError: a detector's weights are not on this machine.
    """
    started = time.perf_counter()
    if picture.frames > 1:
        raise UsageError(
            f"the picture holds {picture.frames} frames; only still pictures can be cloaked as pictures",
            hint="save one frame as a picture, or cloak it as a video",
        )
    # 1. Who is looking, and what they see.
    crew = _gather(options)
    encoder = _encoder_for(picture, options)
    view = view_of(picture.pixels)
    everyone, before = find_faces(crew.all, view.pixels, options.device)
    seen = everyone[_seen_by_any(everyone, before, crew.attacked)]
    chosen = _chosen(seen, options) / view.scale
    # 2. How the picture looks in this encoding without a cloak: what everything is compared with.
    plain = open_picture(encoder.encode(picture, options.keep_gps)).pixels
    # 3. Search, encode, decode, judge; go on where a face is left.
    worker = _Worker(picture, crew.attacked, encoder, options, chosen, everyone / view.scale, view, before)
    best: tuple[Judged, bytes] | None = None
    for turn in range(options.rounds):
        cloaked = worker.turn(turn, progress)
        encoded = encoder.encode(picture.with_pixels(cloaked), options.keep_gps)
        decoded = open_picture(encoded).pixels
        judged = judge(crew.all, decoded, chosen, before, options.device)
        if best is None or judged.trouble(crew.attacked) <= best[0].trouble(crew.attacked):
            best = (judged, encoded)
        worker.learn(judged)
        left = best[0].trouble(crew.attacked)
        # one more round for JPEG 75 and half size; further ones only while a face shows as published
        if left == 0 or options.library_attack or (turn >= 1 and left < WEIGHTS["published"]):
            break
    if best is None:
        raise UsageError("no round was made")
    if progress:
        progress(1.0)
    report = describe(
        best[0],
        options,
        crew.attacked,
        crew.judging,
        everyone / view.scale,
        chosen,
        before,
        plain,
        largest_noise=worker.largest,
        steps=worker.steps,
        seconds=time.perf_counter() - started,
        format_name=encoder.format,
        encoder_quality=encoder.quality,
        lossless=encoder.lossless,
        versions={name: metadata.version(name) for name in ("torch", "numpy", "pillow")},
    )
    return CloakResult(best[1], encoder.format, report)


class _Worker:
    """Keeps each patch's noise between the rounds."""

    def __init__(
        self,
        picture: Picture,
        attacked: list[FaceDetector],
        encoder: _Encoder,
        options: CloakOptions,
        chosen: Tensor,
        everyone: Tensor,
        view: View,
        before: dict[str, Detections],
    ) -> None:
        self.pixels, self.options, self.attacked, self.encoder = picture.pixels, options, attacked, encoder
        self.grey = picture.is_grey or _looks_grey(picture.pixels)
        self.chosen, self.view, self.before = chosen, view, before
        self.zones = place_decoys(picture.pixels, everyone, options.decoys, options.seed)
        size = picture.pixels.shape[:2]
        self.patches = plan_patches(size, torch.cat([chosen, self.zones]))
        self.noises: list[Tensor | None] = [None] * len(self.patches)
        self.pending = list(range(len(self.patches)))
        self.stubborn: set[tuple[str, str]] = set()
        self.steps = self.largest = 0

    def turn(self, number: int, progress: Progress | None) -> np.ndarray:
        """Work on the pending patches; the cloaked pixels of the whole picture."""
        for place, index in enumerate(self.pending):

            def report(share: float, place: int = place) -> None:
                if progress:
                    within = (place + share) / len(self.pending)
                    progress(min(0.99, (number + within) / self.options.rounds))

            self._work(index, number, report)
        canvas = np.zeros(self.pixels.shape, np.int16)
        for patch, noise in zip(self.patches, self.noises, strict=True):
            if noise is not None:
                _add(canvas, patch, noise)
        levels = self.options.level.levels
        moved = self.pixels.astype(np.int16) + np.clip(canvas, -levels, levels)
        cloaked = np.clip(moved, 0, 255).astype(np.uint8)
        self.largest = int(np.abs(cloaked.astype(np.int16) - self.pixels).max())
        return cloaked

    def learn(self, judged: Judged) -> None:
        """Next time, work on the patches whose faces an attacked detector still finds."""
        names = {detector.name for detector in self.attacked}
        left = {
            face
            for (name, _), hits in judged.hits.items()
            if name in names
            for face, hit in enumerate(hits)
            if hit
        }
        self.pending = [i for i, patch in enumerate(self.patches) if left & set(patch.faces)]
        self.stubborn = {pair for pair, hits in judged.hits.items() if pair[0] in names and any(hits)}

    def _work(self, index: int, number: int, progress: Progress) -> None:
        options, patch = self.options, self.patches[index]
        met = self.encoder.conditions(patch)
        task = self._task(patch, index)
        if options.library_attack:
            from cloak.adapter import run_torchattack

            outcome = run_torchattack(
                options.library_attack,
                task,
                self.attacked,
                met,
                steps=options.steps,
                seed=options.seed,
            )
        else:
            least = min(20 * number, options.steps)
            schedule = Schedule(steps=options.steps, least=least, seed=options.seed + number)
            goals = Goals(
                decoy=0.3 if len(task.zones) else 0.0, landmark=0.3 if options.displace_landmarks else 0.0
            )
            outcome = optimise(
                task,
                self.attacked,
                met,
                goals=goals,
                schedule=schedule,
                start=self.noises[index],
                stubborn=self.stubborn,
                progress=progress,
            )
        self.noises[index] = outcome.noise
        self.steps += outcome.steps

    def _task(self, patch: Patch, index: int) -> Task:
        device, strength = self.options.device, self.options.level
        clean = _cut(self.pixels, patch, device)
        count = len(self.chosen)
        faces = patch.boxes(self.chosen[[i for i in patch.faces if i < count]]).to(device)
        zones = patch.boxes(self.zones[[i - count for i in patch.faces if i >= count]]).to(device)
        size = (patch.height, patch.width)
        share = torch.maximum(context_mask(size, faces, CONTEXT), context_mask(size, zones, 0.1))
        limit = strength.epsilon * visibility_mask(clean, smooth=strength.smooth_share) * share
        return Task(
            clean=clean,
            faces=faces,
            limit=limit,
            grey=self.grey,
            energy=strength.energy,
            zones=zones,
            landmarks=self._landmarks(patch) if self.options.displace_landmarks else {},
            wide=self._wide(patch, index),
        )

    def _landmarks(self, patch: Patch) -> dict[str, list[Tensor]]:
        """Where each detector sees each face's landmarks in the clean picture; empty where it does not."""
        from cloak.objective import of_faces

        result = {}
        faces = self.chosen[[i for i in patch.faces if i < len(self.chosen)]]
        for name, report in self.before.items():
            if report.landmarks is None:
                continue
            boxes, points = report.boxes / self.view.scale, report.landmarks / self.view.scale
            same = of_faces(boxes, faces)
            result[name] = [
                patch.boxes(points[same[:, i].nonzero()[0, 0]].repeat(1, 2))[:, :2].to(self.options.device)
                if bool(same[:, i].any())
                else torch.zeros(0, 2)
                for i in range(len(faces))
            ]
        return result

    def _wide(self, patch: Patch, index: int) -> tuple[Callable[[Tensor], Tensor], Tensor]:
        """The whole picture at a small size, with this patch's noise and that of the others in it."""
        from cloak.wide import WideView

        view = WideView(self.pixels, self.options.device)
        others = [
            (other, noise)
            for i, (other, noise) in enumerate(zip(self.patches, self.noises, strict=True))
            if i != index and noise is not None
        ]
        faces = self.chosen[[i for i in patch.faces if i < len(self.chosen)]]
        return view.composer(patch, others), view.boxes(faces)


def _gather(options: CloakOptions) -> _Crew:
    present = detector_list.available(options.weights)
    names = options.detectors or tuple(detector_list.available(options.weights, differentiable=True))
    for name in names:
        if not detector_list.info(name).differentiable:
            raise UsageError(
                f"{name} cannot be attacked, it only judges", hint="leave it out of the detectors"
            )
    if not names:
        # say which weights are missing, through the loader's own message
        names = ("mtcnn",)
    judges = options.judges if options.judges is not None else tuple(present)
    attacked = [_loaded(name, options) for name in dict.fromkeys(names)]
    judging = [_loaded(name, options) for name in dict.fromkeys(judges) if name not in names]
    return _Crew(attacked, judging)


def _loaded(name: str, options: CloakOptions) -> FaceDetector:
    detector = detector_list.load(name, options.device, options.weights)
    # variants of one class are told apart by the name they were asked for
    detector.name = name  # type: ignore[misc]
    return detector


def _encoder_for(picture: Picture, options: CloakOptions) -> _Encoder:
    names = {name.lower(): name for name in _WRITABLE} | {"jpg": "JPEG", "tif": "TIFF"}
    if options.format is not None:
        wanted = names.get(options.format.lower().lstrip("."))
        if wanted is None:
            raise UsageError(f"cannot write {options.format!r}", hint=f"choose one of {', '.join(_WRITABLE)}")
    else:
        wanted = picture.format.name if picture.format.name in _WRITABLE else "JPEG"
    quality = (options.quality or _DEFAULT_QUALITY) if wanted in _LOSSY else None
    return _Encoder(wanted, quality)


def _seen_by_any(faces: Tensor, reports: dict[str, Detections], detectors: list[FaceDetector]) -> Tensor:
    """``(N,)`` bool: which faces an attacked detector reports."""
    from cloak.objective import found

    seen = torch.zeros(len(faces), dtype=torch.bool)
    for detector in detectors:
        seen |= found(reports[detector.name], faces)
    return seen


def _chosen(faces: Tensor, options: CloakOptions) -> Tensor:
    if len(faces) == 0:
        raise NoFaceError(
            "no detector finds a face in the picture",
            hint="there is nothing to hide; a very small or turned face may need a crop",
        )
    if options.faces is None:
        return faces
    if max(options.faces) >= len(faces):
        raise UsageError(
            f"there are {len(faces)} faces, numbered from 0; face {max(options.faces)} is not there"
        )
    return faces[list(dict.fromkeys(options.faces))]


def _looks_grey(pixels: np.ndarray) -> bool:
    return bool((pixels[..., 0] == pixels[..., 1]).all() and (pixels[..., 1] == pixels[..., 2]).all())


def _cut(pixels: np.ndarray, patch: Patch, device: str) -> Tensor:
    part = np.ascontiguousarray(pixels[patch.top : patch.bottom, patch.left : patch.right])
    return patch.shrink(to_tensor(part, device))


def _add(canvas: np.ndarray, patch: Patch, noise: Tensor) -> None:
    """Add a patch's noise to the canvas, in whole levels; where patches meet, the larger change counts."""
    spread = (patch.spread(noise)[0] * 255).round().to(torch.int16).permute(1, 2, 0).cpu().numpy()
    target = canvas[patch.top : patch.bottom, patch.left : patch.right]
    np.copyto(target, spread, where=np.abs(spread) > np.abs(target))

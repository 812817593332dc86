"""Two passes over the source: the first finds shots and faces, the second searches the noise."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from cloak.attack.budget import context_mask, project, visibility_mask
from cloak.attack.conditions import Condition, cleaned
from cloak.attack.evaluation import evaluate_noise
from cloak.attack.input_policy import input_policy_of
from cloak.attack.search import optimise
from cloak.attack.task import Goals, Schedule, Task
from cloak.detectors.base import FaceDetector
from cloak.detectors.geometry.matching import faces_found
from cloak.detectors.geometry.rendering import Rendering
from cloak.options import CloakOptions
from cloak.picture.rounds import CONTEXT, LEAST_WEIGHT
from cloak.pixels import display_picture
from cloak.recognition.objective import Encoder
from cloak.veils import VeilName
from cloak.video.decoys import place_in_video
from cloak.video.detectors import WindowRecogniser, detect_in_frame, window_detectors, window_landmarks
from cloak.video.flow import FlowTracker
from cloak.video.io import VideoInfo, frames
from cloak.video.options import VideoOptions
from cloak.video.patches import MovingNoise
from cloak.video.state import VideoAnalysis, WindowNoise, WorkState
from cloak.video.tracks import SMALL_WIDTH, ShotDetector, Tracker
from cloak.video.veil import WindowVeil, display_scale, face_side, to_levels, to_noise
from cloak.video.window import Window
from provenance.errors import CorruptMediaError

Progress = Callable[[float], None]
#: CRFs of x264 and the qualities of JPEG (chroma halved) that leave as much of a cloaked face, by PSNR: 38.3, 37.4,
#: 36.0 and 33.8 dB at CRF 18, 20, 23 and 28 on a head of 360 pixels.
_EQUIVALENT_QUALITIES = ((0, 18, 20, 23, 28, 40), (95, 90, 85, 75, 48, 30))
#: As for pictures: how far noise reaches beyond a decoy, in its sizes, and what counts beside hiding.
_DECOY_CONTEXT, _DECOY_GOAL, _LANDMARK_GOAL = 0.1, 0.3, 0.3
#: A decoy keeps the noise of the window before while at least this share of the detectors reports it.
_MIN_DECOY_DETECTIONS = 0.5
#: A remainder of fewer frames than this joins the window before it.
_MIN_WINDOW = 6


def analyse_video(
    info: VideoInfo,
    attacked: Sequence[FaceDetector],
    options: CloakOptions,
    video: VideoOptions,
    expected: int,
    progress: Progress,
) -> VideoAnalysis:
    """Find the shots and, some times a second, the faces.

    Args:
        expected: how many frames there may be, for the progress.

    Raises:
        CorruptMediaError: not one frame can be decoded.
    """
    interval = max(1, round(float(info.rate) / video.detection_rate))
    cuts, tracker = ShotDetector(), Tracker(interval)
    families = {detector.name: detector.family for detector in attacked}
    shots: list[int] = []
    count = end = 0
    for frame in frames(info):
        count = frame.index + 1
        if cuts.begins_shot(frame.luma(SMALL_WIDTH)):
            shots.append(frame.index)
            tracker.start_shot(frame.index)
        if (frame.index - shots[-1]) % interval == 0:
            displayed = display_picture(frame.rgb())
            reports = detect_in_frame(attacked, displayed.pixels, options.device)
            for report in reports.values():
                report.boxes.div_(displayed.scale)
            tracker.update(frame.index, reports, families, shots[-1])
        # frames that never arrived are no part of the last one that did
        end = frame.pts + min(frame.duration, frame.coded.duration or frame.duration)
        progress(min(1.0, count / max(1, expected)))
    if not count:
        raise CorruptMediaError(f"{info.path.name} holds no frame that can be decoded")
    _check_complete(info, end)
    named = options.detectors is not None
    tracks = tuple(track for track in tracker.close(count) if track.is_confirmed(named))
    analysis = VideoAnalysis(count, tuple(shots), interval, tracks)
    if options.decoys and tracks:
        decoys = place_in_video(info, analysis, options.decoys, options.seed)
        analysis = replace(analysis, tracks=(*tracks, *decoys))
    return analysis


def _check_complete(info: VideoInfo, end: int) -> None:
    """Raise :class:`CorruptMediaError` where frames are missing at the end, as of a broken download."""
    missing = 0.0 if info.end is None else float((info.end - end) * info.time_base)
    if info.end is not None and missing > max(1.0, 0.05 * float(info.end * info.time_base)):
        raise CorruptMediaError(
            f"{info.path.name} can be decoded up to {float(end * info.time_base):.1f} s of "
            f"{float(info.end * info.time_base):.1f} s",
            hint="get a fresh copy; or save what is left of it as a new file, and cloak that",
        )


class VideoOptimiser:
    """Searches the noise of every window, in one pass over the source.

    Args:
        info, analysis, state, attacked, options, video: of the job.
        networks: encoders of faces, to be misled, too.
    """

    def __init__(
        self,
        info: VideoInfo,
        analysis: VideoAnalysis,
        state: WorkState,
        attacked: Sequence[FaceDetector],
        options: CloakOptions,
        video: VideoOptions,
        networks: Sequence[Encoder] = (),
    ) -> None:
        self.info, self.analysis, self.state, self.networks = info, analysis, state, list(networks)
        self.attacked, self.options, self.video = list(attacked), options, video
        self.sides, self.top_left_sides = (
            sorted({int(getattr(one, "side", 0)) for one in attacked if _needs_square(one, top_left)} - {0})
            for top_left in (False, True)
        )
        self.face_side = face_side(options.chosen_veil, fast=options.fast)
        #: The largest change of a value, in shares of the whole range.
        self.limit = options.level.epsilon if options.chosen_veil is VeilName.NOISE else 1.0
        self._open: dict[int, Window] = {}
        self._carriers: dict[int, tuple[int, MovingNoise]] = {}
        self._starts: dict[int, Tensor | None] = {}

    def first_pass(self, progress: Progress) -> None:
        """Search the noise of every window that has none yet; each result is saved at once."""
        if all(self._is_covered(index) for index in range(len(self.analysis.tracks))):
            return
        for frame in frames(self.info):
            pixels: np.ndarray | None = None
            for index, track in enumerate(self.analysis.tracks):
                if not track.first <= frame.index <= track.last + 1:
                    continue
                if pixels is None:
                    pixels = frame.rgb()
                self._process_frame(index, frame.index, pixels)
            progress((frame.index + 1) / self.analysis.frames)
        for index in list(self._open):
            self._finish(index)

    def refine(
        self, windows: dict[tuple[int, int], set[tuple[str, str]]], round_number: int, progress: Progress
    ) -> None:
        """Search again in windows whose faces were still found.

        Args:
            windows: by track and first frame, the pairs of detector and condition that found a face.
            round_number: of the round, from 1; later rounds assume a coarser encoder.
        """
        ends = {key: dict(self.state.windows(key[0]))[key[1]] for key in windows}
        last = max(ends.values())
        for frame in frames(self.info):
            if frame.index > last:
                break
            pixels: np.ndarray | None = None
            for key in [key for key, end in ends.items() if key[1] <= frame.index <= end]:
                index, first = key
                if first == frame.index and (before := self.state.noise(index, first)) is not None:
                    track, device = self.analysis.tracks[index], self.options.device
                    self._open[index] = Window(
                        track, first, ends[key], self.sides, device, before.place, self.top_left_sides
                    )
                    self._starts[index] = to_noise(before.levels, device)
                if (window := self._open.get(index)) is None:
                    continue
                pixels = frame.rgb() if pixels is None else pixels
                window.offer(frame.index, pixels, forced=True)
                if frame.index == ends[key]:
                    del self._open[index]
                    found = self.search(window, self._starts.pop(index), round_number, windows[key])
                    self._save(index, window, *found)
            progress((frame.index + 1) / (last + 1))

    def _is_covered(self, index: int) -> bool:
        track, at = self.analysis.tracks[index], 0
        at = track.first
        for first, last in self.state.windows(index):
            if first == at:
                at = last + 1
        return at > track.last

    def _process_frame(self, index: int, frame: int, pixels: np.ndarray) -> None:
        """Add a frame to the open window of a face, or begin a new window with it."""
        track = self.analysis.tracks[index]
        window = self._open.get(index)
        if window is not None:
            if frame <= window.last and window.offer(frame, pixels):
                return
            window.last = frame - 1
            self._finish(index)
        carrier = self._carriers.get(index)
        if carrier is not None:
            end, one = carrier
            one.move(one.place.cut(pixels, one.place.corner(track, frame)))
            if frame <= end:
                return
            del self._carriers[index]
        if frame > track.last:
            return
        known = self.state.noise(index, frame)
        if known is not None:
            patch = known.place.cut(pixels, known.place.corner(track, frame))
            self._carriers[index] = (known.last, MovingNoise(known.place, known.levels, FlowTracker(patch)))
            return
        last = frame + self.video.window - 1
        if last > track.last - _MIN_WINDOW:
            last = track.last
        window = Window(
            track,
            frame,
            last,
            self.sides,
            self.options.device,
            top_left_sides=self.top_left_sides,
            face_side=self.face_side,
        )
        window.offer(frame, pixels)
        self._open[index] = window
        self._starts[index] = window.carried(carrier[1]) if carrier is not None else None

    def _finish(self, index: int) -> None:
        window = self._open.pop(index)
        start = self._starts.pop(index, None)
        levels, steps = self.search(window, start, 0, set())
        self._save(index, window, levels, steps)
        if window.follower is not None:
            self._carriers[index] = (window.last, MovingNoise(window.place, levels, window.follower))

    def _save(self, index: int, window: Window, levels: np.ndarray, steps: int) -> None:
        self.state.save(WindowNoise(index, window.first, window.last, window.place, levels, steps))

    def search(
        self, window: Window, start: Tensor | None, round_number: int, unresolved: set[tuple[str, str]]
    ) -> tuple[np.ndarray, int]:
        """The window's noise, and the steps it took.

        Args:
            start: noise to start from; it is kept where it already hides the face from all detectors.
            round_number: of the round.
            unresolved: pairs of detector and condition that found a face.

        Returns:
            int8 ``(h, w, 3)`` in levels of 255, for the key frame; and the steps.
        """
        options = self.options
        quality = equivalent_jpeg_quality(self.video.crf, round_number)
        detectors = self._relevant_detectors(window, unresolved)
        task = self._task(window, quality, detectors)
        shown = display_scale(window.size)
        veil = WindowVeil.of(options.chosen_veil, options.level, window.place, window.key, shown)
        goals = Goals(
            decoy=_DECOY_GOAL if window.track.decoy else 0.0,
            landmark=_LANDMARK_GOAL if task.landmarks else 0.0,
            displacement=options.landmark_share,
        )
        conditions = window.publication_conditions(quality, self.limit)
        seed = options.seed + window.first + round_number
        most = options.steps_a_round
        schedule = Schedule(steps=most, bf16=options.bf16, seed=seed)
        if start is not None:
            start = project(start, task.clean, task.limit)
            if veil is not None:
                start = veil.held(start, window.samples)
            if round_number == 0 and self._still_effective(task, start, detectors, conditions):
                return to_levels(start), 0
            steps = max(10, most // 2)
            schedule = Schedule(
                steps=steps,
                min_steps=min(steps, 10 * round_number),
                check_every=10,
                first_step=0.15,
                bf16=options.bf16,
                seed=seed,
            )
        if veil is None:
            result = optimise(
                task,
                detectors,
                conditions,
                goals=goals,
                schedule=schedule,
                start=start,
                unresolved=unresolved,
            )
            return to_levels(result.noise), result.steps
        result = optimise(
            task,
            detectors,
            [*conditions, cleaned(conditions[0])],
            goals=goals,
            # the encoded film will tell whether it suffices
            schedule=replace(schedule, check_every=0, least_weight=LEAST_WEIGHT),
            start=start,
            unresolved=unresolved,
            begin=veil.begin,
        )
        return to_levels(veil.held(result.noise, window.samples)), result.steps

    def _task(self, window: Window, quality: int, detectors: Sequence[FaceDetector]) -> Task:
        strength, device = self.options.level, self.options.device
        clean, place, decoy = window.key, window.place.face.to(device), window.track.decoy
        share = context_mask(window.place.work, place, _DECOY_CONTEXT if decoy else CONTEXT)
        limit = self.limit * visibility_mask(clean, smooth=strength.smooth_share) * share
        if self.options.chosen_veil is not VeilName.NOISE:
            limit = torch.full_like(share, self.limit)
        nothing = place.new_zeros(0, 4)
        displaced = self.options.displace_landmarks and not decoy
        return Task(
            clean=clean,
            faces=nothing if decoy else place,
            zones=place if decoy else nothing,
            limit=limit,
            grey=bool((clean[:, :1] == clean[:, 1:]).all()),
            energy=strength.energy,
            landmarks=window_landmarks(window, detectors) if displaced else {},
            whole_frame=window.whole_frame(self.limit, quality),
            picture_size=window.picture_size,
        )

    def _relevant_detectors(self, window: Window, unresolved: set[tuple[str, str]]) -> list[FaceDetector]:
        """The detectors that have found the face at least once, and face recognition; for decoys all detectors."""
        names = {*window.track.names, *(name for name, _ in unresolved)}
        if window.track.decoy or not names:
            return window_detectors(self.attacked, window)
        concerned = window_detectors([one for one in self.attacked if one.name in names], window)
        return [*concerned, *(WindowRecogniser(window, one, self.attacked) for one in self.networks)]

    @torch.no_grad()
    def _still_effective(
        self, task: Task, noise: Tensor, detectors: Sequence[FaceDetector], conditions: Sequence[Condition]
    ) -> bool:
        """Whether the noise of the window before still hides this face, or raises this decoy."""
        if not len(task.zones):
            return all(evaluate_noise(task, noise, detectors, conditions).values())
        published = conditions[0].evaluation_transforms
        picture = Rendering(task.clean + noise)
        renderings = [published[index].render(picture) for index in (0, len(published) // 2)]

        def sees(detector: FaceDetector, shown: Rendering) -> bool:
            report = detector.for_rendering(shown).detect(shown.pixels)[0]
            return bool(faces_found(report, shown.boxes(task.zones)).any())

        seen = sum(sees(detector, shown) for shown in renderings for detector in detectors)
        return seen >= _MIN_DECOY_DETECTIONS * len(renderings) * len(detectors)


def _needs_square(detector: FaceDetector, top_left: bool) -> bool:
    policy = input_policy_of(detector)
    return policy.whole_frame and policy.top_left == top_left


def equivalent_jpeg_quality(crf: int, round_number: int) -> int:
    """The JPEG quality that stands for the encoder while noise is searched; lower in every further round."""
    return max(25, round(float(np.interp(crf, *_EQUIVALENT_QUALITIES))) - 10 * round_number)

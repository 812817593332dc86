"""Two passes over the source: where the faces are, and the noise that hides them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from cloak.attack.budget import context_mask, project, visibility_mask
from cloak.attack.objective import found
from cloak.attack.search import optimise
from cloak.attack.task import Condition, Goals, Schedule, Task, examine, habit_of
from cloak.detectors.base import FaceDetector
from cloak.evaluate.judge import view_of
from cloak.options import CloakOptions
from cloak.picture.rounds import CONTEXT
from cloak.recognition.network import FaceRecognition
from cloak.video.decoys import place_in_video
from cloak.video.flow import Follower
from cloak.video.io import VideoInfo, frames
from cloak.video.look import look_everywhere, near_window
from cloak.video.options import VideoOptions
from cloak.video.recognition import WindowRecogniser, window_landmarks
from cloak.video.shots import SMALL_WIDTH, CutFinder
from cloak.video.state import Noise, Plan, State
from cloak.video.tracks import Tracker
from cloak.video.window import Carrier, Window
from provenance.errors import CorruptMediaError

Progress = Callable[[float], None]
#: CRFs of x264 and the qualities of JPEG (chroma halved) that leave as much of a cloaked face, by PSNR: 38.3, 37.4,
#: 36.0 and 33.8 dB at CRF 18, 20, 23 and 28 on a head of 360 pixels.
_ALIKE = ((0, 18, 20, 23, 28, 40), (95, 90, 85, 75, 48, 30))
#: As for pictures: how far noise reaches beyond a decoy, in its sizes, and what counts beside hiding.
_DECOY_CONTEXT, _DECOY_GOAL, _LANDMARK_GOAL = 0.1, 0.3, 0.3
#: A decoy goes on with the noise before it while at least this share of the detectors sees it.
_STILL_SEEN = 0.5
#: A window's rest of fewer frames than this joins the window.
_REST = 6


def make_plan(
    info: VideoInfo,
    attacked: Sequence[FaceDetector],
    options: CloakOptions,
    video: VideoOptions,
    expected: int,
    progress: Progress,
) -> Plan:
    """Find the shots and, some times a second, the faces.

    Args:
        expected: how many frames there may be, for the progress.

    Raises:
        CorruptMediaError: not one frame can be decoded.
    """
    every = max(1, round(float(info.rate) / video.looks))
    cuts, tracker = CutFinder(), Tracker(every)
    families = {detector.name: detector.family for detector in attacked}
    shots: list[int] = []
    count = end = 0
    for frame in frames(info):
        count = frame.index + 1
        if cuts.begins_shot(frame.luma(SMALL_WIDTH)):
            shots.append(frame.index)
            tracker.cut(frame.index)
        if (frame.index - shots[-1]) % every == 0:
            view = view_of(frame.rgb())
            reports = look_everywhere(attacked, view.pixels, options.device)
            for report in reports.values():
                report.boxes.div_(view.scale)
            tracker.look(frame.index, reports, families, shots[-1])
        # frames that never arrived are no part of the last one that did
        end = frame.pts + min(frame.duration, frame.coded.duration or frame.duration)
        progress(min(1.0, count / max(1, expected)))
    if not count:
        raise CorruptMediaError(f"{info.path.name} holds no frame that can be decoded")
    _check_whole(info, end)
    named = options.detectors is not None
    tracks = tuple(track for track in tracker.close(count) if track.believed(named))
    plan = Plan(count, tuple(shots), every, tracks)
    if options.decoys and tracks:
        decoys = place_in_video(info, plan, options.decoys, options.seed)
        plan = replace(plan, tracks=(*tracks, *decoys))
    return plan


def _check_whole(info: VideoInfo, end: int) -> None:
    """Raise :class:`CorruptMediaError` where frames are missing at the end, as of a broken download."""
    missing = 0.0 if info.end is None else float((info.end - end) * info.time_base)
    if info.end is not None and missing > max(1.0, 0.05 * float(info.end * info.time_base)):
        raise CorruptMediaError(
            f"{info.path.name} can be decoded up to {float(end * info.time_base):.1f} s of "
            f"{float(info.end * info.time_base):.1f} s",
            hint="get a fresh copy; or save what is left of it as a new file, and cloak that",
        )


class Searcher:
    """Searches the noise of every window, in one pass over the source.

    Args:
        info, plan, state, attacked, options, video: of the job.
        network: of face recognition, to be misled, too.
    """

    def __init__(
        self,
        info: VideoInfo,
        plan: Plan,
        state: State,
        attacked: Sequence[FaceDetector],
        options: CloakOptions,
        video: VideoOptions,
        network: FaceRecognition | None = None,
    ) -> None:
        self.info, self.plan, self.state, self.network = info, plan, state, network
        self.attacked, self.options, self.video = list(attacked), options, video
        self.sides, self.cornered = (
            sorted({int(getattr(one, "side", 0)) for one in attacked if _shrinks(one, corner)} - {0})
            for corner in (False, True)
        )
        self._open: dict[int, Window] = {}
        self._carriers: dict[int, tuple[int, Carrier]] = {}
        self._starts: dict[int, Tensor | None] = {}

    def first_pass(self, progress: Progress) -> None:
        """Work on every stretch of every face that has no noise yet; each result is kept at once."""
        if all(self._covered(index) for index in range(len(self.plan.tracks))):
            return
        for frame in frames(self.info):
            pixels: np.ndarray | None = None
            for index, track in enumerate(self.plan.tracks):
                if not track.first <= frame.index <= track.last + 1:
                    continue
                if pixels is None:
                    pixels = frame.rgb()
                self._meet(index, frame.index, pixels)
            progress((frame.index + 1) / self.plan.frames)
        for index in list(self._open):
            self._finish(index)

    def again(
        self, windows: dict[tuple[int, int], set[tuple[str, str]]], number: int, progress: Progress
    ) -> None:
        """Go on with windows whose faces were still found.

        Args:
            windows: by track and first frame, the pairs of detector and condition that found a face.
            number: of the round, from 1; later ones expect more of the encoder.
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
                    track, device = self.plan.tracks[index], self.options.device
                    self._open[index] = Window(
                        track, first, ends[key], self.sides, device, before.place, self.cornered
                    )
                    self._starts[index] = self._tensor(before.levels)
                if (window := self._open.get(index)) is None:
                    continue
                pixels = frame.rgb() if pixels is None else pixels
                window.offer(frame.index, pixels, forced=True)
                if frame.index == ends[key]:
                    del self._open[index]
                    found = self.search(window, self._starts.pop(index), number, windows[key])
                    self._keep(index, window, *found)
            progress((frame.index + 1) / (last + 1))

    def _covered(self, index: int) -> bool:
        track, at = self.plan.tracks[index], 0
        at = track.first
        for first, last in self.state.windows(index):
            if first == at:
                at = last + 1
        return at > track.last

    def _meet(self, index: int, frame: int, pixels: np.ndarray) -> None:
        """One frame of one face: it goes on with its window, or begins one."""
        track = self.plan.tracks[index]
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
            self._carriers[index] = (known.last, Carrier(known.place, known.levels, Follower(patch)))
            return
        last = frame + self.video.window - 1
        if last > track.last - _REST:
            last = track.last
        window = Window(track, frame, last, self.sides, self.options.device, cornered=self.cornered)
        window.offer(frame, pixels)
        self._open[index] = window
        self._starts[index] = window.carried(carrier[1]) if carrier is not None else None

    def _finish(self, index: int) -> None:
        window = self._open.pop(index)
        start = self._starts.pop(index, None)
        levels, steps = self.search(window, start, 0, set())
        self._keep(index, window, levels, steps)
        if window.follower is not None:
            self._carriers[index] = (window.last, Carrier(window.place, levels, window.follower))

    def _keep(self, index: int, window: Window, levels: np.ndarray, steps: int) -> None:
        self.state.keep(Noise(index, window.first, window.last, window.place, levels, steps))

    def search(
        self, window: Window, start: Tensor | None, number: int, stubborn: set[tuple[str, str]]
    ) -> tuple[np.ndarray, int]:
        """The window's noise, and the steps it took.

        Args:
            start: noise to go on from; where that hides the face from everyone already, it stays.
            number: of the round.
            stubborn: pairs of detector and condition that found a face.

        Returns:
            int8 ``(h, w, 3)`` in levels of 255, for the key frame; and the steps.
        """
        strength, options = self.options.level, self.options
        quality = stand_in_quality(self.video.crf, number)
        against = self._concerned(window, stubborn)
        task = self._task(window, quality, against)
        goals = Goals(
            decoy=_DECOY_GOAL if window.track.decoy else 0.0,
            landmark=_LANDMARK_GOAL if task.landmarks else 0.0,
            displacement=options.landmark_share,
        )
        met = window.conditions(quality, strength.epsilon)
        seed = options.seed + window.first + number
        schedule = Schedule(steps=options.steps, bf16=options.bf16, seed=seed)
        if start is not None:
            start = project(start, task.clean, task.limit)
            if number == 0 and self._still_does(task, start, against, met):
                return _levels(start), 0
            steps = max(10, options.steps // 2)
            schedule = Schedule(
                steps=steps,
                least=min(steps, 10 * number),
                check_every=10,
                first_step=0.15,
                bf16=options.bf16,
                seed=seed,
            )
        outcome = optimise(task, against, met, goals=goals, schedule=schedule, start=start, stubborn=stubborn)
        return _levels(outcome.noise), outcome.steps

    def _task(self, window: Window, quality: int, against: Sequence[FaceDetector]) -> Task:
        strength, device = self.options.level, self.options.device
        clean, place, decoy = window.key, window.place.face.to(device), window.track.decoy
        share = context_mask(window.place.work, place, _DECOY_CONTEXT if decoy else CONTEXT)
        nothing = place.new_zeros(0, 4)
        displaced = self.options.displace_landmarks and not decoy
        return Task(
            clean=clean,
            faces=nothing if decoy else place,
            zones=place if decoy else nothing,
            limit=strength.epsilon * visibility_mask(clean, smooth=strength.smooth_share) * share,
            grey=bool((clean[:, :1] == clean[:, 1:]).all()),
            energy=strength.energy,
            landmarks=window_landmarks(window, against) if displaced else {},
            wide=window.wide(strength.epsilon, quality),
            extent=window.extent,
        )

    def _concerned(self, window: Window, stubborn: set[tuple[str, str]]) -> list[FaceDetector]:
        """The detectors that see the face now and then, and face recognition; decoys are for all detectors."""
        names = {*window.track.names, *(name for name, _ in stubborn)}
        if window.track.decoy or not names:
            return near_window(self.attacked, window)
        concerned = near_window([one for one in self.attacked if one.name in names], window)
        if self.network is not None:
            concerned.append(WindowRecogniser(window, self.network, self.attacked))
        return concerned

    @torch.no_grad()
    def _still_does(
        self, task: Task, noise: Tensor, against: Sequence[FaceDetector], met: Sequence[Condition]
    ) -> bool:
        """Does the noise of the window before it hide this face, or raise this decoy, still?"""
        if not len(task.zones):
            return all(examine(task, noise, against, met).values())
        exams = [met[0].exams[place] for place in (0, len(met[0].exams) // 2)]
        seen = sum(
            bool(found(detector.detect(exam(task.clean + noise))[0], exam.boxes(task.zones)).any())
            for exam in exams
            for detector in against
        )
        return seen >= _STILL_SEEN * len(exams) * len(against)

    def _tensor(self, levels: np.ndarray) -> Tensor:
        channels_first = np.ascontiguousarray(levels.transpose(2, 0, 1)).astype(np.float32)
        return torch.from_numpy(channels_first)[None].to(self.options.device) / 255


def _shrinks(detector: FaceDetector, corner: bool) -> bool:
    habit = habit_of(detector)
    return habit.whole and habit.corner == corner


def stand_in_quality(crf: int, number: int) -> int:
    """The JPEG quality that stands for the encoder while noise is searched; lower in every further round."""
    return max(25, round(float(np.interp(crf, *_ALIKE))) - 10 * number)


def _levels(noise: Tensor) -> np.ndarray:
    return (noise[0] * 255).round().clamp(-127, 127).to(torch.int8).permute(1, 2, 0).cpu().numpy()

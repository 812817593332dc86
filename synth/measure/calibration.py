"""How fast this machine is, from a few real steps of the work, so that a plan is right within a factor of two."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path

import numpy as np

from cloak.options import CloakOptions
from cloak.video.options import VideoOptions
from cloak.video.pipeline import cloak_video
from provenance.errors import NoFaceError
from synth.extraction.finder import FaceFinder
from synth.extraction.footage import open_footage
from synth.measure.cache import Cache, key_of
from synth.measure.clips import write_clip
from synth.measure.conditions import Pixels
from synth.measure.material import even_sized
from synth.measure.options import ExperimentOptions

#: Seconds to find a face in a frame with the default detectors on the core on which the constants of the plans were
#: measured.
_REFERENCE_FIND = 0.11
_FRAMES, _FEW_STEPS, _MORE_STEPS = 5, 1, 3
#: A window of a film ends its search early where nothing finds the face any more; on the average after this share.
_USED = 0.7


@dataclass
class Calibration:
    """What was timed.

    Attributes:
        speed: by how much slower this machine is than the one on which constants were measured.
        step: of the cloak's search, seconds, by veil; frame: what a frame of a cloaked film costs besides, seconds.
        find: to find the faces of a frame, seconds, by the detectors that are asked.
        share: of a core that this program got meanwhile, at most 1; less where other work takes the machine.
    """

    speed: float = 1.0
    step: dict[str, float] = field(default_factory=dict)
    frame: dict[str, float] = field(default_factory=dict)
    find: dict[tuple[str, ...], float] = field(default_factory=dict)
    share: float = 1.0

    def cloak_seconds(self, frames: int, options: ExperimentOptions, video: bool) -> float:
        """Of all cloaks of so many frames."""
        total = 0.0
        searches = -(-frames // VideoOptions().window) if video else frames
        for one in options.cloaks.values():
            plain = CloakOptions(veil=one.veil, steps=options.cloak_steps, rounds=options.cloak_rounds)
            steps = searches * plain.steps_a_round * options.cloak_rounds * _USED
            total += steps * self.step.get(one.veil, 0.0)
            total += frames * self.frame.get(one.veil, 0.0) * options.cloak_rounds
        return total

    def find_seconds(self, detectors: tuple[str, ...]) -> float:
        """Of one frame."""
        return self.find.get(detectors, _REFERENCE_FIND * self.speed)


def calibrate(footage: Path, options: ExperimentOptions, cache: Cache) -> Calibration:
    """Time a few real steps on the footage's first frames. What was timed is kept, so that a run that goes on does not
    time it again.
    """
    chosen = {
        "footage": str(footage), "side": options.side, "against": list(options.attacked), "device": options.device,
        "veils": list(options.veils), "detectors": [list(one.detectors) for one in options.parsed],
    }  # fmt: skip
    key = key_of("calibration", chosen)
    done = cache.get(key)
    if done is not None:
        find = {tuple(names): float(seconds) for names, seconds in done["find"]}
        return Calibration(done["speed"], done["step"], done["frame"], find, done.get("share", 1.0))
    began, computed = time.perf_counter(), _computed()
    made = _timed(footage, options, cache)
    if options.device == "cpu":
        made.share = min(1.0, (_computed() - computed) / max(1e-3, time.perf_counter() - began))
    told = {"speed": made.speed, "step": made.step, "frame": made.frame, "share": made.share}
    cache.put(key, {**told, "find": [[list(names), seconds] for names, seconds in made.find.items()]})
    return made


def _computed() -> float:
    """Seconds of computing of this program and of what it started and ended."""
    return sum(os.times()[:4])


def _timed(footage: Path, options: ExperimentOptions, cache: Cache) -> Calibration:
    frames = first_frames(footage, options.side)
    made = Calibration()
    if not frames:
        return made
    default = FaceFinder(device=options.device, weights_dir=options.weights, ask_all=True)
    made.speed = _time_find(default, frames) / _REFERENCE_FIND
    for attacker in options.parsed:
        if attacker.detectors not in made.find:
            finder = FaceFinder(attacker.detectors, options.device, options.weights, ask_all=True)
            made.find[attacker.detectors] = _time_find(finder, frames)
    for veil in dict.fromkeys(one.veil for one in options.cloaks.values()):
        times = [_time_cloak(frames, veil, steps, options, cache) for steps in (_FEW_STEPS, _MORE_STEPS)]
        step = max(1e-3, (times[1] - times[0]) / (_MORE_STEPS - _FEW_STEPS))
        made.step[veil] = step
        made.frame[veil] = max(0.0, times[0] - step * _FEW_STEPS) / len(frames)
    return made


def first_frames(footage: Path, side: int) -> list[Pixels]:
    """The first frames of a video, or the first of some pictures, as they would be published."""
    made: list[Pixels] = []
    for source in open_footage(footage)[:_FRAMES]:
        if source.kind == "unreadable":
            continue
        made += [even_sized(raw.pixels, side) for raw in source.frames(lambda index: index < _FRAMES)]
        if source.kind == "video":
            break
    return [one for one in made if one.shape == made[0].shape][:_FRAMES]


def _time_find(finder: FaceFinder, frames: list[Pixels]) -> float:
    finder.find(frames[0])
    took = []
    for pixels in frames[1:] or frames:
        began = time.perf_counter()
        finder.find(pixels)
        took.append(time.perf_counter() - began)
    return float(np.median(took))


def _time_cloak(
    frames: list[Pixels], veil: str, steps: int, options: ExperimentOptions, cache: Cache
) -> float:
    """Seconds of one round of so many steps on the frames; 0 where they show no face."""
    with cache.scratch() as scratch:
        write_clip(scratch / "first.mp4", iter(frames), Fraction(25), 10)
        began = time.perf_counter()
        chosen = CloakOptions(
            veil=veil, detectors=options.attacked, judges=(), weights=options.weights,
            steps=steps if veil == "noise" else round(steps * 1.5), rounds=1, device=options.device, again=True,
        )  # fmt: skip
        try:
            cloak_video(
                scratch / "first.mp4", scratch / "made.mp4", chosen, VideoOptions(control=False), force=True
            )
        except NoFaceError:
            return 0.0
        return time.perf_counter() - began

"""What the mouth's settings were chosen by: blocks of the first 80 % of clips, and strangers' voices.

    python benchmarks/synth/mouth_blocks.py CLIP... [--seconds 2] [--gap 0.5] [--until 0.8] [--prior MODEL] [--work
    FOLDER]

Each clip is cut into blocks; each is judged by a mouth that the other blocks taught, without what lies within ``--gap``
of it. The end of the clips, after ``--until``, is not looked at. Means over the clips, and each clip:

* ``lips``: mean distance of the lip points, as a share of the frozen mouth's (the mean of what is learned from)
* ``corr``: correlation of the mouth's opening with the filmed one, all blocks in one

``sound`` has learned nothing from the upper face, ``face`` hears nothing, ``linear`` is ridge regression from features
at -240 to +240 ms, ``prior`` is not fitted, ``slow`` is the filmed mouth's own mean over a second. ``pause_damping``
leaves that share of the expression out of a mouth in pauses, ``no rest`` follows the sound there, ``closed`` closes
the mouth there whatever the footage shows.

Then each mouth is led by each other clip's sound, and compared with how that person's mouth moved: correlation of the
``opening``, of the ``fast`` opening (without the mean over a second), and of all ``points``, fast. A dub is often a
stranger's voice.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchmarks.synth.lipsync import slow
from benchmarks.synth.mouth import correlation, linear
from synth.lipsync.mouth import audio
from synth.lipsync.mouth.adapt import PRIOR, adapt_mouth, at_rest
from synth.lipsync.mouth.model import MouthModel, MouthOptions, load_mouth, resampled
from synth.lipsync.mouth.train import SpeechClip
from synth.lipsync.person import USUAL_PAUSES, study_target
from synth.lipsync.shape import opening
from synth.lipsync.workspace import Workspace

Shapes = NDArray[np.float64]
Flags = NDArray[np.bool_]


@dataclass
class Known:
    """The known part of a clip: at frames ``times``, ``shapes``, ``shown``; at 100 Hz ``clip``, ``quiet``."""

    name: str
    times: NDArray[np.float64]
    rate: float
    shapes: Shapes
    shown: NDArray[np.float64]
    clip: SpeechClip
    quiet: Flags

    def at(self, steps: Shapes) -> Shapes:
        return resampled(steps, audio.feature_times(len(steps)), self.times)

    def taught(self, train: Flags) -> SpeechClip:
        """Only what is learned from is seen."""
        at = np.round(audio.feature_times(len(self.clip.seen)) * self.rate).astype(int)
        return replace(self.clip, seen=self.clip.seen & train[np.clip(at, 0, len(train) - 1)])


def known(path: Path, workspace: Workspace, until: float) -> Known:
    person = study_target(path, workspace)
    end = until * person.seconds
    clip, shown = person.clip(0.0, end), person.expression(until)
    if clip is None or person.sound is None or shown is None:
        raise SystemExit(f"{path.name} has no sound, or shows nothing")
    use = np.flatnonzero((person.track.times < end) & person.track.found)
    quiet = audio.silent(person.sound.part(0.0, min(end, person.sound.seconds)))
    return Known(path.stem, person.track.times[use], person.rate, person.shapes[use], shown[use], clip, quiet)


def said(
    one: Known,
    train: Flags,
    prior: MouthModel,
    *,
    face: bool = True,
    sound: bool = True,
    rest: str = "own",
    pause_damping: float = 0.0,
) -> Shapes:
    """``(T, 36)`` of all frames, by a mouth that the ``train`` frames taught."""
    taught = one.taught(train)
    model = adapt_mouth([taught if face else replace(taught, upper=None)], prior, MouthOptions())
    more = model.expressed(one.shown)
    if not sound:
        return np.asarray(one.shapes[train].mean(0) + more)
    steps = model.predict_steps(one.clip.features)
    stillness = one.at(at_rest(np.zeros((len(one.quiet), 1)), one.quiet, np.ones(1)))
    if rest != "none":
        seen = one.shapes[train]
        order = np.argsort(opening(seen))
        goal = seen[order[: max(1, len(order) // 10)]].mean(0)
        if rest == "own" and (calm := (stillness[:, 0] > 0.9) & train).any():
            share = calm.sum() / (calm.sum() + USUAL_PAUSES * one.rate)
            goal = share * (one.shapes - more)[calm].mean(0) + (1 - share) * goal
        steps = at_rest(steps, one.quiet, goal)
    return one.at(steps) + more * (1 - pause_damping * stillness)


def in_blocks(one: Known, seconds: float, gap: float, make: Callable[[Known, Flags], Shapes]) -> Shapes:
    """Each block as it is said by what the others taught."""
    count = max(4, round(float(one.times[-1]) / seconds))
    edges = np.linspace(0, len(one.times), count + 1).round().astype(int)
    result = np.zeros_like(one.shapes)
    for first, end in pairwise(edges.tolist()):
        low, high = one.times[first] - gap, one.times[end - 1] + gap
        result[first:end] = make(one, (one.times < low) | (one.times > high))[first:end]
    return result


def distance(a: Shapes, b: Shapes) -> float:
    return float(np.linalg.norm((a - b).reshape(len(a), -1, 2), axis=-1).mean())


def strangers(clips: list[Known], prior: MouthModel) -> tuple[float, float, float]:
    """Means over all pairs of a mouth and somebody else's sound."""
    rows = []
    for mine in clips:
        model = adapt_mouth([mine.clip], prior, MouthOptions())
        for other in clips:
            if other is mine:
                continue
            made, truth = other.at(model.predict_steps(other.clip.features)), other.shapes
            fast, wanted = made - slow(made, other.rate), truth - slow(truth, other.rate)
            rows.append(
                (
                    correlation(opening(made), opening(truth)),
                    correlation(
                        opening(made) - _slow(opening(made), other.rate),
                        opening(truth) - _slow(opening(truth), other.rate),
                    ),
                    correlation(fast.ravel(), wanted.ravel()),
                )
            )
    a, b, c = np.mean(rows, axis=0)
    return float(a), float(b), float(c)


def _slow(series: NDArray[np.float64], rate: float) -> NDArray[np.float64]:
    return slow(series[:, None], rate)[:, 0]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("clips", nargs="+", type=Path)
    parser.add_argument("--seconds", type=float, default=2.0)
    parser.add_argument("--gap", type=float, default=0.5)
    parser.add_argument("--until", type=float, default=0.8)
    parser.add_argument("--prior", type=Path, default=PRIOR)
    parser.add_argument("--work", type=Path, default=Path("benchmarks-work/lipsync"))
    args = parser.parse_args()
    prior, workspace = load_mouth(args.prior), Workspace(args.work)
    clips = [known(path, workspace, args.until) for path in args.clips]
    makers: dict[str, Callable[[Known, Flags], Shapes]] = {
        "lip-sync": lambda one, train: said(one, train, prior),
        "pause_damping 0.5": lambda one, train: said(one, train, prior, pause_damping=0.5),
        "pause_damping 1": lambda one, train: said(one, train, prior, pause_damping=1.0),
        "no rest": lambda one, train: said(one, train, prior, rest="none"),
        "closed": lambda one, train: said(one, train, prior, rest="closed"),
        "sound": lambda one, train: said(one, train, prior, face=False),
        "face": lambda one, train: said(one, train, prior, sound=False),
        "linear": lambda one, train: one.at(linear(one.taught(train), one.clip.features)),
        "prior": lambda one, train: one.at(
            prior.of_person(one.shapes[train]).predict_steps(one.clip.features)
        ),
        "slow": lambda one, train: slow(one.shapes, one.rate),
    }
    print(f"{'':<10} {'lips':>5} {'corr':>5}   " + "".join(f"{one.name:>12}" for one in clips))
    still = [in_blocks(one, args.seconds, args.gap, _frozen) for one in clips]
    for label, make in makers.items():
        rows = []
        for one, frozen in zip(clips, still, strict=True):
            made = in_blocks(one, args.seconds, args.gap, make)
            share = distance(made, one.shapes) / distance(frozen, one.shapes)
            rows.append((share, correlation(opening(made), opening(one.shapes))))
        lips, corr = np.mean(rows, axis=0)
        print(
            f"{label:<10} {lips:5.2f} {corr:5.2f}   " + "".join(f"{a:7.2f} {b:4.2f}" for a, b in rows),
            flush=True,
        )
    if len(clips) > 1:
        a, b, c = strangers(clips, prior)
        print(f"strangers' voices: opening {a:.2f}, fast {b:.2f}, points {c:.2f}")


def _frozen(one: Known, train: Flags) -> Shapes:
    return np.repeat(one.shapes[train].mean(0)[None], len(one.shapes), 0)


if __name__ == "__main__":
    main()

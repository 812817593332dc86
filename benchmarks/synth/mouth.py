"""How well the mouth follows the sound: the LSTM and its options against the mean mouth and a linear model.

    python benchmarks/synth/mouth.py CLIP... [--epochs 100] [--only NAME...] [--delays 0 5 10 20 40] [--folds N]
                               [--work FOLDER]

Each clip is learned from in its first 80 % and judged on its last 20 %. Printed for each:

* ``error``: squared error of the coefficients, as a share of predicting the mean mouth of the first 80 % (1 is as good)
* ``corr``: correlation of the mouth's opening; ``lag``: where all lip points agree best, steps of 10 ms, up to 30
* ``secs``: seconds of computing for the training; ``/min`` for a minute of speech

With ``--folds N`` each N-th of a clip is judged in turn by what the rest taught, and the means (of lags the median) are
printed: the last fifth of a short clip is two seconds, and says little. The networks trained from the clip alone are
then left out unless ``--delays`` names some.

``linear`` is ridge regression from features at -240 to +240 ms; its softness is chosen on the end of the first 80 %.
``prior`` is the package's own, which no footage taught, about this person's mean mouth; ``prior, adapted`` is what
``veilmark synth lipsync`` uses. ``others`` has learned from the other clips, beginning with the prior (as ``veilmark
synth mouth`` does); ``others, adapted`` then from this one too. Nobody is judged by a network that saw him.
"""

from __future__ import annotations

import argparse
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from synth.lipsync.mouth.adapt import PRIOR, adapt_mouth
from synth.lipsync.mouth.model import MouthModel, MouthOptions, load_mouth
from synth.lipsync.mouth.train import SpeechClip, train_mouth
from synth.lipsync.person import study_target
from synth.lipsync.shape import opening
from synth.lipsync.workspace import Workspace

SHARE = 0.8
MOST_LAG = 30
_CONTEXT = range(-24, 25, 4)


def correlation(a: NDArray[np.floating], b: NDArray[np.floating]) -> float:
    """0 where one of them does not change."""
    return float(np.corrcoef(a, b)[0, 1]) if a.std() > 1e-9 and b.std() > 1e-9 else 0.0


def best_lag(said: NDArray[np.floating], truth: NDArray[np.floating], most: int = MOST_LAG) -> int:
    """By how many steps ``said`` comes after ``truth`` where they agree best.

    Args:
        said, truth: ``(N,)``, or ``(N, K)``: then all K together, each about its mean. The opening of one mouth in two
            seconds rises and falls eight times, and agrees a syllable away almost as well; all lip points agree less
            easily by chance.
    """

    def shifted(lag: int) -> float:
        a = said[max(0, lag) : len(said) + min(0, lag)]
        b = truth[max(0, -lag) : len(truth) - max(0, lag)]
        return correlation((a - a.mean(0)).ravel(), (b - b.mean(0)).ravel())

    return max(range(-most, most + 1), key=lambda lag: (round(shifted(lag), 3), -abs(lag)))


def judged(
    model: MouthModel, said: NDArray[np.floating], clip: SpeechClip, still: NDArray[np.floating]
) -> tuple[float, float, int]:
    """Error as a share of the mean mouth's, correlation and lag of the opening."""
    seen = clip.seen
    truth = model.coefficients(clip.shapes[seen])
    error = float(((model.coefficients(said[seen]) - truth) ** 2).sum())
    base = float(((model.coefficients(still[None]) - truth) ** 2).sum())
    wanted, got = opening(clip.shapes), opening(said)
    return error / base, correlation(got[seen], wanted[seen]), best_lag(said[seen], clip.shapes[seen])


def linear(taught: SpeechClip, heard: NDArray[np.floating]) -> NDArray[np.float64]:
    """Ridge regression of shapes from features around each step; softness by the last fifth of what is taught."""
    mean, scale = taught.features.mean(0), np.maximum(taught.features.std(0), 1e-3)

    def around(features: NDArray[np.floating]) -> NDArray[np.float64]:
        values = np.pad((features - mean) / scale, ((24, 24), (0, 0)), mode="edge")
        return np.hstack([values[24 + k : len(values) - 24 + k] for k in _CONTEXT])

    def solved(clip: SpeechClip, softness: float, features: NDArray[np.floating]) -> NDArray[np.float64]:
        a, y = around(clip.features)[clip.seen], clip.shapes[clip.seen]
        weights = np.linalg.solve(a.T @ a + softness * np.eye(a.shape[1]), a.T @ (y - y.mean(0)))
        return np.asarray(around(features) @ weights + y.mean(0))

    first, last = taught.part(0, 0.8), taught.part(0.8, 1)

    def missed(softness: float) -> float:
        return float(((solved(first, softness, last.features) - last.shapes)[last.seen] ** 2).sum())

    chosen = min((100.0, 300.0, 1000.0, 3000.0, 10_000.0, 30_000.0), key=missed)
    return solved(taught, chosen, heard)


def variants(delays: list[int], epochs: int) -> dict[str, MouthOptions]:
    """Names and options of the ablation."""
    base = MouthOptions(epochs=epochs)
    rows = {f"uni, delay {delay}": replace(base, delay=delay) for delay in delays}
    rows["bi, delay 0"] = replace(base, delay=0, bidirectional=True)
    return rows


def joined(parts: list[SpeechClip]) -> SpeechClip:
    """One clip after the other."""
    return SpeechClip(
        *(np.concatenate([getattr(one, name) for one in parts]) for name in ("features", "shapes", "seen"))
    )


def folds(name: str, clip: SpeechClip, count: int, delays: list[int], epochs: int) -> None:
    """Each part of a clip in turn, judged by what the rest taught; means over the parts."""
    machine, rows = load_mouth(PRIOR), dict[str, list[tuple[float, float, int]]]()
    for fold in range(count):
        test = clip.part(fold / count, (fold + 1) / count)
        parts = [clip.part(0, fold / count), clip.part((fold + 1) / count, 1)]
        parts = [one for one in parts if len(one.features) > 120]
        taught = joined(parts)
        still = taught.shapes[taught.seen].mean(0)
        own = machine.of_person(taught.shapes[taught.seen])
        adapted = adapt_mouth([taught], machine, MouthOptions())
        said = {
            "prior": own.predict_steps(test.features),
            "prior, adapted": adapted.predict_steps(test.features),
        }
        said["linear"] = linear(taught, test.features)
        said["mean"] = np.repeat(still[None], len(test.features), 0)
        for delay in delays:
            model = train_mouth(parts, MouthOptions(delay=delay, epochs=epochs))
            said[f"uni, delay {delay}"] = model.predict_steps(test.features)
        for label, shapes in said.items():
            rows.setdefault(label, []).append(judged(adapted, shapes, test, still))
    for label, figures in rows.items():
        error, corr, _ = np.mean(figures, axis=0)
        lag = np.median([one[2] for one in figures])
        print(
            f"{name:<10} {label:<16} {error:6.2f} {corr:6.2f} {lag:4.0f}   lags {[one[2] for one in figures]}",
            flush=True,
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("clips", nargs="+", type=Path)
    parser.add_argument("--epochs", type=int, default=100)
    parser.add_argument("--delays", nargs="*", type=int, default=[0, 5, 10, 20, 40])
    parser.add_argument("--work", type=Path, default=Path("benchmarks-work/lipsync"))
    parser.add_argument("--no-pretraining", action="store_true")
    parser.add_argument("--only", nargs="*", help="judge these clips; the others are only learned from")
    parser.add_argument("--folds", type=int, default=0)
    args = parser.parse_args()
    workspace, clips = Workspace(args.work), {}
    for path in args.clips:
        clip = study_target(path, workspace).clip()
        if clip is None:
            print(f"{path.name}: no sound, left out")
            continue
        clips[path.stem] = replace(clip, upper=None)  # what the sound alone tells
    print(f"{'clip':<10} {'model':<16} {'error':>6} {'corr':>6} {'lag':>4} {'secs':>6} {'/min':>6}")

    if args.folds:
        delays = args.delays if "--delays" in sys.argv else []
        for name, clip in clips.items():
            folds(name, clip, args.folds, delays, args.epochs)
        return

    def row(clip: str, name: str, figures: tuple[float, float, int], seconds: float, length: float) -> None:
        error, corr, lag = figures
        rate = 60 * seconds / max(length, 1e-9)
        print(
            f"{clip:<10} {name:<16} {error:6.2f} {corr:6.2f} {lag:4d} {seconds:6.1f} {rate:6.0f}", flush=True
        )

    for name, clip in clips.items():
        if args.only and name not in args.only:
            continue
        taught, test = clip.part(0, SHARE), clip.part(SHARE, 1)
        still, length = taught.shapes[taught.seen].mean(0), len(taught.features) / 100
        seconds, model = 0.0, None
        for label, options in variants(args.delays, args.epochs).items():
            start = time.process_time()
            model = train_mouth([taught], options)
            seconds = time.process_time() - start
            row(name, label, judged(model, model.predict_steps(test.features), test, still), seconds, length)
        assert model is not None
        row(name, "linear", judged(model, linear(taught, test.features), test, still), 0, length)
        row(
            name, "mean", judged(model, np.repeat(still[None], len(test.features), 0), test, still), 0, length
        )
        machine = load_mouth(PRIOR)
        found = {"prior": (machine, 0.0)}
        others = [one for other, one in clips.items() if other != name]
        if others and not args.no_pretraining:
            start = time.process_time()
            prior = train_mouth(others, MouthOptions(epochs=args.epochs), start=machine)
            found["others"] = prior, time.process_time() - start
        for label, (prior, spent) in found.items():
            own = prior.of_person(taught.shapes[taught.seen])
            row(name, label, judged(own, own.predict_steps(test.features), test, still), spent, length)
            start = time.process_time()
            own = adapt_mouth([taught], prior, MouthOptions())
            spent = time.process_time() - start
            figures = judged(own, own.predict_steps(test.features), test, still)
            row(name, f"{label}, adapted", figures, spent, length)


if __name__ == "__main__":
    main()

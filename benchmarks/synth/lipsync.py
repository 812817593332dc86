"""How good lip-sync is: a clip's held-out end with its own sound, then with foreign sound.

    python benchmarks/synth/lipsync.py CLIP... [--sound FOREIGN] [--prior MODEL | --scratch] [--frames 60] [--curve]
                                 [--out FOLDER]

The mouth and the texture learn from the first 80 % of a clip; everything is judged on the last 20 %, whose frames the
lower face is composited into in their own order. The mouth begins with ``--prior`` (the package's own, which no footage
taught) or, with ``--scratch``, with nothing.

* ``lips``: mean distance of the 18 lip points from the filmed ones, per cent of the distance between the eyes
* ``corr``: correlation of the mouth's opening with the filmed one; ``lag``: by how many ms it comes late, where all lip
  points agree best
* ``ssim``, ``psnr``: of the mouth's region (``--frames`` of them, evenly spread) against the filmed frames
* ``flicker``: levels that neighbouring frames differ by after the filmed movement is taken out, in the mouth's region
  and in the rest of the face, and as filmed

With ``--shapes-only`` five more are told: ``no rest`` follows the sound in pauses as well, ``sound alone`` has learned
nothing from the upper face, ``face alone`` hears nothing, ``closed`` closes the mouth in pauses whatever the footage
shows, and ``slow`` is the filmed mouth itself, but only its mean over the second around each frame: what no sound
tells.

Foreign sound (``--sound``; ``--foreign-only`` leaves the held-out end alone) is told as the command does it, ``hushed``
(in pauses the face has no say) and as the sound alone leads it. Its lag is told against the energy, and against the
prior's lips, all points.

Baselines: ``frozen`` (mean mouth of the first 80 %), ``random`` (mouths of random frames), ``nearest`` (mouth of the
frame whose sound, 21 features around, is nearest). All go through the same texture and compositing.
"""

from __future__ import annotations

import argparse
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from benchmarks.synth.mouth import best_lag, correlation
from synth.lipsync.film.frame_reader import FrameReader
from synth.lipsync.film.retime import there_and_back
from synth.lipsync.mouth import audio
from synth.lipsync.mouth.adapt import PRIOR, adapt_mouth
from synth.lipsync.mouth.model import MouthModel, MouthOptions, load_mouth, resampled
from synth.lipsync.mouth.train import train_mouth
from synth.lipsync.person import Person, at_frames, closed_mouth, resting_mouth, study_target
from synth.lipsync.pipeline import collect_candidates, drive_mouth
from synth.lipsync.shape import LIP_POINTS, opening
from synth.lipsync.texture.compositor import CompositeOptions, Compositor
from synth.lipsync.texture.texture import TextureOptions, synthesize_textures
from synth.lipsync.workspace import Workspace

SHARE = 0.8
Shapes = NDArray[np.float64]


def taught_mouth(
    person: Person, seconds: float, epochs: int, prior: MouthModel | None, face: bool = True
) -> tuple[MouthModel, float]:
    """A mouth learned from the last ``seconds`` before the held-out end, and how long that took (CPU seconds).

    Args:
        face: learn from the upper face as well.
    """
    end = SHARE * person.seconds
    clip = person.clip(max(0.0, end - seconds), end)
    assert clip is not None
    clip = clip if face else replace(clip, upper=None)
    options = MouthOptions(epochs=epochs)
    start = time.process_time()
    model = adapt_mouth([clip], prior, options) if prior else train_mouth([clip], options)
    return model, time.process_time() - start


def said_at(
    person: Person, model: MouthModel, rows: NDArray[np.int64], resting: bool = True, closed: bool = False
) -> Shapes:
    """The mouth at the held-out frames, led by the clip's own sound: heard whole, as a sound that is said would be."""
    assert person.sound is not None
    heard, quiet = audio.speech_features(person.sound), audio.silent(person.sound)
    quiet = quiet if resting else np.zeros_like(quiet)
    rest = closed_mouth(person, SHARE) if closed else resting_mouth(person, model, SHARE)
    shown = person.expression(SHARE)
    return drive_mouth(
        model, heard, quiet, rest, person.track.times[rows], None if shown is None else shown[rows]
    )


def face_alone(person: Person, model: MouthModel, rows: NDArray[np.int64]) -> Shapes:
    """What the expression makes of the mean mouth of the first 80 %."""
    known = np.flatnonzero(person.track.found[: rows[0]])
    still = np.repeat(person.shapes[known].mean(0)[None], len(rows), axis=0)
    shown = person.expression(SHARE)
    return still if shown is None else still + model.expressed(shown[rows])


def held_out(person: Person) -> NDArray[np.int64]:
    """Frames of the last fifth that show a face."""
    first = round(SHARE * len(person.track.times))
    return np.array([index for index in range(first, len(person.track.times)) if person.track.found[index]])


def baselines(person: Person, rows: NDArray[np.int64], seed: int = 0) -> dict[str, Shapes]:
    """Mouths of the three baselines at the held-out frames."""
    first = int(rows[0])
    known = np.flatnonzero(person.track.found[:first])
    random = np.random.default_rng(seed).choice(known, len(rows))
    assert person.sound is not None
    heard = audio.speech_features(person.sound)
    heard = (heard - heard.mean(0)) / np.maximum(heard.std(0), 1e-6)
    around = np.hstack([np.roll(heard, shift, axis=0) for shift in range(-10, 11)])
    at = np.clip((person.track.times * audio.FEATURE_RATE).astype(int), 0, len(around) - 1)
    taught, wanted = around[at[known]], around[at[rows]]
    nearest = known[((wanted[:, None] - taught[None]) ** 2).sum(-1).argmin(1)]
    frozen = np.repeat(person.shapes[known].mean(0)[None], len(rows), axis=0)
    return {"frozen": frozen, "random": person.shapes[random], "nearest": person.shapes[nearest]}


def slow(truth: Shapes, rate: float) -> Shapes:
    """The mean over a second around each frame."""
    reach = round(rate / 2)
    padded = np.pad(truth, ((reach, reach), (0, 0)), mode="edge")
    return np.asarray(np.lib.stride_tricks.sliding_window_view(padded, 2 * reach + 1, 0).mean(-1))


def shape_figures(said: Shapes, truth: Shapes, rate: float) -> tuple[float, float, float]:
    """Distance of lip points in per cent of the eyes' distance, correlation of the opening, and its lag in ms."""
    gap = (said - truth).reshape(len(said), len(LIP_POINTS), 2)
    lag = best_lag(said, truth, round(0.3 * rate)) if len(said) > 20 else 0
    distance = 100 * float(np.linalg.norm(gap, axis=-1).mean())
    return distance, correlation(opening(said), opening(truth)), 1000 * lag / rate


def composited(
    person: Person, candidates: Any, rows: NDArray[np.int64], shapes: Shapes, watch: Any = None
) -> tuple[list[NDArray[np.uint8]], dict[str, float]]:
    """Crops around the face of all rows, and CPU seconds of texture and compositing."""
    reader, compositor = (
        FrameReader(person.info, person.track.times),
        Compositor(person.track, CompositeOptions(), until=SHARE),
    )
    spent, result = {"texture": 0.0, "composite": 0.0}, []
    textures = synthesize_textures(shapes, candidates, TextureOptions())
    for number, row in enumerate(rows):
        start = time.process_time()
        texture, alpha = next(textures)
        spent["texture"] += time.process_time() - start
        base, landmarks = reader[int(row)], person.track.landmarks[row]
        start = time.process_time()
        made = compositor.compose(base, landmarks, texture, alpha, shapes[number])
        spent["composite"] += time.process_time() - start
        result.append(np.ascontiguousarray(made[face_box(landmarks, base.shape)]))
        if watch:
            watch(number, base, made)
    return result, spent


def face_box(landmarks: NDArray[np.floating], shape: tuple[int, ...]) -> tuple[slice, slice]:
    low, high = landmarks[:, :2].min(0), landmarks[:, :2].max(0)
    margin = 0.15 * (high - low)
    x, y = (
        np.clip([low[0] - margin[0], high[0] + margin[0]], 0, shape[1]),
        (low[1] - margin[1], high[1] + margin[1]),
    )
    y = np.clip(y, 0, shape[0])
    return slice(int(y[0]), int(y[1])), slice(int(x[0]), int(x[1]))


def mouth_box(landmarks: NDArray[np.floating], box: tuple[slice, slice]) -> tuple[slice, slice]:
    points = landmarks[list(LIP_POINTS), :2]
    low, high = points.min(0), points.max(0)
    margin = 0.35 * (high[0] - low[0])
    top, left = box[0].start, box[1].start
    rows = slice(max(0, int(low[1] - margin) - top), int(high[1] + margin) - top)
    return rows, slice(max(0, int(low[0] - margin) - left), int(high[0] + margin) - left)


def ssim(a: NDArray[np.uint8], b: NDArray[np.uint8]) -> float:
    from skimage.metrics import structural_similarity

    return float(structural_similarity(a, b, channel_axis=2, data_range=255))


def psnr(a: NDArray[np.uint8], b: NDArray[np.uint8]) -> float:
    error = float(((a.astype(float) - b) ** 2).mean())
    return 10 * float(np.log10(255**2 / max(error, 1e-9)))


def pixel_figures(
    person: Person, rows: NDArray[np.int64], crops: list[NDArray[np.uint8]], filmed: list[NDArray[np.uint8]]
) -> tuple[float, float, float, float, float]:
    """SSIM and PSNR of the mouth's region; flicker in it, in the rest of the face, and as filmed in the mouth."""
    likeness, noise = [], []
    flicker: list[tuple[float, float, float]] = []
    flow_of = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
    for number, row in enumerate(rows):
        landmarks = person.track.landmarks[row]
        area = mouth_box(landmarks, face_box(landmarks, (person.info.upright[1], person.info.upright[0])))
        likeness.append(ssim(crops[number][area], filmed[number][area]))
        noise.append(psnr(crops[number][area], filmed[number][area]))
        if not number:
            continue
        side = (crops[number].shape[1], crops[number].shape[0])
        earlier = [cv2.resize(one[number - 1], side, interpolation=cv2.INTER_AREA) for one in (crops, filmed)]
        grey = [cv2.cvtColor(one, cv2.COLOR_RGB2GRAY) for one in (filmed[number], earlier[1])]
        flow: Any = flow_of.calc(grey[0], grey[1], None)  # type: ignore[call-overload]
        y, x = np.mgrid[0 : flow.shape[0], 0 : flow.shape[1]].astype(np.float32)
        gaps = [
            np.abs(
                now - cv2.remap(before, x + flow[..., 0], y + flow[..., 1], cv2.INTER_LINEAR).astype(float)
            ).mean(-1)
            for now, before in ((crops[number], earlier[0]), (filmed[number], earlier[1]))
        ]
        rest = np.ones(gaps[0].shape, bool)
        rest[area] = False
        flicker.append((gaps[0][area].mean(), gaps[0][rest].mean(), gaps[1][area].mean()))
    mean = np.mean(flicker, axis=0) if flicker else np.full(3, np.nan)
    return float(np.mean(likeness)), float(np.mean(noise)), float(mean[0]), float(mean[1]), float(mean[2])


def sheet(path: Path, rows: list[list[NDArray[np.uint8]]]) -> None:
    """Crops side by side, marked and signed as synthetic; each row of pictures below the other."""
    from provenance.home import Home
    from provenance.session import open_session
    from synth.label import Generated, label_picture

    lines = [
        np.hstack([cv2.resize(one, (240, 300), interpolation=cv2.INTER_AREA) for one in row]) for row in rows
    ]
    about = Generated("benchmarks/synth/lipsync.py", [], False, "contracted models")
    with open_session(Home.locate()) as session:
        label_picture(np.vstack(lines), path, about, session, force=True)


def self_reenactment(person: Person, args: argparse.Namespace, prior: MouthModel | None) -> MouthModel:
    """The clip's held-out end with its own sound."""
    rows = held_out(person)
    truth, name = person.shapes[rows], person.path.stem
    model, training = taught_mouth(person, 1e9, args.epochs, prior)
    assert person.sound is not None
    made = {"lip-sync": said_at(person, model, rows), **baselines(person, rows)}
    # the mouth as it was filmed: what texture and compositing alone cost
    made["as filmed"] = truth
    print(f"\n{name}: {len(rows)} held-out frames; the mouth's training took {training:.1f} s of computing, "
          f"{60 * training / (SHARE * person.track.times[-1]):.0f} s a minute of footage")  # fmt: skip
    print(
        f"{'':<10} {'lips %':>7} {'corr':>6} {'lag ms':>7} {'ssim':>6} {'psnr':>6} "
        f"{'flicker: mouth':>15} {'rest':>6} {'filmed':>7}"
    )
    if args.shapes_only:
        made["no rest"] = said_at(person, model, rows, resting=False)
        made["closed"] = said_at(person, model, rows, closed=True)
        heard_only, _ = taught_mouth(person, 1e9, args.epochs, prior, face=False)
        made["sound alone"] = said_at(person, heard_only, rows)
        made["face alone"] = face_alone(person, model, rows)
        made["slow"] = slow(truth, person.rate)
        for label, shapes in made.items():
            distance, corr, lag = shape_figures(shapes, truth, person.rate)
            print(f"{label:<11} {distance:7.2f} {corr:6.2f} {lag:7.0f}", flush=True)
        return model
    start = time.process_time()
    candidates = collect_candidates(person, SHARE)
    print(f"{'':<10} {len(candidates.indices)} candidates in {time.process_time() - start:.1f} s")
    few = (
        rows[np.linspace(0, len(rows) - 1, min(args.frames, len(rows))).round().astype(int)]
        if args.spread
        else rows[: args.frames]
    )
    reader = FrameReader(person.info, person.track.times)
    filmed = [
        np.ascontiguousarray(reader[int(row)][face_box(person.track.landmarks[row], reader[int(row)].shape)])
        for row in few
    ]
    shown = [filmed[:: max(1, len(few) // 6)][:6]]
    spent: dict[str, float] = {}
    for label, shapes in made.items():
        figures = shape_figures(shapes, truth, person.rate)
        crops, seconds = composited(person, candidates, few, shapes[np.searchsorted(rows, few)])
        spent = spent or seconds
        seen = pixel_figures(person, few, crops, filmed)
        print(f"{label:<10} {figures[0]:7.2f} {figures[1]:6.2f} {figures[2]:7.0f} {seen[0]:6.3f} {seen[1]:6.2f} "
              f"{seen[2]:15.2f} {seen[3]:6.2f} {seen[4]:7.2f}", flush=True)  # fmt: skip
        shown.append(crops[:: max(1, len(few) // 6)][:6])
    length = len(few) / person.rate
    print(f"{'':<10} seconds of computing for a second of film: "
          + ", ".join(f"{stage} {one / length:.1f}" for stage, one in spent.items()))  # fmt: skip
    if args.out:
        args.out.mkdir(parents=True, exist_ok=True)
        sheet(args.out / f"{name}.png", shown)
    return model


def foreign(person: Person, model: MouthModel, sound: Path) -> None:
    """The mouth led by somebody else's sound: does it follow energy and voice, does it rest in pauses."""
    spoken = audio.load_sound(sound)
    heard, quiet = audio.speech_features(spoken), audio.silent(spoken)
    times = np.arange(round(spoken.seconds * person.rate)) / person.rate
    # the target is played there and back under it; and without what its face adds
    shown, played = person.expression(SHARE), there_and_back(len(person.track.times), len(times))
    rest = resting_mouth(person, model, SHARE)
    level = resampled(heard[:, :1].astype(float), audio.feature_times(len(heard)), times)[:, 0]
    level = np.convolve(level, np.ones(3) / 3, "same")
    voice, pause = at_frames(audio.voiced(spoken), times), at_frames(quiet, times)
    # a mouth needs some time to close and to open: a pause without its first and last 0.12 s
    reach = round(0.12 * person.rate)
    still = np.convolve(pause, np.ones(2 * reach + 1), "same") > 2 * reach + 0.5
    # what phonemes want, by the prior's mouth: who opens against the energy has no lag that energy could tell
    wanted = load_mouth(PRIOR).predict(heard, times)
    face = None if shown is None else shown[played[: len(times)]]
    for label, seen, pause_damping in (
        ("", face, 0.0),
        (", hushed", face, 1.0),
        (", sound alone", None, 0.0),
    ):
        shapes = drive_mouth(model, heard, quiet, rest, times, seen, pause_damping)
        said = opening(shapes)
        moving = np.abs(np.gradient(said)) * person.rate
        late = 1000 * best_lag(shapes, wanted, round(0.3 * person.rate)) / person.rate
        share = moving[still].mean() / moving[~pause].mean() if still.sum() > 5 else float("nan")
        lag = 1000 * best_lag(said, level, round(0.3 * person.rate)) / person.rate
        resting = float(said[still].mean()) if still.any() else float("nan")
        print(
            f"{person.path.stem} says {sound.name}{label}: opening and energy {correlation(said, level):.2f}, voicing "
            f"{correlation(said, voice.astype(float)):.2f}, lag {lag:.0f} ms, "
            f"to the prior's lips {late:.0f} ms; opening {said[~pause].mean():.3f} in "
            f"speech, {resting:.3f} in pauses, where it moves {share:.2f} of what it does in speech",
            flush=True,
        )


def curve(person: Person, epochs: int, prior: MouthModel | None) -> None:
    """Held-out figures against seconds of footage."""
    rows, whole = held_out(person), SHARE * float(person.track.times[-1])
    for seconds in [one for one in (2, 4, 8, 12) if one < whole] + [whole]:
        model, _ = taught_mouth(person, seconds, epochs, prior)
        said = said_at(person, model, rows)
        lips, corr, lag = shape_figures(said, person.shapes[rows], person.rate)
        print(
            f"{person.path.stem} {seconds:5.1f} s: lips {lips:.2f} %, corr {corr:.2f}, lag {lag:.0f} ms",
            flush=True,
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("clips", nargs="+", type=Path)
    parser.add_argument("--sound", nargs="*", type=Path, default=[])
    parser.add_argument("--prior", type=Path, default=PRIOR)
    parser.add_argument("--scratch", action="store_true", help="train from the clip alone")
    parser.add_argument("--epochs", type=int, default=100)
    parser.add_argument("--frames", type=int, default=60, help="of the held-out end that are composited")
    parser.add_argument(
        "--spread", action="store_true", help="spread them over the end (no flicker is then told)"
    )
    parser.add_argument("--curve", action="store_true")
    parser.add_argument("--shapes-only", action="store_true", help="no pictures: mouths only")
    parser.add_argument("--foreign-only", action="store_true", help="do not judge the held-out end")
    parser.add_argument("--out", type=Path)
    parser.add_argument("--work", type=Path, default=Path("benchmarks-work/lipsync"))
    args = parser.parse_args()
    prior = None if args.scratch else load_mouth(args.prior)
    workspace = Workspace(args.work)
    for path in args.clips:
        start = time.process_time()
        person = study_target(path, workspace, until=SHARE)
        length = float(person.track.times[-1])
        print(
            f"{path.name}: face found in {(time.process_time() - start) / length:.1f} s of computing a second"
        )
        if args.foreign_only:
            model, _ = taught_mouth(person, 1e9, args.epochs, prior)
        else:
            model = self_reenactment(person, args, prior)
        for sound in args.sound:
            foreign(person, model, sound)
        if args.curve:
            curve(person, args.epochs, prior)


if __name__ == "__main__":
    main()

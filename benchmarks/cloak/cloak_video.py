"""The cloak of a video against searching noise for every frame anew, on a short clip.

    python benchmarks/cloak/cloak_video.py --clip d0.mp4 --width 360 --seconds 2 --crf 18,23,28

The peer searches each frame as our own pictures are searched: the same detectors, steps, strength and stand-in for the
encoder, but nothing carried from frame to frame. Both are encoded alike and judged alike on the decoded file, in the
same run. Seconds are CPU seconds of this process; ``search`` leaves out finding faces, encoding and judging. Without
``--clip``: ``media/people/d0.mp4`` in ``$VEILMARK_TEST_DATA``.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import av
import torch

from benchmarks.cloak.cloak_common import load_all, peak_memory
from cloak.detectors.base import FaceDetector
from cloak.options import CloakOptions
from cloak.video.evaluate import VideoEvaluation, evaluate_video
from cloak.video.io import VideoInfo, frames, picture_bytes, probe
from cloak.video.options import VideoOptions
from cloak.video.pipeline import cloak_video
from cloak.video.render import NoiseRenderer, NoiseStatistics, control_of, render
from cloak.video.search import VideoOptimiser, analyse_video
from cloak.video.state import VideoAnalysis, WindowNoise, WorkState
from cloak.video.window import Window


@dataclass(frozen=True)
class Setting:
    """One clip and what it is cloaked against."""

    info: VideoInfo
    analysis: VideoAnalysis
    attacked: list[FaceDetector]
    judging: list[FaceDetector]
    options: CloakOptions
    video: VideoOptions
    folder: Path


def shortened(source: Path, target: Path, width: int, seconds: float) -> Path:
    """The first seconds of a clip, scaled down, nearly lossless, without sound."""
    with av.open(str(source)) as inside, av.open(str(target), "w") as out:
        video = inside.streams.video[0]
        height = round(video.height * width / video.width / 2) * 2
        stream = out.add_stream("libx264", rate=video.average_rate, options={"crf": "12", "preset": "fast"})
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        if video.time_base is not None:
            stream.codec_context.time_base = video.time_base
        for frame in inside.decode(video):
            if frame.time >= seconds:
                break
            small = frame.reformat(width, height, "yuv420p", interpolation="AREA")
            small.pts, small.time_base = frame.pts, video.time_base
            out.mux(stream.encode(small))
        out.mux(stream.encode(None))
    return target


def frame_by_frame(setting: Setting, state: WorkState) -> int:
    """The peer: each face of each frame searched from the beginning. Returns the steps."""
    optimiser = VideoOptimiser(
        setting.info, setting.analysis, state, setting.attacked, setting.options, setting.video
    )
    total = 0
    for frame in frames(setting.info):
        for index, track in enumerate(setting.analysis.tracks):
            if track.first <= frame.index <= track.last:
                window = Window(track, frame.index, frame.index, optimiser.sides, "cpu")
                window.offer(frame.index, frame.rgb())
                levels, steps = optimiser.search(window, None, 0, set())
                state.save(WindowNoise(index, frame.index, frame.index, window.place, levels, steps))
                total += steps
    return total


def carried(setting: Setting, state: WorkState) -> int:
    """Ours, one round: noise for stretches of frames. Returns the steps."""
    optimiser = VideoOptimiser(
        setting.info, setting.analysis, state, setting.attacked, setting.options, setting.video
    )
    optimiser.first_pass(lambda _: None)
    found = [
        state.noise(i, first) for i in range(len(setting.analysis.tracks)) for first, _ in state.windows(i)
    ]
    return sum(one.steps for one in found if one is not None)


def evaluation(setting: Setting, state: WorkState) -> tuple[VideoEvaluation, NoiseStatistics, float]:
    """Encode with and without noise, and with the control; show the frames to everyone."""
    folder = setting.folder
    cloaked, plain, control = folder / "cloaked.mp4", folder / "plain.mp4", folder / "control.mp4"
    film = NoiseRenderer(setting.info, setting.analysis, state, setting.options)
    figures = render(film, cloaked, setting.options, setting.video, bare=True, plain=plain)
    change = control_of(setting.options, setting.info.upright)
    other = NoiseRenderer(setting.info, setting.analysis, state, setting.options, change)
    render(other, control, setting.options, setting.video, bare=True)
    everyone = evaluate_video(
        cloaked, plain, control, setting.analysis, setting.attacked, setting.judging, "cpu"
    )
    return everyone, figures, picture_bytes(cloaked) / picture_bytes(plain)


def share(result: VideoEvaluation, attacked: bool, condition: str) -> float:
    """Percent of the faces found without noise that are found with it; ``control`` is a condition here."""
    chosen = [one for one in result.detectors if one.attacked == attacked]
    before = sum(one.before for one in chosen)
    if condition == "control":
        found = sum(one.control or 0 for one in chosen)
    else:
        found = sum(one.after[condition] for one in chosen)
    return 100 * found / before if before else float("nan")


def row(
    name: str, seconds: float, steps: int, outcome: tuple[VideoEvaluation, NoiseStatistics, float]
) -> float:
    """Print one line; returns the percentage points by which the attacked find less than in the control."""
    result, figures, growth = outcome
    found = " / ".join(f"{share(result, True, c):3.0f}" for c in ("published", "jpeg75", "half"))
    control = share(result, True, "control")
    noise, flickers = (sum(v) / max(1, len(v)) for v in (figures.sizes, figures.flickers))
    after = sum(result.flickers) / max(1, len(result.flickers))
    print(
        f"{name:16} {seconds:9.1f} {steps:6} {found:>17} {control:8.0f} {noise:6.2f} {flickers:8.2f} {after:8.2f}"
        f" {sum(result.psnrs) / max(1, len(result.psnrs)):6.1f} {growth:6.2f}",
        flush=True,
    )
    return control - share(result, True, "published")


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--clip", type=Path)
    parser.add_argument("--width", type=int, default=360)
    parser.add_argument("--seconds", type=float, default=2.0)
    parser.add_argument("--detectors", default="mtcnn,centerface")
    parser.add_argument("--judges", default="")
    parser.add_argument("--strength", default="mid")
    parser.add_argument("--steps", type=int, default=60)
    parser.add_argument("--crf", default="18,23,28", help="for the second table; the first takes the first")
    parser.add_argument("--no-peer", action="store_true", help="leave the slow table out")
    args = parser.parse_args()
    clip = args.clip or Path(os.environ["VEILMARK_TEST_DATA"]) / "media" / "people" / "d0.mp4"
    torch.set_num_threads(1)
    names = tuple(args.detectors.split(","))
    options = CloakOptions(strength=args.strength, detectors=names, judges=(), steps=args.steps)
    crfs = [int(one) for one in args.crf.split(",")]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        source = shortened(clip, folder / "source.mp4", args.width, args.seconds)
        info = probe(source)
        attacked, judging = load_all(names), load_all(args.judges.split(",") if args.judges else ())
        if not args.no_peer:
            compare(info, attacked, judging, options, VideoOptions(crf=crfs[0], detection_rate=12.5), folder)
        print(f"\nthe whole pipeline, up to {options.rounds} rounds, by CRF; * at least one face was left")
        print(f"{'CRF':4} {'CPU s':>7} {'rounds':>6} {'searched':>8} {'carried':>7} {'found %':>17} {'control':>8} "
              f"{'flicker':>8} {'decoded':>8} {'PSNR':>6} {'size':>6}")  # fmt: skip
        for crf in crfs:
            begun = time.process_time()
            report = cloak_video(
                source, folder / f"{crf}.mp4", options, VideoOptions(crf=crf), work=folder / "work"
            )
            spent = time.process_time() - begun
            result = VideoEvaluation(detectors=list(report.detectors))
            found = " / ".join(f"{share(result, True, c):3.0f}" for c in ("published", "jpeg75", "half"))
            print(
                f"{crf}{' ' if report.success else '*':2} {spent:7.1f} {report.rounds:6} "
                f"{report.windows - report.carried:8} {report.carried:7} {found:>17} "
                f"{share(result, True, 'control'):8.0f} {report.flicker:8.2f} {report.flicker_after:8.2f} "
                f"{report.face_psnr:6.1f} {report.bytes_cloaked / report.bytes_plain:6.2f}",
                flush=True,
            )
    print(f"peak memory {peak_memory():.0f} MB")


def compare(
    info: VideoInfo,
    attacked: list[FaceDetector],
    judging: list[FaceDetector],
    options: CloakOptions,
    video: VideoOptions,
    folder: Path,
) -> None:
    """The first table."""
    analysis = analyse_video(info, attacked, options, video, 1, lambda _: None)
    print(f"{info.upright[0]} x {info.upright[1]}, {analysis.frames} frames, {len(analysis.shots)} shots, "
          f"{len(analysis.tracks)} faces; {options.strength}, CRF {video.crf}, one round; attacked: "
          f"{', '.join(d.name for d in attacked)}")  # fmt: skip
    print(f"{'':16} {'search s':>9} {'steps':>6} {'found %':>17} {'control':>8} {'noise':>6} {'flicker':>8} "
          f"{'decoded':>8} {'PSNR':>6} {'size':>6}")  # fmt: skip
    effects, costs = [], []
    for name, way in (("frame by frame", frame_by_frame), ("carried", carried)):
        place = folder / name.replace(" ", "-")
        setting = Setting(info, analysis, attacked, judging, options, video, folder)
        state = WorkState(place, name)
        begun = time.process_time()
        steps = way(setting, state)
        costs.append(time.process_time() - begun)
        effects.append(row(name, costs[-1], steps, evaluation(setting, state)))
    print(
        f"{costs[0] / costs[1]:.1f} times faster at {100 * effects[1] / effects[0]:.0f} % of the effect "
        f"(points found less than in each one's control)"
    )


if __name__ == "__main__":
    main()

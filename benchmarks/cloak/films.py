"""What a veil hides in films from detectors that were not attacked, frame by frame, beside random parameters.

    python benchmarks/cloak/films.py --out results.jsonl --weights DIR --attack centerface,faceboxes \\
        --judge yunet,face-api-tiny CLIP:START...

Of each clip some seconds are taken from START on, at the clip's own rate, and cloaked against ``--attack`` alone. Each
line of the output is the whole report of one clip, and CPU seconds. Judged frames are others than those that led the
search; ``control`` is the same veil with random parameters, as visible on the face. ``--keep DIR`` keeps the cloaked
film. ``--table`` prints such a file.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import torch

from cloak.options import CloakOptions
from cloak.video.options import VideoOptions
from cloak.video.pipeline import cloak_video


def cut(source: Path, target: Path, start: float, seconds: float, width: int) -> Path:
    """Some seconds of a clip, scaled down, nearly lossless, without sound."""
    with av.open(str(source)) as inside, av.open(str(target), "w") as out:
        video = inside.streams.video[0]
        rate = video.average_rate or Fraction(25)
        height = round(video.height * width / video.width / 2) * 2
        stream = out.add_stream("libx264", rate=rate, options={"crf": "10", "preset": "fast"})
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        written = 0
        for frame in inside.decode(video):
            if (frame.time or 0.0) < start:
                continue
            if written >= round(seconds * rate):
                break
            small = frame.reformat(width, height, "yuv420p", interpolation="AREA")
            small.pts, small.time_base = written, 1 / rate
            out.mux(stream.encode(small))
            written += 1
        out.mux(stream.encode(None))
    return target


def one(clip: str, args: argparse.Namespace) -> dict[str, Any]:
    """The report of one clip."""
    name, _, start = clip.rpartition(":")
    options = CloakOptions(
        strength=args.strength,
        veil=args.veil,
        detectors=tuple(args.attack.split(",")),
        judges=tuple(args.judge.split(",")) if args.judge else (),
        weights=args.weights,
        steps=args.steps,
        rounds=args.rounds,
        seed=args.seed,
        recognition=args.recognition,
    )
    video = VideoOptions(crf=args.crf, preset="veryfast", detection_rate=args.looks)
    with tempfile.TemporaryDirectory() as folder:
        source = cut(Path(name), Path(folder) / "in.mp4", float(start or 0), args.seconds, args.width)
        output = (args.keep or Path(folder)) / f"{Path(name).stem}-{args.veil}-{args.strength}.mp4"
        processor = time.process_time()
        report = cloak_video(source, output, options, video, work=args.work, force=True)
        return {"clip": clip, **report.to_json(), "cpu": round(time.process_time() - processor)}


def table(rows: Sequence[dict[str, Any]]) -> None:
    """Finds that are left of those without a cloak: as published / JPEG 75 / half size, and with the control."""
    for row in rows:
        quality, flicker, size = row["quality"], row["flicker"], row["bytes"]
        print(
            f"{row['clip']} {row['veil']} {row['strength']} seed {row['seed']}: {row['judged']} frames, FLIP "
            f"{quality['face_flip']:.3f} (before encoding at most {quality['flip_before_encoding']:.3f}), dislike "
            f"{quality['dislike']:.1f}, flicker {flicker['before_encoding']:.1f} of {flicker['noise']:.1f} (film "
            f"{flicker['original']:.1f}), size x{size['cloaked'] / size['plain']:.2f}, {row['cpu']} CPU s"
        )
        for detector in row["detectors"]:
            after = " / ".join(str(detector["after"][name]) for name in ("published", "jpeg75", "half"))
            role = "attacked" if detector["attacked"] else "left out"
            print(
                f"  {detector['name']:22} {role}: {after} of {detector['before']}; control {detector['control']}"
            )


def main() -> None:
    """Measure, or print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("clips", nargs="*", help="FILE:START")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--table", action="store_true")
    parser.add_argument("--weights", type=Path)
    parser.add_argument("--attack", default="centerface,blazeface-short,blazeface-full")
    parser.add_argument("--judge", default="")
    parser.add_argument("--veil", default="film")
    parser.add_argument("--strength", default="mid")
    parser.add_argument("--steps", type=int, default=40)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--seconds", type=float, default=2.0)
    parser.add_argument("--width", type=int, default=540)
    parser.add_argument("--looks", type=float, default=2.5, help="judged frames a second")
    parser.add_argument("--crf", type=int, default=20)
    parser.add_argument("--recognition", action="store_true")
    parser.add_argument("--keep", type=Path)
    parser.add_argument("--work", type=Path, help="where an interrupted clip is continued from")
    args = parser.parse_args()
    torch.set_num_threads(1)
    for clip in args.clips:
        line = json.dumps(one(clip, args))
        with args.out.open("a", encoding="utf-8") as out:
            out.write(line + "\n")
    if args.table:
        table([json.loads(line) for line in args.out.read_text(encoding="utf-8").splitlines()])


if __name__ == "__main__":
    main()

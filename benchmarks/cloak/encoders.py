"""How well the face encoders tell people apart, and where that puts their thresholds.

    VEILMARK_TEST_DATA=DIR python benchmarks/cloak/encoders.py [--weights DIR] [--frames 6]

For each clip of one person in DIR/media/people and DIR/media/talking, faces of a few frames are found and aligned by
CenterFace. Pairs from one clip are one person; pairs from two clips are two people. Printed for each encoder: the
share of pairs in the right order (area under the curve), the distance that one in a hundred pairs of two people stays
below, and the share of pairs of one person that it accepts.
"""

from __future__ import annotations

import argparse
import os
from pathlib import Path

import av
import numpy as np
import torch
from torch.nn import functional

from cloak import detectors
from cloak.recognition.encoders import ENCODERS, FaceEncoder, available

_LONGEST = 720


def faces_of(
    clip: Path, frames: int, detector: detectors.FaceDetector
) -> list[tuple[torch.Tensor, torch.Tensor]]:
    """``(1, 3, H, W)`` frames of the first 300 and the landmarks ``(5, 2)`` of the largest face in each."""
    found = []
    with av.open(str(clip)) as film:
        count = min(film.streams.video[0].frames or 200, 300)
        wanted = set(np.linspace(5, max(6, count - 5), frames).astype(int).tolist())
        for number, frame in enumerate(film.decode(video=0)):
            if number > max(wanted):
                break
            if number not in wanted:
                continue
            picture = torch.from_numpy(frame.to_ndarray(format="rgb24")).permute(2, 0, 1)[None].float() / 255
            if (factor := _LONGEST / max(picture.shape[2:])) < 1:
                picture = functional.interpolate(
                    picture, scale_factor=factor, mode="bilinear", antialias=True
                )
            report = detector.detect(picture)[0]
            if len(report) and report.landmarks is not None:
                largest = int((report.boxes[:, 2:] - report.boxes[:, :2]).prod(1).argmax())
                found.append((picture, report.landmarks[largest]))
    return found


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--weights", type=Path, help="a folder with the encoders' weights")
    parser.add_argument("--frames", type=int, default=6, help="of each clip")
    arguments = parser.parse_args()
    data = Path(os.environ["VEILMARK_TEST_DATA"])
    clips = sorted(
        [*(data / "media" / "people").glob("*.mp4"), *(data / "media" / "talking").glob("*.mp4")]
        or data.rglob("*.mp4")
    )
    detector = detectors.load("centerface")
    owners, faces = [], []
    for owner, clip in enumerate(clips):
        for face in faces_of(clip, arguments.frames, detector):
            owners.append(owner)
            faces.append(face)
    of = np.array(owners)
    print(f"{len(faces)} faces of {len(set(owners))} people")
    print("encoder        area   threshold  accepted  median of one, of two people")
    for known in ENCODERS:
        if known.name not in available(arguments.weights):
            print(f"{known.name:13}  its weights are not here: veilmark models get {known.name}")
            continue
        encoder = FaceEncoder.load(known.name, arguments.weights)
        with torch.no_grad():
            embedded = torch.cat([encoder.embed(encoder.align(p, points[None])) for p, points in faces])
        distances = torch.cdist(embedded.double(), embedded.double()).numpy()
        pairs = np.triu_indices(len(of), 1)
        one = (of[:, None] == of[None])[pairs]
        same, different = distances[pairs][one], distances[pairs][~one]
        limit = float(np.quantile(different, 0.01))
        area = float(np.mean(same[:, None] < different[None]))
        print(
            f"{known.name:13}  {area:.4f} {limit:.4f}     {np.mean(same < limit):.2f}      "
            f"{np.median(same):.4f}, {np.median(different):.4f}"
        )


if __name__ == "__main__":
    main()

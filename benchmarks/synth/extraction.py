"""What the extraction keeps of good footage, what it refuses of spoilt footage, and what it costs.

    VEILMARK_TEST_DATA=FOLDER python benchmarks/synth/extraction.py [--frames 24] [--threads 1]

On the clips below ``media/talking`` and ``media/people``, each of one person without anything in front of the face:

1. the share of frames that is kept, why the others are not, and processor time a frame;
2. for each way of spoiling, the share of frames that is refused, and under which names, when every fourth frame of a
   clip is spoilt and the others are left as they are;
3. people: distances of faces from the average of their own clip and from those of other clips, by dlib's network.
"""

from __future__ import annotations

import tempfile
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
from PIL import Image

from benchmarks.cloak.landmarks import asked, clips
from provenance.errors import NoFaceError
from provenance.media.files import sha256_file
from synth.extraction import extract_faces, measures
from synth.extraction.alignments import Alignments, Face
from synth.extraction.canonical import transformed, warp
from synth.extraction.embedding import DlibEmbedder
from synth.extraction.finder import FaceFinder
from synth.extraction.footage import RawFrame, open_footage
from synth.extraction.frames import aligned_face
from synth.extraction.options import ExtractOptions
from synth.extraction.rules import Thresholds, apply_rules, centre, person_limit

Spoil = Callable[[np.ndarray, np.ndarray], np.ndarray]


def gain(*factors: float) -> Spoil:
    return lambda pixels, _: np.clip(pixels * np.array(factors), 0, 255).astype(np.uint8)


def blurred(share: float) -> Spoil:
    """A Gaussian whose width is a share of the distance between the outer corners of the eyes."""
    return lambda pixels, points: np.asarray(
        cv2.GaussianBlur(pixels, (0, 0), share * float(np.linalg.norm(points[263] - points[33])))
    )


def covered(left: float, top: float, right: float, bottom: float, fill: str) -> Spoil:
    """A rectangle over a part of the face, in shares of the landmarks' outline."""

    def spoil(pixels: np.ndarray, points: np.ndarray) -> np.ndarray:
        result, low, high = pixels.copy(), points.min(0), points.max(0)
        x1, y1 = (low + np.array([left, top]) * (high - low)).astype(int)
        x2, y2 = (low + np.array([right, bottom]) * (high - low)).astype(int)
        area = result[max(0, y1) : y2, max(0, x1) : x2]
        cheek = points[50].astype(int)
        skin = np.median(pixels[cheek[1] - 3 : cheek[1] + 4, cheek[0] - 3 : cheek[0] + 4].reshape(-1, 3), 0)
        noise = np.random.default_rng(0).integers(0, 255, area.shape)
        area[:] = {"blue": (90, 140, 180), "black": (15, 15, 15), "skin": skin, "noise": noise}[fill]
        return result

    return spoil


SPOILT: dict[str, Spoil] = {
    "blur, 3 % of the eyes' distance": blurred(0.03),
    "blur, 6 %": blurred(0.06),
    "light x 0.25": gain(0.25, 0.25, 0.25),
    "light x 3": gain(3, 3, 3),
    "green cast": gain(0.55, 1.0, 0.55),
    "blue cast": gain(0.55, 0.65, 1.3),
    "grey": lambda p, _: np.repeat(cv2.cvtColor(p, cv2.COLOR_RGB2GRAY)[..., None], 3, 2),
    "medical mask": covered(-0.05, 0.55, 1.05, 1.1, "blue"),
    "left half": covered(-0.1, -0.1, 0.5, 1.1, "black"),
    "noise over the right half": covered(0.5, -0.1, 1.1, 1.1, "noise"),
    "bar over the eyes": covered(-0.1, 0.2, 1.1, 0.48, "black"),
    "hand of skin's colour": covered(0.2, 0.5, 0.8, 1.1, "skin"),
    "microphone": covered(0.35, 0.65, 0.65, 1.2, "black"),
    "something small on a cheek": covered(0.6, 0.45, 0.85, 0.7, "blue"),
}


def extracted(folder: Path, target: Path, embedder: DlibEmbedder, limits: Thresholds) -> Alignments:
    files = [{"sha256": sha256_file(one.path), "basis": "declared"} for one in open_footage(folder)]
    options = ExtractOptions(size=256, thresholds=limits)
    try:
        return extract_faces(
            folder, target, {"basis": "declared", "files": files}, options, embedder=embedder
        ).alignments
    except NoFaceError:
        return Alignments.load(target)


def outcome_of(alignments: Alignments, number: int) -> str:
    frame = alignments.frames[number]
    return frame.faces[0].outcome if frame.faces else frame.outcome


def main() -> None:
    count, media = asked(__doc__, 24, "frames of each clip, evenly spread")
    embedder, finder = DlibEmbedder(), FaceFinder()
    limits = Thresholds(bits=-1)
    spoilt: dict[str, Counter[str]] = {name: Counter() for name in SPOILT}
    harmed: Counter[str] = Counter()
    people: dict[str, np.ndarray] = {}

    print(f"1. clean footage, {count} frames a clip\n")
    print(f"{'':<16}{'kept':>7}{'ms CPU':>9}   refused")
    with tempfile.TemporaryDirectory() as scratch:
        for clip in clips(media):
            folder = Path(scratch) / clip.stem
            folder.mkdir()
            source = open_footage(clip)[0]
            wanted = {int(place) for place in np.linspace(0, source.expected - 1, count)}
            frames = [one.pixels for one in source.frames(wanted.__contains__)]
            for number, pixels in enumerate(frames):
                Image.fromarray(pixels).save(folder / f"{number:03d}.png", compress_level=1)
            start = time.process_time()
            clean = extracted(folder, Path(scratch) / f"{clip.stem}-clean", embedder, limits)
            spent = (time.process_time() - start) / len(frames) * 1000
            with_duplicates = extracted(folder, Path(scratch) / f"{clip.stem}-clean", embedder, Thresholds())
            counts = with_duplicates.counts()
            share = counts.pop("keep", 0) / len(frames)
            print(f"{clip.stem:<16}{share:>7.0%}{spent:>9.0f}   {counts or ''}", flush=True)
            people[clip.stem] = np.stack(
                [face.embedding for _, face in clean.faces(kept=False) if face.embedding is not None]
            )
            points = [frame.faces[0].landmarks if frame.faces else None for frame in clean.frames]
            bad = [n for n in range(0, len(frames), 4) if points[n] is not None]
            for name, spoil in SPOILT.items():
                judged = spoilt_outcomes(frames, points, bad, spoil, finder, embedder, clean, limits)
                spoilt[name].update(judged[n] for n in bad)
                harmed.update(judged[n] for n in range(len(frames)) if n not in bad)

    print("\n2. spoilt footage\n")
    print(f"{'':<34}{'refused':>9}   as")
    for name, counts in spoilt.items():
        total = sum(counts.values())
        others = ", ".join(
            f"{outcome} {number}" for outcome, number in counts.most_common() if outcome != "keep"
        )
        print(f"{name:<34}{1 - counts['keep'] / total:>9.0%}   {others}")
    total = sum(harmed.values())
    print(f"{'(good frames beside them)':<34}{1 - harmed['keep'] / total:>9.1%}   of {total}")

    print("\n3. people: distance from a clip's average\n")
    averages = {name: centre(rows) for name, rows in people.items()}
    own = np.concatenate([np.linalg.norm(rows - averages[name], axis=1) for name, rows in people.items()])
    other = np.concatenate(
        [
            np.linalg.norm(rows - averages[name], axis=1)
            for name in people
            for key, rows in people.items()
            if key != name
        ]
    )
    for name, values in (("same clip", own), ("others", other)):
        low, middle, high = np.percentile(values, (0, 50, 100))
        print(f"{name:<12} {low:.2f} to {high:.2f}, median {middle:.2f}")
    print_people(people)


def print_people(people: dict[str, np.ndarray]) -> None:
    """Every person's clip with faces of every other person mixed in: what the rule wrong-person does."""
    draws, limits = np.random.default_rng(0), Thresholds()
    for share in (0.05, 0.2, 0.4):
        lost, kept, mine, theirs = 0, 0, 0, 0
        room = [1.0, 1.0]
        for name, rows in people.items():
            for key, strange in people.items():
                if key == name:
                    continue
                count = min(len(strange), max(1, round(len(rows) * share / (1 - share))))
                mixed = np.concatenate([rows, strange[draws.permutation(len(strange))[:count]]])
                distances = np.linalg.norm(mixed - centre(mixed), axis=1)
                limit = person_limit(distances.tolist(), limits)
                own, other = distances[: len(rows)], distances[len(rows) :]
                lost, kept = lost + int((own > limit).sum()), kept + int((other <= limit).sum())
                mine, theirs = mine + len(own), theirs + count
                room = [
                    min(room[0], limit - float(own.max())),
                    min(room[1], float(other.min()) - limit),
                ]
        print(
            f"{share:4.0%} others: {lost} of {mine} own refused, {kept} of {theirs} others kept; "
            f"least room {room[0]:+.3f} and {room[1]:+.3f}"
        )


def spoilt_outcomes(
    frames: list[np.ndarray],
    points: list[np.ndarray | None],
    bad: list[int],
    spoil: Spoil,
    finder: FaceFinder,
    embedder: DlibEmbedder,
    clean: Alignments,
    limits: Thresholds,
) -> list[str]:
    """Outcomes of a clip's frames when some of them are spoilt; the others are taken from the clean run."""
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        (folder / "faces").mkdir()
        pictures: dict[int, np.ndarray] = {}
        rows = []
        for number, pixels in enumerate(frames):
            frame = replace(clean.frames[number], faces=[replace(f) for f in clean.frames[number].faces])
            shown = pixels
            own = points[number]
            if number in bad and own is not None:
                shown = spoil(pixels, own)
                raw = RawFrame(number, 0.0, shown)
                options = ExtractOptions(size=256)
                frame.faces = [
                    aligned_face(raw, found, number, place, folder, embedder, options)
                    for place, found in enumerate(finder.find(shown))
                ]
                frame.outcome = "faces" if frame.faces else "no-face"
            for face in frame.faces:
                face.outcome = face.judged = "keep"
                pictures[id(face)] = shown
            rows.append(frame)
        result = replace(clean, frames=rows)

        def colours(face: Face) -> np.ndarray:
            aligned = warp(pictures[id(face)], face.matrix, 256)
            return measures.point_colours(aligned, transformed(face.landmarks, face.matrix))

        apply_rules(result, limits, colours=colours)
        return [outcome_of(result, number) for number in range(len(frames))]


if __name__ == "__main__":
    main()

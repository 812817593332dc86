"""Teach the detector of lip-syncs: a logistic regression with a ridge, on windows of four seconds.

::

    python -m synth.detect.training.lips FOOTAGE... --lipsyncs FOLDER -o WEIGHTS [--work WORK]

FOOTAGE are videos, each of one person and named after them. Fakes are lip-syncs, files of FOLDER that are named
``PERSON-anything.mp4``, made beforehand by ``veilmark synth lipsync --no-visible-mark`` of people who agreed; and, of
everybody, landmarks whose lips moved at another time (:func:`landmark_fake`), of which no picture is ever made. Every
fake has real footage of the same person beside it: as filmed, encoded again, and blurred.

It writes ``lips.json``, and ``lips-taught.json`` with all that it hangs on, and with each clip's log-odds by a model
that saw nothing of its person. benchmarks/synth/lips.py says what those are worth.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from provenance.errors import UsageError
from provenance.media.files import sha256_file, write_bytes
from synth.detect.calibrate import fit_logistic
from synth.detect.lip_features import RATE, evenly, from_the_front, windows_of
from synth.detect.lips import MOST_APART, LipModel
from synth.detect.observe import FaceObserver, ObservedFace
from synth.detect.patches import no_patches
from synth.detect.training import material
from synth.detect.training.clips import remade
from synth.extraction.canonical import INNER_LIPS, LIPS
from synth.extraction.footage import open_footage

Floats = NDArray[np.float64]
#: Fixed beforehand, not tuned: there are too few people to tune on.
SHRINK = 10.0
#: So many landmark fakes are made of each real clip.
EACH = 3
#: Kinds of clips: real ones, lip-syncs, landmark fakes.
REAL, LIPSYNC, MOVED = ("filmed", "again", "blurred"), "lipsync", "moved"
#: Of each clip.
SECONDS = 6.0
TAUGHT_FILE = "lips-taught.json"
_LOWER, _MIDDLES = 0.62, (0, 17, 61, 291, 13)
_PAUSE, _LONGEST = 0.5, 3.0


@dataclass(frozen=True)
class LipRow:
    """The windows of one clip.

    Attributes:
        person: whose. kind: of :data:`REAL`, :data:`LIPSYNC` or :data:`MOVED`.
        fake: was made.
        windows: features by name.
    """

    person: str
    kind: str
    fake: bool
    windows: tuple[dict[str, float], ...]


def landmark_fakes(person: str, times: Floats, front: Floats, seed: int = 0) -> list[LipRow]:
    """:data:`EACH` of them, of a real clip."""
    even = evenly(front, times)
    moments = times[0] + np.arange(len(even)) / RATE
    return [
        lip_row(
            person,
            MOVED,
            True,
            moments,
            landmark_fake(even, np.random.default_rng((seed, number, *person.encode()))),
            no_patches(len(even)),
        )
        for number in range(EACH)
    ]


def landmark_fake(front: Floats, random: np.random.Generator) -> Floats:
    """Lips of another time on the same face, as smooth and as small as guesses from sound are.

    Slow movement (expression) and the landmarks' own noise stay. What lies between is taken from half a second to three
    seconds later, at 0.8 to 1.25 of the speed, in three to eight principal components, smaller; the jaw follows partly.

    Args:
        front: ``(T, 468, 3)`` of :func:`synth.detect.lip_features.evenly`.
    """
    middle = front.mean(0)
    lower = np.flatnonzero(middle[:, 1] > _LOWER)
    away = np.linalg.norm(middle[lower, None, :2] - middle[None, list(_MIDDLES), :2], axis=-1).min(1)
    jaw = np.clip((away - 0.25) / 0.35, 0, 1)
    jaw[np.isin(lower, LIPS + INNER_LIPS)] = 0
    moved = front[:, lower] - middle[lower]
    steady = _smooth(moved, 1.0)
    quick = steady - _smooth(moved, 12.0)
    count = len(front)
    speed = float(random.choice([0.8, 1.0, 1.0, 1.25]))
    begin = random.uniform(_PAUSE, max(_PAUSE + 0.1, min(_LONGEST, count / RATE - 0.5))) * RATE
    # there and back, so that it never jumps
    place = (np.arange(count) * speed + begin) % max(1, 2 * count - 2)
    place = np.minimum(place, 2 * count - 2 - place).clip(0, count - 1)
    first = place.astype(int)
    share = (place - first)[:, None, None]
    other = quick[first] * (1 - share) + quick[np.minimum(first + 1, count - 1)] * share
    left, sizes, right = np.linalg.svd(other.reshape(count, -1), full_matrices=False)
    kept = int(random.integers(3, 9))
    flat = (left[:, :kept] * sizes[:kept]) @ right[:kept]
    other = _smooth(flat.reshape(other.shape), float(random.uniform(0.05, 1.2))) * random.uniform(0.4, 0.95)
    new = (1 - jaw * (1 - random.uniform(0, 0.9)))[None, :, None]
    result = front.copy()
    result[:, lower] += (other - quick) * new
    return result


def lip_row(person: str, kind: str, fake: bool, times: Floats, front: Floats, patches: Floats) -> LipRow:
    """Of a clip; ``front`` of :func:`synth.detect.lip_features.from_the_front`."""
    return LipRow(person, kind, fake, tuple(told for _, told in windows_of(times, front, patches)))


def train_lips(rows: Sequence[LipRow], *, shrink: float = SHRINK, about: str = "") -> LipModel:
    """Each person weighs the same, among real clips, lip-syncs and landmark fakes; and so do the latter two.

    Raises:
        UsageError: real clips or fakes are missing.
    """
    used = [one for one in rows if one.windows]
    if len({one.fake for one in used}) < 2:
        raise UsageError("real clips and lip-syncs of three seconds and more are needed")
    names = tuple(used[0].windows[0])
    values = np.array([[told[name] for name in names] for one in used for told in one.windows])
    fake = np.array([one.fake for one in used for _ in one.windows])
    whose = np.array([one.person for one in used for _ in one.windows])
    moved = np.array([one.kind == MOVED for one in used for _ in one.windows])
    weight = np.ones(len(values))
    for which in (~fake, moved, fake & ~moved):
        for person in set(whose[which].tolist()):
            inside = which & (whose == person)
            weight[inside] = 1 / inside.sum()
        weight[which] /= max(float(weight[which].sum()), 1e-9)
    mean = np.nanmean(values[~fake], 0)
    scale = np.maximum(np.nanstd(values[~fake], 0), 1e-4)
    x = np.clip((values - mean) / scale, -MOST_APART, MOST_APART)
    weights, offset = fit_logistic(
        np.where(np.isfinite(x), x, 0.0), fake, shrink, weights=weight * len(weight) / weight.sum()
    )
    return LipModel(names, mean, scale, weights, offset, about)


def held_out_lips(rows: Sequence[LipRow], **how: Any) -> list[float | None]:
    """Mean log-odds of each clip by a model that saw nothing of its person; None without windows."""
    result: list[float | None] = [None] * len(rows)
    for person in dict.fromkeys(one.person for one in rows):
        model = train_lips([one for one in rows if one.person != person], **how)
        for place, one in enumerate(rows):
            if one.person == person and one.windows:
                result[place] = float(np.mean([model.log_odds(told) for told in one.windows]))
    return result


def _smooth(values: Floats, sigma: float) -> Floats:
    """A Gaussian over the first axis, in frames, its ends repeated."""
    reach = max(1, round(3 * sigma))
    bell = np.exp(-0.5 * (np.arange(-reach, reach + 1) / max(sigma, 1e-3)) ** 2)
    bell /= bell.sum()
    padded = np.concatenate([values[:1].repeat(reach, 0), values, values[-1:].repeat(reach, 0)])
    parts = [share * padded[place : place + len(values)] for place, share in enumerate(bell)]
    return np.asarray(np.sum(parts, axis=0))


def lip_rows(
    footage: Sequence[Path], lipsyncs: Sequence[Path], work: Path, *, observer: FaceObserver | None = None
) -> list[LipRow]:
    """Of real clips, those made of them, and lip-syncs. What was observed before is read from ``work``."""
    looks = observer or FaceObserver()
    rows: list[LipRow] = []
    for clip in material.observe_clips(footage, work, looks, SECONDS, print):
        looked = {"filmed": clip.observed}
        for kind in REAL[1:]:
            kept = work / f"lips-{kind}-{clip.person}-{len(clip.observed.times)}.npz"
            if not kept.is_file():
                random = np.random.default_rng((1, sum(f"{clip.person}{kind}".encode())))
                source = open_footage(clip.observed.path)[0]
                material.save_observed(kept, remade(kind, source, clip.observed, random))
            looked[kind] = material.load_observed(kept, clip.observed.path)
        rows += rows_of(clip.person, looked)
    people = {one.person for one in rows}
    for clip in material.observe_clips(lipsyncs, work, looks, SECONDS, print):
        person = clip.person.partition("-")[0]
        if person not in people:
            raise UsageError(
                f"{clip.observed.path.name} is of {person}, of whom there is no real clip",
                hint="name lip-syncs PERSON-anything.mp4, after the real clip",
            )
        rows.append(_row(person, LIPSYNC, clip.observed))
    return rows


def rows_of(person: str, looked: Mapping[str, ObservedFace]) -> list[LipRow]:
    """Of a person's real clip, by kind of :data:`REAL`, and landmark fakes of it as filmed."""
    filmed = looked["filmed"]
    fakes = landmark_fakes(person, filmed.times, from_the_front(filmed.landmarks))
    return [*(_row(person, kind, one) for kind, one in looked.items()), *fakes]


def _row(person: str, kind: str, observed: ObservedFace) -> LipRow:
    front = from_the_front(observed.landmarks)
    return lip_row(person, kind, kind not in REAL, observed.times, front, observed.patches)


def write_lips(rows: Sequence[LipRow], files: Sequence[Path], output: Path) -> None:
    """``lips.json`` and ``lips-taught.json``."""
    people = sorted({one.person for one in rows})
    counts = {kind: sum(one.kind == kind for one in rows) for kind in (*REAL, LIPSYNC, MOVED)}
    about = f"{len(people)} people; clips: " + ", ".join(f"{count} {kind}" for kind, count in counts.items())
    held = held_out_lips(rows)
    model = train_lips(rows, about=about)
    output.mkdir(parents=True, exist_ok=True)
    write_bytes(output / "lips.json", json.dumps(model.to_json(), indent=1).encode(), force=True)
    taught = {
        "shrink": SHRINK,
        "seconds": SECONDS,
        "files": [[path.stem, sha256_file(path)] for path in files],
        "held_out": [
            [one.person, one.kind, None if value is None else round(value, 4)]
            for one, value in zip(rows, held, strict=True)
        ],
    }
    write_bytes(output / TAUGHT_FILE, json.dumps(taught).encode(), force=True)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("footage", nargs="+", type=Path)
    parser.add_argument("--lipsyncs", type=Path, required=True)
    parser.add_argument("-o", "--output", type=Path, required=True)
    parser.add_argument("--work", type=Path, help="where what was observed is kept; default: OUTPUT/work")
    chosen = parser.parse_args()
    torch.set_num_threads(1)
    footage = sorted(chosen.footage, key=lambda path: path.stem)
    lipsyncs = sorted(chosen.lipsyncs.glob("*-*.mp4"))
    rows = lip_rows(footage, lipsyncs, chosen.work or chosen.output / "work")
    write_lips(rows, [*footage, *lipsyncs], chosen.output)


if __name__ == "__main__":
    main()

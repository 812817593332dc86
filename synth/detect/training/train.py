"""``python -m synth.detect.training.train FOOTAGE... -o WEIGHTS``: teach all fake detectors again.

FOOTAGE are videos, each of one person, and folders of them; ``--photos`` are folders of photographs. Only real footage
is needed: all fakes that are learned from are made here, of each person's own face. People are divided into groups;
for each group, detectors that never saw it judge its clips, and what they say calibrates the final ones, which learn
from everybody. ``WEIGHTS/fold-N`` has the detectors of each group, for benchmarks/synth/detect.py.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from importlib import metadata
from pathlib import Path

import numpy as np
import torch

from provenance.errors import UsageError
from provenance.media.files import write_bytes
from synth.code_version import code_of
from synth.detect.base import DETECTORS
from synth.detect.calibrate import fit_joint
from synth.detect.learned import LearnedDetectors
from synth.detect.observe import FaceObserver, ObservedFace
from synth.detect.run import DetectOptions, score_footage
from synth.detect.training import faces as train_faces
from synth.detect.training import lips as train_lips
from synth.detect.training import material
from synth.detect.training import pulse as train_pulse
from synth.detect.training import splice as train_splice
from synth.detect.training.clips import KINDS, REAL_KINDS, remade
from synth.detect.training.material import TrainingClip
from synth.extraction.footage import open_footage

STEPS = {"warp": 300, "blend": 300, "splice": 250}
EACH = {"warp": 4, "blend": 4}
SECONDS, GROUPS = 6.0, 2
HELD_OUT, RECORD_FILE = "held-out.json", "taught.json"
#: Not blinking: the fakes that are made here keep the eyes of their footage, so nothing can be learned about it. Not
#: splices: what it seems to see of the fakes is that blurred real clips score low. Not lips: none of these fakes is a
#: lip-sync; its odds are added to the joint ones (see :class:`synth.detect.calibrate.Joint`).
IN_JOINT = tuple(name for name in DETECTORS if name not in ("blink", "lips", "splice"))
Row = tuple[str, str, dict[str, float | None]]


@dataclass
class TrainingSet:
    """Everything that is learned from.

    Attributes:
        clips: real ones; ``made`` has, by kind, those made from them, in the same order.
        faces, scenes: of clips and photographs.
        groups: people, held out in turn.
    """

    clips: list[TrainingClip]
    made: dict[str, list[ObservedFace]]
    faces: list[material.TrainingFace]
    scenes: list[train_splice.Scene]
    groups: list[tuple[str, ...]]
    steps: dict[str, int] = field(default_factory=lambda: dict(STEPS))
    seed: int = 0


def build_training_set(
    footage: Sequence[Path],
    photos: Path | None,
    work: Path,
    *,
    seed: int = 0,
    groups: int = GROUPS,
    together: Sequence[str] = (),
) -> TrainingSet:
    """Watch the clips, make fakes of them, and collect faces and scenes."""
    observer = FaceObserver()
    clips = material.observe_clips(footage, work, observer, SECONDS, _say)
    made: dict[str, list[ObservedFace]] = {kind: [] for kind in KINDS}
    for number, clip in enumerate(clips):
        for kind in KINDS:
            kept = work / f"made-{kind}-{clip.person}-{seed}-{len(clip.observed.times)}.npz"
            if kept.is_file():
                made[kind].append(material.load_observed(kept, clip.observed.path))
                continue
            random = np.random.default_rng((seed, number, KINDS.index(kind)))
            made[kind].append(remade(kind, open_footage(clip.observed.path)[0], clip.observed, random))
            material.save_observed(kept, made[kind][-1])
        _say(f"made fakes of {clip.person}")
    pictures = material.photos_in(photos)
    faces = material.clip_faces(clips) + material.photo_faces(pictures, observer)
    scenes = [
        train_splice.scene(clip.person, frame) for clip in clips for frame in clip.observed.frames[:2]
    ] + [train_splice.scene(f"photo-{number}", picture) for number, picture in enumerate(pictures)]
    _say(f"{len(clips)} people, {len(faces)} faces, {len(pictures)} photographs")
    return TrainingSet(
        clips,
        made,
        faces,
        [one for one in scenes if one is not None],
        material.folds([clip.person for clip in clips], groups, together),
        seed=seed,
    )


def train_all(lesson: TrainingSet, output: Path) -> None:
    """Teach the detectors of every group and the final ones."""
    output.mkdir(parents=True, exist_ok=True)
    folders = [output / f"fold-{number}" for number in range(len(lesson.groups))]
    for folder in folders:
        folder.mkdir(exist_ok=True)
    _learn_pulse(lesson, output, folders)
    _learn_lips(lesson, output, folders)
    _learn_faces(lesson, output, folders)
    _learn_splice(lesson, output, folders)


def _learn_pulse(lesson: TrainingSet, output: Path, folders: Sequence[Path]) -> None:
    rows = [train_pulse.row(clip.person, False, clip.observed) for clip in lesson.clips]
    rows += [
        train_pulse.row(c.person, False, w)
        for kind in REAL_KINDS
        for c, w in zip(lesson.clips, lesson.made[kind], strict=True)
    ]
    rows += [
        train_pulse.row(c.person, True, w) for c, w in zip(lesson.clips, lesson.made["rebuilt"], strict=True)
    ]
    about = f"real clips of {len(lesson.clips)} people against rebuilt ones; calibrated on people held out"
    decisions = train_pulse.held_out(rows, lesson.groups)
    for group, folder in zip(lesson.groups, folders, strict=True):
        inside = [one for one in rows if one.person not in group]
        own = train_pulse.held_out(inside, material.folds([one.person for one in inside], 3))
        machine = train_pulse.calibrated(train_pulse.train_machine(inside, about=about), inside, own)
        write_bytes(folder / "pulse.json", json.dumps(machine.to_json()).encode(), force=True)
    final = train_pulse.calibrated(train_pulse.train_machine(rows, about=about), rows, decisions)
    write_bytes(output / "pulse.json", json.dumps(final.to_json()).encode(), force=True)
    _say("pulse: done")


def _learn_lips(lesson: TrainingSet, output: Path, folders: Sequence[Path]) -> None:
    """From landmark fakes alone: :mod:`synth.detect.training.lips` teaches it from lip-syncs as well."""
    rows = [
        row
        for place, clip in enumerate(lesson.clips)
        for row in train_lips.rows_of(
            clip.person, {"filmed": clip.observed, **{kind: lesson.made[kind][place] for kind in REAL_KINDS}}
        )
    ]
    for group, folder in zip([*lesson.groups, ()], [*folders, output], strict=True):
        model = train_lips.train_lips(
            [one for one in rows if one.person not in group], about="real clips against landmark fakes"
        )
        write_bytes(folder / "lips.json", json.dumps(model.to_json()).encode(), force=True)
    _say("lips: done")


def _learn_faces(lesson: TrainingSet, output: Path, folders: Sequence[Path]) -> None:
    everyone = {face.person for face in lesson.faces}
    for kind in ("warp", "blend"):
        pool = train_faces.make_pool(kind, lesson.faces, EACH[kind], lesson.seed)
        means, truth = [], []
        networks = []
        for group in lesson.groups:
            others = sorted(everyone - set(group))
            network = train_faces.train_network(
                pool, others, steps=lesson.steps[kind], seed=lesson.seed, say=_say
            )
            networks.append(network)
            for person in group:
                rows = pool.people == person
                for fake, pictures in ((False, pool.real[rows]), (True, pool.fake[rows])):
                    # as many at a time as a clip has faces
                    values = train_faces.logits_of(network, pictures)
                    for part in np.array_split(values, EACH[kind]):
                        means.append(float(part.mean()))
                        truth.append(fake)
        slope, offset = train_faces.calibration(np.array(means), np.array(truth))
        about = {
            "people": len(lesson.clips),
            "photographs": len(everyone) - len(lesson.clips),
            "seed": lesson.seed,
        }
        for network, folder in zip(networks, folders, strict=True):
            train_faces.save_network(folder / f"{kind}.safetensors", network, slope, offset, about)
        final = train_faces.train_network(pool, None, steps=lesson.steps[kind], seed=lesson.seed, say=_say)
        train_faces.save_network(output / f"{kind}.safetensors", final, slope, offset, about)
        _say(f"{kind}: done, calibration {slope:.2f} {offset:.2f}")


def _learn_splice(lesson: TrainingSet, output: Path, folders: Sequence[Path]) -> None:
    """From the photographs alone, so that one network has seen none of the people in the clips."""
    patches = train_splice.make_patches(lesson.scenes, 48, 8, lesson.seed)
    photographs = [n for n, one in enumerate(lesson.scenes) if one.person.startswith("photo-")]
    clips = [n for n in range(len(lesson.scenes)) if n not in photographs]
    if not photographs:
        raise UsageError("the splice detector learns from photographs", hint="name a folder with --photos")
    network = train_splice.train_network(
        patches, photographs, steps=lesson.steps["splice"], seed=lesson.seed, say=_say
    )
    found = train_splice.measure(network, patches, lesson.scenes, clips, count=20, seed=lesson.seed + 1)
    contrast = np.array(found.spliced + found.whole)
    truth = np.arange(len(contrast)) < len(found.spliced)
    slope, offset = train_faces.calibration(contrast, truth)
    about = {"photographs": len(photographs), "seed": lesson.seed}
    for folder in (*folders, output):
        train_faces.save_network(folder / "splice.safetensors", network, slope, offset, about)
    _say(f"splice: pairs {found.pair_auc:.3f}, precision {np.nanmean(found.precision):.3f}")


def held_out_scores(lesson: TrainingSet, folders: Sequence[Path]) -> list[Row]:
    """Person, kind of clip ("filmed" or one of KINDS) and scores, by detectors that never saw the person."""
    result: list[Row] = []
    for group, folder in zip(lesson.groups, folders, strict=True):
        judges = LearnedDetectors(folder, joint=False)
        options = DetectOptions(pictures=False)
        for place, clip in enumerate(lesson.clips):
            if clip.person not in group:
                continue
            kinds = [("filmed", clip.observed), *((kind, lesson.made[kind][place]) for kind in KINDS)]
            for kind, observed in kinds:
                result.append(
                    (clip.person, kind, score_footage(clip.observed.path, observed, judges, options).scores)
                )
    return result


def calibrate(rows: Sequence[Row], output: Path) -> None:
    """Write ``joint.json`` from held-out scores of real clips against blended and rebuilt ones, and the scores."""
    people = len({person for person, _, _ in rows})
    joint = fit_joint(
        [scores for _, _, scores in rows],
        [kind in ("blended", "rebuilt") for _, kind, _ in rows],
        list(IN_JOINT),
        about=f"{len(rows)} clips of {people} people, each judged by detectors that never saw the person: "
        "as filmed, encoded again and blurred against self-blended and rebuilt",
    )
    write_bytes(output / "joint.json", json.dumps(joint.to_json(), indent=1).encode(), force=True)
    write_bytes(output / HELD_OUT, json.dumps(rows).encode(), force=True)


def load_held_out(output: Path) -> list[Row]:
    """What :func:`calibrate` kept."""
    return [(person, kind, scores) for person, kind, scores in json.loads((output / HELD_OUT).read_bytes())]


def footage_of(paths: Sequence[Path]) -> list[Path]:
    """The videos among paths and in folders, by name, in whatever order they are given: the order decides random draws.

    Raises:
        UsageError: two of one name, which would be one person.
    """
    sources = [source for path in paths for source in open_footage(path)]
    found = sorted((source.path for source in sources if source.kind == "video"), key=lambda path: path.stem)
    names = [path.stem for path in found]
    if double := next((name for name in names if names.count(name) > 1), None):
        raise UsageError(f"two videos are called {double}", hint="name each after its person")
    return found


def write_training_record(
    lesson: TrainingSet, footage: Sequence[Path], photos: Path | None, output: Path
) -> None:
    """Write ``taught.json``: all that the weights hang on, so that they can be made again."""
    from provenance.media.files import sha256_file

    pictures = material.photo_files(photos)
    told = {
        "seed": lesson.seed,
        "steps": lesson.steps,
        "seconds": SECONDS,
        "groups": lesson.groups,
        "footage": [[path.stem, sha256_file(path)] for path in footage],
        "photos": [sha256_file(path) for path in pictures],
        "versions": {name: metadata.version(name) for name in ("torch", "numpy", "scikit-learn")},
        "code": code_of("synth.detect"),
    }
    write_bytes(output / RECORD_FILE, json.dumps(told, indent=1).encode(), force=True)


def _say(text: str) -> None:
    print(f"{time.process_time():7.0f} s  {text}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("footage", nargs="+", type=Path)
    parser.add_argument("-o", "--output", type=Path, required=True)
    parser.add_argument("--photos", type=Path)
    parser.add_argument("--work", type=Path, help="where what was observed is kept; default: OUTPUT/work")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--together", default="", help="people (file names) of one group, comma-separated")
    chosen = parser.parse_args()
    torch.set_num_threads(1)
    work = chosen.work or chosen.output / "work"
    together = [name for name in chosen.together.split(",") if name]
    footage = footage_of(chosen.footage)
    lesson = build_training_set(footage, chosen.photos, work, seed=chosen.seed, together=together)
    train_all(lesson, chosen.output)
    write_training_record(lesson, footage, chosen.photos, chosen.output)
    folders = [chosen.output / f"fold-{number}" for number in range(len(lesson.groups))]
    calibrate(held_out_scores(lesson, folders), chosen.output)


if __name__ == "__main__":
    main()

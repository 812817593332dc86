"""``measure swap``: is a face swapper that learned from cloaked data worse, and are its fakes easier to detect?

:func:`measure_swap` is the protocol: publish, extract, train, measure; the same for clean data, for cloaked data, and
for data with as much random noise. Everything that is finished is kept, so that an interrupted measurement goes on.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from provenance.errors import ConsentError, UsageError
from provenance.media.picture import sha256_file
from synth.extraction.faceset import FaceSet
from synth.extraction.finder import FaceFinder
from synth.extraction.footage import open_footage
from synth.measure import fakes
from synth.measure.cache import Cache, key_of
from synth.measure.conditions import Pixels
from synth.measure.detectors.experiment import NOISE
from synth.measure.material import Material, prepare, publish
from synth.measure.split import split_of
from synth.measure.swap.cells import (
    Judge,
    Label,
    Stop,
    embedded,
    landmarks_of,
    tells_people_apart,
    trained_and_measured,
)
from synth.measure.swap.faces import Faces, extracted, held_out_faces
from synth.measure.swap.options import CLEAN, Attacker, SwapOptions
from synth.swap.features import DlibFeatures, available
from synth.swap.training.checkpoint import Origin
from synth.swap.training.data import Bank
from synth.swap.training.train import train

Progress = Callable[[float], None]
Tell = Callable[[str], None]
#: Seconds, as measured on one core: to cloak a frame against one detector with one step a round, to find a face in a
#: frame and align it, and to swap and measure a frame.
_CLOAK, _EXTRACT, _MEASURE = 0.0045, 0.13, 0.45
_PROBE_STEPS = 4


@dataclass(frozen=True)
class Plan:
    """What will be done, and about how long each part takes in seconds."""

    parts: tuple[tuple[str, float], ...]

    @property
    def seconds(self) -> float:
        return sum(seconds for _, seconds in self.parts)

    def lines(self) -> list[str]:
        """For a person."""
        rows = [f"{what}: about {_duration(seconds)}" for what, seconds in self.parts]
        return [*rows, f"in all about {_duration(self.seconds)}, less what is finished already"]


@dataclass
class Result:
    """What was measured.

    Attributes:
        variants: clean, then each strength and its control.
        faces: by (variant, attacker's name).
        cells: by (variant, attacker's name, seed): ``measures``, or ``untrained``.
        real: what fake detectors say about the target's untouched clip.
        apart: distance of the two people's mean embeddings, or None.
        notes: what a person should know.
        files: SHA-256 of the footage.
        gaps: frames or pictures left out between the published and the held-out ones, by whose footage.
        sheets: generated pictures, signed, by (variant, attacker's name).
        published: a frame of each variant.
        seconds: of all work, earlier runs' included.
        kind: ``swap`` or ``lipsync``; of a lip-sync, ``tracks``: how far landmarks are displaced, by (variant,
            attacker's name).
    """

    options: SwapOptions
    variants: list[str]
    faces: dict[tuple[str, str], Faces] = field(default_factory=dict)
    cells: dict[tuple[str, str, int], dict[str, Any]] = field(default_factory=dict)
    real: dict[str, float | None] = field(default_factory=dict)
    apart: float | None = None
    features: str = ""
    held_out: int = 0
    notes: list[str] = field(default_factory=list)
    files: dict[str, list[str]] = field(default_factory=dict)
    gaps: dict[str, int] = field(default_factory=dict)
    sheets: dict[tuple[str, str], Path] = field(default_factory=dict)
    published: dict[str, Pixels] = field(default_factory=dict)
    seconds: float = 0.0
    kind: str = "swap"
    tracks: dict[tuple[str, str], float] = field(default_factory=dict)


def variants_of(options: SwapOptions) -> list[str]:
    """Clean data, then for each strength the cloaked data and its control."""
    named = [CLEAN]
    for strength in dict.fromkeys(options.strengths):
        named += [strength, NOISE + strength] if options.control else [strength]
    return named


def plan_for(person: Path, options: SwapOptions, cache: Cache) -> Plan:
    """How long it will take at most, from the footage's length and a few steps of training."""
    count = _frames(person, options)
    cells = (len(variants_of(options))) * len(options.parsed)
    rounds = options.cloak_steps * options.cloak_rounds
    cloak = count * len(options.attacked) * rounds * _CLOAK * len(dict.fromkeys(options.strengths))
    if not _is_video(person):
        cloak *= 12  # noise of pictures is searched for each anew
    runs = cells * len(options.seeds)
    steps = options.generator().recipe.steps
    clip = min(options.held_out, max(2, round(count / 4)))
    return Plan(
        (
            (f"cloaking {count} frames at {', '.join(options.strengths)}", cloak),
            (f"{cells} extractions of faces, and the target's", (cells + 2) * count * _EXTRACT),
            (f"{runs} trainings of {steps} steps", runs * steps * seconds_per_step(options, cache)),
            (f"measuring {runs} generators on {clip} held-out frames", runs * clip * _MEASURE),
        )
    )


def seconds_per_step(options: SwapOptions, cache: Cache) -> float:
    """Of the generator's training, from a few steps on noise on this machine."""
    chosen = options.generator().with_steps(10)
    recipe = replace(chosen.recipe, check_every=1_000_000, generator_share=1.0, critic_share=0.0)
    chosen = replace(chosen, recipe=recipe)
    size, draws, device = chosen.architecture.size, np.random.default_rng(0), torch.device(options.device)
    shapes = ((24, size, size, 3), (24, size, size), (24, size, size))
    noise = [torch.from_numpy(draws.integers(0, 255, one, dtype=np.uint8)).to(device) for one in shapes]
    moments: list[float] = []
    with cache.scratch() as scratch:
        train(
            {"a": Bank(*noise), "b": Bank(*noise)},
            Origin(chosen, ("a", "b"), {}, {}, 0, {}),
            scratch,
            device=device,
            stop=lambda: len(moments) > _PROBE_STEPS,
            progress=lambda _: moments.append(time.perf_counter()),
        )
    return (moments[-1] - moments[0]) / (len(moments) - 1)


def measure_swap(
    person: Path,
    target: Path,
    consent: dict[str, dict[str, Any]],
    options: SwapOptions,
    cache: Cache,
    *,
    tell: Tell = lambda _: None,
    progress: Progress | None = None,
    stop: Stop = lambda: False,
    label: Label | None = None,
) -> Result:
    """The whole protocol.

    Args:
        person: footage of who publishes, and whose face is stolen: a video, or a folder of pictures.
        target: footage into which the face is put: a video.
        consent: for ``a`` (person) and ``b`` (target), of :meth:`synth.consent.permission.Permission.to_json`.
        cache: where everything that is finished lies.
        tell: is told what begins.
        stop: asked between steps.
        label: writes generated pictures signed and marked.

    Raises:
        KeyboardInterrupt: ``stop`` said so; the same call goes on there.
        ConsentError, NoFaceError, UsageError, MediaError: see the parts.
    """
    for side in "ab":
        if not consent.get(side, {}).get("basis"):
            raise ConsentError("nothing says on which basis the footage may be used")
    require_video(target)
    result = Result(options, variants_of(options))
    part = _Parts(progress)
    # 1. Publish: A's footage clean and cloaked; of both people the last fifth is kept apart, after a gap.
    made, other = prepare(person, options, cache), prepare(target, options, cache)
    result.files = {"person": made.digests, "target": other.digests}
    result.gaps = {"person": made.gap, "target": other.gap}
    result.notes += [one.note for one in (made, other) if one.note]
    for strength in dict.fromkeys(options.strengths):
        tell(f"cloaking at {strength}")
        publish(made, strength, watched(part(0.25 / len(set(options.strengths))), stop))
        result.published |= shown(made, strength, options)
        stopped(stop)
    # 2. Extract: what each attacker gets, before any training.
    pairs = [(variant, attacker) for variant in result.variants for attacker in options.parsed]
    tell(f"extracting faces {len(pairs)} times")
    for variant, attacker in pairs:
        result.faces[variant, attacker.name] = extracted(
            made, variant, attacker, consent["a"], options, watched(part(0.15 / len(pairs)), stop)
        )
        stopped(stop)
    target_faces = extracted(other, CLEAN, Attacker("naive"), consent["b"], options)
    judge = _judge(made, other, consent, options, cache, result)
    # 3. Train and measure: the same generator, seeds and steps on each; cells with the same faces only once.
    runs = [(variant, attacker, seed) for variant, attacker in pairs for seed in options.seeds]
    for place, (variant, attacker, seed) in enumerate(runs):
        tell(f"generator {place + 1} of {len(runs)}: {variant}, attacker {attacker.name}, seed {seed}")
        faces = result.faces[variant, attacker.name]
        cell = trained_and_measured(
            faces,
            target_faces,
            seed,
            judge,
            consent,
            options,
            cache,
            stop=stop,
            progress=part(0.6 / len(runs)),
            label=label if seed == options.seeds[0] else None,
        )
        result.cells[variant, attacker.name, seed] = cell
        _keep_sheet(result, variant, attacker, seed, (faces, target_faces, judge, options, cache))
        stopped(stop)
    # no model stays, of this run or of one that was never finished
    shutil.rmtree(cache.folder / "models", ignore_errors=True)
    result.seconds = _seconds(result)
    if progress:
        progress(1.0)
    return result


def shown(made: Material, strength: str, options: SwapOptions) -> dict[str, Pixels]:
    """The first published frame, clean, cloaked, and with noise."""
    names = [CLEAN, strength, *([NOISE + strength] if options.control else [])]
    return {name: next(made.frames(name)) for name in names}


def _judge(
    made: Material,
    other: Material,
    consent: dict[str, dict[str, Any]],
    options: SwapOptions,
    cache: Cache,
    result: Result,
) -> Judge:
    """What every cell is measured with."""
    own, theirs = held_out_faces(made, consent["a"], options), held_out_faces(other, consent["b"], options)
    size = options.generator().architecture.size
    finder = FaceFinder(device=options.device, weights_dir=options.weights)
    # the distance of features is measured by another network than the one that training looks at, where there is one
    result.features, result.held_out = available()[0], len(own)
    clip = other.late[0]
    judge = Judge(
        finder=finder,
        features_name=result.features,
        held_out=Bank.of(FaceSet.load(own.folder, size=size), size, options.device),
        clip=clip,
        tracked=landmarks_of(clip, finder),
        detectors=lambda path: fakes.scores(path, options.device),
        names=fakes.names(),
    )
    if tells_people_apart(options.weights):
        judge.embedder = DlibFeatures(256, options.device)
        judge.person = embedded(judge.embedder, own.pixels()).mean(0)
        judge.target = embedded(judge.embedder, theirs.pixels()).mean(0)
        result.apart = float(np.linalg.norm(judge.person - judge.target))
    else:
        result.notes.append("Identity was not measured: the weights of dlib's recognition are not installed.")
    key = key_of("real clip", {"clip": sha256_file(clip), "asked": judge.names})
    result.real = cache.get(key) or cache.put(key, fakes.scores(clip, options.device))
    if not judge.names:
        result.notes.append(
            "no fake detector is installed, so nothing is said about how easy fakes are to detect."
        )
    return judge


def _keep_sheet(result: Result, variant: str, attacker: Attacker, seed: int, about: tuple[Any, ...]) -> None:
    from synth.measure.swap.cells import cell_key

    faces, target, judge, options, cache = about
    path = cache.file(cell_key(faces, target, seed, judge, options), ".jpg")
    if seed == options.seeds[0] and path.is_file():
        result.sheets[variant, attacker.name] = path


def _frames(path: Path, options: SwapOptions) -> int:
    sources = open_footage(path)
    count = sum(max(1, one.expected) for one in sources)
    split = split_of(count, None)
    return max(1, min(options.frames, split.published if split else round(count * 0.8)))


def require_video(target: Path) -> None:
    """Raise UsageError where the target is none."""
    if not _is_video(target):
        raise UsageError(f"{target} is no video", hint="the target is a video; the person may be pictures")


def _is_video(path: Path) -> bool:
    return any(one.kind == "video" for one in open_footage(path))


def _seconds(result: Result) -> float:
    spent = {one.digest + one.folder: one.seconds for one in result.faces.values()}
    cells = {str(sorted(one.items(), key=str)): one["seconds"] for one in result.cells.values()}
    return float(sum(spent.values()) + sum(cells.values()))


def stopped(stop: Stop) -> None:
    """End here if somebody asked for it."""
    if stop():
        raise KeyboardInterrupt


def watched(progress: Progress | None, stop: Stop) -> Progress:
    """Ends long work, which keeps its own state, in the middle if somebody asked for it."""

    def told(share: float) -> None:
        stopped(stop)
        if progress:
            progress(share)

    return told


class _Parts:
    """Shares of the whole work, one after the other."""

    def __init__(self, progress: Progress | None) -> None:
        self._progress, self._begun = progress, 0.0

    def __call__(self, share: float) -> Progress | None:
        if self._progress is None:
            return None
        first, whole = self._begun, self._progress
        self._begun += share
        return lambda done: whole(min(1.0, first + share * min(1.0, done)))


def _duration(seconds: float) -> str:
    if seconds < 90:
        return f"{max(1, round(seconds))} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"

"""``measure lipsync``: is a lip-sync that was made from cloaked footage worse, and easier to detect?

Published clean, cloaked, or with noise, the same footage goes through the whole generator that ``veilmark synth
lipsync`` runs; the held-out fifth, after a gap, is then made to say what it said. The sound is never cloaked. Nothing
in that generator is drawn by chance, so it is repeated with another part of the footage left out each time.
"""

from __future__ import annotations

import hashlib
import io
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from provenance.errors import ConsentError, UsageError
from provenance.home import Home
from provenance.media.picture import sha256_file
from synth.code_version import code_of, code_of_module
from synth.consent.permission import carried_permission
from synth.extraction.finder import FaceFinder
from synth.extraction.rules import Thresholds
from synth.lipsync.mouth.adapt import PRIOR
from synth.lipsync.mouth.audio import Sound, load_sound
from synth.measure import fakes
from synth.measure.cache import Cache, key_of
from synth.measure.conditions import CLEANING, Pixels
from synth.measure.lipsync.cells import (
    RENDERED,
    Footage,
    LipJudge,
    judge_of,
    measured,
    real_scores,
    write_footage,
)
from synth.measure.material import Material, prepare, publish
from synth.measure.split import split_of
from synth.measure.swap.cells import Label, Stop, tells_people_apart
from synth.measure.swap.experiment import Plan, Progress, Result, Tell, shown, stopped, variants_of, watched
from synth.measure.swap.faces import JUDGED_SIDE, Faces, faces_key
from synth.measure.swap.options import CLEAN, Attacker, SwapOptions
from synth.swap.features import DlibFeatures, available

#: Every frame before the gap is published: sound and mouth must lie side by side.
EVERY_FRAME = 100_000
#: Less than that FaceMesh takes for no face, as ``veilmark synth extract`` does.
_LEAST_SCORE = Thresholds().face_score
_POINTS, _EYES = 468, ((33, 133), (362, 263))
#: Seconds, as measured on one core: to cloak a frame against one detector with one step a round, to follow a face, to
#: look at a frame again and copy the mouth out of it, and to make a frame and measure it.
_CLOAK, _TRACK, _STUDY, _MAKE = 0.0045, 0.12, 0.02, 0.2


def lipsync_options(options: SwapOptions, parts: int = 5) -> SwapOptions:
    """The options of a swap as this measurement takes them: every frame, and a repetition for each part left out.

    Args:
        parts: 3 to 20.

    Raises:
        UsageError: an attacker who mixes clean data in, of whom there is none here; another number of parts.
    """
    if any(one.share for one in options.parsed):
        raise UsageError(
            "a clip cannot be mixed of clean and cloaked frames", hint="leave mixes: out of --attackers"
        )
    if not 3 <= parts <= 20:
        raise UsageError(f"{parts} parts of the footage, expected 3 to 20", hint="give, say, --parts 5")
    return replace(options, frames=EVERY_FRAME, held_out=10_000, seeds=tuple(range(1, parts + 1)))


def plan_for(person: Path, options: SwapOptions) -> Plan:
    """About how long it will take."""
    whole = sum(frames_info(person))
    split = split_of(whole, None)
    count = split.published if split else round(0.8 * whole)
    cells = len(variants_of(options)) * len(options.parsed)
    rounds = options.cloak_steps * options.cloak_rounds
    cloak = count * len(options.attacked) * rounds * _CLOAK * len(dict.fromkeys(options.strengths))
    runs, made = cells * len(options.seeds), min(RENDERED, round(0.2 * whole))
    return Plan(
        (
            (f"cloaking {count} frames at {', '.join(options.strengths)}", cloak),
            (f"following the face {cells + 1} times", (cells + 0.25) * count * _TRACK),
            (f"{runs} lip-syncs of {made} frames", runs * (whole * _STUDY + made * _MAKE)),
        )
    )


def frames_info(person: Path) -> Iterable[int]:
    """How many frames the footage promises.

    Raises:
        UsageError: it is no video. MissingPathError: it is not there.
    """
    from synth.extraction.footage import open_footage

    for source in open_footage(person):
        if source.kind != "video":
            raise UsageError(f"{source.path} is no video", hint="name a video in which the person speaks")
        yield source.expected


def measure_lipsync(
    person: Path,
    consent: dict[str, Any],
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
        person: a video in which one person speaks.
        consent: of :meth:`synth.consent.permission.Permission.to_json`.
        options: of :func:`lipsync_options`.
        label: writes generated pictures signed and marked; without it none is kept.

    Raises:
        KeyboardInterrupt: ``stop`` said so; the same call goes on there.
        UsageError: no speech. NoFaceError: no face. ConsentError: nothing says that it may be used.
    """
    if not consent.get("basis"):
        raise ConsentError("nothing says on which basis the footage may be used")
    carried_permission(consent, Home.locate())
    sound = load_sound(person)
    if sound.is_silent:
        raise UsageError(f"{person} is silent", hint="name footage in which the person speaks")
    result = Result(options, variants_of(options), kind="lipsync")
    # 1. Publish; the last fifth of picture and sound is held out.
    made = prepare(person, options, cache)
    result.files, result.gaps = {"person": made.digests}, {"person": made.gap}
    result.notes += [made.note] if made.note else []
    for strength in dict.fromkeys(options.strengths):
        tell(f"cloaking at {strength}")
        publish(made, strength, watched(progress and (lambda share: progress(0.3 * share)), stop))
        result.published |= shown(made, strength, options)
        stopped(stop)
    # 2. Follow the face, as each attacker sees it.
    pairs = [(variant, attacker) for variant in result.variants for attacker in options.parsed]
    late, size = _late(made, options)
    got: dict[tuple[str, str], Footage] = {}
    for place, (variant, attacker) in enumerate(pairs):
        tell(f"following the face: {variant}, attacker {attacker.name}")
        points, faces = _followed(made, variant, attacker, options, stop)
        clip = _joined(made, variant, attacker, faces)
        got[variant, attacker.name] = Footage(clip, points, late, size, _rate(made), sound, made.gap)
        result.faces[variant, attacker.name] = faces
        stopped(stop)
        if progress:
            progress(0.3 + 0.2 * (place + 1) / len(pairs))
    result.tracks = _displaced(got)
    judge = _judge(made, got[CLEAN, options.parsed[0].name], options, cache, result)
    # 3. Make the held-out fifth say what it said, each time without another part of what was published.
    runs = [(variant, attacker, part) for variant, attacker in pairs for part in options.seeds]
    for place, (variant, attacker, part) in enumerate(runs):
        tell(f"lip-sync {place + 1} of {len(runs)}: {variant}, attacker {attacker.name}, without part {part}")
        key = _cell_key(result.faces[variant, attacker.name], part, options, judge, sound)
        cell = cache.get(key)
        if cell is None:
            cell, tiles = measured(
                got[variant, attacker.name], part, len(options.seeds), judge, cache,
                device=options.device, weights=options.weights, stop=stop,
            )  # fmt: skip
            if label is not None and tiles is not None and part == options.seeds[0]:
                label(tiles, cache.file(key, ".jpg"), part)
            cell = cache.put(key, cell)
        result.cells[variant, attacker.name, part] = cell
        if part == options.seeds[0] and cache.file(key, ".jpg").is_file():
            result.sheets[variant, attacker.name] = cache.file(key, ".jpg")
        stopped(stop)
        if progress:
            progress(0.5 + 0.5 * (place + 1) / len(runs))
    spent = sum(one.seconds for one in result.faces.values())
    result.seconds = float(spent + sum(cell["seconds"] for cell in result.cells.values()))
    return result


def _cell_key(faces: Faces, part: int, options: SwapOptions, judge: LipJudge, sound: Sound) -> str:
    heard = hashlib.sha256(np.ascontiguousarray(sound.samples).tobytes()).hexdigest()
    chosen = {
        "faces": faces.digest,
        "part": [part, len(options.seeds)],
        "sound": heard,
        "judge": hashlib.sha256(np.nan_to_num(judge.landmarks).tobytes()).hexdigest(),
        "truth": hashlib.sha256(np.nan_to_num(judge.shapes).round(6).tobytes()).hexdigest(),
        "features": [judge.features_name, judge.embedder is not None],
        "asked": judge.names,
        "code": [code_of("synth.lipsync"), code_of_module("synth.measure.lipsync.cells"), sha256_file(PRIOR)],
    }
    return key_of("lip-sync", chosen)


def _judge(made: Material, clean: Footage, options: SwapOptions, cache: Cache, result: Result) -> LipJudge:
    """What every cell is measured with."""
    result.features = available()[0]
    embedder = None
    if tells_people_apart(options.weights):
        embedder = DlibFeatures(JUDGED_SIDE, options.device)
    else:
        result.notes.append("Identity was not measured: the weights of dlib's recognition are not installed.")
    names = fakes.names()
    if not names:
        result.notes.append(
            "No fake detector is installed, so nothing is said about how easy fakes are to detect."
        )
    judge = judge_of(
        clean, made.after(), result.features, lambda path: fakes.scores(path, options.device),
        names, embedder,
    )  # fmt: skip
    result.held_out = len(judge.rows)
    key = key_of("real frames", {"published": made.key, "asked": names, "rows": judge.rows.tolist()})
    result.real = cache.get(key) or cache.put(key, real_scores(judge, clean.rate, cache))
    return judge


def _joined(made: Material, variant: str, attacker: Attacker, faces: Faces) -> Path:
    """The attacker's footage as a clip: what was published, cleaned as they do, and all that follows."""
    path = made.cache.file(key_of("footage", {"faces": faces.digest}), ".mp4")
    if not path.is_file():
        published = (_treated(attacker)(one) for one in made.frames(variant))
        write_footage(path, published, made.after(), _rate(made))
    return path


def _treated(attacker: Attacker) -> Callable[[Pixels], Pixels]:
    return CLEANING[attacker.cleaning] if attacker.cleaning else lambda one: one


def _followed(
    made: Material, variant: str, attacker: Attacker, options: SwapOptions, stop: Stop
) -> tuple[NDArray[np.float64], Faces]:
    """``(P, 468, 3)`` the face in every published frame, NaN without one; and how many show one."""
    chosen = {"faces": faces_key(made, variant, attacker, options), "least": _LEAST_SCORE}
    cache, key = made.cache, key_of("landmarks", chosen)
    done, path = cache.get(key), cache.file(key, ".npy")
    if done is not None and path.is_file():
        return np.load(path, allow_pickle=False).astype(np.float64), Faces(**done)
    began = time.perf_counter()
    treat = _treated(attacker)

    def seen() -> Iterator[Pixels]:
        for pixels in made.frames(variant):
            stopped(stop)
            yield treat(pixels)

    finder = FaceFinder(attacker.detectors, options.device, options.weights)
    points, _, fates = _landmarks(finder, seen())
    cache.keep(key, ".npy", _packed(points))
    about = {"frames": len(points), "kept": fates["face"], "counts": fates, "folder": "", "digest": key}
    done = cache.put(key, {**about, "seconds": round(time.perf_counter() - began, 2)})
    return np.load(path, allow_pickle=False).astype(np.float64), Faces(**done)


def _packed(points: NDArray[np.float64]) -> bytes:
    data = io.BytesIO()
    np.save(data, points.astype(np.float32), allow_pickle=False)
    return data.getvalue()


def _late(made: Material, options: SwapOptions) -> tuple[NDArray[np.float64], tuple[int, int]]:
    """Where the face really was in all that follows what is published; height and width."""
    finder = FaceFinder(device=options.device, weights_dir=options.weights)
    return _landmarks(finder, made.after())[:2]


def _landmarks(
    finder: FaceFinder, frames: Iterable[Pixels]
) -> tuple[NDArray[np.float64], tuple[int, int], dict[str, int]]:
    """``(T, 468, 3)`` of the largest face, then of the one nearest to where it was, NaN without one; height and width;
    and how many frames show a face, only what FaceMesh takes for none (a decoy), or nothing.
    """
    rows: list[NDArray[np.float64]] = []
    fates = {"face": 0, "not-a-face": 0, "no-face": 0}
    size, before = (0, 0), None
    for pixels in frames:
        reported = finder.find(pixels)
        found = [face for face in reported if face.mesh_score >= _LEAST_SCORE]
        size = (pixels.shape[0], pixels.shape[1])
        fates["face" if found else "not-a-face" if reported else "no-face"] += 1
        if not found:
            rows.append(np.full((_POINTS, 3), np.nan))
            continue
        places = [face.landmarks[:, :2].mean(0) for face in found]
        best = 0 if before is None else int(np.argmin([np.linalg.norm(one - before) for one in places]))
        before = places[best]
        rows.append(found[best].landmarks.astype(np.float64))
    return np.stack(rows), size, fates


def _displaced(got: dict[tuple[str, str], Footage]) -> dict[tuple[str, str], float]:
    """How far landmarks lie from those in the clean footage, in distances between the eyes, where both see a face."""
    found = {}
    for (variant, attacker), footage in got.items():
        here, there = footage.published[..., :2], got[CLEAN, attacker].published[..., :2]
        both = np.isfinite(here[:, 0, 0]) & np.isfinite(there[:, 0, 0])
        if both.any():
            here, there = here[both], there[both]
            eyes = [there[:, list(pair)].mean(1) for pair in _EYES]
            gap = np.linalg.norm(here - there, axis=-1).mean(1)
            found[variant, attacker] = float((gap / np.linalg.norm(eyes[0] - eyes[1], axis=-1)).mean())
    return found


def _rate(made: Material) -> Any:
    if made.rate is None:
        raise UsageError("pictures do not speak", hint="name a video")
    return made.rate

"""``measure lipsync``: does a mouth that was learned from cloaked footage follow speech less well?

The lip-sync generator learns from the person's footage how sound moves the mouth. Published clean, cloaked, or with
noise, the same network learns with the same seeds; then it is led by the person's own held-out speech, and what it says
is compared with how the mouth really moved there. The sound is never cloaked.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Iterable
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from provenance.errors import ConsentError, NoFaceError, UsageError
from provenance.home import Home
from synth.extraction.finder import FaceFinder
from synth.lipsync import shape
from synth.lipsync.audio import Sound, features, load_sound
from synth.lipsync.mouth_model import MouthOptions
from synth.lipsync.mouth_train import Clip, train_mouth
from synth.lipsync.shape import Track, mouth_shapes, opening, track_of
from synth.measure.cache import Cache, key_of
from synth.measure.conditions import CLEANING, Pixels
from synth.measure.material import Material, frames_of, prepare, publish
from synth.measure.swap import Plan, Progress, Result, Tell, shown, stopped, variants_of
from synth.measure.swap_cells import Stop
from synth.measure.swap_faces import Faces, faces_key
from synth.measure.swap_options import CLEAN, Attacker, SwapOptions
from synth.permission import carried_permission
from synth.swap.measure import correlation

#: Every frame before the held-out part is published: sound and mouth must lie side by side.
EVERY_FRAME = 100_000
_POINTS, _EYES = 468, ((33, 133), (362, 263))
#: Seconds, as measured on one core: to cloak a frame against one detector with one step a round, to follow a face, and
#: for an epoch over a second of footage.
_CLOAK, _TRACK, _EPOCH = 0.0045, 0.12, 0.012


def lipsync_options(options: SwapOptions, epochs: int) -> SwapOptions:
    """The options of a swap as this measurement takes them: every frame, and ``steps`` are epochs of the mouth.

    Raises:
        UsageError: an attacker who mixes clean data in, of whom there is none here.
    """
    if any(one.share for one in options.parsed):
        raise UsageError("a clip cannot be mixed of clean and cloaked frames", hint="leave mixes: out")
    return replace(options, frames=EVERY_FRAME, held_out=10_000, steps=max(10, epochs))


def plan_for(person: Path, options: SwapOptions) -> Plan:
    """About how long it will take."""
    sources = list(frames_info(person))
    count = round(0.8 * sum(sources))
    cells = len(variants_of(options)) * len(options.parsed)
    rounds = options.cloak_steps * options.cloak_rounds
    cloak = count * len(options.attacked) * rounds * _CLOAK * len(dict.fromkeys(options.strengths))
    runs, epochs = cells * len(options.seeds), options.steps or 10
    return Plan(
        (
            (f"cloaking {count} frames at {', '.join(options.strengths)}", cloak),
            (f"following the face {cells + 1} times", (cells + 0.25) * count * _TRACK),
            (f"{runs} trainings of {epochs} epochs", runs * epochs * count / 25 * _EPOCH),
        )
    )


def frames_info(person: Path) -> Iterable[int]:
    """How many frames the footage promises."""
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
) -> Result:
    """The whole protocol.

    Args:
        person: a video in which one person speaks.
        consent: of :meth:`synth.permission.Permission.to_json`.
        options: of :func:`lipsync_options`.

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
    result.files = {"person": made.digests}
    for strength in dict.fromkeys(options.strengths):
        tell(f"cloaking at {strength}")
        publish(made, strength, progress and (lambda share: progress(0.3 * share)))
        result.published |= shown(made, strength, options)
        stopped(stop)
    # 2. Follow the face, as each attacker sees it.
    pairs = [(variant, attacker) for variant in result.variants for attacker in options.parsed]
    tracks: dict[tuple[str, str], Track | None] = {}
    for place, (variant, attacker) in enumerate(pairs):
        tell(f"following the face: {variant}, attacker {attacker.name}")
        tracks[variant, attacker.name], result.faces[variant, attacker.name] = _followed(
            made, variant, attacker, options
        )
        stopped(stop)
        if progress:
            progress(0.3 + 0.4 * (place + 1) / len(pairs))
    truth = _late(made, options)
    cut = result.faces[CLEAN, options.parsed[0].name].frames / _rate(made)
    result.held_out = int(truth.found.sum())
    result.tracks = _displaced(tracks)
    # 3. Learn, and be led by speech that nobody learned from.
    runs = [(variant, attacker, seed) for variant, attacker in pairs for seed in options.seeds]
    for place, (variant, attacker, seed) in enumerate(runs):
        tell(f"mouth {place + 1} of {len(runs)}: {variant}, attacker {attacker.name}, seed {seed}")
        faces, track = result.faces[variant, attacker.name], tracks[variant, attacker.name]
        result.cells[variant, attacker.name, seed] = _cell(
            faces, track, truth, sound, cut, seed, options, cache
        )
        stopped(stop)
        if progress:
            progress(0.7 + 0.3 * (place + 1) / len(runs))
    spent = sum(one.seconds for one in result.faces.values())
    result.seconds = float(spent + sum(cell["seconds"] for cell in result.cells.values()))
    return result


def judged(said: NDArray[np.floating], filmed: NDArray[np.floating]) -> dict[str, float | None]:
    """How well a mouth follows speech.

    Args:
        said, filmed: ``(T, 36)`` shapes of the same moments; frames of ``filmed`` without a face are NaN.
    """
    seen = ~np.isnan(filmed).any(1)
    gap = (said[seen] - filmed[seen]).reshape(int(seen.sum()), -1, 2)
    return {
        "lips error": float(np.linalg.norm(gap, axis=-1).mean()),
        "lips opening": correlation(opening(said[seen]), opening(filmed[seen])),
    }


def _cell(
    faces: Faces,
    track: Track | None,
    truth: Track,
    sound: Sound,
    cut: float,
    seed: int,
    options: SwapOptions,
    cache: Cache,
) -> dict[str, Any]:
    chosen = MouthOptions(seed=seed, epochs=options.steps or 10, stride=10)
    key = key_of(
        "mouth",
        {
            "faces": faces.digest,
            "options": str(chosen),
            "cut": cut,
            "seed": seed,
            "code": generator_edition(),
        },
    )
    done = cache.get(key)
    if done is not None:
        return done
    began = time.perf_counter()
    if track is None:
        return cache.put(key, {"untrained": f"{faces.kept} frames with a face are too few", "seconds": 0.0})
    heard = features(sound.part(0.0, cut))
    try:
        clip = Clip.of(heard, mouth_shapes(track), track.times)
        model = train_mouth([clip], chosen, device=options.device)
    except UsageError as error:
        return cache.put(key, {"untrained": str(error)[:200], "seconds": 0.0})
    late = sound.part(cut, cut + float(truth.times[-1]) + 0.04)
    measures = judged(model.predict(features(late), truth.times), mouth_shapes(truth))
    return cache.put(key, {"measures": measures, "seconds": round(time.perf_counter() - began, 1)})


@lru_cache(maxsize=1)
def generator_edition() -> str:
    """A hash of the lip-sync's own code: what another edition of it learned is not taken for this one's."""
    whole = hashlib.sha256()
    for path in sorted(Path(shape.__file__).parent.glob("*.py")):
        whole.update(path.name.encode() + path.read_bytes())
    return whole.hexdigest()


def _followed(
    made: Material, variant: str, attacker: Attacker, options: SwapOptions
) -> tuple[Track | None, Faces]:
    """The face in every published frame, and how many show one; no track where fewer than two do."""
    cache, key = made.cache, key_of("track", {"faces": faces_key(made, variant, attacker, options)})
    done, path = cache.get(key), cache.file(key, ".npz")
    if done is not None and (path.is_file() or not done["folder"]):
        return (Track.load(path) if done["folder"] else None), Faces(**done)
    began = time.perf_counter()
    treat: Callable[[Pixels], Pixels] = CLEANING[attacker.cleaning] if attacker.cleaning else lambda one: one
    finder = FaceFinder(attacker.detectors, options.device, options.weights)
    points, size = _landmarks(finder, (treat(one) for one in made.frames(variant)))
    kept = int(np.isfinite(points[:, 0, 0]).sum())
    track = None
    try:
        track = track_of(points, np.arange(len(points)) / _rate(made), size)
        track.save(path)
    except NoFaceError:
        pass
    seconds = round(time.perf_counter() - began, 2)
    about = {"frames": len(points), "kept": kept, "counts": {"face": kept, "no-face": len(points) - kept}}
    about |= {"folder": key if track else "", "digest": key, "seconds": seconds}
    return track, Faces(**cache.put(key, about))


def _late(made: Material, options: SwapOptions) -> Track:
    """How the mouth really moved in what is held out."""
    finder = FaceFinder(device=options.device, weights_dir=options.weights)
    points, size = _landmarks(finder, frames_of(made.late[0]))
    return track_of(points, np.arange(len(points)) / _rate(made), size)


def _landmarks(finder: FaceFinder, frames: Iterable[Pixels]) -> tuple[NDArray[np.float64], tuple[int, int]]:
    """``(T, 468, 3)`` of the largest face, NaN without one; height and width."""
    rows, size = [], (0, 0)
    for pixels in frames:
        found = finder.find(pixels)
        size = (pixels.shape[0], pixels.shape[1])
        rows.append(found[0].landmarks.astype(np.float64) if found else np.full((_POINTS, 3), np.nan))
    return np.stack(rows), size


def _displaced(tracks: dict[tuple[str, str], Track | None]) -> dict[tuple[str, str], float]:
    """How far landmarks lie from those in the clean footage, in distances between the eyes, where both see a face."""
    found = {}
    for (variant, attacker), track in tracks.items():
        clean = tracks[CLEAN, attacker]
        if track is None or clean is None or len(track.times) != len(clean.times):
            continue
        both = track.found & clean.found
        if both.any():
            here, there = track.landmarks[both][..., :2], clean.landmarks[both][..., :2]
            eyes = [there[:, list(pair)].mean(1) for pair in _EYES]
            gap = np.linalg.norm(here - there, axis=-1).mean(1)
            found[variant, attacker] = float((gap / np.linalg.norm(eyes[0] - eyes[1], axis=-1)).mean())
    return found


def _rate(made: Material) -> float:
    if made.rate is None:
        raise UsageError("pictures do not speak", hint="name a video")
    return float(made.rate)

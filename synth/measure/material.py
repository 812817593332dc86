"""What a person publishes: the same footage clean, cloaked, and with noise that was not searched for; and its last
fifth, which nobody learns from, after a gap (:mod:`synth.measure.split`).

A video is published as a video (the cloak's noise moves along with the face), a folder of pictures as pictures. The
clean version is encoded exactly as the cloaked one is. Nothing here is generated; it is somebody's footage with noise.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np

from cloak.options import CloakOptions
from cloak.pixels import scaled
from cloak.veils.names import VeilName
from cloak.video.options import VideoOptions
from cloak.video.pipeline import cloak_video
from provenance.errors import NoFaceError, UsageError
from provenance.media.files import sha256_file
from synth.code_version import code_of, code_of_module
from synth.extraction.footage import Source, open_footage
from synth.measure.attackers import Attacker
from synth.measure.cache import Cache, key_of
from synth.measure.clips import frames_of, write_clip_whole
from synth.measure.conditions import CLEAN, NOISE, RANDOM, Pixels, equal_energy
from synth.measure.detectors.experiment import DetectorOptions, versions_of
from synth.measure.detectors.pairs import Pair
from synth.measure.options import ExperimentOptions
from synth.measure.split import FEWEST, GAP, Split, split_of
from synth.measure.variants import Cloaked

Progress = Callable[[float], None]
_MASTER_CRF = 6


@dataclass
class Material:
    """One person's footage.

    Attributes:
        files: what it is made of.
        digests: SHA-256 of the files.
        rate: frames a second of a video, or None for pictures.
        clips: by variant, the published video (noise of equal energy is made from the others).
        pairs: of published pictures.
        held_out_files: the held-out clip, or pictures.
        gap: how many frames or pictures lie between, that are neither published nor held out.
        gap_clips: the clip of them; empty for pictures, and without a gap.
    """

    files: list[Path]
    digests: list[str]
    options: ExperimentOptions
    cache: Cache
    rate: Fraction | None
    clips: dict[str, Path]
    pairs: list[Pair]
    held_out_files: list[Path]
    gap: int = 0
    gap_clips: list[Path] = field(default_factory=list)

    @property
    def key(self) -> str:
        """A hash of all that the published frames depend on."""
        return published_key(self.digests, self.options)

    def frames(self, variant: str) -> Iterator[Pixels]:
        """What is published: a name of :attr:`ExperimentOptions.variants`; uint8 ``(H, W, 3)`` each."""
        plain = variant.removeprefix(NOISE)
        if self.rate is None:
            yield from self._pictures(variant)
        elif variant == plain:
            yield from frames_of(self.clips[variant])
        else:
            seed = self.options.cloaks[plain].seed
            both = zip(frames_of(self.clips[CLEAN]), frames_of(self.clips[plain]), strict=True)
            yield from (equal_energy(clean, cloaked, seed) for clean, cloaked in both)

    def held_out(self) -> Iterator[Pixels]:
        """Frames that nobody learns from."""
        for path in self.held_out_files:
            yield from frames_of(path)

    def after(self) -> Iterator[Pixels]:
        """Of a video, all that follows what is published: the gap's frames, then the held-out ones."""
        for path in (*self.gap_clips, *self.held_out_files):
            yield from frames_of(path)

    @property
    def note(self) -> str:
        """What to say of a clip's gap: nothing where it is as long as it should be."""
        if self.rate is None or self.gap >= round(GAP * self.rate):
            return ""
        begin = f"{self.gap / float(self.rate):.1f} s after the published ones"
        return (
            f"Of {self.files[0].name} the held-out frames begin {begin}, not {GAP:.0f} s: it is short, and frames that "
            "near are alike."
        )

    def _pictures(self, variant: str) -> Iterator[Pixels]:
        plain = variant.removeprefix(NOISE).removeprefix(RANDOM)
        for pair in self.pairs:
            if plain == CLEAN:
                yield versions_of(pair, [], _picture_options(self.options, None, False), self.cache)[0]
                continue
            cloak = self.options.cloaks[plain]
            chosen = _picture_options(self.options, cloak, variant != plain)
            _, versions = versions_of(pair, [cloak.strength], chosen, self.cache)
            yield versions[cloak.strength if variant == plain else _prefix(variant) + cloak.strength]


def _prefix(variant: str) -> str:
    return NOISE if variant.startswith(NOISE) else RANDOM


def published_key(digests: list[str], options: ExperimentOptions) -> str:
    """The cache's name of published footage."""
    chosen = {name: getattr(options, name) for name in ("frames", "held_out", "side", "crf")}
    return key_of("published", {"files": digests, "split": code_of_module("synth.measure.split"), **chosen})


def attacked_footage(material: Material, variant: str, attacker: Attacker) -> dict[str, Any]:
    """All that an attacker's frames, and the faces found in them, depend on; for the names of results in the cache.
    Clean data with clean data mixed in is clean data.
    """
    options, clean = material.options, variant == CLEAN
    chosen: dict[str, Any] = {
        "published": material.key,
        "variant": variant,
        "cleaning": attacker.cleaning,
        "detectors": list(attacker.detectors),
        "share": 0.0 if clean else attacker.share,
        "code": code_of("synth.extraction") if clean else code_of("synth.extraction", "cloak"),
    }
    if not clean:
        chosen |= {"against": list(options.attacked)}
        chosen |= {"cloak": [options.cloak_steps, options.cloak_rounds]}
    return chosen


def attacked_frames(material: Material, variant: str, attacker: Attacker) -> Iterator[Pixels]:
    """The published frames as an attacker learns from them: cleaned, or evenly mixed with clean ones."""
    if attacker.share and variant != CLEAN:
        both = zip(material.frames(CLEAN), material.frames(variant), strict=True)
        for number, (clean, other) in enumerate(both):
            mixed_in = int((number + 1) * attacker.share) > int(number * attacker.share)
            yield clean if mixed_in else other
        return
    yield from map(attacker.treat, material.frames(variant))


def prepare_material(path: Path, options: ExperimentOptions, cache: Cache) -> Material:
    """Split a person's footage into what is published and what is held out; the clean version is made here.

    Raises:
        UsageError: several videos, or too little footage.
        MissingPathError, MediaError: it cannot be read.
    """
    sources = [one for one in open_footage(path) if one.kind != "unreadable"]
    videos = [one for one in sources if one.kind == "video"]
    if videos and len(sources) > 1:
        raise UsageError(
            f"{path} holds {len(videos)} videos among {len(sources)} files",
            hint="name one video, or a folder that holds pictures alone",
        )
    files = [one.path for one in sources]
    made = Material(files, [sha256_file(one) for one in files], options, cache, None, {}, [], [])
    if not videos:
        split = _split(len(files), None, path)
        made.pairs = [Pair(one) for one in _spread(files[: split.published], options.frames)]
        made.held_out_files, made.gap = _spread(files[split.held_out :], options.held_out), split.gap
        return made
    _split_video(videos[0], made)
    return made


def publish_cloaked(made: Material, name: str, progress: Progress | None = None) -> None:
    """Make one cloak of what is published; what an earlier run left is continued.

    Args:
        name: of the cloak, of :attr:`ExperimentOptions.cloaks`.

    Raises:
        NoFaceError: the cloak's detectors see no face in any of it.
    """
    options, cloak = made.options, made.options.cloaks[name]
    if made.rate is None:
        _publish_pictures(made, cloak, progress)
        return
    random = options.control and cloak.control.startswith(RANDOM)
    chosen: dict[str, Any] = {"strength": cloak.strength, "veil": cloak.veil}
    chosen |= {"against": list(options.attacked), "control": random}
    chosen |= {"seed": cloak.seed, "steps": options.cloak_steps, "rounds": options.cloak_rounds}
    key = key_of("cloaked clip", {"master": made.key, **chosen, "code": code_of("cloak")})
    path, control = made.cache.file(key, ".mp4"), made.cache.file(key, ".control.mkv")
    if not path.is_file() or (random and not control.is_file()):
        cloak_video(
            made.cache.file(made.key, ".master.mp4"),
            path,
            CloakOptions(
                strength=cloak.strength,
                veil=cloak.veil,
                detectors=options.attacked,
                judges=(),
                weights=options.weights,
                steps=options.cloak_steps,
                rounds=options.cloak_rounds,
                seed=cloak.seed,
                device=options.device,
                again=True,
            ),
            VideoOptions(crf=options.crf, control=random),
            progress=progress,
            force=True,
            control_to=control if random else None,
        )
    made.clips[name] = path
    if random:
        made.clips[cloak.control] = control


def _split_video(source: Source, made: Material) -> None:
    """Clips: the master (near lossless, to be cloaked), the clean one as it is published, the gap, the held-out one."""
    import av

    options, cache, key = made.options, made.cache, made.key
    with av.open(str(source.path), metadata_errors="ignore") as container:
        made.rate = Fraction(container.streams.video[0].average_rate or 25).limit_denominator(1001)
    count = source.expected or sum(1 for _ in source.frames(lambda _: True))
    split = _split(count, float(made.rate), source.path)
    published = set(range(split.published)[: options.frames])
    held_out = set(range(split.held_out, count)[: options.held_out])
    parts: dict[str, tuple[set[int] | None, int]] = {
        ".master.mp4": (published, _MASTER_CRF),
        ".held-out.mp4": (held_out, _MASTER_CRF),
        ".clean.mp4": (None, options.crf),
    }
    if split.gap:
        parts[".gap.mp4"] = (set(range(split.published, split.held_out)), _MASTER_CRF)
        made.gap, made.gap_clips = split.gap, [cache.file(key, ".gap.mp4")]
    for suffix, (wanted, crf) in parts.items():
        path = cache.file(key, suffix)
        if not path.is_file():
            frames = (
                (even_sized(raw.pixels, options.side) for raw in source.frames(wanted.__contains__))
                if wanted is not None
                else frames_of(cache.file(key, ".master.mp4"))
            )
            write_clip_whole(path, frames, made.rate, crf)
    made.clips[CLEAN] = cache.file(key, ".clean.mp4")
    made.held_out_files = [cache.file(key, ".held-out.mp4")]


def _publish_pictures(made: Material, cloak: Cloaked, progress: Progress | None) -> None:
    options, kept = _picture_options(made.options, cloak, False), []
    for place, pair in enumerate(made.pairs):
        try:
            versions_of(pair, [cloak.strength], options, made.cache)
        except NoFaceError:
            continue  # nothing to hide: it is published, and learned from, by nobody
        kept.append(pair)
        if progress:
            progress((place + 1) / len(made.pairs))
    if not kept:
        raise NoFaceError("the cloak's detectors see no face in any of the pictures")
    made.pairs = kept


def _picture_options(options: ExperimentOptions, cloak: Cloaked | None, control: bool) -> DetectorOptions:
    return DetectorOptions(
        strengths=options.strengths,
        veil=cloak.veil if cloak else VeilName.NOISE,
        attacked=options.attacked,
        steps=options.cloak_steps,
        seed=cloak.seed if cloak else 0,
        control=control,
        weights=options.weights,
        device=options.device,
    )


def _split(count: int, rate: float | None, path: Path) -> Split:
    found = split_of(count, rate)
    if found is None:
        raise UsageError(
            f"{path} has {count} frames or pictures, of which the last fifth is held out; expected at least "
            f"{FEWEST + 5}",
            hint="name more footage of the person",
        )
    return found


def _spread(items: list[Any], most: int | None) -> list[Any]:
    """At most so many, evenly spread; None for all."""
    if most is None or len(items) <= most:
        return items
    return [items[index] for index in np.linspace(0, len(items) - 1, most).round().astype(int)]


def even_sized(pixels: Pixels, side: int) -> Pixels:
    """The longer side at most ``side``, both even, as H.264 wants them."""
    scale = min(1.0, side / max(pixels.shape[:2]))
    small = scaled(pixels, scale) if scale < 1 else pixels
    height, width = (length // 2 * 2 for length in small.shape[:2])
    return np.ascontiguousarray(small[:height, :width])

"""What an attacker gets to learn from: the faces that can be extracted from what was published."""

from __future__ import annotations

import hashlib
import shutil
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from provenance.errors import NoFaceError
from provenance.media.files import sha256_file
from synth.extraction.alignments import Alignments
from synth.extraction.faceset import FaceSet
from synth.extraction.finder import DEFAULT_DETECTORS
from synth.extraction.options import ExtractOptions
from synth.extraction.rules import Thresholds
from synth.extraction.run import extract_faces
from synth.measure.attackers import Attacker
from synth.measure.cache import key_of
from synth.measure.clips import write_lossless, write_pictures
from synth.measure.conditions import Pixels
from synth.measure.experiment import AttackerFaces, Progress
from synth.measure.judge import JUDGED_SIDE
from synth.measure.material import Material, attacked_footage, attacked_frames
from synth.measure.swap.options import SwapExperimentOptions

#: Of neighbouring frames that look alike all are kept: what is compared is how many faces are found.
_THRESHOLDS = Thresholds(bits=-1)


def faces_key(material: Material, variant: str, attacker: Attacker, options: SwapExperimentOptions) -> str:
    """The cache's name of an extraction."""
    chosen = {"size": options.size, "thresholds": _THRESHOLDS.to_json()}
    return key_of("faces", attacked_footage(material, variant, attacker) | chosen)


def extract_for(
    material: Material,
    variant: str,
    attacker: Attacker,
    consent: dict[str, Any],
    options: SwapExperimentOptions,
    progress: Progress | None = None,
) -> AttackerFaces:
    """The faces that an attacker gets out of what was published."""
    cache, key = material.cache, faces_key(material, variant, attacker, options)
    done = cache.get(key)
    folder = cache.folder / "faces" / key
    if done is not None and (not done["kept"] or (folder / "alignments.json").is_file()):
        return AttackerFaces(**done)
    began = time.perf_counter()
    shutil.rmtree(folder, ignore_errors=True)
    with cache.scratch() as scratch:
        frames = attacked_frames(material, variant, attacker)
        published, count = _written(scratch / "published", frames, material.rate)
        result = _extract(published, folder, attacker.detectors, consent, options, progress)
    faces = AttackerFaces(count, *result, seconds=round(time.perf_counter() - began, 2))
    return AttackerFaces(**cache.put(key, asdict(faces)))


def held_out_faces(material: Material, consent: dict[str, Any], options: SwapExperimentOptions) -> FaceSet:
    """A person's clean faces that nobody learns from.

    Raises:
        NoFaceError: there is none.
    """
    cache = material.cache
    chosen = {"published": material.key, "size": JUDGED_SIDE, "thresholds": _THRESHOLDS.to_json()}
    folder = cache.folder / "faces" / key_of("held out", chosen)
    if not (folder / "alignments.json").is_file():
        with cache.scratch() as scratch:
            held_out, _ = _written(scratch / "held-out", material.held_out(), material.rate)
            _extract(held_out, folder, DEFAULT_DETECTORS, consent, options, None, size=JUDGED_SIDE)
    try:
        return FaceSet.load(folder)
    except NoFaceError:
        counts = Alignments.load(folder).counts()
        found = ", ".join(f"{count} {outcome}" for outcome, count in counts.items())
        raise NoFaceError(
            f"no held-out frame of {material.files[0].name} shows a face to measure with ({found})",
            hint="a larger --side, more --held-out, or other footage",
        ) from None


def _written(place: Path, frames: Iterator[Pixels], rate: Fraction | None) -> tuple[Path, int]:
    """Frames as an extraction takes them, and how many: of a video a video without loss, in which faces are followed;
    else a folder of pictures.
    """
    if rate is None:
        return place, write_pictures(place, frames)
    clip = place.with_suffix(".mp4")
    return clip, write_lossless(clip, frames, rate)


def _extract(
    published: Path,
    folder: Path,
    detectors: Sequence[str],
    consent: dict[str, Any],
    options: SwapExperimentOptions,
    progress: Progress | None,
    *,
    size: int | None = None,
) -> tuple[int, dict[str, int], str, str]:
    """Kept faces, counts by outcome, the folder's name, and the hash of what was kept."""
    chosen = ExtractOptions(
        size=size or options.size,
        detectors=tuple(detectors),
        thresholds=_THRESHOLDS,
        device=options.device,
        weights_dir=options.weights,
    )
    files = [published] if published.is_file() else sorted(published.glob("*.png"))
    basis = consent_for_frames(consent, files)
    try:
        done = extract_faces(published, folder, basis, chosen, progress=progress)
    except NoFaceError:
        return 0, Alignments.load(folder).counts(), "", hashlib.sha256(b"no face").hexdigest()
    kept = FaceSet.load(folder)
    return len(kept), done.alignments.counts(), folder.name, digest_of(kept.pixels())


def consent_for_frames(consent: dict[str, Any], files: Sequence[Path]) -> dict[str, Any]:
    """The consent of footage, for frames that were made of it here."""
    sources = consent.get("files") or [{}]
    origin = {"basis": consent.get("basis"), "key_id": sources[0].get("key_id", "")}
    return {**consent, "files": [{"sha256": sha256_file(one), **origin} for one in files]}


def digest_of(pixels: NDArray[np.uint8]) -> str:
    """SHA-256 of pictures and their shape."""
    return hashlib.sha256(repr(pixels.shape).encode() + np.ascontiguousarray(pixels).tobytes()).hexdigest()

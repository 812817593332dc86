"""What an attacker gets to learn from: the faces that can be extracted from what was published."""

from __future__ import annotations

import hashlib
import shutil
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from provenance.errors import NoFaceError
from provenance.media.picture import sha256_file
from synth.code_version import code_of
from synth.extraction.alignments import Alignments
from synth.extraction.faceset import FaceSet
from synth.extraction.finder import DEFAULT_DETECTORS
from synth.extraction.rules import Thresholds
from synth.extraction.run import ExtractOptions, extract_faces
from synth.measure.cache import key_of
from synth.measure.conditions import CLEANING, Pixels
from synth.measure.material import Material, write_pictures
from synth.measure.swap.options import CLEAN, Attacker, SwapOptions

Progress = Callable[[float], None]
#: Of neighbouring frames that look alike all are kept: what is compared is how many faces are found.
_THRESHOLDS = Thresholds(bits=-1)
#: Side at which held-out faces are aligned, pixels.
JUDGED_SIDE = 256


@dataclass(frozen=True)
class Faces:
    """What an attacker extracted.

    Attributes:
        frames: that were published.
        kept: aligned faces to train on.
        counts: frames' and faces' fates.
        folder: of the faces; empty where none was kept.
        digest: a hash of the kept faces.
        seconds: it took.
    """

    frames: int
    kept: int
    counts: dict[str, int]
    folder: str
    digest: str
    seconds: float


def faces_key(material: Material, variant: str, attacker: Attacker, options: SwapOptions) -> str:
    """The cache's name of an extraction. Clean data with clean data mixed in is clean data."""
    chosen: dict[str, Any] = {
        "published": material.key,
        "variant": variant,
        "cleaning": attacker.cleaning,
        "detectors": list(attacker.detectors),
        "share": attacker.share if variant != CLEAN else 0.0,
        "size": options.generator().architecture.size,
        "thresholds": _THRESHOLDS.to_json(),
        "code": code_of("synth.extraction", *(("cloak",) if variant != CLEAN else ())),
    }
    if variant != CLEAN:
        chosen |= {"against": list(options.attacked), "seed": options.cloak_seed}
        chosen |= {"cloak": [options.cloak_steps, options.cloak_rounds]}
    return key_of("faces", chosen)


def extracted(
    material: Material,
    variant: str,
    attacker: Attacker,
    consent: dict[str, Any],
    options: SwapOptions,
    progress: Progress | None = None,
) -> Faces:
    """The faces that an attacker gets out of what was published."""
    cache, key = material.cache, faces_key(material, variant, attacker, options)
    done = cache.get(key)
    folder = cache.folder / "faces" / key
    if done is not None and (not done["kept"] or (folder / "alignments.json").is_file()):
        return Faces(**done)
    began = time.perf_counter()
    shutil.rmtree(folder, ignore_errors=True)
    with cache.scratch() as scratch:
        frames = _attacked(material, variant, attacker)
        count = write_pictures(scratch / "published", frames)
        result = _extract(scratch / "published", folder, attacker.detectors, consent, options, progress)
    faces = Faces(count, *result, seconds=round(time.perf_counter() - began, 2))
    return Faces(**cache.put(key, asdict(faces)))


def held_out_faces(material: Material, consent: dict[str, Any], options: SwapOptions) -> FaceSet:
    """A person's clean faces that nobody learns from.

    Raises:
        NoFaceError: there is none.
    """
    cache = material.cache
    chosen = {"published": material.key, "size": JUDGED_SIDE, "thresholds": _THRESHOLDS.to_json()}
    folder = cache.folder / "faces" / key_of("held out", chosen)
    if not (folder / "alignments.json").is_file():
        with cache.scratch() as scratch:
            write_pictures(scratch / "late", material.held_out())
            _extract(scratch / "late", folder, DEFAULT_DETECTORS, consent, options, None, size=JUDGED_SIDE)
    try:
        return FaceSet.load(folder)
    except NoFaceError:
        fates = Alignments.load(folder).counts()
        told = ", ".join(f"{count} {fate}" for fate, count in fates.items())
        raise NoFaceError(
            f"no held-out frame of {material.files[0].name} shows a face to measure with ({told})",
            hint="a larger --side, more --held-out, or other footage",
        ) from None


def _attacked(material: Material, variant: str, attacker: Attacker) -> Iterator[Pixels]:
    treat = CLEANING[attacker.cleaning] if attacker.cleaning else None
    if attacker.share and variant != CLEAN:
        for number, (clean, other) in enumerate(
            zip(material.frames(CLEAN), material.frames(variant), strict=True)
        ):
            # evenly spread: as many clean frames as the share says
            mixed_in = int((number + 1) * attacker.share) > int(number * attacker.share)
            yield clean if mixed_in else other
        return
    for pixels in material.frames(variant):
        yield treat(pixels) if treat else pixels


def _extract(
    published: Path,
    folder: Path,
    detectors: Sequence[str],
    consent: dict[str, Any],
    options: SwapOptions,
    progress: Progress | None,
    *,
    size: int | None = None,
) -> tuple[int, dict[str, int], str, str]:
    """Kept faces, fates, the folder's name, and the hash of what was kept."""
    chosen = ExtractOptions(
        size=size or options.generator().architecture.size,
        detectors=tuple(detectors),
        thresholds=_THRESHOLDS,
        device=options.device,
        weights_dir=options.weights,
    )
    basis = derived(consent, sorted(published.glob("*.png")))
    try:
        done = extract_faces(published, folder, basis, chosen, progress=progress)
    except NoFaceError:
        return 0, Alignments.load(folder).counts(), "", hashlib.sha256(b"no face").hexdigest()
    kept = FaceSet.load(folder)
    return len(kept), done.alignments.counts(), folder.name, digest_of(kept.pixels())


def derived(consent: dict[str, Any], files: Sequence[Path]) -> dict[str, Any]:
    """The consent of footage, for frames that were made of it here."""
    sources = consent.get("files") or [{}]
    origin = {"basis": consent.get("basis"), "key_id": sources[0].get("key_id", "")}
    return {**consent, "files": [{"sha256": sha256_file(one), **origin} for one in files]}


def digest_of(pixels: NDArray[np.uint8]) -> str:
    """SHA-256 of pictures and their shape."""
    return hashlib.sha256(repr(pixels.shape).encode() + np.ascontiguousarray(pixels).tobytes()).hexdigest()

"""``measure detectors``: what face detectors see in cloaked pictures, against clean ones and against a control.

:func:`measure_detectors` is the protocol; :mod:`synth.measure.detectors.report` says what came of it.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from cloak import detectors as detector_list
from cloak.detectors.base import FaceDetector
from cloak.device import share_cores
from cloak.evaluate.quality import compare, crop
from cloak.options import CloakOptions
from cloak.picture.pipeline import cloak_file, encode_uncloaked
from cloak.picture.random_veil import random_veil
from cloak.strength import Strength
from cloak.veils import VeilName
from cloak.veils.grey import without_colour
from provenance.bulk.executor import Executor
from provenance.errors import NoFaceError, UsageError, VeilmarkError
from provenance.media.files import sha256_file
from provenance.media.picture import open_picture
from synth.code_version import code_of
from synth.measure.cache import Cache, key_of
from synth.measure.conditions import CONDITIONS, CONTROLS, GIVEN, NOISE, RANDOM, equal_energy
from synth.measure.detectors.observations import detect_under_conditions
from synth.measure.detectors.pairs import Pair
from synth.measure.options import check_attacked, check_strengths, check_veil

Progress = Callable[[float], None]


@dataclass(frozen=True)
class DetectorOptions:
    """What is measured.

    Attributes:
        strengths: at which to cloak pictures that have no cloaked copy.
        veil: what those cloaks look like.
        attacked: detectors that cloaks are made (or were made) against; None for every one that is installed and can
            be attacked, which is the cloak's own default.
        steps: of the cloak's search.
        seed: of the cloak, and of the control.
        control: also show a change that nobody searched: the same veil with random parameters, as visible as the
            strength allows; for plain noise, and for copies that came cloaked, noise of equal energy.
        weights: a folder with further detectors' weights.
        device: where torch computes.
    """

    strengths: tuple[str, ...] = ("mid",)
    veil: VeilName | str = VeilName.FILM
    attacked: tuple[str, ...] | None = None
    steps: int = 60
    seed: int = 0
    control: bool = True
    weights: Path | None = None
    device: str = "cpu"

    def __post_init__(self) -> None:
        check_strengths(self.strengths)
        object.__setattr__(self, "veil", check_veil(self.veil))
        check_attacked(self.attacked)
        if not 1 <= self.steps <= 10_000:
            raise UsageError(f"steps lie between 1 and 10000, not {self.steps}")

    @property
    def against(self) -> tuple[str, ...]:
        """Names of the attacked detectors."""
        return self.attacked or tuple(detector_list.available(self.weights, differentiable=True))

    def names_for(self, pair: Pair) -> list[str]:
        """Of the versions that a picture is cloaked in, or came in."""
        return [GIVEN] if pair.cloaked is not None else list(dict.fromkeys(self.strengths))

    def to_json(self) -> dict[str, Any]:
        data = asdict(self)
        return {
            **data,
            "attacked": list(self.against),
            "weights": str(self.weights) if self.weights else None,
        }


@dataclass(frozen=True)
class DetectorMeasurements:
    """All pictures.

    Attributes:
        rows: of each picture, see :func:`_one`.
        pairs: of each row.
        versions: names, the clean one left out.
        detectors: ``name -> family`` of all that were asked.
        notes: what a person should know.
    """

    rows: list[dict[str, Any]]
    pairs: list[Pair]
    versions: list[str]
    detectors: dict[str, str]
    notes: list[str]

    @property
    def cloaked(self) -> list[str]:
        """Versions that are no controls."""
        return [name for name in self.versions if not name.startswith(CONTROLS)]

    def control_of(self, version: str) -> str | None:
        """The name of a version's control, or None where there is none."""
        return next((kind + version for kind in CONTROLS if kind + version in self.versions), None)


@dataclass(frozen=True)
class LookJob:
    """Measure pictures by workers; see :mod:`provenance.bulk.executor`. A task is a pair, its result None.

    What is found goes into the cache's folder, which every worker must see.

    Attributes:
        folder: of the cache.
        workers: so many share this machine's cores; 0 on a cluster, which says how many cores each may use.
    """

    options: DetectorOptions
    folder: Path
    workers: int = 0

    @property
    def gpus(self) -> int:
        """GPUs that a worker needs to itself."""
        return int(self.options.device != "cpu")

    @contextmanager
    def open(self) -> Iterator[Callable[[Pair], None]]:
        share_cores(self.workers)
        cache, detectors = Cache(self.folder), _loaded(self.options)

        def work(pair: Pair) -> None:
            _one(pair, self.options.names_for(pair), detectors, self.options, cache, lambda _: None)

        yield work


def measure_detectors(
    pairs: Sequence[Pair],
    options: DetectorOptions,
    cache: Cache,
    *,
    progress: Progress | None = None,
    executor: Executor | None = None,
    workers: int = 0,
) -> DetectorMeasurements:
    """Measure pictures one by one; what the cache holds already is not done again.

    Args:
        pairs: with cloaked copies in all or in none; without, pictures are cloaked here.
        executor: lets workers measure several pictures at the same time.
        workers: see :class:`LookJob`.

    Raises:
        UsageError: a cloaked copy of another size than its original, or mixed pairs.
        NoFaceError: no picture shows a face that two families of detectors agree on.
        MissingModelError, MediaError: weights or pictures that cannot be read.
    """
    given = bool(pairs) and pairs[0].cloaked is not None
    if any((pair.cloaked is not None) is not given for pair in pairs):
        raise UsageError("some pictures have cloaked copies and some have none", hint="measure them apart")
    # 1. Who looks: everyone that is installed; those the cloak is made against, and those it never saw.
    detectors = _loaded(options)
    names = options.names_for(pairs[0]) if pairs else []
    control = RANDOM if not given and options.veil is not VeilName.NOISE else NOISE
    controls = [control + name for name in names] if options.control else []
    rows, kept, notes = [], [], []
    if executor is not None:
        _by_workers(executor, LookJob(options, cache.folder, workers), pairs, progress)
        progress = None
    for place, pair in enumerate(pairs):
        # 2. Each picture: clean, cloaked, and with a change that nobody searched, under every condition.
        part = _part(progress, place, len(pairs))
        row = _one(pair, names, detectors, options, cache, part)
        if row["faces"]:
            rows.append(row)
            kept.append(pair)
        else:
            notes.append(f"{pair.original.name}: left out, {row['why']}")
    if not rows:
        raise NoFaceError(
            f"none of {len(pairs)} pictures shows a face that detectors of two families agree on",
            hint="there is nothing to measure; name pictures with faces",
        )
    return DetectorMeasurements(
        rows, kept, names + controls, {one.name: one.family for one in detectors}, notes
    )


def _by_workers(executor: Executor, job: LookJob, pairs: Sequence[Pair], progress: Progress | None) -> None:
    """Fill the cache. A picture that cannot be read says so here, as it would in this process."""
    done = 0
    for part in executor.results(job, pairs):
        for error in part:
            if isinstance(error, VeilmarkError):
                raise error
        done += len(part)
        if progress:
            progress(done / len(pairs))


def _loaded(options: DetectorOptions) -> list[FaceDetector]:
    return [
        detector_list.load(name, options.device, options.weights)
        for name in detector_list.available(options.weights)
    ]


def versions_of(
    pair: Pair, names: Sequence[str], options: DetectorOptions, cache: Cache, progress: Progress | None = None
) -> tuple[NDArray[np.uint8], dict[str, NDArray[np.uint8]]]:
    """The clean picture, and by name its cloaked versions and their controls.

    Cloaked here, the clean one is encoded as the cloaked ones are, so that the encoder's part is in neither.

    Raises:
        NoFaceError: the cloak's detectors see no face.
    """
    if pair.cloaked is not None:
        clean = open_picture(pair.original).pixels
        given = open_picture(pair.cloaked).pixels
        if given.shape != clean.shape:
            raise UsageError(
                f"{pair.cloaked} has {given.shape[1]} x {given.shape[0]} pixels and its original "
                f"{clean.shape[1]} x {clean.shape[0]}",
                hint="compare copies of the same size",
            )
        noise = {NOISE + GIVEN: equal_energy(clean, given, options.seed)} if options.control else {}
        return clean, {GIVEN: given, **noise}
    plain = _cloak_options(options, Strength.MID)
    clean = open_picture(encode_uncloaked(pair.original, plain)).pixels
    cloaked, controls = {}, {}
    for place, name in enumerate(names):
        pixels, faces = _cloaked(pair.original, name, options, cache, _part(progress, place, len(names)))
        cloaked[name] = pixels
        if options.control:
            kind, control = _control(clean, pixels, faces, name, options)
            controls[kind + name] = control
    return clean, {**cloaked, **controls}


def _cloaked(
    original: Path, strength: str, options: DetectorOptions, cache: Cache, progress: Progress
) -> tuple[NDArray[np.uint8], list[list[float]]]:
    """A cloaked picture, and the boxes of the faces that it hides, from the cache where it has both."""
    key = cloak_key(original, strength, options)
    data, about = cache.read(key, ".cloaked"), cache.get(key)
    if data is None or about is None:
        done = cloak_file(original, _cloak_options(options, Strength(strength)), progress=progress)
        data = cache.keep(key, ".cloaked", done.encoded).read_bytes()
        about = cache.put(key, {"faces": [list(face.box) for face in done.report.faces if face.chosen]})
    return open_picture(data).pixels, about["faces"]


def _control(
    clean: NDArray[np.uint8],
    cloaked: NDArray[np.uint8],
    faces: list[list[float]],
    strength: str,
    options: DetectorOptions,
) -> tuple[str, NDArray[np.uint8]]:
    """What the clean picture is compared with besides the cloaked one: the kind of control, and its pixels."""
    veil = VeilName(options.veil)
    if veil is VeilName.NOISE:
        return NOISE, equal_energy(clean, cloaked, options.seed)
    base = without_colour(clean) if veil is VeilName.FILM_BW else clean
    return RANDOM, random_veil(base, torch.tensor(faces), veil, Strength(strength), options.seed)


def cloak_key(original: Path, strength: str, options: DetectorOptions) -> str:
    """The cache's name of a cloaked picture."""
    chosen: dict[str, Any] = {
        "file": sha256_file(original),
        "strength": strength,
        "against": list(options.against),
        "veil": options.veil,
    }
    chosen |= {"steps": options.steps, "seed": options.seed, "code": code_of("cloak")}
    return key_of("cloaked", chosen)


def _one(
    pair: Pair,
    names: Sequence[str],
    detectors: Sequence[FaceDetector],
    options: DetectorOptions,
    cache: Cache,
    progress: Progress,
) -> dict[str, Any]:
    """One picture's row: what :func:`synth.measure.detectors.observations.detect_under_conditions` says, ``quality`` of
    each version (whole picture, and the worst face's crop), ``name``, ``sha256``, ``size`` and ``seconds``.
    """
    digests = [sha256_file(one) for one in (pair.original, pair.cloaked) if one is not None]
    depends: dict[str, Any] = {
        "files": digests,
        "versions": list(names),
        "options": options.to_json(),
        "detectors": [one.name for one in detectors],
        "conditions": list(CONDITIONS),
        "code": code_of("cloak", "synth.measure"),
    }
    key = key_of("look", depends)
    row = cache.get(key)
    if row is not None:
        progress(1.0)
        return {**row, "name": pair.original.name}
    started = time.perf_counter()
    about = {"name": pair.original.name, "sha256": digests[0]}
    try:
        clean, versions = versions_of(pair, names, options, cache, lambda share: progress(share / 2))
    except NoFaceError as error:
        return cache.put(key, {**about, "faces": [], "why": str(error)})
    seen = detect_under_conditions(
        clean, versions, detectors, device=options.device, progress=lambda share: progress((1 + share) / 2)
    )
    if not seen["faces"]:
        why = "no two families of detectors agree on a face"
        return cache.put(key, {**about, "faces": [], "why": why})
    quality = {name: _quality(clean, pixels, seen["faces"]) for name, pixels in versions.items()}
    size = [clean.shape[1], clean.shape[0]]
    return cache.put(
        key,
        {
            **about,
            **seen,
            "quality": quality,
            "size": size,
            "seconds": round(time.perf_counter() - started, 2),
        },
    )


def _quality(
    clean: NDArray[np.uint8], pixels: NDArray[np.uint8], faces: Sequence[Sequence[float]]
) -> dict[str, Any]:
    whole = compare(clean, pixels, perceptual=clean.size < 12_000_000)
    boxes = [(face[0], face[1], face[2], face[3]) for face in faces]
    worst = min(
        (compare(crop(clean, box), crop(pixels, box)) for box in boxes), key=lambda quality: quality.psnr
    )
    return {"picture": whole.to_json(), "face": worst.to_json()}


def _cloak_options(options: DetectorOptions, strength: Strength) -> CloakOptions:
    return CloakOptions(
        strength=strength,
        veil=options.veil,
        detectors=options.against,
        judges=(),
        weights=options.weights,
        steps=options.steps,
        seed=options.seed,
        device=options.device,
        again=True,
    )


def _part(progress: Progress | None, place: int, count: int) -> Progress:
    return lambda share: progress((place + min(1.0, share)) / count) if progress else None

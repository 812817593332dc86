"""What detectors learn from: observed clips of people and faces of photographs, kept between runs."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from provenance.media.files import replacing
from provenance.media.picture import open_picture
from synth.detect.observe import FACE_SIDE, FaceObserver, ObservedFace
from synth.extraction.canonical import alignment, transformed, warp
from synth.extraction.footage import open_footage

#: Faces of photographs with eyes closer than this, in pixels, are left out.
_LEAST_SPAN = 30.0
Pixels = NDArray[np.uint8]


@dataclass(frozen=True)
class TrainingClip:
    """A clip, observed, and whose it is."""

    person: str
    observed: ObservedFace


@dataclass(frozen=True)
class TrainingFace:
    """An aligned face ``(192, 192, 3)`` and its landmarks ``(468, 2)``, and whose it is (or which photograph's)."""

    person: str
    pixels: Pixels
    points: NDArray[np.float32]


def observe_clips(
    paths: Sequence[Path],
    work: Path,
    observer: FaceObserver,
    seconds: float,
    say: Callable[[str], None] | None = None,
) -> list[TrainingClip]:
    """Each file is one person's; what was observed before is read from ``work``."""
    work.mkdir(parents=True, exist_ok=True)
    work.chmod(0o700)
    clips = []
    for path in paths:
        name = f"{path.stem}|{path.stat().st_size}|{seconds:g}"
        kept = work / f"observed-{hashlib.sha256(name.encode()).hexdigest()[:16]}.npz"
        if kept.is_file():
            observed = load_observed(kept, path)
        else:
            observed = observer.observe(open_footage(path)[0], max_seconds=seconds)
            save_observed(kept, observed)
        clips.append(TrainingClip(path.stem, observed))
        if say:
            say(f"observed {path.stem}: {len(observed.times)} frames")
    return clips


def save_observed(path: Path, observed: ObservedFace) -> None:
    """Arrays alone, as NPZ."""
    arrays: dict[str, Any] = {}
    for field in fields(ObservedFace):
        value = getattr(observed, field.name)
        if field.name == "path":
            continue
        if isinstance(value, list):
            arrays |= {f"{field.name}.{place:03}": np.asarray(one) for place, one in enumerate(value)}
        else:
            arrays[field.name] = np.asarray(value)
    with replacing(path, mode=0o600) as temporary, temporary.open("wb") as file:
        np.savez(file, **arrays)


def load_observed(path: Path, footage: Path) -> ObservedFace:
    """What :func:`save_observed` wrote."""
    with np.load(path, allow_pickle=False) as stored:
        values: dict[str, Any] = {"path": footage}
        for name in sorted(stored.files):
            whole, _, place = name.partition(".")
            value = stored[name]
            if place:
                values.setdefault(whole, []).append(float(value) if value.ndim == 0 else value)
            else:
                values[whole] = value if value.ndim else value.item()
    return ObservedFace(**values)


def clip_faces(clips: Sequence[TrainingClip]) -> list[TrainingFace]:
    """The kept faces of clips."""
    return [
        TrainingFace(clip.person, pixels, points)
        for clip in clips
        for pixels, points in zip(clip.observed.faces, clip.observed.face_points, strict=True)
    ]


def photo_faces(photos: Sequence[Pixels], observer: FaceObserver) -> list[TrainingFace]:
    """All faces of photographs that are large enough; each photograph counts as one person."""
    faces = []
    for number, pixels in enumerate(photos):
        for found in observer.finder.find(pixels):
            if found.span >= _LEAST_SPAN and found.mesh_score > 0:
                points = found.landmarks[:, :2].astype(np.float64)
                matrix = alignment(points, FACE_SIDE)
                faces.append(
                    TrainingFace(
                        f"photo-{number}",
                        warp(pixels, matrix, FACE_SIDE),
                        transformed(points, matrix).astype(np.float32),
                    )
                )
    return faces


def photos_in(folder: Path | None) -> list[Pixels]:
    """The pictures of a folder, by name; none without one."""
    return [open_picture(path).pixels for path in photo_files(folder)]


def photo_files(folder: Path | None) -> list[Path]:
    """The picture files of a folder, by name; none without one."""
    if folder is None:
        return []
    return [path for path in sorted(folder.iterdir()) if path.suffix.lower() in (".jpg", ".png")]


def folds(people: Sequence[str], count: int, together: Sequence[str] = ()) -> list[tuple[str, ...]]:
    """People in so many groups, by name in turn: each is held out once. Those of ``together``, whose faces are put onto
    each other, are in the first group.
    """
    pair = sorted(set(together) & set(people))
    count = max(2, count)
    ordered = sorted(set(people) - set(pair))
    room = max(0, -(-len(set(people)) // count) - len(pair))
    first, rest = [*pair, *ordered[:room]], ordered[room:]
    return [tuple(first), *(tuple(rest[start :: count - 1]) for start in range(count - 1))]

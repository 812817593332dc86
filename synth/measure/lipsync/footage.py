"""What an attacker's lip-sync learns from: published frames, what follows them, and the face followed through both."""

from __future__ import annotations

import io
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass
from fractions import Fraction
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from provenance.errors import NoFaceError, UsageError
from synth.extraction.finder import FaceFinder
from synth.extraction.rules import Thresholds
from synth.extraction.tracking import follow_missed
from synth.lipsync.mouth.audio import Sound
from synth.lipsync.person import require_usable
from synth.lipsync.shape import POINTS, Track, track_of
from synth.lipsync.wide_mouth import reaching_down
from synth.measure.attackers import Attacker
from synth.measure.cache import key_of
from synth.measure.clips import write_clip_whole
from synth.measure.conditions import CLEAN, Pixels
from synth.measure.experiment import AttackerFaces, Progress
from synth.measure.material import Material, attacked_footage, attacked_frames

Landmarks = NDArray[np.float64]
#: Constant rate factor of the attacker's footage, near lossless.
_CRF = 4
#: What scores less FaceMesh takes for no face, as ``veilmark synth extract`` does.
_LEAST_SCORE = Thresholds().face_score
_EYES = ((33, 133), (362, 263))


@dataclass
class AttackerFootage:
    """What an attacker has: published frames, and what follows them as it was filmed.

    Attributes:
        clip: a video of both, without sound.
        published: ``(P, 468, 3)`` landmarks as this attacker finds them, NaN where no face is found.
        following: ``(F, 468, 3)`` landmarks of the frames that follow.
        size: height and width.
        rate: frames a second.
        sound: of the whole.
        gap: so many of ``following``, the first ones, lie between what is published and what is held out; nothing is
            measured on them.
    """

    clip: Path
    published: Landmarks
    following: Landmarks
    size: tuple[int, int]
    rate: Fraction
    sound: Sound
    gap: int = 0

    @property
    def until(self) -> float:
        """Share that is learned from."""
        return len(self.published) / (len(self.published) + len(self.following))

    def track(self, part: int | None = None, parts: int = 1) -> Track:
        """Of the whole, told by the mean face of what was published; without faces in one of so many equal, contiguous
        parts of it.
        """
        points = self.published.copy()
        if part is not None:
            points[left_out(len(points), part, parts)] = np.nan
        whole = np.concatenate([points, self.following])
        return track_of(whole, np.arange(len(whole)) / float(self.rate), self.size, self.until)

    def refusal(self) -> str:
        """Why the generator refuses what was published; empty where it does not."""
        try:
            times = np.arange(len(self.published)) / float(self.rate)
            require_usable(track_of(self.published, times, self.size), "the footage")
        except (NoFaceError, UsageError) as error:
            return str(error)[:200]
        return ""


def left_out(count: int, part: int, parts: int) -> slice:
    """Which of ``count`` frames the part (from 1) of so many is."""
    return slice(round((part - 1) * count / parts), round(part * count / parts))


def joined_clip(material: Material, variant: str, attacker: Attacker, digest: str) -> Path:
    """The attacker's footage as a clip: what was published, cleaned as they do, and all that follows.

    Args:
        digest: of the attacker's faces, which names it in the cache.
    """
    path = material.cache.file(key_of("footage", {"faces": digest}), ".mp4")

    def frames() -> Iterator[Pixels]:
        yield from attacked_frames(material, variant, attacker)
        yield from material.after()

    if not path.is_file():
        write_clip_whole(path, frames(), rate_of(material), _CRF)
    return path


def followed(
    material: Material, variant: str, attacker: Attacker, progress: Progress
) -> tuple[Landmarks, AttackerFaces]:
    """``(P, 468, 3)`` the face in every published frame, NaN without one; and how many show one."""
    chosen = attacked_footage(material, variant, attacker) | {"least": _LEAST_SCORE, "wide": "read twice"}
    cache, key = material.cache, key_of("landmarks", chosen)
    done, path = cache.get(key), cache.file(key, ".npy")
    if done is None or not path.is_file():
        began, options = time.perf_counter(), material.options

        def seen() -> Iterator[Pixels]:
            for pixels in attacked_frames(material, variant, attacker):
                progress(0.0)
                yield pixels

        finder = FaceFinder(attacker.detectors, options.device, options.weights, ask_all=True)
        points, _, counts = face_landmarks(finder, seen(), seen)
        data = io.BytesIO()
        np.save(data, points.astype(np.float32), allow_pickle=False)
        cache.keep(key, ".npy", data.getvalue())
        seconds = round(time.perf_counter() - began, 2)
        faces = AttackerFaces(len(points), counts["face"], counts, "", key, seconds)
        done = cache.put(key, asdict(faces))
    return np.load(path, allow_pickle=False).astype(np.float64), AttackerFaces(**done)


def face_landmarks(
    finder: FaceFinder, frames: Iterable[Pixels], again: Callable[[], Iterable[Pixels]] | None = None
) -> tuple[Landmarks, tuple[int, int], dict[str, int]]:
    """``(T, 468, 3)`` of the largest face, then of the one nearest to where it was, NaN without one; height and width;
    and how many frames show a face, only what FaceMesh takes for none (a decoy), or nothing. With ``again``, which
    yields the same frames, the face is followed through those in which no detector reported it.
    """
    rows: list[Landmarks] = []
    outcomes: list[str] = []
    size, before = (0, 0), None
    for pixels in frames:
        reported = finder.find(pixels)
        found = [face for face in reported if face.mesh_score >= _LEAST_SCORE]
        size = (pixels.shape[0], pixels.shape[1])
        outcomes.append("face" if found else "not-a-face" if reported else "no-face")
        if not found:
            rows.append(np.full((POINTS, 3), np.nan))
            continue
        places = [face.landmarks[:, :2].mean(0) for face in found]
        best = 0 if before is None else int(np.argmin([np.linalg.norm(one - before) for one in places]))
        before = places[best]
        rows.append(reaching_down(finder, pixels, found[best].landmarks))
    if again is not None and "face" in outcomes:
        known = {place: rows[place] for place, outcome in enumerate(outcomes) if outcome == "face"}
        missed = [place for place in range(len(rows)) if place not in known]
        for place, face in (
            follow_missed(finder, known, missed, enumerate(again())) if missed else {}
        ).items():
            rows[place], outcomes[place] = face.landmarks.astype(np.float64), "face"
    counts = {name: outcomes.count(name) for name in ("face", "not-a-face", "no-face")}
    return np.stack(rows), size, counts


def displaced(got: dict[tuple[str, str], AttackerFootage]) -> dict[tuple[str, str], float]:
    """How far landmarks lie from those in the clean footage, in distances between the eyes, where both see a face; by
    (variant, attacker's name).
    """
    found = {}
    for (variant, attacker), footage in got.items():
        here, there = footage.published[..., :2], got[CLEAN, attacker].published[..., :2]
        both = np.isfinite(here[:, 0, 0]) & np.isfinite(there[:, 0, 0])
        if both.any():
            here, there = here[both], there[both]
            eyes = [there[:, list(pair)].mean(1) for pair in _EYES]
            distance = np.linalg.norm(here - there, axis=-1).mean(1)
            found[variant, attacker] = float((distance / np.linalg.norm(eyes[0] - eyes[1], axis=-1)).mean())
    return found


def rate_of(material: Material) -> Fraction:
    """Frames a second.

    Raises:
        UsageError: pictures.
    """
    if material.rate is None:
        raise UsageError("pictures do not speak", hint="name a video")
    return material.rate

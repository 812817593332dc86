"""The target: what its video tells about how the person looks, speaks and moves. Kept per person, see workspace.py."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cloak.video.io import VideoInfo, frames, probe
from provenance.errors import CorruptMediaError, NoFaceError, UsageError
from provenance.media.files import sha256_file
from synth.code_version import code_of_module
from synth.extraction.canonical import pose
from synth.extraction.finder import FaceFinder
from synth.lipsync.follow import track_face
from synth.lipsync.mouth.adapt import adapt_mouth, at_rest
from synth.lipsync.mouth.audio import (
    FEATURE_RATE,
    Sound,
    feature_times,
    load_sound,
    silent,
    speech_features,
    voiced,
)
from synth.lipsync.mouth.expression import expressions, load_small, save_small, upper_faces
from synth.lipsync.mouth.model import MouthModel, MouthOptions, load_mouth, resampled, save_mouth
from synth.lipsync.mouth.train import SpeechClip, train_mouth
from synth.lipsync.shape import Track, mouth_shapes, opening
from synth.lipsync.workspace import Workspace, fingerprint

TRACK_FILE, UPPER_FILE = "track-2.npz", "upper-1.npz"
#: Footage in which fewer frames show the face, or whose usual yaw or pitch is more, degrees, is refused.
LEAST_FOUND, MOST_YAW, MOST_PITCH = 0.5, 35.0, 35.0
#: Opening that varies less than this while the sound is voiced (distances between the eyes, from the 10th to the 90th
#: percentile) is a mouth that does not speak, or that nothing is seen of.
LEAST_MOVEMENT = 0.012
#: So many seconds of a person's own pauses count as much as the belief that mouths are closed in pauses.
USUAL_PAUSES = 4.0
#: With fewer seconds of face and sound a mouth that does not move may be nearer to the filmed one.
ENOUGH = 3.0
Progress = Callable[[float], None]
#: Modules of :mod:`synth.lipsync.mouth` that a mouth model depends on; one of other code is not taken for this one's.
_MOUTH_CODE = ("adapt", "audio", "expression", "model", "train")


@dataclass
class Person:
    """A target video, studied.

    Attributes:
        path, sha256: the file. info: what it is.
        track: the face in each frame.
        shapes: ``(T, 36)`` its mouth, NaN where there is no face.
        sound: its own sound; None where it has none.
        upper: ``(T, 26, 48)`` uint8, its upper face, see :mod:`synth.lipsync.mouth.expression`.
    """

    path: Path
    sha256: str
    info: VideoInfo
    track: Track
    shapes: NDArray[np.float64]
    sound: Sound | None
    upper: NDArray[np.uint8]

    @property
    def rate(self) -> float:
        """Frames a second."""
        return float(self.info.rate)

    @property
    def seconds(self) -> float:
        """How long it is shown."""
        return float(self.track.times[-1] + 1 / self.rate)

    def expression(self, until: float = 1.0) -> NDArray[np.float64] | None:
        """``(T, 12)`` of all frames, in terms of the footage's first share; None where nothing is seen of it."""
        return expressions(self.upper, self.track, until)

    def clip(self, start: float = 0.0, end: float = float("inf")) -> SpeechClip | None:
        """Sound, mouth and expression side by side, from second to second; None without sound."""
        if self.sound is None or self.sound.is_silent:
            return None
        last = min(end, self.sound.seconds)
        part = self.sound if last >= self.sound.seconds else self.sound.part(0.0, last)
        first = round(max(start, 0.0) * FEATURE_RATE)
        inside = (self.track.times >= start) & (self.track.times < last)
        if inside.sum() < 2:
            return None
        shown = self.expression(min(1.0, end / self.seconds))
        return SpeechClip.of(
            speech_features(part)[first:],
            self.shapes[inside],
            self.track.times[inside] - first / FEATURE_RATE,
            None if shown is None else shown[inside],
        )


def study_target(
    path: Path,
    workspace: Workspace,
    *,
    device: str = "cpu",
    weights_dir: Path | None = None,
    progress: Progress | None = None,
    stop: Callable[[], bool] | None = None,
    until: float = 1.0,
) -> Person:
    """Track the face of a video, or take what an earlier run kept.

    Args:
        until: share of the footage, from its beginning, whose faces make the mean face; less than 1 for measuring.

    Raises:
        KeyboardInterrupt: ``stop`` said yes.
        NoFaceError: no face, or in fewer than half of the frames.
        UsageError: the person looks away from the camera most of the time.
        MediaError: the video cannot be read.
    """
    info, digest = probe(path), sha256_file(path)
    file = workspace.person(digest) / TRACK_FILE
    track = _kept_track(file)
    if track is None:
        track = track_face(path, FaceFinder(device=device, weights_dir=weights_dir), progress, stop)
        track.save(file)
    require_usable(track, path.name)
    if until < 1:
        track = track.rebased(until)
    beside = file.with_name(UPPER_FILE if until >= 1 else f"{until:.6f}-{UPPER_FILE}")
    upper = _kept_upper(beside, len(track.times))
    if upper is None:
        upper = upper_faces(track, (frame.rgb() for frame in frames(info)))
        save_small(beside, upper)
    return Person(path, digest, info, track, mouth_shapes(track), _own_sound(path), upper)


def require_usable(track: Track, name: str) -> None:
    """Raise NoFaceError or UsageError where the footage shows too little of the face."""
    share = float(track.found.mean())
    if share < LEAST_FOUND:
        raise NoFaceError(
            f"{name} shows a face in {share:.0%} of its frames, expected {LEAST_FOUND:.0%} or more",
            hint="cut out the part that shows the face",
        )
    seen = track.landmarks[track.found][:: max(1, int(track.found.sum()) // 200)]
    angles = np.median(np.abs([pose(one)[:2] for one in seen]), axis=0)
    if angles[0] > MOST_YAW or angles[1] > MOST_PITCH:
        raise UsageError(
            f"the face in {name} is usually turned by {angles[0]:.0f} degrees to the side and {angles[1]:.0f} up or "
            f"down, expected {MOST_YAW:.0f} at most",
            hint="name footage in which the person looks towards the camera",
        )


def mouth_model_for(
    person: Person,
    workspace: Workspace,
    options: MouthOptions,
    *,
    prior: Path | None = None,
    until: float = 1.0,
    stop: Callable[[], bool] | None = None,
    device: str = "cpu",
    progress: Progress | None = None,
) -> tuple[MouthModel, bool]:
    """The person's mouth model: kept from an earlier run, or taught now; and whether it was kept.

    Args:
        prior: a model of others to begin with; the footage then adapts it, see :mod:`synth.lipsync.mouth.adapt`.
            Without it a network is trained from this footage alone, as ``options`` say.
        until: share of the footage, from its beginning, that is learned from.
        stop: asked after each epoch; training then goes on where it stopped when called again.

    Raises:
        UsageError: nothing to learn from and no prior; a mouth that does not move.
    """
    start = load_mouth(prior) if prior else None
    clip = person.clip(0.0, until * person.seconds)
    if clip is None:
        if start is None:
            raise UsageError(
                f"{person.path.name} has no sound that its mouth could be learned from",
                hint="name footage in which the person speaks, or a model of other speakers with --mouth",
            )
        return start.of_person(person.shapes), False
    _require_speaking(person, clip)
    how = {
        "way": "adapted, with the upper face" if prior else "trained",
        "options": asdict(options),
        "prior": sha256_file(prior) if prior else None,
        "until": until,
        "code": [code_of_module(f"synth.lipsync.mouth.{name}") for name in _MOUTH_CODE],
    }
    file = workspace.person(person.sha256) / f"mouth-{fingerprint(how)[:16]}.safetensors"
    try:
        if file.is_file():
            return load_mouth(file, device), True
    except CorruptMediaError:
        file.unlink()
    if start is not None:
        model = adapt_mouth([clip], start, options)
        save_mouth(file, model)
        if progress:
            progress(1.0)
        return model, False
    checkpoint = file.with_name(f"{file.stem}-run.safetensors")
    model = train_mouth(
        [clip], options, start=start, checkpoint=checkpoint, stop=stop, progress=progress, device=device
    )
    if model.notes.get("finished"):
        save_mouth(file, model)
        checkpoint.unlink(missing_ok=True)
    return model, False


def _require_speaking(person: Person, clip: SpeechClip) -> None:
    assert person.sound is not None  # noqa: S101 - there is a clip
    said = voiced(person.sound)[: len(clip.seen)] & clip.seen[: person.sound.steps]
    if said.sum() < 50:
        raise UsageError(
            f"the sound of {person.path.name} has {said.sum() / 100:.1f} s of voice while the face is seen, expected "
            "0.5 s or more",
            hint="name footage in which the person speaks",
        )
    low, high = np.percentile(opening(clip.shapes[: len(said)][said]), (10, 90))
    if high - low < LEAST_MOVEMENT:
        raise UsageError(
            f"the mouth in {person.path.name} hardly moves while there is speech ({high - low:.3f} of the distance "
            f"between the eyes, expected {LEAST_MOVEMENT} or more)",
            hint="name footage in which the person speaks and the mouth is not covered",
        )


def too_short(person: Person, until: float = 1.0) -> list[str]:
    """What to tell, before anything is taught, about footage of less than :data:`ENOUGH` seconds; empty where there is
    enough, or no sound to learn from.
    """
    clip = person.clip(0.0, until * person.seconds)
    if clip is None or clip.seen.sum() >= ENOUGH * FEATURE_RATE:
        return []
    return [
        f"{person.path.name} shows {clip.seen.sum() / FEATURE_RATE:.1f} s of a speaking face: too short to do better "
        f"than a mouth that does not move; name footage of {ENOUGH:g} s or more, better 10 s"
    ]


def closed_mouth(person: Person, until: float = 1.0) -> NDArray[np.float64]:
    """``(36,)`` the person's mouth at rest: the mean of the least open tenth of the footage's first share."""
    known = person.track.found & (np.arange(len(person.track.times)) < until * len(person.track.times))
    seen = person.shapes[known if known.any() else person.track.found]
    order = np.argsort(opening(seen))
    return np.asarray(seen[order[: max(1, len(order) // 10)]].mean(0))


def resting_mouth(person: Person, model: MouthModel, until: float = 1.0) -> NDArray[np.float64]:
    """``(36,)`` the mouth in pauses, without what the expression adds to it: closed, or as far as the footage has
    pauses of its own (:data:`USUAL_PAUSES`), as this person's mouth is then.
    """
    closed, shown = closed_mouth(person, until), person.expression(until)
    if person.sound is None or person.sound.is_silent or shown is None:
        return closed
    sound = person.sound.part(0.0, min(person.sound.seconds, until * person.seconds))
    pausing = at_rest(np.zeros((sound.steps, 1)), silent(sound), np.ones(1))
    last = round(until * len(person.track.times))
    there = resampled(pausing, feature_times(sound.steps), person.track.times[:last])[:, 0] > 0.9
    calm = np.flatnonzero(there & person.track.found[:last])
    if not len(calm):
        return closed
    own = (person.shapes[calm] - model.expressed(shown[calm])).mean(0)
    share = len(calm) / (len(calm) + USUAL_PAUSES * person.rate)
    return np.asarray(share * own + (1 - share) * closed)


def at_frames(flags: NDArray[np.bool_], times: NDArray[np.floating]) -> NDArray[np.bool_]:
    """Flags at 100 Hz at the times of frames."""
    return np.asarray(resampled(flags[:, None].astype(float), feature_times(len(flags)), times)[:, 0] > 0.5)


def _own_sound(path: Path) -> Sound | None:
    try:
        return load_sound(path)
    except CorruptMediaError:
        return None


def _kept_track(file: Path) -> Track | None:
    try:
        return Track.load(file) if file.is_file() else None
    except CorruptMediaError:
        file.unlink()
        return None


def _kept_upper(file: Path, count: int) -> NDArray[np.uint8] | None:
    try:
        return load_small(file, count)
    except CorruptMediaError:
        file.unlink()
        return None


def target_summary(person: Person) -> dict[str, Any]:
    """For the report: what is known of the target."""
    return {
        "frames": len(person.track.times),
        "frames_with_a_face": int(person.track.found.sum()),
        "seconds": round(float(person.track.times[-1]), 3),
        "own_sound": person.sound is not None,
    }

"""The whole way, from a sound and a target video to a video of that person saying it.

:func:`_render_lipsync` is the flow: sound, face, mouth, timing, picture, film. What a stage finds is kept in the
workspace and not found twice. The film that is written here is not labelled yet, so it goes into a
:class:`synth.quarantine.Quarantine` and nowhere else; :func:`synth.lipsync.make.make_lipsync` labels it.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from provenance.errors import UsageError
from provenance.media.files import sha256_file
from synth.label import mark_visibly
from synth.lipsync.film.film import Film
from synth.lipsync.film.frame_reader import FrameReader
from synth.lipsync.film.render import Stage, compose_frames
from synth.lipsync.film.retime import (
    Retimed,
    RetimeWeights,
    blinks,
    movement,
    refuse_too_many,
    retime,
    there_and_back,
)
from synth.lipsync.mouth import audio
from synth.lipsync.mouth.adapt import PRIOR, at_rest
from synth.lipsync.mouth.model import MouthModel, MouthOptions, resampled
from synth.lipsync.person import (
    Person,
    at_frames,
    mouth_model_for,
    resting_mouth,
    study_target,
    target_summary,
    too_short,
)
from synth.lipsync.stage_recorder import StageRecorder
from synth.lipsync.texture.candidates import Candidates
from synth.lipsync.texture.compositor import CompositeOptions, Compositor
from synth.lipsync.texture.frontal import Frontal
from synth.lipsync.texture.texture import TextureOptions
from synth.lipsync.workspace import Changes, Workspace
from synth.quarantine import Unlabelled

STAGES = ("sound", "face", "mouth", "timing", "candidates", "picture", "film")
#: A target is played at no more than so many frames a second.
MOST_FRAMES_A_SECOND = 60
StageProgress = Callable[[str, float], None]


@dataclass(frozen=True)
class LipsyncOptions:
    """How it is done.

    Attributes:
        mouth, weights, texture, composite: of the stages.
        prior: a mouth model of others, which the target's footage adapts, or which a target without sound uses; the
            package's own where nothing is said. None: a network is trained from the target alone, as ``mouth`` says.
        pause_damping: 0 to 1, by how much the expression of the face loses its effect on the mouth in the sound's
            pauses. 0: a mouth below smiling eyes smiles in pauses too, as it was filmed; 1: it rests there.
        mark: draw the word SYNTHETIC into each frame.
        until: share of the target that is learned from (mouth and texture); less than 1 for measuring.
        device, weights_dir: where torch computes, and where to look for the detectors' weights first.
    """

    mouth: MouthOptions = field(default_factory=MouthOptions)
    weights: RetimeWeights = field(default_factory=RetimeWeights)
    texture: TextureOptions = field(default_factory=TextureOptions)
    composite: CompositeOptions = field(default_factory=CompositeOptions)
    prior: Path | None = PRIOR
    pause_damping: float = 0.0
    mark: bool = True
    until: float = 1.0
    device: str = "cpu"
    weights_dir: Path | None = None

    def check(self) -> None:
        """Raise UsageError for values that make no sense."""
        self.mouth.check()
        if not 0 <= self.pause_damping <= 1:
            raise UsageError(
                f"{self.pause_damping} of the expression to leave out in pauses, expected 0 to 1"
            )
        if not 0.1 <= self.until <= 1:
            raise UsageError(f"{self.until} of the target to learn from, expected 0.1 to 1")


@dataclass(frozen=True)
class LipsyncReport:
    """What was done.

    Attributes:
        frames: of the result. composited: with a new lower face; the others show no face.
        halves: half-frames. resumed: frames that an interrupted run had made.
        seconds: of the result. target: what is known of the target.
        mouth: epochs, errors. stages: seconds of computing (CPU) by stage.
        notes: what a person should know.
    """

    frames: int
    composited: int
    halves: int
    seconds: float
    target: dict[str, Any]
    mouth: dict[str, Any]
    stages: dict[str, float]
    notes: list[str]

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


def _render_lipsync(
    target: Path,
    sound: Path,
    made: Unlabelled,
    options: LipsyncOptions,
    workspace: Workspace,
    *,
    progress: StageProgress | None = None,
    stop: Callable[[], bool] | None = None,
    recorder: StageRecorder | None = None,
    warn: Callable[[str], None] | None = None,
) -> LipsyncReport | None:
    """Make a video of the target's person saying a sound. It lasts as long as the sound.

    A sound that is longer than the target has it played there and back; of a longer target a part is used, chosen by
    the re-timing. A silent sound gives the mouth at rest. What is no speech, such as music, moves the mouth as well:
    nothing here tells the two apart.

    Args:
        target: a video of one person. sound: a sound file, or a video whose sound is meant.
        made: where to write, .mp4, .m4v, .mov or .mkv.
        options: see :class:`LipsyncOptions`. workspace: what is kept between runs.
        progress: called with the stage (one of :data:`STAGES`) and its share done.
        stop: asked often; when it says yes the state is kept, and None is returned (KeyboardInterrupt while the face is
            followed, of which nothing is kept).
        recorder: is given what each stage found, to look at.
        warn: called with each known weakness of the input before the mouth is trained; the report repeats it.

    Raises:
        NoFaceError, UsageError: a target that shows too little of a face; see :mod:`synth.lipsync.person`.
        MediaError: something that cannot be read, or that is too long. NotWritableError: the output.
    """
    options.check()
    clock, notes = _Clock(progress), list[str]()

    # 1. Sound to features: 28 numbers, 100 times a second.
    with clock.stage("sound"):
        spoken = audio.load_sound(sound)
        features, quiet = audio.speech_features(spoken), audio.silent(spoken)
        notes += _about(spoken, sound)
    if recorder:
        recorder.sound(features, quiet)

    # 2. The target's face in each frame.
    with clock.stage("face") as report:
        person = study_target(
            target,
            workspace,
            device=options.device,
            weights_dir=options.weights_dir,
            progress=report,
            stop=stop,
            until=options.until,
        )

    times = frame_times(spoken.seconds, person.rate)
    refuse_too_many(len(times), len(there_and_back(len(person.track.times), len(times))))
    for one in too_short(person, options.until):
        notes.append(one)
        if warn:
            warn(one)

    # 3. The mouth: learned from the target's own sound, then led by the new one.
    with clock.stage("mouth") as report:
        model, _ = mouth_model_for(
            person, workspace, options.mouth, prior=options.prior, until=options.until, stop=stop,
            device=options.device, progress=report,
        )  # fmt: skip
        if stop and stop():
            return None

    # 4. Which frame of the target is shown when.
    with clock.stage("timing") as report:
        played, timing = choose_frames(person, quiet, times, options.weights, report)
        if len(played) > len(person.track.times):
            notes.append("the target is too short for the sound, and is played there and back")
    if recorder:
        recorder.timing(
            timing, movement(person.track.landmarks[played], _even(played, person)), at_frames(quiet, times)
        )
    expression = person.expression(options.until)
    shapes = drive_mouth(
        model, features, quiet, resting_mouth(person, model, options.until), times,
        None if expression is None else expression[played[timing.base]], options.pause_damping,
    )  # fmt: skip
    if recorder:
        recorder.mouth(shapes, model.mean, person.rate)

    # 5. Mouth to texture, texture into the target's frame.
    with clock.stage("candidates") as report:
        candidates = collect_candidates(person, options.until, report)
    pictures = _pictures(person, played, timing, shapes, candidates, options, workspace, sound, recorder)

    # 6. Frames and sound to a film.
    width, height = person.info.upright
    composited = 0
    with (
        clock.stage("picture") as report,
        Film(made, (width, height), _rate(person), sound, spoken.seconds) as film,
    ):
        for one in pictures:
            composited += one.composited
            face = one.landmarks if one.composited else None
            film.write(mark_visibly(one.pixels, face) if options.mark else one.pixels)
            report((one.index + 1) / len(times))
            if stop and stop():
                film.abandon()
                return None
    changes_of(person, sound, options, workspace).clear()
    if composited < len(times):
        notes.append(f"{len(times) - composited} frames show no face and stay as they are")
    told: dict[str, Any] = {
        name: model.notes[name] for name in ("epochs", "best_epoch", "held_out_error") if name in model.notes
    }
    return LipsyncReport(
        len(times), composited, int(timing.halves.sum()), round(spoken.seconds, 3), target_summary(person), told,
        clock.spent, notes,
    )  # fmt: skip


def frame_times(seconds: float, rate: float) -> NDArray[np.float64]:
    """When the frames of the result begin, seconds; as many as it takes to cover the sound."""
    return np.arange(max(1, int(np.ceil(seconds * rate - 1e-6)))) / rate


def drive_mouth(
    model: MouthModel,
    features: NDArray[np.floating],
    quiet: NDArray[np.bool_],
    rest: NDArray[np.float64],
    times: NDArray[np.floating],
    expression: NDArray[np.floating] | None = None,
    pause_damping: float = 0.0,
) -> NDArray[np.float64]:
    """``(N, 36)`` shapes of the mouth at the frames' times: as the sound leads it, and at rest in its pauses.

    Args:
        rest: ``(36,)`` of :func:`synth.lipsync.person.resting_mouth`.
        expression: ``(N, 12)`` the expression of the target's frames that it is put into.
        pause_damping: see :class:`LipsyncOptions`.
    """
    steps = at_rest(model.predict_steps(features), quiet, rest)
    moments = audio.feature_times(len(steps))
    shapes = resampled(steps, moments, times)
    if expression is None:
        return shapes
    pausing = resampled(at_rest(np.zeros((len(steps), 1)), quiet, np.ones(1)), moments, times)
    return shapes + model.expressed(expression) * (1 - pause_damping * pausing)


def choose_frames(
    person: Person,
    quiet: NDArray[np.bool_],
    times: NDArray[np.floating],
    weights: RetimeWeights,
    progress: Callable[[float], None] | None = None,
) -> tuple[NDArray[np.int64], Retimed]:
    """The order in which the target's frames are played, and which of them each made frame is laid onto."""
    played = there_and_back(len(person.track.times), len(times))
    moments = _even(played, person)
    speed = movement(person.track.landmarks[played], moments)
    blink = blinks(person.track.openness[played], moments)
    calm = at_frames(quiet, times)
    begun = audio.onsets(calm, rate=person.rate)
    return played, retime(speed, blink, calm, begun, weights, progress)


def collect_candidates(
    person: Person, until: float = 1.0, progress: Callable[[float], None] | None = None
) -> Candidates:
    """The person's own frames, seen from the front, out of the first share of the target."""
    from cloak.video.io import frames

    last = max(2, round(until * len(person.track.times)))

    def usable_frames() -> Iterator[tuple[int, NDArray[np.uint8]]]:
        for frame in frames(person.info):
            if frame.index >= last:
                return
            if person.track.found[frame.index]:
                yield frame.index, frame.rgb()
            if progress:
                progress((frame.index + 1) / last)

    return Candidates.collect(
        person.track, usable_frames(), Frontal.of(person.track), lambda index: index < last
    )


def changes_of(person: Person, sound: Path, options: LipsyncOptions, workspace: Workspace) -> Changes:
    """Where the finished frames of this film are kept while it is made."""
    how = {**asdict(options), "device": "", "weights_dir": "", "mark": True, "prior": ""}
    how["texture"] = {**how["texture"], "device": ""}
    how["prior"] = sha256_file(options.prior) if options.prior else ""
    return Changes(workspace.saying(person.sha256, sha256_file(sound), how))


def _pictures(
    person: Person,
    played: NDArray[np.int64],
    timing: Retimed,
    shapes: NDArray[np.float64],
    candidates: Candidates,
    options: LipsyncOptions,
    workspace: Workspace,
    sound: Path,
    recorder: StageRecorder | None,
) -> Iterator[Any]:
    stage = Stage(FrameReader(person.info, person.track.times), person.track.landmarks, played, timing)
    compositor = Compositor(person.track, options.composite, until=options.until)
    changes = changes_of(person, sound, options, workspace)
    show = recorder.shower(person.rate) if recorder else None
    yield from compose_frames(
        stage, shapes, candidates, compositor, options.texture, changes=changes, show=show
    )


def _even(played: NDArray[np.int64], person: Person) -> NDArray[np.float64]:
    return np.arange(len(played)) / person.rate


def _rate(person: Person) -> Any:
    rate = person.info.rate
    if rate > MOST_FRAMES_A_SECOND:
        raise UsageError(
            f"{person.path.name} has {float(rate):.0f} frames a second, expected {MOST_FRAMES_A_SECOND} at most",
            hint="convert it first",
        )
    return rate


def _about(sound: audio.Sound, path: Path) -> list[str]:
    notes = []
    if sound.is_silent:
        notes.append(f"{path.name} is silent: the mouth rests")
    if sound.damage:
        notes.append(f"{path.name} is damaged: {sound.damage}; {sound.seconds:.1f} s of it are used")
    return notes


class _Clock:
    """Seconds of computing by stage, and who is told about them."""

    def __init__(self, progress: StageProgress | None) -> None:
        self.progress, self.spent = progress, dict[str, float]()

    @contextmanager
    def stage(self, name: str) -> Iterator[Callable[[float], None]]:
        start, told = time.process_time(), self.progress

        def report(share: float) -> None:
            if told:
                told(name, min(1.0, share))

        report(0.0)
        try:
            yield report
        finally:
            self.spent[name] = round(time.process_time() - start, 3)
        report(1.0)

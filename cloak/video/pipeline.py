"""The video pipeline: find shots and faces, search noise that moves along, encode, decode, judge, and go on where a
face is left.

Frames are read one at a time, as often as it takes; no more than a few windows of patches are held. What is finished
lies in a work folder, from which an interrupted run is continued. :func:`cloak.publish.publish_file` signs the result.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from importlib import metadata
from pathlib import Path

import numpy as np

from cloak import detectors as detector_list
from cloak.assertion import refuse_cloaked
from cloak.detectors.base import FaceDetector
from cloak.evaluate.detect import load_detectors, load_encoders
from cloak.models import model
from cloak.options import CloakOptions
from cloak.recognition.objective import Encoder
from cloak.veils import VeilName
from cloak.video.evaluate import VideoEvaluation, check_written, evaluate_video, find_unresolved
from cloak.video.io import VideoInfo, damaged_frames, expected_frames, picture_bytes, probe
from cloak.video.options import VideoOptions, check_picture_options
from cloak.video.render import NoiseRenderer, NoiseStatistics, control_of, render
from cloak.video.report import VideoReport
from cloak.video.search import VideoOptimiser, analyse_video
from cloak.video.state import VideoAnalysis, WorkState
from cloak.video.write import check_container, container_for, dropped_subtitles
from provenance.errors import MissingModelError, NoFaceError, VeilmarkError
from provenance.media.files import refuse_existing, replacing, require_writable, sha256_file
from provenance.version import VERSION

Progress = Callable[[float], None]
#: Where the phases of the work begin, as shares of it; measured on short clips.
_PHASES = {"plan": 0.0, "search": 0.06, "rounds": 0.75, "judge": 0.92}


@dataclass(frozen=True)
class _Job:
    """The data that all phases share."""

    info: VideoInfo
    analysis: VideoAnalysis
    state: WorkState
    attacked: list[FaceDetector]
    options: CloakOptions
    video: VideoOptions
    networks: Sequence[Encoder]

    def version(self, name: str, suffix: str) -> Path:
        return self.state.folder / f"version-{name}{suffix}"


def work_folder(output: Path) -> Path:
    """Where an interrupted run for this output leaves its work: a hidden folder beside it."""
    return output.with_name(f".{output.name}.veilmark-work")


def cloak_video(
    source: Path,
    output: Path,
    options: CloakOptions,
    video: VideoOptions | None = None,
    *,
    work: Path | None = None,
    force: bool = False,
    control_to: Path | None = None,
    progress: Progress | None = None,
) -> VideoReport:
    """Cloak a video file into another: H.264 in MP4, MOV or Matroska.

    Sound is copied bit by bit; times, turning, shape of pixels, colour range and matrix are kept; of the metadata only
    what describes the film, and the place only with ``options.keep_gps``.

    Args:
        source: any video that FFmpeg decodes, up to 8K and 216,000 frames.
        output: its suffix names the container.
        options: what pictures have too; a choice of faces and torchattacks are for pictures only.
        video: see there.
        work: where state is kept; default :func:`work_folder`. An interrupted run with the same source and options goes
            on from there. It is removed in the end.
        control_to: where to write the control as a film without sound, Matroska; only with ``video.control``.
        progress: called with the share of the work done, in [0, 1].

    Returns:
        The report; ``success`` is false where an attacked detector still finds a face, which is a partial success and
        no error.

    Raises:
        NoFaceError: no detector finds a face; nothing is written.
        UsageError: it is cloaked already, options that videos do not have, a container that cannot be written.
        MissingPathError, MediaError: the source cannot be read, is too large, or holds no moving picture.
        OutputExistsError, NotWritableError: the output cannot be written.
        MissingModelError: a detector's weights are not on this machine.
    """
    started = time.perf_counter()
    video = video or VideoOptions()
    phases = _ProgressPhases(progress)
    # 1. Check everything before any work.
    check_picture_options(options)
    container_for(output)
    refuse_existing(output, force)
    info = probe(source)
    refuse_cloaked(source, options)
    require_writable(output)
    detectors = load_detectors(options)
    attacked, judging = detectors.attacked, detectors.judging
    attacked_encoders, judging_encoders = _encoders(options)
    # 2. Load the state of an earlier run; find shots and faces.
    state = WorkState(work or work_folder(output), _state_key(info, options, video, attacked))
    check_container(info, output.suffix.lower(), state.folder)
    # where one family alone is attacked, as in a fast search, another one says, too, what is a face
    alone = options.detectors is None and len({one.family for one in attacked}) == 1
    analysis = _analysed(info, state, [*attacked, *judging] if alone else attacked, options, video, phases)
    if options.chosen_veil is VeilName.FILM_BW:  # what it is compared with is the film without colours
        info = replace(info, grey=True)
    job = _Job(info, analysis, state, attacked, options, video, attacked_encoders)
    # 3. Search the noise of every window.
    searcher = VideoOptimiser(info, analysis, state, attacked, options, video, attacked_encoders)
    searcher.first_pass(phases.phase("search", "rounds"))
    # 4. Encode, decode, evaluate; search again in windows whose face is still found.
    suffix = output.suffix.lower()
    statistics = _rounds(job, searcher, suffix, phases)
    cloaked, plain = job.version("cloaked", suffix), job.version("plain", ".mkv")
    # 5. The control, and the final evaluation by all detectors.
    control = _control(job) if video.control and not options.fast else None
    check_written(cloaked, info, analysis.frames)
    evaluation = evaluate_video(
        cloaked,
        plain,
        control,
        analysis,
        attacked,
        judging,
        options.device,
        phases.phase("judge", None),
        attacked_encoders=attacked_encoders,
        judging_encoders=judging_encoders,
    )
    # 6. Write the output; remove the work folder.
    if control is not None and control_to is not None:
        with replacing(control_to, force=force) as temporary:
            shutil.copyfile(control, temporary)
    sizes = picture_bytes(plain), picture_bytes(cloaked)
    with replacing(output, force=force) as temporary:
        shutil.copyfile(cloaked, temporary)
    windows = [
        state.noise(index, first)
        for index in range(len(analysis.tracks))
        for first, _ in state.windows(index)
    ]
    report = VideoReport(
        strength=str(options.level),
        veil=options.chosen_veil.value,
        levels=options.level.levels,
        seed=options.seed,
        device=options.device,
        versions={name: metadata.version(name) for name in ("torch", "numpy", "av")},
        size=info.upright,
        frames=analysis.frames,
        duration=analysis.frames / float(info.rate),
        shots=len(analysis.shots),
        faces=len(analysis.faces),
        decoys=len(analysis.tracks) - len(analysis.faces),
        decoys_shown=evaluation.zones,
        recognition=evaluation.recognition,
        landmarks_displaced=options.displace_landmarks,
        windows=len(windows),
        carried=sum(one is not None and one.steps == 0 for one in windows),
        steps=sum(one.steps for one in windows if one is not None),
        rounds=state.round + 1,
        resumed=state.resumed,
        seconds=time.perf_counter() - started,
        crf=video.crf,
        preset=video.preset,
        layout=info.layout,
        largest_noise=statistics.largest,
        judged=evaluation.frames,
        judged_at=evaluation.display_size,
        face_psnr=_mean(evaluation.psnrs),
        face_ssim=_mean(evaluation.ssims),
        face_flip=_mean(evaluation.flips),
        worst_flip=max(evaluation.flips, default=0.0),
        flip_before=max(statistics.flips, default=0.0),
        dislike=max(evaluation.dislikes, default=0.0),
        noise=_mean(statistics.sizes),
        flicker=_mean(statistics.flickers),
        flicker_after=_mean(evaluation.flickers),
        flicker_original=_mean(evaluation.originals),
        bytes_plain=sizes[0],
        bytes_cloaked=sizes[1],
        detectors=tuple(evaluation.detectors),
        notes=tuple(_notes(info, analysis, options, evaluation, dropped_subtitles(info, output))),
    )
    state.remove()
    phases.done()
    return report


def _state_key(
    info: VideoInfo, options: CloakOptions, video: VideoOptions, attacked: Sequence[FaceDetector]
) -> str:
    """A hash of all that the noise depends on."""
    chosen = [
        sha256_file(info.path),
        VERSION,
        str(options.level),
        options.chosen_veil.value,
        options.fast,
        options.decoys,
        options.displace_landmarks and options.landmark_share,
        options.recognition,
        options.steps,
        options.rounds,
        options.bf16,
        options.seed,
        options.detectors is not None,
        [detector.name for detector in attacked],
        [(sha256_file(one.path), one.head) for one in options.brought],
        asdict(video),
    ]
    return hashlib.sha256(json.dumps(chosen).encode()).hexdigest()


def _encoders(options: CloakOptions) -> tuple[list[Encoder], list[Encoder]]:
    """Encoders of faces to mislead, and those that only judge.

    Raises:
        MissingModelError: some are to be misled, and none is on this machine.
    """
    if not options.recognition:
        return [], load_encoders(options)
    attacked = load_encoders(options, attackable=True)
    if not attacked:
        raise MissingModelError(
            "no encoder of faces is on this machine", hint="run " + model("dlib-face-recognition").command
        )
    return attacked, load_encoders(options, attackable=False)


def _analysed(
    info: VideoInfo,
    state: WorkState,
    asked: list[FaceDetector],
    options: CloakOptions,
    video: VideoOptions,
    phases: _ProgressPhases,
) -> VideoAnalysis:
    analysis = state.analysis()
    if analysis is None:
        try:
            analysis = analyse_video(
                info, asked, options, video, expected_frames(info), phases.phase("plan", "search")
            )
        except VeilmarkError:
            state.remove()
            raise
        if not analysis.tracks:
            state.remove()
            raise NoFaceError(
                f"the detectors find no face in {info.path.name} that they agree on",
                hint="there is nothing to hide; very small or turned faces may need a crop, or name --detectors",
            )
        state.save_analysis(analysis)
    return analysis


def _rounds(job: _Job, searcher: VideoOptimiser, suffix: str, phases: _ProgressPhases) -> NoiseStatistics:
    """Encode and judge until no attacked detector finds a face, or the rounds are over; the best noise stays."""
    best: dict[tuple[int, int], int] = {}
    film_of = job.version("cloaked", suffix)
    plain = job.version("plain", ".mkv")
    while True:
        number = job.state.round

        def part(begin: float, end: float, number: int = number) -> Progress:
            return lambda share: phases.at(
                "rounds", (number + begin + share * (end - begin)) / job.options.most_rounds, "judge"
            )

        statistics = _encode(job, film_of, plain if not plain.exists() else None, part(0, 0.3))
        unresolved = _count_by_window(
            job,
            find_unresolved(
                film_of,
                job.analysis,
                job.attacked,
                job.options.device,
                # all rounds together look at frames in the first three quarters of each step
                0.75 * number / job.options.most_rounds,
                part(0.3, 0.5),
                plain=plain,
                networks=job.networks,
            ),
        )
        worse = [key for key, count in best.items() if sum(unresolved.get(key, {}).values()) > count]
        last = not unresolved or number + 1 >= job.options.most_rounds
        if worse:
            job.state.restore(worse)
            if last:
                statistics = _encode(job, film_of, None, part(0.5, 1))
        if last:
            return statistics
        refine_pairs = {key: set(pairs) for key, pairs in unresolved.items() if key not in worse}
        refine_pairs |= {key: set() for key in worse}
        best |= {key: sum(pairs.values()) for key, pairs in unresolved.items() if key not in worse}
        job.state.back_up(list(refine_pairs))
        job.state.begin(number + 1)
        searcher.refine(refine_pairs, number + 1, part(0.5, 1))


def _encode(job: _Job, path: Path, plain: Path | None, progress: Progress) -> NoiseStatistics:
    film = NoiseRenderer(job.info, job.analysis, job.state, job.options)
    half_done = None if plain is None else plain.with_name(f"version-partial{plain.suffix}")
    statistics = render(film, path, job.options, job.video, plain=half_done, progress=progress)
    if half_done is not None and plain is not None:
        half_done.replace(plain)
    return statistics


def _count_by_window(
    job: _Job, unresolved: dict[tuple[int, int], set[tuple[str, str]]]
) -> dict[tuple[int, int], dict[tuple[str, str], int]]:
    """By track and first frame of a window, in how many frames which pairs find the face."""
    result: dict[tuple[int, int], dict[tuple[str, str], int]] = {}
    for (track, frame), pairs in unresolved.items():
        first = job.state.window_at(track, frame)
        if first is None:
            continue
        counts = result.setdefault((track, first), {})
        for pair in pairs:
            counts[pair] = counts.get(pair, 0) + 1
    return result


def _control(job: _Job) -> Path:
    path = job.version("control", ".mkv")
    change = control_of(job.options, job.info.upright)
    film = NoiseRenderer(job.info, job.analysis, job.state, job.options, change)
    render(film, path, job.options, job.video, bare=True)
    return path


def _notes(
    info: VideoInfo,
    analysis: VideoAnalysis,
    options: CloakOptions,
    judged: VideoEvaluation,
    dropped: Sequence[str],
) -> list[str]:
    notes, display_size, asked = [], judged.display_size, {one.name for one in judged.detectors}
    if options.decoys and not any(track.decoy for track in analysis.tracks):
        notes.append("no decoys: beside the faces and where they move there is no room for one")
    if others := [known.name for known in detector_list.DETECTORS if known.name not in asked]:
        notes.append("known, but not asked: " + ", ".join(others))
    if display_size != info.upright:
        notes.append(f"detectors were shown frames of {display_size[0]} x {display_size[1]} pixels")
    if info.pix_fmt not in ("yuv420p", "yuvj420p"):
        notes.append(
            f"the source's pixels are {info.pix_fmt}; the result is written as {info.layout}, eight bits"
        )
    if damaged := damaged_frames(info):
        notes.append(f"the source is damaged: {damaged} of its frames are missing or mended by the decoder")
    if dropped:
        notes.append(f"subtitles that the container cannot hold are left out: {', '.join(dropped)}")
    if info.interlaced:
        notes.append("the source is interlaced; the result is written as whole frames")
    return notes


def _mean(values: Sequence[float]) -> float:
    return float(np.mean(values)) if values else 0.0


class _ProgressPhases:
    """Turns each phase's own share into one that only rises."""

    def __init__(self, progress: Progress | None) -> None:
        self._progress = progress or (lambda _: None)
        self._latest = 0.0

    def phase(self, name: str, until: str | None) -> Progress:
        return lambda share: self.at(name, share, until)

    def at(self, name: str, share: float, until: str | None) -> None:
        begin, end = _PHASES[name], _PHASES[until] if until else 0.99
        self._latest = max(self._latest, begin + share * (end - begin))
        self._progress(self._latest)

    def done(self) -> None:
        self._progress(1.0)

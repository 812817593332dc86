"""One cell of ``measure lipsync``: the generator as ``veilmark synth lipsync`` runs it, given what an attacker got.

The attacker's footage is what was published, followed by the rest as it was filmed: the gap and the held-out fifth. The
person's mouth and the frames that the texture is made of come from the first part alone; then the rest is made to say
what it said, by its own sound, and the held-out frames are compared with what was filmed.
"""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from provenance.errors import NoFaceError, UsageError
from provenance.media.files import sha256_file
from synth.lipsync.mouth import audio
from synth.lipsync.mouth.adapt import PRIOR
from synth.lipsync.mouth.model import MouthOptions
from synth.lipsync.person import TRACK_FILE, Person, closed_mouth, mouth_model_for, study_target
from synth.lipsync.pipeline import collect_candidates, drive_mouth
from synth.lipsync.shape import Track
from synth.lipsync.texture.compositor import CompositeOptions, Compositor
from synth.lipsync.texture.texture import TextureOptions, synthesize_textures
from synth.lipsync.workspace import Workspace
from synth.measure.cache import Cache
from synth.measure.clips import write_clip
from synth.measure.conditions import Pixels
from synth.measure.experiment import Stop
from synth.measure.lipsync.footage import AttackerFootage
from synth.measure.lipsync.judge import FAKE_CRF, LipsyncJudge, mouth_measures
from synth.quarantine import quarantine


def made_and_measured(
    footage: AttackerFootage,
    part: int,
    parts: int,
    judge: LipsyncJudge,
    cache: Cache,
    *,
    device: str = "cpu",
    weights: Path | None = None,
    stop: Stop = lambda: False,
) -> tuple[dict[str, Any], Pixels | None]:
    """Fit the generator to the footage without one of so many parts, make the held-out frames, and measure them.

    The clip that is made exists only meanwhile, in a private folder.

    Returns:
        ``measures`` (see :data:`synth.measure.measures.MEASURES`), or ``untrained`` with the reason; ``seconds``; and
        some faces in rows.

    Raises:
        KeyboardInterrupt: ``stop`` said so.
    """
    began = time.perf_counter()
    with cache.scratch() as scratch:
        workspace = Workspace(scratch)
        refused = footage.refusal()
        try:
            if refused:
                raise NoFaceError(refused)
            person = _person(footage, footage.track(part, parts), workspace, device, weights)
            spoken = _spoken_shapes(person, footage, workspace, device)
            candidates = collect_candidates(person, footage.until)
        except (NoFaceError, UsageError) as error:
            return {"untrained": str(error)[:200], "seconds": 0.0}, None
        measures = mouth_measures(spoken, judge.shapes, float(footage.rate))
        made = []
        compositor = Compositor(person.track, CompositeOptions(), until=footage.until)
        textures = synthesize_textures(spoken[judge.rows], candidates, TextureOptions(device=device))
        for row, base, (texture, alpha) in zip(judge.rows, judge.frames, textures, strict=True):
            landmarks = person.track.landmarks[len(footage.published) + row]
            made.append(compositor.compose(base, landmarks, texture, alpha, spoken[row]))
            if stop():
                raise KeyboardInterrupt
        measures |= judge.picture_measures(made, device)
        with quarantine() as private:
            clip = private.place("said.mp4")
            write_clip(clip.path, iter(made), footage.rate, FAKE_CRF)
            measures |= judge.fake_measures(clip.path)
    plain = {name: None if one is None else round(one, 6) for name, one in measures.items()}
    return {"measures": plain, "seconds": round(time.perf_counter() - began, 1)}, judge.sheet(made)


def _person(
    footage: AttackerFootage, track: Track, workspace: Workspace, device: str, weights: Path | None
) -> Person:
    """As the generator studies a target, but for its track, which is known, and the sound, which lies apart."""
    track.save(workspace.person(sha256_file(footage.clip)) / TRACK_FILE)
    person = study_target(footage.clip, workspace, device=device, weights_dir=weights)
    return replace(person, sound=footage.sound)


def _spoken_shapes(
    person: Person, footage: AttackerFootage, workspace: Workspace, device: str
) -> NDArray[np.float64]:
    """``(F, 36)``: the mouth at the frames after the published ones, led by their own sound."""
    model, _ = mouth_model_for(
        person, workspace, MouthOptions(), prior=PRIOR, until=footage.until, device=device
    )  # fmt: skip
    following = slice(len(footage.published), None)
    expression = person.expression(footage.until)
    return drive_mouth(
        model, audio.speech_features(footage.sound), audio.silent(footage.sound), closed_mouth(person, footage.until),
        person.track.times[following], None if expression is None else expression[following],
    )  # fmt: skip

"""Find the face of a video in each of its frames."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from cloak.video.io import expected_frames, frames, probe
from synth.extraction.rules import Thresholds
from synth.lipsync.shape import POINTS, Series, Track, track_of
from synth.lipsync.wide_mouth import reaching_down

#: FaceMesh's logit below which something is no face.
_LEAST_SCORE = Thresholds().face_score


def track_face(
    path: Path,
    finder: Any,
    progress: Callable[[float], None] | None = None,
    stop: Callable[[], bool] | None = None,
) -> Track:
    """Find the face through a video: at first the largest, then the one nearest to where it was. A mouth that is opened
    wide is read twice, see :mod:`synth.lipsync.wide_mouth`.

    Args:
        path: a video.
        finder: a :class:`synth.extraction.finder.FaceFinder`.
        progress: called with the share done.
        stop: asked before each frame.

    Raises:
        KeyboardInterrupt: ``stop`` said yes.
        NoFaceError: fewer than two frames show a face.
        MediaError: it cannot be read.
    """
    info = probe(path)
    expected, rows, times, size = expected_frames(info), [], [], (0, 0)
    before: Series | None = None
    for frame in frames(info):
        if stop and stop():
            raise KeyboardInterrupt
        pixels = frame.rgb()
        size = (pixels.shape[0], pixels.shape[1])
        # decoys are no faces: only what FaceMesh accepts, as in extraction
        found = [face for face in finder.find(pixels) if face.mesh_score >= _LEAST_SCORE]
        rows.append(np.full((POINTS, 3), np.nan))
        if found:
            best = found[0]
            if before is not None:
                gaps = [float(np.linalg.norm(face.landmarks[:, :2].mean(0) - before)) for face in found]
                best = found[int(np.argmin(gaps))]
            rows[-1] = reaching_down(finder, pixels, best.landmarks)
            before = rows[-1][:, :2].mean(0)
        times.append(float(frame.pts * info.time_base))
        if progress:
            progress(min(1.0, len(rows) / expected))
    return track_of(np.stack(rows), np.array(times), size)

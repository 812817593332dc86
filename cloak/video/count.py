"""Counting, frame by frame, what detectors and face recognition see in the versions of a video."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from torch import Tensor

from cloak.detectors.base import Detections, FaceDetector
from cloak.evaluate.judge import View, new_reports, which_found
from cloak.recognition.network import SAME_PERSON, FaceRecognition
from cloak.video.look import look
from cloak.video.recognition import gaps_in, landmark_gaps, recogniser_of
from cloak.video.report import VideoDetectorReport, VideoRecognitionReport

#: A frame under each condition, by name, with its scale: :func:`cloak.evaluate.judge.under_conditions`.
Shown = Mapping[str, tuple[np.ndarray, float]]


class Count:
    """What one detector sees, all frames together.

    Args:
        detector: who is asked.
        attacked: the cloak was made against it.
        controlled: there is a version with other noise of equal energy.
    """

    def __init__(self, detector: FaceDetector, attacked: bool, controlled: bool) -> None:
        self.detector, self.attacked = detector, attacked
        self._before = self._elsewhere = self._decoys = 0
        self._after = {"published": 0, "jpeg75": 0, "half": 0}
        self._control = 0 if controlled else None
        self._shifts: list[float] = []
        self._control_shifts: list[float] = []

    def see(
        self, views: Sequence[View], shown: Shown, faces: Tensor, zones: Tensor, device: str
    ) -> Detections:
        """One more frame.

        Args:
            views: of the frame cloaked, uncloaked, and perhaps with the control's noise.
            shown: the cloaked one.
            faces, zones: ``(N, 4)`` in pixels of the frame: faces to hide, and decoys.

        Returns:
            What the detector reports for the uncloaked frame; only what it finds there counts.
        """
        scale, places = views[0].scale, torch.cat([faces, zones])
        plain = self._look(views[1].pixels, places * scale, device)
        was = which_found(plain, faces * scale)
        self._before += sum(was)
        for name, (pixels, factor) in shown.items():
            seen = self._look(pixels, places * scale * factor, device)
            self._after[name] += _both(which_found(seen, faces * scale * factor), was)
            if name == "published":
                self._elsewhere += new_reports(plain, seen, faces * scale)
                free = [not taken for taken in which_found(plain, zones * scale)]
                self._decoys += _both(which_found(seen, zones * scale), free)
                self._shifts.extend(landmark_gaps(plain, seen, faces * scale))
        if self._control is not None:
            seen = self._look(views[2].pixels, places * scale, device)
            self._control += _both(which_found(seen, faces * scale), was)
            self._control_shifts.extend(landmark_gaps(plain, seen, faces * scale))
        return plain

    def _look(self, pixels: np.ndarray, places: Tensor, device: str) -> Detections:
        return look(self.detector, pixels, places, device)

    def report(self) -> VideoDetectorReport:
        """All of it."""
        return VideoDetectorReport(
            self.detector.name,
            self.detector.family,
            self.attacked,
            self._before,
            dict(self._after),
            self._control,
            self._elsewhere,
            self._decoys,
            _mean(self._shifts),
            _mean(self._control_shifts),
        )


class RecognitionCount:
    """What face recognition makes of the faces, all frames together; each is compared with itself in the same frame
    without a cloak.

    Args:
        network: who is asked.
        attacked: the cloak was made against it.
        controlled: as for :class:`Count`.
    """

    def __init__(self, network: FaceRecognition, attacked: bool, controlled: bool) -> None:
        self.network, self.attacked = network, attacked
        self._distances: dict[str, list[float]] = {}
        self._control: list[float] | None = [] if controlled else None

    def see(
        self,
        views: Sequence[View],
        shown: Shown,
        faces: Tensor,
        reports: Mapping[str, Detections],
        device: str,
    ) -> None:
        """One more frame; arguments as for :meth:`Count.see`, and what detectors report for it uncloaked."""
        knowing = recogniser_of(self.network, views[1], faces, reports, device)
        for name, (pixels, _) in shown.items():
            self._distances.setdefault(name, []).extend(gaps_in(knowing, pixels, device))
        if self._control is not None:
            self._control.extend(gaps_in(knowing, views[2].pixels, device))

    def report(self) -> VideoRecognitionReport:
        """All of it."""

        def known(distances: Sequence[float]) -> int:
            return sum(distance < SAME_PERSON for distance in distances)

        published = self._distances.get("published", [])
        return VideoRecognitionReport(
            self.attacked,
            len(published),
            {name: known(values) for name, values in self._distances.items()},
            None if self._control is None else known(self._control),
            _mean(published) or 0.0,
            SAME_PERSON,
        )


def _both(first: Sequence[bool], second: Sequence[bool]) -> int:
    return sum(one and other for one, other in zip(first, second, strict=True))


def _mean(values: Sequence[float]) -> float | None:
    return float(np.mean(values)) if values else None

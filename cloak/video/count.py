"""Counting, frame by frame, what detectors and face recognition see in the versions of a video."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from torch import Tensor

from cloak.detectors.base import Detections, FaceDetector
from cloak.detectors.geometry.matching import faces_found
from cloak.evaluate.compare import landmark_errors, new_detections
from cloak.pixels import DisplayedPicture, to_tensor
from cloak.recognition.objective import Encoder, recogniser_for
from cloak.video.detectors import detect_near, recognition_distances
from cloak.video.report import VideoDetectorReport, VideoRecognitionReport

#: A frame under each condition, by name, with its scale: :func:`cloak.pixels.render_conditions`.
Renderings = Mapping[str, tuple[np.ndarray, float]]


class DetectorCounter:
    """What one detector sees, all frames together.

    Args:
        detector: who is asked.
        attacked: the cloak was made against it.
        has_control: there is a version with other noise of equal energy.
    """

    def __init__(self, detector: FaceDetector, attacked: bool, has_control: bool) -> None:
        self.detector, self.attacked = detector, attacked
        self._before = self._elsewhere = self._decoys = 0
        self._after = {"published": 0, "jpeg75": 0, "half": 0}
        self._control = 0 if has_control else None
        self._shifts: list[float] = []
        self._control_shifts: list[float] = []

    def add_frame(
        self,
        views: Sequence[DisplayedPicture],
        renderings: Renderings,
        faces: Tensor,
        zones: Tensor,
        device: str,
    ) -> Detections:
        """One more frame.

        Args:
            views: of the frame cloaked, uncloaked, and perhaps with the control's noise.
            renderings: the cloaked one.
            faces, zones: ``(N, 4)`` in pixels of the frame: faces to hide, and decoys.

        Returns:
            What the detector reports for the uncloaked frame; only what it finds there counts.
        """
        scale, places = views[0].scale, torch.cat([faces, zones])
        plain = self._detect(views[1].pixels, places * scale, device)
        was = faces_found(plain, faces * scale).tolist()
        self._before += sum(was)
        for name, (pixels, factor) in renderings.items():
            seen = self._detect(pixels, places * scale * factor, device)
            self._after[name] += _both(faces_found(seen, faces * scale * factor).tolist(), was)
            if name == "published":
                self._elsewhere += new_detections(plain, seen, faces * scale)
                free = [not taken for taken in faces_found(plain, zones * scale).tolist()]
                self._decoys += _both(faces_found(seen, zones * scale).tolist(), free)
                self._shifts.extend(landmark_errors(plain, seen, faces * scale))
        if self._control is not None:
            seen = self._detect(views[2].pixels, places * scale, device)
            self._control += _both(faces_found(seen, faces * scale).tolist(), was)
            self._control_shifts.extend(landmark_errors(plain, seen, faces * scale))
        return plain

    def _detect(self, pixels: np.ndarray, places: Tensor, device: str) -> Detections:
        return detect_near(self.detector, pixels, places, device)

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


class RecognitionCounter:
    """What face recognition makes of the faces, all frames together; each is compared with itself in the same frame
    without a cloak.

    Args:
        network: who is asked.
        attacked: the cloak was made against it.
        has_control: as for :class:`DetectorCounter`.
    """

    def __init__(self, network: Encoder, attacked: bool, has_control: bool) -> None:
        self.network, self.attacked = network, attacked
        self._distances: dict[str, list[float]] = {}
        self._control: list[float] | None = [] if has_control else None

    def add_frame(
        self,
        views: Sequence[DisplayedPicture],
        renderings: Renderings,
        faces: Tensor,
        reports: Mapping[str, Detections],
        device: str,
    ) -> None:
        """Count one more frame.

        Args:
            views, renderings, faces: as for :meth:`DetectorCounter.add_frame`.
            reports: by name, what detectors report for the uncloaked frame.
            device: where torch computes.
        """
        recogniser = recogniser_for(
            self.network, to_tensor(views[1].pixels, device), views[1].scale, faces, reports
        )
        for name, (pixels, _) in renderings.items():
            self._distances.setdefault(name, []).extend(recognition_distances(recogniser, pixels, device))
        if self._control is not None:
            self._control.extend(recognition_distances(recogniser, views[2].pixels, device))

    def report(self) -> VideoRecognitionReport:
        """All of it."""

        def known(distances: Sequence[float]) -> int:
            return sum(distance < self.network.same_person for distance in distances)

        published = self._distances.get("published", [])
        return VideoRecognitionReport(
            self.network.name,
            self.attacked,
            len(published),
            {name: known(values) for name, values in self._distances.items()},
            None if self._control is None else known(self._control),
            _mean(published) or 0.0,
            self.network.same_person,
        )


def _both(first: Sequence[bool], second: Sequence[bool]) -> int:
    return sum(one and other for one, other in zip(first, second, strict=True))


def _mean(values: Sequence[float]) -> float | None:
    return float(np.mean(values)) if values else None

"""What every cell of an experiment is measured with: fake detectors, a feature network, and who a face looks like."""

from __future__ import annotations

import hashlib
import importlib.util
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from cloak.models import locate, model
from provenance.errors import MissingModelError
from synth.measure.identity import FaceIdentity
from synth.measure.options import ExperimentOptions
from synth.swap.features import DlibFeatures, available

#: Side at which faces are aligned to be measured, pixels.
JUDGED_SIDE = 256
_BATCH = 16
Scores = dict[str, float | None]


@dataclass
class Judge:
    """The same for every cell.

    Attributes:
        features_name: a network's features of aligned faces. It is another one than training looks at, where there is
            one.
        fake_detectors: their names, and a hash of their code and weights.
        scores: asks them about a clip.
        embedder: tells people apart; None where its weights are missing.
        person: ``(128,)`` mean embedding of the person, or None.
        identity: the network that only judges whose face it is; None where no network that can is installed.
        notes: what is not measured, and why.
    """

    features_name: str = "none"
    fake_detectors: dict[str, str] = field(default_factory=dict)
    scores: Callable[[Path], Scores] = lambda _: {}
    embedder: DlibFeatures | None = None
    person: NDArray[np.float64] | None = None
    identity: FaceIdentity | None = None
    notes: list[str] = field(default_factory=list)

    @classmethod
    def installed(cls, options: ExperimentOptions) -> Judge:
        """With all that is installed."""
        names, notes, embedder, identity = fake_detectors(), [], None, None
        if locate(model("dlib-face-recognition"), options.weights) is not None:
            embedder = DlibFeatures(JUDGED_SIDE, options.device)
        try:
            identity = FaceIdentity(options.device, options.weights)
        except MissingModelError:
            notes.append("Identity was not measured: no network that tells people apart is installed.")
        if identity is not None and not identity.independent:
            notes.append(
                "Whose face a fake shows was judged by dlib's network, at which the generator's training may look: "
                "FaceRes, which judges alone, is not installed (`veilmark models get faceres-graph faceres-weights`)."
            )
        if not names:
            notes.append(
                "No fake detector is installed, so nothing is said about how easy fakes are to detect."
            )
        return cls(
            features_name=available()[0],
            fake_detectors=names,
            scores=lambda clip: fake_scores(clip, options.device),
            embedder=embedder,
            identity=identity,
            notes=notes,
        )

    def embedded(self, faces: NDArray[np.uint8]) -> NDArray[np.float64] | None:
        """``(N, 128)`` embeddings of ``(N, 256, 256, 3)`` aligned faces; None without an embedder."""
        if self.embedder is None:
            return None
        device = self.embedder.theta.device
        with torch.no_grad():
            parts = [
                self.embedder.embed(pixels_to_tensor(faces[start : start + _BATCH], device)).cpu()
                for start in range(0, len(faces), _BATCH)
            ]
        return np.asarray(torch.cat(parts).cpu().numpy(), np.float64)

    def fake_measures(self, clip: Path) -> Scores:
        """The scores of a clip by the fake detectors that can tell cloaks apart, named as measures are."""
        from synth.detect.base import NO_MEASURES

        return {
            f"{FAKE_PREFIX}{name}": score
            for name, score in self.scores(clip).items()
            if name not in NO_MEASURES
        }


#: Names of the measures that are fake detectors' scores begin with it.
FAKE_PREFIX = "fake: "


@lru_cache(maxsize=1)
def fake_detectors() -> dict[str, str]:
    """The fake detectors' names, and under ``code`` a hash of their code and weights; empty where there are none."""
    found = importlib.util.find_spec("synth.detect")
    if found is None or found.origin is None or not found.submodule_search_locations:
        return {}
    from synth.detect.base import DETECTORS

    whole = hashlib.sha256()
    for path in sorted(Path(found.origin).parent.rglob("*")):
        if path.suffix in (".py", ".safetensors", ".json"):
            whole.update(path.name.encode() + path.read_bytes())
    return {**DETECTORS, "code": whole.hexdigest()}


def fake_scores(clip: Path, device: str) -> Scores:
    """By fake detector, and ``joint``: 0 (nothing found) to 1 (a fake); None where it could not judge. Empty without
    detectors, or without their weights.
    """
    if not fake_detectors():
        return {}
    from synth.detect import DetectOptions, detect_file

    try:
        found = detect_file(clip, DetectOptions(device=device))
    except MissingModelError:
        return {}
    every = {**found.scores, "joint": found.joint}
    return {name: None if score is None else round(float(score), 5) for name, score in every.items()}


def pixels_to_tensor(pictures: NDArray[np.uint8], device: str | torch.device = "cpu") -> torch.Tensor:
    """``(N, H, W, 3)`` uint8 to ``(N, 3, H, W)`` in [0, 1]."""
    return torch.from_numpy(pictures).to(device).permute(0, 3, 1, 2).float() / 255

"""The trained detectors: loading their weights, and running them on an observed face."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from provenance.errors import CorruptMediaError, MissingModelError
from synth.detect import pulse
from synth.detect.base import DETECTORS, Finding, Line, Plot, bounded, logistic
from synth.detect.calibrate import Joint
from synth.detect.lips import LipModel
from synth.detect.maps import captioned
from synth.detect.networks import svm
from synth.detect.networks.face import SIDE, FaceNet, prepared, saliency
from synth.detect.networks.splice import PATCH, Consistency, SpliceNet, consistency
from synth.detect.observe import FRAMES, REGION_NAMES, TIMELESS, ObservedFace
from synth.detect.pulse_features import FEATURES, WINDOW, windows
from synth.swap.training.checkpoint import load

WEIGHTS = Path(__file__).parent / "weights"
NET_SCHEMA = "veilmark.detect-net/1"
_MOST_JSON = 8 * 1024 * 1024
#: Distance of the eyes in pixels below which a face is too small for the networks.
LEAST_SPAN = 28.0
#: Blur effect, and share of blocks without any change, above which a face is too compressed to judge.
MOST_BLUR, MOST_FROZEN = 0.74, 0.6
_SHOWN_FACES = 4


class LearnedDetectors:
    """All trained detectors, loaded once.

    Args:
        folder: of ``pulse.json``, ``lips.json``, ``warp.safetensors``, ``blend.safetensors``, ``splice.safetensors``
            and ``joint.json``; default: those that come with veilmark.
        device: where torch computes.

    Raises:
        MissingModelError: one is missing.
        CorruptMediaError: one is damaged.
    """

    def __init__(self, folder: Path | None = None, device: Any = "cpu", *, joint: bool = True) -> None:
        self.folder, self.device = folder or WEIGHTS, device
        self.machine = svm.loads(self._text("pulse.json"))
        if self.machine.features != FEATURES:
            raise CorruptMediaError(f"{self.folder / 'pulse.json'} was made for other features")
        self.lips = LipModel.loads(self._text("lips.json"))
        self.faces = {name: self._network(name, FaceNet()) for name in ("warp", "blend")}
        self.splice = self._network("splice", SpliceNet())
        self.joint = Joint.loads(self._text("joint.json")) if joint else None

    def _text(self, name: str) -> bytes:
        path = self.folder / name
        if not path.is_file():
            raise MissingModelError(f"{path} does not exist", hint="install veilmark again")
        if path.stat().st_size > _MOST_JSON:
            raise CorruptMediaError(f"{path} is too large to be what it should be")
        return path.read_bytes()

    def _network(self, name: str, network: nn.Module) -> tuple[Any, float, float]:
        """The network, and slope and offset of its logistic calibration."""
        path = self.folder / f"{name}.safetensors"
        if not path.is_file():
            raise MissingModelError(f"{path} does not exist", hint="install veilmark again")
        tensors, about = load(path, NET_SCHEMA)
        try:
            network.load_state_dict(tensors)
            slope, offset = float(about["slope"]), float(about["offset"])
            if not (math.isfinite(slope) and math.isfinite(offset)):
                raise ValueError("its calibration is not finite")
        except (RuntimeError, KeyError, TypeError, ValueError) as error:
            raise CorruptMediaError(f"{path} is no such network: {str(error)[:200]}") from error
        return network.to(self.device).eval(), slope, offset

    def pulse(self, observed: ObservedFace) -> Finding:
        """Pulse and frame-to-frame consistency: the mean decision over windows of four seconds."""
        if observed.kind != "video" or len(observed.times) < 3:
            return Finding.cannot("a single picture has no pulse")
        if observed.timeless:
            return Finding.cannot(TIMELESS)
        if observed.rate < 12:
            return Finding.cannot(
                f"{observed.rate:.0f} frames a second are too few for a pulse (at least 12)"
            )
        if observed.seconds < WINDOW - 0.2:
            return Finding.cannot(f"too short: {observed.seconds:.1f} s, at least {WINDOW:.0f} s needed")
        if observed.frozen > MOST_FROZEN:
            return Finding.cannot(
                f"too heavily compressed: {observed.frozen:.0%} of the face's blocks do not change between frames"
            )
        parts = windows(observed)
        if not parts:
            return Finding.cannot(f"no {WINDOW:.0f} s in which the face is seen throughout")
        decisions = self.machine.decide(np.stack([values for _, values in parts]))
        mean = float(decisions.mean())
        good = np.isfinite(observed.colours).all((1, 2))
        even = pulse.uniform(observed.colours[good], observed.times[good])
        seconds = len(even) / pulse.RATE
        spectra = [pulse.spectrum(pulse.signal("pos", even[:, region])) for region in range(even.shape[1])]
        whole = pulse.spectrum(pulse.face_signal("pos", even))
        strength = pulse.signal_to_noise(whole, seconds)
        middles = dict(zip(FEATURES, np.mean([values for _, values in parts], axis=0), strict=True))
        rates = ", ".join(f"{60 * one.peak:.0f}" for one in spectra)
        return Finding(
            bounded(logistic(self.machine.slope * mean + self.machine.offset)),
            saw={
                "windows": [
                    [round(start, 2), round(float(value), 4)]
                    for (start, _), value in zip(parts, decisions, strict=True)
                ],
                "beats_per_minute": {"face": round(60 * whole.peak, 1)}
                | {name: round(60 * one.peak, 1) for name, one in zip(REGION_NAMES, spectra, strict=True)},
                "signal_to_noise_db": round(strength, 2),
                "features": {name: round(float(value), 4) for name, value in middles.items()},
            },
            sentence=(
                f"strongest rhythm of three regions at {rates} a minute, together {60 * whole.peak:.0f} at "
                f"{strength:.1f} dB; flicker inside the face {math.exp(middles['flicker over surroundings']):.2f} of "
                "that around it"
            ),
            plots=[
                Plot(
                    "Spectra of the pulse signal (POS)",
                    "beats a minute",
                    "share of the strongest",
                    tuple(
                        Line(name, one.frequency * 60, one.power / max(float(one.power.max()), 1e-12))
                        for name, one in zip((*REGION_NAMES, "whole face"), (*spectra, whole), strict=True)
                    ),
                ),
                Plot(
                    "Departure of each frame from its neighbours",
                    "seconds",
                    "levels of 255",
                    (
                        Line("inside the face", observed.times, observed.flicker[:, 0]),
                        Line("around it", observed.times, observed.flicker[:, 1]),
                    ),
                ),
            ],
        )

    def face(self, name: str, observed: ObservedFace, *, pictures: bool = True) -> Finding:
        """A network's mean logit over the aligned faces; ``name`` is "warp" or "blend"."""
        reason = unfit(observed)
        if reason:
            return Finding.cannot(reason)
        network, slope, offset = self.faces[name]
        batch = prepared(observed.faces, self.device)
        with torch.no_grad():
            logits = network(batch).cpu().numpy().astype(np.float64)
        mean = float(logits.mean())
        maps: dict[str, NDArray[np.uint8]] = {}
        if pictures:
            order = np.argsort(-logits)[:_SHOWN_FACES]
            heat = saliency(network, batch[order.copy()])
            own = [logistic(slope * float(logits[place]) + offset) for place in order]
            maps[f"{name}-saliency"] = captioned(
                f"{name}: {DETECTORS[name]}",
                bounded(logistic(slope * mean + offset)),
                "how much each place speaks for a fake; the brightest of a face is as bright as its own score",
                [_as_seen(observed.faces[place]) for place in order],
                [one * level for one, level in zip(heat, own, strict=True)],
                [
                    f"{level:.2f}" + (f" at {observed.face_times[place]:.1f} s" if observed.rate else "")
                    for place, level in zip(order, own, strict=True)
                ],
            )
        share = float((slope * logits + offset > 0).mean())
        return Finding(
            bounded(logistic(slope * mean + offset)),
            saw={
                "faces": len(logits),
                "logits": [round(float(one), 3) for one in logits],
                "share_suspicious": round(share, 3),
                "eye_distance": round(observed.span, 1),
                "blur": round(observed.blur, 3),
            },
            sentence=f"{share:.0%} of {len(logits)} faces look so to the network; eyes {observed.span:.0f} px apart",
            plots=[
                Plot(
                    f"What the network ({name}) says about faces over time",
                    "seconds",
                    "log-odds",
                    (Line("faces", observed.face_times, slope * logits + offset),),
                )
            ]
            if len(logits) > 1 and not observed.timeless
            else [],
            pictures=maps,
        )

    def consistency(self, observed: ObservedFace, *, pictures: bool = True) -> Finding:
        """Splices: how well the patches of whole frames fall into two groups with different histories."""
        results: list[tuple[Consistency, NDArray[np.uint8], float]] = []
        for number, frame in enumerate(observed.frames[:FRAMES]):
            found = consistency(self.splice[0], frame, self.device)
            if found is None:
                continue
            outline = observed.outlines[number] if number < len(observed.outlines) else None
            results.append((found, frame, 0.0 if outline is None else _in_face(found, outline)))
        if not results:
            return Finding.cannot("too little texture to compare patches")
        value = float(np.median([max(found.contrast, face) for found, _, face in results]))
        best, frame, _ = max(results, key=lambda one: one[0].contrast)
        face = float(np.median([one[2] for one in results]))
        maps: dict[str, NDArray[np.uint8]] = {}
        _, slope, offset = self.splice
        score = bounded(logistic(slope * value + offset))
        if pictures:
            maps["consistency-map"] = captioned(
                f"splice: {DETECTORS['splice']}",
                score,
                "probability of another history than most of the picture has, times the score; other material "
                "(cloth, sky, foliage) is often taken for another history",
                [frame],
                [best.heat(*frame.shape[:2]) * score],
            )
        return Finding(
            score,
            saw={
                "frames": len(results),
                "patches": len(best.boxes),
                "contrast": round(value, 4),
                "face_against_the_rest": round(face, 4),
                "agreement": round(float(best.shared.mean()), 4),
            },
            sentence=(
                f"patches of {PATCH} px agree to {best.shared.mean():.0%}; the two most different groups of them by "
                f"{value:.2f} less than within, the face and the rest by {face:.2f}"
            ),
            pictures=maps,
        )


def unfit(observed: ObservedFace) -> str:
    """Why the faces cannot be judged; empty where they can."""
    if not observed.faces:
        return "no face"
    if observed.span < LEAST_SPAN:
        return f"the face is too small: eyes {observed.span:.0f} px apart, at least {LEAST_SPAN:.0f} needed"
    if observed.blur > MOST_BLUR:
        return f"too blurred or too heavily compressed (blur effect {observed.blur:.2f}, at most {MOST_BLUR})"
    return ""


def _in_face(found: Consistency, outline: NDArray[np.floating]) -> float:
    middles = (found.boxes + PATCH / 2).astype(np.float32)
    hull = cv2.convexHull(np.asarray(outline, np.float32))
    inside = [cv2.pointPolygonTest(hull, (float(x), float(y)), False) >= 0 for x, y in middles]
    return found.between(np.array(inside))


def _as_seen(face: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """The part of an aligned face that the network sees."""
    edge = (face.shape[0] - SIDE) // 2
    return np.ascontiguousarray(face[edge : edge + SIDE, edge : edge + SIDE])

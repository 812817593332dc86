"""What detectors, used as they are, find of the faces under a patch's noise."""

from __future__ import annotations

from collections.abc import Collection, Sequence

import torch
from torch import Tensor

from cloak.attack import transforms
from cloak.attack.conditions import Condition
from cloak.attack.frames import WholeFrame
from cloak.attack.input_policy import input_policy_of
from cloak.attack.task import Task
from cloak.detectors.base import FaceDetector
from cloak.detectors.geometry.matching import faces_found, matches_faces
from cloak.detectors.geometry.rendering import Rendering
from cloak.parallel import map_parallel
from provenance.errors import UsageError


def whole_frame_side(task: Task, detector: FaceDetector) -> int:
    """The side in pixels of the small square on which a detector judges the whole picture; 0 where it is shown a
    patch.
    """
    if task.whole_frame is None or not input_policy_of(detector).whole_frame:
        return 0
    return int(getattr(detector, "side", 0))


def whole_frame_for(task: Task, detector: FaceDetector) -> WholeFrame:
    """The whole picture in the square as this detector pads it; of frames shown in turns, the next one.

    Raises:
        UsageError: the task is a patch without its picture.
    """
    if task.whole_frame is None:
        raise UsageError("this task is a patch without its picture")
    square = task.whole_frame.top_left if input_policy_of(detector).top_left else None
    return (square or task.whole_frame).next_frame()


@torch.no_grad()
def evaluate_noise(
    task: Task,
    noise: Tensor,
    detectors: Sequence[FaceDetector],
    conditions: Sequence[Condition],
    known_unresolved: Collection[tuple[str, str]] = (),
) -> dict[tuple[str, str], bool]:
    """By names of detector and condition: does the detector, used as it is, miss every face?

    Args:
        task, noise, detectors, conditions: what is evaluated.
        known_unresolved: pairs that need not be asked, because they are known to be far from evaded.
    """
    sides = {detector.name: whole_frame_side(task, detector) for detector in detectors}
    needs_change = any(sides.values()) or task.full_frame is not None
    changes = {c.name: encoded_change(task, noise, c) for c in conditions} if needs_change else {}
    picture = Rendering(transforms.quantise(task.clean + noise))
    on_patches = not all(sides.values())
    patches = {
        c.name: [one.render(picture) for one in c.evaluation_transforms if on_patches] for c in conditions
    }
    frames = {
        (d.name, c.name): whole_frame_for(task, d) for d in detectors for c in conditions if sides[d.name]
    }
    full = {c.name: _full_frame(task, changes[c.name], c) for c in conditions if task.full_frame is not None}

    def misses(detector: FaceDetector, rendering: Rendering) -> bool:
        report = detector.for_rendering(rendering).detect(rendering.pixels)[0]
        return not bool(faces_found(report, rendering.boxes(task.faces)).any())

    def evades(detector: FaceDetector, condition: Condition) -> bool:
        pair = (detector.name, condition.name)
        if side := sides[detector.name]:
            shown = frames[pair].show(changes[condition.name], side, condition.downscale)
            return misses(detector, shown.with_pixels(shown.pixels.clamp(0, 1)))
        if pair in known_unresolved:
            return False
        if condition.name in full and not misses(detector, full[condition.name]):
            return False
        policy = input_policy_of(detector)
        return all(
            misses(detector, policy.resize_transform(task.picture_size, shown.affine.scale[0]).render(shown))
            for shown in patches[condition.name]
        )

    def outcomes(detector: FaceDetector) -> dict[tuple[str, str], bool]:
        return {(detector.name, c.name): evades(detector, c) for c in conditions}

    evaded: dict[tuple[str, str], bool] = {}
    for one in map_parallel(outcomes, detectors, device=task.clean.device):
        evaded.update(one)
    return evaded


def missed_decoys(
    task: Task, noise: Tensor, detectors: Sequence[FaceDetector], condition: Condition
) -> dict[str, float]:
    """By detector: the share of the decoy zones in which it, used as it is, reports no face."""
    change = encoded_change(task, noise, condition)
    frames = {d.name: whole_frame_for(task, d) for d in detectors if whole_frame_side(task, d)}

    def share(detector: FaceDetector) -> float:
        if side := whole_frame_side(task, detector):
            shown = frames[detector.name].show(change, side, condition.downscale)
        elif task.full_frame is not None:
            shown = task.full_frame.show(change, condition.downscale)
        else:
            shown = Rendering(task.clean + change)
        reported = detector.for_rendering(shown).detect(transforms.quantise(shown.pixels))[0].boxes
        return float((~matches_faces(reported, shown.boxes(task.zones)).any(0)).float().mean())

    missing = map_parallel(share, detectors, device=task.clean.device)
    return {detector.name: one for detector, one in zip(detectors, missing, strict=True)}


def encoded_change(task: Task, noise: Tensor, condition: Condition) -> Tensor:
    """The change of the patch's pixels, ``(1, 3, H, W)``, that the condition's encoder leaves of the noise."""
    if condition.encode is None:
        return noise
    return condition.encode(transforms.quantise(task.clean + noise)) - task.clean


def _full_frame(task: Task, change: Tensor, condition: Condition) -> Rendering:
    if task.full_frame is None:
        raise UsageError("this task is a patch without its picture")
    shown = task.full_frame.show(change, condition.downscale)
    return shown.with_pixels(transforms.quantise(shown.pixels))

"""What each family of detectors must be shown: a patch, the picture at full resolution, or the whole picture small."""

from __future__ import annotations

import math
from dataclasses import dataclass

from cloak.attack import transforms
from cloak.attack.transforms import Transform
from cloak.detectors.base import FaceDetector


@dataclass(frozen=True)
class InputPolicy:
    """What a family of detectors must be shown, so that its result is that on the whole picture.

    Attributes:
        whole: it shrinks the whole picture to one small square, so it must be shown the whole picture.
        corner: it puts the picture into the corner of that square, not into its middle.
        rounds: what it makes of a face depends on where the picture ends.
        size_multiple: it stretches the whole picture to a multiple of so many pixels a side; 0: it does not.
        fully_convolutional: its convolutions cover the whole of what it is shown, so that a face's place in their maps
            is known.
        fixed_geometry: it knows where in the picture the parts of a face are, so these must stay there.
    """

    whole_frame: bool = False
    top_left: bool = False
    border_sensitive: bool = False
    size_multiple: int = 0
    fully_convolutional: bool = False
    fixed_geometry: bool = False

    def resize_transform(self, picture_size: tuple[float, float] | None, scale: float) -> Transform:
        """What happens to a part of a picture that was ``picture_size`` large before a transform of that ``scale``."""
        if not self.size_multiple or picture_size is None:
            return transforms.identity()
        down, across = (
            math.ceil(side / self.size_multiple) * self.size_multiple / side
            for side in (max(1, round(full * scale)) for full in picture_size)
        )
        return transforms.stretch(down, across, self.size_multiple)


INPUT_POLICIES = {
    "cascade": InputPolicy(border_sensitive=True),
    "centerface": InputPolicy(size_multiple=32, fully_convolutional=True),
    "blazeface": InputPolicy(whole_frame=True, fully_convolutional=True),
    "retinaface": InputPolicy(fully_convolutional=True),
    "tiny-yolo": InputPolicy(whole_frame=True, top_left=True, fully_convolutional=True),
    "ssd": InputPolicy(whole_frame=True, top_left=True, fully_convolutional=True),
    "yunet": InputPolicy(fully_convolutional=True),
    "faceboxes": InputPolicy(fully_convolutional=True),
    "s3fd": InputPolicy(fully_convolutional=True),
    "recognition": InputPolicy(fixed_geometry=True),
}


def input_policy_of(detector: FaceDetector) -> InputPolicy:
    """The policy of the detector's family; by default patches as they are."""
    if box := getattr(detector, "letterbox", ""):
        return InputPolicy(whole_frame=True, top_left=box == "corner", fully_convolutional=True)
    return INPUT_POLICIES.get(detector.family, InputPolicy())

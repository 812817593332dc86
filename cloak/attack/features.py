"""Features of a network's middle layers, and how far noise has changed them.

Networks that were trained on the same task have similar features in their middle layers, even where their last layers
differ. Noise that moves those features away from those of the clean face transfers to other networks better than noise
that only moves scores below a threshold (Ganeshan et al., "FDA: Feature Disruptive Attack", ICCV
2019; Li et al., "FacePoison", for face detectors).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode

#: The part of a network's convolutions, in the order in which they run, that counts as its middle.
_FROM, _UNTIL = 0.25, 0.7
#: At most so many of them are compared, evenly spread; none that is smaller than so many cells.
_MOST_MAPS, _FEWEST_CELLS = 4, 6
#: A map is moved by a share of its own variance; from about this share on, the first pixels of noise count as much as
#: they ever will, so that a loss that starts at no noise has no endless slope.
_FIRST_SHARE = 0.02


class FeatureRecorder(TorchFunctionMode):
    """Inside ``with FeatureRecorder() as maps``, the results of all convolutions ``(B, C, h, w)`` are appended to the
    list ``maps.seen``, whoever makes them.
    """

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[Tensor] = []

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        result = func(*args, **(kwargs or {}))
        if func is torch.conv2d:
            self.seen.append(result)
        return result


def middle_layers(maps: Sequence[Tensor]) -> list[int]:
    """The indices of the feature maps of the middle layers, in the order in which a network makes them."""
    chosen = [
        place
        for place, one in enumerate(maps)
        if _FROM * len(maps) <= place <= _UNTIL * len(maps) and one.shape[-1] >= _FEWEST_CELLS
    ]
    if len(chosen) <= _MOST_MAPS:
        return chosen
    return [chosen[round(part * (len(chosen) - 1) / (_MOST_MAPS - 1))] for part in range(_MOST_MAPS)]


def feature_similarity(
    maps: Sequence[Tensor], clean: Sequence[Tensor], faces: Tensor, size: Sequence[int]
) -> Tensor:
    """How similar the middle layers' features on the faces still are to those of the clean picture.

    Args:
        maps: of the changed picture, from :class:`FeatureRecorder`.
        clean: of the clean picture, shown in the same way.
        faces: ``(N, 4)`` in pixels of the picture.
        size: height and width of the picture, which the maps cover as a whole.

    Returns:
        A scalar: minus the sum over the maps of the logarithm of the mean squared change on the faces, as a share of
        the clean map's variance there; without a gradient where no map covers a face.
    """
    total = faces.new_zeros(())
    for place in middle_layers(maps):
        changed, was = maps[place], clean[place].detach()
        on_faces = _covered(faces, size, changed.shape[-2:])
        if on_faces.sum() < 4:
            continue
        moved = (changed - was)[..., on_faces].square().sum()
        scale = (was - was.mean())[..., on_faces].square().sum().clamp_min(1e-6)
        total = total - (moved / scale + _FIRST_SHARE).log()
    return total


def _covered(faces: Tensor, size: Sequence[int], cells: Sequence[int]) -> Tensor:
    """``(h, w)`` bool: the cells of a map of the whole picture that show part of a face."""
    covered = torch.zeros(*cells, dtype=torch.bool, device=faces.device)
    down, across = cells[0] / size[0], cells[1] / size[1]
    for x1, y1, x2, y2 in faces.tolist():
        top, left = max(0, int(y1 * down)), max(0, int(x1 * across))
        bottom, right = max(top + 1, -int(-y2 * down // 1)), max(left + 1, -int(-x2 * across // 1))
        covered[top:bottom, left:right] = True
    return covered

"""Large pictures are displayed smaller: noise that is searched on a patch must hide the face at that size, too.

A face of a 24-megapixel picture is worked on at up to 208 pixels, but a scraper who shrinks the picture to 1280 pixels
sees it at a third of that, where noise of single pixels is averaged away.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import replace

from cloak.attack import transforms
from cloak.attack.conditions import Condition
from cloak.attack.transforms import Transform

#: Above this scale, the display size is not sampled separately.
_NEGLIGIBLE = 0.8
_SHIFT = (11, 7)


def with_display_scale(conditions: Sequence[Condition], scale: float) -> list[Condition]:
    """The conditions, each at the patch's own size and at the size at which the picture is displayed.

    Args:
        conditions: from :func:`cloak.attack.conditions.publication_conditions`, whose first evaluation transform is the
            encoder's round trip.
        scale: size at which the picture is displayed, divided by the patch's; near 1 or above, nothing changes.
    """
    if scale > _NEGLIGIBLE:
        return list(conditions)
    published = conditions[0].evaluation_transforms[0]
    return [_with_smaller(condition, published, scale) for condition in conditions]


def _with_smaller(condition: Condition, published: Transform, scale: float) -> Condition:
    encoded = transforms.jpeg(75) if condition.name == "jpeg75" else published
    factor = scale / 2 if condition.name == "half" else scale

    def random_transform(rng: random.Random) -> Transform:
        if rng.random() < 0.5:
            return condition.random_transform(rng)
        shifted = encoded.then(transforms.crop_shift(rng.randrange(24), rng.randrange(24)))
        return shifted.then(
            transforms.resize(factor * rng.uniform(0.9, 1.1), mode=rng.choice(("bilinear", "area")))
        )

    downscaled = transforms.resize(factor, mode="area")
    evaluation_transforms = (
        encoded.then(downscaled),
        encoded.then(transforms.crop_shift(*_SHIFT)).then(downscaled),
    )
    return replace(
        condition,
        random_transform=random_transform,
        evaluation_transforms=(*condition.evaluation_transforms[:2], *evaluation_transforms),
    )

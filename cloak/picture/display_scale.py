"""The size at which detectors are shown a picture is another than that at which its faces are worked on.

A face of a 24-megapixel picture is worked on at up to 208 pixels, but a scraper who shrinks the picture to 1280 pixels
sees it at a third of that, where noise of single pixels is averaged away. A face of 400 pixels in a picture of one
megapixel is worked on at 240, but shown as it is.
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
#: So often a view is as large as the picture is displayed, where that is larger than the patch: it costs more.
_LARGE_VIEWS = 0.3
_SHIFT = (11, 7)


def with_display_scale(conditions: Sequence[Condition], scale: float) -> list[Condition]:
    """The conditions, each at the patch's own size and at the size at which the picture is displayed.

    Args:
        conditions: from :func:`cloak.attack.conditions.publication_conditions`, whose first evaluation transform is the
            encoder's round trip.
        scale: size at which the picture is displayed, divided by the patch's; near 1 nothing changes.
    """
    published = conditions[0].evaluation_transforms[0]
    if scale > 1 / _NEGLIGIBLE:
        return [_with_larger(condition, published, scale) for condition in conditions]
    if scale > _NEGLIGIBLE:
        return list(conditions)
    return [_with_smaller(condition, published, scale) for condition in conditions]


def _with_larger(condition: Condition, published: Transform, scale: float) -> Condition:
    """Half of the picture is more than half of the patch, and now and then detectors see the face as large as it is."""
    larger = transforms.resize(scale, mode="bicubic")
    if condition.name == "half":

        def halved(rng: random.Random) -> Transform:
            factor, mode = rng.choice((0.44, 0.5, 0.5, 0.5, 0.58)), rng.choice(("bilinear", "area", "area"))
            smaller = larger.then(_random_shift(rng)).then(transforms.resize(factor, mode=mode))
            return published.then(smaller) if rng.random() < 0.5 else smaller

        half = larger.then(transforms.resize(0.5, mode="area"))
        looks = (published.then(half), published.then(transforms.crop_shift(*_SHIFT)).then(half))
        return replace(condition, random_transform=halved, evaluation_transforms=looks)

    def random_transform(rng: random.Random) -> Transform:
        usual = condition.random_transform(rng)
        return larger.then(usual) if rng.random() < _LARGE_VIEWS else usual

    return replace(condition, random_transform=random_transform)


def _with_smaller(condition: Condition, published: Transform, scale: float) -> Condition:
    encoded = transforms.jpeg(75) if condition.name == "jpeg75" else published
    factor = scale / 2 if condition.name == "half" else scale

    def random_transform(rng: random.Random) -> Transform:
        if rng.random() < 0.5:
            return condition.random_transform(rng)
        shifted = encoded.then(_random_shift(rng))
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


def _random_shift(rng: random.Random) -> Transform:
    return transforms.crop_shift(rng.randrange(24), rng.randrange(24))

"""Large pictures are looked at smaller: what is searched on a patch must hold at that size, too.

A face of a 24-megapixel picture is worked on at up to 208 pixels, but a scraper who shrinks the picture to 1280 pixels
sees it at a third of that, where noise of single pixels is averaged away.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import replace

from cloak.attack import transforms
from cloak.attack.task import Condition
from cloak.attack.transforms import Transform

#: Sizes this near to the patch's own need no attention of their own.
_NEAR = 0.8
_SLIDE = (11, 7)


def also_shown(met: Sequence[Condition], scale: float) -> list[Condition]:
    """The conditions, each met at the patch's own size and at the size at which the picture is shown.

    Args:
        met: from :func:`cloak.attack.task.conditions`, whose first exam is the encoder's round trip.
        scale: size at which the picture is shown, divided by the patch's; near 1 or above, nothing changes.
    """
    if scale > _NEAR:
        return list(met)
    published = met[0].exams[0]
    return [_with_smaller(condition, published, scale) for condition in met]


def _with_smaller(condition: Condition, published: Transform, scale: float) -> Condition:
    encoded = transforms.jpeg(75) if condition.name == "jpeg75" else published
    factor = scale / 2 if condition.name == "half" else scale

    def draw(rng: random.Random) -> Transform:
        if rng.random() < 0.5:
            return condition.draw(rng)
        moved = encoded.then(transforms.shift(rng.randrange(24), rng.randrange(24)))
        return moved.then(
            transforms.resize(factor * rng.uniform(0.9, 1.1), mode=rng.choice(("bilinear", "area")))
        )

    smaller = transforms.resize(factor, mode="area")
    exams = (encoded.then(smaller), encoded.then(transforms.shift(*_SLIDE)).then(smaller))
    return replace(condition, draw=draw, exams=(*condition.exams[:2], *exams))

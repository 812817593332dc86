"""The conditions under which a published picture may reach a detector."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass

from cloak.attack import cleaning, transforms
from cloak.attack.transforms import Transform


@dataclass(frozen=True)
class Condition:
    """A way the published picture may reach a detector.

    Attributes:
        name: what reports call it.
        random_transform: samples a transform of this kind, for a step of the search.
        evaluation_transforms: fixed transforms of this kind; the condition is evaded when a detector misses the faces
            in all of them.
        encode: the encoder's part of it, which keeps the patch's size, for detectors that are shown the whole
            picture; None where there is none.
        downscale: size at which such a detector gets the picture, in shares of its own, before the detector shrinks it.
    """

    name: str
    random_transform: Callable[[random.Random], Transform]
    evaluation_transforms: tuple[Transform, ...]
    encode: Transform | None = None
    downscale: float = 1.0


def publication_conditions(
    quality: int | None, *, subsample: bool = True, max_shift: int = 24
) -> list[Condition]:
    """The three conditions: as published, after JPEG quality 75, and at half size.

    Args:
        quality: the JPEG (or similar) quality the picture is published at; None for lossless.
        subsample: whether that encoder halves the chroma.
        max_shift: detectors sample the picture on grids; the patch slides by up to so many pixels against them, as
            it does when it is looked at inside its picture.
    """
    published = transforms.identity() if quality is None else transforms.jpeg(quality, subsample=subsample)
    recoded = transforms.jpeg(75)
    half, half_by_area = transforms.resize(0.5), transforms.resize(0.5, mode="area")

    def random_shift(rng: random.Random) -> Transform:
        return transforms.crop_shift(rng.randrange(0, max_shift), rng.randrange(0, max_shift))

    def as_published(rng: random.Random) -> Transform:
        return published.then(random_shift(rng))

    def recompressed(rng: random.Random) -> Transform:
        return transforms.jpeg(rng.randrange(60, 86)).then(random_shift(rng))

    def halved(rng: random.Random) -> Transform:
        factor = rng.choice((0.44, 0.5, 0.5, 0.5, 0.5, 0.58))
        smaller = random_shift(rng).then(
            transforms.resize(factor, mode=rng.choice(("bilinear", "area", "area")))
        )
        return published.then(smaller) if rng.random() < 0.5 else smaller

    shifts = [transforms.crop_shift(*(round(max_shift * part) for part in parts)) for parts in _SHIFT_SHARES]
    return [
        Condition(
            "published", as_published, (published, *(published.then(move) for move in shifts)), published
        ),
        Condition("jpeg75", recompressed, (recoded, recoded.then(shifts[0])), published.then(recoded)),
        Condition(
            "half",
            halved,
            (published.then(half_by_area), published.then(shifts[1]).then(half)),
            published,
            0.5,
        ),
    ]


def cleaned(published: Condition, most_blur: float = 2.0) -> Condition:
    """As published, then cleaned of the veil in one of several ways, see :mod:`cloak.attack.cleaning`."""
    first = published.evaluation_transforms[0]

    def random_transform(rng: random.Random) -> Transform:
        return published.random_transform(rng).then(cleaning.random_cleaning(rng, most_blur))

    ways = (transforms.blur(most_blur / 2), cleaning.median3())
    return Condition("cleaned", random_transform, tuple(first.then(way) for way in ways), published.encode)


#: Shifts of the evaluation transforms, across and down, in shares of the largest shift.
_SHIFT_SHARES = ((0.29, 0.63), (0.71, 0.21), (0.5, 0.92))

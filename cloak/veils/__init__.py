"""Ways of changing a picture that look like photography: grain, light, black and white.

Importing this package imports no torch: :func:`veil_of` loads what it needs.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from cloak.veils.names import VeilName

if TYPE_CHECKING:
    from cloak.veils.base import Veil

__all__ = ["VeilName", "veil_of"]


def veil_of(name: VeilName, *, grey: bool = False) -> Veil | None:
    """The renderer of that name; None for plain noise, which is no renderer.

    Args:
        name: which.
        grey: for a picture without colours, which is to stay so.
    """
    from cloak.veils.film import Film
    from cloak.veils.light import Light

    if name is VeilName.FILM:
        return Film(blue=0.0) if grey else Film()
    if name is VeilName.FILM_BW:
        return Film(blue=0.0, name=VeilName.FILM_BW)
    if name is VeilName.LIGHT:
        return Light()
    return None

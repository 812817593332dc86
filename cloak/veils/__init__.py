"""Ways of changing a picture that look like photography: grain, light, black and white.

Importing this package imports no torch: :func:`veil_of` loads what it needs.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from cloak.veils.names import VeilName

if TYPE_CHECKING:
    from cloak.veils.base import Veil

__all__ = ["VeilName", "veil_of"]


def veil_of(name: VeilName) -> Veil | None:
    """The renderer of that name; None for plain noise, which is no renderer."""
    from cloak.veils.film import Film, black_and_white
    from cloak.veils.light import Light

    if name is VeilName.FILM:
        return Film()
    if name is VeilName.FILM_BW:
        return black_and_white()
    if name is VeilName.LIGHT:
        return Light()
    return None

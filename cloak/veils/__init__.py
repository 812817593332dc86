"""Veils: what a cloak looks like. Film grain, black and white film, or light and shadow.

Start with :mod:`cloak.veils.base` (what a veil is) and :mod:`cloak.veils.search` (how its parameters are found).
``film`` and ``light`` are the renderers; ``grain``, ``grey`` and ``background`` are their parts. ``visibility`` says
how much of a veil a person sees, measured with ``flip``. Plain noise is searched in :mod:`cloak.attack`. Importing
this package imports no torch.
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

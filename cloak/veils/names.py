"""The names of the veils; imports nothing heavy."""

from __future__ import annotations

from enum import StrEnum


class VeilName(StrEnum):
    """What a cloak looks like."""

    FILM = "film"
    FILM_BW = "film-bw"
    LIGHT = "light"
    NOISE = "noise"

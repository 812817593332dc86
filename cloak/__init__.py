"""Cloak pictures and videos: hide their faces from face detectors before they are published.

Nothing heavy is imported until a name is used::

    from cloak import CloakOptions, cloak_picture
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from cloak.evaluate.report import CloakReport
    from cloak.options import CloakOptions
    from cloak.picture.pipeline import CloakResult, cloak_bytes, cloak_picture
    from cloak.video.options import VideoOptions
    from cloak.video.pipeline import cloak_video
    from cloak.video.report import VideoReport

_HOMES = {
    "CloakOptions": "cloak.options",
    "CloakReport": "cloak.evaluate.report",
    "CloakResult": "cloak.picture.pipeline",
    "cloak_bytes": "cloak.picture.pipeline",
    "cloak_picture": "cloak.picture.pipeline",
    "VideoOptions": "cloak.video.options",
    "VideoReport": "cloak.video.report",
    "cloak_video": "cloak.video.pipeline",
}
__all__ = [
    "CloakOptions",
    "CloakReport",
    "CloakResult",
    "VideoOptions",
    "VideoReport",
    "cloak_bytes",
    "cloak_picture",
    "cloak_video",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)

"""Cloak pictures and videos: hide their faces from face detectors before they are published.

Nothing heavy is imported until a name is used::

    from cloak import CloakOptions, cloak_picture
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from cloak.image import CloakResult, cloak_bytes, cloak_picture
    from cloak.options import CloakOptions
    from cloak.report import CloakReport
    from cloak.video import cloak_video
    from cloak.video_options import VideoOptions
    from cloak.video_report import VideoReport

_HOMES = {
    "CloakOptions": "cloak.options",
    "CloakReport": "cloak.report",
    "CloakResult": "cloak.image",
    "cloak_bytes": "cloak.image",
    "cloak_picture": "cloak.image",
    "VideoOptions": "cloak.video_options",
    "VideoReport": "cloak.video_report",
    "cloak_video": "cloak.video",
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

"""Cloak pictures and videos: hide their faces from face detectors before they are published.

Start with :func:`publish_file` (publish.py): cloak, sign, link to the original. ``picture`` and ``video`` hold the
pipelines that cloak; ``detectors`` finds faces, ``attack`` searches, ``veils`` says what a cloak looks like,
``evaluate`` judges the result, ``recognition`` is about whose face it is. Nothing heavy is imported until a name is
used::

    from cloak import CloakOptions, PublishRequest, publish_file
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from provenance.lazy import lazy_exports

if TYPE_CHECKING:
    from cloak.evaluate.report import CloakReport as CloakReport
    from cloak.options import CloakOptions as CloakOptions
    from cloak.picture.pipeline import CloakResult as CloakResult
    from cloak.picture.pipeline import cloak_bytes as cloak_bytes
    from cloak.picture.pipeline import cloak_picture as cloak_picture
    from cloak.publish import PublishRequest as PublishRequest
    from cloak.publish import PublishResult as PublishResult
    from cloak.publish import publish_file as publish_file
    from cloak.video.options import VideoOptions as VideoOptions
    from cloak.video.pipeline import cloak_video as cloak_video
    from cloak.video.report import VideoReport as VideoReport

__getattr__, __dir__, __all__ = lazy_exports(
    __name__,
    {
        "CloakOptions": "cloak.options",
        "PublishRequest": "cloak.publish",
        "PublishResult": "cloak.publish",
        "publish_file": "cloak.publish",
        "CloakReport": "cloak.evaluate.report",
        "CloakResult": "cloak.picture.pipeline",
        "cloak_bytes": "cloak.picture.pipeline",
        "cloak_picture": "cloak.picture.pipeline",
        "VideoOptions": "cloak.video.options",
        "VideoReport": "cloak.video.report",
        "cloak_video": "cloak.video.pipeline",
    },
)

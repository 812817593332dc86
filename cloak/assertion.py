"""What a cloaked file's manifest says about its cloak: the assertion ``org.veilmark.cloak``, written and read."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from provenance.errors import UsageError
from provenance.media.formats import detect_format

if TYPE_CHECKING:
    from cloak.options import CloakOptions
    from provenance.manifest.report import ManifestReport

CLOAK_LABEL = "org.veilmark.cloak"
_VERSION = 1
#: How the action is described; all that files say which were cloaked before there was the assertion.
_OLD_DESCRIPTION = "against face detectors"


def cloak_assertion(attacked: Sequence[str], options: CloakOptions) -> dict[str, Any]:
    """The assertion's data.

    Args:
        attacked: names of the detectors that the cloak was made against.
        options: of the cloak.

    Returns:
        ``version`` (1), ``veil`` (the kind of change: ``noise``), ``strength`` (``low``, ``mid`` or ``high``),
        ``levels`` (the L-infinity bound before encoding, in levels of 255), ``attack``, and ``attacked``.
    """
    return {
        "version": _VERSION,
        "veil": "noise",
        "strength": str(options.level),
        "levels": options.level.levels,
        "attack": options.attack,
        "attacked": list(attacked),
    }


def already_cloaked(source: Path) -> bool:
    """Does the file's manifest say that it was cloaked? Nothing is verified, and a stripped file says nothing.

    Raises:
        MediaError: the file cannot be read.
    """
    from provenance.manifest.embed import carries_manifest
    from provenance.manifest.read import read_manifest

    media_type = detect_format(source).mime
    if not carries_manifest(source, media_type):
        return False
    report = read_manifest(source, media_type, anchors_pem=())
    return report is not None and _says_cloaked(report)


def refuse_cloaked(source: Path, options: CloakOptions) -> None:
    """Raise :class:`UsageError` for a file that is cloaked already, unless ``options.again``."""
    if not options.again and already_cloaked(source):
        raise UsageError(
            f"{source} is cloaked already; a second cloak adds visible noise on top",
            hint="cloak the original, or add --again",
        )


def _says_cloaked(report: ManifestReport) -> bool:
    return CLOAK_LABEL in report.assertion_labels or any(
        action["action"] == "c2pa.filtered" and _OLD_DESCRIPTION in action["description"]
        for action in report.actions
    )

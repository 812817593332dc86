"""What a cloaked file's manifest says about its cloak: the assertion ``org.veilmark.cloak``, written and read."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cloak.veils.names import VeilName
from provenance.errors import UsageError
from provenance.media.formats import detect_format

if TYPE_CHECKING:
    from cloak.options import CloakOptions
    from provenance.manifest.report import ManifestReport

CLOAK_LABEL = "org.veilmark.cloak"
_VERSION = 1
#: How the action is described; all that files say which were cloaked before there was the assertion.
_OLD_DESCRIPTION = "against face detectors"


def cloak_assertion(attacked: Sequence[str], options: CloakOptions, veil: VeilName) -> dict[str, Any]:
    """The assertion's data.

    Args:
        attacked: names of the detectors that the cloak was made against.
        options: options of the cloak.
        veil: the veil that was used.

    Returns:
        ``version`` (1), ``veil`` (:class:`VeilName`), ``strength`` (``low``, ``mid`` or ``high``), ``attack``, and
        ``attacked``; for ``noise`` also ``levels`` (the L-infinity bound before encoding, in levels of 255).
    """
    bound = {"levels": options.level.levels} if veil is VeilName.NOISE else {}
    return {
        "version": _VERSION,
        "veil": veil.value,
        "strength": str(options.level),
        **bound,
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

    media = detect_format(source)
    if not carries_manifest(source, media):
        return False
    report = read_manifest(source, media.mime, anchors_pem=())
    return report is not None and _says_cloaked(report)


def refuse_cloaked(source: Path, options: CloakOptions) -> None:
    """Raise :class:`UsageError` for a file that is cloaked already, unless ``options.again``."""
    if not options.again and already_cloaked(source):
        raise UsageError(
            f"{source} is cloaked already; a second cloak is visible on top of the first",
            hint="cloak the original, or add --again",
        )


def _says_cloaked(report: ManifestReport) -> bool:
    return CLOAK_LABEL in report.assertion_labels or any(
        action["action"] == "c2pa.filtered" and _OLD_DESCRIPTION in action["description"]
        for action in report.actions
    )

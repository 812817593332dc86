"""The manifest of a stream: an initialization segment and its fragments (DASH, HLS), checked together."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from provenance.errors import MissingPathError, UsageError
from provenance.manifest.read import read_manifest
from provenance.manifest.report import ManifestReport, ManifestState
from provenance.media.formats import printable_name
from provenance.trust.anchors import Anchors

MAX_FRAGMENTS = 100_000


def fragments_of(patterns: Sequence[str]) -> list[Path]:
    """The files that names, or patterns of names such as ``folder/seg*.m4s``, mean, each once, sorted.

    Raises:
        MissingPathError: a pattern means no file.
        UsageError: more than :data:`MAX_FRAGMENTS`.
    """
    found: set[Path] = set()
    for pattern in patterns:
        plain = Path(pattern)
        named = (
            [plain] if plain.is_file() else [one for one in plain.parent.glob(plain.name) if one.is_file()]
        )
        if not named:
            raise MissingPathError(f"no fragment is called {pattern[:200]!r}")
        found.update(named)
        if len(found) > MAX_FRAGMENTS:
            raise UsageError(f"more than {MAX_FRAGMENTS} fragments", hint="give them in several calls")
    return sorted(found)


def read_fragments(
    path: Path, mime: str, fragments: Sequence[Path], *, anchors_pem: Anchors, online: bool = False
) -> ManifestReport | None:
    """Check the manifest of an initialization segment against fragments, each on its own.

    Args:
        path: the initialization segment.
        fragments: at least one; which are missing cannot be told.

    Returns:
        one report, with the failures of all, or None where the initialization segment has no manifest.

    Raises:
        CheckError: a fragment cannot be read as one.
    """
    whole: ManifestReport | None = None
    for fragment in fragments:
        report = read_manifest(path, mime, anchors_pem=anchors_pem, online=online, fragment=fragment)
        if report is None or report.state is ManifestState.UNSUPPORTED:
            return report
        faults = [replace(one, fragment=printable_name(fragment)) for one in report.failures]
        if whole is None:
            whole = report
            whole.failures = faults
        elif faults:
            whole.failures += faults
            whole.state = ManifestState.INVALID
    return whole

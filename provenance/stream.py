"""Signing a film in fragments: the initialization segment and everything that belongs to it."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from provenance.errors import TamperedError, UsageError
from provenance.identity import certificates
from provenance.manifest.fragment_signer import mark_fragment
from provenance.manifest.fragments import read_fragments
from provenance.manifest.report import ManifestState
from provenance.media.files import refuse_existing
from provenance.media.formats import detect_format
from provenance.sign import SignRequest, SignResult, sign_file
from provenance.trust.anchors import Anchors

if TYPE_CHECKING:
    from provenance.session import Session


def sign_stream(
    start: Path,
    fragments: Sequence[Path],
    folder: Path,
    request: SignRequest,
    session: Session,
    *,
    force: bool = False,
    step: Callable[[str], None] = lambda _: None,
) -> SignResult:
    """Sign an initialization segment with its fragments into a folder, under the same names, and log it.

    Args:
        start: the initialization segment.
        fragments: in order; each gets a box that says which one it is.
        folder: made if it is missing; must not be where the sources are.

    Raises:
        UsageError: no fragments, two of one name, or the folder is that of a source.
        As :func:`provenance.sign.sign_file` otherwise.
    """
    names = [path.name for path in (start, *fragments)]
    if not fragments or len(set(names)) != len(names):
        raise UsageError("the files of a stream need names of their own, and there must be fragments")
    if any(path.parent.resolve() == folder.resolve() for path in (start, *fragments)):
        raise UsageError(f"{folder} holds the film itself", hint="name another folder with -o")
    for name in names:
        refuse_existing(folder / name, force)
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder, prefix=".veilmark-") as scratch:
        marked = [Path(scratch) / path.name for path in fragments]
        for place, (source, target) in enumerate(zip(fragments, marked, strict=True)):
            mark_fragment(source, target, place)
        asked = replace(request, spec=replace(request.spec, fragments=tuple(marked)))
        result = sign_file(start, folder / start.name, asked, session, force=force, step=step)
        step("read back")
        anchors = Anchors.of([certificates.to_pem([session.identity.root])])
        report = read_fragments(result.output, detect_format(start).mime, marked, anchors_pem=anchors)
        if report is None or report.state is not ManifestState.TRUSTED:
            raise TamperedError(f"the signed copy of {start} does not verify with its fragments")
        for path in marked:
            path.replace(folder / path.name)
    return result

"""What ``veilmark cloak`` does with a video."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from cloak.options import CloakOptions
from cloak.signing import check_readers, sign_cloaked
from provenance.commands.console import fraction, note
from provenance.errors import MediaError, VeilmarkError

if TYPE_CHECKING:
    from cloak.video_report import VideoReport
    from provenance.desk import Desk
    from provenance.sealed.keys import EncryptionKey
    from provenance.sign import SignResult


def is_video(source: Path) -> bool:
    """Do the file's bytes say that it is a video? A file that cannot be read is none."""
    from provenance.formats import detect_format

    try:
        return detect_format(source).kind == "video"
    except (MediaError, VeilmarkError):
        return False


def video_target(target: Path) -> Path:
    """A video's name as what will be written of it: what cannot hold H.264 becomes MP4. Other names stay."""
    return target.with_suffix(".mp4") if target.suffix.lower() in (".avi", ".webm") else target


def cloak_one_video(
    source: Path,
    target: Path,
    options: CloakOptions,
    crf: int,
    desk: Desk | None,
    *,
    readers: Sequence[EncryptionKey] | None = None,
    force: bool,
) -> tuple[VideoReport, SignResult | None]:
    """Cloak one video; signed and recorded where there is a desk. An interrupted run goes on the next time.

    Options that say how pictures are encoded do not apply.
    """
    from cloak.video import cloak_video, work_folder
    from cloak.video_options import VideoOptions
    from provenance.atomic import refuse_existing, require_writable
    from provenance.sign import RECEIPT_SUFFIX, check_source, with_suffix_added

    check_source(source)
    check_readers(source, readers)
    if options.quality is not None:
        note("note: --quality is for pictures; a video's quality is its --crf")
    options, video = replace(options, format=None, quality=None), VideoOptions(crf=crf)
    refuse_existing(target, force)
    require_writable(target)
    if desk is None:
        with fraction(f"Cloaking {source.name}") as report:
            return cloak_video(source, target, options, video, force=force, progress=report), None
    refuse_existing(with_suffix_added(target, RECEIPT_SUFFIX), force)
    # beside the output, where there is room for it
    with tempfile.TemporaryDirectory(prefix=".veilmark-", dir=target.parent) as folder:
        unsigned = Path(folder) / f"cloaked{target.suffix}"
        with fraction(f"Cloaking {source.name}") as report:
            result = cloak_video(
                source, unsigned, options, video, work=work_folder(target), force=force, progress=report
            )
        return result, sign_cloaked(source, unsigned, target, desk, readers=readers, force=force)

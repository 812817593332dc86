"""From an original to what is published of it: cloaked, signed, and linked to the original.

:func:`publish_file` is the whole of it for one picture or video; the numbered comments of its two halves,
:func:`prepare_published` and :func:`finish_published`, are the specification.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cloak.assertion import CLOAK_LABEL, cloak_assertion
from cloak.options import CloakOptions
from cloak.video.options import VideoOptions
from provenance.errors import NoFaceError, UsageError
from provenance.manifest.actions import Action
from provenance.manifest.build import AGAINST_DETECTORS
from provenance.manifest.spec import ManifestSpec, Parent
from provenance.media.files import refuse_existing, require_writable, write_bytes
from provenance.media.formats import RECEIPT_SUFFIX, with_suffix_added
from provenance.record import Relation
from provenance.sign import SignRequest, check_source, sign_file

if TYPE_CHECKING:
    from cloak.evaluate.detect import DetectorLoader
    from cloak.evaluate.report import CloakReport
    from cloak.picture.estimate import WorkEstimate
    from cloak.video.report import VideoReport
    from provenance.home import Home
    from provenance.sealed.keys import EncryptionKey
    from provenance.session import Session
    from provenance.sign import SignResult

Progress = Callable[[float], None]
#: What was done to a picture that was made smaller, too.
_SHRUNK = (
    Action("c2pa.resized.proportional"),
    Action("c2pa.filtered", description=AGAINST_DETECTORS),
)
#: Containers that cannot hold H.264 as it is written here; their films become MP4.
_OTHER_CONTAINERS = (".avi", ".webm")


@dataclass(frozen=True)
class PublishRequest:
    """How a file is cloaked for publishing.

    Attributes:
        options: options of the cloak.
        video: further options for a video; a picture ignores them.
        faceless: also write a picture that shows no face: not cloaked, not signed, and without its location.
        receipt: write ``OUTPUT.receipt`` beside what was signed.
        readers: keys for which the signed original is sealed into the store, so that they can restore it, the owner's
            among them; None seals nothing.
    """

    options: CloakOptions = field(default_factory=CloakOptions)
    video: VideoOptions = field(default_factory=VideoOptions)
    faceless: bool = False
    receipt: bool = True
    readers: Sequence[EncryptionKey] | None = None


@dataclass(frozen=True)
class PublishResult:
    """What was written.

    Attributes:
        source, output: files.
        report: what detectors see in the output; None for a picture without a face, which is not cloaked.
        signed: the output's record; None where nothing was signed.
        notes: warnings and remarks for a person, one sentence each.
    """

    source: Path
    output: Path
    report: CloakReport | VideoReport | None
    signed: SignResult | None
    notes: tuple[str, ...] = ()

    @property
    def success(self) -> bool:
        """No attacked detector finds a face in the output as published."""
        return self.report is not None and self.report.success

    def to_json(self) -> dict[str, Any]:
        return {
            "schema": "veilmark.cloaked/1",
            "source": str(self.source),
            "output": str(self.output),
            "report": self.report.to_json() if self.report else None,
            "signed": self.signed.to_json() if self.signed else None,
        }


@dataclass(frozen=True)
class Prepared:
    """A file that was cloaked and judged, and waits to be signed and put in its place.

    Attributes:
        source, output: files.
        report: what detectors see in it; None for a picture without a face.
        encoded: a picture as it will be written; None for a video.
        folder: where a video waits, beside its place; None where it is in its place, for nobody signs it.
        notes: remarks for a person.
        shrunk: a picture was made smaller first.
    """

    source: Path
    output: Path
    report: CloakReport | VideoReport | None
    encoded: bytes | None = field(default=None, repr=False)
    folder: Path | None = None
    notes: tuple[str, ...] = ()
    shrunk: bool = False

    @property
    def unsigned(self) -> Path:
        """The video that waits."""
        return (self.folder or self.output.parent) / f"cloaked{self.output.suffix}"

    def drop(self) -> None:
        """Remove what waits beside its place."""
        if self.folder is not None:
            shutil.rmtree(self.folder, ignore_errors=True)


def video_target(target: Path) -> Path:
    """A video's name as what will be written of it: what cannot hold H.264 becomes MP4. Other names stay."""
    return target.with_suffix(".mp4") if target.suffix.lower() in _OTHER_CONTAINERS else target


def published_as(source: Path, wanted: str | None = None) -> Path:
    """The source's path, with the suffix of what will be written of it.

    Args:
        wanted: a picture's format; None keeps the source's where it can be written.

    Raises:
        UsageError: the wanted format cannot be written.
        MediaError: the source cannot be read.
    """
    from cloak.picture.output_format import output_name

    return video_target(output_name(source, wanted))


def publish_file(
    source: Path,
    output: Path,
    request: PublishRequest | None = None,
    session: Session | None = None,
    *,
    home: Home | None = None,
    force: bool = False,
    progress: Progress | None = None,
    on_estimate: Callable[[WorkEstimate], None] | None = None,
    loader: DetectorLoader | None = None,
) -> PublishResult:
    """Cloak ``source``, and write the result to ``output``: signed, recorded, and naming the original as its parent.

    Nothing appears under ``output`` before it is cloaked, judged and signed. The original is not changed, and nothing
    of it but its name, its instance id and its hash goes into the result.

    Args:
        source: a picture or a video.
        output: its suffix names a video's container, and a picture's format unless ``request.options.format`` does.
        request: see there; the default cloaks at ``mid`` against every detector that is installed.
        session: the session that signs and records; None writes the result unsigned.
        home: its ledger is searched for the source, which may be a recorded cloak that lost its manifest. Default: the
            session's home; without either, no ledger is searched.
        force: overwrite outputs that exist.
        progress: called with the share of the work done, in [0, 1].
        on_estimate: called with the estimated work before it begins.
        loader: loaded detectors, shared by several pictures; None loads them here.

    Returns:
        What was written; ``success`` is false where an attacked detector still finds a face, which is no error.

    Raises:
        NoFaceError: no detector finds a face, and ``request.faceless`` is false; nothing is written.
        UsageError: it is cloaked already, or options that do not fit it; to be sealed, but not signed.
        MissingPathError, MediaError: the source cannot be read.
        OutputExistsError, NotWritableError: the output cannot be written.
        MissingModelError: a detector's weights are not on this machine.
    """
    request = request or PublishRequest()
    prepared = prepare_published(
        source,
        output,
        request,
        signing=session is not None,
        home=home or (session.home if session else None),
        force=force,
        progress=progress,
        on_estimate=on_estimate,
        loader=loader,
    )
    return finish_published(prepared, request, session, force=force)


def prepare_published(
    source: Path,
    output: Path,
    request: PublishRequest,
    *,
    signing: bool,
    home: Home | None = None,
    force: bool = False,
    progress: Progress | None = None,
    on_estimate: Callable[[WorkEstimate], None] | None = None,
    loader: DetectorLoader | None = None,
) -> Prepared:
    """Steps 1 to 3 of :func:`publish_file`, which need no key; :func:`finish_published` is the fourth.

    Args:
        signing: whether somebody will sign; without, a video goes into its place at once.
        home: see there, as for everything else.
    """
    # 1. Check everything that can fail, before any work.
    media = check_source(source)
    refuse_existing(output, force)
    require_writable(output)
    if signing and request.receipt:
        refuse_existing(with_suffix_added(output, RECEIPT_SUFFIX), force)
    if request.readers is not None:
        _require_sealable(source, signing)
    if media.kind == "video":
        return _prepare_video(source, output, request, signing, force, progress)

    options = _named_format(request.options, source, output)

    # 2. A recorded cloak that lost its manifest is not cloaked twice. (One that has it is refused in step 3.)
    if home and not options.again:
        from cloak.picture.recorded import refuse_recorded

        refuse_recorded(source, home)

    # 3. Cloak: search, encode, decode, judge.
    from cloak.picture.pipeline import cloak_file

    try:
        cloaked = cloak_file(source, options, progress=progress, on_estimate=on_estimate, loader=loader)
    except NoFaceError as error:
        return _without_face(source, output, options, request.faceless, home, error)
    shrunk = cloaked.report.shrunk_from is not None
    return Prepared(source, output, cloaked.report, cloaked.encoded, shrunk=shrunk)


def finish_published(
    prepared: Prepared, request: PublishRequest, session: Session | None, *, force: bool = False
) -> PublishResult:
    """Step 4 of :func:`publish_file`: sign what was prepared, record it, and put it in its place.

    Args:
        session: None where it was prepared without ``signing``.
    """
    source, output, report = prepared.source, prepared.output, prepared.report
    try:
        if session is None or report is None:
            if prepared.encoded is not None:
                write_bytes(output, prepared.encoded, force=force)
            return PublishResult(source, output, report, None, prepared.notes)

        # 4. Sign and record, with what was done as an assertion, and the original as the parent.
        if prepared.encoded is None:
            signed = _signed(prepared, prepared.unsigned, report, request, session, force)
        else:
            with tempfile.TemporaryDirectory(prefix="veilmark-") as folder:
                unsigned = Path(folder) / f"cloaked{output.suffix}"
                unsigned.write_bytes(prepared.encoded)
                signed = _signed(prepared, unsigned, report, request, session, force)
        return PublishResult(source, output, report, signed, prepared.notes)
    finally:
        prepared.drop()


def _named_format(options: CloakOptions, source: Path, output: Path) -> CloakOptions:
    """The options with the format that the output's name announces, where none is chosen."""
    from cloak.picture.output_format import choose_format

    if options.format is not None or not output.suffix:
        return options
    try:
        return replace(options, format=choose_format("", output.suffix))
    except UsageError:
        # what is wrong with the source itself comes first: another name would not help an animation
        from cloak.picture.pipeline import refuse_animated
        from provenance.media.picture import open_picture

        refuse_animated(open_picture(source))
        raise


def _prepare_video(
    source: Path,
    output: Path,
    request: PublishRequest,
    signing: bool,
    force: bool,
    progress: Progress | None,
) -> Prepared:
    """Step 3 for a video, whose state lies beside the output: an interrupted run goes on the next time."""
    from cloak.video.pipeline import cloak_video, work_folder

    notes: tuple[str, ...] = ()
    if request.options.quality is not None:
        notes = ("the quality is for pictures; a video has a constant rate factor (--crf) instead",)
    if request.options.longest is not None:
        notes = (*notes, "only pictures are made smaller; the video keeps its size")
    options = replace(request.options, format=None, quality=None, longest=None)
    if not signing:
        report = cloak_video(source, output, options, request.video, force=force, progress=progress)
        return Prepared(source, output, report, notes=notes)
    work = work_folder(output)
    # beside the output, where there is room for it
    folder = Path(tempfile.mkdtemp(prefix=".veilmark-", dir=output.parent))
    waiting = Prepared(source, output, None, folder=folder, notes=notes)
    try:
        report = cloak_video(
            source, waiting.unsigned, options, request.video, work=work, force=force, progress=progress
        )
    except BaseException:
        waiting.drop()
        raise
    return replace(waiting, report=report)


def _signed(
    prepared: Prepared,
    unsigned: Path,
    report: CloakReport | VideoReport,
    request: PublishRequest,
    session: Session,
    force: bool,
) -> SignResult:
    source, output, options = prepared.source, prepared.output, request.options
    attacked = [one.name for one in report.detectors if one.attacked]
    said = cloak_assertion(attacked, options, options.chosen_veil)
    spec = ManifestSpec(
        relation=Relation.CLOAKED,
        parents=(Parent(source, embed=False),),
        actions=_SHRUNK if prepared.shrunk else (),
        extra_assertions=((CLOAK_LABEL, said),),
    )
    signing = SignRequest(spec, receipt=request.receipt)
    if request.readers is None:
        signed = sign_file(unsigned, output, signing, session, force=force)
    else:
        from provenance.sealed.seal import sign_sealed

        signed = sign_sealed(
            unsigned, output, signing, session, original=source, readers=request.readers, force=force
        )
    return replace(signed, source=source)


def _require_sealable(source: Path, signing: bool) -> None:
    from provenance.sealed.seal import require_sealable

    if not signing:
        raise UsageError(
            "a sealed original is named in the manifest of the result, which must be signed for that",
            hint="leave out --no-sign",
        )
    require_sealable(source)


def _without_face(
    source: Path,
    output: Path,
    options: CloakOptions,
    faceless: bool,
    home: Home | None,
    error: NoFaceError,
) -> Prepared:
    """A picture without a face: written uncloaked if the caller asked for that. It may be a successful cloak."""
    from cloak.picture.pipeline import encode_uncloaked
    from cloak.picture.recorded import explain_no_face

    reason = explain_no_face(source, home) if home else None
    if not faceless:
        raise NoFaceError(f"{error} ({reason})" if reason else str(error), hint=error.hint) from error
    notes = (reason,) if reason else ()
    return Prepared(source, output, None, encode_uncloaked(source, options), notes=notes)

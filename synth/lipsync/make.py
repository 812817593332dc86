"""A lip-sync from a target and a sound to a labelled film: consent, generate, label, record.

:func:`make_lipsync` is the only way to one; its numbered comments are the specification.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from cloak.video.write import container_for
from provenance.errors import NotWritableError, OutputExistsError, UnknownFormatError
from provenance.home import Home
from provenance.identity.certificates import printable
from provenance.interrupt import ending_cleanly
from provenance.media.files import refuse_existing, require_writable
from provenance.media.formats import detect_format
from provenance.session import Session
from provenance.sign import SignResult
from synth.consent.permission import carried_permission, permission_for
from synth.consent.statement import read_statement
from synth.label import Generated, label_generated
from synth.lipsync.mouth.adapt import PRIOR
from synth.lipsync.mouth.model import MouthModel, load_mouth
from synth.lipsync.pipeline import LipsyncOptions, LipsyncReport, StageProgress, _render_lipsync
from synth.lipsync.stage_recorder import RECORD_NAMES, StageRecorder
from synth.lipsync.workspace import Workspace
from synth.quarantine import quarantine

Passphrase = Callable[[str], str | None]


@dataclass(frozen=True)
class LipsyncRequest:
    """How a lip-sync is made, and on which basis.

    Attributes:
        options: of the generator.
        consent: files with statements of consent by the footage's owner.
        declared: the person who calls declares that the people shown and heard agreed; opens only footage that nobody
            signed, and is said in the result.
        online: allow fetching manifests that lie at a URL.
        keep: a folder to write into what each stage found; all frames are made anew then.
        work: where landmarks and mouth models are kept between runs; default the state folder.
    """

    options: LipsyncOptions = field(default_factory=LipsyncOptions)
    consent: tuple[Path, ...] = ()
    declared: bool = False
    online: bool = False
    keep: Path | None = None
    work: Path | None = None


@dataclass(frozen=True)
class LipsyncResult:
    """What was made: the labelled film, the generator's report, the record, and whether it carries the visible mark."""

    output: Path
    report: LipsyncReport
    signed: SignResult
    marked: bool

    def to_json(self) -> dict[str, Any]:
        return {
            "schema": "veilmark.lipsynced/1",
            **self.report.to_json(),
            "output": str(self.output),
            "marked": self.marked,
            "entry": self.signed.index,
        }


def make_lipsync(
    target: Path,
    sound: Path,
    output: Path,
    request: LipsyncRequest,
    session: Session,
    *,
    force: bool = False,
    passphrase: Passphrase = lambda _: None,
    progress: StageProgress | None = None,
    stop: Callable[[], bool] | None = None,
    warn: Callable[[str], None] | None = None,
) -> LipsyncResult | None:
    """Let the person in a video say a sound. The result is signed as synthetic media, names its target and its sound,
    says under which consent, and is recorded. It lasts as long as the sound.

    Nothing appears under ``output`` before it is labelled, and nothing unlabelled in its folder; what was generated is
    deleted when anything fails.

    Args:
        target: a video of one person who speaks.
        sound: a sound file, or a video whose sound is meant.
        output: .mp4, .m4v, .mov or .mkv.
        request: see there.
        session: signs and records.
        force: overwrite outputs that exist.
        passphrase: for the identity of the given name, where its key is encrypted and has to prove that footage is
            this machine's own.
        progress: called with the stage (one of :data:`synth.lipsync.pipeline.STAGES`) and its share done, in [0, 1].
        stop: asked often; when it says yes the state is kept, and the next call goes on from there.
        warn: called with each known weakness of the input before the mouth is trained; the report repeats it.

    Returns:
        What was made; None where ``stop`` ended it.

    Raises:
        ConsentError: an owner, or whoever the mouth model learned from, forbids it, or nobody said that it is allowed.
        NoFaceError, UsageError: a target that shows too little of a face; options that make no sense.
        MissingPathError, MediaError: something that cannot be read, or that is too long.
        OutputExistsError, NotWritableError: an output cannot be written.
    """
    options, home = request.options, session.home
    # 1. Everything that can be wrong, before any work.
    refuse_existing(output, force)
    container_for(output)
    options.check()
    _require_kind(target, ("video",), "a video of one person who speaks")
    _require_kind(sound, ("audio", "video"), "a sound, or a video with sound")
    start = load_mouth(options.prior) if options.prior not in (None, PRIOR) else None

    # 2. Consent: for the target, for the voice, and again for everybody whom the mouth model learned from.
    basis = permission_for(
        [target, sound],
        home,
        statements=[read_statement(path) for path in request.consent],
        declared=request.declared,
        passphrase=passphrase,
        online=request.online,
    )
    statement = _statement(basis.sentence, start, home)
    about = Generated(
        "veilmark synth lipsync", [target, sound], composite=True, consent=statement, seed=options.mouth.seed
    )
    require_writable(output)
    if request.keep:
        _require_free(request.keep, force)

    # 3. Generate, in quarantine.
    workspace = Workspace(request.work or home.data / "lipsync")
    with ending_cleanly(), quarantine(home) as private:
        recorder = None
        if request.keep:
            recorder = StageRecorder(
                request.keep,
                private,
                lambda one, place: label_generated(one, place, about, session, force=True),
            )
        made = private.place(f"said{output.suffix.lower()}")
        report = _render_lipsync(
            target,
            sound,
            made,
            options,
            workspace,
            progress=progress,
            stop=stop,
            recorder=recorder,
            warn=warn,
        )
        if report is None:
            return None

        # 4. Label and record: the only door out, also for what was kept of the stages.
        if recorder:
            recorder.close()
        signed = label_generated(made, output, about, session, force=force)
    return LipsyncResult(output, report, signed, options.mark)


def _require_kind(path: Path, kinds: tuple[str, ...], wanted: str) -> None:
    """Raise UnknownFormatError for a file of another kind, by its first bytes, so before anything is decoded."""
    media = detect_format(path)
    if media.kind not in kinds:
        raise UnknownFormatError(f"{path} is {media.name}, expected {wanted}", hint="name another file")


def _statement(sentence: str, start: MouthModel | None, home: Home) -> str:
    """What the label says about consent; that of the people behind a mouth model is checked again."""
    if start is None:
        return f"Target and sound: {sentence}"
    carried = start.notes.get("consent")
    behind = carried_permission(carried if isinstance(carried, dict) else {}, home)
    return printable(f"Target and sound: {sentence}. Mouth model: {behind}", 4000)


def _require_free(folder: Path, force: bool) -> None:
    """Raise where what stages find would replace somebody's file, or cannot be written there."""
    if folder.exists() and not folder.is_dir():
        raise NotWritableError(f"{folder} is no folder", hint="give --keep another name")
    there = [name for name in RECORD_NAMES if (folder / name).exists()]
    if there and not force:
        raise OutputExistsError(
            f"{folder / there[0]} exists", hint="add --force, or give --keep another name"
        )

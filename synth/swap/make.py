"""A face swap from footage to a labelled file: consent, generate, label, record.

:func:`make_swap` is the only way to one; its numbered comments are the specification.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from cloak.video.write import container_for
from provenance.errors import UsageError
from provenance.interrupt import ending_cleanly
from provenance.media.files import refuse_existing, require_writable
from provenance.media.picture import detect_format
from provenance.session import Session
from provenance.sign import SignResult
from synth.consent.permission import carried_permission, permission_for
from synth.consent.statement import read_statement
from synth.extraction.embedding import DlibEmbedder
from synth.extraction.finder import FaceFinder
from synth.label import Generated, label_generated
from synth.quarantine import quarantine
from synth.swap.conversion.convert import ConvertOptions, Swapper, learned_from, model_summary
from synth.swap.conversion.face_selector import FaceSelector
from synth.swap.conversion.footage import SwapReport, _render_picture, _render_video
from synth.swap.training.checkpoint import load_model, model_file

Passphrase = Callable[[str], str | None]


@dataclass(frozen=True)
class SwapRequest:
    """How a face is swapped, and on which basis.

    Attributes:
        model: a folder that ``veilmark synth train`` wrote.
        options: whose face it becomes, and how it is put into a frame.
        reference: a picture of whose face is replaced; without it the largest, then the one nearest to where it was.
        consent: files with statements of consent by the footage's owner.
        declared: the person who calls declares that the people shown agreed; opens only footage that nobody signed,
            and is said in the result.
        online: allow fetching manifests that lie at a URL.
        visible_mark: draw the word SYNTHETIC into each frame.
        weights: a folder with weights to look in first.
        device: where torch computes, ``cpu`` or ``cuda``.
    """

    model: Path
    options: ConvertOptions = field(default_factory=ConvertOptions)
    reference: Path | None = None
    consent: tuple[Path, ...] = ()
    declared: bool = False
    online: bool = False
    visible_mark: bool = True
    weights: Path | None = None
    device: str = "cpu"


@dataclass(frozen=True)
class SwapResult:
    """What was made.

    Attributes:
        output: the labelled file.
        report: frames, and in how many a face was replaced.
        signed: its record.
        to: whose face it is now. marked: it carries the visible mark.
        notes: what a person should know.
    """

    output: Path
    report: SwapReport
    signed: SignResult
    to: str
    marked: bool
    notes: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        return {
            "schema": "veilmark.swapped/1",
            **self.report.to_json(),
            "output": str(self.output),
            "to": self.to,
            "marked": self.marked,
            "entry": self.signed.index,
        }


def make_swap(
    footage: Path,
    output: Path,
    request: SwapRequest,
    session: Session,
    *,
    force: bool = False,
    passphrase: Passphrase = lambda _: None,
    progress: Callable[[float], None] | None = None,
) -> SwapResult:
    """Replace a face in a picture or a video. The result is signed as synthetic media, names its footage, its model and
    what that learned from, says under which consent, and is recorded.

    Nothing appears under ``output`` before it is labelled, and nothing unlabelled in its folder; what was generated is
    deleted when anything fails.

    Args:
        footage: a picture, or a video.
        output: .png or .jpg for a picture; .mp4, .m4v, .mov or .mkv for a video.
        request: see there.
        session: signs and records.
        force: overwrite an output that exists.
        passphrase: for the identity of the given name, where its key is encrypted and has to prove that footage is
            this machine's own.
        progress: called with the share of the work done, in [0, 1]; of a picture it is told nothing.

    Raises:
        ConsentError: the footage's owner, or whoever the model learned from, forbids it, or nobody said that it is
            allowed.
        NoFaceError: no face, or not the one that is meant.
        UsageError: options that make no sense, or an output that cannot be written.
        MissingPathError, MediaError: something that cannot be read.
        OutputExistsError, NotWritableError: the output cannot be written.
        MissingModelError: weights are not on this machine.
    """
    # 1. Everything that can be wrong, before any work.
    refuse_existing(output, force)
    request.options.check()
    picture = detect_format(footage).kind == "image"
    suffix = _suffix(output, picture)
    generator, origin = load_model(request.model, request.device)
    swapper = Swapper(generator, request.options, request.device)

    # 2. Consent: for the footage, and again for everybody whose face the model learned.
    basis = permission_for(
        [footage],
        session.home,
        statements=[read_statement(path) for path in request.consent],
        declared=request.declared,
        passphrase=passphrase,
        online=request.online,
    )
    said = [
        f"{side}: {carried_permission(one, session.home)}" for side, one in sorted(origin.consent.items())
    ]
    statement = (
        f"{model_summary(origin, request.options.to)}. Footage: {basis.sentence}. Faces: {'; '.join(said)}"
    )
    require_writable(output)

    # 3. Whose face is replaced.
    finder = FaceFinder(device=request.device, weights_dir=request.weights)
    selector = FaceSelector()
    if request.reference is not None:
        selector = FaceSelector.of_picture(
            request.reference, finder, DlibEmbedder(request.device, request.weights)
        )

    # 4. Generate, in quarantine.
    mark = request.visible_mark
    with ending_cleanly(), quarantine(session.home) as private:
        made = private.place(f"swapped{suffix}")
        if picture:
            report = _render_picture(footage, made, swapper, finder, mark=mark, selector=selector)
        else:
            report = _render_video(
                footage, made, swapper, finder, mark=mark, selector=selector, progress=progress
            )

        # 5. Label and record: the only door out.
        about = Generated(
            "veilmark synth swap",
            [footage, model_file(request.model)],
            composite=True,
            consent=statement,
            seed=origin.seed,
            learned_from=learned_from(origin),
        )
        signed = label_generated(made, output, about, session, force=force)
    return SwapResult(
        output, report, signed, request.options.to, mark, _notes(footage, report, picture, request)
    )


def _notes(footage: Path, report: SwapReport, picture: bool, request: SwapRequest) -> tuple[str, ...]:
    notes = []
    if report.with_several:
        taken = (
            "the one most like the reference was taken"
            if request.reference
            else "the largest, then the one nearest to it, was taken; --reference PICTURE says whose it shall be"
        )
        several = "the picture shows" if picture else f"{report.with_several} frames show"
        notes.append(f"{several} more than one face; {taken}")
    if report.damaged:
        frames = "1 frame" if report.damaged == 1 else f"{report.damaged} frames"
        notes.append(f"{footage.name} is damaged: {frames} of it are missing, or mended by the decoder")
    return tuple(notes)


def _suffix(output: Path, picture: bool) -> str:
    """The output's suffix, checked before work begins."""
    suffix = output.suffix.lower()
    if not picture:
        container_for(output)
    elif suffix not in (".png", ".jpg", ".jpeg"):
        raise UsageError(f"cannot write {suffix or output.name!r}", hint="end the output in .png or .jpg")
    return suffix

"""Swap a face or lead a mouth, to measure; what is made leaves labelled."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Unpack

from provenance.extras import naming_extras
from veilmark.choices import ConvertChoices, StrPath
from veilmark.handle import Handle, Progress, as_path, known_options, usable

if TYPE_CHECKING:
    from synth.lipsync.make import LipsyncResult
    from synth.lipsync.pipeline import LipsyncOptions
    from synth.swap.make import SwapResult


class Generating(Handle):
    """The methods that generate."""

    @naming_extras
    def make_swap(
        self,
        footage: StrPath,
        output: StrPath,
        *,
        model: StrPath,
        reference: StrPath | None = None,
        consent: Sequence[StrPath] = (),
        i_have_consent: bool = False,
        visible_mark: bool = True,
        online: bool = False,
        weights: StrPath | None = None,
        device: str = "cpu",
        force: bool = False,
        progress: Progress | None = None,
        **options: Unpack[ConvertChoices],
    ) -> SwapResult:
        """Replace a face, to measure. The result is signed as synthetic media, names its footage, and is recorded.

        Args:
            footage: a picture, or a video.
            output: .png or .jpg for a picture; .mp4, .m4v, .mov or .mkv for a video.
            model: a folder that ``veilmark synth train`` wrote.
            reference: a picture of whose face is replaced; default the largest face, then the one nearest to it.
            consent: files with statements of consent by the footage's owner.
            i_have_consent: declare that the people shown agreed; opens only footage that nobody signed, and the
                result says so.
            visible_mark: draw the word SYNTHETIC into each frame.
            online: allow fetching manifests that lie at a URL.
            **options: of :class:`synth.swap.conversion.convert.ConvertOptions`, such as ``to="a"``.

        Raises:
            ConsentError: an owner forbids it, or nobody said that it is allowed.
            NoFaceError: no face.
            NotInitializedError, IdentityError: nothing leaves without a label, which must be signed.
            VeilmarkError: also UsageError, MissingPathError, MediaError, OutputExistsError, NotWritableError,
                MissingModelError.
        """
        from synth.swap.conversion.convert import ConvertOptions
        from synth.swap.make import SwapRequest, make_swap

        request = SwapRequest(
            Path(model),
            ConvertOptions(**known_options(ConvertOptions, options)),
            reference=as_path(reference),
            consent=tuple(Path(one) for one in consent),
            declared=i_have_consent,
            online=online,
            visible_mark=visible_mark,
            weights=as_path(weights),
            device=usable(device),
        )
        return make_swap(
            Path(footage),
            Path(output),
            request,
            self._session(),
            force=force,
            passphrase=lambda _: self._passphrase,
            progress=progress,
        )

    @naming_extras
    def make_lipsync(
        self,
        target: StrPath,
        sound: StrPath,
        output: StrPath,
        *,
        options: LipsyncOptions | None = None,
        consent: Sequence[StrPath] = (),
        i_have_consent: bool = False,
        keep: StrPath | None = None,
        work: StrPath | None = None,
        online: bool = False,
        force: bool = False,
        progress: Callable[[str, float], None] | None = None,
    ) -> LipsyncResult:
        """Let the person in a video say a sound, to measure or to dub with consent. The result is signed as synthetic
        media, names its target and its sound, and is recorded.

        Args:
            target: a video of one person who speaks.
            sound: a sound file, or a video whose sound is meant.
            output: .mp4, .m4v, .mov or .mkv.
            options: of the generator.
            consent, i_have_consent, online, force: see :meth:`make_swap`.
            keep: a folder to write into what each stage found.
            work: where landmarks and mouth models are kept between runs; default veilmark's state folder.
            progress: called with the stage and its share done, in [0, 1].

        Raises:
            VeilmarkError: one of ConsentError, NoFaceError, NotInitializedError, IdentityError, UsageError,
                MissingPathError, MediaError, OutputExistsError, NotWritableError, MissingModelError.
        """
        from synth.lipsync.make import LipsyncRequest, make_lipsync
        from synth.lipsync.pipeline import LipsyncOptions

        request = LipsyncRequest(
            options or LipsyncOptions(),
            consent=tuple(Path(one) for one in consent),
            declared=i_have_consent,
            online=online,
            keep=as_path(keep),
            work=as_path(work),
        )
        made = make_lipsync(
            Path(target),
            Path(sound),
            Path(output),
            request,
            self._session(),
            force=force,
            passphrase=lambda _: self._passphrase,
            progress=progress,
        )
        assert made is not None  # noqa: S101 - nobody asked it to stop
        return made

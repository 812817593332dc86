"""Detect fakes, and measure what a cloak is worth."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Unpack

from provenance.extras import naming_extras
from veilmark.choices import MeasureChoices, StrPath
from veilmark.handle import Handle, Progress, as_path, known_options, usable

if TYPE_CHECKING:
    from provenance.session import Session
    from synth.detect.run import Detection
    from synth.measure.run import ConsentBasis, Listener, Measured


class Measuring(Handle):
    """The methods that measure."""

    @naming_extras
    def detect(
        self,
        path: StrPath,
        *,
        detectors: Sequence[str] | None = None,
        max_seconds: float = 30.0,
        weights: StrPath | None = None,
        device: str = "cpu",
        progress: Progress | None = None,
    ) -> Detection:
        """What six small fake detectors say about a picture or a video. A score is no verdict.

        Args:
            detectors: ``blink``, ``pulse``, ``lips``, ``warp``, ``blend``, ``splice``; default all.
            max_seconds: how much of a video is looked at, 0.1 to 600.
            weights: a folder with face detectors' weights to look in first.
            device: where torch computes, ``cpu`` or ``cuda``.

        Raises:
            VeilmarkError: one of UsageError, MissingPathError, MediaError, MissingModelError.
        """
        from synth.detect.base import DETECTORS
        from synth.detect.run import DetectOptions, detect_file

        options = DetectOptions(
            tuple(DETECTORS if detectors is None else detectors),
            max_seconds=max_seconds,
            weights_dir=as_path(weights),
            device=usable(device),
        )
        return detect_file(Path(path), options, progress=progress)

    @naming_extras
    def measure(
        self,
        paths: StrPath | Sequence[StrPath],
        output: StrPath,
        *,
        cloaked: Sequence[StrPath] = (),
        strengths: Sequence[str] = ("mid",),
        veil: str = "film",
        detectors: Sequence[str] | None = None,
        steps: int = 60,
        seed: int = 0,
        control: bool = True,
        pictures: bool = True,
        weights: StrPath | None = None,
        device: str = "cpu",
        progress: Progress | None = None,
    ) -> Measured:
        """What every installed face detector sees of pictures, clean and cloaked, after what published pictures go
        through; written as a page and a JSON file. An interrupted one goes on with the next picture.

        Args:
            paths: pictures, or folders of them: the originals.
            output: a folder for the report; it holds the pictures, too.
            cloaked: their cloaked copies, where they exist; without them they are cloaked here.
            strengths: at which to cloak.
            veil: what the cloak looks like: ``film``, ``film-bw``, ``light`` or ``noise``.
            detectors: that the cloak is, or was, made against; default all that can be attacked.
            steps, seed: of the cloak's search.
            control: also measure the same veil with random parameters; for plain noise, random noise of equal energy.
            pictures: false leaves them out of the report.

        Raises:
            VeilmarkError: one of NoFaceError, UsageError, MissingPathError, MediaError, MissingModelError,
                NotWritableError.
        """
        from synth.measure.detectors.experiment import DetectorOptions
        from synth.measure.run import Listener, run_detectors

        named = [paths] if isinstance(paths, str | os.PathLike) else paths
        options = DetectorOptions(
            strengths=tuple(strengths),
            veil=veil,
            attacked=tuple(detectors) if detectors is not None else None,
            steps=steps,
            seed=seed,
            control=control,
            weights=as_path(weights),
            device=usable(device),
        )
        return run_detectors(
            [Path(one) for one in named],
            Path(output),
            options,
            cloaked=[Path(one) for one in cloaked],
            pictures=pictures,
            listener=Listener(progress=progress),
        )

    @naming_extras
    def measure_swap(
        self,
        person: StrPath,
        target: StrPath,
        output: StrPath,
        *,
        preset: str = "tiny",
        consent: Sequence[StrPath] = (),
        i_have_consent: bool = False,
        pictures: bool = True,
        tell: Callable[[str], None] = lambda _: None,
        progress: Progress | None = None,
        **options: Unpack[MeasureChoices],
    ) -> Measured:
        """How much worse a face swapper becomes that learned from cloaked footage, and how much easier its fakes are to
        detect. Takes some hours with ``tiny``; an interrupted one goes on where it stopped. Its
        ``report.valid`` says whether the instrument could measure anything. No generated clip is kept.

        Args:
            person: whose face is stolen: a video, or a folder of pictures.
            target: the video into which the face is put.
            output: a folder for the report.
            preset: ``tiny`` or ``full``.
            consent: files with statements of consent by the footage's owner.
            i_have_consent: declare that the people shown agreed; opens only footage that nobody signed.
            pictures: false leaves them out of the report.
            tell: called with one line of text when a stage begins.
            **options: of :class:`synth.measure.swap.options.SwapExperimentOptions`, such as ``seeds=(1, 2, 3)``,
                ``steps=400``, ``strengths=("mid",)``.

        Raises:
            VeilmarkError: one of ConsentError, NoFaceError, UsageError, MissingPathError, MediaError,
                MissingModelError, NotWritableError.
        """
        from dataclasses import replace

        from provenance.errors import UsageError
        from synth.measure.run import run_swap
        from synth.measure.swap.options import PRESETS, SwapExperimentOptions

        if preset not in PRESETS:
            raise UsageError(f"no preset is called {preset[:40]!r}", hint="one of " + ", ".join(PRESETS))
        measured = run_swap(
            Path(person),
            Path(target),
            Path(output),
            replace(PRESETS[preset], **known_options(SwapExperimentOptions, options)),
            self._basis(consent, i_have_consent),
            home=self.home,
            session=self._signing(),
            pictures=pictures,
            listener=_listener(tell, progress),
        )
        assert measured is not None  # noqa: S101 - only a plan has none
        return measured

    @naming_extras
    def measure_lipsync(
        self,
        person: StrPath,
        output: StrPath,
        *,
        parts: int = 5,
        consent: Sequence[StrPath] = (),
        i_have_consent: bool = False,
        pictures: bool = True,
        tell: Callable[[str], None] = lambda _: None,
        progress: Progress | None = None,
        **options: Unpack[MeasureChoices],
    ) -> Measured:
        """How much worse a lip-sync becomes that was made from cloaked footage. No generated clip is kept.

        Args:
            person: a video in which one person speaks.
            parts: 3 to 20; each lip-sync goes without another one of so many parts of the footage.
            output, consent, i_have_consent, pictures, tell, **options: see :meth:`measure_swap`.

        Raises:
            VeilmarkError: one of ConsentError, NoFaceError, UsageError, MissingPathError, MediaError,
                MissingModelError, NotWritableError.
        """
        from synth.measure.lipsync.options import LipsyncExperimentOptions
        from synth.measure.run import run_lipsync

        measured = run_lipsync(
            Path(person),
            Path(output),
            LipsyncExperimentOptions(parts=parts, **known_options(LipsyncExperimentOptions, options)),
            self._basis(consent, i_have_consent),
            home=self.home,
            session=self._signing(),
            pictures=pictures,
            listener=_listener(tell, progress),
        )
        assert measured is not None  # noqa: S101 - only a plan has none
        return measured

    def _basis(self, consent: Sequence[StrPath], declared: bool) -> ConsentBasis:
        from synth.measure.run import ConsentBasis

        return ConsentBasis(tuple(Path(one) for one in consent), declared, lambda _: self._passphrase)

    def _signing(self) -> Callable[[], nullcontext[Session]] | None:
        """What signs generated pictures, where there is an identity."""
        return (lambda: nullcontext(self._session())) if self.home.is_initialized() else None


def _listener(tell: Callable[[str], None], progress: Progress | None) -> Listener:
    from synth.measure.run import Listener

    return Listener(tell, progress)

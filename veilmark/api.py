"""The public Python API: one object for everything that the ``veilmark`` command does with media.

Each method calls one function of the package that does the work; what these take and raise is told there in full. Where
a package is missing that an optional extra brings, it raises :class:`~provenance.errors.MissingExtraError`.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any, Unpack

from provenance.errors import NotInitializedError
from provenance.extras import naming_extras
from provenance.home import Home
from veilmark.choices import CloakChoices, ConvertChoices, MeasureChoices, StrPath

if TYPE_CHECKING:
    from types import TracebackType

    from cloak.publish import PublishResult
    from provenance.ledger.receipt import Receipt
    from provenance.manifest.actions import Action
    from provenance.manifest.spec import Parent
    from provenance.session import Desk
    from provenance.setup import Setup
    from provenance.sign import SignResult
    from provenance.trust.store import TrustStore
    from provenance.verdict import AnchorFinding, SimilarRecord, Verdict
    from synth.detect.run import Detection
    from synth.lipsync.make import LipsyncResult
    from synth.lipsync.pipeline import LipsyncOptions
    from synth.measure.run import Basis, Listener, Measured
    from synth.swap.make import SwapResult

Progress = Callable[[float], None]
_PASSPHRASE = "VEILMARK_PASSPHRASE"  # noqa: S105 - its name, not its value


def open(
    home: StrPath | Home | None = None, *, identity: str | None = None, passphrase: str | None = None
) -> Veilmark:
    """Open veilmark on this machine; use it in a ``with`` block, or call :meth:`Veilmark.close`.

    Nothing is read or unlocked before a method needs it: verifying needs neither an identity nor a ledger.

    Args:
        home: the folder of identity, ledger and trust store; default ``VEILMARK_HOME``, else this user's data folder.
        identity: the name of the identity that signs; default the machine's default identity.
        passphrase: of its key, where that is encrypted; default ``VEILMARK_PASSPHRASE``.
    """
    place = home if isinstance(home, Home) else Home.locate() if home is None else Home.at(Path(home))
    return Veilmark(place, identity=identity, passphrase=passphrase or os.environ.get(_PASSPHRASE))


class Veilmark:
    """This machine's identity, ledger and trust store; made by :func:`open`. Not to be shared between threads."""

    def __init__(self, home: Home, *, identity: str | None = None, passphrase: str | None = None) -> None:
        self.home = home
        self._identity, self._passphrase = identity, passphrase
        self._stack = ExitStack()
        self._opened: Desk | None = None

    def __enter__(self) -> Veilmark:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the ledger. A method that is called later opens it again."""
        self._opened = None
        self._stack.close()

    # ------------------------------------------------------------------------------------------- provenance

    def initialize(self, name: str | None = None, *, algorithm: str = "es256") -> Setup:
        """Make an identity and a ledger where they are missing; what exists is kept.

        Args:
            name: who signs, as shown to others (a claimed name); needed where there is no identity yet.
            algorithm: ``es256``, ``es384`` or ``ed25519``.

        Raises:
            IdentityError: no name, another name or algorithm than the identity's, or a key that cannot be unlocked.
            VeilmarkError: also LedgerError, NotWritableError.
        """
        from provenance.setup import initialize

        return initialize(self.home, subject=name, algorithm=algorithm, passphrase=self._passphrase)

    def sign(
        self,
        path: StrPath,
        output: StrPath | None = None,
        *,
        title: str = "",
        author: str = "",
        description: str = "",
        parents: Sequence[Parent] = (),
        actions: Sequence[Action] = (),
        digital_source_type: str = "",
        device: str = "",
        captured_at: str = "",
        location: tuple[float, float] | None = None,
        allow_training: bool = False,
        tsa_url: str | None = None,
        receipt: bool = True,
        any_file: bool = False,
        force: bool = False,
    ) -> SignResult:
        """Sign a file into a copy, record it in the ledger, and write the receipt beside the copy.

        Args:
            path: a picture, video, sound or document.
            output: the signed copy; default ``NAME.signed.EXT`` beside ``path``. The path itself, with ``force``, signs
                in place.
            title, author, description: free text, at most 4,000 characters each.
            parents: files that went into this one; a ``parentOf`` makes it an edit of that.
            actions: what was done to it, in order.
            digital_source_type: IPTC name; default ``digitalCapture`` for captures.
            device: maker and model of the capture device.
            captured_at: RFC 3339 time of capture.
            location: latitude and longitude in degrees (WGS 84); public once it is signed.
            allow_training: allow AI training and data mining.
            tsa_url: an RFC 3161 time-stamp authority to ask; without it nothing is asked.
            receipt: write ``OUTPUT.receipt``.
            any_file: accept bytes of unknown format, with a side-car.
            force: overwrite what exists.

        Raises:
            NotInitializedError, IdentityError: there is no identity, or it cannot be unlocked.
            MissingPathError, MediaError: the file cannot be read.
            OutputExistsError, NotWritableError: the copy cannot be written.
            UsageError: statements that contradict each other.
            LedgerError: the ledger cannot be extended.
        """
        from provenance.manifest.spec import ManifestSpec
        from provenance.sign import SignRequest, sign_file

        spec = ManifestSpec(
            relation="edited" if any(one.relationship == "parentOf" for one in parents) else "captured",
            title=title,
            author=author,
            description=description,
            parents=tuple(parents),
            actions=tuple(actions),
            digital_source_type=digital_source_type,
            device=device,
            captured_at=captured_at,
            location=location,
            allow_training=allow_training,
        )
        request = SignRequest(spec, tsa_url=tsa_url, receipt=receipt, any_file=any_file)
        source = Path(path)
        target = Path(output) if output else _beside(source, "signed")
        return sign_file(source, target, request, self._desk(), force=force)

    def record(
        self,
        path: StrPath,
        *,
        receipt: StrPath | None = None,
        any_file: bool = False,
        force: bool = False,
    ) -> SignResult:
        """Fingerprint and log a file without touching it.

        Args:
            receipt: where its receipt goes; default ``FILE.receipt``.
            any_file: accept bytes of unknown format.
            force: overwrite a receipt that exists.

        Raises:
            VeilmarkError: one of NotInitializedError, IdentityError, MissingPathError, MediaError,
                OutputExistsError, NotWritableError, LedgerError.
        """
        from provenance.sign import RECEIPT_SUFFIX, record_file, with_suffix_added

        source = Path(path)
        where = Path(receipt) if receipt else with_suffix_added(source, RECEIPT_SUFFIX)
        return record_file(source, self._desk(), any_file=any_file, receipt_path=where, force=force)

    def verify(
        self,
        path: StrPath,
        *,
        receipt: StrPath | None = None,
        sidecar: StrPath | None = None,
        online: bool = False,
        check_anchor: Callable[[Receipt], AnchorFinding] | None = None,
    ) -> Verdict:
        """What can be known about a file: its manifest, its record, and every record of something like it.

        Needs no :meth:`initialize`, and no network unless ``online``. Tampering is a verdict and raises nothing.

        Args:
            receipt: to check; default ``FILE.receipt`` where it exists, else the own ledger's.
            sidecar: a manifest store; default what is embedded, or ``FILE.c2pa``.
            online: allow fetching remote manifests and certificate status.
            check_anchor: asks a chain for the anchor of a receipt's checkpoint (:mod:`provenance.ledger.evm`).

        Raises:
            MissingPathError, MediaError: the file cannot be read and carries nothing to check.
            ReceiptError: the receipt that was named cannot be read.
        """
        from provenance.search.lookup import open_lookup
        from provenance.verify import VerifyRequest, verify_file

        request = VerifyRequest(_path(receipt), _path(sidecar), online, check_anchor)
        with open_lookup(self.home) as lookup:
            return verify_file(Path(path), self._trust(), lookup=lookup, request=request)

    def find(self, path: StrPath) -> list[SimilarRecord]:
        """Every record of the same or a similar file in this machine's ledger, in log order.

        Likeness alone proves nothing; a record says who claims what, and when.

        Raises:
            NotInitializedError: there is no ledger.
            MissingPathError, MediaError: the file cannot be read.
        """
        from provenance.media.picture import sha256_file
        from provenance.search.lookup import open_lookup, similar_records
        from provenance.sign import check_source

        source = Path(path)
        with open_lookup(self.home) as lookup:
            if lookup is None:
                raise NotInitializedError(f"no ledger in {self.home.data}")
            return similar_records(source, check_source(source), sha256_file(source), lookup, self._trust())

    # ------------------------------------------------------------------------------------------------ cloak

    @naming_extras
    def cloak(
        self,
        path: StrPath,
        output: StrPath | None = None,
        *,
        sign: bool = True,
        crf: int = 20,
        faceless: bool = False,
        receipt: bool = True,
        force: bool = False,
        progress: Progress | None = None,
        **options: Unpack[CloakChoices],
    ) -> PublishResult:
        """Hide the faces of a picture or a video from face detectors, sign the result, and link it to its original.

        Args:
            path: a picture or a video; is not changed.
            output: default ``NAME.cloaked.EXT`` beside ``path``; its suffix names the format.
            sign: sign and record the result; false needs no identity.
            crf: of a video's H.264 encoder, 0 to 40.
            faceless: also write a picture that shows no face: not cloaked, not signed, without its location.
            receipt: write ``OUTPUT.receipt``.
            force: overwrite what exists.
            progress: is told the share of the work done, in [0, 1].
            **options: of :class:`cloak.options.CloakOptions`, such as ``strength="high"`` (``low``, ``mid``,
                ``high``: at most 8, 12 or 16 levels of 255 per pixel), ``detectors=("mtcnn",)``, ``steps=60``,
                ``seed=0``, ``device="cuda"``.

        Returns:
            What was written; ``success`` is false where an attacked detector still finds a face.

        Raises:
            NoFaceError: no detector finds a face.
            UsageError: cloaked already, or options that do not fit.
            MissingModelError: a detector's weights are not on this machine.
            VeilmarkError: also MissingPathError, MediaError, OutputExistsError, NotWritableError,
                NotInitializedError, IdentityError.
        """
        from cloak.options import CloakOptions
        from cloak.publish import PublishRequest, publish_file, published_as
        from cloak.video.options import VideoOptions
        from provenance.sign import check_source

        source = Path(path)
        chosen = CloakOptions(**_known(CloakOptions, options))
        if output is None:
            check_source(source)
            target = _beside(published_as(source, chosen.format), "cloaked")
        else:
            target = Path(output)
        request = PublishRequest(chosen, VideoOptions(crf=crf), faceless=faceless, receipt=receipt)
        desk = self._desk() if sign else None
        return publish_file(source, target, request, desk, home=self.home, force=force, progress=progress)

    # ---------------------------------------------------------------------------------------------- measure

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
        """What five small fake detectors say about a picture or a video. A score is no verdict.

        Args:
            detectors: ``blink``, ``pulse``, ``warp``, ``blend``, ``splice``; default all.
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
            weights_dir=_path(weights),
            device=_device(device),
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
            detectors: that the cloak is, or was, made against; default all that can be attacked.
            steps, seed: of the cloak's search.
            control: also measure random noise of equal energy.
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
            attacked=tuple(detectors) if detectors is not None else None,
            steps=steps,
            seed=seed,
            control=control,
            weights=_path(weights),
            device=_device(device),
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
        detect. Takes an hour with ``tiny``; an interrupted one goes on where it stopped. No generated clip is kept.

        Args:
            person: whose face is stolen: a video, or a folder of pictures.
            target: the video into which the face is put.
            output: a folder for the report.
            preset: ``tiny`` or ``full``.
            consent: files with statements of consent by the footage's owner.
            i_have_consent: declare that the people shown agreed; opens only footage that nobody signed.
            pictures: false leaves them out of the report.
            tell: is told what begins.
            **options: of :class:`synth.measure.swap.options.SwapOptions`, such as ``seeds=(1, 2, 3)``,
                ``steps=400``, ``strengths=("mid",)``.

        Raises:
            VeilmarkError: one of ConsentError, NoFaceError, UsageError, MissingPathError, MediaError,
                MissingModelError, NotWritableError.
        """
        from dataclasses import replace

        from provenance.errors import UsageError
        from synth.measure.run import run_swap
        from synth.measure.swap.options import PRESETS, SwapOptions

        if preset not in PRESETS:
            raise UsageError(f"no preset is called {preset[:40]!r}", hint="one of " + ", ".join(PRESETS))
        measured = run_swap(
            Path(person),
            Path(target),
            Path(output),
            replace(PRESETS[preset], **_known(SwapOptions, options)),
            self._basis(consent, i_have_consent),
            home=self.home,
            desk=self._signing(),
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
        from synth.measure.run import run_lipsync
        from synth.measure.swap.options import SwapOptions

        measured = run_lipsync(
            Path(person),
            Path(output),
            SwapOptions(**_known(SwapOptions, options)),
            self._basis(consent, i_have_consent),
            home=self.home,
            parts=parts,
            desk=self._signing(),
            pictures=pictures,
            listener=_listener(tell, progress),
        )
        assert measured is not None  # noqa: S101 - only a plan has none
        return measured

    # --------------------------------------------------------------------------------------------- generate

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
            ConvertOptions(**_known(ConvertOptions, options)),
            reference=_path(reference),
            consent=tuple(Path(one) for one in consent),
            declared=i_have_consent,
            online=online,
            visible_mark=visible_mark,
            weights=_path(weights),
            device=_device(device),
        )
        return make_swap(
            Path(footage),
            Path(output),
            request,
            self._desk(),
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
            progress: is told the stage and its share done, in [0, 1].

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
            keep=_path(keep),
            work=_path(work),
        )
        made = make_lipsync(
            Path(target),
            Path(sound),
            Path(output),
            request,
            self._desk(),
            force=force,
            passphrase=lambda _: self._passphrase,
            progress=progress,
        )
        assert made is not None  # noqa: S101 - nobody asked it to stop
        return made

    # ------------------------------------------------------------------------------------------------ inside

    def _desk(self) -> Desk:
        if self._opened is None:
            from provenance.session import open_desk

            self._opened = self._stack.enter_context(
                open_desk(self.home, identity=self._identity, passphrase=self._passphrase)
            )
        return self._opened

    def _trust(self) -> TrustStore:
        from provenance.trust.store import TrustStore

        return TrustStore.load(self.home)

    def _basis(self, consent: Sequence[StrPath], declared: bool) -> Basis:
        from synth.measure.run import Basis

        return Basis(tuple(Path(one) for one in consent), declared, lambda _: self._passphrase)

    def _signing(self) -> Callable[[], nullcontext[Desk]] | None:
        """What signs generated pictures, where there is an identity."""
        return (lambda: nullcontext(self._desk())) if self.home.is_initialized() else None


def _path(path: StrPath | None) -> Path | None:
    return Path(path) if path is not None else None


def _beside(path: Path, marker: str) -> Path:
    return path.with_name(f"{path.stem}.{marker}{path.suffix}")


def _device(name: str) -> str:
    from cloak.device import usable_device

    return usable_device(name)


def _listener(tell: Callable[[str], None], progress: Progress | None) -> Listener:
    from synth.measure.run import Listener

    return Listener(tell, progress)


def _known(kind: type[Any], given: Mapping[str, Any]) -> dict[str, Any]:
    """Options by name, as the dataclass that holds them takes them.

    Raises:
        UsageError: there is no such option, or no such device here.
    """
    from dataclasses import fields

    from provenance.errors import UsageError

    names = [one.name for one in fields(kind)]
    if unknown := sorted(set(given) - set(names)):
        raise UsageError(
            f"no option is called {', '.join(unknown)[:100]!r}", hint="one of " + ", ".join(names)
        )
    taken: dict[str, Any] = {
        name: tuple(value) if isinstance(value, list) else value for name, value in given.items()
    }
    if taken.get("weights") is not None:
        taken["weights"] = Path(taken["weights"])
    if "device" in taken:
        taken["device"] = _device(taken["device"])
    return taken

"""Cloak and publish."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Unpack

from provenance.extras import naming_extras
from veilmark.choices import CloakChoices, StrPath
from veilmark.session import Progress, Session, beside, known_options

if TYPE_CHECKING:
    from cloak.publish import PublishResult


class Cloaking(Session):
    """The methods that hide faces."""

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
        chosen = CloakOptions(**known_options(CloakOptions, options))
        if output is None:
            check_source(source)
            target = beside(published_as(source, chosen.format), "cloaked")
        else:
            target = Path(output)
        request = PublishRequest(chosen, VideoOptions(crf=crf), faceless=faceless, receipt=receipt)
        desk = self._desk() if sign else None
        return publish_file(source, target, request, desk, home=self.home, force=force, progress=progress)

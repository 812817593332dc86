"""Cloak and publish."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Unpack

from provenance.extras import naming_extras
from veilmark.choices import CloakChoices, StrPath
from veilmark.handle import Handle, Progress, beside, known_options

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cloak.publish import PublishResult
    from provenance.sealed.grants import Grant
    from provenance.sealed.unseal import Opened


class Cloaking(Handle):
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
        reversible: bool = False,
        readers: Sequence[str] = (),
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
            reversible: keep the signed original encrypted in the store, for :meth:`uncloak`.
            readers: who else can restore it: public encryption keys, or files with them.
            force: overwrite what exists.
            progress: is told the share of the work done, in [0, 1].
            **options: of :class:`cloak.options.CloakOptions`, such as ``strength="high"`` (how much may be seen),
                ``veil="light"`` (what it looks like; default film grain), ``detectors=("mtcnn",)``, ``fast=True``,
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
        from provenance.sealed.keys import readers_for
        from provenance.sign import check_source

        source = Path(path)
        chosen = CloakOptions(**known_options(CloakOptions, options))
        if output is None:
            check_source(source)
            target = beside(published_as(source, chosen.format), "cloaked")
        else:
            target = Path(output)
        sealed_for = readers_for(
            self.home, self._identity, readers, self._unlock, reversible=reversible, sign=sign
        )
        request = PublishRequest(
            chosen, VideoOptions(crf=crf), faceless=faceless, receipt=receipt, readers=sealed_for
        )
        session = self._session() if sign else None
        return publish_file(source, target, request, session, home=self.home, force=force, progress=progress)

    def uncloak(
        self,
        path: StrPath,
        output: StrPath,
        *,
        grants: Sequence[StrPath] = (),
        force: bool = False,
        progress: Progress | None = None,
    ) -> Opened:
        """Restore the signed original of a file that was cloaked with ``reversible``, bit for bit.

        Args:
            path: the cloaked file as it was written.
            grants: files with grants, beside those that the store holds.
            progress: is told the share of the work done, in [0, 1].

        Raises:
            TamperedError: the cloaked file, the sealed original or a grant was altered.
            NoCredentialError: no sealed original, or no grant for a key of this machine.
            StoreError: the sealed original is not in the store.
            UsageError, MissingPathError, MediaError, IdentityError, ReceiptError, OutputExistsError, NotWritableError.
        """
        from provenance.sealed.grants import read_grants
        from provenance.sealed.keys import Keyring
        from provenance.sealed.shelf import GrantShelf
        from provenance.sealed.unseal import open_sealed

        shelf = GrantShelf.of_home(self.home)
        return open_sealed(
            Path(path),
            Path(output),
            keys=Keyring.of_home(self.home, self._identity, lambda _: self._unlock()),
            source=shelf.store,
            shelf=shelf,
            trust=self._trust(),
            grants=[grant for file in grants for grant in read_grants(Path(file))],
            force=force,
            progress=progress or (lambda _: None),
        )

    def grant(self, path: StrPath, readers: Sequence[str]) -> list[Grant]:
        """Let further readers restore the original of a cloaked file. The file stays as it is; nothing takes it back.

        Args:
            readers: public encryption keys, or files with them.

        Returns:
            one grant for each key, kept in the store; ``grant.data`` is what to give away.

        Raises:
            as :meth:`uncloak`, but for the output; NotInitializedError.
        """
        from provenance.sealed.keys import Keyring, read_recipients
        from provenance.sealed.shelf import GrantShelf
        from provenance.sealed.unseal import grant_access

        shelf = GrantShelf.of_home(self.home)
        return grant_access(
            Path(path),
            [key for text in readers for key in read_recipients(text)],
            granter=self._session().identity,
            keys=Keyring.of_home(self.home, self._identity, lambda _: self._unlock()),
            source=shelf.store,
            shelf=shelf,
            trust=self._trust(),
        )

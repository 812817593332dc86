"""Sign, record, verify, find."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from provenance.errors import NotInitializedError
from veilmark.choices import StrPath
from veilmark.handle import Handle, as_path, beside

if TYPE_CHECKING:
    from provenance.ledger.receipt import Receipt
    from provenance.manifest.actions import Action
    from provenance.manifest.spec import Parent
    from provenance.resolve.find import How, Resolution
    from provenance.setup import Setup
    from provenance.sign import SignResult
    from provenance.verdict import AnchorFinding, SimilarRecord, Verdict


class Records(Handle):
    """The methods about who claims what, and when."""

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
        update: bool = False,
        redactions: Sequence[str] = (),
        remote_url: str = "",
        tsa_url: str | None = None,
        receipt: bool = True,
        any_file: bool = False,
        online: bool = False,
        force: bool = False,
        discoverable: bool = False,
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
            update: say more about a signed file that stays as it is (an update manifest).
            redactions: labels of assertions to take out of the parent's manifest, such as ``c2pa.metadata``.
            remote_url: where the manifest will lie; the file gets the address alone, and the manifest lies beside it.
            tsa_url: an RFC 3161 time-stamp authority to ask; without it nothing is asked.
            receipt: write ``OUTPUT.receipt``.
            any_file: accept bytes of unknown format, with a side-car.
            online: fetch a manifest from the address that the file, or a parent, names.
            force: overwrite what exists.

        Raises:
            CheckError: the file has a credential that was not read, and no parent is named.
            ContradictionError: the own ledger calls it synthetic, and no source type is named.
            NotInitializedError, IdentityError: there is no identity, or it cannot be unlocked.
            MissingPathError, MediaError: the file cannot be read.
            OutputExistsError, NotWritableError: the copy cannot be written.
            UsageError: statements that contradict each other.
            LedgerError: the ledger cannot be extended.
        """
        from provenance.manifest.spec import ManifestSpec
        from provenance.record import Relation
        from provenance.sign import SignRequest, sign_file

        spec = ManifestSpec(
            relation=Relation.EDITED
            if any(one.relationship == "parentOf" for one in parents)
            else Relation.CAPTURED,
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
            update=update,
            redactions=tuple(redactions),
            remote_url=remote_url,
        )
        request = SignRequest(
            spec,
            tsa_url=tsa_url,
            receipt=receipt,
            any_file=any_file,
            online=online,
            discoverable=discoverable,
        )
        source = Path(path)
        target = Path(output) if output else beside(source, "signed")
        return sign_file(source, target, request, self._session(), force=force)

    def record(
        self,
        path: StrPath,
        *,
        receipt: StrPath | None = None,
        any_file: bool = False,
        force: bool = False,
        discoverable: bool = False,
    ) -> SignResult:
        """Fingerprint and log a file without touching it.

        Args:
            receipt: where its receipt goes; default ``FILE.receipt``.
            any_file: accept bytes of unknown format.
            force: overwrite a receipt that exists.
            discoverable: let others find the record on a service of this ledger, which makes it public.

        Raises:
            VeilmarkError: one of NotInitializedError, IdentityError, MissingPathError, MediaError,
                OutputExistsError, NotWritableError, LedgerError.
        """
        from provenance.media.formats import RECEIPT_SUFFIX, with_suffix_added
        from provenance.sign import record_file

        source = Path(path)
        where = Path(receipt) if receipt else with_suffix_added(source, RECEIPT_SUFFIX)
        return record_file(
            source,
            self._session(),
            any_file=any_file,
            receipt_path=where,
            force=force,
            discoverable=discoverable,
        )

    def verify(
        self,
        path: StrPath,
        *,
        receipt: StrPath | None = None,
        sidecar: StrPath | None = None,
        online: bool = False,
        fragments: Sequence[StrPath] = (),
        check_anchor: Callable[[Receipt], AnchorFinding] | None = None,
        require_anchor: bool = False,
    ) -> Verdict:
        """What can be known about a file: its manifest, its record, and every record of something like it.

        Needs no :meth:`initialize`, and no network unless ``online``. Tampering is a verdict and raises nothing.

        Args:
            receipt: to check; default ``FILE.receipt`` where it exists, else the own ledger's.
            sidecar: a manifest store; default what is embedded, or ``FILE.c2pa``.
            online: allow fetching remote manifests and certificate status.
            fragments: of the stream whose initialization segment ``path`` is.
            check_anchor: asks a chain for the anchor of a receipt's checkpoint (:mod:`provenance.ledger.evm`).
            require_anchor: what is not shown to be anchored counts as not checked.

        Raises:
            MissingPathError, MediaError: the file cannot be read and carries nothing to check.
            ReceiptError: the receipt that was named cannot be read.
        """
        from provenance.search.lookup import open_lookup
        from provenance.verify import VerifyRequest, verify_file

        request = VerifyRequest(
            receipt=as_path(receipt),
            sidecar=as_path(sidecar),
            online=online,
            fragments=[Path(one) for one in fragments],
            check_anchor=check_anchor,
            require_anchor=require_anchor,
        )
        with open_lookup(self.home) as lookup:
            return verify_file(Path(path), self._trust(), lookup=lookup, request=request)

    def find(self, path: StrPath) -> list[SimilarRecord]:
        """Every record of the same or a similar file in this machine's ledger, in log order.

        Likeness alone proves nothing; a record says who claims what, and when.

        Raises:
            NotInitializedError: there is no ledger.
            MissingPathError, MediaError: the file cannot be read.
        """
        from provenance.media.media_file import MediaFile
        from provenance.search.lookup import open_lookup, similar_records

        with open_lookup(self.home) as lookup:
            if lookup is None:
                raise NotInitializedError(f"no ledger in {self.home.data}")
            return similar_records(MediaFile.open(Path(path)), lookup, self._trust())

    def find_on_service(
        self,
        path: StrPath,
        url: str,
        *,
        how: How | str = "fingerprint",
        hide_among: int = 32,
        limit: int = 10,
        rpc: Sequence[str] = (),
    ) -> Resolution:
        """Records of the same or a similar file on a service, each checked against this machine's own trust.

        Args:
            url: of any service that speaks the C2PA Soft Binding Resolution API; nobody else is asked.
            how: what it is shown: ``content`` (the file), ``fingerprint`` (256 bits), or ``private`` (some bits that at
                least ``hide_among`` of its records share; only veilmark's services understand it).
            hide_among: for ``private``, 1 or more.
            limit: how many matches to ask for, 1 to 100.
            rpc: JSON-RPC addresses of nodes, which are asked about the anchors that receipts name, in contracts that
                are trusted here; without one an anchor is not checked, and said to be so.

        Raises:
            MissingPathError, MediaError: the file cannot be read.
            UsageError: no such address, or the file has no fingerprint.
            CheckError: the service cannot be asked, or answers nonsense.
        """
        from provenance.resolve.client import Service
        from provenance.resolve.find import How, find_on_service

        trust, check_anchor = self._trust(), None
        if rpc:
            from provenance.ledger.evm.receipts import receipt_checker

            check_anchor = receipt_checker(trust.contracts, rpc=rpc)
        return find_on_service(
            Path(path),
            Service(url),
            trust,
            how=How(how),
            hide_among=hide_among,
            limit=limit,
            check_anchor=check_anchor,
        )

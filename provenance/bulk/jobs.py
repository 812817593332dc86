"""What a worker does with a file: read and fingerprint it, sign it, or look it up."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from provenance.errors import NotInitializedError
from provenance.home import Home
from provenance.sign import SignRequest, Unlogged
from provenance.verdict import SimilarRecord


@dataclass(frozen=True)
class Fingerprinted:
    """A file, read: its hash, MIME type, and what it is found by."""

    sha256: str
    media_type: str
    fingerprints: dict[str, Any]
    features: bytes


@dataclass(frozen=True)
class FingerprintJob:
    """Read files; needs no key and no ledger. A task is a path, its result :class:`Fingerprinted`."""

    any_file: bool = False

    @contextmanager
    def open(self) -> Iterator[Callable[[Path], Fingerprinted]]:
        from provenance.fingerprint.picture import fingerprint_file
        from provenance.media.media_file import MediaFile

        def work(path: Path) -> Fingerprinted:
            file = MediaFile.open(path, any_file=self.any_file)
            found = fingerprint_file(file)
            return Fingerprinted(file.sha256, file.format.mime, found.to_record(), found.to_blob())

        yield work


@dataclass(frozen=True)
class ToSign:
    """A file to sign: where it goes, and the address of its manifest where that lies apart."""

    source: Path
    output: Path
    remote_url: str = ""

    def __str__(self) -> str:
        return str(self.source)


@dataclass(frozen=True)
class Signed:
    """A signed file that waits to be logged: ``temporary`` lies beside its place."""

    temporary: Path
    ready: Unlogged
    located: bool


@dataclass(frozen=True)
class SignJob:
    """Sign files into temporary ones. A task is :class:`ToSign`, its result :class:`Signed`.

    Attributes:
        passphrase: opens the signer's key; it travels to the workers.
    """

    home: Home
    identity: str | None
    passphrase: str | None
    request: SignRequest
    force: bool = False

    @contextmanager
    def open(self) -> Iterator[Callable[[ToSign], Signed]]:
        from provenance.media.files import begin_file
        from provenance.media.picture import tells_location
        from provenance.session import open_session
        from provenance.sign import prepare_signed, refuse_outputs

        with open_session(self.home, identity=self.identity, passphrase=self.passphrase) as session:

            def work(task: ToSign) -> Signed:
                request = replace(self.request, spec=replace(self.request.spec, remote_url=task.remote_url))
                refuse_outputs(task.output, request, self.force)
                located = tells_location(task.source)
                temporary = begin_file(task.output)
                try:
                    ready = prepare_signed(
                        task.source, task.output, temporary, request, session, force=self.force
                    )
                except BaseException:
                    temporary.unlink(missing_ok=True)
                    raise
                return Signed(temporary, ready, located)

            yield work


@dataclass(frozen=True)
class FindJob:
    """Look files up. A task is a path, its result the records."""

    home: Home

    @contextmanager
    def open(self) -> Iterator[Callable[[Path], list[SimilarRecord]]]:
        from provenance.media.media_file import MediaFile
        from provenance.search.lookup import open_lookup, similar_records
        from provenance.trust.store import TrustStore

        trust = TrustStore.load(self.home)
        with open_lookup(self.home) as lookup:
            if lookup is None:
                raise NotInitializedError(f"no ledger in {self.home.data}")
            yield lambda path: similar_records(MediaFile.open(path), lookup, trust)

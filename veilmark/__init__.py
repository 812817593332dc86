"""Sign what you capture. Cloak what you publish. Prove both. The public Python API::

    import veilmark

    with veilmark.open() as v:
        signed = v.sign("photo.jpg", author="Ada")       # needs `veilmark init`, or v.initialize("Ada") once
        published = v.cloak(signed.output)               # hides faces, links to the signed original
        verdict = v.verify(published.output)             # needs no identity and no network
        print(verdict.state, verdict.headline)
        print(v.find("a-stripped-copy.jpg"))             # back to its record

:class:`Veilmark` (api.py) has a method for everything that the command does with media. All result types and all errors
are here, too; every error is a :class:`VeilmarkError` with a hint. Importing this imports nothing heavy: what a method
needs is loaded when it is called.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from provenance.lazy import lazy_exports

if TYPE_CHECKING:
    from cloak.evaluate.report import CloakReport as CloakReport
    from cloak.evaluate.report import DetectorReport as DetectorReport
    from cloak.evaluate.report import FaceReport as FaceReport
    from cloak.evaluate.report import RecognitionReport as RecognitionReport
    from cloak.publish import PublishResult as PublishResult
    from cloak.video.report import VideoDetectorReport as VideoDetectorReport
    from cloak.video.report import VideoRecognitionReport as VideoRecognitionReport
    from cloak.video.report import VideoReport as VideoReport
    from provenance.errors import ChainError as ChainError
    from provenance.errors import CheckError as CheckError
    from provenance.errors import ConsentError as ConsentError
    from provenance.errors import ContradictionError as ContradictionError
    from provenance.errors import CorruptMediaError as CorruptMediaError
    from provenance.errors import ExitCode as ExitCode
    from provenance.errors import ForkError as ForkError
    from provenance.errors import IdentityError as IdentityError
    from provenance.errors import LedgerError as LedgerError
    from provenance.errors import MediaError as MediaError
    from provenance.errors import MediaTooLargeError as MediaTooLargeError
    from provenance.errors import MissingExtraError as MissingExtraError
    from provenance.errors import MissingModelError as MissingModelError
    from provenance.errors import MissingPathError as MissingPathError
    from provenance.errors import NoCredentialError as NoCredentialError
    from provenance.errors import NoFaceError as NoFaceError
    from provenance.errors import NotInitializedError as NotInitializedError
    from provenance.errors import NotWritableError as NotWritableError
    from provenance.errors import OutputExistsError as OutputExistsError
    from provenance.errors import PartialSuccessError as PartialSuccessError
    from provenance.errors import ReceiptError as ReceiptError
    from provenance.errors import StoreError as StoreError
    from provenance.errors import TamperedError as TamperedError
    from provenance.errors import UnknownFormatError as UnknownFormatError
    from provenance.errors import UntrustedSignerError as UntrustedSignerError
    from provenance.errors import UsageError as UsageError
    from provenance.errors import VeilmarkError as VeilmarkError
    from provenance.errors import WorkerDiedError as WorkerDiedError
    from provenance.home import Home as Home
    from provenance.manifest.actions import Action as Action
    from provenance.manifest.spec import Parent as Parent
    from provenance.record import Record as Record
    from provenance.resolve.check import Resolved as Resolved
    from provenance.resolve.find import Resolution as Resolution
    from provenance.sealed.grants import Grant as Grant
    from provenance.sealed.unseal import Opened as Opened
    from provenance.setup import Setup as Setup
    from provenance.sign import SignResult as SignResult
    from provenance.verdict import AnchorFinding as AnchorFinding
    from provenance.verdict import Check as Check
    from provenance.verdict import LedgerStatus as LedgerStatus
    from provenance.verdict import Signer as Signer
    from provenance.verdict import SimilarRecord as SimilarRecord
    from provenance.verdict import State as State
    from provenance.verdict import Time as Time
    from provenance.verdict import Verdict as Verdict
    from synth.detect.base import Finding as Finding
    from synth.detect.run import Detection as Detection
    from synth.lipsync.make import LipsyncResult as LipsyncResult
    from synth.lipsync.pipeline import LipsyncOptions as LipsyncOptions
    from synth.lipsync.pipeline import LipsyncReport as LipsyncReport
    from synth.measure.run import Measured as Measured
    from synth.report.document import Report as Report
    from synth.swap.conversion.footage import SwapReport as SwapReport
    from synth.swap.make import SwapResult as SwapResult
    from veilmark.api import Veilmark as Veilmark
    from veilmark.api import open as open

__getattr__, __dir__, __all__ = lazy_exports(
    __name__,
    {
        "open": "veilmark.api",
        "Veilmark": "veilmark.api",
        "ExitCode": "provenance.errors",
        "VeilmarkError": "provenance.errors",
        "UsageError": "provenance.errors",
        "MissingPathError": "provenance.errors",
        "OutputExistsError": "provenance.errors",
        "NotWritableError": "provenance.errors",
        "NotInitializedError": "provenance.errors",
        "IdentityError": "provenance.errors",
        "MissingModelError": "provenance.errors",
        "MissingExtraError": "provenance.errors",
        "MediaError": "provenance.errors",
        "UnknownFormatError": "provenance.errors",
        "CorruptMediaError": "provenance.errors",
        "MediaTooLargeError": "provenance.errors",
        "CheckError": "provenance.errors",
        "ReceiptError": "provenance.errors",
        "LedgerError": "provenance.errors",
        "ForkError": "provenance.errors",
        "StoreError": "provenance.errors",
        "ChainError": "provenance.errors",
        "WorkerDiedError": "provenance.errors",
        "TamperedError": "provenance.errors",
        "NoCredentialError": "provenance.errors",
        "UntrustedSignerError": "provenance.errors",
        "NoFaceError": "provenance.errors",
        "PartialSuccessError": "provenance.errors",
        "ConsentError": "provenance.errors",
        "ContradictionError": "provenance.errors",
        "Action": "provenance.manifest.actions",
        "Parent": "provenance.manifest.spec",
        "Setup": "provenance.setup",
        "Home": "provenance.home",
        "SignResult": "provenance.sign",
        "Record": "provenance.record",
        "Verdict": "provenance.verdict",
        "State": "provenance.verdict",
        "LedgerStatus": "provenance.verdict",
        "Signer": "provenance.verdict",
        "Time": "provenance.verdict",
        "Check": "provenance.verdict",
        "SimilarRecord": "provenance.verdict",
        "Resolution": "provenance.resolve.find",
        "Resolved": "provenance.resolve.check",
        "Grant": "provenance.sealed.grants",
        "Opened": "provenance.sealed.unseal",
        "AnchorFinding": "provenance.verdict",
        "PublishResult": "cloak.publish",
        "CloakReport": "cloak.evaluate.report",
        "DetectorReport": "cloak.evaluate.report",
        "FaceReport": "cloak.evaluate.report",
        "RecognitionReport": "cloak.evaluate.report",
        "VideoReport": "cloak.video.report",
        "VideoDetectorReport": "cloak.video.report",
        "VideoRecognitionReport": "cloak.video.report",
        "Detection": "synth.detect.run",
        "Finding": "synth.detect.base",
        "Measured": "synth.measure.run",
        "Report": "synth.report.document",
        "SwapResult": "synth.swap.make",
        "SwapReport": "synth.swap.conversion.footage",
        "LipsyncResult": "synth.lipsync.make",
        "LipsyncReport": "synth.lipsync.pipeline",
        "LipsyncOptions": "synth.lipsync.pipeline",
    },
)

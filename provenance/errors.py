"""Every error veilmark raises on purpose, as one tree.

::

    VeilmarkError                     has an exit code and a hint
    ├── UsageError               2    the call is wrong
    │   ├── MissingPathError     2    a path that was named does not exist
    │   ├── OutputExistsError    2    refusing to overwrite without --force
    │   ├── NotWritableError     2    the output folder cannot be written
    │   ├── NotInitializedError  2    `veilmark init` was never run
    │   ├── IdentityError        2    key, certificate or passphrase unusable
    │   ├── MissingModelError    2    model weights are not installed
    │   └── MissingExtraError    2    a package that an optional extra brings is not installed
    ├── MediaError               3    a file cannot be read as what it claims to be
    │   ├── UnknownFormatError   3    the bytes match no format we know
    │   ├── CorruptMediaError    3    right format, broken content
    │   └── MediaTooLargeError   3    over the limits on size or dimensions
    ├── CheckError               3    something needed for the check is unreadable or out of reach
    │   ├── ReceiptError         3    a receipt or proof cannot be parsed
    │   ├── LedgerError          3    the ledger cannot be opened, read or extended
    │   │   └── ForkError        3    extending would contradict a published checkpoint
    │   ├── StoreError           3    the content store failed, or returned other bytes than asked for
    │   ├── ChainError           3    the chain cannot be asked or answered nonsense
    │   └── WorkerDiedError      3    the worker of a file died, again and again
    ├── TamperedError            1    evidence that content, manifest, proof or record was altered
    ├── NoCredentialError        4    no manifest and no record
    ├── UntrustedSignerError     5    valid, but the signer's chain leads to no trusted anchor
    ├── NoFaceError              6    nothing to cloak, nothing to extract
    ├── PartialSuccessError      7    some inputs, or some goals, were missed
    ├── ConsentError             8    its owner forbids this use, or nobody said that it is allowed
    └── ContradictionError       8    the own ledger says otherwise, and nobody said that it is wrong

Messages say what was found and what was expected; ``hint`` says what to do.
"""

from __future__ import annotations

from collections.abc import Iterable
from enum import IntEnum


class ExitCode(IntEnum):
    """Exit status of the ``veilmark`` command."""

    OK = 0
    TAMPERED = 1
    USAGE = 2
    UNREADABLE = 3
    NOT_FOUND = 4
    UNTRUSTED = 5
    NO_FACE = 6
    PARTIAL = 7
    NO_CONSENT = 8
    INTERRUPTED = 130


#: For several inputs the first of these that occurred is the exit code.
_PRECEDENCE = (
    ExitCode.TAMPERED,
    ExitCode.NO_CONSENT,
    ExitCode.UNREADABLE,
    ExitCode.UNTRUSTED,
    ExitCode.NOT_FOUND,
    ExitCode.NO_FACE,
    ExitCode.PARTIAL,
    ExitCode.USAGE,
)


def combine(codes: Iterable[int]) -> ExitCode:
    """Exit code for several inputs: the first present of 1, 8, 3, 5, 4, 6, 7 (then 2), else 0."""
    present = set(codes)
    return next((code for code in _PRECEDENCE if code in present), ExitCode.OK)


class VeilmarkError(Exception):
    """Base of all expected errors.

    Args:
        message: what was found and what was expected, one line.
        hint: what the person can do about it, one line; printed after ``hint:``.
    """

    exit_code: ExitCode = ExitCode.UNREADABLE
    default_hint: str = ""

    def __init__(self, message: str, *, hint: str | None = None) -> None:
        super().__init__(message)
        self.hint = hint if hint is not None else self.default_hint


class UsageError(VeilmarkError):
    exit_code = ExitCode.USAGE


class MissingPathError(UsageError):
    default_hint = "check the spelling of the path"


class OutputExistsError(UsageError):
    default_hint = "add --force to overwrite it, or name another output with -o"


class NotWritableError(UsageError):
    default_hint = "check the folder's permissions and free space, or name another output with -o"


class NotInitializedError(UsageError):
    default_hint = "run `veilmark init` first"


class IdentityError(UsageError):
    pass


class MissingModelError(UsageError):
    default_hint = "run `veilmark models` to see which command brings it"


class MissingExtraError(UsageError):
    pass


class MediaError(VeilmarkError):
    exit_code = ExitCode.UNREADABLE


class UnknownFormatError(MediaError):
    pass


class CorruptMediaError(MediaError):
    default_hint = "the file may be truncated or damaged; get a fresh copy"


class MediaTooLargeError(MediaError):
    pass


class CheckError(VeilmarkError):
    exit_code = ExitCode.UNREADABLE


class ReceiptError(CheckError):
    pass


class LedgerError(CheckError):
    pass


class ForkError(LedgerError):
    pass


class StoreError(CheckError):
    pass


class ChainError(CheckError):
    pass


class WorkerDiedError(CheckError):
    default_hint = "look for what kills it: memory, a damaged file; the other files are done"


class TamperedError(VeilmarkError):
    exit_code = ExitCode.TAMPERED


class NoCredentialError(VeilmarkError):
    exit_code = ExitCode.NOT_FOUND


class UntrustedSignerError(VeilmarkError):
    exit_code = ExitCode.UNTRUSTED


class NoFaceError(VeilmarkError):
    exit_code = ExitCode.NO_FACE


class PartialSuccessError(VeilmarkError):
    exit_code = ExitCode.PARTIAL


class ConsentError(VeilmarkError):
    exit_code = ExitCode.NO_CONSENT


class ContradictionError(VeilmarkError):
    exit_code = ExitCode.NO_CONSENT

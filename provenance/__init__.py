"""Sign media at capture, record it in a ledger, verify it later.

The main flow, in the order it happens:

* :func:`initialize` (setup.py): an identity and an embedded ledger on this machine.
* :func:`open_desk` (desk.py): identity, ledger and content store, opened together.
* :func:`sign_file` (sign.py): format -> fingerprints -> C2PA manifest -> read back -> record -> ledger ->
  receipt -> file. Its numbered comments are the specification.
* :func:`verify_file` (verify.py): manifest -> receipt -> record -> log -> look-up -> :class:`Verdict`. Likewise.
* :func:`similar_records` (lookup.py): from a stripped or altered copy back to its record.

Nothing heavy is imported until a name is used, and torch never is.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from provenance.home import Home
    from provenance.search.lookup import Lookup, open_lookup, similar_records
    from provenance.session import Desk, open_desk
    from provenance.setup import initialize
    from provenance.sign import SignRequest, SignResult, record_file, sign_file
    from provenance.trust.store import TrustStore
    from provenance.verdict import State, Verdict
    from provenance.verify import VerifyRequest, verify_file

_HOMES = {
    "Desk": "provenance.session",
    "Home": "provenance.home",
    "Lookup": "provenance.search.lookup",
    "SignRequest": "provenance.sign",
    "SignResult": "provenance.sign",
    "State": "provenance.verdict",
    "TrustStore": "provenance.trust.store",
    "Verdict": "provenance.verdict",
    "VerifyRequest": "provenance.verify",
    "initialize": "provenance.setup",
    "open_desk": "provenance.session",
    "open_lookup": "provenance.search.lookup",
    "record_file": "provenance.sign",
    "sign_file": "provenance.sign",
    "similar_records": "provenance.search.lookup",
    "verify_file": "provenance.verify",
}
__all__ = [
    "Desk",
    "Home",
    "Lookup",
    "SignRequest",
    "SignResult",
    "State",
    "TrustStore",
    "Verdict",
    "VerifyRequest",
    "initialize",
    "open_desk",
    "open_lookup",
    "record_file",
    "sign_file",
    "similar_records",
    "verify_file",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)

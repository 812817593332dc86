"""Sign media at capture, record it in a ledger, verify it later.

The main flow, in the order it happens:

* :func:`initialize` (setup.py): an identity and an embedded ledger on this machine.
* :func:`open_session` (session.py): identity, ledger and content store, opened together.
* :func:`sign_file` (sign.py): format -> fingerprints -> C2PA manifest -> read back -> record -> ledger ->
  receipt -> file. Its numbered comments are the specification.
* :func:`verify_file` (verify.py): manifest -> receipt -> record -> log -> look-up -> :class:`Verdict`. Likewise.
* :func:`similar_records` (search/lookup.py): from a stripped or altered copy back to its record.

Nothing heavy is imported until a name is used, and torch never is.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from provenance.lazy import lazy_exports

if TYPE_CHECKING:
    from provenance.home import Home as Home
    from provenance.search.lookup import Lookup as Lookup
    from provenance.search.lookup import open_lookup as open_lookup
    from provenance.search.lookup import similar_records as similar_records
    from provenance.session import Session as Session
    from provenance.session import open_session as open_session
    from provenance.setup import initialize as initialize
    from provenance.sign import SignRequest as SignRequest
    from provenance.sign import SignResult as SignResult
    from provenance.sign import record_file as record_file
    from provenance.sign import sign_file as sign_file
    from provenance.trust.store import TrustStore as TrustStore
    from provenance.verdict import State as State
    from provenance.verdict import Verdict as Verdict
    from provenance.verify import VerifyRequest as VerifyRequest
    from provenance.verify import verify_file as verify_file

__getattr__, __dir__, __all__ = lazy_exports(
    __name__,
    {
        "Session": "provenance.session",
        "Home": "provenance.home",
        "Lookup": "provenance.search.lookup",
        "SignRequest": "provenance.sign",
        "SignResult": "provenance.sign",
        "State": "provenance.verdict",
        "TrustStore": "provenance.trust.store",
        "Verdict": "provenance.verdict",
        "VerifyRequest": "provenance.verify",
        "initialize": "provenance.setup",
        "open_session": "provenance.session",
        "open_lookup": "provenance.search.lookup",
        "record_file": "provenance.sign",
        "sign_file": "provenance.sign",
        "similar_records": "provenance.search.lookup",
        "verify_file": "provenance.verify",
    },
)

"""What the verifier trusts, and what follows from it.

Start with :mod:`provenance.trust.store`: anchors, logs, witnesses and contracts of this machine. ``chain_validation``
validates a certificate chain against the anchors; ``revocation`` handles keys that were taken back.
"""

"""Who signs: keys and certificates.

Start with :mod:`provenance.identity.identity`. ``admin`` imports, rotates and backs up keys; ``certificates`` makes and
reads X.509 certificates, ``certificate_faults`` says what is wrong with one; ``keyfiles`` keeps private keys on disk;
``external`` signs through another program, for keys in hardware.
"""

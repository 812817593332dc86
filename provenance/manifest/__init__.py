"""The C2PA manifest, through c2pa-python.

Start with :mod:`provenance.manifest.embed` (sign a manifest into or beside a file) and :mod:`provenance.manifest.read`
(read and validate one into a ``report``). ``spec`` is what the signer says, ``actions``, ``definition`` and ``build``
turn it into a manifest; ``extract`` and ``jumbf`` take manifests apart.
"""

"""The embedded ledger: one SQLite file, no server.

Start with :mod:`provenance.ledger.embedded.log`. ``writer`` and ``inbox`` append, ``schema``, ``rows``, ``entries`` and
``nodes`` say how things lie in the file, ``lookup`` finds entries by hash, ``discoverable`` keeps which of them others
may find, ``guard`` and ``fork`` refuse a second history, ``backup`` saves and restores.
"""

"""The log on a PostgreSQL server: many machines append and read, one at a time signs.

Start with :mod:`provenance.ledger.postgres.log`. ``writer`` appends, ``schema`` and ``tables`` say how things lie on
the server. Connections and what can go wrong with them: :mod:`provenance.postgres`.
"""

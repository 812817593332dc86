"""The commands ``veilmark cloak`` and ``veilmark models``: options, one call into the package, printing.

Start with :mod:`cloak.commands.cloak`. ``options`` declares its options in groups, ``batch`` prints what is known
before a batch begins, ``models`` lists and fetches weights.
"""

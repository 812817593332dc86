"""The commands ``veilmark synth``, ``detect``, ``measure`` and ``consent``: options, one call, printing.

Start with :mod:`synth.commands.swap`. ``extract`` also holds `veilmark consent`; ``options`` has the options
that several commands share, in groups.
"""

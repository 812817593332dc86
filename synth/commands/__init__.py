"""The commands ``veilmark synth``, ``detect``, ``measure`` and ``consent``: options, one call, printing.

Start with :mod:`synth.commands.swap`. ``extract`` also holds ``consent`` and the options about it, ``options`` what
several commands share.
"""

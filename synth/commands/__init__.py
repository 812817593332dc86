"""The commands ``veilmark synth``, ``detect``, ``measure`` and ``consent``: options, one call into the package,
printing."""

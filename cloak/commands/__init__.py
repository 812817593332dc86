"""The commands ``veilmark cloak`` and ``veilmark models``: options, one call into the package, printing."""

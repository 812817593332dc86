"""The commands about signing, records and trust; one module for each: options, one call into the package, printing.

Start with :mod:`provenance.commands.sign`. ``identity``, ``ledger`` and ``trust`` are rooms, because each is a command
with further commands below it; ``uncloak`` holds ``veilmark uncloak`` and ``veilmark grant``; ``support`` has what all
of them share. ``cli.py`` gives them their names and order.
"""

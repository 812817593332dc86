"""Whether footage may be used, and who says so.

Start with :mod:`synth.consent.permission`: claims, keys and statements, weighed. ``claims`` reads who claims a file,
``statement`` signs and checks statements of consent.
"""

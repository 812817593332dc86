"""``measure lipsync``: what a lip-sync makes of cloaked footage.

Start with :mod:`synth.measure.lipsync.experiment`. ``footage`` is what an attacker learns from, ``cells`` one
generator, ``judge`` compares what it makes with what was filmed.
"""

"""``measure lipsync``: what a lip-sync makes of cloaked footage.

Start with :mod:`synth.measure.lipsync.experiment`; ``cells`` is one generator.
"""

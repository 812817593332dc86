"""``measure swap``: what a face swapper learns from cloaked footage.

Start with :mod:`synth.measure.swap.experiment`. ``faces`` is what an attacker learns from, ``cells`` one generator.
"""

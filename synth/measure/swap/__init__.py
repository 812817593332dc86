"""``measure swap``: what a face swapper learns from cloaked data.

Start with :mod:`synth.measure.swap.experiment`. ``faces`` is what an attacker gets, ``cells`` one trained generator,
``options`` what can be asked for, ``report`` writes it up.
"""

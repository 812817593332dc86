"""``measure detectors``: what face detectors see in cloaked pictures.

Start with :mod:`synth.measure.detectors.experiment`. ``pairs`` finds originals, ``observations`` asks detectors,
``errors`` counts what they report wrongly, ``report`` writes it up.
"""

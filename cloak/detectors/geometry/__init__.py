"""Boxes, patches and pixels: what all detectors count with.

Start with :mod:`cloak.detectors.geometry.matching` (which box reports which face). ``boxes`` has overlaps and
suppression, ``patch`` a part of a picture at its working size, ``rendering`` what a detector is shown and where it
lies; ``resample``, ``areas`` and ``pyramid`` shrink pictures exactly as the detectors' own libraries do.
"""

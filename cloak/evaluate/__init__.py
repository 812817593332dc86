"""What detectors see of a picture before and after.

Start with :mod:`cloak.evaluate.detect` (load and ask all detectors) and :mod:`cloak.evaluate.evaluation` (ask them
about the decoded result). ``compare`` matches two reports of one detector, ``quality`` measures visible differences,
``report`` holds the figures and ``reporting`` gathers them; ``advice`` says what could hide more.
"""

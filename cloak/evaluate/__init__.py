"""What detectors see, before and after.

Start with :mod:`cloak.evaluate.detect` (ask all detectors) and :mod:`cloak.evaluate.judge` (ask them about the decoded
result). ``evaluation`` and ``report`` turn that into figures; ``quality`` measures visible differences.
"""

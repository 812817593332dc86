"""Teaching the fake detectors again: ``python -m synth.detect.training.train``.

``material``, ``clips``, ``selfmade`` and ``histories`` make what they learn from; ``faces``, ``pulse`` and ``splice``
teach one detector each.
"""

"""The search for a cloak.

Start with :mod:`cloak.attack.search` (the optimiser) and :mod:`cloak.attack.objective` (what it minimises). ``task`` is
what it works on; ``conditions`` and ``transforms`` say what happens to a published picture; ``input_policy``,
``frames`` and ``whole_frame`` what each detector is shown of it; ``evaluation`` what detectors then find. ``budget``
says what may change, ``regions`` which patches, ``decoys`` where false faces go.
"""

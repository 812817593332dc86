"""Training of the face swapper.

Start with :mod:`synth.swap.training.train`, the training loop. ``schedule``, ``losses``,
``critic``, ``data`` and ``augment`` are its parts; ``checkpoint`` and ``events`` write its state and figures;
``parallel`` spreads it over processes.
"""

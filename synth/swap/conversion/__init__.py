"""From a trained model to faces in frames.

Start with :mod:`synth.swap.conversion.convert`. ``colour``, ``masks``, ``blend`` and ``smooth`` are its stages,
``face_selector`` says whose face is replaced, ``footage`` goes through pictures and videos.
"""

"""Render the lower face from mouth shapes, and composite it into the frame.

Start with :mod:`synth.lipsync.texture.texture` and :mod:`synth.lipsync.texture.compositor`. ``frontal`` maps
between picture and frontal view; ``candidates``, ``teeth``, ``jaw`` and ``layers`` are steps of the two.
"""

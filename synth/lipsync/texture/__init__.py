"""From mouth shapes to pictures of the lower face, and back into the frame.

Start with :mod:`synth.lipsync.texture.texture` and :mod:`synth.lipsync.texture.compositor`. ``frontal`` is the frontal
frame, ``teeth``, ``jaw`` and ``layers`` do what their names say.
"""

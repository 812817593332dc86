"""From sound to the shape of the mouth.

Start with :mod:`synth.lipsync.mouth.model`. ``audio`` computes features of sound, ``train`` and ``adapt`` fit the
network, ``visemes`` draws mouths for synthetic speech, ``expression`` adds what the upper face shows.
"""

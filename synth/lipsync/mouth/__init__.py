"""From sound to the shape of the mouth.

Start with :mod:`synth.lipsync.mouth.model`. ``audio`` makes features of sound, ``train`` and ``adapt`` fit the network,
``visemes`` and ``expression`` give it what it cannot hear.
"""

"""Which frame is shown when, and writing the film.

Start with :mod:`synth.lipsync.film.retime` and :mod:`synth.lipsync.film.render`. ``frame_reader`` reads frames in any
order, ``halfframes`` makes frames between two, ``film`` encodes.
"""

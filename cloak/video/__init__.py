"""The cloak of a video.

Start with :mod:`cloak.video.pipeline`: find shots and faces, search noise that moves along, encode, decode, judge.
``tracks``, ``flow``, ``patches``, ``window`` and ``search`` find faces and noise; ``render`` and ``write`` make the
film; ``detectors``, ``evaluate``, ``count`` and ``report`` say what is still found; ``state`` lets an interrupted run
go on.
"""

"""The cloak of a picture.

Start with :mod:`cloak.picture.pipeline`; its numbered comments are the specification. ``rounds`` is the work between
two looks at the encoded picture, ``bound`` keeps limits in the written file, ``output_format`` and ``display_scale``
what results are written and looked at as, ``recorded`` recognises copies of known cloaks, ``random_veil`` is the
control of measurements.
"""

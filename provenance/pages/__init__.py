"""Pages for people who do not use a terminal.

Start with :mod:`provenance.pages.verdict`: a verdict as one HTML file. ``thumbnails`` makes its pictures.
"""

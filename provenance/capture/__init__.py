"""Signing at capture.

Start with :mod:`provenance.capture.capture` (a camera) or :mod:`provenance.capture.watch` (a hot folder); ``journal``
remembers what a hot folder has done.
"""

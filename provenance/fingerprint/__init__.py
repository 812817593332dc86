"""Perceptual fingerprints, which survive re-encoding.

Start with :mod:`provenance.fingerprint.picture`. ``pdq`` is the hash of pictures, ``video`` and ``sound`` extend it
over time, ``features`` and ``geometry`` recognise excerpts of a picture.
"""

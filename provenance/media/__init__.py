"""Reading and writing media files, within limits.

Start with :mod:`provenance.media.formats` (which format a file has, by its bytes) and :mod:`provenance.media.picture`
(open and save pictures). ``decoding`` reads frames and sound, ``completeness`` tells cut-off files, ``files`` writes
files whole or not at all.
"""

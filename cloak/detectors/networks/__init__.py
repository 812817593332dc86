"""Networks of detectors in plain torch.

Each module has the layers of one family. Pre-processing and decoding are in the module of the same name in
:mod:`cloak.detectors`.
"""

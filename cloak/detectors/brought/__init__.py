"""Detectors that a person brings as files: weights that nobody may hand on, or that only this person has.

Start with :mod:`cloak.detectors.brought.load`. ``onnx_faces`` is what detectors in ONNX files have in common,
``onnx_heads`` and ``yolo_face`` decode their outputs, ``s3fd`` is the network of that name from a ``.pth`` file.
"""

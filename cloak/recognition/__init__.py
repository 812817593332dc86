"""Face recognition and landmarks, differentiable in the pixels.

Start with :mod:`cloak.recognition.network` (dlib's 128 numbers) and :mod:`cloak.recognition.objective` (push a face
away from itself). ``aligned_faces`` cuts faces out upright, ``landmarks68`` and ``face_mesh`` find their landmarks.
"""

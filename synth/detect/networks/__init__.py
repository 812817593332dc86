"""The small networks of the fake detectors."""

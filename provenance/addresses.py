"""What an address is meant as, told by how it begins."""

from __future__ import annotations

BUCKETS = ("s3://", "gs://", "az://")


def is_bucket(text: object) -> bool:
    """Whether a text is meant as the address of a bucket."""
    return isinstance(text, str) and text.startswith(BUCKETS)

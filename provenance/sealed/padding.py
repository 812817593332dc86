"""Padding that hides a length: Padmé.

Nikitin, Barman, Lueks, Underwood, Hubaux, Ford: "Reducing Metadata Leakage from Encrypted Files and Communication
with PURBs", Proceedings on Privacy Enhancing Technologies 2019(4), section 4 and algorithm 1. A padded length has
its last set bit so far up that only O(log log L) bits of the length L show, for at most 12 % more bytes.
"""

from __future__ import annotations


def padded_length(length: int) -> int:
    """The length to which ``length`` bytes are padded.

    Args:
        length: in bytes, 0 or more.

    Returns:
        the smallest length not below it whose floating point form has no longer mantissa than exponent.

    Raises:
        ValueError: a negative length.
    """
    if length < 0:
        raise ValueError(f"a length is not negative: {length}")
    if length < 2:
        return length
    exponent = length.bit_length() - 1
    free_bits = exponent - exponent.bit_length()
    mask = (1 << max(free_bits, 0)) - 1
    return (length + mask) & ~mask

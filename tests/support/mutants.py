"""Damaged copies of good files: what disks, networks and people with intentions do to them."""

from __future__ import annotations

import random

#: Values that lengths and counts are set to.
_LENGTHS = (
    b"\xff\xff\xff\xff",
    b"\x00\x00\x00\x00",
    b"\x7f\xff\xff\xff",
    b"\x00\x00\x00\x01",
    b"\x80\x00\x00\x00",
)
KINDS = ("flip bits", "truncate", "splice", "length field", "delete", "header byte")


def mutant(data: bytes, rng: random.Random) -> tuple[str, bytes]:
    """One damaged copy of ``data`` and the kind of damage; ``data`` has at least 8 bytes."""
    kind = rng.choice(KINDS)
    copy = bytearray(data)
    at = rng.randrange(len(copy))
    if kind == "flip bits":
        for _ in range(rng.randint(1, 8)):
            copy[rng.randrange(len(copy))] ^= 1 << rng.randrange(8)
    elif kind == "truncate":
        del copy[at:]
    elif kind == "splice":
        length, source = rng.randint(1, 200), rng.randrange(len(copy))
        copy[at : at + length] = copy[source : source + length]
    elif kind == "length field":
        at = min(at, len(copy) - 4)
        copy[at : at + 4] = rng.choice(_LENGTHS)
    elif kind == "delete":
        del copy[at : at + rng.randint(1, 50)]
    else:
        copy[rng.randrange(min(len(copy), 400))] = rng.randrange(256)
    return kind, bytes(copy)

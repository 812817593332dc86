"""A stranger's few lines for c2sp.org/tlog-tiles: they read and write such a log, and know nothing of veilmark.

Written from the texts alone: tlog-tiles, tlog-checkpoint and signed-note of c2sp.org, and RFC 9162, section 2.1.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Sequence
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey


def _node(left: bytes, right: bytes) -> bytes:
    return hashlib.sha256(b"\x01" + left + right).digest()


def tree_hash(leaves: Sequence[bytes]) -> bytes:
    """MTH of leaf hashes; RFC 9162, 2.1.1."""
    if len(leaves) == 1:
        return leaves[0]
    if not leaves:
        return hashlib.sha256().digest()
    half = 1 << ((len(leaves) - 1).bit_length() - 1)
    return _node(tree_hash(leaves[:half]), tree_hash(leaves[half:]))


def _file(folder: Path, kind: str, number: int, width: int) -> Path:
    digits = f"{number:d}".zfill(3 * -(-len(f"{number:d}") // 3))
    groups = [digits[place : place + 3] for place in range(0, len(digits), 3)]
    path = folder.joinpath("tile", kind, *(f"x{group}" for group in groups[:-1]), groups[-1])
    return path if width == 256 else path.with_name(path.name + ".p") / str(width)


class StrangeReader:
    """Reads a folder; whatever does not fit is an AssertionError."""

    def __init__(self, folder: Path, vkey: str) -> None:
        self._folder = folder
        text, _, signatures = (folder / "checkpoint").read_text("utf-8").partition("\n\n")
        self.origin, size, root = text.split("\n")[:3]
        self.size, self.root = int(size), base64.b64decode(root)
        name, key_id, material = vkey.split("+", 2)
        kind, public = base64.b64decode(material)[:1], base64.b64decode(material)[1:]
        assert kind == b"\x01" and name == self.origin
        hashed = hashlib.sha256(name.encode() + b"\n" + kind + public).digest()[:4]
        assert hashed.hex() == key_id
        for line in signatures.splitlines():
            assert line.startswith("— ")
            who, signed = line[2:].split(" ")
            data = base64.b64decode(signed)
            if who == name and data[:4] == hashed:
                Ed25519PublicKey.from_public_bytes(public).verify(data[4:], (text + "\n").encode())
                return
        raise AssertionError("the log did not sign its checkpoint")

    def _tile(self, level: int, number: int) -> list[bytes]:
        width = min(256, (self.size >> (8 * level)) - 256 * number)
        data = _file(self._folder, str(level), number, width).read_bytes()
        assert len(data) == 32 * width
        return [data[place : place + 32] for place in range(0, len(data), 32)]

    def entry(self, index: int) -> bytes:
        """Of its bundle."""
        number, place = divmod(index, 256)
        data = _file(self._folder, "entries", number, min(256, self.size - 256 * number)).read_bytes()
        for _ in range(place):
            data = data[2 + int.from_bytes(data[:2], "big") :]
        return data[2 : 2 + int.from_bytes(data[:2], "big")]

    def _subtree(self, start: int, stop: int) -> bytes:
        """MTH of leaves ``[start, stop)``: of a full subtree from the highest tile with it, else of its halves."""
        count = stop - start
        if count & (count - 1) == 0:
            level = (count.bit_length() - 1) // 8
            first, width = start >> (8 * level), count >> (8 * level)
            return tree_hash(self._tile(level, first // 256)[first % 256 : first % 256 + width])
        half = 1 << ((count - 1).bit_length() - 1)
        return _node(self._subtree(start, start + half), self._subtree(start + half, stop))

    def proof(self, index: int) -> list[bytes]:
        """An inclusion proof, from tiles alone; RFC 9162, 2.1.3.1."""
        found: list[bytes] = []
        start, stop = 0, self.size
        while stop - start > 1:
            middle = start + (1 << ((stop - start - 1).bit_length() - 1))
            if index < middle:
                found.append(self._subtree(middle, stop))
                stop = middle
            else:
                found.append(self._subtree(start, middle))
                start = middle
        return found[::-1]

    def includes(self, index: int, entry: bytes, proof: Sequence[bytes]) -> bool:
        """Whether a proof leads from the entry to the signed root; RFC 9162, 2.1.3.2."""
        fn, sn, r = index, self.size - 1, hashlib.sha256(b"\x00" + entry).digest()
        for p in proof:
            if sn == 0:
                return False
            if fn & 1 or fn == sn:
                r = _node(p, r)
                while not fn & 1 and fn:
                    fn, sn = fn >> 1, sn >> 1
            else:
                r = _node(r, p)
            fn, sn = fn >> 1, sn >> 1
        return sn == 0 and r == self.root


def write_strange_log(folder: Path, entries: Sequence[bytes], name: str) -> str:
    """Publish a log of these entries as somebody else would; returns its verifier key."""
    hashes = [hashlib.sha256(b"\x00" + entry).digest() for entry in entries]
    root = tree_hash(hashes)
    for number in range(-(-len(entries) // 256)):
        part = entries[256 * number : 256 * number + 256]
        path = _file(folder, "entries", number, len(part))
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"".join(len(entry).to_bytes(2, "big") + entry for entry in part))
    level = 0
    while hashes:
        for number in range(-(-len(hashes) // 256)):
            tile = hashes[256 * number : 256 * number + 256]
            path = _file(folder, str(level), number, len(tile))
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(b"".join(tile))
        hashes = [tree_hash(hashes[place : place + 256]) for place in range(0, len(hashes) // 256 * 256, 256)]
        level += 1
    key = Ed25519PrivateKey.generate()
    public = b"\x01" + key.public_key().public_bytes_raw()
    key_id = hashlib.sha256(name.encode() + b"\n" + public).digest()[:4]
    text = f"{name}\n{len(entries)}\n{base64.b64encode(root).decode()}\n"
    signature = base64.b64encode(key_id + key.sign(text.encode())).decode()
    (folder / "checkpoint").write_text(f"{text}\n— {name} {signature}\n", "utf-8")
    return f"{name}+{key_id.hex()}+{base64.b64encode(public).decode()}"

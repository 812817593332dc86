"""The static-file form of a log, c2sp.org/tlog-tiles: where tiles lie, and how to read someone else's.

``PREFIX/checkpoint``; hash tiles ``PREFIX/tile/LEVEL/N`` of 256 hashes, a rightmost one of fewer under
``N.p/WIDTH``; entry bundles ``PREFIX/tile/entries/N`` of 256 entries, each after its length in two bytes.
Level ``L`` of the tiles is level ``8 * L`` of the tree.
"""

from __future__ import annotations

import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Protocol

from provenance.errors import LedgerError, MissingPathError, ReceiptError, UsageError
from provenance.ledger import merkle
from provenance.ledger.note import MAX_NOTE_BYTES

TILE_WIDTH = 256
TILE_HEIGHT = 8
ENTRIES = "entries"
MAX_ENTRY_BYTES = 2**16 - 1
MAX_BUNDLE_BYTES = TILE_WIDTH * (2 + MAX_ENTRY_BYTES)
MAX_TILE_BYTES = TILE_WIDTH * merkle.HASH_BYTES
_TIMEOUT_SECONDS = 20.0


def tile_path(level: int | str, index: int, width: int = TILE_WIDTH) -> str:
    """Path of a tile below the prefix, such as ``tile/0/x001/x234/067.p/12``.

    Args:
        level: 0 to 63, or :data:`ENTRIES` for an entry bundle.
        index: the tile's place in its level.
        width: how many hashes or entries it holds; 256 is a full one.
    """
    parts = [f"{index % 1000:03d}"]
    while index >= 1000:
        index //= 1000
        parts.append(f"x{index % 1000:03d}")
    path = f"tile/{level}/" + "/".join(reversed(parts))
    return path if width == TILE_WIDTH else f"{path}.p/{width}"


def tiles_of(size: int, start: int = 0) -> Iterator[tuple[int, int, int]]:
    """``(level, index, width)`` of the hash tiles of a tree of ``size`` that one of ``start`` leaves has not."""
    level, old, new = 0, start, size
    while new:
        for index in range(old // TILE_WIDTH, (new + TILE_WIDTH - 1) // TILE_WIDTH):
            width = min(TILE_WIDTH, new - index * TILE_WIDTH)
            if index * TILE_WIDTH + width > old:
                yield level, index, width
        level, old, new = level + 1, old >> TILE_HEIGHT, new >> TILE_HEIGHT


def encode_bundle(entries: Sequence[bytes]) -> bytes:
    """Entries, each after its length as a big-endian uint16."""
    return b"".join(len(entry).to_bytes(2, "big") + entry for entry in entries)


def decode_bundle(data: bytes, width: int) -> list[bytes]:
    """The ``width`` entries of a bundle; ReceiptError when it holds more, fewer, or is cut short."""
    entries: list[bytes] = []
    position = 0
    while position < len(data) and len(entries) <= width:
        length = int.from_bytes(data[position : position + 2], "big")
        position += 2 + length
        if position > len(data):
            raise ReceiptError("the entry bundle is cut short")
        entries.append(data[position - length : position])
    if len(entries) != width:
        raise ReceiptError(f"the entry bundle holds {len(entries)} entries where {width} were expected")
    return entries


class Source(Protocol):
    """Where a published log is read from."""

    def read(self, path: str, limit: int) -> bytes | None:
        """A file's bytes, at most ``limit``; None when there is none."""
        ...


class Folder:
    """A log published into a folder."""

    def __init__(self, path: Path) -> None:
        if not path.is_dir():
            raise MissingPathError(f"no folder {path}", hint="name the folder a log was published to")
        self.path = path

    def read(self, path: str, limit: int) -> bytes | None:
        try:
            with (self.path / path).open("rb") as stream:
                return _limited(stream.read(limit + 1), path, limit)
        except (FileNotFoundError, NotADirectoryError):
            return None
        except OSError as error:
            raise LedgerError(f"{self.path / path} cannot be read: {error.strerror or error}") from error


class Website:
    """A log served over HTTP; nothing is fetched unless the user named its address."""

    def __init__(self, url: str, *, timeout: float = _TIMEOUT_SECONDS) -> None:
        scheme = urllib.parse.urlsplit(url).scheme
        if scheme not in ("http", "https"):
            raise UsageError(f"{url[:80]!r} is not an http or https address")
        self.url = url.rstrip("/")
        self._timeout = timeout

    def read(self, path: str, limit: int) -> bytes | None:
        address = f"{self.url}/{path}"
        try:
            with urllib.request.urlopen(address, timeout=self._timeout) as answer:  # noqa: S310 scheme checked
                return _limited(answer.read(limit + 1), path, limit)
        except urllib.error.HTTPError as error:
            if error.code in (404, 410):
                return None
            raise LedgerError(
                f"{address}: the server answered {error.code}", hint="try again later"
            ) from error
        except (OSError, ValueError) as error:
            raise LedgerError(f"{address} cannot be fetched: {error}", hint="is the server up?") from error


def source_of(where: str | Path) -> Source:
    """A :class:`Website` for an http(s) address, else a :class:`Folder`."""
    if isinstance(where, str) and where.startswith(("http://", "https://")):
        return Website(where)
    return Folder(Path(where))


class PublishedLog:
    """Reads checkpoint, entries and tree hashes of a published log."""

    def __init__(self, source: Source) -> None:
        self._source = source
        self._tiles: dict[tuple[int, int], bytes] = {}

    def checkpoint_text(self) -> bytes:
        """The checkpoint file; LedgerError when there is none."""
        data = self._source.read("checkpoint", MAX_NOTE_BYTES)
        if data is None:
            raise LedgerError(
                "no checkpoint file there", hint="name the folder or address that holds `checkpoint`"
            )
        return data

    def bundle(self, index: int, size: int) -> list[bytes] | None:
        """Entries ``[256 * index, ...)`` of a tree of ``size``; None when the bundle is missing.

        Raises:
            ReceiptError: malformed.
        """
        width = min(TILE_WIDTH, size - index * TILE_WIDTH)
        data = self._read(ENTRIES, index, width, MAX_BUNDLE_BYTES)
        if data is None:
            return None
        if data[1] != width:
            return decode_bundle(data[0], data[1])[:width]
        return decode_bundle(data[0], width)

    def tile(self, level: int, index: int, size: int) -> bytes | None:
        """The hashes of a tile of a tree of ``size``, concatenated; None when it is missing.

        Raises:
            ReceiptError: of the wrong length.
        """
        width = min(TILE_WIDTH, (size >> (TILE_HEIGHT * level)) - index * TILE_WIDTH)
        found = self._read(level, index, width, MAX_TILE_BYTES)
        if found is None:
            return None
        if len(found[0]) != found[1] * merkle.HASH_BYTES:
            raise ReceiptError(f"{tile_path(level, index, found[1])} has {len(found[0])} bytes")
        return found[0][: width * merkle.HASH_BYTES]

    def reader(self, size: int) -> merkle.NodeReader:
        """Hashes of perfect subtrees of the tree of ``size``, for proofs from tiles alone."""

        def node(level: int, index: int) -> bytes:
            tier, above = divmod(level, TILE_HEIGHT)
            first = index << above
            number, offset = divmod(first, TILE_WIDTH)
            key = (tier, number)
            if key not in self._tiles:
                tile = self.tile(tier, number, size)
                if tile is None:
                    raise LedgerError(f"the published log lacks {tile_path(tier, number)}")
                self._tiles[key] = tile
            hashes = self._tiles[key][offset * 32 : (offset + (1 << above)) * 32]
            return merkle.fold([hashes[i : i + 32] for i in range(0, len(hashes), 32)])

        return node

    def _read(self, level: int | str, index: int, width: int, limit: int) -> tuple[bytes, int] | None:
        """A tile's bytes and width: the partial one, or the full one where that has replaced it."""
        for candidate in dict.fromkeys((width, TILE_WIDTH)):
            data = self._source.read(tile_path(level, index, candidate), limit)
            if data is not None:
                return data, candidate
        return None


def _limited(data: bytes, path: str, limit: int) -> bytes:
    if len(data) > limit:
        raise ReceiptError(f"{path} is over the limit of {limit} bytes")
    return data

"""The embedded content store: one file per block, named by its CID, on this machine's disk."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

from provenance.errors import StoreError
from provenance.media.files import write_bytes
from provenance.store.cid import CODEC_RAW, Cid
from provenance.store.unixfs import CHUNK_BYTES, layout, layout_pieces, read_file

_MAX_BLOCK_BYTES = 2 * 1024 * 1024


class LocalStore:
    """Blocks under ``path``, spread over folders by the end of their CID.

    Blocks are written atomically and checked against their CID whenever they are read.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    def put(self, data: bytes) -> str:
        """Keep a blob; returns its CID.

        Raises:
            NotWritableError: the folder cannot be written.
        """
        if len(data) <= CHUNK_BYTES:
            return self.put_block(Cid.of_block(data), data)
        root = ""
        for cid, block in layout(data):
            root = self.put_block(cid, block)
        return root

    def put_pieces(self, pieces: Iterable[bytes]) -> str:
        """Keep a blob that comes in pieces, of any size, in little memory; returns its CID.

        Where ``pieces`` raises, no block that was not there before is left.
        """
        fresh: list[Cid] = []
        root = ""
        try:
            for cid, block in layout_pieces(pieces):
                if not self._file(cid).is_file():
                    fresh.append(cid)
                root = self.put_block(cid, block)
        except BaseException:
            for cid in fresh:
                self.delete_block(cid)
            raise
        return root

    def pieces(self, cid: str) -> Iterator[bytes]:
        """A blob as :meth:`get` returns it, in pieces of at most 1 MiB."""
        return read_file(Cid.parse(cid), self.get_block)

    def get(self, cid: str) -> bytes:
        """A blob, verified block by block.

        Raises:
            StoreError: not there, or damaged.
        """
        parsed = Cid.parse(cid)
        if parsed.codec == CODEC_RAW:
            return self.get_block(parsed)
        return b"".join(read_file(parsed, self.get_block))

    def has(self, cid: str) -> bool:
        """Whether the blob's root block is here."""
        return self._file(Cid.parse(cid)).is_file()

    def put_block(self, cid: Cid, block: bytes) -> str:
        """Keep one block under its CID, which must fit; a damaged copy is replaced."""
        require_match(cid, block)
        file = self._file(cid)
        if not file.is_file() or file.read_bytes() != block:
            write_bytes(file, block, mode=0o600)
        return str(cid)

    def get_block(self, cid: Cid) -> bytes:
        """One block, verified; StoreError when it is missing or damaged."""
        file = self._file(cid)
        try:
            with file.open("rb") as stream:
                block = stream.read(_MAX_BLOCK_BYTES + 1)
        except FileNotFoundError as error:
            raise StoreError(
                f"{cid} is not in the store", hint="import it from a CAR file or from IPFS"
            ) from error
        except OSError as error:
            raise StoreError(
                f"{cid} cannot be read: {error.strerror or error}", hint="check the store's permissions"
            ) from error
        require_match(cid, block)
        return block

    def delete_block(self, cid: Cid) -> None:
        """Delete one block, if it is here."""
        self._file(cid).unlink(missing_ok=True)

    def cids(self) -> Iterator[Cid]:
        """All blocks here, in no particular order."""
        for file in self.path.glob("??/b*"):
            yield Cid.parse(file.name)

    def small_blocks(self, most_bytes: int) -> Iterator[tuple[Cid, bytes]]:
        """The raw blocks of at most so many bytes; damaged ones are passed over."""
        for cid in self.cids():
            try:
                if cid.codec == CODEC_RAW and self._file(cid).stat().st_size <= most_bytes:
                    yield cid, self.get_block(cid)
            except (OSError, StoreError):
                continue

    def _file(self, cid: Cid) -> Path:
        name = str(cid)
        return self.path / name[-3:-1] / name


def require_match(cid: Cid, block: bytes) -> None:
    """StoreError unless the bytes are those that the content id names."""
    if Cid.of_block(block, cid.codec) != cid:
        raise StoreError(
            f"the bytes stored as {cid} are not what the content id says",
            hint="they were damaged or altered: remove them and fetch them again",
        )

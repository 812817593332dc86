"""A content store on an IPFS daemon (Kubo, js-ipfs), through ipfshttpclient.

The CID is computed here first; what the daemon answers is compared with it, and what it returns is hashed.
``ipfshttpclient.connect()`` refuses daemons newer than itself; ``Client(addr)`` does not ask for the version.
"""

from __future__ import annotations

import contextlib
import io
import itertools
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any

from provenance.errors import StoreError, UsageError
from provenance.store.cid import CODEC_DAG_PB, CODEC_RAW, Cid
from provenance.store.unixfs import CHUNK_BYTES, cid_of, layout, layout_pieces, read_file

if TYPE_CHECKING:
    import ipfshttpclient

DEFAULT_ADDRESS = "/ip4/127.0.0.1/tcp/5001/http"
MAX_BLOCK_BYTES = 2 * 1024 * 1024
_ADD_OPTIONS = {
    "cid-version": "1",
    "cid-base": "base32",
    "raw-leaves": "true",
    "hash": "sha2-256",
    "pin": "true",
}
_CHUNKS_ALL_DAEMONS_LINK_ALIKE = 174  # the old default of links a node; 1,024 in the profile of 2025


class IpfsStore:
    """Blobs on a daemon, pinned there.

    Args:
        address: the daemon's HTTP API as a multiaddr.
        timeout: seconds to wait for a connection, and between bytes.
    """

    def __init__(self, address: str = DEFAULT_ADDRESS, *, timeout: float = 10.0) -> None:
        self.address = address
        self._timeout = timeout

    def put(self, data: bytes) -> str:
        """Upload and pin; returns the CID, which the daemon must have found too.

        Raises:
            StoreError: daemon down, slow, full, or of another opinion about the CID.
        """
        cid = cid_of(data)
        with self._client() as client:
            if len(data) <= CHUNK_BYTES * _CHUNKS_ALL_DAEMONS_LINK_ALIKE:
                answer = _post(client, "/add", data, {**_ADD_OPTIONS, "chunker": f"size-{CHUNK_BYTES}"})
                self._require_same(str(answer.get("Hash")), cid)
            else:
                for block_cid, block in layout(data):
                    self._put_block(client, block_cid, block)
                client.pin.add(cid)
        return cid

    def put_pieces(self, pieces: Iterable[bytes]) -> str:
        """As :meth:`put`, for a blob of any size that comes in pieces; no more than 174 MiB of it are in memory."""
        rest, begun, size = iter(pieces), list[bytes](), 0
        for piece in rest:
            begun.append(piece)
            size += len(piece)
            if size > CHUNK_BYTES * _CHUNKS_ALL_DAEMONS_LINK_ALIKE:
                break
        else:
            return self.put(b"".join(begun))
        cid = ""
        with self._client() as client:
            for block_cid, block in layout_pieces(itertools.chain(_emptied(begun), rest)):
                self._put_block(client, block_cid, block)
                cid = str(block_cid)
            client.pin.add(cid)
        return cid

    def get(self, cid: str) -> bytes:
        """Fetch and verify, block by block; StoreError when that fails."""
        parsed = Cid.parse(cid)
        with self._client() as client:
            return b"".join(read_file(parsed, lambda part: self._get_block(client, part)))

    def pieces(self, cid: str) -> Iterator[bytes]:
        """As :meth:`get`, in pieces of at most 2 MiB."""
        parsed = Cid.parse(cid)
        with self._client() as client:
            yield from read_file(parsed, lambda part: self._get_block(client, part))

    def has(self, cid: str) -> bool:
        """Whether the daemon has it pinned; StoreError when it cannot be asked."""
        import ipfshttpclient.exceptions

        Cid.parse(cid)
        with self._client() as client:
            try:
                client.pin.ls(cid)
            except (ipfshttpclient.exceptions.ErrorResponse, ipfshttpclient.exceptions.StatusError):
                return False
        return True

    @contextlib.contextmanager
    def _client(self) -> Iterator[ipfshttpclient.Client]:
        """A client whose failures speak plainly."""
        import ipfshttpclient
        import ipfshttpclient.exceptions as failures
        import requests
        import urllib3.exceptions as transport

        slow = (failures.TimeoutError, requests.Timeout, transport.ReadTimeoutError)
        # with today's urllib3 its own errors pass through ipfshttpclient untranslated
        down = (failures.ConnectionError, requests.RequestException, transport.HTTPError, OSError)
        try:
            with contextlib.closing(self._open(ipfshttpclient)) as client:
                yield client
        except failures.AddressError as error:
            raise UsageError(
                f"{self.address[:80]!r} is not the address of an IPFS daemon",
                hint=f"such as {DEFAULT_ADDRESS}",
            ) from error
        except slow as error:
            raise StoreError(
                f"the IPFS daemon at {self.address} did not answer within {self._timeout:g} s",
                hint="what waits is kept: `veilmark store push` tries again",
            ) from error
        except (failures.ErrorResponse, failures.StatusError, failures.DecodingError) as error:
            raise StoreError(
                f"the IPFS daemon at {self.address} refused: {str(error)[:200]}",
                hint="is its disk or storage limit full? `veilmark store push` tries again",
            ) from error
        except down as error:
            raise StoreError(
                f"no IPFS daemon answers at {self.address}",
                hint="start it (`ipfs daemon`); what waits is kept: `veilmark store push` tries again",
            ) from error
        except failures.Error as error:
            raise StoreError(
                f"the IPFS daemon at {self.address} answers nonsense: {str(error)[:200]}"
            ) from error

    def _open(self, module: Any) -> ipfshttpclient.Client:
        return module.Client(self.address, timeout=self._timeout, session=True)

    def _put_block(self, client: ipfshttpclient.Client, cid: Cid, block: bytes) -> None:
        codec = {CODEC_RAW: "raw", CODEC_DAG_PB: "dag-pb"}[cid.codec]
        options = {"format": codec, "mhtype": "sha2-256", "version": "1", "cid-base": "base32"}
        # streamed, because js-ipfs takes no body of 1 MiB and more whose length it is told
        answer = client.block.put(io.BytesIO(block), opts=options)
        self._require_same(str(answer["Key"]), str(cid))

    def _get_block(self, client: ipfshttpclient.Client, cid: Cid) -> bytes:
        block = bytearray()
        with client.block.get(str(cid), stream=True) as parts:
            for part in parts:
                block += part
                if len(block) > MAX_BLOCK_BYTES:
                    raise StoreError(f"the daemon's block {cid} is over {MAX_BLOCK_BYTES} bytes")
        if Cid.of_block(bytes(block), cid.codec) != cid:
            raise StoreError(
                f"the daemon at {self.address} returned other bytes than {cid} says",
                hint="do not use them; ask another daemon",
            )
        return bytes(block)

    def _require_same(self, answered: str, expected: str) -> None:
        if answered != expected:
            raise StoreError(
                f"the daemon at {self.address} says {answered[:80]!r} where {expected} was expected",
                hint="it was not asked to keep anything else; ask another daemon",
            )


def _emptied(pieces: list[bytes]) -> Iterator[bytes]:
    """The pieces, each let go of when it is handed out."""
    pieces.reverse()
    while pieces:
        yield pieces.pop()


def _post(client: ipfshttpclient.Client, path: str, data: bytes, options: dict[str, str]) -> dict[str, Any]:
    """Send one file. The whole body at once: ``requests`` forgets its timeout when it streams one."""
    from ipfshttpclient import multipart

    body, headers = multipart.stream_bytes(data)
    answer = client._client.request(path, decoder="json", data=b"".join(body), headers=headers, opts=options)
    first = answer[0] if isinstance(answer, list) and answer else answer
    return dict(first) if isinstance(first, dict) else {}

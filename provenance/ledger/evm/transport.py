"""How a node is reached: web3's JSON-RPC codec over one bounded HTTP POST with the standard library.

The answer's size, its nesting and the total time are limited; redirects are refused, nothing is retried.
"""

from __future__ import annotations

import queue
import re
import threading
import urllib.request
from typing import Any

from web3.providers.base import JSONBaseProvider

MAX_ANSWER_BYTES = 8 * 1024 * 1024
MAX_NESTING = 64
_TOKEN = re.compile(rb'"[^"\\]*(?:\\.[^"\\]*)*"|[\[\]{}]')
_DEPTH_CHANGE = {b"[": 1, b"{": 1, b"]": -1, b"}": -1}


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *_: Any) -> None:
        """A node that sends us elsewhere is answered by an HTTPError."""


_OPENER = urllib.request.build_opener(_NoRedirect)


class BoundedProvider(JSONBaseProvider):
    """A web3 provider for one ``http(s)`` endpoint.

    Args:
        url: the JSON-RPC endpoint.
        timeout: seconds for one call, from start to end.
    """

    def __init__(self, url: str, timeout: float) -> None:
        super().__init__()
        self._url = url
        self._timeout = timeout

    def make_request(self, method: Any, params: Any) -> Any:
        """One call; the decoded answer, unchecked.

        Raises:
            TimeoutError: no complete answer in time.
            OSError: the node cannot be reached; an ``HTTPError`` has its status.
            http.client.HTTPException: no HTTP.
            ValueError, RecursionError: too large, nested too deeply, or no JSON.
        """
        answer = self._in_time(self.encode_rpc_request(method, params))
        _refuse_deep_nesting(answer)
        return self.decode_rpc_response(answer)

    def _in_time(self, body: bytes) -> bytes:
        # a socket's timeout is for each read, so a server that sends a byte now and then
        # would never time out: the exchange runs in a thread that is abandoned when its time is over
        outcome: queue.Queue[bytes | Exception] = queue.Queue(1)

        def run() -> None:
            try:
                outcome.put(self._exchange(body))
            except Exception as error:
                outcome.put(error)

        threading.Thread(target=run, daemon=True).start()
        try:
            result = outcome.get(timeout=self._timeout)
        except queue.Empty:
            raise TimeoutError("no complete answer in time") from None
        if isinstance(result, Exception):
            raise result
        return result

    def _exchange(self, body: bytes) -> bytes:
        headers = {"Content-Type": "application/json", "User-Agent": "veilmark"}
        request = urllib.request.Request(self._url, body, headers)  # noqa: S310 - scheme checked by Node
        with _OPENER.open(request, timeout=self._timeout) as response:
            answer = bytes(response.read(MAX_ANSWER_BYTES + 1))
        if len(answer) > MAX_ANSWER_BYTES:
            raise ValueError("answer over the limit")
        return answer


def _refuse_deep_nesting(data: bytes) -> None:
    """The JSON parser recurses; answers of a node are a few levels deep."""
    depth = 0
    for token in _TOKEN.finditer(data):
        depth += _DEPTH_CHANGE.get(token.group(), 0)
        if depth > MAX_NESTING:
            raise ValueError("answer nested too deeply")

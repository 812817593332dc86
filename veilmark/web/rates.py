"""How often one address may ask: token buckets, bounded in number."""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from ipaddress import IPv6Address, ip_address

_MOST_BUCKETS = 10_000


class Rate:
    """So many per minute for each key, and as many at once after a minute's rest; thread-safe."""

    def __init__(self, per_minute: int) -> None:
        self._size = float(per_minute)
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()
        self._lock = threading.Lock()

    def wait(self, key: str) -> int:
        """Take one; 0, or the seconds after which to ask again."""
        now = time.monotonic()
        with self._lock:
            left, at = self._buckets.pop(key, (self._size, now))
            left = min(self._size, left + (now - at) * self._size / 60)
            taken = left >= 1
            self._buckets[key] = (left - 1 if taken else left, now)
            while len(self._buckets) > _MOST_BUCKETS:
                self._buckets.popitem(last=False)
        return 0 if taken else max(1, round((1 - left) * 60 / self._size))


def network_of(address: str) -> str:
    """What stands for one customer: an IPv4 address, or the first 64 bits of an IPv6 address."""
    try:
        parsed = ip_address(address)
    except ValueError:
        return address[:64]
    if isinstance(parsed, IPv6Address):
        return str(IPv6Address(int(parsed) >> 64 << 64))
    return str(parsed)

"""A newer issue of a trust list: fetched over HTTPS when a person asks, compared, and taken only when they agree.

The number of an issue never falls, and of one number the later date counts: who can answer in the publisher's place
must not be able to bring back an authority that was removed.
"""

from __future__ import annotations

import http.client
import ssl
import urllib.error
import urllib.request
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from provenance.errors import CheckError, UsageError
from provenance.identity.certificates import printable
from provenance.trust.entries import StoredList
from provenance.trust.lists import MAX_LIST_BYTES, ListedCertificate, TrustList, parse_list, parse_moment

_TIMEOUT_S = 30.0


@dataclass(frozen=True)
class Difference:
    """What a newer issue changes.

    Attributes:
        added: certificates that were not in the list.
        removed: certificates that are no longer in it.
        changed: certificates whose status is another one, as they are now.
        others: how many hashes and key usages were added or removed.
    """

    added: list[ListedCertificate]
    removed: list[ListedCertificate]
    changed: list[ListedCertificate]
    others: int = 0

    @property
    def empty(self) -> bool:
        return not (self.added or self.removed or self.changed or self.others)


def require_https(url: str) -> str:
    """The address; UsageError unless it is an https one without a password in it."""
    parts = urlsplit(url)
    if parts.scheme != "https" or not parts.hostname or parts.username or parts.password:
        raise UsageError(
            f"{printable(url, 120)!r} is no https address", hint="a trust list is fetched over HTTPS only"
        )
    return url


def fetch(url: str) -> str:
    """The text at an https address; certificates are checked against the system's (``SSL_CERT_FILE`` is honoured).

    Raises:
        UsageError: no https address.
        CheckError: out of reach, redirected elsewhere, too large, or no text.
    """
    request = urllib.request.Request(require_https(url), headers={"User-Agent": "veilmark"})  # noqa: S310
    opener = urllib.request.build_opener(
        _NoRedirect, urllib.request.HTTPSHandler(context=ssl.create_default_context())
    )
    try:
        with opener.open(request, timeout=_TIMEOUT_S) as response:
            data = bytes(response.read(MAX_LIST_BYTES + 1))
        if len(data) > MAX_LIST_BYTES:
            raise ValueError(f"over the limit of {MAX_LIST_BYTES} bytes")
        return data.decode("utf-8")
    except urllib.error.HTTPError as error:
        raise CheckError(f"{printable(url, 200)} answered {error.code}", hint="check the address") from error
    except (OSError, ValueError, http.client.HTTPException) as error:
        reason = getattr(error, "reason", error)
        raise CheckError(
            f"cannot get {printable(url, 200)}: {printable(str(reason), 200)}",
            hint="check the address and the network",
        ) from error


def check_newer(stored: StoredList, text: str) -> TrustList:
    """Read a fetched issue and refuse one that goes back.

    Raises:
        UsageError: it is no list.
        CheckError: its number or date is lower than that of the list at hand, or it has none any more.
    """
    old, new = stored.parsed, parse_list(text)
    if old.sequence is None and new.sequence is None:
        return new
    if new.sequence is None:
        raise CheckError(
            f"the list at {printable(stored.url)} has no number, the one here is issue {old.sequence}",
            hint="remove the list and add the other form if that is what you want",
        )
    if old.title and new.title != old.title:
        raise CheckError(f"the list at {printable(stored.url)} is another one: {new.title!r}")
    if old.sequence is not None:
        back = new.sequence < old.sequence
        earlier = new.sequence == old.sequence and parse_moment(new.issued) < parse_moment(old.issued)
        if back or earlier:
            raise CheckError(
                f"the list at {printable(stored.url)} is issue {new.sequence} of {new.issued[:10]}, older than the "
                f"one here, issue {old.sequence} of {old.issued[:10]}; nothing was changed",
                hint="somebody may be answering in the publisher's place; try another network",
            )
    return new


def compare(old: TrustList, new: TrustList) -> Difference:
    """What ``new`` changes."""
    before = {one.fingerprint: one for one in old.certificates}
    after = {one.fingerprint: one for one in new.certificates}
    return Difference(
        added=[one for key, one in after.items() if key not in before],
        removed=[one for key, one in before.items() if key not in after],
        changed=[one for key, one in after.items() if key in before and before[key].status != one.status],
        others=len(set(old.hashes) ^ set(new.hashes)) + len(set(old.usages) ^ set(new.usages)),
    )


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *_: Any) -> None:
        """An address that sends us elsewhere is answered by an HTTPError."""

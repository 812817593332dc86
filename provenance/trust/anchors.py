"""Which certificates are trusted for what, and how c2pa is told.

Three purposes are kept apart: who may sign a manifest, who may stamp a time, and who may vouch for a person's or an
organization's identity (CAWG). c2pa looks for a signer in every list that it is given, whatever the list's kind, but
says in which one it was found; so each purpose gets its own address, and what was found elsewhere does not count.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any


class Purpose(StrEnum):
    """What a certificate authority is trusted for."""

    SIGNERS = "signers"
    TIME_STAMPS = "time-stamps"
    IDENTITIES = "identities"


#: c2pa's names for the purposes; for identities it looks in lists of their kind alone, so that one comes first.
_KINDS = {Purpose.IDENTITIES: "cawg", Purpose.TIME_STAMPS: "tsa", Purpose.SIGNERS: "manifest"}
_JOIN = "+"
_PEM = re.compile(r"-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----")
_ADDRESS = "veilmark:"
#: How c2pa says where it found a certificate: "found in [ADDRESS]" or "trust list: ADDRESS".
_FOUND = re.compile(r"found in \[([^\]]*)\]|trust list: (\S+)$")


#: Extended key usages of C2PA 2.4's certificate profile. c2pa 0.91 alone takes certificates for e-mail only.
_USAGES = (
    "1.3.6.1.5.5.7.3.4",  # e-mail protection
    "1.3.6.1.5.5.7.3.36",  # document signing
    "1.3.6.1.4.1.62558.2.1",  # C2PA claim signing
    "1.3.6.1.5.5.7.3.8",  # time stamping
    "1.3.6.1.5.5.7.3.9",  # OCSP signing
)


@dataclass(frozen=True)
class Anchors:
    """Certificates that a verifier trusts, by purpose.

    Attributes:
        signers: certificate authorities of those who sign manifests and records; PEM, one or several a text.
        time_stamps: those of time-stamp authorities.
        identities: those of CAWG identities.
        allowed: end-entity certificates that may sign manifests without any authority: PEM texts, or the Base64
            SHA-256 of their DER form.
        usages: further extended key usages (dotted object identifiers) that a signer's certificate may have.
    """

    signers: tuple[str, ...] = ()
    time_stamps: tuple[str, ...] = ()
    identities: tuple[str, ...] = ()
    allowed: tuple[str, ...] = ()
    usages: tuple[str, ...] = ()

    @classmethod
    def of(cls, anchors: Anchors | Sequence[str]) -> Anchors:
        """As given, or certificate authorities of signers alone."""
        return anchors if isinstance(anchors, Anchors) else cls(signers=tuple(anchors))

    def only(self, purpose: Purpose) -> Anchors:
        """The anchors of one purpose."""
        if purpose is Purpose.SIGNERS:
            return Anchors(signers=self.signers, allowed=self.allowed, usages=self.usages)
        if purpose is Purpose.TIME_STAMPS:
            return Anchors(time_stamps=self.time_stamps)
        return Anchors(identities=self.identities)

    def settings(self) -> dict[str, Any]:
        """The ``trust`` section of c2pa's settings.

        Which of several fitting lists c2pa names is left to chance, so a certificate that serves for several purposes
        stands in one list, whose address names them all.
        """
        uses: dict[str, set[Purpose]] = {}
        for purpose, texts in (
            (Purpose.SIGNERS, self.signers),
            (Purpose.TIME_STAMPS, self.time_stamps),
            (Purpose.IDENTITIES, self.identities),
        ):
            for block in (block for text in texts for block in _PEM.findall(text)):
                uses.setdefault(block, set()).add(purpose)
        groups: dict[str, list[str]] = {}
        for block, purposes in uses.items():
            groups.setdefault(_JOIN.join(sorted(purposes)), []).append(block)
        entries = [
            {
                "trust_anchors": "\n".join(blocks),
                "trust_uri": _ADDRESS + name,
                "trust_kind": next(kind for purpose, kind in _KINDS.items() if purpose in name.split(_JOIN)),
            }
            for name, blocks in groups.items()
        ]
        if self.allowed:
            allowed = {"trust_anchors": "", "trust_uri": _ADDRESS + Purpose.SIGNERS, "trust_kind": "manifest"}
            entries.append({**allowed, "allowed_list": "\n".join(self.allowed)})
        trust: dict[str, Any] = {"anchors": entries} if entries else {}
        return {**trust, "trust_config": "\n".join((*_USAGES, *self.usages))}


def found_for(explanation: str, purpose: Purpose) -> bool:
    """Whether c2pa's explanation of a "trusted" status names a list of this purpose.

    A certificate from the allowed list is found in a list without address; only signers have one.
    """
    match = _FOUND.search(explanation)
    if match is None:
        return False
    address = match.group(1) if match.group(1) is not None else match.group(2)
    if address == "":
        return purpose is Purpose.SIGNERS
    return address.startswith(_ADDRESS) and purpose in address.removeprefix(_ADDRESS).split(_JOIN)


def names_a_list(explanation: str) -> bool:
    """Whether c2pa says in which list it found a certificate; of time stamps in old claims (v1) it trusts every one
    and names none, and such a stamp stays one by an unknown authority.
    """
    return _FOUND.search(explanation) is not None

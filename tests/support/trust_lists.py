"""Trust lists as the C2PA and the interim list's keepers publish them, of authorities made for the test."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Sequence

from cryptography import x509

from provenance.identity import certificates

STATUS = "http://c2pa.org/conformance/trust-list/"


def authority(name: str) -> x509.Certificate:
    return certificates.make_root(certificates.generate_key("es256"), name)


def entities(
    listed: Sequence[tuple[x509.Certificate, str]],
    *,
    title: str = "C2PA Trust List",
    sequence: object = 1,
    issued: str = "2026-08-05T00:00:00Z",
    next_update: str = "2027-08-05T00:00:00Z",
) -> str:
    """A list after ETSI TS 119 602 of certificates with the last part of their status."""
    scheme = {
        "LoTEVersionIdentifier": 1,
        "LoTESequenceNumber": sequence,
        "SchemeName": [{"lang": "en", "value": title}],
        "SchemeOperatorName": [{"lang": "en", "value": "Example Coalition"}],
        "ListIssueDateTime": issued,
        "NextUpdate": next_update,
    }
    services = [
        {
            "ServiceInformation": {
                "ServiceName": [{"lang": "en", "value": "a service"}],
                "ServiceDigitalIdentity": {
                    "X509Certificates": [{"val": base64.b64encode(certificates.to_der(one)).decode()}]
                },
                "ServiceStatus": STATUS + status,
                "StatusStartingTime": "2026-01-02T03:04:05Z",
            }
        }
        for one, status in listed
    ]
    entity = {
        "TrustedEntityInformation": {"TEName": [{"lang": "en", "value": "Example Cameras"}]},
        "TrustedEntityServices": services,
    }
    return json.dumps({"LoTE": {"ListAndSchemeInformation": scheme, "TrustedEntitiesList": [entity]}})


def with_remarks(listed: Sequence[x509.Certificate]) -> str:
    """A PEM list in which a line about each certificate stands before it, as the published ones have it."""
    return "\n".join(
        f"Subject\t{one.subject.rfc4514_string()}\n{certificates.to_pem([one])}" for one in listed
    )


def hashes(listed: Sequence[x509.Certificate]) -> str:
    """An allowed list: remarks, and the Base64 SHA-256 of each certificate."""
    lines = ["# allowed certificates", "// of the test"]
    for one in listed:
        lines.append(base64.b64encode(hashlib.sha256(certificates.to_der(one)).digest()).decode())
    return "\n".join(lines) + "\n"

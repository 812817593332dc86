"""Whom CAWG identity assertions name: a person or an organization, apart from who signed the manifest.

An identity assertion (CAWG, "Identity Assertion" 1.1) is signed with a credential of its own. Whether that credential
is trusted, or even verifies, says nothing about the file: the claim's signature covers the assertion's bytes.
"""

from __future__ import annotations

from typing import Any

from cryptography import x509
from cryptography.x509.oid import NameOID

from provenance.identity.certificates import claimed_name, printable, read_der
from provenance.manifest import jumbf
from provenance.trust.anchors import Purpose, found_for
from provenance.verdict import NamedIdentity

LABEL = "cawg.identity"
_MAX_IDENTITIES = 20
_KINDS = {"cawg.x509.cose": "x509", "cawg.identity_claims_aggregation": "identity-claims-aggregation"}
#: Codes by which c2pa says that a credential is not known here; everything else that fails is a fault.
_UNKNOWN_HERE = (
    "cawg.x509.credential.untrusted",
    "cawg.ica.untrusted_issuer",
    "cawg.ica.did_unavailable",
    "cawg.identity.sig_type.unknown",
)


def is_about_identity(code: str) -> bool:
    """Whether a validation status code is about an identity assertion, not about the file."""
    return code.startswith("cawg.")


def identities_of(
    manifest_label: str,
    assertions: list[tuple[str, dict[str, Any]]],
    results: dict[str, Any],
    store: bytes,
) -> list[NamedIdentity]:
    """The identities that a manifest names.

    Args:
        assertions: label and content of the manifest's assertions, from c2pa's JSON.
        results: c2pa's validation results of that manifest.
        store: the manifest store, for the credential's own certificate.
    """
    found: list[NamedIdentity] = []
    for label, data in assertions:
        if label.split("__")[0] != LABEL or len(found) == _MAX_IDENTITIES:
            continue
        statuses = [
            (group, str(one.get("code")), str(one.get("explanation")))
            for group, listed in results.items()
            for one in (listed if isinstance(listed, list) else [])
            if isinstance(one, dict) and str(one.get("url")).endswith(f"/{label}")
        ]
        faults = [
            printable(f"{text} ({code})")
            for group, code, text in statuses
            if group == "failure" and is_about_identity(code) and code not in _UNKNOWN_HERE
        ]
        confirmed = any(
            group == "success"
            and code == "cawg.x509.credential.trusted"
            and found_for(text, Purpose.IDENTITIES)
            for group, code, text in statuses
        )
        payload = data.get("signer_payload")
        payload = payload if isinstance(payload, dict) else {}
        name, issuer = _named(manifest_label, label, data, store)
        roles = payload.get("role")
        kind = printable(str(payload.get("sig_type", "")), 80)
        found.append(
            NamedIdentity(
                name=name,
                issuer=issuer,
                kind=_KINDS.get(kind, kind),
                roles=tuple(printable(str(one), 80) for one in roles[:20]) if isinstance(roles, list) else (),
                confirmed=confirmed and not faults,
                fault="; ".join(faults)[:400],
            )
        )
    return found


def _named(manifest_label: str, label: str, data: dict[str, Any], store: bytes) -> tuple[str, str]:
    """Name and issuer: of the certificate, else of verified identities in an aggregation, else of c2pa's summary."""
    try:
        content = jumbf.assertion(store, manifest_label, label)
        signature = content.get("signature") if isinstance(content, dict) else None
        if isinstance(signature, bytes):
            leaf = read_der(jumbf.cose_certificates(signature)[0])
            return claimed_name(leaf), _issuer(leaf)
    except (ValueError, x509.UnsupportedGeneralNameType):
        pass
    listed = data.get("verifiedIdentities")
    first = listed[0] if isinstance(listed, list) and listed and isinstance(listed[0], dict) else {}
    provider = first.get("provider")
    summary = data.get("signature_info")
    summary = summary if isinstance(summary, dict) else {}
    name = first.get("name") or first.get("username") or summary.get("common_name") or "unnamed"
    issuer = (provider.get("name") if isinstance(provider, dict) else None) or summary.get("issuer") or ""
    return printable(str(name)), printable(str(issuer))


def _issuer(leaf: x509.Certificate) -> str:
    for oid in (NameOID.COMMON_NAME, NameOID.ORGANIZATION_NAME):
        values = leaf.issuer.get_attributes_for_oid(oid)
        if values:
            return printable(str(values[0].value))
    return printable(leaf.issuer.rfc4514_string())

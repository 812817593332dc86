"""What a file would add to the trust store, shown first and added when its keeper says so."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

from provenance.errors import IdentityError, UsageError
from provenance.identity import certificates
from provenance.media.files import read_limited
from provenance.trust.entries import parse_anchor, parse_vkey
from provenance.trust.lists import parse_list
from provenance.trust.store import TrustStore
from provenance.trust.trust_file import MAX_BYTES, add_items, parse_trust_file
from veilmark.web.job import Job
from veilmark.web.jobs import Runner
from veilmark.web.settings import Settings

_MOST_SHOWN = 100


def looker(settings: Settings) -> Runner:
    """The runner that says what a file holds; nothing is trusted by it."""

    def run(job: Job) -> dict[str, Any]:
        text = _text(job.files()[0])
        kind, items = _read(text)
        return {
            "files": [],
            "kind": kind,
            "items": items[:_MOST_SHOWN],
            "count": len(items),
            "sha256": hashlib.sha256(text.encode()).hexdigest(),
        }

    return run


def adder(settings: Settings) -> Runner:
    """The runner that adds what a file holds."""

    def run(job: Job) -> dict[str, Any]:
        path = job.files()[0]
        text, store = _text(path), TrustStore.load(settings.home)
        kind, _ = _read(text)
        name = job.options.get("name", "")
        if kind == "trust file":
            added = add_items(store, parse_trust_file(text))
        elif kind == "certificates":
            added = [("anchor", store.add_anchor(text, name))]
        elif kind == "log key":
            added = [("log", store.add_log_key(text.strip(), name))]
        else:
            added = [("list", store.add_list(text, name or path.stem).name)]
        wanted = set(added)
        entries = [vars(one) for one in store.entries() if (one.kind, one.name) in wanted]
        return {"files": [], "entries": entries}

    return run


def _text(path: Path) -> str:
    data = read_limited(path, MAX_BYTES)
    if data is None:
        raise UsageError(f"{path.name} is larger than {MAX_BYTES} bytes")
    try:
        return data.decode()
    except UnicodeDecodeError:
        raise UsageError(f"{path.name} is no text", hint="certificates are taken in PEM form") from None


def _read(text: str) -> tuple[str, list[dict[str, str]]]:
    """What the text is, and what it holds: kind, name, fingerprint.

    Raises:
        UsageError: nothing that can be trusted.
    """
    if text.lstrip().startswith("-----BEGIN"):
        try:
            chain = parse_anchor(text, "the file")
        except IdentityError as error:
            raise UsageError(str(error), hint=error.hint) from error
        return "certificates", [
            _certificate(certificates.claimed_name(one), certificates.to_der(one)) for one in chain
        ]
    if len(text) < 2000 and "+" in text and "\n" not in text.strip():
        return "log key", [
            {"kind": "log", "name": text.partition("+")[0], "fingerprint": parse_vkey(text.strip())}
        ]
    if '"veilmark.trust-file/1"' in text:
        return "trust file", [
            {"kind": one.kind, "name": one.name, "fingerprint": _fingerprint(one.kind, one.text)}
            for one in parse_trust_file(text)
        ]
    found = parse_list(text)
    return "published list", [
        {"kind": "list", "name": f"{found.title}, by {found.operator}", "fingerprint": ""},
    ]


def _certificate(name: str, der: bytes) -> dict[str, str]:
    return {"kind": "anchor", "name": name, "fingerprint": hashlib.sha256(der).hexdigest()}


def _fingerprint(kind: str, text: str) -> str:
    if not kind.endswith("anchor"):
        return text if kind in ("log", "witness") else ""
    first = certificates.parse_chain(text)[0]
    return hashlib.sha256(certificates.to_der(first)).hexdigest()

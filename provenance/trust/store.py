"""What the person who verifies trusts. It comes from this folder alone, never from what is being checked.

One file an entry, so that two programs adding at once lose nothing::

    anchors/NAME.pem        certificate authorities (one or more certificates a file)
    logs/NAME.vkey          ledgers, as C2SP verifier keys
    witnesses/NAME.vkey     those who cosign checkpoints, as C2SP verifier keys
    contracts/NAME.json     on-chain ledgers: chain id, address, and whose anchors in it count
    revocations/NAME.json   signed statements that a key is no longer to be trusted
"""

from __future__ import annotations

import hashlib
import json
import os
import re
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from provenance.errors import IdentityError, UsageError, VeilmarkError
from provenance.home import Home
from provenance.identity import certificates
from provenance.identity.certificates import printable
from provenance.media import files as atomic

KINDS = ("anchor", "log", "witness", "contract", "revocation")
_FOLDERS = {
    "anchor": ("anchors", ".pem"),
    "log": ("logs", ".vkey"),
    "witness": ("witnesses", ".vkey"),
    "contract": ("contracts", ".json"),
    "revocation": ("revocations", ".json"),
}
_MAX_ENTRY_BYTES = 4 * 1024 * 1024
_MAX_ENTRIES = 10_000
_ADDRESS = re.compile(r"0x[0-9a-fA-F]{40}")


@dataclass(frozen=True)
class TrustedContract:
    """An on-chain ledger.

    Attributes:
        name: how it is called here.
        chain_id: EIP-155 chain id.
        address: the contract, ``0x`` and 40 hex digits.
        log_owner: whose checkpoint anchors in it count, ``0x`` and 40 hex digits.
    """

    name: str
    chain_id: int
    address: str
    log_owner: str


@dataclass(frozen=True)
class TrustEntry:
    """One line of ``veilmark trust list``."""

    kind: str
    name: str
    detail: str


@dataclass
class TrustStore:
    """The verifier's own trust store.

    Attributes:
        anchors_pem: PEM texts, one or more certificates each.
        log_keys: entry name to C2SP verifier key.
        witnesses: entry name to C2SP verifier key.
        contracts: on-chain ledgers.
        revocations: raw JSON texts of revocation statements.
    """

    folder: Path
    anchors_pem: list[str] = field(default_factory=list)
    log_keys: dict[str, str] = field(default_factory=dict)
    witnesses: dict[str, str] = field(default_factory=dict)
    contracts: list[TrustedContract] = field(default_factory=list)
    revocations: list[str] = field(default_factory=list)
    _anchor_names: list[str] = field(default_factory=list)

    @classmethod
    def load(cls, home: Home) -> TrustStore:
        """Read the store; a folder that does not exist is an empty store.

        Raises:
            UsageError: an entry is damaged, or others may write to it.
        """
        store = cls(folder=home.trust)
        for name, text in store._texts("anchor"):
            _parse_anchor(text, name)
            store.anchors_pem.append(text)
            store._anchor_names.append(name)
        store.log_keys = {name: _parse_vkey(text) for name, text in store._texts("log")}
        store.witnesses = {name: _parse_vkey(text) for name, text in store._texts("witness")}
        store.contracts = [_parse_contract(name, text) for name, text in store._texts("contract")]
        store.revocations = [text for _, text in store._texts("revocation")]
        return store

    def add_anchor(self, pem: str, name: str = "") -> str:
        """Trust certificate authorities; returns the entry's name. Adding the same again changes nothing.

        Raises:
            UsageError: no certificate, or an end-entity certificate instead of an authority.
        """
        chain = _parse_anchor(pem, name or "the file")
        text = certificates.to_pem(chain)
        if text in self.anchors_pem:
            return self._anchor_names[self.anchors_pem.index(text)]
        name = self._free_name("anchor", name or certificates.claimed_name(chain[0]), text)
        self._write("anchor", name, text)
        self.anchors_pem.append(text)
        self._anchor_names.append(name)
        return name

    def add_log_key(self, vkey: str, name: str = "") -> str:
        """Trust a ledger by its C2SP verifier key; returns the entry's name."""
        return self._add_key("log", self.log_keys, vkey, name)

    def add_witness(self, vkey: str, name: str = "") -> str:
        """Trust a witness by its C2SP verifier key; returns the entry's name."""
        return self._add_key("witness", self.witnesses, vkey, name)

    def add_contract(self, chain_id: int, address: str, log_owner: str, name: str = "") -> str:
        """Trust an on-chain ledger, and in it the anchors of ``log_owner``; returns the entry's name."""
        body = json.dumps({"chain_id": chain_id, "address": address, "log_owner": log_owner})
        parsed = _parse_contract(name or "new", body)
        for known in self.contracts:
            if (known.chain_id, known.address, known.log_owner) == (chain_id, address, log_owner):
                return known.name
        name = self._free_name("contract", name or f"chain-{chain_id}-{address[2:10].lower()}", body)
        self._write("contract", name, body)
        self.contracts.append(TrustedContract(**{**asdict(parsed), "name": name}))
        return name

    def add_revocation(self, statement: str, name: str = "") -> str:
        """Keep a revocation statement; it is checked when it is used. Returns the entry's name."""
        if statement in self.revocations:
            return next(one for one, text in self._texts("revocation") if text == statement)
        name = self._free_name("revocation", name or "revocation", statement)
        self._write("revocation", name, statement)
        self.revocations.append(statement)
        return name

    def remove(self, name: str, kind: str = "") -> TrustEntry:
        """Stop trusting an entry; returns what it was.

        Raises:
            UsageError: no such entry, or entries of several kinds have that name.
        """
        found = [one for one in self.entries() if one.name == name and kind in ("", one.kind)]
        if len(found) != 1:
            problem = (
                f"no entry named {name[:80]!r}" if not found else f"{len(found)} entries named {name[:80]!r}"
            )
            hint = "see `veilmark trust list`" if not found else "say which kind"
            raise UsageError(problem, hint=hint)
        folder, suffix = _FOLDERS[found[0].kind]
        (self.folder / folder / f"{name}{suffix}").unlink(missing_ok=True)
        fresh = TrustStore.load(Home(data=self.folder, config=self.folder.parent))
        self.__dict__.update(fresh.__dict__)
        return found[0]

    def entries(self) -> list[TrustEntry]:
        """Everything trusted, by kind and name."""
        listed = []
        for name, pem in zip(self._anchor_names, self.anchors_pem, strict=True):
            chain = certificates.parse_chain(pem)
            digest = hashlib.sha256(certificates.to_der(chain[0])).hexdigest()
            more = f" and {len(chain) - 1} more" if len(chain) > 1 else ""
            until = f"until {chain[0].not_valid_after_utc:%Y-%m-%d}"
            detail = f"{certificates.claimed_name(chain[0])}{more}, {until}, SHA-256 {digest[:16]}"
            listed.append(TrustEntry("anchor", name, detail))
        listed += [TrustEntry("log", name, vkey) for name, vkey in self.log_keys.items()]
        listed += [TrustEntry("witness", name, vkey) for name, vkey in self.witnesses.items()]
        for one in self.contracts:
            detail = f"chain {one.chain_id}, {one.address}, anchors by {one.log_owner}"
            listed.append(TrustEntry("contract", one.name, detail))
        for name, text in self._texts("revocation"):
            listed.append(TrustEntry("revocation", name, printable(text, 200)))
        return listed

    def _add_key(self, kind: str, present: dict[str, str], vkey: str, name: str) -> str:
        vkey = _parse_vkey(vkey)
        for known, text in present.items():
            if text == vkey:
                return known
        name = self._free_name(kind, name or vkey.split("+")[0], vkey)
        self._write(kind, name, vkey)
        present[name] = vkey
        return name

    def _free_name(self, kind: str, wanted: str, text: str) -> str:
        """A file name from ``wanted``; one that is taken gets a digest added."""
        base = re.sub(r"[^A-Za-z0-9._-]+", "-", wanted).strip("-.")[:80] or kind
        folder, suffix = _FOLDERS[kind]
        if not (self.folder / folder / f"{base}{suffix}").exists():
            return base
        return f"{base}-{hashlib.sha256(text.encode()).hexdigest()[:12]}"

    def _write(self, kind: str, name: str, text: str) -> None:
        folder, suffix = _FOLDERS[kind]
        atomic.write_bytes(self.folder / folder / f"{name}{suffix}", text.encode(), mode=0o600)

    def _texts(self, kind: str) -> list[tuple[str, str]]:
        folder, suffix = _FOLDERS[kind]
        where = self.folder / folder
        if not where.is_dir():
            return []
        paths = sorted(path for path in where.iterdir() if path.suffix == suffix and path.name[0] != ".")
        if len(paths) > _MAX_ENTRIES:
            raise UsageError(f"{where} holds {len(paths)} entries, over the limit of {_MAX_ENTRIES}")
        return [(path.name.removesuffix(suffix), _read(path)) for path in paths]


def _read(path: Path) -> str:
    try:
        status = path.stat()
        if os.name == "posix" and status.st_mode & 0o022:
            raise UsageError(
                f"{path} can be changed by others (mode {status.st_mode & 0o777:04o})",
                hint=f"check what it says, then run `chmod 600 {path}`",
            )
        if status.st_size > _MAX_ENTRY_BYTES:
            raise UsageError(f"{path} has {status.st_size} bytes, over the limit of {_MAX_ENTRY_BYTES}")
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"cannot read {path}: {error}", hint="remove or repair the file") from error


def _parse_anchor(pem: str, name: str) -> list[Any]:
    try:
        chain = certificates.parse_chain(pem, max_certificates=1000)
    except IdentityError as error:
        raise UsageError(f"{name} is no trust anchor: {error}", hint=error.hint) from error
    for one in chain:
        if not certificates.is_authority(one):
            raise UsageError(
                f"{certificates.claimed_name(one)!r} in {name} is no certificate authority",
                hint="trust the root that issued it: `veilmark identity show --root` prints one's own",
            )
    return chain


def _parse_vkey(text: str) -> str:
    from provenance.ledger.note import VerifierKey

    try:
        return str(VerifierKey.parse(text.strip()))
    except VeilmarkError as error:
        raise UsageError(
            f"{printable(text.strip(), 80)!r} is no verifier key: {error}", hint="expected NAME+HASH+BASE64"
        ) from error


def _parse_contract(name: str, text: str) -> TrustedContract:
    try:
        body = json.loads(text)
        contract = TrustedContract(
            name=name,
            chain_id=int(body["chain_id"]),
            address=str(body["address"]),
            log_owner=str(body["log_owner"]),
        )
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise UsageError(f"contract entry {name!r} is damaged", hint="remove it and add it again") from error
    good = _ADDRESS.fullmatch(contract.address) and _ADDRESS.fullmatch(contract.log_owner)
    if not good or not 0 < contract.chain_id < 2**63:
        raise UsageError(
            f"contract entry {name!r} has a wrong chain id or address",
            hint="an address is 0x and 40 hexadecimal digits",
        )
    return contract

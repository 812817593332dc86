"""What the person who verifies trusts. It comes from this folder alone, never from what is being checked.

One file an entry, so that two programs adding at once lose nothing::

    anchors/NAME.pem              certificate authorities of signers (one or more certificates a file)
    time-stamp-anchors/NAME.pem   those of time-stamp authorities
    identity-anchors/NAME.pem     those of identities (CAWG)
    lists/NAME.json               published trust lists, as :mod:`provenance.trust.lists` reads them
    logs/NAME.vkey                ledgers, as C2SP verifier keys
    witnesses/NAME.vkey           those who cosign checkpoints, as C2SP verifier keys
    contracts/NAME.json           on-chain ledgers: chain id, address, and whose anchors in it count
    revocations/NAME.json         signed statements that a key is no longer to be trusted
"""

from __future__ import annotations

import hashlib
import json
import os
import re
from dataclasses import asdict, dataclass, field
from pathlib import Path

from provenance.errors import UsageError
from provenance.home import Home
from provenance.identity import certificates
from provenance.identity.certificates import printable
from provenance.media import files as atomic
from provenance.trust.anchors import Anchors, Purpose
from provenance.trust.entries import (
    ANCHOR_KINDS,
    FOLDERS,
    StoredList,
    TrustedContract,
    TrustEntry,
    describe_anchor,
    describe_list,
    parse_anchor,
    parse_contract,
    parse_stored_list,
    parse_vkey,
)
from provenance.trust.lists import parse_list

__all__ = ["StoredList", "TrustEntry", "TrustStore", "TrustedContract"]

_MAX_ENTRY_BYTES = 4 * 1024 * 1024
_MAX_ENTRIES = 10_000


@dataclass
class TrustStore:
    """The verifier's own trust store.

    Attributes:
        own_anchors: certificates that were named one by one: purpose to entry name to PEM text.
        lists: published lists that were added.
        log_keys: entry name to C2SP verifier key.
        witnesses: entry name to C2SP verifier key.
        contracts: on-chain ledgers.
        revocations: raw JSON texts of revocation statements.
    """

    folder: Path
    own_anchors: dict[Purpose, dict[str, str]] = field(
        default_factory=lambda: {purpose: {} for purpose in Purpose}
    )
    lists: list[StoredList] = field(default_factory=list)
    log_keys: dict[str, str] = field(default_factory=dict)
    witnesses: dict[str, str] = field(default_factory=dict)
    contracts: list[TrustedContract] = field(default_factory=list)
    revocations: list[str] = field(default_factory=list)
    _anchors: Anchors | None = field(default=None, repr=False, compare=False)

    @classmethod
    def load(cls, home: Home) -> TrustStore:
        """Read the store; a folder that does not exist is an empty store.

        Raises:
            UsageError: an entry is damaged, or others may write to it.
        """
        store = cls(folder=home.trust)
        for purpose, kind in ANCHOR_KINDS.items():
            for name, text in store._texts(kind):
                parse_anchor(text, name)
                store.own_anchors[purpose][name] = text
        store.lists = [parse_stored_list(name, text) for name, text in store._texts("list")]
        store.log_keys = {name: parse_vkey(text) for name, text in store._texts("log")}
        store.witnesses = {name: parse_vkey(text) for name, text in store._texts("witness")}
        store.contracts = [parse_contract(name, text) for name, text in store._texts("contract")]
        store.revocations = [text for _, text in store._texts("revocation")]
        return store

    @property
    def anchors(self) -> Anchors:
        """Every certificate that is trusted, by purpose: named one by one, and from lists."""
        if self._anchors is None:
            self._anchors = self._gathered()
        return self._anchors

    def _gathered(self) -> Anchors:
        by_purpose = {
            purpose: (
                *self.own_anchors[purpose].values(),
                *(pem for one in self.lists if one.purpose is purpose and (pem := one.parsed.authorities())),
            )
            for purpose in Purpose
        }
        signers = [one.parsed for one in self.lists if one.purpose is Purpose.SIGNERS]
        return Anchors(
            signers=by_purpose[Purpose.SIGNERS],
            time_stamps=by_purpose[Purpose.TIME_STAMPS],
            identities=by_purpose[Purpose.IDENTITIES],
            allowed=tuple(text for one in signers for text in one.allowed()),
            usages=tuple(usage for one in signers for usage in one.usages),
        )

    @property
    def anchors_pem(self) -> list[str]:
        """Certificate authorities of signers, PEM, one or several a text."""
        return list(self.anchors.signers)

    def add_anchor(self, pem: str, name: str = "", purpose: Purpose = Purpose.SIGNERS) -> str:
        """Trust certificate authorities; returns the entry's name. Adding the same again changes nothing.

        Raises:
            UsageError: no certificate, or an end-entity certificate instead of an authority.
        """
        chain = parse_anchor(pem, name or "the file")
        text = certificates.to_pem(chain)
        present = self.own_anchors[purpose]
        for known, other in present.items():
            if other == text:
                return known
        kind = ANCHOR_KINDS[purpose]
        name = self._free_name(kind, name or certificates.claimed_name(chain[0]), text)
        self._write(kind, name, text)
        present[name] = text
        return name

    def add_list(
        self, published: str, name: str, *, purpose: Purpose | None = None, url: str = ""
    ) -> StoredList:
        """Trust a published list from now on; an entry of the same name is replaced.

        Args:
            published: the list in any of the forms of :func:`provenance.trust.lists.parse_list`.
            purpose: what it is for; None goes by what the list says of itself.
            url: where newer issues are published.

        Raises:
            UsageError: no list, or an allowed list for something else than signers.
        """
        parsed = parse_list(published)
        purpose = purpose or parsed.guessed_purpose()
        if purpose is not Purpose.SIGNERS and (parsed.allowed() or parsed.usages):
            raise UsageError(
                f"a list for {purpose.value} may hold certificate authorities only",
                hint="allowed certificates and key usages are for signers: --for signers",
            )
        stored = StoredList(self.file_name("list", name), purpose, url, published, parsed)
        self._write("list", stored.name, stored.to_text())
        self.lists = [one for one in self.lists if one.name != stored.name] + [stored]
        return stored

    def add_log_key(self, vkey: str, name: str = "") -> str:
        """Trust a ledger by its C2SP verifier key; returns the entry's name."""
        return self._add_key("log", self.log_keys, vkey, name)

    def add_witness(self, vkey: str, name: str = "") -> str:
        """Trust a witness by its C2SP verifier key; returns the entry's name."""
        return self._add_key("witness", self.witnesses, vkey, name)

    def add_contract(self, chain_id: int, address: str, log_owner: str, name: str = "") -> str:
        """Trust an on-chain ledger, and in it the anchors of ``log_owner``; returns the entry's name."""
        body = json.dumps({"chain_id": chain_id, "address": address, "log_owner": log_owner})
        parsed = parse_contract(name or "new", body)
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
        folder, suffix = FOLDERS[found[0].kind]
        (self.folder / folder / f"{name}{suffix}").unlink(missing_ok=True)
        fresh = TrustStore.load(Home(data=self.folder, config=self.folder.parent))
        self.__dict__.update(fresh.__dict__)
        return found[0]

    def entries(self) -> list[TrustEntry]:
        """Everything trusted, by kind and name."""
        listed = [
            describe_anchor(kind, name, pem)
            for purpose, kind in ANCHOR_KINDS.items()
            for name, pem in self.own_anchors[purpose].items()
        ]
        listed += [describe_list(one) for one in sorted(self.lists, key=lambda one: one.name)]
        listed += [TrustEntry("log", name, vkey) for name, vkey in self.log_keys.items()]
        listed += [TrustEntry("witness", name, vkey) for name, vkey in self.witnesses.items()]
        for one in self.contracts:
            detail = f"chain {one.chain_id}, {one.address}, anchors by {one.log_owner}"
            listed.append(TrustEntry("contract", one.name, detail))
        for name, text in self._texts("revocation"):
            listed.append(TrustEntry("revocation", name, printable(text, 200)))
        return listed

    def _add_key(self, kind: str, present: dict[str, str], vkey: str, name: str) -> str:
        vkey = parse_vkey(vkey)
        for known, text in present.items():
            if text == vkey:
                return known
        name = self._free_name(kind, name or vkey.split("+")[0], vkey)
        self._write(kind, name, vkey)
        present[name] = vkey
        return name

    @staticmethod
    def file_name(kind: str, wanted: str) -> str:
        """``wanted`` as the name of a file."""
        return re.sub(r"[^A-Za-z0-9._-]+", "-", wanted).strip("-.")[:80] or kind

    def _free_name(self, kind: str, wanted: str, text: str) -> str:
        """A file name from ``wanted``; one that is taken gets a digest added."""
        base = self.file_name(kind, wanted)
        folder, suffix = FOLDERS[kind]
        if not (self.folder / folder / f"{base}{suffix}").exists():
            return base
        return f"{base}-{hashlib.sha256(text.encode()).hexdigest()[:12]}"

    def _write(self, kind: str, name: str, text: str) -> None:
        data = text.encode()
        if len(data) > _MAX_ENTRY_BYTES:
            raise UsageError(f"an entry of {len(data)} bytes is over the limit of {_MAX_ENTRY_BYTES}")
        folder, suffix = FOLDERS[kind]
        atomic.write_bytes(self.folder / folder / f"{name}{suffix}", data, mode=0o600)
        self._anchors = None

    def _texts(self, kind: str) -> list[tuple[str, str]]:
        folder, suffix = FOLDERS[kind]
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

"""Which logs and witnesses a verifier trusts, and how many must have signed (c2sp.org/tlog-policy).

A policy is the verifier's own text file::

    log example.org/log+1a2b3c4d+AQ...
    witness north  witness.example/north+...
    witness south  witness.example/south+...
    group   both all north south
    quorum  both
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from provenance.errors import UntrustedSignerError, UsageError
from provenance.ledger.note import TYPE_COSIGNATURE, Checkpoint, Note, VerifierKey
from provenance.ledger.receipt import Receipt, is_log_key

MAX_POLICY_BYTES = 256 * 1024
MAX_LINES = 1000
NO_QUORUM = "none"


@dataclass(frozen=True)
class Endorsement:
    """Who signed a checkpoint, as far as the policy knows them.

    Attributes:
        checkpoint: what they signed.
        log: the log's key that signed.
        witnesses: witness names, with the POSIX time at which each says it saw this checkpoint.
    """

    checkpoint: Checkpoint
    log: VerifierKey
    witnesses: Mapping[str, int]


@dataclass(frozen=True)
class Policy:
    """Trusted logs, witnesses by policy name, groups ``name -> (threshold, members)``, and the quorum."""

    logs: tuple[VerifierKey, ...]
    witnesses: Mapping[str, VerifierKey] = field(default_factory=dict)
    groups: Mapping[str, tuple[int, tuple[str, ...]]] = field(default_factory=dict)
    quorum: str = NO_QUORUM

    @classmethod
    def of_logs(cls, vkeys: Iterable[str]) -> Policy:
        """A policy that trusts these logs and asks for no witness."""
        return cls(tuple(VerifierKey.parse(vkey) for vkey in vkeys))

    @classmethod
    def of_witnesses(cls, logs: Iterable[str], witnesses: Iterable[str], threshold: int) -> Policy:
        """A policy that trusts these logs when at least ``threshold`` of these witnesses cosigned."""
        named = {f"w{number}": VerifierKey.parse(vkey) for number, vkey in enumerate(witnesses)}
        lines = [f"log {vkey}" for vkey in logs] + [f"witness {name} {key}" for name, key in named.items()]
        if threshold:
            lines += [f"group all-witnesses {threshold} {' '.join(named)}", "quorum all-witnesses"]
        else:
            lines += [f"quorum {NO_QUORUM}"]
        return cls.parse("\n".join(lines))

    @classmethod
    def parse(cls, text: str) -> Policy:
        """Read a policy file.

        Raises:
            UsageError: too large or malformed; the message names the line.
        """
        lines = text.split("\n")
        if len(text) > MAX_POLICY_BYTES or len(lines) > MAX_LINES:
            raise UsageError("the trust policy is too large", hint=f"keep it under {MAX_LINES} lines")
        logs: list[VerifierKey] = []
        witnesses: dict[str, VerifierKey] = {}
        groups: dict[str, tuple[int, tuple[str, ...]]] = {}
        quorum: str | None = None
        free: set[str] = set()
        for number, line in enumerate(lines, 1):
            words = line.split()
            if not words or words[0].startswith("#"):
                continue
            try:
                match words:
                    case ["log", vkey] | ["log", vkey, _]:
                        logs.append(VerifierKey.parse(vkey))
                    case ["witness", name, vkey] | ["witness", name, vkey, _]:
                        _require_new(name, witnesses, groups)
                        witnesses[name] = _witness_key(vkey)
                        free.add(name)
                    case ["group", name, threshold, *members] if members:
                        _require_new(name, witnesses, groups)
                        if len(set(members)) != len(members) or not free.issuperset(members):
                            raise UsageError("a member is unknown, or listed in two places")
                        groups[name] = (_threshold(threshold, len(members)), tuple(members))
                        free = free.difference(members) | {name}
                    case ["quorum", name] if quorum is None:
                        if name != NO_QUORUM and name not in witnesses and name not in groups:
                            raise UsageError(f"{name!r} is not defined above")
                        quorum = name
                    case _:
                        raise UsageError(f"{line.strip()[:60]!r} is not understood")
            except UsageError as error:
                raise UsageError(f"trust policy, line {number}: {error}", hint=error.hint) from error
        keys = [key.public for key in logs] + [key.public for key in witnesses.values()]
        if quorum is None or len(set(keys)) != len(keys):
            raise UsageError("a trust policy needs one quorum line, and each key only once")
        return cls(tuple(logs), witnesses, groups, quorum)

    @property
    def keys(self) -> tuple[VerifierKey, ...]:
        return (*self.logs, *self.witnesses.values())

    def endorse(self, note: Note) -> Endorsement:
        """Check a checkpoint's signatures and quorum.

        Raises:
            UntrustedSignerError: no trusted log signed, or the quorum is not reached.
            TamperedError: a trusted key's signature is wrong.
            ReceiptError: not a checkpoint.
        """
        checkpoint = Checkpoint.parse(note.text)
        verified = note.verify(self.keys)
        log = next((key for key in verified if is_log_key(key, checkpoint.origin)), None)
        if log is None or log not in self.logs:
            raise UntrustedSignerError(
                f"no trusted log signed this checkpoint of {checkpoint.origin[:80]!r}",
                hint="add the log's key with `veilmark trust add` if you trust whoever runs it",
            )
        seen = {
            name: stamp for name, key in self.witnesses.items() if (stamp := verified.get(key)) is not None
        }
        if self.quorum != NO_QUORUM and not self._reached(self.quorum, seen):
            raise UntrustedSignerError(
                f"{len(seen)} of {len(self.witnesses)} trusted witnesses cosigned the checkpoint of "
                f"{checkpoint.origin!r}; the quorum {self.quorum!r} is not reached",
                hint="ask for a receipt with more witness cosignatures, or change your own policy",
            )
        return Endorsement(checkpoint, log, seen)

    def verify(self, receipt: Receipt) -> Endorsement:
        """Check a receipt's proof, signatures and quorum; raises as :meth:`endorse` and the receipt do."""
        receipt.verify_inclusion()
        return self.endorse(receipt.note)

    def _reached(self, name: str, seen: Mapping[str, int]) -> bool:
        if name in self.witnesses:
            return name in seen
        threshold, members = self.groups[name]
        return sum(self._reached(member, seen) for member in members) >= threshold


def _witness_key(vkey: str) -> VerifierKey:
    key = VerifierKey.parse(vkey)
    if key.kind != TYPE_COSIGNATURE:
        raise UsageError(f"{key.name} is a log's key, not a witness's", hint="a witness key is of type 4")
    return key


def _threshold(text: str, members: int) -> int:
    value = {"all": members, "any": 1}.get(text) or (int(text) if text.isascii() and text.isdigit() else 0)
    if not 1 <= value <= members:
        raise UsageError(f"the threshold {text[:20]!r} does not fit {members} members")
    return value


def _require_new(name: str, *taken: Mapping[str, object]) -> None:
    if name == NO_QUORUM or any(name in names for names in taken):
        raise UsageError(f"the name {name[:40]!r} is taken")

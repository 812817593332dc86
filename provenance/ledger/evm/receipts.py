"""The embedded log and its receipts on the chain: anchor the log, upgrade receipts, check them.

The embedded log knows nothing of chains; this module joins the two.
"""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from provenance.errors import ChainError, ForkError, MissingPathError, ReceiptError, UsageError
from provenance.home import Home
from provenance.ledger.evm.anchor import AnchorPolicy, AnchorStatus, anchor_checkpoint
from provenance.ledger.evm.check import AnchorCheck, Basis, Found, check_anchor
from provenance.ledger.evm.claim import AnchorClaim, AnchorKey
from provenance.ledger.evm.contract import MediaLedger, log_id_of
from provenance.ledger.evm.rpc import DEFAULT_TIMEOUT
from provenance.ledger.evm.state import AnchorState, AnchorStore
from provenance.ledger.log import Log
from provenance.ledger.note import Checkpoint, Note
from provenance.ledger.receipt import MAX_ANCHORS, MAX_RECEIPT_BYTES, Receipt
from provenance.media import files as atomic
from provenance.verdict import AnchorFinding, LedgerStatus

if TYPE_CHECKING:
    from eth_account.signers.local import LocalAccount


class Contract(Protocol):
    """An on-chain ledger the verifier trusts; :class:`provenance.trust.store.TrustedContract` is one."""

    @property
    def chain_id(self) -> int: ...
    @property
    def address(self) -> str: ...
    @property
    def log_owner(self) -> str: ...


def anchor_log(
    home: Home,
    log: Log,
    ledger: MediaLedger,
    account: LocalAccount,
    *,
    policy: AnchorPolicy | None = None,
    wait: bool = True,
    timeout: float = 600.0,
    progress: Callable[[str], None] | None = None,
) -> AnchorStatus:
    """Anchor the log's newest checkpoint, or first finish the one whose transaction is still out.

    Once it is confirmed, the log keeps the checkpoint (and its guard file) as one that others have seen.

    Raises:
        ForkError: the chain holds a history that is not this log's (an old copy of it was restored?).
        UsageError: the log is empty.
        ChainError: see :func:`~provenance.ledger.evm.anchor.anchor_checkpoint`.
    """
    require_same_history(log, ledger, account.address)
    note = _unfinished(home, log, ledger, account.address) or log.note()
    checkpoint = Checkpoint.parse(note.text)
    if checkpoint.size == 0:
        raise UsageError(
            "the ledger is empty: there is nothing to anchor", hint="sign or record a file first"
        )
    status = anchor_checkpoint(
        home,
        ledger,
        account,
        origin=checkpoint.origin,
        size=checkpoint.size,
        root=checkpoint.root,
        content=hashlib.sha256(str(note).encode()).digest(),
        note=str(note),
        policy=policy,
        wait=wait,
        timeout=timeout,
        progress=progress,
    )
    if status.state is AnchorState.CONFIRMED:
        log.keep_checkpoint(note, "anchored", f"{ledger.node.chain_id}:{ledger.address}")
    return status


def require_same_history(log: Log, ledger: MediaLedger, owner: str) -> None:
    """Compare the log with its last anchor on the chain.

    Raises:
        ForkError: more entries are anchored than the log has, or others.
    """
    checkpoint = log.checkpoint()
    log_id = log_id_of(checkpoint.origin)
    head = ledger.head(owner, log_id)
    if head.size > checkpoint.size:
        raise ForkError(
            f"{head.size} entries of {checkpoint.origin} are anchored, but this ledger has {checkpoint.size}",
            hint="this is an old copy of the ledger; restore the newest one, and append nothing to this one",
        )
    if head.size and ledger.anchored_root(owner, log_id, head.size) != log.root_at(head.size):
        raise ForkError(
            f"the first {head.size} entries of {checkpoint.origin} are not the ones that were anchored",
            hint="this ledger was altered or replaced; restore the one that was anchored",
        )


def anchored_receipt(home: Home, log: Log, index: int) -> Receipt | None:
    """The receipt of an entry against the earliest confirmed anchor that covers it; None where there is none."""
    with AnchorStore(home) as store:
        for row in store.confirmed(log_id_of(log.checkpoint().origin)):
            if row.key.size <= index or row.claim is None or not row.note:
                continue
            return log.receipt(index, note=Note.parse(row.note)).with_anchor(row.claim.to_json())
    return None


def upgrade_file(home: Home, log: Log, path: Path) -> bool:
    """Rewrite a receipt of this log in place with its anchor, once that is confirmed.

    Returns:
        whether the file changed; False where it has its anchor already or there is none yet.

    Raises:
        ReceiptError: not a receipt.
        UsageError: a receipt of another log.
        MissingPathError: no such file.
    """
    receipt = _read(path)
    origin = log.checkpoint().origin
    if receipt.checkpoint.origin != origin or (
        receipt.index >= log.size or log.entry(receipt.index).opening != receipt.opening
    ):
        raise UsageError(
            f"{path} is not a receipt of this ledger ({origin})",
            hint="only the ledger that gave a receipt can upgrade it",
        )
    upgraded = anchored_receipt(home, log, receipt.index)
    if upgraded is None or receipt.anchors == upgraded.anchors:
        return False
    atomic.write_bytes(path, upgraded.to_bytes())
    return True


def check_receipt(
    receipt: Receipt,
    contracts: Iterable[Contract],
    *,
    rpc: Sequence[str] = (),
    trusted_block_hash: bytes | None = None,
    confirmations: int = 1,
    timeout: float = DEFAULT_TIMEOUT,
) -> AnchorCheck:
    """Whether a receipt's checkpoint is anchored in a contract that the verifier trusts.

    Args:
        receipt: already verified against a trusted log key.
        contracts: from the verifier's own trust store, never from the receipt.
        rpc, trusted_block_hash, confirmations, timeout: see :func:`~provenance.ledger.evm.check.check_anchor`.

    Raises:
        ChainError: no trusted contract fits, or the chain cannot be asked.
        TamperedError: another history is anchored there.
        UsageError: neither ``rpc`` nor a block hash that helps.
    """
    checkpoint = receipt.checkpoint
    claims = _readable_claims(receipt)
    keys = [
        AnchorKey(
            contract.chain_id,
            contract.address,
            contract.log_owner,
            log_id_of(checkpoint.origin),
            checkpoint.size,
            checkpoint.root,
        )
        for contract in contracts
    ]
    fitting = [(key, claim) for key in keys for claim in claims if claim.key == key]
    if claims and not fitting:
        names = ", ".join(sorted({f"{claim.key.contract} on chain {claim.key.chain_id}" for claim in claims}))
        raise ChainError(
            f"the receipt names an anchor that your trust store does not know: {names}",
            hint="if you trust that contract and its log owner, add it with `veilmark trust add`",
        )
    best: AnchorCheck | None = None
    failure: ChainError | UsageError | None = None
    unclaimed: list[tuple[AnchorKey, AnchorClaim | None]] = [(key, None) for key in keys]
    for key, claim in fitting or unclaimed:
        try:
            check = check_anchor(
                key,
                rpc=rpc,
                claim=claim,
                trusted_block_hash=trusted_block_hash,
                confirmations=confirmations,
                timeout=timeout,
            )
        except (ChainError, UsageError) as error:
            failure = error
            continue
        if check.found is Found.ANCHORED:
            return check
        if best is None or check.found is Found.PENDING:
            best = check
    if best is not None:
        return best
    raise failure or ChainError(
        "no on-chain ledger is trusted",
        hint="add one with `veilmark trust add` (chain id, address, log owner)",
    )


def receipt_checker(
    contracts: Iterable[Contract],
    *,
    rpc: Sequence[str] = (),
    trusted_block_hash: bytes | None = None,
    confirmations: int = 1,
    timeout: float = DEFAULT_TIMEOUT,
) -> Callable[[Receipt], AnchorFinding]:
    """What :class:`provenance.verify.VerifyRequest` takes as ``check_anchor``.

    A chain that cannot be asked gives "anchor not checked" with the reason; evidence of another history is
    raised as TamperedError.
    """
    known = list(contracts)

    def check(receipt: Receipt) -> AnchorFinding:
        try:
            found = check_receipt(
                receipt,
                known,
                rpc=rpc,
                trusted_block_hash=trusted_block_hash,
                confirmations=confirmations,
                timeout=timeout,
            )
        except (ChainError, UsageError) as error:
            return AnchorFinding(LedgerStatus.ANCHOR_NOT_CHECKED, f"anchor not checked: {error}")
        if found.found is not Found.ANCHORED or found.block_time is None:
            pending = found.found is Found.PENDING
            return AnchorFinding(LedgerStatus.PENDING if pending else LedgerStatus.LOGGED, found.detail)
        status = LedgerStatus.ANCHORED_BY_RPC if found.basis is Basis.ONE_NODE else LedgerStatus.ANCHORED
        moment = datetime.fromtimestamp(found.block_time, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        return AnchorFinding(status, found.detail, moment)

    return check


def _readable_claims(receipt: Receipt) -> list[AnchorClaim]:
    """The receipt's claims, without those that cannot be read: they prove nothing, for or against."""
    claims = []
    for data in receipt.anchors[:MAX_ANCHORS]:
        with contextlib.suppress(ReceiptError):
            claims.append(AnchorClaim.from_json(data))
    return claims


def _unfinished(home: Home, log: Log, ledger: MediaLedger, owner: str) -> Note | None:
    """The checkpoint of a transaction that is still out, so that it is followed instead of a new one."""
    wanted = (ledger.node.chain_id, ledger.address, owner, log_id_of(log.checkpoint().origin))
    with AnchorStore(home) as store:
        for row in store.rows(unfinished=True):
            key = row.key
            if (key.chain_id, key.contract, key.owner, key.log_id) == wanted and row.sent and row.note:
                return Note.parse(row.note)
    return None


def _read(path: Path) -> Receipt:
    try:
        with path.open("rb") as stream:
            return Receipt.from_bytes(stream.read(MAX_RECEIPT_BYTES + 1))
    except FileNotFoundError:
        raise MissingPathError(f"{path} does not exist") from None

"""``veilmark ledger anchor`` and what it needs: accounts, a contract, and the check of anchors for ``verify``."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from provenance.commands.console import note, print_json
from provenance.errors import ChainError, ExitCode, UsageError
from provenance.home import Home
from provenance.verdict import AnchorFinding, Standing

if TYPE_CHECKING:
    from provenance.ledger.evm.networks import Network
    from provenance.ledger.evm.rpc import Node
    from provenance.ledger.local import LocalLedger
    from provenance.ledger.receipt import Receipt
    from provenance.trust import TrustedContract, TrustStore

NetworkName = Annotated[
    str, typer.Option("--network", help="ethereum, base, polygon, sepolia, local, or a chain id.")
]
Rpc = Annotated[
    list[str] | None, typer.Option("--rpc", help="JSON-RPC address of a node. Repeat to compare several.")
]
Account = Annotated[
    str, typer.Option("--account", help="The account that pays, as `ledger account list` names it.")
]
PASSPHRASE_VARIABLE = "VEILMARK_ACCOUNT_PASSPHRASE"  # noqa: S105 - the variable's name, no secret
accounts_app = typer.Typer(help="Encrypted accounts that pay for anchors.", no_args_is_help=True)


def anchor(
    network: NetworkName = "local",
    contract: Annotated[
        str | None, typer.Option("--contract", help="Address of the MediaLedger. Default: from the config.")
    ] = None,
    rpc: Rpc = None,
    account: Account = "default",
    wait: Annotated[bool, typer.Option(help="Wait until the anchor is settled.")] = True,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Anchor the log's checkpoint on a chain. Safe to repeat: it goes on where it stopped and never pays twice."""
    from provenance.commands.ledger import own_ledger
    from provenance.ledger.evm import AnchorState, MediaLedger, Policy, anchor_checkpoint, load_account

    home = Home.locate()
    chain, node = _connect(home, network, rpc)
    address = contract or chain.contract
    if not address:
        raise UsageError(
            "no contract is known for this network", hint="add --contract, or run `ledger deploy`"
        )
    payer = load_account(home, account, _passphrase(new=False))
    with own_ledger() as ledger:
        signed = ledger.note()
        checkpoint = ledger.checkpoint()
        status = anchor_checkpoint(
            home,
            MediaLedger.at(node, address),
            payer,
            origin=ledger.origin,
            size=checkpoint.size,
            root=checkpoint.root,
            policy=Policy(confirmations=chain.confirmations, max_fee_gwei=chain.max_fee_gwei),
            wait=wait,
            progress=note,
        )
        if status.state is AnchorState.CONFIRMED:
            ledger.keep_checkpoint(signed, "anchored", f"{status.key.chain_id}:{status.key.contract}")
    about = {
        "schema": "veilmark.anchor/1",
        "state": status.state.value,
        "chain_id": status.key.chain_id,
        "contract": status.key.contract,
        "log_owner": status.key.owner,
        "size": status.key.size,
        "block": status.block_number,
        "transaction": status.transaction_hash.hex() if status.transaction_hash else None,
        "confirmations": status.confirmations,
        "needed": status.needed,
        "remark": status.remark,
    }
    if as_json:
        print_json(about)
    else:
        typer.echo(
            f"anchor {status.state.value}: size {status.key.size} on chain {status.key.chain_id}; {status.remark}"
        )
        if status.state is AnchorState.CONFIRMED:
            note("Bring receipts up to it with `veilmark ledger upgrade RECEIPT...`.")
    if status.state not in (AnchorState.CONFIRMED, AnchorState.SUPERSEDED):
        raise typer.Exit(int(ExitCode.PARTIAL))


def deploy(network: NetworkName = "local", rpc: Rpc = None, account: Account = "default") -> None:
    """Put a MediaLedger contract on a chain. Nobody owns it; one serves everybody."""
    from provenance.ledger.evm import deploy as put_on_chain
    from provenance.ledger.evm import load_account

    home = Home.locate()
    chain, node = _connect(home, network, rpc)
    payer = load_account(home, account, _passphrase(new=False))
    ledger, _ = put_on_chain(node, payer, confirmations=chain.confirmations, progress=note)
    typer.echo(ledger.address)
    note(
        "To trust your own anchors there: veilmark trust add --contract "
        f"{chain.chain_id}:{ledger.address}:{payer.address}"
    )


@accounts_app.command("new")
def new_account(name: Annotated[str, typer.Argument(help="How it is called here.")] = "default") -> None:
    """Make an account, stored encrypted. The passphrase: VEILMARK_ACCOUNT_PASSPHRASE, else a prompt."""
    from provenance.ledger.evm import create_account

    typer.echo(create_account(Home.locate(), name, _passphrase(new=True)))


@accounts_app.command("import")
def import_account(
    keystore: Annotated[Path, typer.Argument(help="An encrypted keystore file (Web3 Secret Storage).")],
    name: Annotated[str, typer.Option("--name", help="How it is called here.")] = "default",
) -> None:
    """Take over an account from an encrypted keystore file."""
    from provenance.ledger.evm import import_account as take_over

    typer.echo(take_over(Home.locate(), name, keystore, _passphrase(new=False)))


@accounts_app.command("list")
def list_accounts() -> None:
    """List accounts and their addresses."""
    from provenance.ledger.evm import list_accounts as all_accounts

    for name, address in all_accounts(Home.locate()):
        typer.echo(f"{name:<16} {address}")


def upgraded_receipt(ledger: LocalLedger, receipt: Receipt, home: Home) -> Receipt:
    """The receipt against the best checkpoint, with the anchors that this machine knows of it."""
    from provenance.ledger.service import upgrade

    upgraded = upgrade(ledger, receipt)
    if not ledger.kept_checkpoints("anchored"):
        return upgraded
    from provenance.ledger.evm import AnchorStore, log_id_of

    store = AnchorStore(home)
    try:
        for row in store.confirmed(log_id_of(ledger.origin)):
            if row.key.size == upgraded.checkpoint.size and row.claim:
                upgraded = upgraded.with_anchor(row.claim.to_json())
    finally:
        store.close()
    return upgraded


def anchor_checker(
    trust: TrustStore,
    rpc: Sequence[str],
    contract: str | None,
    chain_id: int | None,
    block_hash: str | None,
    confirmations: int,
) -> Callable[[Receipt], AnchorFinding]:
    """What ``verify`` asks about anchors, by the verifier's own trusted contracts.

    Raises:
        UsageError: no trusted contract fits, or the block hash is malformed.
    """
    fitting = [
        one
        for one in trust.contracts
        if (contract is None or one.address.lower() == contract.lower())
        and (chain_id is None or one.chain_id == chain_id)
    ]
    if not fitting:
        raise UsageError(
            "no contract you trust fits",
            hint="trust one with `veilmark trust add --contract CHAIN_ID:ADDRESS:LOG_OWNER`",
        )
    trusted_block = _block_hash(block_hash)

    def check(receipt: Receipt) -> AnchorFinding:
        findings = [_check_one(receipt, one, rpc, trusted_block, confirmations) for one in fitting]
        return min(findings, key=lambda finding: _RANK.index(finding.standing))

    return check


_RANK = (Standing.ANCHORED, Standing.ANCHORED_BY_RPC, Standing.PENDING, Standing.LOGGED)


def _check_one(
    receipt: Receipt,
    contract: TrustedContract,
    rpc: Sequence[str],
    trusted_block: bytes | None,
    confirmations: int,
) -> AnchorFinding:
    from datetime import UTC, datetime

    from provenance.ledger.evm import AnchorClaim, AnchorKey, Basis, Found, check_anchor, log_id_of

    checkpoint = receipt.checkpoint
    key = AnchorKey(
        contract.chain_id,
        contract.address,
        contract.log_owner,
        log_id_of(checkpoint.origin),
        checkpoint.size,
        checkpoint.root,
    )
    claims = []
    for raw in receipt.anchors:
        try:
            claims.append(AnchorClaim.from_json(raw))
        except ChainError:
            continue  # a claim that cannot be read proves nothing, for or against
    claim = next((one for one in claims if one.key == key), None)
    found = check_anchor(
        key, rpc=rpc, claim=claim, trusted_block_hash=trusted_block, confirmations=confirmations
    )
    time = ""
    if found.block_time:
        time = datetime.fromtimestamp(found.block_time, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    if found.found is Found.ANCHORED:
        standing = Standing.ANCHORED_BY_RPC if found.basis is Basis.ONE_NODE else Standing.ANCHORED
    else:
        standing = Standing.PENDING if found.found is Found.PENDING else Standing.LOGGED
    return AnchorFinding(standing, found.detail, time)


def _connect(home: Home, network: str, rpc: Sequence[str] | None) -> tuple[Network, Node]:
    from provenance.ledger.evm import Node, find_network

    chain = find_network(home, network)
    addresses = rpc or chain.rpc
    if not addresses:
        raise UsageError(f"no node is known for {chain.name}", hint="add --rpc URL")
    return chain, Node.connect(addresses[0], chain_id=chain.chain_id)


def _block_hash(text: str | None) -> bytes | None:
    if text is None:
        return None
    try:
        value = bytes.fromhex(text.removeprefix("0x"))
    except ValueError:
        value = b""
    if len(value) != 32:
        raise UsageError(f"{text[:80]!r} is no block hash", hint="give 64 hexadecimal digits")
    return value


def _passphrase(*, new: bool) -> str:
    import os
    import sys

    given = os.environ.get(PASSPHRASE_VARIABLE)
    if given:
        return given
    if not sys.stdin.isatty():
        raise UsageError("the account needs a passphrase", hint=f"set {PASSPHRASE_VARIABLE}")
    return str(typer.prompt("Account passphrase", hide_input=True, confirmation_prompt=new, err=True))

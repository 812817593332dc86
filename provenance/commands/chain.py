"""``veilmark ledger anchor`` and what it needs: accounts, a contract, and the check of anchors for ``verify``."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from provenance.commands.console import note, print_json
from provenance.errors import ExitCode, UsageError
from provenance.home import Home

if TYPE_CHECKING:
    from provenance.ledger.embedded.log import LocalLedger
    from provenance.ledger.evm.networks import Network
    from provenance.ledger.evm.rpc import Node
    from provenance.ledger.receipt import Receipt
    from provenance.trust.store import TrustStore
    from provenance.verdict import AnchorFinding

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
    from provenance.ledger.evm import AnchorState, MediaLedger, Policy, load_account
    from provenance.ledger.evm.receipts import anchor_log

    home = Home.locate()
    chain, node = _connect(home, network, rpc)
    address = contract or chain.contract
    if not address:
        raise UsageError(
            "no contract is known for this network", hint="add --contract, or run `ledger deploy`"
        )
    payer = load_account(home, account, _passphrase(new=False))
    with own_ledger() as ledger:
        status = anchor_log(
            home,
            ledger,
            MediaLedger.at(node, address),
            payer,
            policy=Policy(confirmations=chain.confirmations, max_fee_gwei=chain.max_fee_gwei),
            wait=wait,
            progress=note,
        )
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
    """The receipt against the earliest anchored checkpoint that covers it, else the best there is."""
    from provenance.ledger.service import upgrade

    upgraded = upgrade(ledger, receipt)
    if not ledger.kept_checkpoints("anchored"):
        return upgraded
    from provenance.ledger.evm.receipts import anchored_receipt

    return anchored_receipt(home, ledger, receipt.index) or upgraded


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
    from provenance.ledger.evm.receipts import receipt_checker

    return receipt_checker(
        fitting, rpc=rpc, trusted_block_hash=_block_hash(block_hash), confirmations=confirmations
    )


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
